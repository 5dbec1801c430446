package main

// The store: an index in bbolt, and a file for each content. THIS IS THE FILE A VENDOR REPLACES.
//
// Below rootdirectory lie the index, a reserve of space, and the folder "files", in which each content and each write
// session is a file with a random name. A file means something only while a row of the index names it. So a change is:
// write a new file and sync it, change the index in one transaction, remove the files that no row names any more. A
// crash leaves the rows as they were or as they are to be, and files without a row, which the next start removes [G2].
// A file that has become content is never written to again; its name serves as the version.
//
// The methods are called by many goroutines at once, and trust the paths they are given.

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolt "go.etcd.io/bbolt/errors"
	"google.golang.org/protobuf/types/known/timestamppb"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

const (
	// A key is a path with "!" for "/". That sorts before every character of a component, so that the order of keys is
	// that of the contract: /a/x before /a-b [A1]. What is below a key lies between key+"!" and key+what follows "!".
	separator, after = "!", `"`
	// The key of a write session is its staging path's with this before it, where no path can be.
	sessionMark = "~"

	batch    = 1000 // the rows of a page of Walk, and of one transaction of a recursive Delete
	reserved = 512 << 10
)

var bucket = []byte("content")

var capabilities = &pb.Capabilities{Durability: pb.Capabilities_POWER, Granularity: 1, IfAbsent: true}

type row struct {
	key      string
	File     string
	Size     uint64
	Modified time.Time
}

func (r row) info() *pb.Info {
	return &pb.Info{Size: r.Size, Modified: timestamppb.New(r.Modified), Version: r.File}
}

func keyOf(path string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path, "/"), "/", separator) // empty for "/", which everything is below
}

// rows are the first rows from low on and before high.
func rows(index *bbolt.Bucket, low, high string, limit int) (found []row) {
	cursor := index.Cursor()
	key, value := cursor.Seek([]byte(low))
	for key != nil && string(key) < high && len(found) < limit {
		row := row{key: string(key)}
		json.Unmarshal(value, &row) // a damaged row names no file, which open tells as CORRUPT
		found = append(found, row)
		key, value = cursor.Next()
	}
	return found
}

// rowAt is the row at a key, and one that names no file where there is none.
func rowAt(index *bbolt.Bucket, key string) row {
	for _, row := range rows(index, key, key+separator, 1) {
		return row
	}
	return row{}
}

// session is a write session, as the writer has it that opened it last [W2].
type session struct {
	key    string
	file   *os.File
	mutex  sync.Mutex
	size   uint64
	fenced chan struct{}
}

// append gives data to the kernel, and so it survives the death of this process [W3].
func (s *session) append(data []byte) error {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	if err := s.check(); err != nil {
		return err
	}
	written, err := s.file.WriteAt(data, int64(s.size))
	s.size += uint64(written)
	return err
}

func (s *session) check() error {
	select {
	case <-s.fenced:
		return refuse(pb.StorageError_FENCED, "the session was opened anew, committed or deleted by somebody else")
	default:
		return nil
	}
}

// fence waits for what is being written. After it this writer changes nothing.
func (s *session) fence() {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	close(s.fenced)
}

type store struct {
	folder  string
	root    *os.Root // no link leads out of it [N4]
	names   *os.File // the folder "files", to be synced
	index   *bbolt.DB
	writers sync.Map // the sessions that a stream has open, by their keys
}

// openStore opens the store in a folder, which is made if it is missing.
func openStore(folder string) (*store, error) {
	s := &store{folder: folder}
	for _, name := range []string{folder, folder + "/files"} {
		if err := os.Mkdir(name, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			const message = "the parameter rootdirectory must name a folder, or a new one in a folder"
			return nil, refuse(pb.StorageError_CONFIG_INVALID, message)
		}
	}
	// One process has the store [K4]: bbolt has a lock on its file, which the kernel frees when the process dies.
	var err error
	s.index, err = bbolt.Open(folder+"/index", 0o600, &bbolt.Options{Timeout: 5 * time.Second})
	if errors.Is(err, bolt.ErrTimeout) {
		const message = "another process has this store open: stop it, or use another rootdirectory"
		return nil, refuse(pb.StorageError_UNAVAILABLE, message)
	} else if err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		s.index.Close()
		return nil, err
	}
	return s, nil
}

