# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which service a crontab's line, a timer or a unit of the administrator's belongs to: scheduled commands and workers."""

from __future__ import annotations

import re
from typing import Any, Dict, List, Optional, Union

from ansible_collections.gantry.webstack.plugins.module_utils.common import _unit_text
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_host
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact
from ansible_collections.gantry.webstack.plugins.module_utils.move import _timers

_SHARED_USERS = ("root", "www-data", "nobody")
_NOTES = "X-Webstack"


def _tops(facts: Dict[str, Any]) -> List[str]:
    """Directories whose mention ties a cron line or a unit to the service."""
    return [path for path in (facts["code"], facts["python"].get("venv")) if path]


def _mentions(text: str, tops: List[str]) -> bool:
    return any(re.search(r"(?<![\w.-])%s(?![\w.-])" % re.escape(top), text) for top in tops)


def assign_cron(services: List[Dict[str, Any]], lines: List[_evidence_host.CronLine]) -> None:
    """Give each cron line to the service whose path it names, else to the only service of its user; take it out of ``lines``."""
    for line in list(lines):
        owners = [item for item in services if _mentions(line.command, _tops(item))]
        if not owners and line.user not in _SHARED_USERS:
            owners = [item for item in services if item["user"]["name"] == line.user]
        if len(owners) == 1:
            owners[0]["schedule"].append({"source": line.source, "when": line.when, "user": line.user, "command": line.command})
            lines.remove(line)


def assign(services: List[Dict[str, Any]], units: List[_evidence_host.OwnUnit]) -> None:
    """Give timers and their commands, and units that go on, to the services whose code, venv or user they use."""
    timers = [unit for unit in units if unit.name.endswith(".timer")]
    timed = {unit.name: _timers.started_by(unit.name) for unit in timers}
    for timer in timers:
        _assign_timer(services, timer, timed[timer.name])
    for unit in units:
        if unit.name.endswith(".service") and unit.name not in timed.values():
            texts = _timers.texts(unit.name) or [unit.text]
            for item in _owners(services, texts):
                if unit.name != item["manager"]["unit"]:
                    _add_unit(item, unit, _unit_text.parse(texts))


def _owners(services: List[Dict[str, Any]], texts: List[str]) -> List[Dict[str, Any]]:
    text = "\n".join(texts)
    ours = re.match(r"# Managed by gantry\.webstack; changes are overwritten\. Service (\S+)\.\n", text)
    if ours:
        return [item for item in services if item["name"] == ours.group(1)]
    named = [item for item in services if _mentions(text, _tops(item))]
    alone = [item for item in services if item["user"]["name"] not in _SHARED_USERS
             and re.search(r"^User=%s$" % re.escape(item["user"]["name"]), text, re.MULTILINE)]
    return named + [item for item in alone if item not in named]


def _assign_timer(services: List[Dict[str, Any]], timer: _evidence_host.OwnUnit, started: str) -> None:
    managed = [item for item in services if item["manager"]["unit"] == started]
    for item in managed:
        item["workers"].append({"kind": "timer", "what": timer.name, "evidence": timer.path})
    texts = _timers.texts(started)
    owners = _owners(services, [*texts, timer.text]) if not managed else []
    done = _job(_unit_text.parse(texts))
    job, why = (None, done) if isinstance(done, str) else (done, "")
    for item in owners:
        if job is None or len(owners) > 1:
            item["workers"].append({"kind": "timer", "what": timer.name, "evidence": timer.path})
            item["remarks"] += ["what %s starts is not understood: %s" % (timer.name, why)] if why else []
        else:
            item["schedule"].append({"source": timer.path, **job, "when": job.get("when") or _when(_unit_text.parse([timer.text])), **_persistent(timer.text)})


def _persistent(text: str) -> Dict[str, Any]:
    value = _unit_text.last(_unit_text.parse([text]), "Timer", "Persistent").lower()
    return {"persistent": True} if value in ("yes", "true", "1", "on") else {}


def _when(timer: _unit_text.Sections) -> str:
    """A timer's own times, as a schedule's ``when`` spells them."""
    found = list(timer.get(("Timer", "OnCalendar"), []))
    for (section, key), values in timer.items():
        if section == "Timer" and re.fullmatch(r"On[A-Za-z]+Sec", key):
            found += ["%s=%s" % (key, value) for value in values]
    return "; ".join(found)


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
    return found


def _note(unit: _unit_text.Sections, key: str) -> Optional[str]:
    return _unit_text.last(unit, _NOTES, key) or None


def _memory(unit: _unit_text.Sections) -> Dict[str, str]:
    value = _unit_text.last(unit, "Service", "MemoryMax")
    return {"memory_max": value} if re.fullmatch(r"[0-9]+[KMGT%]?", value) else {}


def _add_unit(item: Dict[str, Any], unit: _evidence_host.OwnUnit, sections: _unit_text.Sections) -> None:
    """A unit that no timer starts: a job that runs at boot, a worker of ours, or one of somebody else's."""
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
        worker.update(name=name, command=job["command"], **_memory(sections))
        worker.update({"user": job["user"]} if job["user"] != item["user"]["name"] else {})
        limit = _unit_text.last(sections, "Service", "TimeoutStopSec")
        worker.update({"stop_timeout": int(limit)} if limit.isdigit() and limit != "90" else {})
    item["workers"].append(worker)
