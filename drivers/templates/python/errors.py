"""Errors: how a failed call tells its reason (section 6 of the contract).

A vendor keeps this file, and adds to `explain` what its own back end raises.
"""

import errno
import sqlite3
from typing import Any, NoReturn

import grpc
from google.protobuf import any_pb2
from google.rpc import status_pb2
from grpc_status import rpc_status

from storagedriver.v1alpha1.storage_driver_pb2 import StorageError

# The code of each reason: the table of section 6.
CODES = {
    StorageError.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    StorageError.PATH_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    StorageError.PATH_CONFLICT: grpc.StatusCode.FAILED_PRECONDITION,
    StorageError.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    StorageError.VERSION_MISMATCH: grpc.StatusCode.ABORTED,
    StorageError.OFFSET_INVALID: grpc.StatusCode.OUT_OF_RANGE,
    StorageError.FENCED: grpc.StatusCode.ABORTED,
    StorageError.TOO_LARGE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    StorageError.NO_SPACE: grpc.StatusCode.RESOURCE_EXHAUSTED,
    StorageError.THROTTLED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    StorageError.UNSUPPORTED: grpc.StatusCode.UNIMPLEMENTED,
    StorageError.READ_ONLY: grpc.StatusCode.PERMISSION_DENIED,
    StorageError.ACCESS_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    StorageError.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    StorageError.CORRUPT: grpc.StatusCode.DATA_LOSS,
    StorageError.CONFIG_INVALID: grpc.StatusCode.FAILED_PRECONDITION,
    StorageError.NOT_CONFIGURED: grpc.StatusCode.FAILED_PRECONDITION,
    StorageError.REQUEST_INVALID: grpc.StatusCode.INVALID_ARGUMENT,
    StorageError.INTERNAL: grpc.StatusCode.INTERNAL,
}

# What the back end's errors mean; any other is UNAVAILABLE. That nothing is there is said by the store alone, since a
# fault of the back end must not be reported as NOT_FOUND [E2].
OF_FILES = {
    errno.ENOSPC: StorageError.NO_SPACE,
    errno.EDQUOT: StorageError.NO_SPACE,
    errno.EFBIG: StorageError.TOO_LARGE,
    errno.EROFS: StorageError.READ_ONLY,
    errno.EACCES: StorageError.ACCESS_DENIED,
    errno.EPERM: StorageError.ACCESS_DENIED,
}
OF_SQLITE = {
    sqlite3.SQLITE_FULL: StorageError.NO_SPACE,
    sqlite3.SQLITE_READONLY: StorageError.READ_ONLY,
    sqlite3.SQLITE_CORRUPT: StorageError.CORRUPT,
    sqlite3.SQLITE_NOTADB: StorageError.CORRUPT,
}


class Refusal(Exception):
    """The answer of a call that fails. Its message shows neither secrets nor paths of the host [E1]."""

    def __init__(self, reason: StorageError.Reason, message: str, **details: Any) -> None:
        super().__init__(message)
        # Where the back end does not answer, a change may have happened all the same.
        self.error = StorageError(reason=reason, may_have_happened=reason == StorageError.UNAVAILABLE, **details)


def explain(problem: Exception) -> Refusal:
    """What a call answers that met `problem`."""
    if isinstance(problem, Refusal):
        return problem
    if isinstance(problem, OSError):
        reason = OF_FILES.get(problem.errno or 0, StorageError.UNAVAILABLE)
        return Refusal(reason, f"the file system says: {problem.strerror}")
    if isinstance(problem, sqlite3.DatabaseError) and hasattr(problem, "sqlite_errorcode"):
        reason = OF_SQLITE.get(problem.sqlite_errorcode & 0xFF, StorageError.UNAVAILABLE)  # the low byte is the kind
        return Refusal(reason, f"the index says: {problem}")
    return Refusal(StorageError.INTERNAL, "the driver has a fault, which its log tells")


def abort(context: grpc.ServicerContext, refusal: Refusal, path: str) -> NoReturn:
    """Ends the call with the status that carries exactly one StorageError."""
    refusal.error.path = path[:1024]  # as sent, but it travels in a header, and those are limited
    detail = any_pb2.Any()
    detail.Pack(refusal.error)
    status = status_pb2.Status(code=CODES[refusal.error.reason].value[0], message=str(refusal), details=[detail])
    context.abort_with_status(rpc_status.to_status(status))