// prepare brings the folder's names onto the disk, and removes what a crash left: the files that no row names.
func (s *store) prepare() (err error) {
	if s.root, err = os.OpenRoot(s.folder); err != nil {
		return err
	}
	if s.names, err = s.root.Open("files"); err != nil {
		return err
	}
	named := map[string]bool{}
	err = s.index.Update(func(tx *bbolt.Tx) error {
		index, err := tx.CreateBucketIfNotExists(bucket)
		if err != nil {
			return err
		}
		for _, row := range rows(index, "", "\xff", math.MaxInt) {
			named[row.File] = true
		}
		return nil
	})
	if err != nil {
		return err
	}
	left, err := s.names.Readdirnames(-1)
	s.remove(slices.DeleteFunc(left, func(name string) bool { return named[name] })...)
	s.fillReserve()
	return errors.Join(err, syncFolder(s.folder), syncFolder(s.folder+"/.."))
}

func syncFolder(name string) error {
	folder, err := os.Open(name)
	if errors.Is(err, fs.ErrPermission) {
		return nil
	} else if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

// ---------------------------------------------------------------- what the service asks for

// isUsable tells whether the folder is still the one that was opened, and not unmounted or taken away [P2].
func (s *store) isUsable() bool {
	there, err := os.Stat(s.folder)
	if err != nil {
		return false
	}
	here, err := s.root.Stat(".")
	return err == nil && os.SameFile(here, there)
}

func (s *store) stat(path string) (*pb.Info, error) {
	found, err := s.look(keyOf(path), keyOf(path)+after, 1)
	if err != nil {
		return nil, err
	} else if len(found) == 0 {
		return nil, refuse(pb.StorageError_NOT_FOUND, "there is nothing at this path")
	} else if found[0].key != keyOf(path) {
		return &pb.Info{IsPrefix: true}, nil
	}
	return found[0].info(), nil
}

// open gives a content and its file, which stays readable when the content is replaced or deleted [R4].
func (s *store) open(path string) (*os.File, *pb.Info, error) {
	missed := ""
	for {
		found, err := s.look(keyOf(path), keyOf(path)+separator, 1)
		if err != nil {
			return nil, nil, err
		} else if len(found) == 0 {
			return nil, nil, refuse(pb.StorageError_NOT_FOUND, "there is no content at this path")
		}
		file, _, err := s.openFile(found[0].File, os.O_RDONLY)
		if !errors.Is(err, fs.ErrNotExist) {
			return file, found[0].info(), err
		} else if found[0].File == missed {
			return nil, nil, refuse(pb.StorageError_CORRUPT, "the file of this content is gone")
		}
		missed = found[0].File // somebody may have changed the content just now: then the next look finds another file
	}
}

func (s *store) put(path string, content []byte, ifAbsent bool) (*pb.Info, error) {
	return s.putAt(keyOf(path), content, ifAbsent)
}

// list gives the children of a path, and whether more follow. One row is looked up for each, however much is below it.
func (s *store) list(path, startAfter string, limit int) (entries []*pb.ListResponse_Entry, more bool, err error) {
	prefix, high := keyOf(path)+separator, keyOf(path)+after
	low := prefix
	if startAfter != "" {
		low += startAfter + after
	}
	for {
		found, err := s.look(low, high, 1)
		if more = len(found) > 0 && len(entries) == limit; err != nil || more || len(found) == 0 {
			return entries, more, err
		}
		name, _, isPrefix := strings.Cut(strings.TrimPrefix(found[0].key, prefix), separator)
		entry := &pb.ListResponse_Entry{Name: name, Info: &pb.Info{IsPrefix: true}}
		if !isPrefix {
			entry.Info = found[0].info()
		}
		entries, low = append(entries, entry), prefix+name+after
	}
}

// walk calls visit with all content below a path, in pages. Nothing is held between them [A2].
func (s *store) walk(path, startAfter string, visit func(page []*pb.WalkResponse_Entry) error) error {
	low := keyOf(path) + separator
	if startAfter != "" {
		low = max(low, keyOf(startAfter)+"\x00")
	}
	for {
		found, err := s.look(low, keyOf(path)+after, batch)
		if err != nil || len(found) == 0 {
			return err
		}
		page := make([]*pb.WalkResponse_Entry, len(found))
		for at, row := range found {
			page[at] = &pb.WalkResponse_Entry{Path: strings.ReplaceAll(row.key, separator, "/"), Info: row.info()}
		}
		if err := visit(page); err != nil {
			return err
		}
		low = found[len(found)-1].key + "\x00"
	}
}

func (s *store) move(source, target string) (*pb.Info, error) {
	return s.change(func(c *change) (*pb.Info, error) {
		row := c.row(keyOf(source))
		if row.File == "" {
			return nil, refuse(pb.StorageError_NOT_FOUND, "there is no content at the source")
		}
		if err := c.Delete([]byte(row.key)); err != nil {
			return nil, err
		}
		row.key = keyOf(target)
		return c.name(row, false)
	})
}

func (s *store) delete(path string, recursive bool) error {
	defer s.fillReserve()
	err := s.deleteAll(path, recursive)
	if errors.Is(err, syscall.ENOSPC) {
		// The index grows before a file goes, and finds the room for that in the reserve.
		err = errors.Join(os.Truncate(s.folder+"/reserve", 0), s.deleteAll(path, recursive))
	}
	return err
}

func (s *store) redirectURL(string) (string, error) {
	return "", refuse(pb.StorageError_UNSUPPORTED, "this store gives no URLs")
}

// openSession opens the session at a path; offset 0 makes it or starts it over [W1].
func (s *store) openSession(path string, offset uint64) (*session, error) {
	key := sessionMark + keyOf(path)
	if offset == 0 {
		if _, err := s.putAt(key, nil, false); err != nil { // over the session that there is
			return nil, err
		}
	}
	tx, err := s.index.Begin(true) // it changes nothing, and keeps all out who would
	if err != nil {
		return nil, err
	}
	defer tx.Rollback()
	row := rowAt(tx.Bucket(bucket), key)
	if row.File == "" {
		return nil, refuse(pb.StorageError_NOT_FOUND, "there is no session at this path")
	}
	file, size, err := s.openFile(row.File, os.O_RDWR)
	if err != nil {
		return nil, err
	} else if offset > size {
		file.Close()
		return nil, refuseOffset(size)
	}
	s.fence(key)
	if err := file.Truncate(int64(offset)); err != nil {
		file.Close()
		return nil, err
	}
	opened := &session{key: key, file: file, size: offset, fenced: make(chan struct{})}
	s.writers.Store(key, opened)
	return opened, nil
}

func (s *store) flush(session *session) error {
	failed := session.file.Sync()
	if failed == nil {
		return session.check()
	}
	// The kernel may have dropped what it could not write, and tells it once: nothing may be built on the rest.
	_, err := s.change(func(c *change) (*pb.Info, error) {
		if err := session.check(); err != nil {
			return nil, err
		}
		return nil, c.drop(session.key, session.key+separator)
	})
	return errors.Join(failed, err)
}

// close ends a stream, which means nothing to the session [G10].
func (s *store) close(session *session) {
	if s.writers.CompareAndDelete(session.key, session) {
		session.fence()
	}
	session.file.Close()
}

func (s *store) commit(path, target string, size uint64, ifAbsent bool) (*pb.Info, error) {
	key := sessionMark + keyOf(path)
	return s.change(func(c *change) (*pb.Info, error) {
		session := c.row(key)
		if session.File == "" {
			return c.committed(target, size)
		}
		file, there, err := s.openFile(session.File, os.O_RDWR)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		if there != size {
			return nil, refuseOffset(there)
		}
		info, err := c.name(row{keyOf(target), session.File, size, time.Now()}, ifAbsent)
		if err != nil {
			return nil, err
		}
		s.fence(key) // [O2]; what its writer has added since lies beyond size
		// The sync costs nothing after the flush that the contract asks for.
		return info, errors.Join(file.Sync(), c.Delete([]byte(key)))
	})
}

// ---------------------------------------------------------------- how it is done

func (s *store) look(low, high string, limit int) (found []row, err error) {
	err = s.index.View(func(tx *bbolt.Tx) error {
		found = rows(tx.Bucket(bucket), low, high, limit)
		return nil
	})
	return found, err
}

// change is one transaction, and the files that it leaves without a name.
type change struct {
	*bbolt.Bucket
	store   *store
	unnamed []string
}

// change makes one transaction. Afterwards the files go that it left without a name.
func (s *store) change(body func(c *change) (*pb.Info, error)) (info *pb.Info, err error) {
	c := &change{store: s}
	err = s.index.Update(func(tx *bbolt.Tx) error {
		c.Bucket = tx.Bucket(bucket)
		info, err = body(c)
		return err
	})
	if err == nil {
		s.remove(c.unnamed...)
	}
	return info, err
}

func (c *change) row(key string) row { return rowAt(c.Bucket, key) }

func (s *store) putAt(key string, content []byte, ifAbsent bool) (info *pb.Info, err error) {
	file := rand.Text()
	if err = s.create(file, content); err == nil {
		info, err = s.change(func(c *change) (*pb.Info, error) {
			return c.name(row{key, file, uint64(len(content)), time.Now()}, ifAbsent)
		})
	}
	if err != nil {
		s.remove(file)
	}
	return info, err
}

// deleteAll deletes in transactions that are short.
func (s *store) deleteAll(path string, recursive bool) error {
	key, end := keyOf(path), separator
	if recursive {
		end = after
	}
	for isMore := true; isMore; {
		_, err := s.change(func(c *change) (*pb.Info, error) {
			below := rows(c.Bucket, key, key+after, 1)
			if !recursive && len(below) > 0 && below[0].key != key {
				return nil, refuse(pb.StorageError_PATH_CONFLICT, "there is content below this path, and none at it")
			}
			err := errors.Join(c.drop(key, key+end), c.drop(sessionMark+key, sessionMark+key+end))
			isMore = recursive && len(c.unnamed) > 0
			return nil, err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// name makes a file the content at a key, or a session.
func (c *change) name(named row, ifAbsent bool) (*pb.Info, error) {
	old := c.row(named.key).File
	if old != "" && ifAbsent {
		return nil, refuse(pb.StorageError_ALREADY_EXISTS, "there is content at this path")
	} else if old != "" {
		c.unnamed = append(c.unnamed, old)
	}
	value, err := json.Marshal(named)
	if err != nil {
		return nil, err
	}
	return named.info(), c.Put([]byte(named.key), value)
}

// drop deletes the first rows from low on and before high, and fences their writers.
func (c *change) drop(low, high string) error {
	for _, row := range rows(c.Bucket, low, high, batch) {
		c.store.fence(row.key)
		c.unnamed = append(c.unnamed, row.File)
		if err := c.Delete([]byte(row.key)); err != nil {
			return err
		}
	}
	return nil
}

// committed is the answer to a Commit that has happened before [O3].
func (c *change) committed(target string, size uint64) (*pb.Info, error) {
	row := c.row(keyOf(target))
	if row.File == "" || row.Size != size {
		return nil, refuse(pb.StorageError_NOT_FOUND, "there is no session at this path")
	}
	return row.info(), nil
}

func (s *store) fence(key string) {
	if writer, isThere := s.writers.LoadAndDelete(key); isThere {
		writer.(*session).fence()
	}
}

// openFile gives a file, and its size.
func (s *store) openFile(name string, flags int) (*os.File, uint64, error) {
	file, err := s.root.OpenFile("files/"+name, flags, 0o600)
	if err != nil {
		return nil, 0, err
	}
	there, err := file.Stat()
	if err != nil {
		file.Close()
		return nil, 0, err
	}
	return file, uint64(there.Size()), nil
}

// create makes a file that stays, whatever happens to the machine, once a row names it.
func (s *store) create(name string, content []byte) error {
	file, _, err := s.openFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return err
	}
	return errors.Join(file.Sync(), s.names.Sync())
}

// remove removes files that no row names. What stays is removed by the next start.
func (s *store) remove(names ...string) {
	for _, name := range names {
		s.root.Remove("files/" + name)
	}
}

func (s *store) fillReserve() {
	if file, err := s.root.OpenFile("reserve", os.O_WRONLY|os.O_CREATE, 0o600); err == nil {
		defer file.Close()
		syscall.Fallocate(int(file.Fd()), 0, 0, reserved)
	}
}
