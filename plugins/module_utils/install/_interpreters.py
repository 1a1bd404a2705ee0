# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Python interpreters of a host: which there are, which one a service gets, and what to say when there is none."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
import shutil
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, run

_LOOKED_IN = ("/usr/bin", "/usr/local/bin", "/opt/*/bin")
_NAMES = ("python3", "python3.[0-9]", "python3.[0-9][0-9]")
PACKAGE, TREE = "package", "tree"


class Wish(NamedTuple):
    """What a service asks of its Python; every field but ``service`` may be None."""

    service: str
    version: Optional[str] = None
    interpreter: Optional[str] = None
    origin: Optional[str] = None


class Found(NamedTuple):
    """An interpreter of this host."""

    version: str
    origin: Optional[str]


def wish(entry: Mapping[str, Any]) -> Wish:
    """The wish in an entry of a module's list (name, version, interpreter, origin)."""
    return Wish(entry["name"], entry.get("version"), entry.get("interpreter"), entry.get("origin"))


def fits(wanted: str, version: str) -> bool:
    """Whether ``version`` (3.11.2) is what ``wanted`` (3.11, or 3.11.2) asks for. Pure."""
    return version.split(".")[:len(wanted.split("."))] == wanted.split(".")


def order(version: str) -> Tuple[int, ...]:
    """A version as what sorts. Pure."""
    return tuple(int(number) for number in re.findall(r"\d+", version))


def choose(wanted: Wish, there: Mapping[str, Found], offered: Mapping[str, str]) -> str:
    """The interpreter for a service: the distribution's where it fits, the newest of the others otherwise. Pure.

    ``there``: path -> interpreter. ``offered``: package -> version that the distribution offers, for the message.
    Raises WebstackError, with what is available, when there is none.
    """
    if wanted.interpreter is not None:
        if wanted.interpreter not in there:
            raise WebstackError("service %s: there is no Python interpreter %s on this host; %s" % (
                wanted.service, wanted.interpreter, available(there, offered)))
        version = there[wanted.interpreter].version
        if wanted.version is not None and not fits(wanted.version, version):
            raise WebstackError("service %s: %s is Python %s, not the wanted %s; %s" % (
                wanted.service, wanted.interpreter, version, wanted.version, available(there, offered)))
        return wanted.interpreter
    fitting = [path for path, found in there.items()
               if (wanted.version is None or fits(wanted.version, found.version)) and wanted.origin in (None, found.origin)]
    if not fitting:
        of = {TREE: " in an interpreter tree", PACKAGE: " of the distribution"}.get(wanted.origin or "", "")
        raise WebstackError("service %s: Python %s%s is not on this host; %s" % (wanted.service, wanted.version or "3", of, available(there, offered)))
    best = max(order(there[path].version) for path in fitting)
    return min(fitting, key=lambda path: (path != "/usr/bin/python3", there[path].origin != PACKAGE, order(there[path].version) != best, len(path), path))


def available(there: Mapping[str, Found], offered: Mapping[str, str]) -> str:
    """What a user can ask for instead, and what to do. Pure."""
    parts = ["there are %s" % (", ".join("%s (%s)" % (path, found.version) for path, found in sorted(there.items())) or "none")]
    if offered:
        parts.append("the distribution offers %s" % ", ".join("%s (%s)" % item for item in sorted(offered.items())))
    return "; ".join(parts) + "; ask for one of these versions, or list an archive with the wanted one in python_trees"


def parse_policy(output: str) -> Dict[str, str]:
    """Package -> upstream version of its candidate, out of ``apt-cache policy``; packages without one are left out. Pure."""
    found = {}
    package = ""
    for line in output.splitlines():
        if line and not line[0].isspace():
            package = line.rstrip(":")
        match = re.match(r"\s+Candidate: (?:\d+:)?(\d[^\s-]*)", line)
        if match:
            found[package] = re.split(r"[+~]", match.group(1))[0]
    return found


def offered_packages() -> Dict[str, str]:
    """The interpreters that the distribution offers, package -> version; asks apt's lists, so only for a message or a package to come."""
    if shutil.which("apt-cache") is None:
        return {}
    names = run(["apt-cache", "pkgnames", "python3"], check=False).stdout.split()
    wanted = sorted(name for name in names if re.match(r"^python3(\.\d+)?$", name))
    return parse_policy(run(["apt-cache", "policy"] + wanted, check=False).stdout) if wanted else {}


def registered() -> Dict[str, Dict[str, Any]]:
    """The interpreter trees of this collection that are whole, prefix -> stamp."""
    found = {}
    for prefix in prefixes():
        with contextlib.suppress(OSError, ValueError, KeyError):
            with open(_paths.tree_stamp(prefix), encoding="utf-8") as handle:
                found[prefix] = json.load(handle)
    return found


def prefixes() -> List[str]:
    """Where interpreter trees of this collection are, whole or not."""
    try:
        with open(_paths.TREES, encoding="utf-8") as handle:
            return list(json.load(handle)["prefixes"])
    except (OSError, ValueError, KeyError):
        return []


def version_of(path: str) -> Optional[str]:
    """An interpreter's version, or None when it does not run."""
    try:
        return run([path, "-I", "-S", "-c", "import platform; print(platform.python_version())"]).stdout.strip()
    except CommandError:
        return None


def find(named: Iterable[Optional[str]] = ()) -> Dict[str, Found]:
    """The host's Python interpreters, path -> version and origin; links to the same file are asked once."""
    trees = {os.path.join(prefix, "bin", "python" + ".".join(stamp["version"].split(".")[:2])) for prefix, stamp in registered().items()}
    patterns = [os.path.join(directory, name) for directory in _LOOKED_IN for name in _NAMES]
    paths = {path for pattern in patterns for path in glob.glob(pattern)} | trees | {path for path in named if path}
    paths = {path for path in paths if not os.path.exists(os.path.join(os.path.dirname(path), "..", "pyvenv.cfg"))}  # a venv below /opt is no interpreter
    versions: Dict[str, Optional[str]] = {}
    found = {}
    for path in sorted(paths):
        real = os.path.realpath(path)
        if real not in versions:
            versions[real] = version_of(path)
        version = versions[real]
        if version is not None:
            inside = path in trees or any(path.startswith(prefix + "/") for prefix in prefixes())
            found[path] = Found(version, TREE if inside else PACKAGE if path.startswith("/usr/bin/") else None)
    return found


def to_come(trees: Sequence[Mapping[str, Any]]) -> Dict[str, Found]:
    """The interpreters that listed trees will bring, as if they were there. Pure."""
    return {os.path.join(tree["prefix"], "bin", "python" + ".".join(tree["version"].split(".")[:2])): Found(tree["version"], TREE) for tree in trees}
