# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Looking at files that others made: bounded in bytes and entries, never waiting for a pipe, nothing followed that is not asked for."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import stat
import time
from typing import Any, BinaryIO, Dict, Iterable, Iterator, List, Tuple

SQLITE = b"SQLite format 3\0"
MAX_ENTRIES = 20000
"""Names of one directory that are looked at."""


def _open(path: str) -> BinaryIO:
    """Open a regular file, and wait for nothing else. Raises OSError."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "not a regular file", path)
    return os.fdopen(handle, "rb")


def read(path: str, limit: int = 512 * 1024) -> bytes:
    """At most ``limit`` bytes of a regular file; nothing when it is none or cannot be read. A FIFO is not waited for."""
    try:
        with _open(path) as stream:
            return stream.read(limit)
    except (OSError, ValueError):  # a path with a NUL
        return b""


def text(path: str, limit: int = 512 * 1024) -> str:
    """The same as text; what is not UTF-8 is replaced."""
    return read(path, limit).decode("utf-8", "replace")


def blocks(path: str, size: int = 1 << 20) -> Iterator[bytes]:
    """The content of a regular file, piece by piece. Raises OSError."""
    with _open(path) as stream:
        while True:
            data = stream.read(size)
            if not data:
                return
            yield data


def is_sqlite(path: str) -> bool:
    """Does the file begin as a SQLite 3 database does (sqlite.org/fileformat.html)?"""
    return read(path, 16) == SQLITE


def entries(directory: str, limit: int = MAX_ENTRIES) -> Tuple[List["os.DirEntry[str]"], bool]:
    """(entries sorted by name, are these all): a directory with millions of files costs no more than the limit. None for what cannot be read."""
    try:
        with os.scandir(directory) as found:
            listed = list(itertools.islice(found, limit + 1))
    except OSError:
        return [], True
    return sorted(listed[:limit], key=lambda entry: entry.name), len(listed) <= limit


class Budget:
    """How much may still be looked at, over several calls: by entries, by seconds of our own processor time, and by the clock.

    A busy host makes us wait and no less thorough: what is found shall not depend on what else runs. Only a disk that hardly answers ends it sooner.
    """

    def __init__(self, count: int, seconds: float, waiting: float) -> None:
        self.count = count
        self.until, self.latest = time.thread_time() + seconds, time.monotonic() + waiting

    def spend(self) -> bool:
        """Take one; False when there is none left."""
        self.count -= 1
        return self.count >= 0 and (self.count % 256 != 0 or (time.thread_time() < self.until and time.monotonic() < self.latest))

    def part(self, count: int) -> "Budget":
        """A budget of at most ``count`` entries that ends no later than this one."""
        now, clock = time.thread_time(), time.monotonic()
        return Budget(min(count, max(self.count, 0)), self.until - now, self.latest - clock)


def sizes(paths: Iterable[str], each: int = 50000, total: int = 200000, seconds: float = 2.0) -> Dict[str, Dict[str, Any]]:
    """{path: {bytes, files, complete}}: what lies below, by the disk it takes. ``complete`` is false where counting stopped."""
    whole = Budget(total, seconds, 10 * seconds)
    found = {}
    for path in paths:
        budget = whole.part(each)
        before = budget.count
        found[path] = _size(path, budget)
        whole.count -= before - max(budget.count, 0)
    return found


def _size(top: str, budget: Budget) -> Dict[str, Any]:
    size = files = 0
    complete = True
    seen = set()
    todo = [top]
    try:
        if not stat.S_ISDIR(os.stat(top).st_mode):
            return {"bytes": os.stat(top).st_blocks * 512, "files": 1, "complete": True}
        device = os.stat(top).st_dev
    except OSError:
        return {"bytes": 0, "files": 0, "complete": False}
    while todo:
        try:
            with os.scandir(todo.pop()) as listed:
                for entry in listed:
                    if not budget.spend():
                        return {"bytes": size, "files": files, "complete": False}
                    with contextlib.suppress(FileNotFoundError):  # it may be removed while we look
                        info = entry.stat(follow_symlinks=False)
                        if stat.S_ISDIR(info.st_mode):
                            if info.st_dev == device:
                                todo.append(entry.path)
                        elif info.st_nlink == 1 or (info.st_dev, info.st_ino) not in seen:
                            if info.st_nlink > 1:
                                seen.add((info.st_dev, info.st_ino))
                            size += info.st_blocks * 512
                            files += 1
        except OSError:
            complete = False
    return {"bytes": size, "files": files, "complete": complete}


def printable(value: Any) -> Any:
    """The same data with texts that UTF-8 can carry: bytes of a name that are not UTF-8 are shown as ``\\xff``."""
    if isinstance(value, str):
        try:
            value.encode("utf-8")
        except UnicodeEncodeError:
            with contextlib.suppress(UnicodeEncodeError):
                return os.fsencode(value).decode("utf-8", "backslashreplace")
            return value.encode("utf-8", "backslashreplace").decode("utf-8")
        return value
    if isinstance(value, dict):
        return {printable(key): printable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [printable(item) for item in value]
    return value


def is_printable(path: str) -> bool:
    """Can a plan hold this path, as it is?"""
    return printable(path) == path and "\0" not in path
