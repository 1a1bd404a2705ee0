# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a service goes into its own layer: the venv as it is (but for pip), the code, and what links and imports of both lead to."""

from __future__ import annotations

import ast
import os
import re
from typing import Any, Callable, Dict, List, Mapping, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Fs, Stat

LEFT_OUT = frozenset((".git", ".hg", ".svn", ".bzr", ".ssh", ".gnupg", ".aws", ".bash_history", ".python_history", ".psql_history", ".mysql_history"))
"""Names that never go into an image: histories and keys of the people who work there, which may hold secrets."""

_PIP = re.compile(r"/bin/pip[0-9.]*|/lib/python[^/]+/site-packages/pip(-[^/]+\.dist-info)?")
"""pip inside a venv: an image has no package manager, and nothing can be installed into one that is read-only."""

VOLATILE = ("/run/", "/var/run/", "/tmp/", "/var/tmp/", "/proc/", "/sys/", "/dev/")
"""Directories that a container has of its own."""

TOO_BROAD = frozenset(("/", "/bin", "/boot", "/etc", "/home", "/lib", "/media", "/mnt", "/opt", "/root", "/sbin", "/srv", "/usr", "/usr/bin", "/usr/lib",
                       "/usr/local", "/usr/local/bin", "/usr/local/lib", "/usr/share", "/var", "/var/lib", "/var/log", "/var/www"))
_SYSTEM = ("/usr/lib/", "/usr/bin/", "/usr/sbin/", "/usr/share/", "/lib/", "/bin/", "/sbin/")


def environment(python: Mapping[str, Any]) -> str:
    """The virtual environment of a service; empty without one, and where uWSGI's home is the distribution's own prefix (virtualenv = /usr)."""
    venv = str(python.get("venv") or "")
    return "" if os.path.normpath(venv or "/") in ("/", "/usr", "/usr/local") else venv


