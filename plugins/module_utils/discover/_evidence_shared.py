# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is read once of a host, for all its services."""

from __future__ import annotations

import bisect
import hashlib
import os
import traceback
from collections import Counter
from typing import Any, Callable, Dict, List, Optional, Set, Tuple, TypeVar

from ansible_collections.gantry.webstack.plugins.module_utils.common import _proc
from ansible_collections.gantry.webstack.plugins.module_utils.discover import (
    _evidence_files,
    _evidence_needs,
    _evidence_nginx,
    _evidence_site,
    _evidence_uwsgi,
    _nginx_text,
)
from ansible_collections.gantry.webstack.plugins.module_utils.image import _closure
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs

Found = TypeVar("Found")


class Host:
    """What is read once for all services."""

    _paths: Optional[List[str]] = None

    def __init__(self) -> None:
        self.table = _proc.processes()
        self.sockets = _proc.Sockets()
        self.holders = _proc.owners(self.table)
        files = HostFs()
        self.dpkg = Dpkg.load(files)
        self.native = _closure.Host(files, self.dpkg)
        self.users: Dict[int, int] = {}
        self._sites: Dict[Tuple[Tuple[str, ...], Optional[str]], _evidence_site.Site] = {}
        self._fonts: Optional[List[str]] = None
        self._local: Optional[_evidence_needs.Local] = None
        self.units = _evidence_uwsgi.unit_properties(process.unit for process in self.table.values() if _evidence_uwsgi.is_uwsgi(process))
        self.manager_environment = _evidence_uwsgi.manager_environment()
        self.blind: List[str] = []
        self.nginx: Optional[Dict[str, Any]] = None
        self.part("nginx", self._read_nginx, None)
        text = self.nginx["text"] if self.nginx else ""
        self.passes = _nginx_text.uwsgi_passes(text)
        self.static_roots = set(_nginx_text.roots(text))

    def _read_nginx(self) -> None:
        self.nginx, blind = _evidence_nginx.nginx(self.table)
        self.blind += blind

    def part(self, what: str, look: Callable[[], Found], instead: Found) -> Found:
        """One part of the evidence. One that fails hides nothing else: it becomes a blind spot."""
        try:
            return look()
        except Exception as exc:  # pylint: disable=broad-exception-caught  # whatever a host of any age makes of a reader
            self.blind.append("%s could not be read (%s)" % (what, reason(exc)))
            return instead

    def look_again(self, serving: List[_evidence_uwsgi.Instance]) -> List[_evidence_uwsgi.Instance]:
        """Read processes and sockets anew, now that every application has answered once and opened what it needs; drop those that ended."""
        self.table = _proc.processes()
        self.sockets = _proc.Sockets()
        self.holders = _proc.owners(self.table)
        self._local = None
        living = []
        for instance in serving:
            if instance.master.pid in self.table:
                instance.processes = _evidence_uwsgi.own_processes(self.table, self.table[instance.master.pid])
                living.append(instance)
            else:
                self.blind.append("the uWSGI instance %s ended while it was looked at" % instance.name)
        self.users = dict(Counter(instance.worker.uid for instance in living))
        return living

    @property
    def local(self) -> _evidence_needs.Local:
        """The listeners of this host, by address."""
        if self._local is None:
            self._local = _evidence_needs.Local(self.sockets, self.holders, self.table)
        return self._local

    def site(self, directories: List[str], prefix: Optional[str]) -> _evidence_site.Site:
        """What is installed in site directories, looked at once however many services share them."""
        key = (tuple(directories), prefix)
        if key not in self._sites:
            self._sites[key] = _evidence_site.look(directories, prefix, packaged=self._packaged(directories))
        return self._sites[key]

    def _packaged(self, directories: List[str]) -> Dict[str, str]:
        """{path: MD5 sum as dpkg recorded it} of what packages own below these directories; the sum is empty for a directory or a link."""
        tops = tuple(path.rstrip("/") + "/" for path in directories if self._has_packaged(path.rstrip("/") + "/"))
        found: Dict[str, str] = {}
        if not tops:
            return found
        for key in self.dpkg.stanzas:
            paths = [path for path in self.dpkg.files(key) if path.startswith(tops)]
            sums = {path: digest for digest, path in self.dpkg.md5sums(key)} if paths else {}
            found.update({path: sums.get(path, "") for path in paths})
        return found

    def _has_packaged(self, top: str) -> bool:
        """Does a package own anything below a directory? Most environments are nobody's."""
        if self._paths is None:
            self._paths = sorted(path for key in self.dpkg.stanzas for path in self.dpkg.files(key))
        place = bisect.bisect_left(self._paths, top)
        return place < len(self._paths) and self._paths[place].startswith(top)

    def fonts(self) -> List[str]:
        """One file of fonts of each package that has some."""
        if self._fonts is None:
            names = ((key, next((path for path in self.dpkg.files(key) if path.startswith("/usr/share/fonts/") and os.path.isfile(path)), None))
                     for key in sorted(self.dpkg.stanzas))
            self._fonts = [path for _key, path in names if path]
        return self._fonts

    def owner(self, path: str) -> Optional[str]:
        """Key of the package that owns a path, links in its directory followed."""
        directory = os.path.realpath(os.path.dirname(path))
        return self.dpkg.owner(os.path.join(directory, os.path.basename(path))) or self.dpkg.owner(os.path.realpath(path))

    def is_published(self, path: str) -> bool:
        """Is the file as its package brought it? Then nothing in it is a secret of this host."""
        wanted = {name: digest for digest, name in self.dpkg.md5sums(self.owner(path) or "")}.get(os.path.realpath(path))
        return wanted is not None and wanted == hashlib.md5(_evidence_files.read(path, 1 << 20), usedforsecurity=False).hexdigest()

    def owner_of_data(self, path: str) -> Optional[str]:
        """The same, but for packages that bring a daemon: a service that names their configuration does not need them in its image."""
        key = self.owner(path)
        units = any(item.startswith(("/lib/systemd/system/", "/usr/lib/systemd/system/")) and item.count("/") > 3 for item in self.dpkg.files(key or ""))
        return None if units else key

    def packages(self, paths: Set[str]) -> List[Dict[str, str]]:
        """{name, version} of the packages that own these paths, sorted."""
        keys = {key for key in map(self.owner, sorted(paths)) if key}
        versions = {self.dpkg.stanzas[key].name: self.dpkg.stanzas[key].version for key in keys if key in self.dpkg.stanzas}
        return [{"name": name, "version": versions[name]} for name in sorted(versions)]


def reason(exc: BaseException) -> str:
    """Kind and place of an error, without its text, which may hold what was read."""
    frames = traceback.extract_tb(exc.__traceback__)
    place = " in %s, line %d" % (os.path.basename(frames[-1].filename), frames[-1].lineno or 0) if frames else ""
    return type(exc).__name__ + place
