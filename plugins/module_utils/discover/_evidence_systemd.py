# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd's services, sockets and timers: those that are enabled or run, those written on this host, and users' own ones."""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import re
import subprocess
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths, _unit_text
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact
from ansible_collections.gantry.webstack.plugins.module_utils.move import _timers, _user_crontabs

_KINDS = (".service", ".socket", ".timer")
_PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "FragmentPath", "SourcePath", "DropInPaths", "Triggers", "TriggeredBy", "Listen",
               "NextElapseUSecRealtime")
_RUNNING = ("active", "activating", "reloading", "deactivating")
_ENABLED = ("enabled", "enabled-runtime", "linked", "linked-runtime")
_GENERATED = ("/run/systemd/generator", "/run/systemd/transient/")


class Unit(NamedTuple):
    """One unit. ``texts`` are its file and drop-ins, never returned as they are; ``package`` is empty for one that was written on this host.

    ``owner`` is the user whose systemd keeps it, empty for the system's. ``there`` is false for a unit that neither is enabled nor runs. What a timer or
    a path starts (``triggered``) runs now and then: it is there when it is enabled, so that the same is found in the moment of a run and between two.
    """

    name: str
    path: str
    texts: Tuple[str, ...]
    package: str = ""
    owner: str = ""
    state: str = ""
    there: bool = False
    triggers: Tuple[str, ...] = ()
    triggered: bool = False
    listen: Tuple[str, ...] = ()
    next: str = ""

    @property
    def sections(self) -> _unit_text.Sections:
        """The unit with its drop-ins."""
        return _unit_text.parse(self.texts)

    @property
    def user(self) -> str:
        """The user it runs as."""
        return self.owner or _unit_text.last(self.sections, "Service", "User", "root")

    @property
    def started(self) -> str:
        """The unit that a timer or a socket starts (systemd.timer(5), systemd.socket(5))."""
        section, key = ("Timer", "Unit") if self.name.endswith(".timer") else ("Socket", "Service")
        default = re.sub(r"\.(timer|socket)$", ".service", self.name)
        return _unit_text.last(self.sections, section, key) or (self.triggers[0] if self.triggers else default)

    @property
    def when(self) -> str:
        """A timer's own times, as a schedule's ``when`` spells them."""
        sections = self.sections
        found = list(sections.get(("Timer", "OnCalendar"), []))
        for (section, key), values in sections.items():
            if section == "Timer" and re.fullmatch(r"On[A-Za-z]+Sec", key):
                found += ["%s=%s" % (key, value) for value in values]
        return "; ".join(found)

    def facts(self) -> Dict[str, Any]:
        """What leaves the target; secrets masked, times that pass left to ``next``."""
        command = "; ".join(self.sections.get(("Service", "ExecStart"), []))
        found = {"name": self.name, "path": self.path, "package": self.package, "owner": self.owner, "state": self.state,
                 "user": self.user if self.name.endswith(".service") else "", "command": redact(command)[:200] if not self.package else "",
                 "starts": self.started if self.name.endswith((".timer", ".socket")) else "", "when": self.when if self.name.endswith(".timer") else "",
                 "listen": sorted(self.listen), "next": self.next}
        return {key: value for key, value in found.items() if value}


def read(package_of: Callable[[str], Optional[str]], running: Iterable[Tuple[str, str]] = ()) -> Tuple[List[Unit], List[str]]:
    """(units, what could not be read). ``running`` are (unit, user) of users' units that have processes."""
    blind: List[str] = []
    found: Dict[Tuple[str, str], Unit] = {}
    shown = _show(blind, ["*" + kind for kind in _KINDS])
    # What a timer starts is out of systemd's memory while it does not run.
    started = sorted({name for values in shown for name in values.get("Triggers", "").split()} - {values.get("Id") for values in shown})
    for values in shown + (_show(blind, started) if started else []):
        unit = _loaded(values, package_of, blind)
        if unit is not None:
            found[unit.name, ""] = unit
    for path in sorted(glob.glob("/etc/systemd/system/*.service") + glob.glob("/etc/systemd/system/*.timer")):
        name = os.path.basename(path)
        if (name, "") not in found and not os.path.islink(path) and os.path.isfile(path):
            found[name, ""] = Unit(name, path, tuple(_texts([path, *sorted(glob.glob(path + ".d/*.conf"))], blind)), package_of(path) or "")
    for unit in _users(set(running), package_of, blind):
        found.setdefault((unit.name, unit.owner), unit)
    return [found[key] for key in sorted(found) if not _user_crontabs.is_own(key[0])], blind


