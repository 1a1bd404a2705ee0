# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Directories of static files: which of them the service itself serves and under which paths, and whether a container has the same files."""

from __future__ import annotations

import os
import posixpath
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Sequence, Set
from urllib.parse import quote

from ansible_collections.gantry.webstack.plugins.module_utils.image._app_tree import LEFT_OUT
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Fs, HostFs, Stat
from ansible_collections.gantry.webstack.plugins.module_utils.move._requests import leads_here

ENTRIES = 20000
"""Files and directories of one tree that are looked at; what lies beyond is compared by nothing but the requests."""

SMALL = 64 * 1024
CONTENT = 16 * 1024 * 1024
"""Files up to SMALL bytes are compared by their content, up to CONTENT bytes of one tree in all; larger ones by their size."""

ASKED = 12
"""Static files of a service that are asked for."""

_MAPS = ("static-map", "static-map2", "check-static")
_NAMES = {"static": "static", "staticfiles": "static", "assets": "assets", "dist": "dist", "public": ""}
"""Directories of code that frameworks serve, and the path under which they usually do: Flask's static, Django's STATIC_URL behind WhiteNoise."""

_DEPTH, _DEEPEST = 4, 64


class Tree(NamedTuple):
    """A directory (or file) and the path under which the service serves it."""

    prefix: str
    path: str


def _values(value: Any) -> List[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value])]


def mapped(service: Mapping[str, Any]) -> List[Tree]:
    """What uWSGI serves by itself (uWSGI core/static.c): static-map, static-map2 (the prefix is below the directory, too), check-static. Pure."""
    options = service.get("uwsgi", {}).get("options", {})
    found = []
    for name in _MAPS:
        for value in _values(options[name]) if name in options and not isinstance(options[name], bool) else []:
            prefix, equal, path = value.partition("=")
            if name == "check-static":
                found.append(Tree("/", value))
            elif equal:
                found.append(Tree(prefix, path if name == "static-map" else posixpath.join(path, prefix.lstrip("/"))))
    return found


def in_code(service: Mapping[str, Any], fs: Fs) -> List[Tree]:
    """Directories of the code with the names under which frameworks serve static files; not very deep."""
    top = fs.resolve(service.get("code", {}).get("path", "")).real if service.get("code", {}).get("path") else None
    if top is None or top == "/":
        return []
    site = next((site.get("location", "/") for site in service.get("nginx", {}).get("sites", [])), "/")
    base = "" if not site.startswith("/") else site.rstrip("/")
    trees: List[Tree] = []

    def enter(path: str, found: Stat) -> bool:
        name = posixpath.basename(path)
        if found.kind != "dir" or name.startswith(".") or name == "node_modules" or path.count("/") - str(top).count("/") > _DEPTH:
            return False
        if name in _NAMES:
            trees.append(Tree("%s/%s" % (base, _NAMES[name]), path))
            return False
        return True

    for dummy in _some(fs.walk(top, enter)):
        pass
    return trees


def _some(entries: Iterator[Any], most: int = ENTRIES) -> Iterator[Any]:
    for dummy, entry in zip(range(most), entries):
        yield entry


def files(fs: Fs, path: str) -> Dict[str, Stat]:
    """{path below a tree: Stat} of its files and links, and of the tree itself ("") when it is a file; at most ENTRIES."""
    real = fs.resolve(path).real
    found = fs.lstat(real) if real is not None else None
    if real is None or found is None:
        return {}
    if found.kind != "dir":
        return {"": found}
    walked = _some(fs.walk(real, lambda path, item: posixpath.basename(path) not in LEFT_OUT and path.count("/") < _DEEPEST))
    return {name[len(real.rstrip("/")) + 1:]: item for name, item in walked if item.kind in ("file", "link")}


