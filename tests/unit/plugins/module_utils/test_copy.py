# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Trees made equal: whatever stands in them, with all that belongs to it, and again after any change."""

from __future__ import annotations

import errno
import os
import socket
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _copy, _copy_file

OLD = 1_500_000_000_123_456_789
"""Nanoseconds since the epoch; a time that no clock of this test gives."""


def told(top: Path) -> dict[str, Any]:
    """All that a copy has to keep, by path."""
    found: dict[str, Any] = {}
    inodes: dict[int, str] = {}
    for path in [top, *sorted(top.rglob("*"))]:
        info = path.lstat()
        if stat.S_IFMT(info.st_mode) not in (stat.S_IFREG, stat.S_IFDIR, stat.S_IFLNK):
            continue
        name = os.fsencode(path.relative_to(top)).hex()
        content: Any = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        attributes = {} if path.is_symlink() else {key: os.getxattr(path, key) for key in os.listxattr(path)}
        found[name] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, content, attributes, inodes.setdefault(info.st_ino, name))
    return found


def odd_names(top: Path) -> None:
    for name in (b"new\nline", b"\xff\xfe", b" ", b"-rf", b"a" * 255, "żółć".encode()):
        Path(os.fsdecode(bytes(top) + b"/" + name)).write_text("x")


def sparse(top: Path) -> None:
    with open(top / "sparse", "wb") as handle:
        handle.seek(40 << 20)
        handle.write(b"end")
        handle.truncate(80 << 20)


def links(top: Path) -> None:
    (top / "deep/er").mkdir(parents=True)
    (top / "deep/one").write_text("once")
    os.link(top / "deep/one", top / "two")
    os.link(top / "two", top / "deep/er/three")
    os.symlink("deep/one", top / "to-file")
    os.symlink("/nowhere\n", top / "to-nothing")
    os.symlink("deep", top / "to-directory")


def marked(top: Path) -> None:
    path = top / "marked"
    path.write_text("x")
    try:
        os.setxattr(path, "user.note", b"\0binary")
        os.setxattr(top, "user.note", b"a directory's")
    except OSError as exc:
        if exc.errno != errno.EOPNOTSUPP:
            raise
    path.chmod(0o4751)
    os.utime(path, ns=(OLD, OLD))


def owned(top: Path) -> None:
    (top / "private").mkdir(mode=0o700)
    (top / "private/read-only").write_text("x")
    (top / "private/read-only").chmod(0o400)
    os.utime(top / "private", ns=(OLD, OLD))
    if os.geteuid() == 0:
        os.chown(top / "private", 2001, 2002)
        os.chown(top / "private/read-only", 2003, 2004)


def empty(top: Path) -> None:
    (top / "none").touch()
    (top / "nothing").mkdir()


TREES = [odd_names, sparse, links, marked, owned, empty]


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("source", "target"):
        (tmp_path / name).mkdir()
    return tmp_path / "source", tmp_path / "target"


def sync(pair: tuple[Path, Path], **options: Any) -> _copy.Counts:
    return _copy.Pass(**options).sync(str(pair[0]), str(pair[1]))


@pytest.mark.parametrize("make", TREES)
def test_a_copy_is_equal_and_the_next_pass_copies_nothing(make: Callable[[Path], None], pair: tuple[Path, Path]) -> None:
    make(pair[0])
    passed: list[int] = []
    whole = sync(pair, tick=lambda counts: passed.append(counts.passed)).passed
    assert told(pair[1]) == told(pair[0])
    assert whole == _copy.size(str(pair[0])) and passed == sorted(passed), "a bar that only grows, to all of it"
    again = sync(pair, since=time.time_ns() + 10**9)
    assert (again.files, again.bytes, again.removed) == (0, 0, 0) and told(pair[1]) == told(pair[0]) and again.passed == whole


def test_holes_stay_holes(pair: tuple[Path, Path]) -> None:
    sparse(pair[0])
    if (pair[0] / "sparse").stat().st_blocks * 512 > 1 << 20:
        pytest.skip("this file system has no holes")
    counts = sync(pair)
    assert counts.bytes < 1 << 20 and (pair[1] / "sparse").stat().st_blocks * 512 < 1 << 20


def append(top: Path) -> None:
    with open(top / "log", "ab") as handle:
        handle.write(b"more")


def same_size_and_time(top: Path) -> None:
    info = (top / "log").stat()
    (top / "log").write_text("LINE\n")
    os.utime(top / "log", ns=(info.st_atime_ns, info.st_mtime_ns))


def replace_by_directory(top: Path) -> None:
    (top / "log").unlink()
    (top / "log").mkdir()
    (top / "log/inner").write_text("x")


def replace_by_file(top: Path) -> None:
    (top / "dir/file").unlink()
    (top / "dir").rmdir()
    (top / "dir").write_text("now a file")


