"""The StorageDriver service: each call checked, handed to the store, and its answer put on the wire.

A vendor keeps this module. The store is plain blocking code. It runs in threads, and no thread is held by a caller: a
stream that nobody reads, or that sends nothing, is a waiting coroutine, so any number of them leaves the others
alone [G9].
"""

import asyncio
import functools
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeAlias

import grpc

from errors import Refusal, abort, refusal
from paths import PAGE_MAX, check, check_name, check_start, walk
from sessions import Turn, Turns, Writer
from storagedriver.v1alpha1 import storage_driver_pb2 as pb
from storagedriver.v1alpha1.storage_driver_pb2 import StorageError
from storagedriver.v1alpha1.storage_driver_pb2_grpc import StorageDriverServicer
from store import Content, FolderStore

MIB = 1 << 20
CHUNK = 128 << 10
# The contract asks for an acknowledgement eight times less often [W3]; the registry keeps the bytes until it has one.
ACKNOWLEDGE_EVERY = 512 << 10
THREADS = 32

Context: TypeAlias = grpc.aio.ServicerContext
log = logging.getLogger(__name__)


def call(mutates: bool = False) -> Callable[[Any], Any]:
    """Makes a method the handler of a call: whatever it raises is told in the one form of section 6."""

    def decorate(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        @functools.wraps(method)
        async def handler(self: "Service", request: Any, context: Context) -> Any:
            self.in_flight += 1
            try:
                if self.is_stopping:
                    raise Refusal(StorageError.UNAVAILABLE, "the driver is stopping")
                return await method(self, request, context)
            except grpc.aio.InternalError:
                return None  # an answer could not be sent: the caller is gone, and there is nobody to tell [G7]
            except Exception as problem:
                refused = refusal(problem, mutates)
                if refused.error.reason == StorageError.INTERNAL:
                    log.exception("%s failed", method.__name__)
                path = getattr(request, "path", "") or getattr(request, "source", "") or refused.error.path
                await abort(context, refused, path)
            finally:
                self.in_flight -= 1

        return handler

    return decorate


class Service(StorageDriverServicer):
    def __init__(self, descriptors: int) -> None:
        self.in_flight = 0
        self.is_stopping = False
        self._store: FolderStore | None = None
        self._accepted: list[dict[str, str]] = []
        self._configuring = asyncio.Lock()
        self._turns = Turns()
        self._threads = ThreadPoolExecutor(THREADS)
        # Each stream has a file open. Beyond what the process may open they wait, and never fail [G9].
        self._streams = asyncio.Semaphore(descriptors)

    async def in_thread(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Runs what blocks. A thread cannot be cancelled, so a cancelled caller waits for it: whatever it holds, a turn
        or an open file, is not given up under the hands of the thread."""
        work = asyncio.get_running_loop().run_in_executor(self._threads, function, *arguments)
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.wait({work})
            raise

    async def is_usable(self) -> bool:
        """Whether the back end answers, for the health of the store [P2]."""
        try:
            await asyncio.wait_for(self.in_thread(self._opened().probe), timeout=5)
        except (TimeoutError, Refusal, OSError):
            return False
        return True

    def _opened(self) -> FolderStore:
        if self._store is None:
            raise Refusal(StorageError.NOT_CONFIGURED, "the driver waits for Configure")  # [K1]
        return self._store

    async def configure(self, parameters: dict[str, str], by_operator: bool = False) -> pb.Capabilities:
        async with self._configuring:
            if self._store is None:
                self._store = await self.in_thread(FolderStore, parameters)
                self._accepted = [parameters, {}] if by_operator else [parameters]  # [K1]
            elif parameters not in self._accepted:
                raise Refusal(StorageError.CONFIG_INVALID, "the driver is configured, and with other parameters")
            return self._store.capabilities

    @call()
    async def Configure(self, request: pb.ConfigureRequest, context: Context) -> pb.ConfigureResponse:
        # Shielded: a caller that goes away must not leave a store that is open and that nobody knows.
        capabilities = await asyncio.shield(self.configure(dict(request.parameters)))
        return pb.ConfigureResponse(capabilities=capabilities)

    @call()
    async def Stat(self, request: pb.StatRequest, context: Context) -> pb.StatResponse:
        store = self._opened()
        return pb.StatResponse(info=await self.in_thread(store.stat, check(request.path)))

    @call()
    async def Get(self, request: pb.GetRequest, context: Context) -> pb.GetResponse:
        store = self._opened()
        return await self.in_thread(self._get, store, check(request.path))

    @staticmethod
    def _get(store: FolderStore, path: str) -> pb.GetResponse:
        with store.open_content(path) as content:
            if content.info.size > MIB:
                raise Refusal(StorageError.TOO_LARGE, "more than 1 MiB is for Read")
            return pb.GetResponse(info=content.info, content=content.read(0, content.info.size))

    @call(mutates=True)
    async def Put(self, request: pb.PutRequest, context: Context) -> pb.PutResponse:
        store = self._opened()
        check(request.path)
        self._check_if_absent(request.if_absent)
        if len(request.content) > MIB:
            raise Refusal(StorageError.TOO_LARGE, "more than 1 MiB is for a write session")
        info = await self.in_thread(store.put, request.path, request.content, request.if_absent)
        return pb.PutResponse(info=info)

    def _check_if_absent(self, wanted: bool) -> None:
        if wanted and not self._opened().capabilities.if_absent:
            raise Refusal(StorageError.UNSUPPORTED, "this store does not offer if_absent")  # [C1]

    @call()
    async def Read(self, request: pb.ReadRequest, context: Context) -> None:
        store = self._opened()
        check(request.path)
        async with self._streams:
            with await self.in_thread(store.open_content, request.path) as content:
                await self._send(content, request, context)

    async def _send(self, content: Content, request: pb.ReadRequest, context: Context) -> None:
        info, offset = content.info, request.offset
        if request.if_version and request.if_version != info.version:
            raise Refusal(StorageError.VERSION_MISMATCH, "the content is of another version")
        if offset > info.size:
            raise Refusal(StorageError.OFFSET_INVALID, "the offset is beyond the end", persisted=info.size)
        end = min(info.size, offset + request.length) if request.HasField("length") else info.size
        message = pb.ReadResponse(info=info)  # in the first message, and only there [R1]
        while True:
            message.data = await self.in_thread(content.read, offset, min(CHUNK, end - offset))
            offset += len(message.data)
            await context.write(message)  # waits while the caller does not read
            if offset == end:
                return
            message = pb.ReadResponse()

    @call()
    async def List(self, request: pb.ListRequest, context: Context) -> pb.ListResponse:
        store = self._opened()
        path, start_after = check(request.path, or_root=True), check_name(request.start_after)
        limit = min(request.limit or PAGE_MAX, PAGE_MAX)
        entries, more = await self.in_thread(store.page, path, start_after, limit)
        return pb.ListResponse(entries=entries, more=more)

    @call()
    async def Walk(self, request: pb.WalkRequest, context: Context) -> None:
        store = self._opened()
        path = check(request.path, or_root=True)
        walked = walk(store, path, check_start(request.start_after, path))
        while entries := await self.in_thread(lambda: list(islice(walked, PAGE_MAX))):
            await context.write(pb.WalkResponse(entries=entries))

    @call(mutates=True)
    async def Move(self, request: pb.MoveRequest, context: Context) -> pb.MoveResponse:
        store = self._opened()
        info = await self.in_thread(store.move, check(request.source), check(request.target))
        return pb.MoveResponse(info=info)

    @call(mutates=True)
    async def Delete(self, request: pb.DeleteRequest, context: Context) -> pb.DeleteResponse:
        store = self._opened()
        check(request.path)
        await asyncio.shield(self._delete(store, request.path, request.recursive))
        return pb.DeleteResponse()

    async def _delete(self, store: FolderStore, path: str, recursive: bool) -> None:
        if recursive:
            await self._turns.fence_below(path)
        turn = self._turns.at(path)
        async with turn.lock:
            await self.in_thread(store.delete, path, recursive)
            turn.pass_to(None)

    @call()
    async def RedirectUrl(self, request: pb.RedirectUrlRequest, context: Context) -> pb.RedirectUrlResponse:
        self._opened()
        raise Refusal(StorageError.UNSUPPORTED, "this store gives no URLs")

    @call(mutates=True)
    async def Commit(self, request: pb.CommitRequest, context: Context) -> pb.CommitResponse:
        store = self._opened()
        check(request.path)
        check(request.target)
        self._check_if_absent(request.if_absent)
        return pb.CommitResponse(info=await asyncio.shield(self._commit(store, request)))

    async def _commit(self, store: FolderStore, request: pb.CommitRequest) -> pb.Info:
        """Shielded to its end: the file of the session becomes content, so its writer must be fenced with it [O2]."""
        turn = self._turns.at(request.path)
        async with turn.lock:
            terms = request.path, request.target, request.size, request.if_absent
            info = await self.in_thread(store.commit, *terms)
            turn.pass_to(None)
            return info

    @call(mutates=True)
    async def Write(self, _requests: Any, context: Context) -> None:
        self._opened()
        # gRPC for Python keeps the headers back until the first answer; some callers wait for them before they send.
        await context.send_initial_metadata(())
        first = await context.read()
        if first is grpc.aio.EOF:
            return
        if first.WhichOneof("kind") != "open":
            raise Refusal(StorageError.REQUEST_INVALID, "the first message of a write stream is open")
        try:
            async with self._streams:
                await self._write(first.open, context)
        except (Refusal, OSError) as problem:
            refused = refusal(problem, mutates=True)
            refused.error.path = first.open.path
            raise refused from problem

    async def _write(self, opening: pb.WriteRequest.Open, context: Context) -> None:
        check(opening.path)
        if opening.target:
            check(opening.target)
        turn = self._turns.at(opening.path)
        # Shielded: once the store has opened the session for this stream the older ones must be fenced.
        writer = await asyncio.shield(self._open(turn, opening))
        # The fence falls also while the stream is idle, so the two are waited for together [W2].
        serving = asyncio.ensure_future(self._serve(turn, writer, opening.offset, context))
        fenced = asyncio.ensure_future(writer.fenced.wait())
        try:
            await asyncio.wait({serving, fenced}, return_when=asyncio.FIRST_COMPLETED)
            if fenced.done():
                turn.session_of(writer)
            await serving
        finally:
            # However the stream ended, it means nothing: the session stays as it is [G10].
            serving.cancel()
            fenced.cancel()
            await asyncio.wait({serving})
            async with turn.lock:
                if turn.writer is writer:
                    turn.pass_to(None)

    async def _open(self, turn: Turn, opening: pb.WriteRequest.Open) -> Writer:
        async with turn.lock:
            terms = opening.path, opening.offset, opening.target
            writer = Writer(await self.in_thread(self._opened().open_session, *terms))
            turn.pass_to(writer)
            return writer

    async def _serve(self, turn: Turn, writer: Writer, persisted: int, context: Context) -> None:
        await context.write(pb.WriteResponse(persisted=persisted))
        silent = 0
        while (message := await context.read()) is not grpc.aio.EOF:
            kind = message.WhichOneof("kind")
            if kind == "open":
                raise Refusal(StorageError.REQUEST_INVALID, "a write stream is opened once")
            if len(message.data) > MIB:
                raise Refusal(StorageError.REQUEST_INVALID, "a message carries at most 1 MiB")
            async with turn.lock:
                session = turn.session_of(writer)
                if kind == "data":
                    persisted = await self.in_thread(session.append, message.data)
                elif kind == "flush":
                    persisted = await self.in_thread(session.flush)
            silent += len(message.data)
            if kind == "flush" or silent >= ACKNOWLEDGE_EVERY:
                await context.write(pb.WriteResponse(persisted=persisted, flushed=kind == "flush"))
                silent = 0
