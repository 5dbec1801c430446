"""The store: an index in SQLite, and a file for each content. THIS IS THE FILE A VENDOR REPLACES.

Below `rootdirectory` lie the index, a reserve of space, and the folder `files`, in which each content and each write
session is a file with a random name. A file means something only while a row of the index names it. So a change is:
write a new file and sync it, change the index in one transaction, remove the files that no row names any more. A crash
leaves the rows as they were or as they are to be, and files without a row, which the next start removes [G2]. A file
that has become content is never written to again; its name serves as the version.

The methods block, are called by many threads at once, and trust the paths they are given.
"""

import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple
from weakref import WeakValueDictionary

from google.protobuf.timestamp_pb2 import Timestamp

from errors import Refusal
from storagedriver.v1alpha1.storage_driver_pb2 import Capabilities, Info, ListResponse, StorageError, WalkResponse

# A key is a path with "!" for "/". That sorts before every character of a component, so that the order of keys is that
# of the contract: /a/x before /a-b [A1]. What is below a key lies between key + "!" and key + what follows "!".
SEPARATOR, AFTER = "!", '"'
# The key of a write session is its staging path's with this before it, where no path can be.
SESSION = "~"
BATCH = 1000  # the rows of a page of Walk, and of one transaction of a recursive Delete
RESERVE = 512 << 10

SCHEMA = """
PRAGMA locking_mode = EXCLUSIVE; -- one process has the store [K4]; the kernel frees the lock when that dies
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL; -- a transaction is on the disk when it ends [G3]
PRAGMA wal_autocheckpoint = 64; -- pages of 4 KiB: a small log for a small disk
CREATE TABLE IF NOT EXISTS content
    (key TEXT PRIMARY KEY, file TEXT NOT NULL, size INTEGER NOT NULL, modified INTEGER NOT NULL) WITHOUT ROWID;
"""
SELECT = "SELECT key, file, size, modified FROM content WHERE key >= ? AND key < ? ORDER BY key LIMIT ?"


class Row(NamedTuple):
    key: str
    file: str
    size: int
    modified: int

    def info(self) -> Info:
        seconds, nanos = divmod(self.modified, 10**9)
        return Info(size=self.size, modified=Timestamp(seconds=seconds, nanos=nanos), version=self.file)


def key_of(path: str) -> str:
    return path.rstrip("/").replace("/", SEPARATOR)  # empty for "/", which everything is below


def write_all(file: IO[bytes], data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) :]


class Session:
    """A write session, as the writer has it that opened it last [W2]."""

    def __init__(self, key: str, file: IO[bytes], on_fence: Callable[[], None]) -> None:
        self.key, self.file = key, file
        self._on_fence = on_fence
        self._lock = threading.Lock()
        self.is_fenced = False

    def append(self, data: bytes) -> None:
        """Afterwards the kernel has the data, and so it survives the death of this process [W3]."""
        with self._lock:
            self.check()
            write_all(self.file, data)

    def size(self) -> int:
        return self.file.tell()

    def check(self) -> None:
        if self.is_fenced:
            raise Refusal(StorageError.FENCED, "the session was opened anew, committed or deleted by somebody else")

    def fence(self) -> None:
        """Waits for what is being written. After it this writer changes nothing."""
        with self._lock:
            self.is_fenced = True
        self._on_fence()

    def close(self) -> None:
        """The end of a stream, which means nothing to the session [G10]."""
        self.fence()
        self.file.close()


