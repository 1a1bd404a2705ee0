# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of ours among files of others: told apart by a mark, changed as one transaction, put back as one."""

from __future__ import annotations

import contextlib
import os
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._journal import replace_file
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

MARK = "Managed by gantry.webstack; changes are overwritten."


class Target(NamedTuple):
    """What a file should be: its text, mode and owner; or a symbolic link, to ``link``."""

    text: str
    mode: int = 0o644
    uid: int = 0
    gid: int = 0
    link: str = ""


class Change(NamedTuple):
    """One file to write (``target``) or to remove (``target`` is None); ``before`` is what is there now."""

    path: str
    before: Optional[Target]
    target: Optional[Target]


def look(path: str) -> Optional[Target]:
    """What a file is now, or None when it is not there."""
    try:
        with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
            info = os.fstat(handle.fileno())
            return Target(handle.read(), info.st_mode & 0o7777, info.st_uid, info.st_gid)
    except FileNotFoundError:
        return None


def is_ours(text: str) -> bool:
    """Whether a file's first line carries our mark."""
    return MARK in text.partition("\n")[0]


def ours_in(directory: str, prefix: str = "", suffix: str = "") -> Dict[str, Target]:
    """The marked files of a directory (path -> content), by name; empty when there is no such directory."""
    found: Dict[str, Target] = {}
    with contextlib.suppress(FileNotFoundError):
        for name in sorted(os.listdir(directory)):
            path = os.path.join(directory, name)
            if name.startswith(prefix) and name.endswith(suffix) and not os.path.islink(path) and os.path.isfile(path):
                target = look(path)
                if target is not None and is_ours(target.text):
                    found[path] = target
    return found


def plan(desired: Mapping[str, Target], ours: Mapping[str, Target], others: Mapping[str, Target]) -> List[Change]:
    """What to do so that exactly ``desired`` of our files exist: changes first, removals after them. Pure.

    ``others`` are unmarked files that stand at a desired path; raises WebstackError for one, since files of others are never touched.
    """
    for path in desired:
        if path in others:
            raise WebstackError("%s is there already and is not a file of gantry.webstack; move it away or name the service otherwise" % path)
    changes = [Change(path, ours.get(path), target) for path, target in desired.items() if ours.get(path) != target]
    return changes + [Change(path, target, None) for path, target in ours.items() if path not in desired]


def others_at(paths: Iterable[str]) -> Dict[str, Target]:
    """The unmarked files among ``paths``."""
    seen = {path: look(path) for path in paths}
    return {path: target for path, target in seen.items() if target is not None and not is_ours(target.text)}


class Transaction:
    """Applies changes one by one, and knows how to take all of them back."""

    def __init__(self) -> None:
        self._done: List[Tuple[Change, Optional[Tuple[int, int]]]] = []

    def apply(self, change: Change) -> None:
        """Write or remove one file, in one step each. Raises WebstackError when the file system refuses."""
        times = None
        with contextlib.suppress(OSError):
            info = os.stat(change.path)
            times = (info.st_atime_ns, info.st_mtime_ns)
        try:
            _put(change.path, change.target)
        except OSError as exc:
            raise WebstackError("%s could not be written: %s" % (change.path, exc.strerror)) from exc
        self._done.append((change, times))

    def put_back(self, keep_times: bool = True) -> List[str]:
        """Undo everything, the last change first; returns the paths. New files are removed again."""
        paths = []
        while self._done:
            change, times = self._done.pop()
            _put(change.path, change.before, times if keep_times else None)
            paths.append(change.path)
        return paths


def _put(path: str, target: Optional[Target], times_ns: Optional[Tuple[int, int]] = None) -> None:
    if target is None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        return
    if target.link:
        beside = os.path.join(os.path.dirname(path), ".%s.webstack" % os.path.basename(path))
        with contextlib.suppress(FileNotFoundError):
            os.unlink(beside)  # of a run that was killed
        os.symlink(target.link, beside)
        os.replace(beside, path)
        return
    replace_file(path, target.text, target.mode, target.uid, target.gid, times_ns)