def unlink_a_link(top: Path) -> None:
    content = (top / "twin").read_bytes()
    (top / "twin").unlink()
    (top / "twin").write_bytes(content)
    info = (top / "log").stat()
    os.utime(top / "twin", ns=(info.st_atime_ns, info.st_mtime_ns))


def turn_the_link(top: Path) -> None:
    (top / "link").unlink()
    os.symlink("elsewhere", top / "link")


CHANGES: list[Callable[[Path], Any]] = [
    append, same_size_and_time, replace_by_directory, replace_by_file, unlink_a_link, turn_the_link,
    lambda top: (top / "log").chmod(0o600),
    lambda top: (top / "dir").chmod(0o711),
    lambda top: (top / "log").unlink(),
    lambda top: (top / "log").rename(top / "dir/moved"),
    lambda top: os.link(top / "log", top / "dir/third"),
    lambda top: os.utime(top / "log", ns=(OLD, OLD)),
    lambda top: os.truncate(top / "log", 1),
]


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_arrives(change: Callable[[Path], Any], pair: tuple[Path, Path]) -> None:
    source = pair[0]
    (source / "log").write_text("line\n")
    (source / "dir").mkdir()
    (source / "dir/file").write_text("x")
    os.link(source / "log", source / "twin")
    os.symlink("log", source / "link")
    sync(pair)
    time.sleep(0.02)
    since = time.time_ns()
    time.sleep(0.02)
    change(source)
    sync(pair, since=since)
    assert told(pair[1]) == told(source)


def test_what_only_the_copy_has_goes(pair: tuple[Path, Path]) -> None:
    (pair[0] / "kept").write_text("x")
    links(pair[1])
    (pair[1] / ".webstack-1-2").write_text("of a run that was killed")
    assert sync(pair).removed > 3 and told(pair[1]) == told(pair[0])


def test_sockets_and_fifos_are_left_alone_on_both_sides(pair: tuple[Path, Path]) -> None:
    os.mkfifo(pair[0] / "fifo")
    os.mkfifo(pair[1] / "other")
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(pair[0] / "sock"))
        counts = sync(pair)
    assert counts.skipped == 2 and os.listdir(pair[1]) == ["other"]


def test_a_file_that_is_open_for_writing_is_always_copied(pair: tuple[Path, Path]) -> None:
    (pair[0] / "map").write_text("x")
    later = time.time_ns() + 10**9
    assert sync(pair, since=later).files == 1
    assert sync(pair, since=later, hot=frozenset({(pair[0] / "map").stat().st_ino})).files == 1
    assert sync(pair, since=later).files == 0


def test_a_failed_copy_leaves_the_former_one(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (pair[0] / "file").write_text("first")
    sync(pair)
    (pair[0] / "file").write_text("second!")

    def full(*dummy: Any) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_copy_file, "_some", full)
    with pytest.raises(WebstackError, match="no room left"):
        sync(pair)
    assert (pair[1] / "file").read_text() == "first" and os.listdir(pair[1]) == ["file"]


def test_a_file_system_without_the_fast_way(pair: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    (pair[0] / "file").write_bytes(os.urandom(100_000))

    def refuses(*dummy: Any) -> int:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "copy_file_range", refuses)
    sync(pair)
    assert told(pair[1]) == told(pair[0])


def test_it_can_be_given_up_in_the_middle(pair: tuple[Path, Path]) -> None:
    for number in range(20):
        (pair[0] / str(number)).write_text("x")

    def tick(counts: _copy.Counts) -> None:
        if counts.entries > 10:
            raise WebstackError("too long")

    with pytest.raises(WebstackError, match="too long"):
        sync(pair, tick=tick)
    assert len(os.listdir(pair[1])) < 20


def test_a_link_in_place_of_a_directory_is_not_followed(pair: tuple[Path, Path], tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere/file").write_text("not mine")
    (pair[0] / "dir").mkdir()
    (pair[0] / "dir/file").write_text("mine")
    os.symlink(tmp_path / "elsewhere", pair[1] / "dir")
    sync(pair)
    assert (tmp_path / "elsewhere/file").read_text() == "not mine" and told(pair[1]) == told(pair[0])


def test_a_seal_breaks_with_every_change(pair: tuple[Path, Path]) -> None:
    top = pair[0]
    (top / "file").write_text("x")
    before = _copy.seal(str(top))
    assert _copy.seal(str(top)) == before
    (top / "file").write_text("y!")
    assert _copy.seal(str(top)) != before
    (top / "more").mkdir()
    sealed = _copy.seal(str(top))
    (top / "more").chmod(0o700)
    assert _copy.seal(str(top)) != sealed


def test_size_and_emptying(pair: tuple[Path, Path]) -> None:
    links(pair[0])
    (pair[0] / "large").write_bytes(bytes(range(256)) * 4096)
    assert _copy.size(str(pair[0])) >= 1 << 20
    _copy.empty(str(pair[0]))
    assert os.listdir(pair[0]) == []
