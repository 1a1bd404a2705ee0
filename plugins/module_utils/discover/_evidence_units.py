# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which service a crontab's line, a timer or a unit of the administrator's belongs to: scheduled commands and workers."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

from ansible_collections.gantry.webstack.plugins.module_utils.common import _unit_text
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence_cron import CronLine
from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence_systemd import Unit
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import MASK, redact
from ansible_collections.gantry.webstack.plugins.module_utils.move import _timers

_SHARED_USERS = ("root", "www-data", "nobody")
_EVERYBODYS = ("/var/www", "/var/lib", "/var/log", "/usr/bin", "/usr/sbin", "/usr/share", "/usr/local", "/usr/local/bin", "/usr/local/sbin")
"""Directories in which a process may run without owning what else names them; so may those at the top, such as /usr, the distribution's own environment."""
_NOTES = "X-Webstack"


def _tops(facts: Dict[str, Any]) -> List[str]:
    """Directories whose mention ties a cron line or a unit to the service."""
    return [path for path in (facts["code"], facts["python"].get("venv")) if path and path.count("/") >= 2 and path not in _EVERYBODYS]


def _mentions(text: str, tops: List[str]) -> bool:
    return any(top in text and re.search(r"(?<![\w.-])%s(?![\w.-])" % re.escape(top), text) for top in tops)


def tied(services: List[Dict[str, Any]], text: str, user: str) -> List[Dict[str, Any]]:
    """The services whose path a text names, else those of a user who is not everybody's."""
    named = [item for item in services if _mentions(text, _tops(item))]
    return named or [item for item in services if user not in _SHARED_USERS and item["user"]["name"] == user]


def stand_in(definition: Dict[str, Any]) -> Dict[str, Any]:
    """A definition of a converted service, or an application server, with the keys by which things are tied to an instance's facts."""
    code, python = definition.get("code") or "", definition.get("python") or {"venv": definition.get("venv")}
    code = code.get("path", "") if isinstance(code, dict) else code
    user = definition.get("user") or ""
    return {"name": definition["name"], "code": code, "python": python,
            "user": user if isinstance(user, dict) else {"name": user}, "workers": [], "schedule": [], "remarks": [],
            "manager": definition.get("uwsgi", {}).get("manager") or {"unit": definition.get("unit", "")}}


def assign_cron(services: List[Dict[str, Any]], lines: Sequence[CronLine]) -> Dict[int, Tuple[str, str]]:
    """Give each cron line to the service whose path it names, else to the only service of its user; by the line's place, who it was given to."""
    given: Dict[int, Tuple[str, str]] = {}
    for index, line in enumerate(lines):
        owners = tied(services, line.text or line.command, line.user)
        if len(owners) != 1:
            continue
        given[index] = ("service", owners[0]["name"])
        if line.package:
            continue
        if line.kind == "at" or "/cron." in line.source and line.command == line.source or line.source == "/etc/anacrontab":
            given[index] = ("worker", owners[0]["name"])
            what = "%s (%s)" % (line.command, line.when)
            owners[0]["workers"].append({"kind": "at" if line.kind == "at" else "periodic", "what": what, "evidence": line.source})
        else:
            owners[0]["schedule"].append({"source": line.source, "when": line.when, "user": line.user, "command": line.command})
    return given


def assign(services: List[Dict[str, Any]], units: Sequence[Unit]) -> Dict[Tuple[str, str], Tuple[str, str]]:
    """Give timers and their commands, and units that go on, to the services whose code, venv or user they use.

    Returns (unit, its user manager) -> ("service" or "worker", name): what a unit is to whom.
    """
    given: Dict[Tuple[str, str], Tuple[str, str]] = {}
    by_name = {unit.name: unit for unit in units if not unit.owner}
    timers = [unit for unit in units if unit.name.endswith(".timer") and unit.texts]
    timed = {(unit.started, unit.owner) for unit in timers}
    for timer in timers:
        started = by_name.get(timer.started)
        for item, kind in _assign_timer(services, timer, (list(started.texts) if started is not None else []) or _timers.texts(timer.started)):
            given[timer.name, timer.owner] = given[timer.started, timer.owner] = (kind, item["name"])
    for item in services:
        if item["manager"]["unit"] and not item["manager"].get("vassal"):
            given.setdefault((item["manager"]["unit"], ""), ("service", item["name"]))
    for unit in units:
        if unit.name.endswith(".service") and (unit.name, unit.owner) not in timed and ("@." not in unit.name or unit.there):
            texts = list(unit.texts)
            for item in _owners(services, texts, unit.owner):
                if unit.owner or unit.name != item["manager"]["unit"]:
                    given.setdefault((unit.name, unit.owner), ("worker", item["name"]))
                    _add_unit(item, unit, unit.sections, len(_owners(services, texts, unit.owner)) == 1 and _mentions("\n".join(texts), _tops(item)))
    return given