class Store:
    capabilities = Capabilities(durability=Capabilities.POWER, granularity=1, if_absent=True)

    def __init__(self, folder: str) -> None:
        try:
            for name in (folder, f"{folder}/files"):
                with suppress(FileExistsError):
                    os.mkdir(name)
        except OSError as problem:
            message = "the parameter rootdirectory must name a folder, or a new one in a folder"
            raise Refusal(StorageError.CONFIG_INVALID, message) from problem
        self._folder = folder
        self._root = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        self._files = os.open("files", os.O_RDONLY | os.O_DIRECTORY, dir_fd=self._root)
        self._writers: WeakValueDictionary[str, Session] = WeakValueDictionary()
        # The index is for one thread at a time, and for no longer than a small transaction takes.
        self._lock = threading.RLock()
        self._index = sqlite3.connect(f"{folder}/index", check_same_thread=False)
        try:
            self._prepare()
        except BaseException as problem:
            self._index.close()
            if getattr(problem, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY:
                message = "another process has this store open: stop it, or use another rootdirectory"
                raise Refusal(StorageError.UNAVAILABLE, message) from problem
            raise

    def _prepare(self) -> None:
        """Brings the names onto the disk that were made just now, and removes what a crash left."""
        self._index.executescript(SCHEMA)
        self._fill_reserve()
        for name in (".", ".."):
            with suppress(PermissionError):
                folder = os.open(name, os.O_RDONLY, dir_fd=self._root)
                os.fsync(folder)
                os.close(folder)
        named = {file for (file,) in self._index.execute("SELECT file FROM content")}
        self._remove(file for file in os.listdir(self._files) if file not in named)

    # ---------------------------------------------------------------- what the service asks for

    def is_usable(self) -> bool:
        """Whether the folder is still the one that was opened, and not unmounted or taken away [P2]."""
        with suppress(OSError):
            return os.path.samestat(os.stat(self._folder), os.fstat(self._root))
        return False

    def stat(self, path: str) -> Info:
        key = key_of(path)
        for row in self._rows(key, key + AFTER):
            return row.info() if row.key == key else Info(is_prefix=True)
        raise Refusal(StorageError.NOT_FOUND, "there is nothing at this path")

    def open(self, path: str) -> tuple[Info, IO[bytes]]:
        """A content and its file, which stays readable when the content is replaced or deleted [R4]."""
        missed = None
        while row := self._row(key_of(path)):
            with suppress(FileNotFoundError):
                return row.info(), self._open_file(row.file, "rb")
            if row == missed:
                raise Refusal(StorageError.CORRUPT, "the file of this content is gone")
            missed = row  # somebody may have changed the content just now: then the next look finds another file
        raise Refusal(StorageError.NOT_FOUND, "there is no content at this path")

    def put(self, path: str, content: bytes, if_absent: bool) -> Info:
        return self._put(key_of(path), content, if_absent)

    def children(self, path: str, start_after: str) -> Iterator[ListResponse.Entry]:
        """The children of a path. One row is looked up for each, however much is below it."""
        prefix = key_of(path) + SEPARATOR
        low = prefix + start_after + AFTER if start_after else prefix
        while rows := self._rows(low, key_of(path) + AFTER):
            name, _, below = rows[0].key.removeprefix(prefix).partition(SEPARATOR)
            yield ListResponse.Entry(name=name, info=Info(is_prefix=True) if below else rows[0].info())
            low = prefix + name + AFTER

    def walk(self, path: str, start_after: str) -> Iterator[list[WalkResponse.Entry]]:
        """All content below a path, in pages. Nothing is held between them [A2]."""
        low = max(key_of(path) + SEPARATOR, key_of(start_after) + "\0")
        while rows := self._rows(low, key_of(path) + AFTER, BATCH):
            yield [WalkResponse.Entry(path=row.key.replace(SEPARATOR, "/"), info=row.info()) for row in rows]
            low = rows[-1].key + "\0"

    def move(self, source: str, target: str) -> Info:
        with self._change() as unnamed:
            row = self._row(key_of(source))
            if not row:
                raise Refusal(StorageError.NOT_FOUND, "there is no content at the source")
            self._index.execute("DELETE FROM content WHERE key = ?", (row.key,))
            return self._name(row._replace(key=key_of(target)), False, unnamed)

    def delete(self, path: str, recursive: bool) -> None:
        try:
            self._delete(path, recursive)
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode != sqlite3.SQLITE_FULL:
                raise
            # The index grows before a file goes, and finds the room for that in the reserve.
            os.truncate(f"{self._folder}/reserve", 0)
            self._delete(path, recursive)
        finally:
            self._fill_reserve()

    def redirect_url(self, path: str) -> str:
        raise Refusal(StorageError.UNSUPPORTED, "this store gives no URLs")

    def open_session(self, path: str, offset: int, on_fence: Callable[[], None]) -> Session:
        key = SESSION + key_of(path)
        if offset == 0:
            self._put(key, b"", False)  # over the session that there is
        with self._lock:
            row = self._row(key)
            if not row:
                raise Refusal(StorageError.NOT_FOUND, "there is no session at this path")
            if (size := self._size_of(row.file)) < offset:
                raise Refusal(StorageError.OFFSET_INVALID, "the session is shorter", persisted=size)
            self._fence(key)
            file = self._open_file(row.file)
            file.truncate(offset)
            file.seek(offset)
            self._writers[key] = session = Session(key, file, on_fence)
            return session

    def flush(self, session: Session) -> None:
        try:
            os.fsync(session.file.fileno())
        except OSError:
            # The kernel may have dropped what it could not write, and tells it once: nothing may be built on the rest.
            with self._change() as unnamed:
                session.check()
                unnamed += self._drop(session.key, session.key + SEPARATOR)
            raise
        session.check()

    def commit(self, path: str, target: str, size: int, if_absent: bool) -> Info:
        key = SESSION + key_of(path)
        with self._change() as unnamed:
            session = self._row(key)
            if not session:
                return self._committed(target, size)
            if (there := self._size_of(session.file)) != size:
                raise Refusal(StorageError.OFFSET_INVALID, "the session is of another size", persisted=there)
            info = self._name(Row(key_of(target), session.file, size, time.time_ns()), if_absent, unnamed)
            self._drop(key, key + SEPARATOR)  # fences its writer [O2]; what that added since lies beyond `size`
            with self._open_file(session.file) as file:
                os.fsync(file.fileno())  # of no cost after the flush that the contract asks for
            return info

    # ---------------------------------------------------------------- how it is done

    def _rows(self, low: str, high: str, limit: int = 1) -> list[Row]:
        """The first rows from `low` on and before `high`."""
        with self._lock:
            return [Row(*row) for row in self._index.execute(SELECT, (low, high, limit))]

    def _row(self, key: str) -> Row | None:
        return next(iter(self._rows(key, key + SEPARATOR)), None)

    @contextmanager
    def _change(self) -> Iterator[list[str]]:
        """One transaction. Its body tells the files that it leaves without a name, and they go afterwards."""
        unnamed: list[str] = []
        with self._lock, self._index:
            yield unnamed
        self._remove(unnamed)

    def _put(self, key: str, content: bytes, if_absent: bool) -> Info:
        file = secrets.token_hex(16)
        try:
            self._create(file, content)
            with self._change() as unnamed:
                return self._name(Row(key, file, len(content), time.time_ns()), if_absent, unnamed)
        except BaseException:
            self._remove([file])
            raise

    def _name(self, row: Row, if_absent: bool, unnamed: list[str]) -> Info:
        old = self._row(row.key)
        if old and if_absent:
            raise Refusal(StorageError.ALREADY_EXISTS, "there is content at this path")
        unnamed += [old.file] if old else []
        self._index.execute("INSERT OR REPLACE INTO content VALUES (?, ?, ?, ?)", row)
        return row.info()

    def _drop(self, low: str, high: str) -> list[str]:
        """Deletes a batch of the rows from `low` on and before `high`, fences their writers, and tells their files."""
        rows = self._rows(low, high, BATCH)
        self._index.executemany("DELETE FROM content WHERE key = ?", [(row.key,) for row in rows])
        for row in rows:
            self._fence(row.key)
        return [row.file for row in rows]

    def _delete(self, path: str, recursive: bool) -> None:
        """Deletes in transactions that are short."""
        key, end = key_of(path), AFTER if recursive else SEPARATOR
        is_more = True
        while is_more:
            with self._change() as unnamed:
                if not recursive and not self._row(key) and self._rows(key, key + AFTER):
                    raise Refusal(StorageError.PATH_CONFLICT, "there is content below this path, and none at it")
                unnamed += self._drop(key, key + end) + self._drop(SESSION + key, SESSION + key + end)
                is_more = recursive and bool(unnamed)

    def _committed(self, target: str, size: int) -> Info:
        """The answer to a Commit that has happened before [O3]."""
        row = self._row(key_of(target))
        if not row or row.size != size:
            raise Refusal(StorageError.NOT_FOUND, "there is no session at this path")
        return row.info()

    def _fence(self, key: str) -> None:
        if writer := self._writers.pop(key, None):
            writer.fence()

    def _create(self, name: str, content: bytes) -> None:
        """Makes a file that stays, whatever happens to the machine, once a row names it."""
        with self._open_file(name, "xb") as file:
            write_all(file, content)
            os.fsync(file.fileno())
        os.fsync(self._files)

    def _open_file(self, name: str, mode: str = "r+b") -> IO[bytes]:
        def within(name: str, flags: int) -> int:  # where no link leads out [N4]
            return os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=self._files)

        return open(name, mode, buffering=0, opener=within)

    def _size_of(self, name: str) -> int:
        return os.stat(name, dir_fd=self._files).st_size

    def _remove(self, names: Iterable[str]) -> None:
        for name in names:
            with suppress(OSError):  # what stays is removed by the next start
                os.unlink(name, dir_fd=self._files)

    def _fill_reserve(self) -> None:
        with suppress(OSError), open(f"{self._folder}/reserve", "ab") as reserve:
            os.posix_fallocate(reserve.fileno(), 0, RESERVE)
