# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is installed in a Python's site directories, and what differs from what was installed.

Sources: PEP 376 and the packaging specifications (dist-info, RECORD, direct_url.json), PEP 660 and setuptools (editable installs), site(library) (.pth),
deb-md5sums(5), setuptools' formats of eggs (egg-info, egg-link, installed-files.txt, top_level.txt).
"""

from __future__ import annotations

import base64
import csv
import email.parser
import hashlib
import json
import os
import re
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple
from urllib.parse import unquote, urlsplit

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_files
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact
from ansible_collections.gantry.webstack.plugins.module_utils.image._app_tree import editable_places

_HASHED_BYTES = 400 * 1024 * 1024
_RECORD_BYTES = 16 * 1024 * 1024
_WALKED = 100000
_SHOWN = 120
_MADE_BY_TOOLS = ("distutils-precedence.pth", "_virtualenv.pth")
_METADATA = (".dist-info", ".egg-info")


@dataclass
class Site:
    """Everything that the directories tell. Texts of ``editable`` and ``direct_urls`` are ``NAME WHERE``, of ``pth`` ``FILE adds PATH`` or ``FILE runs CODE``.

    ``patched`` differ from their RECORD, or from what dpkg unpacked, or are gone; ``added`` lie in an installed package and nothing names them (a
    directory ends with ``/``);
    ``unowned`` are modules and packages that no metadata names; ``unverified`` are distributions that say nothing about their files.
    """

    distributions: List[Dict[str, str]] = field(default_factory=list)
    metadata: List[str] = field(default_factory=list)
    editable: List[str] = field(default_factory=list)
    direct_urls: List[str] = field(default_factory=list)
    pth: List[str] = field(default_factory=list)
    patched: List[str] = field(default_factory=list)
    added: List[str] = field(default_factory=list)
    unowned: List[str] = field(default_factory=list)
    unverified: List[str] = field(default_factory=list)
    shared_objects: List[str] = field(default_factory=list)
    blind: List[str] = field(default_factory=list)


def normalized(name: str) -> str:
    """A distribution's name as names are compared (packaging specifications, name normalization)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def look(directories: List[str], prefix: Optional[str] = None, packaged: Optional[Mapping[str, str]] = None) -> Site:
    """Look at site directories, the first wins.

    :param prefix: the environment, whose scripts belong to the RECORDs
    :param packaged: {path: MD5 sum, or empty} of what the distribution's packages have below the directories
    """
    return _Look(prefix, packaged or {}).run(directories)


