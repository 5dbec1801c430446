"""A store in a folder on disk. THIS IS THE MODULE A VENDOR REPLACES.

The rest asks nothing of a store but the public methods here, and of `Content` and `Session`. All of it is blocking
code, called from several threads at once; every path it is given was checked. What it raises is a `Refusal`, or an
OSError, which errors.py explains.

Below `rootdirectory` lie `content/`, where the path /a/b is the file a/b; `sessions/`, where the session at /a/b is the
file a/b/~data, a name that no path can have; `temporary/`, where content is written before it has a path and where
deleted folders go; and `lock`. Content is never written to once it has its path: it arrives whole, by one rename [G2].
"""

import errno
import fcntl
import heapq
import itertools
import os
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NoReturn, Self

from google.protobuf.timestamp_pb2 import Timestamp

from errors import Refusal
from paths import NAME
from storagedriver.v1alpha1.storage_driver_pb2 import Capabilities, Info, ListResponse, StorageError

CONTENT, SESSIONS, TEMPORARY, LOCK, DATA = "content", "sessions", "temporary", "lock", "~data"
# No link is followed and no FIFO waited for, so that every step leads downwards from the root [N4].
SAFE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FOLDER = os.O_RDONLY | os.O_DIRECTORY | SAFE
# A predecessor that was killed may need this long to finish dying.
LOCK_PATIENCE = 5.0
SETTLED_MAX = 100_000
# Nothing is there, which a file above the name also means.
NOTHING = (FileNotFoundError, NotADirectoryError)


def split(path: str) -> tuple[str, str]:
    """The folder and the name."""
    folder, _, name = path.rpartition("/")
    return folder, name


def content_info(found: os.stat_result) -> Info:
    """The version stays with a file over restarts and renames; `_publish` gives each file a time of its own."""
    seconds, nanos = divmod(found.st_mtime_ns, 10**9)
    version = f"{found.st_ino:x}-{found.st_size:x}-{found.st_mtime_ns:x}"
    return Info(size=found.st_size, modified=Timestamp(seconds=seconds, nanos=nanos), version=version)


def write_all(file: int, data: bytes, offset: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, offset)
        view, offset = view[written:], offset + written


def look(within: int, name: str) -> os.stat_result:
    return os.stat(name, dir_fd=within, follow_symlinks=False)


def is_ours(entry: os.DirEntry[str]) -> bool:
    """Links, FIFOs and whatever has another name than a path component are not there for us."""
    is_one = entry.is_file(follow_symlinks=False) or entry.is_dir(follow_symlinks=False)
    return is_one and NAME.fullmatch(entry.name) is not None


def sync(folder: int) -> None:
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove(folder: int, name: str) -> None:
    """Removes what nobody can reach any more. What stays is swept at the next start."""
    try:
        os.unlink(name, dir_fd=folder)
    except IsADirectoryError:
        shutil.rmtree(name, dir_fd=folder, ignore_errors=True)
    except FileNotFoundError:
        pass