def _show(blind: List[str], names: Iterable[str]) -> List[Dict[str, str]]:
    """``systemctl show`` of units, in one call; a pattern stands for those in systemd's memory."""
    if not os.path.isdir("/run/systemd/system"):
        return []
    done = subprocess.run(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), *names], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}, check=False)
    if done.returncode:
        blind.append("systemd could not be asked for its units: %s" % (done.stderr.decode("utf-8", "replace").strip().splitlines() or ["no output"])[-1])
    return _unit_text.shown(done.stdout.decode("utf-8", "replace"))


def _loaded(values: Dict[str, str], package_of: Callable[[str], Optional[str]], blind: List[str]) -> Optional[Unit]:
    """A unit of ``systemctl show``; None for one that is not there, or was made by systemd itself."""
    path, source = values.get("FragmentPath", ""), values.get("SourcePath", "")
    state = values.get("UnitFileState", "")
    if values.get("LoadState") != "loaded" or not path:
        return None
    triggered = bool(re.search(r"\.(timer|path)\b", values.get("TriggeredBy", "")))
    there = state in _ENABLED or not triggered and values.get("ActiveState") in _RUNNING
    made = path.startswith(_GENERATED[0])
    owned = package_of(source if made and source else path) or ("systemd" if made and not source else "")
    drop_ins = [item for item in values.get("DropInPaths", "").split() if os.path.basename(item) not in (_timers.DROP_IN, _paths.EDGE_DROP_IN)]
    if owned and not there and not drop_ins and not triggered:
        return Unit(values["Id"], path, (), owned, state=state)
    texts = _texts([path, *drop_ins], blind)
    if owned and any(_replaces_command(text) for item, text in zip(drop_ins, texts[1:]) if not package_of(item) and not item.startswith("/run/")):
        owned = ""  # what it runs was written here
    listen = [line.rsplit(" (", 1)[0] for line in values.get("Listen", "").splitlines() if line]
    return Unit(values["Id"], source if made and source else path, tuple(texts), owned, "", state, there, tuple(values.get("Triggers", "").split()),
                triggered, tuple(listen), values.get("NextElapseUSecRealtime", ""))


def _replaces_command(text: str) -> bool:
    return re.search(r"^\s*ExecStart\s*=\s*\S", text, re.MULTILINE) is not None


def _texts(paths: Iterable[str], blind: List[str]) -> List[str]:
    found = []
    for path in paths:
        try:
            with open(path, encoding="utf-8", errors="surrogateescape") as handle:
                found.append(handle.read())
        except OSError as exc:
            blind.append("%s: %s" % (path, exc.strerror))
            found.append("")
    return found


def _users(running: Set[Tuple[str, str]], package_of: Callable[[str], Optional[str]], blind: List[str]) -> List[Unit]:
    """Units of users' own systemd: written in their homes, enabled or running (systemd.unit(5), Unit File Load Path)."""
    found: List[Unit] = []
    for entry in sorted(pwd.getpwall(), key=lambda item: item.pw_uid):
        top = os.path.join(entry.pw_dir, ".config/systemd/user")
        if entry.pw_dir.count("/") >= 1 and entry.pw_dir != "/" and os.path.isdir(top):
            enabled = {os.path.basename(path) for path in glob.glob(top + "/*.wants/*")}
            first = len(found)
            for path in sorted(path for kind in _KINDS for path in glob.glob("%s/*%s" % (top, kind))):
                name = os.path.basename(path)
                names = [item for item in enabled | {unit for unit, user in running if user == entry.pw_name}
                         if item == name or "@." in name and re.sub(r"@.*\.", "@.", item) == name] or [name]
                for item in names:
                    there = item in enabled or (item, entry.pw_name) in running
                    if there:
                        texts = _texts([path, *sorted(glob.glob(path + ".d/*.conf"))], blind)
                        found.append(Unit(item, path, tuple(texts), package_of(path) or "", entry.pw_name, "enabled" if item in enabled else "", there))
            timed = {unit.started for unit in found[first:] if unit.name.endswith(".timer")}
            found[first:] = [unit._replace(triggered=True, there=unit.name in enabled) if unit.name in timed else unit for unit in found[first:]]
    known = {(unit.name, unit.owner) for unit in found}
    for name, user in sorted(running - known):
        path = next((os.path.join(top, name) for top in ("/etc/systemd/user", "/usr/local/lib/systemd/user", "/usr/lib/systemd/user", "/lib/systemd/user")
                     if os.path.isfile(os.path.join(top, name))), "")
        with contextlib.suppress(OSError):
            found.append(Unit(name, path, tuple(_texts([path], blind)) if path else (), (package_of(path) or "") if path else "", user, "", True))
    return found
