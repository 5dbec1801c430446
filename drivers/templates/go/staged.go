package main

// The content of write sessions, where no path names it. Part of what a vendor replaces.
// The session at /a/b is the file a/b/~ below stagedFolder: no other session can be in its way, it outlives the process
// [W5], and its size is all that must be remembered of it. Who may write to it is decided in sessions.go.

import (
	"os"
	"path"
	"syscall"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

type staged struct {
	store *store
	name  string
	file  *os.File
	size  uint64 // in the page cache at least, which outlives the process: "persisted" between flushes [W3]
}

func stagedName(name string) string { return stagedFolder + "/" + name + "/~" }

// stage opens the session at a name; offset 0 makes it [W1].
func (s *store) stage(name string, offset uint64) (*staged, error) {
	session := &staged{store: s, name: stagedName(name), size: offset}
	var err error
	if offset == 0 {
		session.file, err = s.create(session.name)
		return session, err
	}
	session.file, err = s.root.OpenFile(session.name, os.O_RDWR, 0)
	if absent(err) {
		return nil, s.missing()
	} else if err != nil {
		return nil, err
	}
	if err := session.cut(offset); err != nil {
		session.close()
		return nil, err
	}
	return session, nil
}

// create makes a new file each time: an older writer of the same session keeps its own, which nobody will see.
func (s *store) create(name string) (*os.File, error) {
	s.names.Lock()
	defer s.names.Unlock()
	if err := s.root.MkdirAll(path.Dir(name), 0o755); err != nil {
		return nil, err
	}
	if err := s.root.Remove(name); err != nil && !absent(err) {
		return nil, err
	}
	return s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o644)
}

func (d *staged) cut(offset uint64) error {
	there, err := d.file.Stat()
	if err != nil {
		return err
	}
	if offset > uint64(there.Size()) {
		return refuseOffset(uint64(there.Size()))
	}
	return d.file.Truncate(int64(offset))
}

// append adds data; what did fit of it stays when the disk is full.
func (d *staged) append(data []byte) error {
	written, err := d.file.WriteAt(data, int64(d.size))
	d.size += uint64(written)
	return err
}

// flush puts the content and the session's name on the disk. A session that was deleted meanwhile has no name to put [D2].
func (d *staged) flush() error {
	if err := d.file.Sync(); err != nil {
		d.store.root.Remove(d.name) // the kernel may have dropped what it could not write: nothing is built on the rest
		return err
	}
	there, err := d.file.Stat()
	if err != nil {
		return err
	}
	if system, is := there.Sys().(*syscall.Stat_t); is && system.Nlink == 0 {
		return d.store.missing()
	}
	return d.store.persist(d.name)
}

func (d *staged) close() { d.file.Close() }

// commit publishes a session. What a crash leaves is the session, or its content at the target: repeating it does the rest [O3].
func (s *store) commit(name, target string, size uint64, ifAbsent bool) (*pb.Info, error) {
	session, err := s.root.Open(stagedName(name))
	if absent(err) {
		return s.committed(target, size)
	} else if err != nil {
		return nil, err
	}
	defer session.Close()
	there, err := session.Stat()
	if err != nil {
		return nil, err
	}
	if size != uint64(there.Size()) {
		return nil, refuseOffset(uint64(there.Size()))
	}
	if err := s.seal(session, stagedName(name)); err != nil {
		return nil, err
	}
	info, err := s.publish(stagedName(name), target, ifAbsent)
	if err == nil {
		err = s.persist(target)
	}
	return info, err
}

// committed answers for a session that is gone.
func (s *store) committed(target string, size uint64) (*pb.Info, error) {
	info, err := s.stat(target)
	if err != nil {
		return nil, err
	}
	if info.IsPrefix || info.Size != size {
		return nil, s.missing()
	}
	return info, s.persist(target)
}
