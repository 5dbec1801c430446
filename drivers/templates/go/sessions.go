package main

// Write sessions: one stream at a time may add to a session, and the newest wins [W2]. Kept by a vendor.
//
// For one staging path everything happens in turn: an open, an append, a flush, a commit. Whoever has the turn looks first
// whether the session is still its own. A store that is shared between processes must fence in the store itself.

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"

	"google.golang.org/grpc"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

const acknowledgeEvery = 1 << 20 // the contract asks for 4 MiB [W3]

type sessions struct {
	sync.Mutex
	slots map[string]*slot
}

// slot is one staging path while somebody is at it.
type slot struct {
	sync.Mutex         // the turn
	writer     *writer // the newest stream
	users      int     // guarded by the lock of sessions
}

// writer is one stream's hold on a session.
type writer struct {
	staged *staged
	fenced chan struct{} // closed when the session is no longer this stream's
}

func (s *sessions) enter(name string) *slot {
	s.Lock()
	defer s.Unlock()
	if s.slots[name] == nil {
		s.slots[name] = &slot{}
	}
	s.slots[name].users++
	return s.slots[name]
}

func (s *sessions) leave(name string, slot *slot) {
	s.Lock()
	defer s.Unlock()
	if slot.users--; slot.users == 0 {
		delete(s.slots, name)
	}
}

// fence ends the streams at a staging path and, if it is recursive, below it.
func (s *sessions) fence(name string, recursive bool) {
	s.Lock()
	var names []string
	for at := range s.slots {
		if at == name || recursive && strings.HasPrefix(at, name+"/") {
			names = append(names, at)
		}
	}
	s.Unlock()
	for _, at := range names {
		slot := s.enter(at)
		slot.Lock()
		slot.pass(nil)
		slot.Unlock()
		s.leave(at, slot)
	}
}

// pass gives the session to another writer, or to none. The caller has the turn.
func (s *slot) pass(to *writer) {
	if s.writer != nil {
		close(s.writer.fenced)
	}
	s.writer = to
}

// open fences the older writers once it succeeded: from then on none of them gets a turn.
func (s *slot) open(stage func() (*staged, error)) (*writer, error) {
	s.Lock()
	defer s.Unlock()
	staged, err := stage()
	if err != nil {
		return nil, err
	}
	next := &writer{staged: staged, fenced: make(chan struct{})}
	s.pass(next)
	return next, nil
}

// use does something with the session while it is this writer's.
func (s *slot) use(own *writer, action func(*staged) error) error {
	s.Lock()
	defer s.Unlock()
	if s.writer != own {
		return fenced()
	}
	return action(own.staged)
}

// close ends a stream, which means nothing to the session [G10].
func (s *slot) close(own *writer) {
	s.Lock()
	defer s.Unlock()
	if s.writer == own {
		s.writer = nil
	}
	own.staged.close()
}

func fenced() error {
	return refuse(pb.StorageError_FENCED, "the session was opened anew, committed or deleted by somebody else")
}

type writeStream = grpc.BidiStreamingServer[pb.WriteRequest, pb.WriteResponse]

func (d *driver) Write(stream writeStream) error {
	if _, err := d.ready(); err != nil {
		return answer(err, "")
	}
	if err := stream.SendHeader(nil); err != nil { // many callers wait for it before they send the first message
		return err
	}
	first, err := stream.Recv()
	if err != nil {
		return answer(ending(stream.Context(), err), "")
	}
	open := first.GetOpen()
	if open == nil {
		return answer(refuse(pb.StorageError_REQUEST_INVALID, "the first message of a write stream is open"), "")
	}
	return answer(d.write(open, stream), open.Path)
}

func (d *driver) write(open *pb.WriteRequest_Open, stream writeStream) error {
	store, name, err := d.at(contentName(open.Path))
	if err == nil && open.Target != "" { // a hint, which this store has no use for [W6]
		_, err = contentName(open.Target)
	}
	if err != nil {
		return err
	}
	slot := d.sessions.enter(name)
	defer d.sessions.leave(name, slot)
	own, err := slot.open(func() (*staged, error) { return store.stage(name, open.Offset) })
	if err != nil {
		return err
	}
	defer slot.close(own)
	if err := stream.Send(&pb.WriteResponse{Persisted: open.Offset}); err != nil {
		return err
	}
	return serve(stream, slot, own)
}

// serve handles a stream's messages until it ends or is fenced, also while no message comes.
func serve(stream writeStream, slot *slot, own *writer) error {
	messages, end := receive(stream)
	silent := 0
	for {
		select {
		case <-own.fenced:
			return fenced()
		case err := <-end:
			return ending(stream.Context(), err)
		case message := <-messages:
			reply, err := handle(message, slot, own)
			if err != nil {
				return err
			}
			silent += len(message.GetData())
			if !reply.Flushed && silent < acknowledgeEvery {
				continue
			}
			silent = 0
			if err := stream.Send(reply); err != nil {
				return err
			}
		}
	}
}

// receive passes messages on one by one: what is not taken stays in the caller's window, which makes it wait [W7].
func receive(stream writeStream) (<-chan *pb.WriteRequest, <-chan error) {
	messages, end := make(chan *pb.WriteRequest), make(chan error, 1)
	go func() {
		for {
			message, err := stream.Recv()
			if err != nil {
				end <- err
				return
			}
			select {
			case messages <- message:
			case <-stream.Context().Done():
				return
			}
		}
	}()
	return messages, end
}

func handle(message *pb.WriteRequest, slot *slot, own *writer) (*pb.WriteResponse, error) {
	reply := &pb.WriteResponse{}
	return reply, slot.use(own, func(session *staged) (err error) {
		switch kind := message.Kind.(type) {
		case *pb.WriteRequest_Open_:
			err = refuse(pb.StorageError_REQUEST_INVALID, "a write stream is opened once")
		case *pb.WriteRequest_Data:
			if len(kind.Data) > chunkMax {
				return refuse(pb.StorageError_REQUEST_INVALID, "a message carries at most %d bytes", chunkMax)
			}
			err = session.append(kind.Data)
		case *pb.WriteRequest_Flush_:
			reply.Flushed = true
			err = session.flush()
		} // anything else is of a newer contract and passed over [C2]
		reply.Persisted = session.size
		return err
	})
}

// ending tells a stream that its caller ended, or that broke, from one that carries what is no message.
func ending(ctx context.Context, err error) error {
	if errors.Is(err, io.EOF) || ctx.Err() != nil {
		return nil
	}
	return refuse(pb.StorageError_REQUEST_INVALID, "the write stream carries what is no message, or too large a one")
}

func (d *driver) Commit(_ context.Context, request *pb.CommitRequest) (*pb.CommitResponse, error) {
	store, name, err := d.at(contentName(request.Path))
	if err != nil {
		return nil, err
	}
	target, err := contentName(request.Target)
	if err != nil {
		return nil, err
	}
	slot := d.sessions.enter(name)
	defer d.sessions.leave(name, slot)
	slot.Lock()
	defer slot.Unlock()
	info, err := store.commit(name, target, request.Size, request.IfAbsent)
	if err == nil {
		slot.pass(nil) // fences the open stream [O2]
	}
	return &pb.CommitResponse{Info: info}, err
}
