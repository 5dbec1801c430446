"""Errors: how every failed call tells its reason (section 6 of the contract).

A vendor keeps this module, and adds what its own back end raises to `refusal`.
"""

import errno
import os
from typing import Any

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

# What the operating system's errors mean. That nothing is there is said by the store itself and never taken from here:
# a fault of the back end must not be reported as NOT_FOUND [E2].
REASONS = {
    errno.ENOTDIR: StorageError.PATH_CONFLICT,
    errno.EISDIR: StorageError.PATH_CONFLICT,
    errno.ENOTEMPTY: StorageError.PATH_CONFLICT,
    errno.EEXIST: StorageError.ALREADY_EXISTS,
    errno.ENOSPC: StorageError.NO_SPACE,
    errno.EDQUOT: StorageError.NO_SPACE,
    errno.EFBIG: StorageError.TOO_LARGE,
    errno.EACCES: StorageError.ACCESS_DENIED,
    errno.EPERM: StorageError.ACCESS_DENIED,
    errno.ELOOP: StorageError.ACCESS_DENIED,
    errno.EROFS: StorageError.READ_ONLY,
    errno.ENOENT: StorageError.UNAVAILABLE,
    errno.EMFILE: StorageError.UNAVAILABLE,
    errno.ENFILE: StorageError.UNAVAILABLE,
    errno.ENOMEM: StorageError.UNAVAILABLE,
    errno.ESTALE: StorageError.UNAVAILABLE,
    errno.ETIMEDOUT: StorageError.UNAVAILABLE,
}


class Refusal(Exception):
    """The answer of a call that fails. The message must show neither secrets nor paths of the host [E1]."""

    def __init__(self, reason: StorageError.Reason, message: str, **details: Any) -> None:
        super().__init__(message)
        self.error = StorageError(reason=reason, **details)


def refusal(problem: Exception, mutates: bool) -> Refusal:
    """What a call answers that met `problem`."""
    if isinstance(problem, Refusal):
        return problem
    if not isinstance(problem, OSError) or problem.errno is None:
        return Refusal(StorageError.INTERNAL, "the driver has a fault, which its log tells")
    reason = REASONS.get(problem.errno, StorageError.INTERNAL)
    refused = Refusal(reason, f"the file system says: {os.strerror(problem.errno)}")
    refused.error.may_have_happened = mutates and reason == StorageError.UNAVAILABLE
    return refused


async def abort(context: grpc.aio.ServicerContext, refused: Refusal, path: str) -> None:
    """Ends the call with the status that carries exactly one StorageError."""
    # The path as sent, but no longer than any path can be: it travels in a header, and those are limited.
    refused.error.path = path[:1024]
    details = any_pb2.Any()
    details.Pack(refused.error)
    code = CODES[refused.error.reason]
    status = rpc_status.to_status(status_pb2.Status(code=code.value[0], message=str(refused), details=[details]))
    await context.abort(status.code, status.details, status.trailing_metadata)