def sample(names: Sequence[str], most: int) -> List[str]:
    """Some of the files: each extension once, then each directory once, the least deep first."""
    ordered = sorted(names, key=lambda name: (name.count("/"), name))
    chosen: List[str] = []
    for kind in (lambda name: posixpath.splitext(name)[1], posixpath.dirname):
        seen: Set[str] = {kind(name) for name in chosen}
        for name in ordered:
            if len(chosen) < most and name not in chosen and kind(name) not in seen:
                seen.add(kind(name))
                chosen.append(name)
    return chosen


def targets(service: Mapping[str, Any], fs: Fs, most: int = ASKED) -> List[str]:
    """Request targets of files that the service itself serves, or seems to; spread over its trees."""
    found: List[str] = []
    trees = mapped(service) + in_code(service, fs)
    for tree in trees:
        names = [name for name, item in files(fs, tree.path).items() if item.kind == "file" and not posixpath.basename(name).startswith(".")]
        paths = [quote(posixpath.join(tree.prefix, name) if name else tree.prefix) for name in sample(names, max(2, most // len(trees)))]
        found += [path if path.startswith("/") else "/" + path for path in paths]
    return [target for target in dict.fromkeys(found) if leads_here(service, target)][:most]


def belonging(service: Mapping[str, Any], fs: Fs) -> List[str]:
    """Static trees that a container of the service has to have: those that uWSGI maps, and those of nginx's that are part of code or mounts.

    What else nginx serves it serves from the host.
    """
    own = [service["code"]["path"]] if service.get("code", {}).get("path") else []
    own += [item["path"] for key in ("files", "state") for item in service.get(key, [])]
    roots = [root for root in (fs.resolve(path).real for path in own) if root not in (None, "/")]

    def ours(path: str) -> bool:
        real = fs.resolve(path).real
        return real is not None and any(real == root or real.startswith(str(root).rstrip("/") + "/") for root in roots)

    served = [item["path"] for item in service.get("nginx", {}).get("static", []) if ours(item["path"])]
    return list(dict.fromkeys([tree.path for tree in mapped(service) if fs.resolve(tree.path).real is not None] + served))


class Compared(NamedTuple):
    """How many files of a tree were compared (none of one that is mounted: it is the same), and what differs: short sentences."""

    files: int
    found: List[str]


def compare(host: HostFs, container: HostFs, path: str) -> Compared:
    """One tree on the host and in a container: the same names and sizes, and the same content of small files."""
    here, there = host.resolve(path).real, container.resolve(path).real
    if here is None:
        return Compared(0, [])
    if there is None:
        return Compared(0, ["%s is missing in the container" % path])
    if _same_file(host, here, container, there):
        return Compared(0, [])
    left, right = files(host, path), files(container, path)
    full = max(len(left), len(right)) < ENTRIES
    found = [(name, "is missing in the container") for name in left if name not in right and full]
    found += [(name, "is in the container only") for name in right if name not in left and full]
    budget = CONTENT
    for name in (name for name in left if name in right):
        one, other = left[name], right[name]
        if one.kind != other.kind:
            found.append((name, "is another kind of file in the container"))
        elif one.kind != "file" or one.inode == other.inode:
            continue
        elif one.size != other.size:
            found.append((name, "has %d bytes in the container, on the host %d" % (other.size, one.size)))
        elif one.size <= SMALL and budget > 0:
            budget -= one.size
            if host.read(posixpath.join(here, name).rstrip("/")) != container.read(posixpath.join(there, name).rstrip("/")):
                found.append((name, "has another content in the container"))
    said = ["%s %s" % (posixpath.join(path, name) if name else path, what) for name, what in found[:5]]
    return Compared(len(left), said + (["and %d more" % (len(found) - 5)] if len(found) > 5 else []))


def _same_file(host: HostFs, here: str, container: HostFs, there: str) -> bool:
    try:
        return os.path.samefile(host.root + here, container.root + there)
    except OSError:
        return False


def inside(pid: int) -> HostFs:
    """The files that a process sees (proc(5), /proc/PID/root)."""
    return HostFs("/proc/%d/root" % pid)
