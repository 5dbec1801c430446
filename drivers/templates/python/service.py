"""The StorageDriver service: each call checked, handed to the store, and its answer put on the wire (section 7).

A vendor keeps this file. Each call has a thread of the server, and may block in it.
"""

import functools
import logging
import os
import queue
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from typing import IO, Any, TypeAlias

import grpc

from errors import Refusal, abort, explain
from storagedriver.v1alpha1 import storage_driver_pb2 as pb
from storagedriver.v1alpha1.storage_driver_pb2 import StorageError
from storagedriver.v1alpha1.storage_driver_pb2_grpc import StorageDriverServicer
from store import Session, Store

MIB = 1 << 20
CHUNK = 128 << 10
PAGE_MAX = 1000
PATH_MAX = 1024
NAME = re.compile(r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._-]{1,255}")
PATH = re.compile(rf"(?:/{NAME.pattern})+")
# The contract asks for an acknowledgement every 4 MiB [W3]; the registry keeps the bytes until it has one.
ACKNOWLEDGE_EVERY = 512 << 10
log = logging.getLogger(__name__)


@contextmanager
def told(context: grpc.ServicerContext, path: str) -> Iterator[None]:
    """Tells what goes wrong in the one form of section 6."""
    try:
        yield
    except Exception as problem:
        refusal = explain(problem)
        if refusal.error.reason == StorageError.INTERNAL:
            log.exception("a call failed")
        abort(context, refusal, path)


