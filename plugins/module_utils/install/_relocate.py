# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A directory built beside the one it replaces: a name of the same length, its own path changed in its files, and both exchanged in one step."""

from __future__ import annotations

import base64
import contextlib
import csv
import ctypes
import hashlib
import io
import os
import shutil
import stat
from typing import Dict, Iterator

_RENAME_EXCHANGE = 2
_AT_FDCWD = -100


def beside(path: str) -> str:
    """Where the next state of ``path`` is built: in the same directory, and of the same length, so that its path can be changed inside any file. Pure."""
    directory, name = os.path.split(os.path.normpath(path))
    return os.path.join(directory, name[:-1] + ("~" if name[-1] != "~" else "^"))


def change_paths(root: str, path: str) -> None:
    """Make a virtual environment that was built at ``root`` believe that it is at ``path``, which is as long: scripts, pyvenv.cfg, compiled files
    and the digests of both in RECORD (the installed projects' specification). Files are replaced, never written: they may be links into a cache."""
    old, new = os.fsencode(root), os.fsencode(path)
    if len(old) != len(new):
        raise ValueError("%s and %s are not of one length" % (root, path))
    changed = {name: _digest(name) for name in _files(root) if _replace(name, old, new)}
    if changed:
        for record in [name for name in _files(root) if name.endswith(".dist-info/RECORD")]:
            _record(record, changed)


def _files(root: str) -> Iterator[str]:
    for directory, _directories, names in os.walk(root):
        for name in names:
            full = os.path.join(directory, name)
            if stat.S_ISREG(os.lstat(full).st_mode):
                yield full


def _replace(name: str, old: bytes, new: bytes) -> bool:
    with open(name, "rb") as handle:
        content = handle.read()
    if old not in content:
        return False
    _rewrite(name, content.replace(old, new))
    return True


def _rewrite(name: str, content: bytes) -> None:
    before = os.lstat(name)
    with open(name + ".webstack-new", "xb") as handle:
        handle.write(content)
        os.fchmod(handle.fileno(), stat.S_IMODE(before.st_mode))
        os.fchown(handle.fileno(), before.st_uid, before.st_gid)
    os.utime(name + ".webstack-new", ns=(before.st_atime_ns, before.st_mtime_ns))
    os.rename(name + ".webstack-new", name)


def _digest(name: str) -> str:
    with open(name, "rb") as handle:
        return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(handle.read()).digest()).rstrip(b"=").decode()


def _record(record: str, changed: Dict[str, str]) -> None:
    site = os.path.dirname(os.path.dirname(record))
    with open(record, encoding="utf-8", newline="") as handle:
        rows = list(csv.reader(handle))
    told = False
    for row in rows:
        full = os.path.normpath(os.path.join(site, row[0])) if row else ""
        if full in changed and len(row) == 3 and row[1]:
            row[1], told = changed[full], True
    if told:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        _rewrite(record, text.getvalue().encode("utf-8"))


def put(staged: str, path: str) -> None:
    """Put ``staged`` in the place of ``path`` in one step, and remove what was there.

    renameat2(2) exchanges both; where the file system cannot, there is a moment without ``path``, and a run that was killed in it is put right by
    ``recover``.
    """
    if not os.path.lexists(path):
        os.rename(staged, path)
        return
    if not _exchange(staged, path):
        former = staged + ".former"
        os.rename(path, former)
        try:
            os.rename(staged, path)
        except OSError:
            os.rename(former, path)
            raise
        os.rename(former, staged)
    shutil.rmtree(staged, ignore_errors=True)


def recover(path: str) -> None:
    """Remove what a run that was killed left beside ``path``; the former state comes back when it is away."""
    staged = beside(path)
    former = staged + ".former"
    if os.path.lexists(former) and not os.path.lexists(path):
        os.rename(former, path)
    for left in (staged, former):
        if os.path.isdir(left) and not os.path.islink(left):
            shutil.rmtree(left)


def _exchange(one: str, other: str) -> bool:
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None, use_errno=True)
        return libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE) == 0
    return False
