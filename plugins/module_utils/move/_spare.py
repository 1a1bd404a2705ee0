# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of a host nobody needs any more once services run in containers: packages of uWSGI, and directories of code. In doubt, it is needed."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _proc
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, run
from ansible_collections.gantry.webstack.plugins.module_utils.image._app_tree import TOO_BROAD, environment
from ansible_collections.gantry.webstack.plugins.module_utils.image._closure import Host
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg
from ansible_collections.gantry.webstack.plugins.module_utils.image._harvest import Harvest
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs
from ansible_collections.gantry.webstack.plugins.module_utils.install import _apt
from ansible_collections.gantry.webstack.plugins.module_utils.move import _timers

VASSALS = ("/etc/uwsgi/apps-enabled", "/etc/uwsgi-emperor/vassals")
"""Where Debian's own units look for configurations."""

CONFIGURATION = ("/etc/cron.d", "/etc/crontab", "/etc/init.d", "/var/spool/cron/crontabs", "/etc/supervisor", "/etc/inetd.conf", "/etc/xinetd.d", "/etc/runit",
                 "/etc/service") + _timers.DIRECTORIES
"""Where a host says what it starts; a word there is a need."""

_OURS = re.compile(r"\.d/50-webstack(-[^/]+)?\.conf$")
"""Our drop-ins: what they name runs in a container, or is a directory that they keep."""


class Choice(NamedTuple):
    """Packages that nobody needs (name -> version), and those that stay (name -> reason)."""

    spare: Dict[str, str]
    needed: Dict[str, str]


def mentioned(words: Iterable[str], texts: Mapping[str, str]) -> Optional[str]:
    """The first text (path -> text) in which one of ``words`` stands outside of comments. Pure."""
    wanted = re.compile(r"(?m)^(?![ \t]*[#;]).*(?<![\w.-])(?:%s)(?![\w])" % "|".join(sorted(map(re.escape, words)))) if words else None
    return next((path for path, text in sorted(texts.items()) if wanted and wanted.search(text)), None)


def read_texts(places: Sequence[str], without: Set[str]) -> Dict[str, str]:
    """path -> text of the files at and below ``places``; those ``without`` are left out, by their real path."""
    found: Dict[str, str] = {}
    for place in places:
        walked = [(place, [], [""])] if os.path.isfile(place) else os.walk(place)
        for top, dummy, names in walked:
            for path in (os.path.join(top, name).rstrip("/") for name in names):
                real = os.path.realpath(path)
                with contextlib.suppress(OSError):
                    if os.path.isfile(real) and real not in without and os.path.getsize(real) < 512 * 1024:
                        with open(real, encoding="utf-8", errors="replace") as handle:
                            found[path] = handle.read()
    return found


def packages(services: Sequence[Mapping[str, Any]], units: Set[str], others: Sequence[str]) -> Choice:
    """The packages that hold the uWSGI of ``services``, as spare or needed.

    ``units`` are the units that go with these services; ``others`` the services of this host whose processes may need the packages.
    """
    fs = HostFs()
    host = Host(fs)
    found = _owners(services, units, host)
    if not found:
        return Choice({}, {})
    reason = _needed(found, units, others, host.dpkg)
    versions = {key: host.dpkg.stanzas[key].version for key in found}
    return Choice({}, dict.fromkeys(found, reason)) if reason else Choice(versions, {})


def _owners(services: Sequence[Mapping[str, Any]], units: Set[str], host: Host) -> List[str]:
    """Keys of uWSGI's packages that own the program, a plugin or the unit of a service."""
    harvest = Harvest(host)
    paths = [os.path.join(top, unit) for top in _timers.DIRECTORIES for unit in units]
    paths += [os.path.join("/etc/init.d", unit[:-len(".service")]) for unit in units]
    for service in services:
        binary = harvest.binary(service)
        paths += [binary, *harvest.plugins(service.get("uwsgi", {}).get("options", {}), binary)]
    owners = {host.dpkg.owner(real) for real in (host.fs.resolve(path).real for path in paths) if real}
    return sorted(owner for owner in owners if owner is not None and owner.startswith("uwsgi"))