def call(method: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a method the handler of a call."""

    @functools.wraps(method)
    def handler(self: "Service", request: Any, context: grpc.ServicerContext) -> Any:
        with told(context, getattr(request, "path", "") or getattr(request, "source", "")):
            return method(self, request)

    return handler


def stream(method: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    """Makes a method the handler of a call that answers with a stream."""

    @functools.wraps(method)
    def handler(self: "Service", request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        with told(context, request.path):
            yield from method(self, request)

    return handler


def check(path: str, or_root: bool = False) -> str:
    """The path, which may then be trusted [N1] [N2]."""
    if (len(path) > PATH_MAX or not PATH.fullmatch(path)) and not (or_root and path == "/"):
        raise Refusal(StorageError.PATH_INVALID, "this is no path of content")
    return path


def read(file: IO[bytes], offset: int, length: int) -> bytes:
    """What a content is known to have there."""
    data = os.pread(file.fileno(), length, offset)
    if len(data) < length:
        raise Refusal(StorageError.CORRUPT, "the content is shorter than its size")  # [R5]
    return data


class Service(StorageDriverServicer):
    def __init__(self) -> None:
        self._opened: Store | None = None
        self._parameters: dict[str, str] = {}
        self._configuring = threading.Lock()

    @property
    def store(self) -> Store:
        if self._opened is None:
            raise Refusal(StorageError.NOT_CONFIGURED, "the driver waits for Configure")  # [K1]
        return self._opened

    def is_usable(self) -> bool:
        return self._opened is not None and self._opened.is_usable()

    @call
    def Configure(self, request: pb.ConfigureRequest) -> pb.ConfigureResponse:
        parameters = dict(request.parameters)
        with self._configuring:
            if self._opened is None:
                self._opened, self._parameters = self._open(**parameters), parameters
            elif parameters != self._parameters:
                raise Refusal(StorageError.CONFIG_INVALID, "the driver is configured, and with other parameters")
        return pb.ConfigureResponse(capabilities=self._opened.capabilities)

    @staticmethod
    def _open(rootdirectory: str = "", **unknown: str) -> Store:
        if unknown:  # their values may be secrets
            raise Refusal(StorageError.CONFIG_INVALID, f"there is no parameter {', '.join(unknown)}"[:1000])
        if not os.path.isabs(rootdirectory):
            raise Refusal(StorageError.CONFIG_INVALID, "the parameter rootdirectory is not an absolute path")
        return Store(rootdirectory)

    @call
    def Stat(self, request: pb.StatRequest) -> pb.StatResponse:
        return pb.StatResponse(info=self.store.stat(check(request.path)))

    @call
    def Get(self, request: pb.GetRequest) -> pb.GetResponse:
        info, file = self.store.open(check(request.path))
        with file:
            if info.size > MIB:
                raise Refusal(StorageError.TOO_LARGE, "more than 1 MiB is for Read")
            return pb.GetResponse(info=info, content=read(file, 0, info.size))

    @call
    def Put(self, request: pb.PutRequest) -> pb.PutResponse:
        store, path = self.store, check(request.path)
        if len(request.content) > MIB:
            raise Refusal(StorageError.TOO_LARGE, "more than 1 MiB is for a write session")
        return pb.PutResponse(info=store.put(path, request.content, request.if_absent))

    @stream
    def Read(self, request: pb.ReadRequest) -> Iterator[pb.ReadResponse]:
        info, file = self.store.open(check(request.path))
        with file:
            if request.if_version not in ("", info.version):
                raise Refusal(StorageError.VERSION_MISMATCH, "the content is of another version")
            offset = request.offset
            if offset > info.size:
                raise Refusal(StorageError.OFFSET_INVALID, "the offset is beyond the end", persisted=info.size)
            end = min(info.size, offset + request.length) if request.HasField("length") else info.size
            message = pb.ReadResponse(info=info)  # in the first message, and only there [R1]
            while message.HasField("info") or offset < end:
                message.data = read(file, offset, min(CHUNK, end - offset))
                offset += len(message.data)
                yield message  # the server asks for the next when the caller has room for it
                message = pb.ReadResponse()

    @call
    def List(self, request: pb.ListRequest) -> pb.ListResponse:
        store, path = self.store, check(request.path, or_root=True)
        if request.start_after and not NAME.fullmatch(request.start_after):
            raise Refusal(StorageError.PATH_INVALID, "start_after is not the name of a path component")
        limit = min(request.limit or PAGE_MAX, PAGE_MAX)
        entries = list(islice(store.children(path, request.start_after), limit + 1))
        return pb.ListResponse(entries=entries[:limit], more=len(entries) > limit)

    @stream
    def Walk(self, request: pb.WalkRequest) -> Iterator[pb.WalkResponse]:
        store, path = self.store, check(request.path, or_root=True)
        if request.start_after:
            check(request.start_after)
        for entries in store.walk(path, request.start_after):
            yield pb.WalkResponse(entries=entries)

    @call
    def Move(self, request: pb.MoveRequest) -> pb.MoveResponse:
        return pb.MoveResponse(info=self.store.move(check(request.source), check(request.target)))

    @call
    def Delete(self, request: pb.DeleteRequest) -> pb.DeleteResponse:
        self.store.delete(check(request.path), request.recursive)
        return pb.DeleteResponse()

    @call
    def RedirectUrl(self, request: pb.RedirectUrlRequest) -> pb.RedirectUrlResponse:
        return pb.RedirectUrlResponse(url=self.store.redirect_url(check(request.path)))

    @call
    def Commit(self, request: pb.CommitRequest) -> pb.CommitResponse:
        store, path, target = self.store, check(request.path), check(request.target)
        return pb.CommitResponse(info=store.commit(path, target, request.size, request.if_absent))

    def Write(self, requests: Iterator[pb.WriteRequest], context: grpc.ServicerContext) -> Iterator[pb.WriteResponse]:
        # gRPC for Python keeps the headers back until the first answer; some callers wait for them before they send.
        context.send_initial_metadata(())
        first = next(requests, None)
        if first is not None:
            with told(context, first.open.path):
                yield from self._write(first, requests)

    def _write(self, first: pb.WriteRequest, requests: Iterator[pb.WriteRequest]) -> Iterator[pb.WriteResponse]:
        store, opening = self.store, first.open
        if not first.HasField("open"):
            raise Refusal(StorageError.REQUEST_INVALID, "the first message of a write stream is open")
        check(opening.target or opening.path)  # the target is a hint, of no use here [W6]
        inbox: Inbox = queue.Queue(maxsize=1)
        session = store.open_session(check(opening.path), opening.offset, lambda: wake(inbox))
        try:
            yield pb.WriteResponse(persisted=opening.offset)
            threading.Thread(target=receive, args=(requests, session, inbox), daemon=True).start()
            yield from self._serve(store, session, inbox)
            session.check()
        finally:
            session.close()
            with suppress(queue.Empty):
                inbox.get_nowait()  # lets the thread go on, and find the session closed

    def _serve(self, store: Store, session: Session, inbox: "Inbox") -> Iterator[pb.WriteResponse]:
        silent = 0
        for message in iter(inbox.get, None):
            if message.HasField("open") or len(message.data) > MIB:
                raise Refusal(StorageError.REQUEST_INVALID, "after open come flush, and data of at most 1 MiB")
            session.append(message.data)
            silent += len(message.data)
            flushed = message.HasField("flush")
            if flushed:
                store.flush(session)
            if flushed or silent >= ACKNOWLEDGE_EVERY:
                yield pb.WriteResponse(persisted=session.size(), flushed=flushed)
                silent = 0


# The next message of a write stream: what is beyond it stays in the caller's window, which makes it wait [W7]. None is
# the end of the stream, or wakes its handler.
Inbox: TypeAlias = "queue.Queue[pb.WriteRequest | None]"


def receive(requests: Iterator[pb.WriteRequest], session: Session, inbox: Inbox) -> None:
    with suppress(Exception):  # gRPC says so when the caller is gone, which means nothing [G10]
        for message in requests:
            inbox.put(message)
            if session.is_fenced:
                return
    inbox.put(None)


def wake(inbox: Inbox) -> None:
    """Lets a handler see that it is fenced, also while no message comes [W2]."""
    with suppress(queue.Full):  # then it is not waiting
        inbox.put_nowait(None)
