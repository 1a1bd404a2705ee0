# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which directories of the host nginx's container sees: its configuration and what that names, each at its own path.

Directories, not files: what is replaced by rename(2), a renewed certificate or a flipped link to the next release, is seen at the next reload.
Where a symlink is on the way, so is the directory that holds the link.
"""

from __future__ import annotations

import glob
import os
import re
from typing import Dict, List, NamedTuple, Sequence, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.edge._configuration import Uses

_BROAD = re.compile(r"/((bin|boot|dev|etc|lib\w*|proc|root|run|sbin|sys|usr|var)(/ssl/certs)?)?$|/(dev|proc|sys)/.*|"
                    r"/usr/(bin|sbin|share|local|lib\w*)$|/usr/lib/(?!cgi).*|/var/(lib|cache|run|spool)$|"
                    r"/run/(systemd|docker|containerd|dbus|user|udev|lock)$")
"""Directories that are the system's, of the image or of the host: never mounted whole."""

_OWN_RUN = ("systemd", "docker", "containerd", "dbus", "user", "udev", "lock", "initctl", "credentials")
_MAX_LINKS = 40


class Mount(NamedTuple):
    """One bind mount at the host's own path."""

    path: str
    read_only: bool


class Mounts(NamedTuple):
    """``remarks`` are sentences on what is not seen as on the host; ``problems`` on what keeps nginx from running in a container."""

    mounts: List[Mount]
    remarks: List[str]
    problems: List[str]


def way(path: str) -> "tuple[List[str], str]":
    """(directories that hold a symlink on the way, where the path leads); what is not there leads to itself."""
    holders: List[str] = []
    done, left, links = "/", [part for part in path.split("/") if part], 0
    while left:
        part = left.pop(0)
        if part in (".", ""):
            continue
        if part == "..":
            done = os.path.dirname(done)
            continue
        here = os.path.join(done, part)
        if os.path.islink(here) and links < _MAX_LINKS:
            links += 1
            target = os.readlink(here)
            holders.append(done)
            left = [word for word in target.split("/") if word] + left
            done = "/" if target.startswith("/") else done
        else:
            done = here
    return holders, done


class _Collector:
    """Gathers mounts, the broad directories left out."""

    def __init__(self) -> None:
        self.rights: Dict[str, bool] = {}
        self.remarks: List[str] = []
        self.problems: List[str] = []

    def directory(self, path: str, read_only: bool) -> None:
        """Mount a directory, or what is below /run the first one there, since those below come and go."""
        match = re.match(r"/run/([^/]+)", path)
        if match and match.group(1) not in _OWN_RUN:
            path = match.group()
        self.rights[path] = self.rights.get(path, True) and read_only

    def holders(self, path: str) -> str:
        """Where a path leads, with the directories of symlinks on the way."""
        holders, real = way(path)
        for holder in holders:
            if not _BROAD.match(holder):
                self.directory(holder, True)
        return real

    def file(self, path: str) -> None:
        real = self.holders(path)
        if not _BROAD.match(os.path.dirname(real)):
            self.directory(os.path.dirname(real), True)
        elif os.path.isfile(real):
            self.rights.setdefault(path if _BROAD.match(os.path.dirname(path)) else real, True)
            self.remarks.append("%s is seen as it is now: when it is replaced, restart the container" % path)

    def tree(self, path: str, read_only: bool) -> None:
        real = self.holders(path)
        if not os.path.isdir(real):
            self.remarks.append("%s is not there; when it has been made, run this again" % path)
        elif _BROAD.match(real):
            self.remarks.append("%s is a directory of the system, so the container has its own; nginx serves nothing of the host's from there" % path)
        else:
            self.directory(real, read_only)

    def socket(self, path: str, read_only: bool) -> None:
        real = self.holders(path)
        directory = os.path.dirname(real)
        if not _BROAD.match(directory):
            if os.path.isdir(directory):
                self.directory(directory, read_only)
            else:
                self.remarks.append("%s is not there; when it has been made, run this again" % directory)
        elif directory.startswith("/run") and os.path.basename(directory) not in _OWN_RUN or not os.path.exists(real):
            self.problems.append("the UNIX socket %s lies in %s itself, which holds the sockets of the whole system; have it in a directory of its own"
                                 % (path, directory))
        else:
            self.rights[path if _BROAD.match(os.path.dirname(path)) else real] = True


def mounts(uses: Uses) -> Mounts:
    """The mounts for what a configuration names; looks where symlinks lead and what is there."""
    found = _Collector()
    for pattern in sorted(uses.files):
        for path in glob.glob(pattern) if glob.has_magic(pattern) else [pattern]:
            found.file(path)
        if glob.has_magic(pattern):
            found.file(os.path.join(os.path.dirname(pattern), "x"))
    for path in sorted(uses.trees):
        found.tree(path, not uses.dav)
    for path in sorted(uses.written):
        if os.path.isdir(path):
            found.tree(path, False)
    for path in sorted(uses.sockets):
        found.socket(path, True)
    for path in sorted(uses.bound):
        found.socket(path, False)
    found.directory(_paths.RUN_DIR, True)
    kept = _outermost(found.rights)
    return Mounts(kept + [Mount(_paths.EDGE_RUN, False)], sorted(set(found.remarks)), sorted(set(found.problems)))


def unseen(wanted: Sequence[Mount], there: Sequence[Mount]) -> List[str]:
    """The paths of mounts that a container with other ones does not have, or only to read."""
    return [mount.path for mount in wanted
            if not any((mount.path + "/").startswith(other.path + "/") and (mount.read_only or not other.read_only) for other in there)]


def _outermost(rights: Dict[str, bool]) -> List[Mount]:
    """Without those that lie in another one with the same rights or more."""
    kept: Set[Mount] = set()
    for path in sorted(rights):
        above = [mount for mount in kept if path.startswith(mount.path + "/")]
        nearest = max(above, key=lambda mount: len(mount.path), default=None)
        if nearest is None or (nearest.read_only and not rights[path]):
            kept.add(Mount(path, rights[path]))
    return sorted(kept)
