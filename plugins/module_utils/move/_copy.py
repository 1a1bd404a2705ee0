# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A tree made equal to another one, again and again with less to do each time, until nobody writes any more.

Memory is that of the largest directory's names, and of what has several hard links. What is neither file, directory nor link (sockets, FIFOs,
devices) stands for a process and is left alone on both sides.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, FrozenSet, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move._copy_file import attributes, copy_file, copy_link, open_directory, opened

DEEPEST = 300
"""Levels of directories; each keeps two of them open."""

_TOP = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_PLAIN = (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK)


@dataclass
class Counts:
    """What one pass has seen and done: ``entries`` looked at, ``files`` and ``bytes`` copied, entries ``removed`` and ``skipped``.

    ``passed``: bytes on the disk of what it is through with, copied or equal already; at the end what ``size`` says of the tree.
    """

    entries: int = 0
    files: int = 0
    bytes: int = 0
    removed: int = 0
    skipped: int = 0
    passed: int = 0


Tick = Callable[[Counts], None]
"""Called for each entry and each chunk of a file; may raise to give up."""


def stale(source: os.stat_result, target: Optional[os.stat_result], since: int, hot: FrozenSet[int] = frozenset()) -> bool:
    """Whether the content of a file has to be copied (again). Pure.

    ``since``: everything changed before (ctime, in nanoseconds since the epoch) is known to be in the copy; 0 when nothing is known. ctime tells what a
    restored mtime hides. ``hot``: inodes that are open for writing; a page that is mapped and written again tells neither time.
    """
    if target is None or source.st_size != target.st_size or source.st_mtime_ns != target.st_mtime_ns:
        return True
    if source.st_nlink == 1 and target.st_nlink > 1:
        return True  # it was a link to another file, and has come to be its own
    return source.st_ctime_ns >= since or source.st_ino in hot


@dataclass
class Pass:
    """One pass over a tree. ``durable``: each file is on the disk before the pass ends."""

    since: int = 0
    hot: FrozenSet[int] = frozenset()
    tick: Tick = lambda counts: None
    durable: bool = False
    counts: Counts = field(default_factory=Counts)
    _links: Dict[Tuple[int, int], str] = field(default_factory=dict)
    _device: int = 0
    _top: int = -1
    _part: int = 0

    def sync(self, source: str, target: str) -> Counts:
        """Make ``target`` equal to ``source``; both are directories. Raises WebstackError, and whatever ``tick`` raises."""
        try:
            with opened(os.open(source, _TOP)) as src, opened(os.open(target, _TOP)) as dst:
                self._device, self._top = os.fstat(src).st_dev, dst
                self._directory(src, dst, "")
        except OSError as exc:
            what = "there is no room left where it is copied to" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else exc.strerror
            raise WebstackError("%s cannot be copied: %s%s" % (source, what, " (%s)" % exc.filename if exc.filename else "")) from exc
        return self.counts

    def _directory(self, src: int, dst: int, where: str) -> None:
        if where.count("/") >= DEEPEST:
            raise WebstackError("%s... has more than %d directories in each other; leave this state in place" % (where[:60], DEEPEST))
        info, names = os.fstat(src), set(os.listdir(src))
        for name in os.listdir(dst):
            if name not in names:
                self._surplus(dst, name)
        for name in names:
            self.counts.entries += 1
            self.tick(self.counts)
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # gone since it was listed: the next pass finds that too
                self._entry(src, dst, name, where)
        attributes(src, dst, info)
        if self.durable:
            os.fsync(dst)

    def _surplus(self, dst: int, name: str) -> None:
        info = _look(dst, name)
        if info is not None and stat.S_IFMT(info.st_mode) in _PLAIN:
            _remove(dst, name)
            self.counts.removed += 1

    def _entry(self, src: int, dst: int, name: str, where: str) -> None:
        info = os.stat(name, dir_fd=src, follow_symlinks=False)
        self._part = 0
        kind, there = stat.S_IFMT(info.st_mode), _look(dst, name)
        if there is not None and stat.S_IFMT(there.st_mode) != kind:
            _remove(dst, name)
            there = None
        if kind == stat.S_IFDIR:
            self._subdirectory(src, dst, name, where, there)
        elif kind == stat.S_IFLNK:
            if there is None or os.readlink(name, dir_fd=src) != os.readlink(name, dir_fd=dst) or _meta(info) != _meta(there):
                copy_link(src, dst, name, info)
        elif kind == stat.S_IFREG:
            self._file(src, dst, name, where, info, there)
        else:
            self.counts.skipped += 1
        self.counts.passed += info.st_blocks * 512 - self._part
        self._part = 0

    def _subdirectory(self, src: int, dst: int, name: str, where: str, there: Optional[os.stat_result]) -> None:
        with opened(open_directory(name, src)) as inner:
            if os.fstat(inner).st_dev != self._device:
                raise WebstackError("%s is a mount of its own; leave this state in place" % (where + name))
            if there is None:
                os.mkdir(name, 0o700, dir_fd=dst)
            with opened(open_directory(name, dst)) as copied:
                self._directory(inner, copied, where + name + "/")

    def _file(self, src: int, dst: int, name: str, where: str, info: os.stat_result, there: Optional[os.stat_result]) -> None:
        key = (info.st_dev, info.st_ino)
        first = self._links.get(key)
        if first is not None:
            if there is None or there.st_ino != os.stat(first, dir_fd=self._top, follow_symlinks=False).st_ino:
                temporary = os.path.basename(_journal.temporary_in(""))
                os.link(first, temporary, src_dir_fd=self._top, dst_dir_fd=dst, follow_symlinks=False)
                os.rename(temporary, name, src_dir_fd=dst, dst_dir_fd=dst)
            return
        if stale(info, there, self.since, self.hot):
            copy_file(src, dst, name, self._told, self.durable)
            self.counts.files += 1
        elif there is not None and _meta(info) != _meta(there):
            self._same_content(src, dst, name, info)
        if info.st_nlink > 1:
            self._links[key] = where + name

    @staticmethod
    def _same_content(src: int, dst: int, name: str, info: os.stat_result) -> None:
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with opened(os.open(name, flags, dir_fd=src)) as one, opened(os.open(name, flags, dir_fd=dst)) as other:
            attributes(one, other, info)

    def _told(self, number: int) -> None:
        self.counts.bytes += number
        self.counts.passed += number
        self._part += number
        self.tick(self.counts)