class AppTree:
    """The files of one service. ``given``: whether another layer has a path.

    ``files``: real path -> Stat of every file, directory and symlink; ``mounts``: real path -> Stat of the empty place for a bind mount;
    ``outside``: paths that the system's layers must bring; ``remarks``: sentences about what was left out.
    """

    def __init__(self, fs: Fs, service: Mapping[str, Any], given: Callable[[str], bool], owned: Callable[[str], bool]) -> None:
        self.fs = fs
        self.service = service
        self.given = given
        self.owned = owned
        self.files: Dict[str, Stat] = {}
        self.mounts: Dict[str, Stat] = {}
        self.outside: List[str] = []
        self.remarks: List[str] = []
        self.roots: List[str] = []
        self._exact: Set[str] = set()
        self._queue: List[str] = []
        self._hidden: Dict[str, Tuple[str, str]] = {}
        python = service.get("python", {})
        self.venv = self._required(python["venv"], "venv") if environment(python) else None
        self.code = self._required(service["code"]["path"], "code") if service.get("code", {}).get("path") else None

    def _required(self, path: str, what: str) -> str:
        real = self.fs.resolve(path).real
        if real is None:
            raise WebstackError("service %s: its %s %s does not exist on this host" % (self.service["name"], what, path))
        return real

    @property
    def system_site(self) -> bool:
        """Whether the service imports the distribution's Python packages: it has no venv, or one that says so (pyvenv.cfg)."""
        if self.venv is None:
            return True
        return re.search(r"^include-system-site-packages\s*=\s*true", self.fs.text(self.venv + "/pyvenv.cfg"), re.M | re.I) is not None

    def inside(self, path: str) -> bool:
        """Whether a real path is the app layer's business."""
        return any(path == root or path.startswith(root + "/") for root in self.roots)

    def scan(self) -> "AppTree":
        """Walk everything once."""
        self._hide()
        if self.venv is not None:
            self._exact.add(self.venv)
            self._root(self.service["python"]["venv"])
        if self.code is not None:
            self._root(self.service["code"]["path"])
        for path in self.service.get("container", {}).get("paths", []):
            self._asked_for(path)
        for path in self._imported():
            self._root(path)
        while self._queue:
            self._walk(self._queue.pop(0))
        return self

    # What must not be in the image: it comes by bind mount, or it is secret.

    def _hide(self) -> None:
        user = self.service.get("user", {})
        owner = (user.get("uid", 0), user.get("gid", 0))
        for item in self.service.get("state", []):
            self._mount(item["path"], Stat("dir", 0o750, *owner))
        for item in self.service.get("files", []):
            self._mount(item["path"], Stat("file", 0o444))
        for item in self.service.get("secrets", []):
            kind, dummy, path = item["source"].partition(":")
            if kind == "file":
                self._mount(path, Stat("file", 0o400, *owner))
            elif path.startswith("/") and kind != "code":
                self._hidden.update((name, ("secret", path)) for name in (path, self.fs.canonical(path), self.fs.resolve(path).real) if name)

    def _mount(self, path: str, default: Stat) -> None:
        """Note the place of a bind mount; its links stay, so that the same path leads there in the container."""
        path = os.path.normpath(path)
        resolved = self.fs.resolve(path)
        real = resolved.real or self.fs.canonical(path) or path
        found = self.fs.lstat(real)
        self._hidden[real] = ("mount", path)
        for link in resolved.links:
            self._link(link)
        if real.startswith(VOLATILE) or self.given(real):
            return
        place = found if found is not None and found.kind in ("dir", "file") else default
        self.mounts[real] = place._replace(size=0, mtime_ns=0, links=1)

    def _link(self, path: str) -> None:
        found = self.fs.lstat(path)
        if found is not None and not self.given(path):
            self.files[path] = found

    # What is in it.

    def _root(self, path: str) -> None:
        resolved = self.fs.resolve(path)
        if resolved.real is None:
            return
        for link in resolved.links:
            self._link(link)
        if self.inside(resolved.real) and resolved.real not in (self.code, self.venv):
            return
        if resolved.real in TOO_BROAD or (resolved.real + "/").startswith(VOLATILE):
            self.remarks.append("%s is left out: too broad to belong to one service" % resolved.real)
            return
        if resolved.real not in self.roots:
            self.roots.append(resolved.real)
            self._queue.append(resolved.real)

    def _asked_for(self, path: str) -> None:
        """A path that the plan adds. The system's layers bring what lies where packages put things; all else is the service's own, to the byte."""
        resolved, where = self.fs.resolve(path), "service %s: %s of its container.paths" % (self.service["name"], path)
        real = resolved.real
        if real is None:
            raise WebstackError("%s does not exist on this host; take it out of the plan, or add the package that brings it to container.packages" % where)
        if real in TOO_BROAD or (real + "/").startswith(VOLATILE):
            raise WebstackError("%s is %s; name what is needed below it" % (where, "too broad for one image" if real in TOO_BROAD else "a directory that "
                                "a container has of its own"))
        if any(real == hidden or real.startswith(hidden + "/") for hidden in self._hidden):
            raise WebstackError("%s is mounted into the container or secret (%s); take it out of one of the two places" % (where, real))
        if self.owned(real) or real.startswith(_SYSTEM):
            return
        self._exact.add(real)
        self._root(path)

    def _walk(self, root: str) -> None:
        found = self.fs.lstat(root)
        if found is None or root in self._hidden:
            return
        self.files[root] = found
        if found.kind != "dir":
            return
        for path, item in self.fs.walk(root, lambda path, item: self._enter(root, path, item)):
            self.files[path] = item
            if item.kind == "link":
                self._follow(path)

    def _enter(self, root: str, path: str, found: Stat) -> bool:
        name = os.path.basename(path)
        if path in self._hidden or path in self.roots or found.kind == "other":
            return False
        if root == self.venv and _PIP.fullmatch(path[len(root):]):
            remark = "pip of the venv %s is left out" % root
            self.remarks += [remark] if remark not in self.remarks else []
            return False
        if name in LEFT_OUT:
            self.remarks.append("%s is left out" % path)
            return False
        # The service writes byte code beside its code whenever it likes; a venv's belongs to what was installed.
        return name != "__pycache__" or root in self._exact

    def _follow(self, link: str) -> None:
        """Bring what a symlink leads to, when it leads out of the trees."""
        resolved = self.fs.resolve(link)
        real = resolved.real
        if real is None or self.inside(real) or self.given(real) or any(real == path or real.startswith(path + "/") for path in self._hidden):
            return
        if self.owned(real) or real.startswith(_SYSTEM):
            self.outside.append(link)
            return
        for hop in resolved.links:
            self._link(hop)
        if self.fs.kind(real) == "dir":
            self._root(real)
        elif not real.startswith(VOLATILE):
            found = self.fs.lstat(real)
            if found is not None and found.kind == "file":
                self.files[real] = found

    def _imported(self) -> List[str]:
        """Directories and files beside venv and code that Python or uWSGI imports from."""
        options = self.service.get("uwsgi", {}).get("options", {})
        found: List[str] = []
        for key in ("pythonpath", "python-path", "pp", "wsgi-file", "file", "mule", "import", "shared-import"):
            values = options.get(key, [])
            found += [value for value in (values if isinstance(values, list) else [values]) if isinstance(value, str) and value.startswith("/")]
        for site in self._site_packages():
            for name in self.fs.listdir(site):
                if name.endswith((".pth", ".egg-link")):
                    found += [os.path.join(site, line.strip()) for line in self.fs.text(os.path.join(site, name)).splitlines()
                              if line.strip() and not line.startswith(("import ", "import\t", "#")) and line.strip() != "."]
                elif name.startswith("__editable__") and name.endswith("_finder.py"):
                    places = editable_places(self.fs.text(os.path.join(site, name)))
                    found += places + [place + ".py" for place in places]  # a module is named without its ending
        kept = [path for path in map(os.path.normpath, found) if self.fs.resolve(path).real]
        return [path for path in kept if not (self.fs.resolve(path).real or "").startswith("/usr/lib/python3")]

    def _site_packages(self) -> List[str]:
        if self.venv is None:
            return []
        lib = self.venv + "/lib"
        return ["%s/%s/site-packages" % (lib, name) for name in self.fs.listdir(lib) if name.startswith("python")]


def editable_places(finder: str) -> List[str]:
    """The source places in a ``__editable___NAME_finder.py`` that setuptools wrote (setuptools: command/editable_wheel.py, MAPPING)."""
    match = re.search(r"^MAPPING\s*(?::[^=]+)?=\s*(\{.*?\})\s*$", finder, re.M | re.S)
    try:
        mapping = ast.literal_eval(match.group(1)) if match else {}
    except (ValueError, SyntaxError):
        mapping = {}
    return [place for place in mapping.values() if isinstance(place, str) and place.startswith("/")]
