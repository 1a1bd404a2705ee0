# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which release a service shall have, and how one is made out of what the control node sends."""

from __future__ import annotations

import os
import posixpath
import shutil
import tarfile
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _releases, _tree


class Plan(NamedTuple):
    """The release that a service shall have.

    ``origin`` is the same on every host that gets the same code and lock; ``release`` may differ with the host's Python. ``fresh``: it still
    has to be made; ``entries``: the code of the running one. ``pinned``: it was asked for by its name.
    """

    releases: _releases.Releases
    release: str
    origin: str
    venv: Optional[str]
    fresh: bool
    entries: _tree.Entries
    pinned: bool

    @property
    def changes(self) -> bool:
        """Whether another release will be the service's code."""
        return self.releases.running() != self.release

    def told(self) -> Dict[str, Any]:
        """For the roles' next tasks: where the release and its environment are."""
        running = self.releases.running()
        base = os.path.realpath(os.path.join(self.releases.path, _releases.VENV)) if running or os.path.isdir(self.releases.path) else None
        return {"release": self.release, "path": self.releases.place(self.release), "origin": self.origin, "pinned": self.pinned, "former": running,
                "venv": os.path.join(self.releases.venvs, self.venv) if self.venv else None, "base": base if base and os.path.isdir(base) else None}


def placed(venvs: Sequence[Mapping[str, Any]], staged: Mapping[str, Mapping[str, Any]]) -> List[Dict[str, Any]]:
    """``venvs`` of the module python_venvs where the releases of ``staged`` want them; a kept release has had its own. Pure.

    ``staged``: service -> what Plan.told says.
    """
    found = []
    for venv in venvs:
        place = staged.get(venv["name"], {})
        if not place.get("pinned"):
            found.append({**venv, "path": place.get("venv") or venv["path"], **({"base": place["base"]} if place.get("base") else {})})
    return found


def is_managed(service: Mapping[str, Any]) -> bool:
    """Whether the collection brings a service's code or environment, so that it lives in releases."""
    return bool(service["code_digest"] or service["lock_digest"] or service["release"])


def inside(service: Mapping[str, Any], paths: List[str]) -> List[str]:
    """The outermost of ``paths`` that lie inside the service's code, relative to it. Pure."""
    found: List[str] = []
    for path in _tree.inside(paths, service["code_path"]):
        if not any(path == other or path.startswith(other + "/") for other in found):
            found.append(path)
    return found


def state(service: Mapping[str, Any]) -> List[str]:
    """A service's state inside its code, relative to it. Pure."""
    return inside(service, [item["path"] for item in service["directories"]])


def skipped(service: Mapping[str, Any]) -> List[str]:
    """What lies in a service's code and does not come from its source, relative to it. Pure."""
    return [*_releases.NOT_CODE, *inside(service, [item["path"] for item in service["directories"]] + service["static"] + [service["venv"] or "/"])]


def plan(service: Mapping[str, Any], venv: Optional[str]) -> Plan:
    """The release that a service shall have; ``venv`` is the digest of its environment. Raises WebstackError for one that is not kept."""
    releases = _releases.Releases(service["name"], service["code_path"])
    entries = _tree.scan(releases.path, skipped(service))
    if service["release"]:
        release = releases.choose(service["release"])
        manifest = releases.manifest(release)
        return Plan(releases, release, manifest.get("origin") or release, manifest.get("venv"), False, entries, True)
    code = service["code_digest"] or _tree.digest_of({})
    name, origin = _releases.release_id(code, venv), _releases.release_id(code, service["lock_digest"])
    # One that somebody has changed by hand since is left as it is, and the next one gets another name.
    for number in range(1, 100):
        release = name if number == 1 else "%s-%d" % (name, number)
        if not os.path.lexists(releases.place(release)):
            return Plan(releases, release, origin, venv, True, entries, False)
        there = entries if releases.running() == release else _tree.scan(releases.place(release), skipped(service))
        if _tree.digest_of(there) == code:
            return Plan(releases, release, origin, venv, False, entries, False)
    raise WebstackError("service %s: too many releases named %s in %s; remove some" % (service["name"], name, releases.releases))


def make(wanted: Plan, service: Mapping[str, Any], host: _users.Known) -> None:
    """Make a release out of its pack (a tar.gz): code of root, links to what is shared, directories for static files. Raises WebstackError."""
    stage = wanted.releases.begin()
    try:
        if service["code_pack"]:
            unpack(service["code_pack"], stage)
        if _tree.digest_of(_tree.scan(stage)) != (service["code_digest"] or _tree.digest_of({})):
            raise WebstackError("service %s: its code arrived damaged" % service["name"])
        _furnish(wanted, service, stage, host)
        manifest = {"code": service["code_digest"], "venv": wanted.venv, "origin": wanted.origin, "source": service["code_note"] or ""}
        wanted.releases.finish(stage, wanted.release, manifest)
    except OSError as exc:
        raise WebstackError("service %s: its release could not be written to %s: %s; what runs is as it was"
                            % (service["name"], wanted.releases.releases, exc.strerror)) from exc
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _furnish(wanted: Plan, service: Mapping[str, Any], stage: str, host: _users.Known) -> None:
    place = wanted.releases.place(wanted.release)
    links = {path: os.path.join(wanted.releases.shared, path) for path in state(service)}
    if wanted.venv:
        links[_releases.VENV] = os.path.join(wanted.releases.venvs, wanted.venv)
        links.update((path, os.path.join(place, _releases.VENV)) for path in inside(service, [service["venv"] or "/"]) if path != _releases.VENV)
    for path, target in links.items():
        here = os.path.join(stage, path)
        os.makedirs(os.path.dirname(here), mode=0o755, exist_ok=True)
        os.symlink(os.path.relpath(target, os.path.dirname(os.path.join(place, path))), here)
    for path in inside(service, service["static"]):
        here = os.path.join(stage, path)
        os.makedirs(here, mode=0o755, exist_ok=True)
        os.chown(here, host.users[service["user"]["name"]][0], host.groups[service["user"]["group"] or service["user"]["name"]])


def unpack(pack: str, stage: str) -> None:
    """Write a pack's files and links below ``stage``, with the modes 0644 and 0755 and today's times: byte code goes by them."""
    with tarfile.open(pack, "r:gz") as archive:
        for member in archive:
            name = posixpath.normpath(member.name)
            if name.startswith(("/", "../")) or name == "..":
                raise WebstackError("the packed code holds the path %r" % member.name)
            path = os.path.join(stage, name)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            if member.issym():
                os.symlink(member.linkname, path)
                continue
            source = archive.extractfile(member)
            if source is not None:
                with source, open(path, "wb") as handle:
                    shutil.copyfileobj(source, handle)
                os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)