class _Look:
    def __init__(self, prefix: Optional[str], packaged: Mapping[str, str]) -> None:
        self.prefix, self.packaged = prefix, packaged
        self.site = Site()
        self.found: Dict[str, Dict[str, str]] = {}
        self.editable: Dict[str, Tuple[str, str]] = {}
        self.budget = _HASHED_BYTES
        self.walked = _WALKED
        self.owned: Set[str] = set()
        self.dirs: Set[str] = set()
        self.tops: Set[str] = set()

    def run(self, directories: List[str]) -> Site:
        for directory in directories:
            self.owned, self.tops = set(), set()
            listed, complete = _evidence_files.entries(directory)
            if not complete:
                self.site.blind.append("%s has more than %d entries; the rest was not looked at" % (directory, len(listed)))
            for entry in listed:
                self._metadata(directory, entry)
            self.site.shared_objects += [path for path in self.owned if re.search(r"\.so(\.[\d.]+)?$", path)]
            self._of_packages(directory)
            self.dirs = _directories(self.owned, directory)
            for entry in listed:
                self._installed(directory, entry)
        self.site.shared_objects += [path for path in self.site.added + self.site.unowned if path.endswith(".so")]
        self.site.distributions = [self.found[key] for key in sorted(self.found)]
        self.site.editable = sorted("%s %s" % item for item in self.editable.values())
        for items in (self.site.direct_urls, self.site.pth, self.site.patched, self.site.added, self.site.unowned, self.site.unverified):
            items[:] = sorted(set(items))
        return self.site

    def _of_packages(self, directory: str) -> None:
        """Take what packages have here as owned, and compare it with what dpkg unpacked."""
        top, skipped = directory.rstrip("/") + "/", 0
        for path in sorted(path for path in self.packaged if path.startswith(top)):
            self.owned.add(path)
            if self.packaged[path]:
                skipped += self._differs(path, "md5", self.packaged[path]) is None
        if skipped:
            self.site.blind.append("%s: %d files of packages were not verified" % (directory, skipped))

    # -- what says that something is installed

    def _metadata(self, directory: str, entry: "os.DirEntry[str]") -> None:
        name, path = entry.name, entry.path
        if name.endswith(_METADATA):
            self._distribution(directory, path, path)
        elif name.endswith(".egg") and _is_dir(entry):
            self.tops.add(name)
            self._distribution(directory, os.path.join(path, "EGG-INFO"), path)
        elif name.endswith(".egg-link"):
            self._linked(name[:-len(".egg-link")], (_evidence_files.text(path).splitlines() or [""])[0].strip())
        elif name.startswith("__editable__") and name.endswith((".pth", "_finder.py")):
            self._editable_file(path, name)
        elif name.endswith(".pth") and path not in self.packaged:
            self._pth(directory, path, name)

    def _distribution(self, directory: str, path: str, shown: str) -> None:
        header = headers(path)
        if not (header.get("Name") and header.get("Version")):
            return
        name, key = header["Name"], normalized(header["Name"])
        self.found.setdefault(key, {"name": name, "version": header["Version"]})
        self.site.metadata.append(shown)
        direct = _direct_url(path)
        self._origin(name, direct)
        editable = isinstance(direct.get("dir_info"), dict) and bool(direct["dir_info"].get("editable"))
        if path not in self.packaged and not self._files(directory, path) and not editable:
            self.tops |= set(_top_level(path, name))
            if not shown.endswith(".egg"):
                self.site.unverified.append(name)

    def _files(self, directory: str, path: str) -> bool:
        """Take what RECORD or installed-files.txt lists as owned, and verify it; False when neither is there."""
        try:
            rows = list(csv.reader(_evidence_files.text(os.path.join(path, "RECORD"), _RECORD_BYTES).splitlines()))
        except csv.Error:
            self.site.blind.append("%s cannot be read" % os.path.join(path, "RECORD"))
            rows = []
        base = directory
        if not rows:
            base = path
            rows = [[line] for line in _evidence_files.text(os.path.join(path, "installed-files.txt"), _RECORD_BYTES).splitlines() if line.strip()]
        for row in rows:
            place = os.path.normpath(os.path.join(base, row[0])) if row else ""
            self.owned.add(place)
            if len(row) >= 3 and "=" in row[1] and not row[0].endswith(".pyc") and self._ours(place, directory):
                self._verify(place, row[1], row[2])
        return bool(rows)

    def _ours(self, place: str, directory: str) -> bool:
        return place.startswith(directory.rstrip("/") + "/") or self.prefix is not None and place.startswith(self.prefix.rstrip("/") + "/")

    def _verify(self, path: str, wanted: str, size: str) -> None:
        kind, dummy, digest = wanted.partition("=")
        if self._differs(path, kind, _hex(digest), size) is None:
            self.site.blind.append("%s was not verified" % path)

    def _differs(self, path: str, kind: str, wanted: str, size: str = "") -> Optional[bool]:
        """Compare a file with its digest, and note it when it differs or is gone; None when it cannot be told."""
        try:
            length = os.stat(path).st_size
            if size.isdigit() and int(size) != length:
                raise FileNotFoundError(path)  # what was installed is gone
            if length > self.budget or kind not in hashlib.algorithms_guaranteed or kind.startswith("shake"):
                return None
            self.budget -= length
            hasher = hashlib.new(kind, usedforsecurity=False)
            for data in _evidence_files.blocks(path):
                hasher.update(data)
        except FileNotFoundError:
            differs = True
        except OSError:
            return None
        else:
            differs = hasher.hexdigest() != wanted
        if differs:
            self.site.patched.append(path)
        return differs

    # -- installed from elsewhere

    def _origin(self, name: str, direct: Dict[str, Any]) -> None:
        url, info = str(direct.get("url", "")), direct.get("dir_info")
        if not url:
            return
        if isinstance(info, dict) and info.get("editable"):
            self.editable[normalized(name)] = (name, unquote(urlsplit(url).path) if url.startswith("file:") else redact(url))
            return
        shown = without_login(url)
        vcs = direct.get("vcs_info")
        if isinstance(vcs, dict):
            shown = "%s+%s@%s" % (vcs.get("vcs", "git"), shown, vcs.get("commit_id", ""))
        if direct.get("subdirectory"):
            shown += "#subdirectory=%s" % direct["subdirectory"]
        self.site.direct_urls.append("%s %s" % (name, shown))

    def _linked(self, name: str, target: str) -> None:
        """A distribution of ``setup.py develop``: its metadata lies beside its source."""
        if not target:
            return
        self.editable.setdefault(normalized(name), (name, target))
        for entry in _evidence_files.entries(target)[0]:
            if entry.name.endswith(".egg-info") and normalized(entry.name[:-len(".egg-info")].split("-")[0]) == normalized(name):
                header = headers(entry.path)
                if header.get("Name") and header.get("Version"):
                    self.found.setdefault(normalized(name), {"name": header["Name"], "version": header["Version"]})

    def _editable_file(self, path: str, name: str) -> None:
        """What setuptools leaves for an editable install: a path in a .pth, or a finder with the places of its modules."""
        match = re.match(r"__editable__[._]+(.+?)[-_]\d[^/]*?(\.pth|_finder\.py)$", name)
        title = match.group(1) if match else name
        text = _evidence_files.text(path)
        places = editable_places(text) if name.endswith(".py") else [line.strip() for line in text.splitlines() if line.startswith("/")]
        if places:
            self.editable.setdefault(normalized(title), (title, os.path.dirname(places[0]) if name.endswith(".py") else places[0]))

    def _pth(self, directory: str, path: str, name: str) -> None:
        """What site.py does with the file: it runs lines that begin with import, and adds the others to sys.path where they exist."""
        if name in _MADE_BY_TOOLS:
            return
        for line in _evidence_files.text(path).splitlines():
            if line.startswith(("import ", "import\t")):
                shown = re.sub(r"""(["'])(?:(?!\1).)+\1""", r"\1...\1", redact(line.strip()))  # a text may be a secret under any name
                self.site.pth.append("%s runs %s" % (path, shown if len(shown) <= _SHOWN else shown[:_SHOWN] + " ..."))
            elif line.strip() and not line.startswith("#"):
                place = os.path.normpath(os.path.join(directory, line.strip()))
                missing = "" if os.path.exists(place) else ", which does not exist"
                self.site.pth.append("%s adds %s%s" % (path, place, missing))

    # -- what is there without a word about it

    def _installed(self, directory: str, entry: "os.DirEntry[str]") -> None:
        name, path = entry.name, entry.path
        left_out = name.endswith(_METADATA + (".pth", ".egg-link", ".pyc")) or name.startswith(("~", ".", "__editable__")) or name in self.tops
        of_package = path in self.packaged and (entry.is_symlink() or not _is_dir(entry))
        if left_out or of_package or name in ("__pycache__", "_virtualenv.py"):
            return
        if _is_dir(entry):
            if entry.is_symlink():
                target = os.path.realpath(path)
                if not target.startswith(directory.rstrip("/") + "/"):
                    self.editable.setdefault(normalized(name), (name, target))
            elif path in self.dirs:
                self.site.added += self._added(path)
            elif self._has_code(path):
                self.site.unowned.append(path)
        elif path not in self.owned:
            is_code = name.endswith((".py", ".so")) and name.split(".")[0] not in self.tops
            if name.split(".")[0] not in self.tops:
                (self.site.unowned if is_code else self.site.added).append(path)

    def _added(self, top: str) -> List[str]:
        """Files below a package that its RECORD does not name; a directory without any owned file is one entry."""
        found: List[str] = []
        todo = [top]
        while todo:
            for entry in _evidence_files.entries(todo.pop())[0]:
                self.walked -= 1
                if self.walked < 0:
                    self.site.blind.append("%s was not searched for added files: too many files" % top)
                    return found
                if entry.name == "__pycache__" or entry.name.endswith(".pyc") or entry.path in self.owned:
                    continue
                if not _is_dir(entry) or entry.is_symlink():
                    found.append(entry.path)
                elif entry.path in self.dirs:
                    todo.append(entry.path)
                elif self._has_files(entry.path):
                    found.append(entry.path + "/")
        return found

    def _has_files(self, top: str) -> bool:
        return any(entry.name != "__pycache__" for entry in _evidence_files.entries(top)[0])

    def _has_code(self, top: str) -> bool:
        """Is it a package, if only one of a namespace?"""
        todo = [top]
        while todo:
            for entry in _evidence_files.entries(todo.pop())[0]:
                self.walked -= 1
                if self.walked < 0:
                    return True
                if entry.name.endswith((".py", ".so")):
                    return True
                if _is_dir(entry) and not entry.is_symlink() and entry.name != "__pycache__":
                    todo.append(entry.path)
        return False


