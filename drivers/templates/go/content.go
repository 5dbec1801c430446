package main

// Content at paths: looked at, read, put, moved, deleted and listed. Part of what a vendor replaces.
// A name is a path without its first slash, or "." for the root.

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"

	"google.golang.org/protobuf/types/known/timestamppb"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

// namesHeld is how many names of one folder a listing holds at once; for the next ones it reads the folder again [A2].
const namesHeld = 10_000

// contentInfo describes a file. Times never repeat, and inodes keep versions apart should the clock be set back.
func contentInfo(file fs.FileInfo) *pb.Info {
	info := &pb.Info{Size: uint64(file.Size()), Modified: timestamppb.New(file.ModTime())}
	if system, is := file.Sys().(*syscall.Stat_t); is {
		info.Version = fmt.Sprintf("%x-%x-%x", file.ModTime().UnixNano(), system.Ino, file.Size())
	}
	return info
}

// look tells what is at a name; nil when that is nothing, an empty folder, a link or a device [G6][N4].
func (s *store) look(name string) (*pb.Info, error) {
	file, err := s.root.Lstat(name)
	switch {
	case absent(err):
		return nil, nil
	case err != nil:
		return nil, err
	case file.Mode().IsRegular():
		return contentInfo(file), nil
	case !file.IsDir():
		return nil, nil
	}
	s.names.RLock() // else what is moved about in the folder could be missed
	defer s.names.RUnlock()
	holds, err := s.holds(name)
	if err != nil || !holds {
		return nil, err
	}
	return &pb.Info{IsPrefix: true}, nil
}

// stat is look for a caller who needs something to be there.
func (s *store) stat(name string) (*pb.Info, error) {
	info, err := s.look(name)
	if err == nil && info == nil {
		err = s.missing()
	}
	return info, err
}

// open gives content that stays what it is while it is read, whatever happens to its name [G4].
func (s *store) open(name string) (*os.File, *pb.Info, error) {
	info, err := s.look(name)
	if err != nil {
		return nil, nil, err
	}
	if info == nil || info.IsPrefix {
		return nil, nil, s.missing()
	}
	file, err := s.root.Open(name)
	if absent(err) {
		return nil, nil, s.missing()
	} else if err != nil {
		return nil, nil, err
	}
	there, err := file.Stat()
	if err == nil && !there.Mode().IsRegular() {
		err = s.missing()
	}
	if err != nil {
		file.Close()
		return nil, nil, err
	}
	return file, contentInfo(there), nil
}

// readAt fills data: the size of content was told before, so less is damage [R5].
func readAt(file *os.File, data []byte, offset int64) error {
	_, err := file.ReadAt(data, offset)
	if errors.Is(err, io.EOF) || errors.Is(err, syscall.EIO) {
		return refuse(pb.StorageError_CORRUPT, "the content cannot be read to its end")
	}
	return err
}

func (s *store) put(name string, content []byte, ifAbsent bool) (*pb.Info, error) {
	aside := s.asideName()
	info, err := s.putThrough(aside, name, content, ifAbsent)
	if err != nil {
		s.root.Remove(aside)
		return nil, err
	}
	return info, s.persist(name)
}

func (s *store) putThrough(aside, name string, content []byte, ifAbsent bool) (*pb.Info, error) {
	file, err := s.root.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := file.Write(content); err != nil {
		return nil, err
	}
	if err := s.seal(file, aside); err != nil {
		return nil, err
	}
	return s.publish(aside, name, ifAbsent)
}

// move syncs the new name before the absence of the old one, so that a crash leaves at least one of them [M1].
func (s *store) move(from, to string) (*pb.Info, error) {
	info, err := s.publish(from, to, false)
	if err == nil {
		err = s.persist(to)
	}
	if err == nil {
		err = s.persist(from)
	}
	return info, err
}

// delete takes everything out of sight in one step, then removes it; also the write sessions there [D2].
func (s *store) delete(name string, recursive bool) error {
	session := stagedName(name)
	if recursive {
		session = path.Dir(session)
	}
	content, staged, err := s.unname(name, session, recursive)
	for _, persisted := range []string{name, session} { // also if nothing was there: a delete before may have died here
		if err == nil {
			err = s.persist(persisted)
		}
	}
	for _, aside := range []string{content, staged} {
		if err == nil && aside != "" {
			err = s.root.RemoveAll(aside)
		}
	}
	return err
}

