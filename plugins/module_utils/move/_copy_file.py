# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One file, link or directory copied with all that belongs to it: holes, owner, mode, times to the nanosecond, extended attributes with ACLs.

Everything is reached from open directories by single names and without following links, since what is copied belongs to users and may change
under the copier's hands.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import os
from typing import Callable, Dict, Iterator

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

CHUNK = 8 * 1024 * 1024
"""Bytes that are copied between two looks at the clock."""

_NO_FAST_WAY = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM, errno.EBADF)
_OWN_OF_A_FILE_SYSTEM = ("security.", "trusted.")
"""Attributes that not every file system takes (xattr(7)); users' own and ACLs have to arrive."""

Told = Callable[[int], None]
"""Told of each number of bytes that was copied; may raise."""


def open_directory(name: str, dir_fd: int) -> int:
    """A directory by its name in another one; never a link."""
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=dir_fd)


@contextlib.contextmanager
def opened(fd: int) -> Iterator[int]:
    """Close it at the end."""
    try:
        yield fd
    finally:
        os.close(fd)


def copy_file(source: int, target: int, name: str, told: Told, durable: bool) -> None:
    """Copy a regular file between two open directories; it takes its name in one step.

    The times are those from before its content was read, so a change meanwhile shows. Raises OSError; FileNotFoundError when it is gone.
    """
    with opened(os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=source)) as src:
        info = os.fstat(src)
        temporary = os.path.basename(_journal.temporary_in(""))
        try:
            with opened(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=target)) as dst:
                os.ftruncate(dst, info.st_size)
                for begin, end in _data(src, info.st_size):
                    _range(src, dst, begin, end, told)
                attributes(src, dst, info)
                if durable:
                    os.fsync(dst)
            os.rename(temporary, name, src_dir_fd=target, dst_dir_fd=target)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary, dir_fd=target)
            raise


def copy_link(source: int, target: int, name: str, info: os.stat_result) -> None:
    """Copy a symbolic link; it takes its name in one step."""
    temporary = os.path.basename(_journal.temporary_in(""))
    os.symlink(os.readlink(name, dir_fd=source), temporary, dir_fd=target)
    os.chown(temporary, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
    os.utime(temporary, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target, follow_symlinks=False)
    os.rename(temporary, name, src_dir_fd=target, dst_dir_fd=target)


def _data(fd: int, size: int) -> Iterator["tuple[int, int]"]:
    """The ranges of a file that are no holes (lseek(2))."""
    end = 0
    while end < size:
        try:
            begin = os.lseek(fd, end, os.SEEK_DATA)
            end = min(os.lseek(fd, begin, os.SEEK_HOLE), size)
        except OSError as exc:
            if exc.errno == errno.ENXIO:  # nothing but a hole until its end
                return
            begin, end = end, size  # a file system that knows no holes
        yield begin, end


def _range(src: int, dst: int, begin: int, end: int, told: Told) -> None:
    while begin < end:
        number = _some(src, dst, begin, min(CHUNK, end - begin))
        if not number:
            return  # it became shorter: changed, so it is copied again
        begin += number
        told(number)


def _some(src: int, dst: int, begin: int, number: int) -> int:
    try:
        done = os.copy_file_range(src, dst, number, begin, begin)
        if done:
            return done  # else the end, or a file system that has no content for it (copy_file_range(2), BUGS)
    except OSError as exc:
        if exc.errno not in _NO_FAST_WAY:
            raise
    os.lseek(dst, begin, os.SEEK_SET)
    return os.sendfile(dst, src, begin, number)


def attributes(src: int, dst: int, info: os.stat_result) -> None:
    """Give ``dst`` owner, mode, extended attributes and times of ``src``; both are open, ``info`` is of ``src``. What is so already is left alone."""
    there = os.fstat(dst)
    if (there.st_uid, there.st_gid) != (info.st_uid, info.st_gid):
        os.fchown(dst, info.st_uid, info.st_gid)  # takes away set-user-ID, so before the mode
        there = os.fstat(dst)
    if there.st_mode != info.st_mode:
        os.fchmod(dst, info.st_mode & 0o7777)
    _extended(src, dst)
    if os.fstat(dst).st_mtime_ns != info.st_mtime_ns:
        os.utime(dst, ns=(info.st_atime_ns, info.st_mtime_ns))


def _extended(src: int, dst: int) -> None:
    wanted, there = extended(src), extended(dst)
    for name in there:
        if name not in wanted:
            _try(name, lambda name: os.removexattr(dst, name))
    for name, value in wanted.items():
        if there.get(name) != value:
            _try(name, functools.partial(os.setxattr, dst, value=value))


def extended(fd: int) -> Dict[str, bytes]:
    """Extended attributes of what is open; none where the file system has none."""
    found = {}
    with contextlib.suppress(OSError):
        for name in os.listxattr(fd):
            with contextlib.suppress(OSError):
                found[name] = os.getxattr(fd, name)
    return found


def _try(name: str, act: Callable[[str], None]) -> None:
    try:
        act(name)
    except OSError as exc:
        if not name.startswith(_OWN_OF_A_FILE_SYSTEM):
            raise WebstackError("the attribute %s of a file cannot be written where it is copied to (%s); leave this state in place"
                                % (name, exc.strerror)) from exc
