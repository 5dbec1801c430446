package main

// The StorageDriver service: each call checked, handed to the store, and its answer put on the wire (contract, section
// 7). Kept by a vendor.

import (
	"cmp"
	"context"
	"io"
	"maps"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"

	"google.golang.org/grpc"
	"google.golang.org/grpc/status"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

const (
	mib     = 1 << 20
	chunk   = 128 << 10
	pageMax = 1000
	pathMax = 1024
	// The contract asks for an acknowledgement every 4 MiB [W3]; the registry keeps the bytes until it has one.
	acknowledgeEvery = 512 << 10
)

var component = regexp.MustCompile(`^[A-Za-z0-9._-]{1,255}$`)

// isComponent tells whether a text can stand between two slashes of a path [N1].
func isComponent(text string) bool { return component.MatchString(text) && text != "." && text != ".." }

// checkPath checks a path, whatever the caller promised [N2].
func checkPath(path string) error {
	below, isAbsolute := strings.CutPrefix(path, "/")
	isPath := isAbsolute && len(path) <= pathMax
	for component := range strings.SplitSeq(below, "/") {
		isPath = isPath && isComponent(component)
	}
	if !isPath {
		return refuse(pb.StorageError_PATH_INVALID, "this is no path of content")
	}
	return nil
}

// service serves one store. Calls and streams that are at work each have a place, and beyond those they wait [G9].
type service struct {
	pb.UnimplementedStorageDriverServer
	calls, streams chan struct{}

	configuring sync.Mutex
	parameters  map[string]string
	opened      atomic.Pointer[store] // nil before Configure
}

func newService() *service {
	// A call may hold a thread of the process while the disk works, a stream holds a file.
	return &service{calls: make(chan struct{}, 64), streams: make(chan struct{}, 1024)}
}

// unary gives a call of StorageDriver its place, and its error the form of the contract.
func (s *service) unary(
	ctx context.Context, request any, call *grpc.UnaryServerInfo, handle grpc.UnaryHandler,
) (any, error) {
	if call.Server != s { // the handshake and health never wait
		return handle(ctx, request)
	}
	s.calls <- struct{}{}
	defer func() { <-s.calls }()
	if ctx.Err() != nil { // the caller gave up, and the call must have no effect later [G7]
		return nil, status.FromContextError(ctx.Err()).Err()
	}
	reply, err := handle(ctx, request)
	switch named := request.(type) {
	case *pb.MoveRequest:
		return reply, answer(err, named.Source)
	case interface{ GetPath() string }:
		return reply, answer(err, named.GetPath())
	default:
		return reply, answer(err, "")
	}
}

// streaming gives a stream of StorageDriver its place. Streams know their paths, and make their own errors.
func (s *service) streaming(
	server any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler,
) error {
	if server == s {
		s.streams <- struct{}{}
		defer func() { <-s.streams }()
	}
	return handle(server, stream)
}

// at is the beginning of every call: there is a store [K1], and the paths are such.
func (s *service) at(paths ...string) (*store, error) {
	store := s.opened.Load()
	if store == nil {
		return nil, refuse(pb.StorageError_NOT_CONFIGURED, "the driver waits for Configure")
	}
	for _, path := range paths {
		if err := checkPath(path); err != nil {
			return nil, err
		}
	}
	return store, nil
}

// atFolder is at for the calls that take "/" too.
func (s *service) atFolder(path string) (*store, error) {
	if path == "/" {
		return s.at()
	}
	return s.at(path)
}

func (s *service) isUsable() bool {
	store := s.opened.Load()
	return store != nil && store.isUsable()
}

// Configure opens the store. The same again is harmless, another is refused; one that failed has had no effect.
func (s *service) Configure(_ context.Context, request *pb.ConfigureRequest) (*pb.ConfigureResponse, error) {
	s.configuring.Lock()
	defer s.configuring.Unlock()
	if s.opened.Load() == nil {
		opened, err := openWith(request.Parameters)
		if err != nil {
			return nil, err
		}
		s.parameters = request.Parameters
		s.opened.Store(opened)
	} else if !maps.Equal(s.parameters, request.Parameters) {
		return nil, refuse(pb.StorageError_CONFIG_INVALID, "the driver is configured, and with other parameters")
	}
	return &pb.ConfigureResponse{Capabilities: capabilities}, nil
}

func openWith(parameters map[string]string) (*store, error) {
	for name := range parameters {
		if name != "rootdirectory" { // its value may be a secret
			return nil, refuse(pb.StorageError_CONFIG_INVALID, "there is no parameter %.100q", name)
		}
	}
	folder := parameters["rootdirectory"]
	if !strings.HasPrefix(folder, "/") {
		return nil, refuse(pb.StorageError_CONFIG_INVALID, "the parameter rootdirectory is not an absolute path")
	}
	return openStore(folder)
}

func (s *service) Stat(_ context.Context, request *pb.StatRequest) (*pb.StatResponse, error) {
	store, err := s.at(request.Path)
	if err != nil {
		return nil, err
	}
	info, err := store.stat(request.Path)
	return &pb.StatResponse{Info: info}, err
}

func (s *service) Get(_ context.Context, request *pb.GetRequest) (*pb.GetResponse, error) {
	store, err := s.at(request.Path)
	if err != nil {
		return nil, err
	}
	file, info, err := store.open(request.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size > mib {
		return nil, refuse(pb.StorageError_TOO_LARGE, "more than 1 MiB is for Read")
	}
	content, err := readAt(file, 0, info.Size)
	return &pb.GetResponse{Info: info, Content: content}, err
}

// readAt reads what a content is known to have there.
func readAt(file *os.File, offset, length uint64) ([]byte, error) {
	data := make([]byte, length) // a new one each time: gRPC may still hold the last
	_, err := file.ReadAt(data, int64(offset))
	if err == io.EOF {
		err = refuse(pb.StorageError_CORRUPT, "the content is shorter than its size") // [R5]
	}
	return data, err
}

func (s *service) Put(_ context.Context, request *pb.PutRequest) (*pb.PutResponse, error) {
	store, err := s.at(request.Path)
	if err != nil {
		return nil, err
	}
	if len(request.Content) > mib {
		return nil, refuse(pb.StorageError_TOO_LARGE, "more than 1 MiB is for a write session")
	}
	info, err := store.put(request.Path, request.Content, request.IfAbsent)
	return &pb.PutResponse{Info: info}, err
}

func (s *service) Read(request *pb.ReadRequest, stream grpc.ServerStreamingServer[pb.ReadResponse]) error {
	return answer(s.read(request, stream), request.Path)
}

func (s *service) read(request *pb.ReadRequest, stream grpc.ServerStreamingServer[pb.ReadResponse]) error {
	store, err := s.at(request.Path)
	if err != nil {
		return err
	}
	file, info, err := store.open(request.Path)
	if err != nil {
		return err
	}
	defer file.Close()
	if request.IfVersion != "" && request.IfVersion != info.Version {
		return refuse(pb.StorageError_VERSION_MISMATCH, "the content is of another version")
	}
	if request.Offset > info.Size {
		return refuseOffset(info.Size)
	}
	left := info.Size - request.Offset
	if request.Length != nil {
		left = min(left, *request.Length)
	}
	return send(file, info, request.Offset, request.Offset+left, stream)
}

// send waits for a slow reader with every message, so that no more than a few are held for it.
func send(file *os.File, info *pb.Info, offset, end uint64, stream grpc.ServerStreamingServer[pb.ReadResponse]) error {
	message := &pb.ReadResponse{Info: info} // in the first message, and only there [R1]
	for message.Info != nil || offset < end {
		data, err := readAt(file, offset, min(chunk, end-offset))
		if err != nil {
			return err
		}
		message.Data = data
		if err := stream.Send(message); err != nil {
			return err
		}
		message = &pb.ReadResponse{}
		offset += uint64(len(data))
	}
	return nil
}

func (s *service) List(_ context.Context, request *pb.ListRequest) (*pb.ListResponse, error) {
	store, err := s.atFolder(request.Path)
	if err != nil {
		return nil, err
	}
	if request.StartAfter != "" && !isComponent(request.StartAfter) {
		return nil, refuse(pb.StorageError_PATH_INVALID, "start_after is not the name of a path component")
	}
	limit := min(int(request.Limit), pageMax)
	if limit == 0 {
		limit = pageMax
	}
	entries, more, err := store.list(request.Path, request.StartAfter, limit)
	return &pb.ListResponse{Entries: entries, More: more}, err
}

func (s *service) Walk(request *pb.WalkRequest, stream grpc.ServerStreamingServer[pb.WalkResponse]) error {
	return answer(s.walk(request, stream), request.Path)
}

func (s *service) walk(request *pb.WalkRequest, stream grpc.ServerStreamingServer[pb.WalkResponse]) error {
	store, err := s.atFolder(request.Path)
	if err == nil && request.StartAfter != "" {
		err = checkPath(request.StartAfter)
	}
	if err != nil {
		return err
	}
	return store.walk(request.Path, request.StartAfter, func(page []*pb.WalkResponse_Entry) error {
		return stream.Send(&pb.WalkResponse{Entries: page})
	})
}

func (s *service) Move(_ context.Context, request *pb.MoveRequest) (*pb.MoveResponse, error) {
	store, err := s.at(request.Source, request.Target)
	if err != nil {
		return nil, err
	}
	info, err := store.move(request.Source, request.Target)
	return &pb.MoveResponse{Info: info}, err
}

func (s *service) Delete(_ context.Context, request *pb.DeleteRequest) (*pb.DeleteResponse, error) {
	store, err := s.at(request.Path)
	if err != nil {
		return nil, err
	}
	return &pb.DeleteResponse{}, store.delete(request.Path, request.Recursive)
}

func (s *service) RedirectUrl(_ context.Context, request *pb.RedirectUrlRequest) (*pb.RedirectUrlResponse, error) {
	store, err := s.at(request.Path)
	if err != nil {
		return nil, err
	}
	url, err := store.redirectURL(request.Path)
	return &pb.RedirectUrlResponse{Url: url}, err
}

func (s *service) Commit(_ context.Context, request *pb.CommitRequest) (*pb.CommitResponse, error) {
	store, err := s.at(request.Path, request.Target)
	if err != nil {
		return nil, err
	}
	info, err := store.commit(request.Path, request.Target, request.Size, request.IfAbsent)
	return &pb.CommitResponse{Info: info}, err
}

type writeStream = grpc.BidiStreamingServer[pb.WriteRequest, pb.WriteResponse]

func (s *service) Write(stream writeStream) error {
	if err := stream.SendHeader(nil); err != nil { // some callers wait for it before they send the first message
		return err
	}
	first, err := stream.Recv()
	if err == io.EOF {
		return nil
	} else if err != nil {
		return err
	}
	open := first.GetOpen()
	if open == nil {
		return answer(refuse(pb.StorageError_REQUEST_INVALID, "the first message of a write stream is open"), "")
	}
	return answer(s.write(open, stream), open.Path)
}

func (s *service) write(open *pb.WriteRequest_Open, stream writeStream) error {
	store, err := s.at(open.Path, cmp.Or(open.Target, open.Path)) // the target is a hint, of no use here [W6]
	if err != nil {
		return err
	}
	session, err := store.openSession(open.Path, open.Offset)
	if err != nil {
		return err
	}
	defer store.close(session)
	if err := stream.Send(&pb.WriteResponse{Persisted: open.Offset}); err != nil {
		return err
	}
	replies, end := make(chan *pb.WriteResponse), make(chan error, 1)
	go func() { end <- receive(stream, store, session, replies) }()
	for {
		select {
		case <-session.fenced: // also while no message comes [W2]
			return session.check()
		case err := <-end:
			return err
		case reply := <-replies:
			if err := stream.Send(reply); err != nil {
				return err
			}
		}
	}
}

// receive takes one message at a time: what is not taken stays in the caller's window, which makes it wait [W7].
func receive(stream writeStream, store *store, session *session, replies chan<- *pb.WriteResponse) error {
	for silent := 0; ; {
		message, err := stream.Recv()
		if err == io.EOF { // which means nothing [G10]
			return nil
		} else if err != nil {
			return err
		}
		isFlush, err := handle(message, store, session)
		if err != nil {
			return err
		}
		if silent += len(message.GetData()); !isFlush && silent < acknowledgeEvery {
			continue
		}
		silent = 0
		select {
		case replies <- &pb.WriteResponse{Persisted: session.size, Flushed: isFlush}:
		case <-stream.Context().Done():
			return nil
		}
	}
}

func handle(message *pb.WriteRequest, store *store, session *session) (isFlush bool, err error) {
	switch kind := message.Kind.(type) {
	case *pb.WriteRequest_Open_:
		return false, refuse(pb.StorageError_REQUEST_INVALID, "a write stream is opened once")
	case *pb.WriteRequest_Data:
		if len(kind.Data) > mib {
			return false, refuse(pb.StorageError_REQUEST_INVALID, "a message carries at most 1 MiB")
		}
		return false, session.append(kind.Data)
	case *pb.WriteRequest_Flush_:
		return true, store.flush(session)
	default: // of a newer contract, and passed over [C2]
		return false, nil
	}
}
