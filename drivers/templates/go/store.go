package main

// The store: a folder on disk, in which the path /a/b is the file a/b. A vendor replaces this file, content.go and
// staged.go; the methods that service.go and sessions.go call are what the rest needs of a store.
//
// Content is written aside, synced and renamed into place, so that a crash at any instant leaves old or new [G2].
// The driver's own files lie in a folder whose name no path can have [N6].

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

const (
	private      = "~driver"
	stagedFolder = private + "/staged" // the content of write sessions: that of /a/b is a/b/~ in here
	lockFile     = private + "/lock"
)

var capabilities = &pb.Capabilities{
	Durability:  pb.Capabilities_POWER,
	Granularity: 1,
	IfAbsent:    true, // one process has the store [K4], and it changes names one at a time
}

type store struct {
	folder string
	root   *os.Root // follows no link out of the folder [N4]
	lock   *os.File
	aside  string // a folder for what is at no path yet, or no longer
	serial atomic.Uint64
	time   atomic.Int64

	names  sync.RWMutex    // held to change names, and shared to look at more than one of them
	synced map[string]bool // folders whose own name is known to be on the disk
	epoch  int             // counts the removals of folders, which make synced forget
}

func openStore(parameters map[string]string) (*store, error) {
	for name := range parameters {
		if name != "rootdirectory" {
			return nil, refuse(pb.StorageError_CONFIG_INVALID, "there is no parameter %.100q; there is rootdirectory", name)
		}
	}
	root, err := openFolder(parameters["rootdirectory"])
	if err != nil {
		var errno syscall.Errno
		errors.As(err, &errno)
		return nil, refuse(pb.StorageError_CONFIG_INVALID, "rootdirectory must name a folder, or a new one in a folder: %v", errno)
	}
	s := &store{folder: parameters["rootdirectory"], root: root, synced: map[string]bool{}}
	if err = s.claim(); err != nil {
		root.Close()
		return nil, err
	}
	return s, nil
}

