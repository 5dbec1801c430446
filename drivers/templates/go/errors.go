package main

// How a call fails. Every failure of a StorageDriver call carries one StorageError (contract, section 6): a status
// without it would be taken for a fault of the transport and repeated.

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

const messageMax, pathMax = 1024, 1024

// refusal is an answer of the storage that is not the one hoped for.
type refusal struct {
	reason    pb.StorageError_Reason
	message   string
	path      string // empty: the path of the request
	persisted uint64 // with OFFSET_INVALID
}

func (r *refusal) Error() string { return r.message }

func refuse(reason pb.StorageError_Reason, format string, values ...any) error {
	return &refusal{reason: reason, message: fmt.Sprintf(format, values...)}
}

func refuseOffset(persisted uint64) error {
	message := fmt.Sprintf("there are %d bytes at this path", persisted)
	return &refusal{reason: pb.StorageError_OFFSET_INVALID, message: message, persisted: persisted}
}

var statusCodes = map[pb.StorageError_Reason]codes.Code{
	pb.StorageError_NOT_FOUND:        codes.NotFound,
	pb.StorageError_PATH_INVALID:     codes.InvalidArgument,
	pb.StorageError_PATH_CONFLICT:    codes.FailedPrecondition,
	pb.StorageError_ALREADY_EXISTS:   codes.AlreadyExists,
	pb.StorageError_VERSION_MISMATCH: codes.Aborted,
	pb.StorageError_OFFSET_INVALID:   codes.OutOfRange,
	pb.StorageError_FENCED:           codes.Aborted,
	pb.StorageError_TOO_LARGE:        codes.ResourceExhausted,
	pb.StorageError_NO_SPACE:         codes.ResourceExhausted,
	pb.StorageError_THROTTLED:        codes.ResourceExhausted,
	pb.StorageError_UNSUPPORTED:      codes.Unimplemented,
	pb.StorageError_READ_ONLY:        codes.PermissionDenied,
	pb.StorageError_ACCESS_DENIED:    codes.PermissionDenied,
	pb.StorageError_UNAVAILABLE:      codes.Unavailable,
	pb.StorageError_CORRUPT:          codes.DataLoss,
	pb.StorageError_CONFIG_INVALID:   codes.FailedPrecondition,
	pb.StorageError_NOT_CONFIGURED:   codes.FailedPrecondition,
	pb.StorageError_REQUEST_INVALID:  codes.InvalidArgument,
	pb.StorageError_INTERNAL:         codes.Internal,
}

// answer gives an error its wire form. What is a status already is the transport's, and passes.
func answer(err error, path string) error {
	if err == nil {
		return nil
	}
	if _, transport := status.FromError(err); transport {
		return err
	}
	var told *refusal
	if !errors.As(err, &told) {
		told = translate(err)
	}
	if told.path != "" {
		path = told.path
	}
	detail := &pb.StorageError{Reason: told.reason, Path: clip(path, pathMax), Persisted: told.persisted}
	short := status.New(statusCodes[told.reason], clip(told.message, messageMax))
	whole, err := short.WithDetails(detail)
	if err != nil {
		return short.Err()
	}
	return whole.Err()
}

func clip(text string, most int) string {
	return strings.ToValidUTF8(text[:min(len(text), most)], "")
}

// errnos is the part of this file that knows the back end: what the file system says, in words of the contract.
// ENOENT is missing on purpose: whether it means NOT_FOUND depends on what was looked for [E2].
var errnos = map[syscall.Errno]*refusal{
	syscall.ENOTDIR: {reason: pb.StorageError_PATH_CONFLICT, message: "content is stored above this path"},
	syscall.EEXIST:  {reason: pb.StorageError_PATH_CONFLICT, message: "content is stored above this path"}, // of MkdirAll
	syscall.ENOSPC:  {reason: pb.StorageError_NO_SPACE, message: "the file system is full"},
	syscall.EDQUOT:  {reason: pb.StorageError_NO_SPACE, message: "a quota of the file system is used up"},
	syscall.EFBIG:   {reason: pb.StorageError_TOO_LARGE, message: "the file system takes no file this large"},
	syscall.EACCES:  {reason: pb.StorageError_ACCESS_DENIED, message: "the file system refuses the driver: check owners and modes below rootdirectory"},
	syscall.EPERM:   {reason: pb.StorageError_ACCESS_DENIED, message: "the file system refuses the driver: check owners and modes below rootdirectory"},
	syscall.EROFS:   {reason: pb.StorageError_READ_ONLY, message: "the file system is mounted read-only"},
	syscall.ENOENT:  {reason: pb.StorageError_UNAVAILABLE, message: "the folder of the store has gone"},
	syscall.ESTALE:  {reason: pb.StorageError_UNAVAILABLE, message: "the file system does not answer now"},
	syscall.EMFILE:  {reason: pb.StorageError_UNAVAILABLE, message: "the driver is out of file descriptors"},
	syscall.ENFILE:  {reason: pb.StorageError_UNAVAILABLE, message: "the host is out of file descriptors"},
}

func translate(err error) *refusal {
	var errno syscall.Errno
	if !errors.As(err, &errno) && strings.Contains(err.Error(), "escapes") { // os.Root has no exported error for it
		return &refusal{reason: pb.StorageError_ACCESS_DENIED, message: "a link leads out of the store and is not followed"}
	}
	if known, found := errnos[errno]; found {
		return known
	}
	var where *fs.PathError // the message must not hold a path of the host [E1]
	if errors.As(err, &where) {
		err = where.Err
	}
	return &refusal{reason: pb.StorageError_INTERNAL, message: "the file system failed: " + err.Error()}
}

// absent tells whether a look-up failed because there is nothing, neither at the name nor above it.
func absent(err error) bool {
	return errors.Is(err, syscall.ENOENT) || errors.Is(err, syscall.ENOTDIR)
}
