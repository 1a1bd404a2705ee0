# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requirement files and dist-info directories, as far as telling whether a virtual environment is what its lock says."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from typing import Dict, List, NamedTuple, Optional, Set

TOOLS = frozenset(("pip", "setuptools", "wheel"))
"""What makes a virtual environment; no lock lists them, and nobody minds them."""


class Lock(NamedTuple):
    """A requirements file: ``pins`` (name -> version) always apply, ``conditional`` ones have an environment marker.

    ``hashed``: pip's hash-checking mode, which demands that every distribution is listed, so that it lists all there may be.
    ``digest`` is of the text without comments and blank lines.
    """

    pins: Dict[str, str]
    conditional: Dict[str, str]
    loose: List[str]
    hashed: bool
    digest: str

    @property
    def names(self) -> Set[str]:
        """Every distribution that is listed."""
        return set(self.pins) | set(self.conditional) | set(self.loose)


def canonical(name: str) -> str:
    """A distribution's name in the form in which names compare (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


_REQUIREMENT = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*(?P<rest>.*)$")
_PIN = re.compile(r"^={2,3}\s*(?P<version>[^\s;,*]+)\s*(?P<marker>;.*)?$")


def parse_lock(text: str) -> Lock:
    """Read a requirements file (pip's requirements file format)."""
    lines = []
    for line in re.sub(r"\\\r?\n", " ", text).splitlines():
        line = re.sub(r"(^|\s)#.*$", "", line).strip()
        if line:
            lines.append(" ".join(line.split()))
    pins: Dict[str, str] = {}
    conditional: Dict[str, str] = {}
    loose: List[str] = []
    for line in lines:
        match = _REQUIREMENT.match(re.split(r"\s--", line)[0].strip())
        if line.startswith("-") or not match:
            continue
        pin = _PIN.match(match["rest"].strip())
        name = canonical(match["name"])
        if pin is None:
            loose.append(name)
        elif pin["marker"]:
            conditional[name] = pin["version"]
        else:
            pins[name] = pin["version"]
    digest = hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
    return Lock(pins, conditional, loose, any("--hash=" in line for line in lines), digest)


def venv_digest(requirements: str, version: str = "", interpreter: str = "", system_site_packages: bool = False) -> str:
    """The name of the virtual environment for a lock and a Python: the same for the same lock, whatever its comments and blank lines. Pure.

    ``version`` and ``interpreter`` are what is known of the Python where the name is made; whoever makes it twice has to know the same.
    """
    told = [parse_lock(requirements).digest, version, interpreter, "system" if system_site_packages else ""]
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogateescape")).hexdigest()[:16]


def expected(lock: Lock, installed: Dict[str, str]) -> Dict[str, str]:
    """The distributions after an installation, as far as they can be known without asking an index. Pure."""
    after = {name: version for name, version in installed.items() if not lock.hashed or name in TOOLS or name in lock.names}
    after.update(lock.pins)
    after.update({name: version for name, version in lock.conditional.items() if name in installed})
    for name in lock.loose:
        after.setdefault(name, "(any)")
    return after


def read_distribution(path: str) -> Optional[List[str]]:
    """Name and version out of a dist-info directory's METADATA (core metadata specification), or None."""
    try:
        with open(os.path.join(path, "METADATA"), encoding="utf-8", errors="replace") as handle:
            head = handle.read(4096).split("\n\n")[0]
    except OSError:
        return None
    fields = dict(line.split(": ", 1) for line in head.splitlines() if re.match(r"(Name|Version): ", line))
    return [canonical(fields["Name"]), fields["Version"].strip()] if len(fields) == 2 else None


def installed_in(venv: str) -> Dict[str, str]:
    """The distributions of a virtual environment, name -> version."""
    found = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(venv), "lib", "python3*", "site-packages", "*.dist-info"))):
        distribution = read_distribution(path)
        if distribution:
            found[distribution[0]] = distribution[1]
    return found


def listing(distributions: Dict[str, str]) -> str:
    """For people: one line per distribution."""
    return "".join("%s %s\n" % item for item in sorted(distributions.items()))


NEEDED = r"""
import importlib.metadata, json, re, sys
try:
    from packaging.requirements import Requirement
except ImportError:
    from pip._vendor.packaging.requirements import Requirement
canonical = lambda name: re.sub(r"[-_.]+", "-", name).lower()
there = {canonical(d.metadata["Name"]): d for d in importlib.metadata.distributions()}
needed, waiting = set(), [(name, frozenset()) for name in json.load(sys.stdin)]
while waiting:
    name, extras = waiting.pop()
    if (name, extras) in needed or name not in there:
        continue
    needed.add((name, extras))
    for text in there[name].requires or []:
        requirement = Requirement(text)
        if requirement.marker is None or any(requirement.marker.evaluate({"extra": extra}) for extra in extras | {""}):
            waiting.append((canonical(requirement.name), frozenset(requirement.extras)))
print(json.dumps(sorted({name for name, _ in needed})))
"""
"""Run by a virtual environment's own Python: which distributions those on stdin need, themselves included."""
