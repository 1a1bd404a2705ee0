# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's file system as the image sees it: symlinks resolved by hand, everything looked at once."""

from __future__ import annotations

import os
import stat
from abc import ABC, abstractmethod
from typing import BinaryIO, Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Tuple

MAX_LINKS = 40
"""As many symlinks as the kernel follows (path_resolution(7))."""


class Stat(NamedTuple):
    """What an image keeps of a file: ``kind`` is file, dir, link or other; ``mtime_ns`` in nanoseconds."""

    kind: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    size: int = 0
    mtime_ns: int = 0
    inode: Tuple[int, int] = (0, 0)
    links: int = 1


class Resolved(NamedTuple):
    """Where a path leads: ``real`` is None when it leads nowhere; ``links`` are the symlinks on the way, each at its own real place."""

    real: Optional[str]
    links: List[str]


class Fs(ABC):
    """Path resolution over three primitives; subclasses give ``lstat``, ``readlink``, ``listdir`` and ``open``. Paths are absolute."""

    def __init__(self) -> None:
        self._dirs: Dict[str, Resolved] = {"/": Resolved("/", [])}

    @abstractmethod
    def lstat(self, path: str) -> Optional[Stat]:
        """Stat of a path whose directory is real; None when there is nothing."""

    @abstractmethod
    def readlink(self, path: str) -> str:
        """The symlink's text."""

    @abstractmethod
    def listdir(self, path: str) -> List[str]:
        """Names in a real directory, sorted."""

    @abstractmethod
    def open(self, path: str) -> BinaryIO:
        """The file's bytes."""

    def resolve(self, path: str) -> Resolved:
        """Follow every symlink in ``path`` as the kernel would, ``..`` included."""
        return self._resolve(path, MAX_LINKS)

    def _resolve(self, path: str, budget: int) -> Resolved:
        if path in self._dirs:
            return self._dirs[path]
        head, tail = os.path.split(path.rstrip("/"))
        parent = self._resolve(head, budget) if head != path else Resolved("/", [])
        if parent.real is None or budget <= 0:
            return Resolved(None, parent.links)
        if tail in ("", "."):
            return parent
        if tail == "..":
            return Resolved(os.path.dirname(parent.real), parent.links)
        here = os.path.join(parent.real, tail)
        found = self.lstat(here)
        if found is None:
            return Resolved(None, parent.links)
        if found.kind != "link":
            done = Resolved(here, parent.links)
            if found.kind == "dir":
                self._dirs[path] = done
            return done
        target = self._resolve(os.path.join(parent.real, self.readlink(here)), budget - 1)
        links = parent.links + [here] + [link for link in target.links if link not in parent.links]
        return Resolved(target.real, links)

    def canonical(self, path: str) -> Optional[str]:
        """The path with its directory resolved but not its last part: where the thing itself stands. None without such a directory."""
        path = path.rstrip("/") or "/"
        if path == "/":
            return path
        head, tail = os.path.split(path)
        if tail in (".", ".."):
            return self.resolve(path).real
        parent = self.resolve(head).real
        return None if parent is None else os.path.join(parent, tail)

    def kind(self, path: str) -> Optional[str]:
        """Kind of what the path leads to; None when it leads nowhere."""
        real = self.resolve(path).real
        found = self.lstat(real) if real is not None else None
        return found.kind if found is not None else None

    def read(self, path: str, limit: int = 16 * 1024 * 1024) -> Optional[bytes]:
        """The content of the file the path leads to, at most ``limit`` bytes; None when it is no file."""
        real = self.resolve(path).real
        if real is None or self.kind(real) != "file":
            return None
        with self.open(real) as file:
            return file.read(limit)

    def text(self, path: str) -> str:
        """The file as text; empty when there is none."""
        return (self.read(path) or b"").decode("utf-8", "replace")

    def walk(self, top: str, enter: Callable[[str, Stat], bool] = lambda path, found: True) -> Iterator[Tuple[str, Stat]]:
        """Everything below a real directory that ``enter`` lets pass, a directory before its content, in a fixed order."""
        for name in self.listdir(top):
            path = os.path.join(top, name)
            found = self.lstat(path)
            if found is not None and enter(path, found):
                yield path, found
                if found.kind == "dir":
                    yield from self.walk(path, enter)


class HostFs(Fs):
    """The running host, or the tree below ``root`` (tests). Looks at every path once: a new object sees changes.

    ``moved``: real directories, and where their content is read from instead.
    """

    def __init__(self, root: str = "", moved: Optional[Mapping[str, str]] = None) -> None:
        super().__init__()
        self.root = root
        self.moved = dict(moved or {})
        self._stats: Dict[str, Optional[Stat]] = {}

    def lstat(self, path: str) -> Optional[Stat]:
        """See Fs."""
        if path not in self._stats:
            try:
                self._stats[path] = self._stat(os.lstat(self._at(path)))
            except OSError:
                self._stats[path] = None
        return self._stats[path]

    def _at(self, path: str) -> str:
        for top, place in self.moved.items():
            if path == top or path.startswith(top + "/"):
                return place + path[len(top):]
        return self.root + path

    @staticmethod
    def _stat(found: os.stat_result) -> Stat:
        mode = found.st_mode
        kind = "file" if stat.S_ISREG(mode) else "dir" if stat.S_ISDIR(mode) else "link" if stat.S_ISLNK(mode) else "other"
        return Stat(kind, stat.S_IMODE(mode), found.st_uid, found.st_gid, found.st_size, found.st_mtime_ns,
                    (found.st_dev, found.st_ino), found.st_nlink)

    def readlink(self, path: str) -> str:
        """See Fs."""
        return os.readlink(self._at(path))

    def listdir(self, path: str) -> List[str]:
        """See Fs."""
        try:
            return sorted(os.listdir(self._at(path)))
        except OSError:
            return []

    def open(self, path: str) -> BinaryIO:
        """See Fs."""
        return open(self._at(path), "rb")