def _meta(info: os.stat_result) -> Tuple[int, ...]:
    return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns


def _look(dir_fd: int, name: str) -> Optional[os.stat_result]:
    try:
        return os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
    except FileNotFoundError:
        return None


def _remove(dir_fd: int, name: str) -> None:
    """Remove an entry, whatever it is and holds."""
    if not stat.S_ISDIR(os.stat(name, dir_fd=dir_fd, follow_symlinks=False).st_mode):
        os.unlink(name, dir_fd=dir_fd)
        return
    with opened(open_directory(name, dir_fd)) as inner:
        for item in os.listdir(inner):
            _remove(inner, item)
    os.rmdir(name, dir_fd=dir_fd)


def empty(path: str) -> None:
    """Remove all that is in a directory."""
    with opened(os.open(path, _TOP | os.O_NOFOLLOW)) as top:
        for name in os.listdir(top):
            _remove(top, name)


def seal(path: str) -> str:
    """A digest by which a change of a tree shows: names, kinds, owners, modes, and sizes and times of files. Raises OSError."""
    digest = hashlib.sha256()
    with opened(os.open(path, _TOP)) as top:
        _seal(top, "", digest)
    return digest.hexdigest()


def _seal(fd: int, where: str, digest: Any) -> None:
    for name in sorted(os.listdir(fd)):
        info = os.stat(name, dir_fd=fd, follow_symlinks=False)
        told = (info.st_size, info.st_mtime_ns) if stat.S_ISREG(info.st_mode) else ()
        digest.update(os.fsencode("%s%s\0%r\n" % (where, name, (info.st_mode, info.st_uid, info.st_gid, *told))))
        if stat.S_ISDIR(info.st_mode):
            with opened(open_directory(name, fd)) as inner:
                _seal(inner, where + name + "/", digest)


def size(path: str) -> int:
    """Bytes on the disk of a tree's files, each hard link counted."""
    with opened(os.open(path, _TOP)) as top:
        return _size(top)


def _size(fd: int) -> int:
    total = 0
    for name in os.listdir(fd):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            info = os.stat(name, dir_fd=fd, follow_symlinks=False)
            total += info.st_blocks * 512
            if stat.S_ISDIR(info.st_mode):
                with opened(open_directory(name, fd)) as inner:
                    total += _size(inner)
    return total
