package main

// The calls of StorageDriver on content: what the contract asks of every driver, whatever its store is. Kept by a vendor.
// Write and Commit are in sessions.go; Configure is in life.go.

import (
	"context"
	"strings"
	"time"

	"google.golang.org/grpc"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

const (
	inlineMax = 1 << 20   // content of Put and Get
	chunkMax  = 1 << 20   // data of one message that comes
	chunk     = 128 << 10 // data of one message that goes
	pageMax   = 1000
)

// isComponent tells whether a text can stand between two slashes of a path [N1].
func isComponent(text string) bool {
	foreign := func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '.' && r != '_' && r != '-'
	}
	return text != "" && text != "." && text != ".." && len(text) <= 255 && strings.IndexFunc(text, foreign) < 0
}

// contentName checks a path, whatever the caller promised [N2], and gives it without its first slash.
func contentName(text string) (string, error) {
	name, absolute := strings.CutPrefix(text, "/")
	valid := absolute && len(text) <= pathMax
	for component := range strings.SplitSeq(name, "/") {
		valid = valid && isComponent(component)
	}
	if !valid {
		return "", &refusal{reason: pb.StorageError_PATH_INVALID, message: "this is no path of content", path: text}
	}
	return name, nil
}

// folderName is contentName for the calls that take "/" too.
func folderName(text string) (string, error) {
	if text == "/" {
		return ".", nil
	}
	return contentName(text)
}

func (d *driver) Stat(_ context.Context, request *pb.StatRequest) (*pb.StatResponse, error) {
	store, name, err := d.at(contentName(request.Path))
	if err != nil {
		return nil, err
	}
	info, err := store.stat(name)
	return &pb.StatResponse{Info: info}, err
}

func (d *driver) Get(_ context.Context, request *pb.GetRequest) (*pb.GetResponse, error) {
	store, name, err := d.at(contentName(request.Path))
	if err != nil {
		return nil, err
	}
	file, info, err := store.open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if info.Size > inlineMax {
		return nil, refuse(pb.StorageError_TOO_LARGE, "%d bytes are too many for Get: use Read", info.Size)
	}
	content := make([]byte, info.Size)
	return &pb.GetResponse{Info: info, Content: content}, readAt(file, content, 0)
}

func (d *driver) Put(_ context.Context, request *pb.PutRequest) (*pb.PutResponse, error) {
	store, name, err := d.at(contentName(request.Path))
	if err != nil {
		return nil, err
	}
	if len(request.Content) > inlineMax {
		return nil, refuse(pb.StorageError_TOO_LARGE, "%d bytes are too many for Put: use Write", len(request.Content))
	}
	info, err := store.put(name, request.Content, request.IfAbsent)
	return &pb.PutResponse{Info: info}, err
}

func (d *driver) Read(request *pb.ReadRequest, stream grpc.ServerStreamingServer[pb.ReadResponse]) error {
	return answer(d.read(request, stream), request.Path)
}

func (d *driver) read(request *pb.ReadRequest, stream grpc.ServerStreamingServer[pb.ReadResponse]) error {
	store, name, err := d.at(contentName(request.Path))
	if err != nil {
		return err
	}
	file, info, err := store.open(name)
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
	offset, message := int64(request.Offset), &pb.ReadResponse{Info: info}
	for left > 0 || message.Info != nil { // Send waits for a slow reader: no more than a message or two is held for it
		message.Data = make([]byte, min(left, chunk)) // a new one: gRPC may still hold the last
		if err := readAt(file, message.Data, offset); err != nil {
			return err
		}
		if err := stream.Send(message); err != nil {
			return err
		}
		offset, left = offset+int64(len(message.Data)), left-uint64(len(message.Data))
		message = &pb.ReadResponse{}
	}
	return nil
}

func (d *driver) List(_ context.Context, request *pb.ListRequest) (*pb.ListResponse, error) {
	store, name, err := d.at(folderName(request.Path))
	if err != nil {
		return nil, err
	}
	if request.StartAfter != "" && !isComponent(request.StartAfter) {
		return nil, refuse(pb.StorageError_PATH_INVALID, "start_after is not a name")
	}
	limit := int(request.Limit)
	if limit == 0 || limit > pageMax {
		limit = pageMax
	}
	page := &pb.ListResponse{}
	err = store.list(name, request.StartAfter, func(name string, info *pb.Info) bool {
		if page.More = len(page.Entries) == limit; !page.More {
			page.Entries = append(page.Entries, &pb.ListResponse_Entry{Name: name, Info: info})
		}
		return !page.More
	})
	return page, err
}

func (d *driver) Walk(request *pb.WalkRequest, stream grpc.ServerStreamingServer[pb.WalkResponse]) error {
	return answer(d.walk(request, stream), request.Path)
}

func (d *driver) walk(request *pb.WalkRequest, stream grpc.ServerStreamingServer[pb.WalkResponse]) error {
	store, name, err := d.at(folderName(request.Path))
	if err != nil {
		return err
	}
	after := ""
	if request.StartAfter != "" {
		if _, err := contentName(request.StartAfter); err != nil {
			return err
		}
		var below bool
		if after, below = strings.CutPrefix(request.StartAfter, strings.TrimSuffix(request.Path, "/")+"/"); !below {
			return refuse(pb.StorageError_REQUEST_INVALID, "start_after is not below the path to walk")
		}
	}
	message, since := &pb.WalkResponse{}, time.Now()
	err = store.walk(name, after, func(name string, info *pb.Info) error {
		message.Entries = append(message.Entries, &pb.WalkResponse_Entry{Path: "/" + name, Info: info})
		if len(message.Entries) < pageMax && time.Since(since) < time.Second {
			return stream.Context().Err()
		}
		full := message
		message, since = &pb.WalkResponse{}, time.Now()
		return stream.Send(full)
	})
	if err == nil && len(message.Entries) > 0 {
		err = stream.Send(message)
	}
	return err
}

func (d *driver) Move(_ context.Context, request *pb.MoveRequest) (*pb.MoveResponse, error) {
	store, from, err := d.at(contentName(request.Source))
	if err != nil {
		return nil, err
	}
	to, err := contentName(request.Target)
	if err != nil {
		return nil, err
	}
	info, err := store.move(from, to)
	return &pb.MoveResponse{Info: info}, err
}

func (d *driver) Delete(_ context.Context, request *pb.DeleteRequest) (*pb.DeleteResponse, error) {
	store, name, err := d.at(contentName(request.Path))
	if err != nil {
		return nil, err
	}
	d.sessions.fence(name, request.Recursive) // lets go of what is staged; a flush finds the rest out
	return &pb.DeleteResponse{}, store.delete(name, request.Recursive)
}

func (d *driver) RedirectUrl(_ context.Context, request *pb.RedirectUrlRequest) (*pb.RedirectUrlResponse, error) {
	if _, _, err := d.at(contentName(request.Path)); err != nil {
		return nil, err
	}
	return nil, refuse(pb.StorageError_UNSUPPORTED, "files have no URLs")
}
