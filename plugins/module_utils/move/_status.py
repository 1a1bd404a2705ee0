# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the services of a host run, as the journals, the sockets and the engine tell it."""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import health_problem
from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import is_listening
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import EngineMissing, engine
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackModule
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files
from ansible_collections.gantry.webstack.plugins.module_utils.move import _kept, _seams

COLUMNS = ("service", "runtime", "answers", "container", "image", "since")
_SWITCHES = {"switched", "rolled back"}
"""Events of the journal after which requests go elsewhere."""

_AT_REST = {"host", "switched", "candidate", "proven"}
"""Phases in which nothing is half done."""


class Status(WebstackModule):
    """The module status_info."""

    def run(self) -> None:
        """See WebstackModule."""
        journals = {journal.name: journal for journal in _journal.load_all()}
        installed = {name: socket for name, socket in _installed().items() if name not in journals}
        edge = _journal.load(_paths.EDGE)
        containers = self._containers() if edge.candidate or any(journal.candidate for journal in journals.values()) else {}
        found = [_moved(journal, containers) for journal in journals.values()]
        found += [{"service": name, "runtime": _journal.HOST, "phase": _journal.HOST, "socket": socket,
                   "problem": "" if is_listening(socket) else "nobody listens at %s" % socket} for name, socket in installed.items()]
        self.result["services"] = sorted(found, key=lambda item: item["service"])
        self.result["edge"] = _edge(edge, containers)
        self.result["table"] = table(self.result["services"] + ([dict(self.result["edge"], service="(nginx)")] if edge.data["events"] else []))

    def _containers(self) -> Dict[str, Mapping[str, Any]]:
        """The engine's view of our containers by name: {state, health, restarts}; without an engine, none."""
        with contextlib.suppress(EngineMissing), engine() as client:
            listed = [item for label in (".service", ".edge") for item in client.containers.list(all=True, filters={"label": _paths.LABEL + label})]
            return {item.name: {"state": item.attrs["State"]["Status"], "health": (item.attrs["State"].get("Health") or {}).get("Status", ""),
                                "restarts": item.attrs.get("RestartCount", 0)} for item in listed}
        return {}


def _installed() -> Dict[str, str]:
    """Sockets of the vassals that ``install`` wrote, by service."""
    found = {}
    for path, known in _own_files.ours_in(_paths.VASSAL_DIR, "", ".ini").items():
        sockets = re.findall(r"(?m)^socket = (\S+)$", known.text)
        if sockets:
            found[os.path.basename(path)[:-len(".ini")]] = sockets[0]
    return found


def _moved(journal: _journal.Journal, containers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """One service that has a journal."""
    service, candidate = journal.service, journal.candidate
    socket = journal.data.get("seam") or service.get("uwsgi", {}).get("socket", "")
    found: Dict[str, Any] = {"service": journal.name, "runtime": journal.runtime, "phase": journal.phase, "socket": socket}
    seam = _seams.of(service, socket)
    found["problem"] = (health_problem(service, seam.entrance, timeout=10.0) or "") if socket else "its socket is not known"
    if journal.runtime == _journal.CONTAINER and not seam.lies_on_container():
        found["problem"] = found["problem"] or "its socket is the host's own, though it was switched to its container"
    if candidate:
        found.update(container=candidate["container"], image=candidate["image"], **containers.get(candidate["container"], {"state": "missing"}))
    running = candidate.get("image") if journal.runtime == _journal.CONTAINER else None
    found["images"] = [{"id": item["id"], "tag": item["tag"], "since": _at(item["at"]), "current": item["id"] == running} for item in _kept.of(journal)]
    note = journal.data.get("decommissioned") or {}
    found["host_stack"] = "purged" if note.get("purged") else "decommissioned" if note else "ready"
    switched = [item for item in journal.data["events"] if item["event"] in _SWITCHES]
    if switched:
        found["since"] = _at(switched[-1]["at"])
    return found


def _edge(journal: _journal.Journal, containers: Mapping[str, Mapping[str, Any]]) -> Dict[str, Any]:
    """nginx itself, which is on the host unless it has a journal that says otherwise."""
    found: Dict[str, Any] = {"runtime": journal.runtime, "phase": journal.phase, "problem": ""}
    if journal.candidate:
        known = containers.get(journal.candidate["container"], {"state": "missing"})
        found.update(container=journal.candidate["container"], image=journal.candidate["image"], **known)
        found["problem"] = "" if known["state"] == "running" else "its container is not running"
    switched = [item for item in journal.data["events"] if item["event"] in _SWITCHES]
    if switched:
        found["since"] = _at(switched[-1]["at"])
    return found


def _at(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def table(services: Sequence[Mapping[str, Any]]) -> List[str]:
    """The lines of a table for people. Pure."""
    rows = [COLUMNS] + [tuple(_cell(item, column) for column in COLUMNS) for item in services]
    widths = [max(len(row[number]) for row in rows) for number in range(len(COLUMNS))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]


def _cell(item: Mapping[str, Any], column: str) -> str:
    value: Optional[str] = item.get(column)
    if column == "answers":
        return item["problem"] or "yes"
    if column == "container" and value:
        return " ".join(word for word in (value, item.get("state", ""), item.get("health", "")) if word and word != "running")
    if column == "runtime" and item["phase"] not in _AT_REST:
        return "%s (%s)" % (value, item["phase"])
    if column == "runtime" and item.get("host_stack", "ready") != "ready":
        return "%s (host %s)" % (value, item["host_stack"])
    if column == "image" and value:
        return value.rpartition(":")[2][:12]
    return value or "-"