// openFolder makes no parents, so that it can see to it that the folder's name is on the disk.
func openFolder(folder string) (*os.Root, error) {
	err := os.Mkdir(folder, 0o700)
	if err == nil {
		var parent *os.File
		if parent, err = os.Open(filepath.Dir(folder)); err == nil {
			defer parent.Close()
			err = parent.Sync()
		}
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	return os.OpenRoot(folder)
}

// claim takes the store for this process alone [K4]. The kernel gives the lock back however the process ends.
func (s *store) claim() (err error) {
	if err = s.root.MkdirAll(stagedFolder, 0o755); err != nil {
		return err
	}
	if s.lock, err = s.root.OpenFile(lockFile, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err = syscall.Flock(int(s.lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		s.lock.Close()
		return refuse(pb.StorageError_UNAVAILABLE, "another process has the store open")
	}
	left, err := fs.Glob(s.root.FS(), private+"/aside-*")
	if err != nil {
		return err
	}
	go func() { // what dead processes left
		for _, name := range left {
			s.root.RemoveAll(name)
		}
	}()
	s.aside = private + "/aside-" + rand.Text()
	return s.root.Mkdir(s.aside, 0o700)
}

// alive returns nil when the back end answers [P2].
func (s *store) alive() error {
	if _, err := s.root.Lstat(lockFile); err != nil {
		return err
	}
	there, err := os.Stat(s.folder)
	if err != nil {
		return err
	}
	here, err := s.root.Stat(".")
	if err == nil && !os.SameFile(here, there) {
		err = refuse(pb.StorageError_UNAVAILABLE, "the folder of the store was replaced")
	}
	return err
}

// missing is the error for a path without content: a store that has gone says nothing about its content [E2].
func (s *store) missing() error {
	if err := s.alive(); err != nil {
		return err
	}
	return refuse(pb.StorageError_NOT_FOUND, "nothing is stored at this path")
}

func (s *store) asideName() string {
	return s.aside + "/" + strconv.FormatUint(s.serial.Add(1), 10)
}

// now is the time, and another time at each call: it becomes the file's, and a part of its version.
func (s *store) now() time.Time {
	for {
		last, now := s.time.Load(), time.Now().UnixNano()
		now = max(now, last+1)
		if s.time.CompareAndSwap(last, now) {
			return time.Unix(0, now)
		}
	}
}

// seal puts a file's content and time on the disk, before a path names it.
func (s *store) seal(file *os.File, name string) error {
	now := s.now()
	if err := s.root.Chtimes(name, now, now); err != nil {
		return err
	}
	return file.Sync()
}

// publish renames a file into place, and tells what it then is. OK of the caller needs persist after it.
func (s *store) publish(from, to string, ifAbsent bool) (*pb.Info, error) {
	s.names.Lock()
	defer s.names.Unlock()
	source, err := s.root.Lstat(from)
	if absent(err) || err == nil && !source.Mode().IsRegular() {
		return nil, s.missing()
	}
	if err == nil && from != to {
		err = s.replace(from, to, ifAbsent)
	}
	if err != nil {
		return nil, err
	}
	return contentInfo(source), nil
}

func (s *store) replace(from, to string, ifAbsent bool) error {
	target, err := s.root.Lstat(to)
	switch {
	case err != nil && !absent(err):
		return err
	case err == nil && target.IsDir():
		if err := s.clear(to, ifAbsent); err != nil {
			return err
		}
	case err == nil && ifAbsent:
		return refuse(pb.StorageError_ALREADY_EXISTS, "there is content at this path")
	}
	if err := s.root.MkdirAll(path.Dir(to), 0o755); err != nil {
		return err
	}
	if err := s.root.Rename(from, to); err != nil {
		return err
	}
	s.prune(path.Dir(from))
	return nil
}

// clear makes room for content where there is a folder, unless that is a prefix [G6].
func (s *store) clear(folder string, ifAbsent bool) error {
	holds, err := s.holds(folder)
	switch {
	case err != nil:
		return err
	case holds && ifAbsent:
		return refuse(pb.StorageError_ALREADY_EXISTS, "there is content below this path")
	case holds:
		return refuse(pb.StorageError_PATH_CONFLICT, "there is content below this path")
	}
	aside, err := s.putAside(folder)
	if err != nil {
		return err
	}
	return s.root.RemoveAll(aside)
}

// putAside takes a file or folder out of sight in one step. The caller removes what is returned, without holding names.
func (s *store) putAside(name string) (string, error) {
	aside := s.asideName()
	if err := s.root.Rename(name, aside); absent(err) {
		return aside, nil
	} else if err != nil {
		return "", err
	}
	s.forget()
	s.prune(path.Dir(name))
	return aside, nil
}

// prune removes the folders that became empty, from folder upwards.
func (s *store) prune(folder string) {
	for folder != "." && path.Dir(folder) != private && s.root.Remove(folder) == nil {
		s.forget()
		folder = path.Dir(folder)
	}
}

func (s *store) forget() {
	s.epoch++
	clear(s.synced)
}

// persist returns when name, or its absence, is on the disk together with the folders above it. Callers that sync at the same
// time share one commit of the file system's journal, so nothing is grouped here.
func (s *store) persist(name string) error {
	s.names.RLock()
	epoch := s.epoch
	s.names.RUnlock()
	var folders []string
	for folder := path.Dir(name); ; folder = path.Dir(folder) {
		err := s.syncFolder(folder)
		if err != nil && !absent(err) {
			return err
		}
		if folder == "." || s.isSynced(folder) {
			break
		}
		if err == nil {
			folders = append(folders, folder)
		}
	}
	s.remember(folders, epoch)
	return nil
}

func (s *store) syncFolder(name string) error {
	folder, err := s.root.OpenFile(name, os.O_RDONLY|syscall.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer folder.Close()
	return folder.Sync()
}

func (s *store) isSynced(folder string) bool {
	s.names.RLock()
	defer s.names.RUnlock()
	return s.synced[folder]
}

func (s *store) remember(folders []string, epoch int) {
	s.names.Lock()
	defer s.names.Unlock()
	if s.epoch != epoch {
		return // one of them may have been removed and made again meanwhile
	}
	if len(s.synced) > 10_000 {
		clear(s.synced)
	}
	for _, folder := range folders {
		s.synced[folder] = true
	}
}
