# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A directory of code as data: what is in it, told by content. The same on the control node and on the target."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import Dict, Iterable, List, Mapping, Tuple

SKIPPED_DIRS = frozenset(("__pycache__", ".git", ".hg", ".svn"))
"""Never part of a code tree: byte code belongs to the interpreter, history to the repository."""

Entries = Dict[str, str]
"""Relative path -> ``f SHA256``, ``x SHA256`` (executable) or ``l TARGET``. Directories count by what is in them, as in git."""


def inside(paths: Iterable[str], root: str) -> List[str]:
    """Those of ``paths`` that lie below ``root``, relative to it."""
    root = os.path.normpath(root)
    return sorted({os.path.relpath(path, root) for path in map(os.path.normpath, paths) if path.startswith(root + "/")})


def scan(root: str, skip: Iterable[str] = ()) -> Entries:
    """The entries of a directory, without ``skip`` (relative paths) and what is below them. Empty when it is not there."""
    skipped = frozenset(skip)
    entries: Entries = {}
    for parent, directories, names in os.walk(root):
        relative = os.path.relpath(parent, root)
        prefix = "" if relative == "." else relative + "/"
        links = [name for name in directories if os.path.islink(os.path.join(parent, name))]
        directories[:] = sorted(name for name in directories if name not in SKIPPED_DIRS and prefix + name not in skipped and name not in links)
        for name in sorted(names + links):
            path = prefix + name
            if path in skipped or name.endswith(".pyc"):
                continue
            entry = _entry(os.path.join(parent, name))
            if entry:
                entries[path] = entry
    return entries


def _entry(path: str) -> str:
    info = os.lstat(path)
    if stat.S_ISLNK(info.st_mode):
        return "l " + os.readlink(path)
    if not stat.S_ISREG(info.st_mode):
        return ""  # sockets, pipes and devices are nobody's code
    digest = hashlib.sha256()
    with open(path, "rb") as handle:
        for chunk in iter(lambda: handle.read(1 << 20), b""):
            digest.update(chunk)
    return ("x " if info.st_mode & 0o100 else "f ") + digest.hexdigest()


def digest_of(entries: Mapping[str, str]) -> str:
    """One digest of all entries."""
    text = "".join("%s\0%s\n" % (path, entries[path]) for path in sorted(entries))
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def difference(wanted: Mapping[str, str], there: Mapping[str, str]) -> Tuple[List[str], List[str]]:
    """Paths to write and paths to remove, so that ``there`` becomes ``wanted``. Pure."""
    write = sorted(path for path, entry in wanted.items() if there.get(path) != entry)
    return write, sorted(path for path in there if path not in wanted)
