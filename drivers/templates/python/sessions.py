"""Write sessions: whose turn it is at a staging path, and the fence between its writers [W2]. A vendor keeps this.

For one staging path everything happens in turn: a stream's append or flush, a newer open, Commit and Delete. Whoever
has the turn decides who the writer is; a stream that no longer is the writer finds itself fenced.
"""

import asyncio
from typing import TYPE_CHECKING
from weakref import WeakValueDictionary

from errors import Refusal
from storagedriver.v1alpha1.storage_driver_pb2 import StorageError

if TYPE_CHECKING:
    from store import Session


class Writer:
    """A stream's hold on the session it opened."""

    def __init__(self, session: "Session") -> None:
        self.session = session
        self.fenced = asyncio.Event()


class Turn:
    """One staging path. Hold `lock` for whatever is done there."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.writer: Writer | None = None

    def pass_to(self, writer: Writer | None) -> None:
        """Fences the writer there was."""
        if self.writer:
            self.writer.session.close()
            self.writer.fenced.set()
        self.writer = writer

    def session_of(self, writer: Writer) -> "Session":
        if self.writer is not writer:
            raise Refusal(StorageError.FENCED, "the session was opened anew, committed or deleted by somebody else")
        return writer.session


class Turns:
    """The turns at all staging paths. One lives as long as a stream or a call has it."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, Turn] = WeakValueDictionary()

    def at(self, path: str) -> Turn:
        return self._turns.setdefault(path, Turn())

    async def fence_below(self, path: str) -> None:
        """Fences the writers below `path` [D2]. Who opens a session there afterwards and loses it to the same Delete
        learns that from the store."""
        for turn in [turn for key, turn in self._turns.items() if key.startswith(path + "/")]:
            async with turn.lock:
                turn.pass_to(None)
