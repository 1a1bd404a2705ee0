# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requirement files and dist-info directories, as far as telling whether a virtual environment is what its lock says."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from typing import Dict, List, NamedTuple, Optional, Set

TOOLS = frozenset(("pip", "setuptools", "wheel", "pkg-resources"))
"""What makes a virtual environment (the last one on Debian 11); no lock lists them, and nobody minds them."""


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


def expected(lock: Lock, installed: Dict[str, str]) -> Dict[str, str]:
    """The distributions after an installation, as far as they can be known without asking an index. Pure."""
    after = {name: version for name, version in installed.items() if not lock.hashed or name in TOOLS or name in lock.names}
    after.update(lock.pins)
    after.update({name: version for name, version in lock.conditional.items() if name in installed})
    for name in lock.loose:
        after.setdefault(name, "(any)")
    return after


def read_distribution(path: str) -> Optional[List[str]]:
    """Name and version out of a dist-info or egg-info's metadata (core metadata specification), or None.

    Older pips install what has no wheel as an egg-info, a file or a directory, and what is editable as an egg-link.
    """
    if path.endswith(".egg-link"):
        return [canonical(os.path.basename(path)[:-len(".egg-link")]), "(editable)"]
    name = "METADATA" if path.endswith(".dist-info") else "PKG-INFO"
    try:
        with open(os.path.join(path, name) if os.path.isdir(path) else path, encoding="utf-8", errors="replace") as handle:
            head = handle.read(4096).split("\n\n")[0]
    except OSError:
        return None
    fields = dict(line.split(": ", 1) for line in head.splitlines() if re.match(r"(Name|Version): ", line))
    return [canonical(fields["Name"]), fields["Version"].strip()] if len(fields) == 2 else None


def installed_in(venv: str) -> Dict[str, str]:
    """The distributions of a virtual environment, name -> version."""
    found = {}
    site = os.path.join(glob.escape(venv), "lib", "python3*", "site-packages")
    for path in sorted(path for kind in ("*.egg-link", "*.egg-info", "*.dist-info") for path in glob.glob(os.path.join(site, kind))):
        distribution = read_distribution(path)
        if distribution:
            found[distribution[0]] = distribution[1]
    return found


def listing(distributions: Dict[str, str]) -> str:
    """For people: one line per distribution."""
    return "".join("%s %s\n" % item for item in sorted(distributions.items()))


def may_need(lock: Lock, filename: str) -> bool:
    """Whether a wheel or source archive may be wanted for a lock: any one where others may be needed in turn, those that it pins otherwise. Pure."""
    match = re.match(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._]*?)-(?P<version>\d[^-]*?)(-.*\.whl|\.tar\.gz|\.zip)$", filename.replace("%21", "!"))
    if match is None:
        match = re.match(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*?)-(?P<version>\d[^-]*?)(\.tar\.gz|\.zip)$", filename)
    if match is None or not lock.hashed:
        return match is not None
    name = canonical(match["name"])
    pinned = lock.pins.get(name) or lock.conditional.get(name)
    same = pinned is None or re.sub(r"(\.0)+$", "", pinned) == re.sub(r"(\.0)+$", "", match["version"])
    return name in lock.names and same