def _needed(found: Sequence[str], units: Set[str], others: Sequence[str], dpkg: Dpkg) -> str:
    """Why these packages stay; empty when nobody needs them."""
    if others:
        return "service %s needs it" % others[0]
    files = {path for key in found for path in dpkg.files(key)}
    vassal = next((os.path.join(top, name) for top in VASSALS if os.path.isdir(top) for name in sorted(os.listdir(top))
                   if name != "README" and not os.path.isdir(os.path.join(top, name))), None)
    if vassal:
        return "%s is there" % vassal
    for process in _proc.processes().values():
        if process.unit not in units and files.intersection([process.exe, *process.maps]):
            return "process %d (%s) runs it" % (process.pid, process.name)
    own = files | {os.path.realpath(os.path.join(top, unit)) for top in _timers.DIRECTORIES for unit in units}
    own |= {os.path.realpath(os.path.join(top, unit + ".d", name)) for top in _timers.DIRECTORIES for unit in units
            for name in (os.listdir(os.path.join(top, unit + ".d")) if os.path.isdir(os.path.join(top, unit + ".d")) else [])}
    texts = {path: text for path, text in read_texts(CONFIGURATION, own).items() if not _OURS.search(path)}
    place = mentioned({os.path.basename(path) for path in files if "/bin/" in path} | {"uwsgi"}, texts)
    if place:
        return "%s names it" % place
    try:
        removed = re.findall(r"^(?:Remv|Purg) (\S+)", _apt.Apt().get(["--simulate", "remove", *found]), re.M)
    except CommandError as exc:
        return "apt would not remove it: %s" % _apt.said(exc)
    needing = sorted({name.partition(":")[0] for name in removed} - {key.partition(":")[0] for key in found})
    if needing:
        return "%s needs it" % needing[0]
    offered = _apt.Apt().policies(found)
    lost = [key for key in found if key not in offered or not any(item.version == dpkg.stanzas[key].version and item.sites for item in offered[key].versions)]
    return "%s %s is not offered any more, so it could not be brought back" % (lost[0], dpkg.stanzas[lost[0]].version) if lost else ""


class Directories(NamedTuple):
    """What a purge removes of a service's own directories, and what it leaves (path -> reason)."""

    remove: List[str]
    leave: Dict[str, str]


def inside(path: str, top: str) -> bool:
    """Whether ``path`` is ``top`` or lies below it. Pure."""
    return path == top or path.startswith(top.rstrip("/") + "/")


def directories(service: Mapping[str, Any], managed: Sequence[str], others: Sequence[Mapping[str, Any]], going: Set[str]) -> Directories:
    """The service's code and virtual environment, unless something else is in them or looks into them.

    ``managed``: its releases' directories; ``going``: files that go too, so that what they name is no reason.
    """
    code, venv = service.get("code", {}).get("path"), environment(service.get("python", {}))
    wanted = [path for path in dict.fromkeys([*managed, *filter(None, [code, venv])]) if os.path.lexists(path)]
    wanted = [path for path in wanted if not any(path != other and inside(path, other) for other in wanted)]
    kept = _kept(service, others, going)
    result = Directories([], {})
    for path in wanted:
        reason = next((why for place, why in kept.items() if inside(os.path.realpath(place), os.path.realpath(path))), "")
        if os.path.realpath(path) in TOO_BROAD or len(os.path.realpath(path).strip("/").split("/")) < 2:
            reason = "it is no directory of one service"
        if reason:
            result.leave[path] = reason
        else:
            result.remove.append(path)
    # A link and what it leads to go together, or not at all.
    for path in [item for item in result.remove if os.path.islink(item) and any(inside(os.path.realpath(item), other) for other in result.leave)]:
        result.remove.remove(path)
        result.leave[path] = "it leads to %s" % os.path.realpath(path)
    return result


def _kept(service: Mapping[str, Any], others: Sequence[Mapping[str, Any]], going: Set[str]) -> Dict[str, str]:
    """Places that stay (path -> why): state, mounts, what nginx serves, what still runs there, other services'."""
    kept: Dict[str, str] = {}
    for item in service.get("state", []):
        kept[item["path"]] = "its state %s is in it" % item["path"]
    for item in service.get("files", []):
        kept[item["path"]] = "its container reads %s" % item["path"]
    for item in service.get("secrets", []):
        if item["source"].startswith("file:"):
            kept[item["source"][len("file:"):]] = "its secret %s is in it" % item["name"]
    for item in service.get("nginx", {}).get("static", []):
        kept[item["path"]] = "nginx serves %s" % item["path"]
    for path in nginx_paths():
        kept.setdefault(path, "nginx's configuration names %s" % path)
    for process in _proc.processes().values():
        for path in [process.cwd, process.exe, *process.maps]:
            kept.setdefault(path, "process %d (%s) runs there" % (process.pid, process.name))
    for path, text in read_texts(CONFIGURATION, going).items():
        for word in re.findall(r"(?<![\w.-])/[\w./@+-]+", text):
            if _names(service, word):
                kept.setdefault(word, "%s names it" % path)
    for other in others:
        for path in filter(None, [other.get("code", {}).get("path"), environment(other.get("python", {})), *(item["path"] for item in other.get("state", []))]):
            kept.setdefault(path, "it is service %s's, too" % other["name"])
    return kept


def _names(service: Mapping[str, Any], word: str) -> bool:
    """Whether a configuration's word stands for something that goes on running on the host: a scheduled command that moved does not."""
    moved = [item.get("command", "") for item in service.get("schedule", []) if not item.get("source", "").startswith("/var/spool/")]
    return not any(word in command for command in moved)


def nginx_paths() -> List[str]:
    """Every absolute path in nginx's configuration; none where there is no nginx."""
    try:
        text = run(["nginx", "-T"], check=False).stdout
    except CommandError:
        return []
    return sorted(set(re.findall(r"(?<![\w.:-])/[\w./@+-]{2,}", re.sub(r"(?m)^\s*#.*$", "", text))))
