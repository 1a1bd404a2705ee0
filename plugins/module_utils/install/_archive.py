# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives unpacked with nothing of them outside the directory. tarfile's own filters came after Python 3.9."""

from __future__ import annotations

import contextlib
import gzip
import lzma
import os
import shutil
import stat
import subprocess
import tarfile
import time
import zipfile
import zlib
from typing import IO, Iterator, List, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

_MAGIC = ((b"\x1f\x8b", "gz"), (b"\xfd7zXZ\x00", "xz"), (b"BZh", "bz2"), (b"PK\x03\x04", "zip"), (b"\x28\xb5\x2f\xfd", "zst"))


def kind(head: bytes) -> str:
    """The format of an archive by its first 512 bytes: gz, xz, bz2, zst (of a tar), tar or zip. Pure. Raises WebstackError for anything else."""
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if head[257:262] == b"ustar":
        return "tar"
    raise WebstackError("it is none of tar.gz, tar.xz, tar.bz2, tar.zst, tar and zip")


def safe_name(name: str) -> str:
    """A member's path inside the directory, '' for the directory itself. Pure. Raises WebstackError for one that leads out of it."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        raise WebstackError("its member %r leads out of the directory" % name)
    return "/".join(parts)


def unpack(archive: str, directory: str) -> None:
    """Unpack ``archive`` into the empty ``directory``: files, directories, and links that stay inside. Raises WebstackError, OSError."""
    with open(archive, "rb") as handle:
        found = kind(handle.read(512))
    links: List[Tuple[str, str]] = []
    try:
        if found == "zip":
            _unzip(archive, directory, links)
        else:
            with _tar(archive, found) as opened:
                for member in opened:
                    _extract(opened, member, directory, links)
    except (tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError, ValueError) as exc:
        raise WebstackError("it is damaged: %s" % exc) from exc
    # Links come last, so that nothing is ever written through one.
    for target, path in links:
        os.symlink(target, _place(directory, path))
    root = os.path.realpath(directory)
    for target, path in links:
        if not (os.path.realpath(os.path.join(directory, path)) + "/").startswith(root + "/"):
            raise WebstackError("its link %r leads out of the directory, to %r" % (path, target))


@contextlib.contextmanager
def _tar(archive: str, found: str) -> Iterator[tarfile.TarFile]:
    if found != "zst":
        with tarfile.open(archive, mode="r:*") as opened:
            yield opened
        return
    zstd = shutil.which("zstd")
    if zstd is None:
        raise WebstackError("it is a tar.zst and this host has no zstd to read it; install the package zstd, or give a tar.gz or tar.xz")
    with subprocess.Popen([zstd, "-dc", "--", archive], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        with tarfile.open(fileobj=process.stdout, mode="r|") as opened:
            yield opened
        if process.stdout is not None:
            while process.stdout.read(1 << 20):
                pass
    if process.returncode:
        raise WebstackError("it is damaged: zstd cannot read it (rc %d)" % process.returncode)


def _place(directory: str, name: str) -> str:
    """The member's path on disk, with the directories above it."""
    path = os.path.join(directory, name)
    os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
    return path


def _extract(opened: tarfile.TarFile, member: tarfile.TarInfo, directory: str, links: List[Tuple[str, str]]) -> None:
    name = safe_name(member.name)
    if member.isdir():
        os.makedirs(os.path.join(directory, name), mode=0o755, exist_ok=True)
    elif not name:
        raise WebstackError("its member %r has no name" % member.name)
    elif member.issym():
        links.append((member.linkname, name))
    elif member.islnk():
        with contextlib.suppress(FileExistsError):
            source = os.path.join(directory, safe_name(member.linkname))
            if not os.path.isfile(source):
                raise WebstackError("its member %r is a link to %r, which is not there before it" % (member.name, member.linkname))
            os.link(source, _place(directory, name))
    elif member.isfile():
        source_file = opened.extractfile(member)
        if source_file is not None:
            _write(_place(directory, name), source_file, member.mode, member.mtime)
    else:
        raise WebstackError("its member %r is neither a file nor a directory nor a link" % member.name)


def _unzip(archive: str, directory: str, links: List[Tuple[str, str]]) -> None:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            name, mode = safe_name(info.filename), info.external_attr >> 16
            if info.is_dir():
                os.makedirs(os.path.join(directory, name), mode=0o755, exist_ok=True)
            elif stat.S_ISLNK(mode):
                links.append((opened.read(info).decode("utf-8", "surrogateescape"), name))
            elif stat.S_IFMT(mode) in (0, stat.S_IFREG) and name:
                with opened.open(info) as source:
                    _write(_place(directory, name), source, mode or 0o644, time.mktime(info.date_time + (0, 0, -1)))
            else:
                raise WebstackError("its member %r is neither a file nor a directory nor a link" % info.filename)


def _write(path: str, source: IO[bytes], mode: int, mtime: float) -> None:
    """Root's own file with no more than the executable bit taken over, and with its time, which compiled Python files are told by."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with open(path, "xb") as handle:
        shutil.copyfileobj(source, handle, 1 << 20)
        os.fchmod(handle.fileno(), 0o755 if mode & 0o111 else 0o644)
    os.utime(path, (mtime, mtime))


def find_root(directory: str, minor: str, depth: Optional[int] = None) -> Optional[str]:
    """The directory with ``bin/pythonMINOR`` nearest to ``directory`` itself, or exactly ``depth`` below it; at most two below otherwise."""
    level = [directory]
    for number in range(3 if depth is None else depth + 1):
        if depth in (None, number):
            for path in level:
                if os.path.isfile(os.path.join(path, "bin", "python" + minor)):
                    return path
        level = [entry.path for path in level for entry in sorted(os.scandir(path), key=lambda item: item.name) if entry.is_dir(follow_symlinks=False)]
    return None