class Content:
    """One version of a content, open for reading: it stays readable when it is replaced or deleted [R4]."""

    def __init__(self, file: int) -> None:
        self._file = open(file, "rb", buffering=0)
        self.info = content_info(os.fstat(file))

    def read(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes, which the caller knows to be there."""
        pieces = []
        while length:
            piece = os.pread(self._file.fileno(), length, offset)
            if not piece:
                raise Refusal(StorageError.CORRUPT, "the content is shorter than its size")  # [R5]
            pieces.append(piece)
            offset, length = offset + len(piece), length - len(piece)
        return b"".join(pieces)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()


class Session:
    """A write session, open for one writer."""

    def __init__(self, store: "FolderStore", folder: str, file: int, size: int) -> None:
        self._store, self._folder, self._size = store, folder, size
        self._file = open(file, "wb", buffering=0)
        self._is_settled = False

    def append(self, data: bytes) -> int:
        """Appends, and tells how many bytes survive the death of this process: the kernel has them all [W3]."""
        self._check_alive()
        try:
            write_all(self._file.fileno(), data, self._size)
        except OSError:
            # On a full disk part of it may be there; that part was never told, and its space is wanted.
            os.ftruncate(self._file.fileno(), self._size)
            raise
        self._size += len(data)
        return self._size

    def flush(self) -> int:
        """Persists everything, and tells how much that is."""
        try:
            os.fdatasync(self._file.fileno())
        except OSError:
            # The kernel may have dropped bytes it still shows: nothing may be built on them.
            self._store.end_session(self._folder)
            raise
        if not self._is_settled:
            self._store.settle(self._folder)
            self._is_settled = True
        self._check_alive()
        return self._size

    def _check_alive(self) -> None:
        if os.fstat(self._file.fileno()).st_nlink == 0:
            raise Refusal(StorageError.NOT_FOUND, "the session was deleted")  # [D2]

    def close(self) -> None:
        self._file.close()


class FolderStore:
    """Opens the store, or raises CONFIG_INVALID, or UNAVAILABLE when another process has it."""

    def __init__(self, parameters: dict[str, str]) -> None:
        unknown = sorted(parameters.keys() - {"rootdirectory"})
        if unknown:  # [K2]; the values may be secrets
            raise Refusal(StorageError.CONFIG_INVALID, f"there is no parameter {', '.join(unknown)}"[:1000])
        self._path = Path(parameters.get("rootdirectory", ""))
        if not self._path.is_absolute():
            raise Refusal(StorageError.CONFIG_INVALID, "the parameter rootdirectory is not an absolute path")
        try:
            for name in (CONTENT, SESSIONS, TEMPORARY):
                os.makedirs(self._path / name, mode=0o700, exist_ok=True)
        except (FileExistsError, NotADirectoryError) as problem:
            message = "the parameter rootdirectory names something else than a folder"
            raise Refusal(StorageError.CONFIG_INVALID, message) from problem
        lock = self._take_lock()
        try:
            self._prepare()
        except BaseException:
            os.close(lock)
            raise

    def _prepare(self) -> None:
        self._root = os.open(self._path, FOLDER & ~os.O_NOFOLLOW)
        self._temporary = os.open(TEMPORARY, FOLDER, dir_fd=self._root)
        # Names appear, move and go under this lock only. It is never held for as long as the disk takes.
        self._names = threading.Lock()
        # Folders whose own names, up to the root, survive the loss of power; and how often a folder was removed.
        self._settled: set[str] = set()
        self._removals = 0
        self._fresh = (f"{os.getpid()}-{time.time_ns()}-{count}" for count in itertools.count())
        for above in (self._path, *self._path.parents):
            with suppress(PermissionError):
                sync(os.open(above, os.O_RDONLY | os.O_DIRECTORY))
        left = os.listdir(self._temporary)
        threading.Thread(target=self._sweep, args=(left,), daemon=True).start()
        # What is declared must work [C1]: some file systems have no hard links.
        self.capabilities = Capabilities(durability=Capabilities.POWER, granularity=1, if_absent=self._can_link())

    def _sweep(self, names: Iterable[str]) -> None:
        for name in names:
            remove(self._temporary, name)

    def _take_lock(self) -> int:
        """One process has the store; a second is refused [K4]. The kernel frees the lock when its holder dies."""
        lock = os.open(self._path / LOCK, os.O_RDWR | os.O_CREAT | SAFE, 0o600)
        patience = time.monotonic() + LOCK_PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return lock
            except BlockingIOError as problem:
                if time.monotonic() > patience:
                    os.close(lock)
                    message = "another process has this store open: stop it, or use another rootdirectory"
                    raise Refusal(StorageError.UNAVAILABLE, message) from problem
            time.sleep(0.02)

    def _can_link(self) -> bool:
        link = next(self._fresh)
        try:
            os.link(LOCK, link, src_dir_fd=self._root, dst_dir_fd=self._temporary)
        except OSError as problem:
            return problem.errno == errno.ENOSPC
        remove(self._temporary, link)
        return True

    # ---------------------------------------------------------------- what the service asks for

    def probe(self) -> None:
        """Raises when the store cannot be used now: it was unmounted, or taken away [P2]."""
        with suppress(*NOTHING), self._folder(CONTENT) as folder:
            if os.path.samestat(os.stat(self._path / CONTENT), os.fstat(folder)):
                return
        raise Refusal(StorageError.UNAVAILABLE, "the folder of the store is not there any more")

    def stat(self, path: str) -> Info:
        folder, name = split(CONTENT + path)
        with suppress(*NOTHING), self._folder(folder) as within:
            if info := self._info(within, name):
                return info
        self._nothing_there()

    def open_content(self, path: str) -> Content:
        folder, name = split(CONTENT + path)
        with suppress(*NOTHING), self._folder(folder) as within:
            if stat.S_ISREG(look(within, name).st_mode):
                return Content(os.open(name, os.O_RDONLY | SAFE, dir_fd=within))
        self._nothing_there()

    def put(self, path: str, content: bytes, if_absent: bool) -> Info:
        name = next(self._fresh)
        file = os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | SAFE, 0o644, dir_fd=self._temporary)
        try:
            write_all(file, content, 0)
            return self._publish(file, TEMPORARY, name, path, if_absent)
        finally:
            os.close(file)
            remove(self._temporary, name)

    def page(self, path: str, start_after: str, limit: int) -> tuple[list[ListResponse.Entry], bool]:
        """The children of a path, and whether more follow. It holds no more names than a page has [A2]."""
        found: list[ListResponse.Entry] = []
        with suppress(*NOTHING), self._folder((CONTENT + path).rstrip("/")) as folder:
            while len(found) <= limit:
                with os.scandir(folder) as entries:
                    names = heapq.nsmallest(limit + 1, (e.name for e in entries if e.name > start_after and is_ours(e)))
                infos = ((name, self._info(folder, name)) for name in names)
                found += [ListResponse.Entry(name=name, info=info) for name, info in infos if info]
                if len(names) <= limit:
                    break
                start_after = names[-1]  # some were empty folders, which left the page short
        if not found:
            self.probe()  # an empty page says that nothing is there
        return found[:limit], len(found) > limit

    def move(self, source: str, target: str) -> Info:
        (folder, name), (target_folder, target_name) = split(CONTENT + source), split(CONTENT + target)
        with self._names:
            info = self.stat(source)
            if info.is_prefix:
                self._nothing_there()
            if source == target:
                return info
            with self._folder(folder) as there, self._target(target_folder, target_name) as here:
                os.replace(name, target_name, src_dir_fd=there, dst_dir_fd=here)
        self.settle(target_folder)
        self._tidy(folder)
        return info

    def delete(self, path: str, recursive: bool) -> None:
        self.probe()
        if recursive:
            self._discard(CONTENT + path)
            self._discard(SESSIONS + path)
            return
        folder, name = split(CONTENT + path)
        with self._names, suppress(*NOTHING), self._folder(folder) as within:
            if not stat.S_ISDIR(look(within, name).st_mode):
                os.unlink(name, dir_fd=within)
            elif self._is_occupied(within, name):
                raise Refusal(StorageError.PATH_CONFLICT, "there is content below this path")  # [D1]
        self._tidy(folder)
        self.end_session(SESSIONS + path)

    def open_session(self, path: str, offset: int, target: str) -> Session:
        """Opens the session at `path`, at most one of which is in use at a time. The target is of no use here."""
        folder = SESSIONS + path
        if offset == 0:
            with self._names, self._folder(folder, make=True) as within:
                with suppress(FileNotFoundError):
                    os.unlink(DATA, dir_fd=within)
                file = os.open(DATA, os.O_WRONLY | os.O_CREAT | os.O_EXCL | SAFE, 0o644, dir_fd=within)
            return Session(self, folder, file, 0)
        file = self._session_file(folder)
        size = os.fstat(file).st_size
        if offset > size:
            os.close(file)
            raise Refusal(StorageError.OFFSET_INVALID, "the session is shorter", persisted=size)
        os.ftruncate(file, offset)
        return Session(self, folder, file, offset)

    def commit(self, path: str, target: str, size: int, if_absent: bool) -> Info:
        folder = SESSIONS + path
        try:
            file = self._session_file(folder)
        except Refusal:
            return self._committed_before(target, size)
        try:
            if (persisted := os.fstat(file).st_size) != size:
                raise Refusal(StorageError.OFFSET_INVALID, "the session is of another size", persisted=persisted)
            info = self._publish(file, folder, DATA, target, if_absent)
        except FileNotFoundError:
            self._nothing_there()
        finally:
            os.close(file)
        self.end_session(folder)
        return info

    # ---------------------------------------------------------------- how it is done

    def _committed_before(self, target: str, size: int) -> Info:
        """A Commit that is repeated finds its session gone and its target there [O3]."""
        info = self.stat(target)
        if info.is_prefix or info.size != size:
            self._nothing_there()
        return info

    def _session_file(self, folder: str) -> int:
        with suppress(*NOTHING), self._folder(folder) as within:
            file = os.open(DATA, os.O_RDWR | SAFE, dir_fd=within)
            if os.fstat(file).st_nlink == 1:
                return file
            # It has become content, and its old name is what a crash left of it: it must not be written to.
            os.close(file)
        self._nothing_there()

    def end_session(self, folder: str) -> None:
        with self._names, suppress(*NOTHING), self._folder(folder) as within:
            os.unlink(DATA, dir_fd=within)
        self._tidy(folder)

    def _publish(self, file: int, folder: str, name: str, target: str, if_absent: bool) -> Info:
        """Gives a file its path, in one step, and returns when that survives the loss of power."""
        now = time.time_ns()  # the kernel's own times are coarse: two files in a row could look like one version
        os.utime(file, ns=(now, now))
        os.fsync(file)
        target_folder, target_name = split(CONTENT + target)
        with self._names, self._folder(folder) as there, self._target(target_folder, target_name) as here:
            if if_absent:  # a link, unlike a rename, replaces nothing [U1]; its maker removes the old name
                os.link(name, target_name, src_dir_fd=there, dst_dir_fd=here, follow_symlinks=False)
            else:
                os.replace(name, target_name, src_dir_fd=there, dst_dir_fd=here)
        self.settle(target_folder)
        return content_info(os.fstat(file))

    def settle(self, folder: str) -> None:
        """Returns when the names in `folder`, and those of the folders above it, survive the loss of power."""
        removals, fresh = self._removals, []
        try:
            self._sync(folder)
            while folder and folder not in self._settled:
                fresh.append(folder)
                folder = split(folder)[0]
                self._sync(folder)
        except NOTHING:
            return  # somebody deleted it since
        with self._names:
            if removals == self._removals and len(self._settled) < SETTLED_MAX:
                self._settled.update(fresh)

    def _tidy(self, folder: str) -> None:
        """Makes what was removed from `folder` stay removed, and removes the folders that are empty now."""
        while True:
            try:
                self._sync(folder)
                break
            except NOTHING:  # somebody removed the folder: then that must stay
                folder = split(folder)[0]
        with self._names, suppress(OSError):
            while "/" in folder:
                above, name = split(folder)
                with self._folder(above) as within:
                    os.rmdir(name, dir_fd=within)
                self._settled.discard(folder)
                self._removals += 1
                folder = above

    def _discard(self, place: str) -> None:
        """Takes a whole tree away in one step, and empties it where nobody sees."""
        folder, name = split(place)
        doomed = next(self._fresh)
        with self._names, suppress(*NOTHING), self._folder(folder) as within:
            os.rename(name, doomed, src_dir_fd=within, dst_dir_fd=self._temporary)
            self._settled.clear()
            self._removals += 1
        self._tidy(folder)
        remove(self._temporary, doomed)

    @contextmanager
    def _folder(self, folder: str, make: bool = False) -> Iterator[int]:
        """Opens a folder step by step, so that no link leads out of the root [N4]."""
        within = os.dup(self._root)
        try:
            for name in folder.split("/") if folder else ():
                if make:
                    with suppress(FileExistsError):
                        os.mkdir(name, 0o755, dir_fd=within)
                below = os.open(name, FOLDER, dir_fd=within)
                os.close(within)
                within = below
            yield within
        finally:
            os.close(within)

    @contextmanager
    def _target(self, folder: str, name: str) -> Iterator[int]:
        """The folder in which content is to get `name`. Folders without content that stand there go [G6]."""
        with self._folder(folder, make=True) as within:
            with suppress(*NOTHING):
                if stat.S_ISDIR(look(within, name).st_mode) and not self._is_occupied(within, name):
                    for _, folders, _, above in os.fwalk(name, topdown=False, dir_fd=within):
                        for below in folders:
                            os.rmdir(below, dir_fd=above)
                    os.rmdir(name, dir_fd=within)
                    self._settled.clear()
                    self._removals += 1
            yield within

    def _info(self, within: int, name: str) -> Info | None:
        with suppress(*NOTHING):
            found = look(within, name)
            if stat.S_ISREG(found.st_mode):
                return content_info(found)
            if stat.S_ISDIR(found.st_mode) and self._is_occupied(within, name):
                return Info(is_prefix=True)
        return None

    def _is_occupied(self, within: int, name: str) -> bool:
        """Whether there is content somewhere below. The nearest is found first: most folders have some in them."""
        with suppress(*NOTHING):
            folder = os.open(name, FOLDER, dir_fd=within)
            try:
                with os.scandir(folder) as entries:
                    ours = [(entry.is_dir(follow_symlinks=False), entry.name) for entry in entries if is_ours(entry)]
                return any(not is_folder or self._is_occupied(folder, below) for is_folder, below in sorted(ours))
            finally:
                os.close(folder)
        return False

    def _sync(self, folder: str) -> None:
        with self._folder(folder) as within:
            os.fsync(within)

    def _nothing_there(self) -> NoReturn:
        self.probe()  # a store that was taken away must not look empty [E2]
        raise Refusal(StorageError.NOT_FOUND, "there is nothing of that kind at this path")
