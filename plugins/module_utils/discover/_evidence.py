# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything that a plan is made of, collected on the target in one go. Changes nothing; what is returned holds no secret value.

``collect`` returns {nginx, instances, converted, emperors, app_servers, processes, units, listeners, cron, managers, managed, sizes, blind}; the instances'
shape is built in ``_evidence_service.Service.facts``.
"""

from __future__ import annotations

import contextlib
import datetime
import functools
import os
import re
import socket
from typing import Any, Dict, List, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _calendar
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, yield_cpu
from ansible_collections.gantry.webstack.plugins.module_utils.discover import (
    _app_servers,
    _evidence_cron,
    _evidence_files,
    _evidence_host,
    _evidence_processes,
    _evidence_service,
    _evidence_shared,
    _evidence_systemd,
    _evidence_units,
    _evidence_uwsgi,
    _managers,
    _nginx_text,
)
from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence_uwsgi import Instance
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact

Facts = List[Dict[str, Any]]


def collect() -> Dict[str, Any]:
    """The evidence of this host. Without root it holds what anybody may see, and says so."""
    host = _evidence_shared.Host()
    if os.geteuid() != 0:
        host.blind.append("this is not root (become: true): other users' processes, their sockets and files that are not everybody's were not seen")
    nothing: Tuple[List[Instance], List[Instance]] = ([], [])
    passed = {item.target for item in host.passes if not item.http}
    serving, emperors = host.part("uWSGI", lambda: _evidence_uwsgi.instances(host.table, host.units, socket.gethostname(), host.sockets, passed), nothing)
    converted, blind = _evidence_host.converted()
    host.blind += blind
    names = {service["name"] for service in converted}
    serving = [item for item in serving if item.name not in names]
    facts, living = _services(host, serving)
    around = _Around(host, facts, converted, living, emperors)
    state = sorted({place["path"] for item in facts + converted for place in item.get("state", [])})
    trees = sorted({path for item in facts for path in (item["code"], item["python"].get("venv")) if path})
    return _evidence_files.printable({
        "nginx": host.nginx, "instances": sorted(facts, key=lambda item: item["name"]), "converted": converted,
        "emperors": sorted({place for item in emperors for place in item.config.all("emperor")}),
        "sizes": _evidence_files.sizes(list(dict.fromkeys(state + trees))), **around.look(), "blind": sorted(set(host.blind))})


def _services(host: _evidence_shared.Host, serving: List[Instance]) -> Tuple[Facts, List[Instance]]:
    """Every application is asked once, then what it has open and connected to is looked at."""
    no_answer: Dict[str, Any] = {"path": "/"}
    answers = {item.master.pid: host.part("the answer of %s" % item.name, functools.partial(_evidence_service.ask, host, item), no_answer)
               for item in serving}

    def facts(item: Instance) -> Facts:
        return [_evidence_service.Service(host, item, answers[item.master.pid]).facts()]

    nothing: Facts = []
    found: Facts = []
    living = host.look_again(serving)
    for item in living:
        found += host.part("the uWSGI instance %s" % item.name, functools.partial(facts, item), nothing)
    return found, living


class _Around:
    """Everything beside the services, each thing given to the service or application server that it belongs to."""

    def __init__(self, host: _evidence_shared.Host, facts: Facts, converted: Facts, serving: List[Instance], emperors: List[Instance]) -> None:
        self.host, self.facts = host, facts
        self.stand_ins = [_evidence_units.stand_in(item) for item in converted]
        running = {(process.unit, _evidence_host.user_name(int(process.user_manager))) for process in host.table.values()
                   if process.user_manager and not process.unit.startswith("user@")}
        no_units: Tuple[List[_evidence_systemd.Unit], List[str]] = ([], [])
        self.units, blind = host.part("systemd's units", lambda: _evidence_systemd.read(host.owner, running), no_units)
        host.blind += blind
        self.view = _evidence_processes.View(host.table, host.sockets, host.owner, {(unit.name, unit.owner): unit for unit in self.units})
        for kind, instances in (("emperor", emperors), ("service", serving)):
            for item in instances:
                self.view.of.update({process.pid: (kind, item.name) for process in item.processes})
        self.view.of.update({process.pid: ("nginx", "nginx") for process in host.table.values() if process.argv[0].startswith("nginx: ")})

    def look(self) -> Dict[str, Any]:
        """The keys of the evidence beside nginx and the services."""
        host, view = self.host, self.view
        lines: List[_evidence_cron.CronLine] = host.part(
            "crontabs", lambda: _evidence_cron.read(_evidence_cron.Files(host.owner, host.dpkg), host.blind), [])
        askers = _evidence_processes.askers(host.table, host.sockets, os.getpid())
        for pid in askers:
            host.table.pop(pid, None)
        servers: Facts = host.part("application servers", lambda: _evidence_processes.app_servers(view), [])
        known = [_evidence_units.stand_in(item) for item in servers if item["server"] != _evidence_processes.PLAIN or item["by"]]
        no_units: Dict[Tuple[str, str], Tuple[str, str]] = {}
        no_lines: Dict[int, Tuple[str, str]] = {}
        units = host.part("systemd's units", lambda: self._given_units(known), no_units)
        crons = host.part("crontabs", lambda: self._given_lines(known, lines), no_lines)
        commands = [(" ".join(process.argv), process.unit) for process in host.table.values() if process.pid not in view.of]
        managers: Facts = host.part("configuration managers", lambda: _managers.find(self.units, lines, commands, host.blind, _following), [])
        processes: Facts = host.part("processes", lambda: _evidence_processes.processes(view, askers, self._tied), [])
        self._workers(processes)
        listening = {view.unit(process) for process in host.table.values() if view.listens(process)}
        there = [unit for unit in self.units if unit.there or unit in listening]
        return {"app_servers": servers, "processes": processes,
                "units": [{**unit.facts(), **_given(units.get((unit.name, unit.owner))), **self._waits(unit)} for unit in there],
                "listeners": self._listeners(), "cron": _evidence_cron.facts(lines, crons), "managers": managers,
                "managed": _managers.marked(self._files())}

    def _waits(self, unit: _evidence_systemd.Unit) -> Dict[str, str]:
        """What a socket unit that was written here starts at the first request, when that is an application server."""
        started = next((item for item in self.units if item.name == unit.started and item.owner == unit.owner), None) if unit.name.endswith(".socket") else None
        command = "; ".join(started.sections.get(("Service", "ExecStart"), [])) if started is not None and not unit.package else ""
        words = command.split()
        running = _app_servers.program(words[0].lstrip("-:@!+"), words) if words else None
        if running is None or not (_app_servers.known(running, words) or re.match("(py)?uwsgi", running.name)):
            return {}
        return {"waits": redact(command)[:200]}

    def _given_units(self, servers: Facts) -> Dict[Tuple[str, str], Tuple[str, str]]:
        """To whom each unit belongs: to a service before an application server."""
        return {**_of_servers(_evidence_units.assign(servers, self.units)), **_evidence_units.assign(self.facts + self.stand_ins, self.units)}

    def _given_lines(self, servers: Facts, lines: List[_evidence_cron.CronLine]) -> Dict[int, Tuple[str, str]]:
        return {**_of_servers(_evidence_units.assign_cron(servers, lines)), **_evidence_units.assign_cron(self.facts + self.stand_ins, lines)}

    def _tied(self, command: str, directory: str, user: str) -> Sequence[str]:
        return [item["name"] for item in _evidence_units.tied(self.facts + self.stand_ins, "%s %s/" % (command, directory), user)]

    def _workers(self, processes: Facts) -> None:
        """Processes that use a service's code, venv or user are its workers, unless their unit is one already."""
        by_name = {item["name"]: item for item in self.facts}
        own = {unit.name for unit in self.units if not unit.package}
        for process in processes:
            kind, name = (process["of"] + ["", ""])[:2]
            if kind == "worker" and name in by_name and process["unit"] not in own:
                by_name[name]["workers"].append({"kind": "process", "what": process["command"], "evidence": process["unit"] or "no unit"})

    def _listeners(self) -> Facts:
        found = []
        for item in _evidence_host.listeners(self.host.sockets, self.host.holders, self.host.table):
            process = self.host.table.get(item.pop("pid"))
            item.update(program="", package="", unit_package="")
            if process is not None:
                item.update(program=self.view.program(process).label, package=self.host.owner(process.exe) or self.view.package(process),
                            unit_package=self.view.unit_package(process), of=list(self.view.of.get(process.pid, ())))
            found.append(item)
        return found

    def _files(self) -> List[str]:
        """Files that a configuration manager could write and a service depends on."""
        names = [path for item in self.facts for path in item["config_files"]]
        names += [unit.path for unit in self.units if not unit.package]
        names += list(_nginx_text.files(self.host.nginx["text"])) if self.host.nginx else []
        return [path for path in names if path.startswith("/")]


def _of_servers(given: Dict[Any, Tuple[str, str]]) -> Dict[Any, Tuple[str, str]]:
    return {key: ("app server", name) for key, (_kind, name) in given.items()}


def _given(of: Any) -> Dict[str, List[str]]:
    return {"of": list(of)} if of else {}


def _following(when: str) -> str:
    """The next time of a cron line on this host's clock; nothing where cron has no time for it."""
    with contextlib.suppress(WebstackError):
        tick = _calendar.following(when, datetime.datetime.now())
        return tick.strftime("%Y-%m-%d %H:%M") if tick else ""
    return ""


class EvidenceModule(WebstackModule):
    """The module evidence_info."""

    def run(self) -> None:
        """See WebstackModule."""
        yield_cpu()
        self.result["evidence"] = collect()
