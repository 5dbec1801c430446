package main

// How a call fails: every failure of a StorageDriver call carries one StorageError (contract, section 6). A status
// without it would be taken for a fault of the transport. Kept by a vendor, but for errnos.

import (
	"cmp"
	"errors"
	"fmt"
	"log"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	pb "bulkhead-driver-folder/gen/storagedriver/v1alpha1"
)

// statusCodes is the table of section 6.
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

// errnos says what the back end's errors mean; any other is UNAVAILABLE. That nothing is there is said by the store
// alone, since a fault of the back end must not be reported as NOT_FOUND [E2].
var errnos = map[syscall.Errno]pb.StorageError_Reason{
	syscall.ENOSPC: pb.StorageError_NO_SPACE,
	syscall.EDQUOT: pb.StorageError_NO_SPACE,
	syscall.EFBIG:  pb.StorageError_TOO_LARGE,
	syscall.EROFS:  pb.StorageError_READ_ONLY,
	syscall.EACCES: pb.StorageError_ACCESS_DENIED,
	syscall.EPERM:  pb.StorageError_ACCESS_DENIED,
}

// refusal is the answer of a call that fails. Its message shows neither secrets nor paths of the host [E1].
type refusal struct {
	reason    pb.StorageError_Reason
	message   string
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

// explain tells what a call answers that met an error.
func explain(err error) *refusal {
	if told, is := errors.AsType[*refusal](err); is {
		return told
	}
	if errno, is := errors.AsType[syscall.Errno](err); is {
		reason := cmp.Or(errnos[errno], pb.StorageError_UNAVAILABLE)
		return &refusal{reason: reason, message: "the file system says: " + errno.Error()}
	}
	log.Print("a call failed: ", err)
	return &refusal{reason: pb.StorageError_INTERNAL, message: "the driver has a fault, which its log tells"}
}

// answer gives an error its form on the wire. What is a status already is the transport's, and passes.
func answer(err error, path string) error {
	if _, isStatus := status.FromError(err); isStatus { // as no error is
		return err
	}
	told := explain(err)
	detail := &pb.StorageError{
		Reason: told.reason,
		// As sent, but it travels in a header, and those are limited.
		Path:      strings.ToValidUTF8(path[:min(len(path), pathMax)], ""),
		Persisted: told.persisted,
		// Where the back end did not answer, a change may have happened all the same.
		MayHaveHappened: told.reason == pb.StorageError_UNAVAILABLE,
	}
	short := status.New(statusCodes[told.reason], told.message)
	if whole, err := short.WithDetails(detail); err == nil {
		return whole.Err()
	}
	return short.Err()
}
