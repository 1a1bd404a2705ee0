# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""dpkg's database read as files (dpkg(1), FILES; deb822(5)): who owns a path, what a package holds. Nothing of dpkg is run."""

from __future__ import annotations

import re
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Fs

ADMIN_DIR = "/var/lib/dpkg"
MERGED = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/libo32")
"""Directories that usrmerge makes symlinks of; lists of packages may name files by either path."""


class Stanza(NamedTuple):
    """One installed package: ``text`` is its stanza in the status file, ``depends`` a list of alternatives."""

    name: str
    version: str
    architecture: str
    text: str
    depends: Tuple[Tuple[str, ...], ...]


def parse_depends(value: str) -> Tuple[Tuple[str, ...], ...]:
    """``a (>= 1) | b, c:any`` as (("a", "b"), ("c",)) (deb-control(5), Depends)."""
    groups = []
    for group in value.replace("\n", " ").split(","):
        names = tuple(re.split(r"[ :(\[<]", part.strip(), maxsplit=1)[0] for part in group.split("|"))
        if any(names):
            groups.append(tuple(name for name in names if name))
    return tuple(groups)


def parse_status(text: str) -> List[Stanza]:
    """The installed packages of a status file."""
    stanzas = []
    for block in text.split("\n\n"):
        if not re.search(r"^Status: \S+ ok installed$", block, re.M):
            continue
        fields = dict(re.findall(r"^(Package|Version|Architecture|Depends|Pre-Depends): *(.*)$", block, re.M))
        depends = parse_depends(fields.get("Pre-Depends", "")) + parse_depends(fields.get("Depends", ""))
        stanzas.append(Stanza(fields["Package"], fields.get("Version", ""), fields.get("Architecture", ""), block.strip("\n") + "\n", depends))
    return stanzas


def parse_diversions(text: str) -> List[Tuple[str, str, str]]:
    """(original path, path of the diverted one, package that diverts) of a diversions file; the package ``:`` is the administrator."""
    lines = text.splitlines()
    return list(zip(lines[0::3], lines[1::3], lines[2::3]))


class Dpkg:
    """The database as a lookup. Packages are named by a key: ``NAME``, or ``NAME:ARCH`` as the info directory has it."""

    def __init__(self, stanzas: Iterable[Stanza], lists: Mapping[str, List[str]], diversions: Iterable[Tuple[str, str, str]] = (),
                 merged: Optional[Mapping[str, str]] = None, read: Callable[[str], str] = lambda path: "") -> None:
        self.merged = dict(merged or {})
        self._read = read
        by_name: Dict[str, List[Stanza]] = {}
        for item in stanzas:
            by_name.setdefault(item.name, []).append(item)
        self.stanzas: Dict[str, Stanza] = {}
        self._lists: Dict[str, List[str]] = {}
        self._keys: Dict[str, str] = {}
        moved = {(self.real(path)): (self.real(to), package) for path, to, package in diversions}
        self._owners: Dict[str, str] = {}
        for key, paths in sorted(lists.items()):
            name, dummy, architecture = key.partition(":")
            stanza = next((item for item in by_name.get(name, []) if architecture in ("", item.architecture)), None)
            if stanza is None:
                continue
            self.stanzas[key] = stanza
            self._keys.setdefault(name, key)
            self._lists[key] = files = []
            for path in paths:
                path = self.real(path)
                if path in moved and moved[path][1] != name:
                    path = moved[path][0]
                files.append(path)
                self._owners[path] = key

    @classmethod
    def load(cls, fs: Fs) -> "Dpkg":
        """Read the host's database, every list once."""
        info = ADMIN_DIR + "/info"
        lists = {name[:-len(".list")]: fs.text("%s/%s" % (info, name)).splitlines() for name in fs.listdir(info) if name.endswith(".list")}
        merged = {}
        for path in MERGED:
            found = fs.lstat(path)
            if found is not None and found.kind == "link" and fs.resolve(path).real:
                merged[path] = fs.resolve(path).real or path
        return cls(parse_status(fs.text(ADMIN_DIR + "/status")), lists, parse_diversions(fs.text(ADMIN_DIR + "/diversions")), merged, fs.text)

    def real(self, path: str) -> str:
        """A path of a list as it is on a host with merged /usr; ``/.`` is the root."""
        second = path.find("/", 1)
        top = path if second < 0 else path[:second]
        if top in self.merged and second > 0:
            return self.merged[top] + path[second:]
        return "/" if path == "/." else path

    def owner(self, path: str) -> Optional[str]:
        """Key of the package that owns this file (its directory must be real); None when none does."""
        return self._owners.get(path)

    def files(self, key: str) -> List[str]:
        """Paths of the package: files and directories, diversions applied."""
        return self._lists.get(key, [])

    def find(self, name: str) -> Optional[str]:
        """Key of the installed package with this name (``NAME`` or ``NAME:ARCH``); None when it is not installed."""
        if name in self.stanzas:
            return name
        base, dummy, architecture = name.partition(":")
        key = self._keys.get(base)
        return key if key is not None and architecture in ("", "any", self.stanzas[key].architecture) else None

    def md5sums(self, key: str) -> List[Tuple[str, str]]:
        """(md5, path) of the package's files as dpkg recorded them."""
        rows = (line.split("  ", 1) for line in self._read("%s/info/%s.md5sums" % (ADMIN_DIR, key)).splitlines())
        return [(row[0], self.real("/" + row[1])) for row in rows if len(row) == 2]