def _owners(services: List[Dict[str, Any]], texts: List[str], owner: str = "") -> List[Dict[str, Any]]:
    text = "\n".join(texts)
    ours = re.match(r"# Managed by gantry\.webstack; changes are overwritten\. Service (\S+)\.\n", text)
    if ours:
        return [item for item in services if item["name"] == ours.group(1)]
    named = [item for item in services if _mentions(text, _tops(item))]
    alone = [item for item in services if item["user"]["name"] not in _SHARED_USERS
             and (item["user"]["name"] == owner or re.search(r"^User=%s$" % re.escape(item["user"]["name"]), text, re.MULTILINE))]
    return named + [item for item in alone if item not in named]


def _assign_timer(services: List[Dict[str, Any]], timer: Unit, texts: List[str]) -> List[Tuple[Dict[str, Any], str]]:
    """(service, ``service`` or ``worker``) of those that the timer was given to."""
    managed = [item for item in services if item["manager"]["unit"] == timer.started and not timer.owner]
    for item in managed:
        item["workers"].append({"kind": "timer", "what": timer.name, "evidence": timer.path})
    owners = _owners(services, [*texts, *timer.texts], timer.owner) if not managed else []
    done = _job(_unit_text.parse(texts)) if not timer.owner else "a user's own systemd starts it"
    job, why = (None, done) if isinstance(done, str) else (done, "")
    for item in owners:
        if job is None or len(owners) > 1:
            item["workers"].append({"kind": "timer", "what": timer.name, "evidence": timer.path})
            item["remarks"] += ["what %s starts is not understood: %s" % (timer.name, why)] if why else []
        else:
            item["schedule"].append({"source": timer.path, **job, "when": job.get("when") or timer.when, **_persistent(timer)})
    return [(item, "worker") for item in managed] + [(item, "worker" if job is None or len(owners) > 1 else "service") for item in owners]


def _persistent(timer: Unit) -> Dict[str, Any]:
    value = _unit_text.last(timer.sections, "Timer", "Persistent").lower()
    return {"persistent": True} if value in ("yes", "true", "1", "on") else {}


def _job(unit: _unit_text.Sections) -> Union[Dict[str, Any], str]:
    """{user, command} and what our notes say of a unit that a timer starts; why not, as a text."""
    try:
        job = _timers.job_of(unit)
    except WebstackError as exc:
        return str(exc)
    found: Dict[str, Any] = {"user": job.user, "command": redact(job.command)}
    for note, key in (("Job", "name"), ("When", "when")):
        value = _note(unit, note)
        if value:
            found[key] = value
    if "name" in found:
        limit = _unit_text.last(unit, "Service", "TimeoutStartSec")
        found.update({"timeout": int(limit)} if limit.isdigit() else {})
        found.update(_memory(unit))
        found.update(_told(unit))
    return found


def _keeps_running(unit: Unit, sections: _unit_text.Sections) -> bool:
    """A service of the system's own systemd whose file has its name and whose command runs on."""
    kind = _unit_text.last(sections, "Service", "Type", "simple")
    return not unit.owner and not unit.package and bool(_timers.texts(unit.name)) and kind in ("simple", "exec")


def _note(unit: _unit_text.Sections, key: str) -> Optional[str]:
    return _unit_text.last(unit, _NOTES, key) or None


def _told(unit: _unit_text.Sections) -> Dict[str, List[str]]:
    """What the definition of a worker or job says beside what its unit shows (plugin_utils/render_units.py)."""
    notes = {"writable": unit.get((_NOTES, "Writable"), []), "extra": [redact(line) for line in unit.get((_NOTES, "Extra"), [])]}
    return {key: values for key, values in notes.items() if values}


def _memory(unit: _unit_text.Sections) -> Dict[str, str]:
    value = _unit_text.last(unit, "Service", "MemoryMax")
    return {"memory_max": value} if re.fullmatch(r"[0-9]+[KMGT%]?", value) else {}


def _add_unit(item: Dict[str, Any], unit: Unit, sections: _unit_text.Sections, its_code: bool) -> None:
    """A unit that no timer starts: a job that runs at boot, a worker of ours, or one of somebody else's.

    ``its_code``: it runs the code or venv of this service and of no other one.
    """
    job = _job(sections)
    if _note(sections, "Job") and isinstance(job, dict):
        item["schedule"].append({"source": unit.path, **job})
        return
    worker: Dict[str, Any] = {"kind": "unit", "what": unit.name, "evidence": unit.path}
    name = _note(sections, "Worker")
    if name and isinstance(job, dict):
        same = next((other for other in item["workers"] if other.get("name") == name), None)
        if same is not None:
            same["instances"] = same.get("instances", 1) + 1
            return
        worker.update(name=name, command=job["command"], **_memory(sections), **_told(sections))
        worker.update({"user": job["user"]} if job["user"] != item["user"]["name"] else {})
        limit = _unit_text.last(sections, "Service", "TimeoutStopSec")
        worker.update({"stop_timeout": int(limit)} if limit.isdigit() and limit != "90" else {})
    elif its_code and isinstance(job, dict) and _keeps_running(unit, sections) and MASK not in job["command"]:
        worker["runs"] = job["command"]
        worker.update({"user": job["user"]} if job["user"] != item["user"]["name"] else {})
    item["workers"].append(worker)