def _directories(paths: Set[str], top: str) -> Set[str]:
    """The directories of all paths up to the top."""
    found: Set[str] = set()
    for path in paths:
        path = os.path.dirname(path)
        while len(path) > len(top) and path not in found:
            found.add(path)
            path = os.path.dirname(path)
    return found


def _is_dir(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a loop of links
        return False


def headers(path: str) -> Dict[str, str]:
    """Name and Version of a metadata directory or file."""
    for candidate in (os.path.join(path, "METADATA"), os.path.join(path, "PKG-INFO"), path):
        text = _evidence_files.text(candidate, 256 * 1024)
        if text:
            message = email.parser.HeaderParser().parsestr(text)
            return {"Name": str(message.get("Name") or "").strip(), "Version": str(message.get("Version") or "").strip()}
    return {}


def _direct_url(path: str) -> Dict[str, Any]:
    try:
        direct: Any = json.loads(_evidence_files.text(os.path.join(path, "direct_url.json")) or "{}")
    except ValueError:
        return {}
    return direct if isinstance(direct, dict) else {}


def _top_level(path: str, name: str) -> List[str]:
    listed = _evidence_files.text(os.path.join(path, "top_level.txt")).split()
    return listed or [re.sub(r"[-.]", "_", name), re.sub(r"[-.]", "_", name).lower()]


def _hex(digest: str) -> str:
    """A digest as RECORD has it, URL-safe base64 without padding, in hexadecimal; empty for what is none."""
    try:
        return base64.urlsafe_b64decode(digest.rstrip("=") + "=" * (-len(digest.rstrip("=")) % 4)).hex()
    except ValueError:
        return ""


def without_login(url: str) -> str:
    """A URL without the user and password in it."""
    return re.sub(r"(?<=://)[^/@\s]*@", "", url)
