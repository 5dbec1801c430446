"""Paths: which there are, and the order in which a walk meets them (section 4 of the contract). A vendor keeps this."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from errors import Refusal
from storagedriver.v1alpha1.storage_driver_pb2 import StorageError, WalkResponse

if TYPE_CHECKING:
    from store import FolderStore

PAGE_MAX = 1000
PATH_MAX = 1024
NAME = re.compile(r"(?!\.\.?(?:/|\Z))[A-Za-z0-9._-]{1,255}")
PATH = re.compile(rf"(?:/{NAME.pattern})+")


def check(path: str, or_root: bool = False) -> str:
    """The path, which may then be trusted: every one is checked here before a store sees it [N1] [N2]."""
    if path == "/" and or_root:
        return path
    if path == "/":
        raise Refusal(StorageError.PATH_INVALID, "only List and Walk take the path /")
    if len(path) > PATH_MAX or not PATH.fullmatch(path):
        raise Refusal(StorageError.PATH_INVALID, "this is not a path")
    return path


def check_name(name: str) -> str:
    """The name after which a listing goes on; empty for a listing from the first."""
    if name and not NAME.fullmatch(name):
        raise Refusal(StorageError.PATH_INVALID, "start_after is not the name of a path component")
    return name


def check_start(start_after: str, base: str) -> str:
    """The path after which a walk of `base` goes on; empty for a walk from the first."""
    if start_after and not check(start_after).startswith(base.rstrip("/") + "/"):
        raise Refusal(StorageError.REQUEST_INVALID, "start_after is not below the path to walk")
    return start_after


def walk(store: "FolderStore", base: str, start_after: str) -> Iterator[WalkResponse.Entry]:
    """All content below `base`, by component [A1]. One page for each level of depth is all it holds [A2]."""
    above = base.rstrip("/")
    after, _, rest = start_after.removeprefix(above)[1:].partition("/")
    if after:
        # What lies below the place to continue at comes before what lies beside it.
        yield from walk(store, f"{above}/{after}", start_after if rest else "")
    more = True
    while more:
        entries, more = store.page(base, after, PAGE_MAX)
        for entry in entries:
            after, path = entry.name, f"{above}/{entry.name}"
            if entry.info.is_prefix:
                yield from walk(store, path, "")
            else:
                yield WalkResponse.Entry(path=path, info=entry.info)