func (s *store) unname(name, session string, recursive bool) (content, staged string, err error) {
	s.names.Lock()
	defer s.names.Unlock()
	there, err := s.root.Lstat(name)
	if err == nil && there.IsDir() && !recursive {
		err = s.clear(name, false) // refuses a prefix
	} else if err == nil {
		content, err = s.putAside(name)
	}
	if err == nil || absent(err) {
		staged, err = s.putAside(session)
	}
	return content, staged, err
}

// holds tells whether there is content below a folder. The caller holds names.
func (s *store) holds(name string) (bool, error) {
	for entry, err := range s.entries(name) {
		if err != nil {
			return false, err
		}
		holds := entry.Type().IsRegular()
		if entry.IsDir() {
			holds, err = s.holds(path.Join(name, entry.Name()))
		}
		if holds || err != nil {
			return holds, err
		}
	}
	return false, nil
}

// entries are the files and folders in a folder whose names can stand in a path, in any order.
func (s *store) entries(name string) iter.Seq2[fs.DirEntry, error] {
	return func(yield func(fs.DirEntry, error) bool) {
		folder, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
		if err != nil {
			if !absent(err) {
				yield(nil, err)
			}
			return
		}
		defer folder.Close()
		for {
			batch, err := folder.ReadDir(512)
			for _, entry := range batch {
				shows := isComponent(entry.Name()) && (entry.IsDir() || entry.Type().IsRegular())
				if shows && !yield(entry, nil) {
					return
				}
			}
			if err == io.EOF {
				return
			} else if err != nil {
				yield(nil, err)
				return
			}
		}
	}
}

// page returns the first names of a folder after a name, in order. While it reads, no name changes: file systems differ in
// what they show of a folder that changes meanwhile, and the contract does not [I2].
func (s *store) page(folder, after string) ([]fs.DirEntry, error) {
	s.names.RLock()
	defer s.names.RUnlock()
	var page []fs.DirEntry
	shorten := func() {
		slices.SortFunc(page, func(a, b fs.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
		page = page[:min(len(page), namesHeld)]
	}
	for entry, err := range s.entries(folder) {
		if err != nil {
			return nil, err
		}
		if entry.Name() > after {
			page = append(page, entry)
		}
		if len(page) == 2*namesHeld {
			shorten()
		}
	}
	shorten()
	return page, nil
}

// children are the names in a folder after a name, in order.
func (s *store) children(folder, after string) iter.Seq2[fs.DirEntry, error] {
	return func(yield func(fs.DirEntry, error) bool) {
		for {
			page, err := s.page(folder, after)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, entry := range page {
				if !yield(entry, nil) {
					return
				}
				after = entry.Name()
			}
			if len(page) < namesHeld {
				return
			}
		}
	}
}

// list calls visit with each name after a name, in order, until it returns false.
func (s *store) list(folder, after string, visit func(name string, info *pb.Info) bool) error {
	for entry, err := range s.children(folder, after) {
		if err != nil {
			return err
		}
		info, err := s.look(path.Join(folder, entry.Name()))
		if err != nil {
			return err
		}
		if info != nil && !visit(entry.Name(), info) {
			break
		}
	}
	return nil
}

// walk calls visit with all content below a folder that comes after a relative name, depth first and in order [A1].
func (s *store) walk(folder, after string, visit func(name string, info *pb.Info) error) error {
	first, rest, _ := strings.Cut(after, "/")
	below := path.Join(folder, first)
	if there, err := s.root.Lstat(below); first != "" && err == nil && there.IsDir() { // what lies below comes after it
		if err := s.walk(below, rest, visit); err != nil {
			return err
		}
	}
	for entry, err := range s.children(folder, first) {
		if err != nil {
			return err
		}
		name := path.Join(folder, entry.Name())
		if entry.IsDir() {
			err = s.walk(name, "", visit)
		} else if file, problem := s.root.Lstat(name); problem == nil && file.Mode().IsRegular() {
			err = visit(name, contentInfo(file))
		} else if problem != nil && !absent(problem) {
			err = problem
		}
		if err != nil {
			return err
		}
	}
	return nil
}
