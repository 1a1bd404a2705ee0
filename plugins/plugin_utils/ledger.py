# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger of a host: every listener, process, unit, nginx location, vhost and cron line with what becomes of it. Pure.

An entry is {kind, what, status, evidence} and, where it belongs to one, ``service`` and ``app_server``. ``status`` is

- ``converted``: moves with its service when convert runs, or has moved;
- ``kept``: stays as it is, and it is known what it is for;
- ``external``: a package's or another host's, not ours to move;
- ``unexplained``: nobody could say what it belongs to.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Sequence
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.discover._app_servers import PLAIN
from ansible_collections.gantry.webstack.plugins.module_utils.move import _user_crontabs, _worker_units
from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_choice, nginx_config, nginx_routes
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Service
from ansible_collections.gantry.webstack.plugins.plugin_utils.strict import some

Entry = dict[str, Any]
Evidence = dict[str, Any]

STATUSES = ("converted", "kept", "external", "unexplained")
KINDS = ("vhost", "location", "listener", "process", "unit", "timer", "cron", "at", "app server", "manager", "blind")
EPHEMERAL = 32768
"""Ports from here on are given out by the kernel (ip_local_port_range) and differ from boot to boot."""

_LOCAL = re.compile(r"(127\.\d+\.\d+\.\d+|localhost|\[::1\]|0\.0\.0\.0|\[::\])(:|$)")


class Ledger:
    """What is known, and the entries made of it. ``kept`` are a person's explanations: {what, reason} and perhaps {kind}."""

    def __init__(self, evidence: Evidence, services: Sequence[Service], nginx: nginx_config.Nginx, kept: Iterable[dict[str, str]] = ()) -> None:
        self.evidence, self.nginx, self.explained = evidence, nginx, list(kept)
        self.services = {service["name"]: service for service in services}
        self.entries: list[Entry] = []
        self.owners = {item["address"]: facts["name"] for facts in evidence["instances"] for item in facts["sockets"]}
        self.owners.update({service["uwsgi"]["socket"]: service["name"] for service in services if service.get("uwsgi", {}).get("socket")})
        self.owners.update({_paths.nginx_socket(service["name"]): service["name"] for service in services})
        self.listeners = {item["address"].removeprefix("unix:"): item for item in evidence["listeners"]}
        self.targets: dict[str, list[str]] = {}
        routes = nginx_routes.routes(nginx)
        self.requests = nginx_choice.Requests(nginx.sites)
        self.beyond: dict[int, list[nginx_routes.Route]] = {}
        for route in routes:
            if route.entry is not route.location:
                self.beyond.setdefault(id(route.entry), []).append(route)
            for address in nginx.addresses(route.target):
                item = self.listener(address)
                if item is not None:
                    self.targets.setdefault(item["address"], []).append(f"{route.site.title} {route.match}")
        self.servers = {item["name"]: item for item in evidence["app_servers"] if item["server"] != PLAIN or self._reached(item)}
        self.needed = {item["address"].removeprefix("unix:"): service["name"] for service in services for item in service.get("needs", [])}
        self.units = {(unit["name"], unit.get("owner", "")): self._unit(unit) for unit in evidence["units"]}

    def _reached(self, server: dict[str, Any]) -> bool:
        return any(address in self.targets for address in server["listeners"])

    def listener(self, address: str) -> Any:
        """Who listens at a target of nginx's, itself or for all addresses; None when nobody on this host does."""
        if address in self.listeners:
            return self.listeners[address]
        host, _colon, port = address.rpartition(":")
        if not port.isdigit():
            host, port = address, "80"
        names = (f"{host}:{port}", f"0.0.0.0:{port}", f"[::]:{port}", f"127.0.0.1:{port}", f"[::1]:{port}") if _LOCAL.match(host + ":") else (f"{host}:{port}",)
        return next((self.listeners[name] for name in names if name in self.listeners), None)

    # -- what belongs to whom

    def _moves(self, name: str) -> str:
        """converted or kept: a service that is blocked stays."""
        service = self.services.get(name, {})
        return "converted" if service.get("runtime") == "container" or service.get("fit", {}).get("verdict") in ("ready", "remarks") else "kept"

    def _of(self, of: Sequence[str]) -> tuple[str, dict[str, str], str] | None:
        """(status, keys, evidence) of what the target has given to somebody; None for nobody that counts."""
        kind, name = (list(of) + ["", ""])[:2]
        if kind == "service":
            return self._moves(name), {"service": name}, f"service {name}"
        if kind == "worker":
            return "kept", {"service": name}, f"uses the user, code or venv of service {name}"
        if kind in ("app server", "listener") and name in self.servers:
            return "kept", {"app_server": name}, f"application server {name}"
        if kind == "emperor":
            return "kept", {}, "the emperor that starts the vassals"
        if kind == "nginx":
            return "kept", {}, "nginx"
        return None

    def _manager(self, text: str) -> str:
        """The manager that a unit, cron line or process runs."""
        for manager in self.evidence["managers"]:
            if any(text in (run["what"], run.get("starts"), f"{run['what']} {run['when']} {run.get('command', '')}") for run in manager["runs"]):
                return manager["name"]
        return ""

    def _unit(self, unit: dict[str, Any]) -> tuple[str, dict[str, str], str]:
        found = self._of(unit.get("of", ())) or self._of_unit(unit)
        if found:
            name = found[1].get("service", "")
            moves = name and unit["name"] in _worker_units.moving(self.services.get(name, {})) and self._moves(name) == "converted"
            return ("converted", *found[1:]) if moves else found
        manager = self._manager(unit["name"]) or unit.get("starts") and self._manager(unit["starts"])
        if manager:
            return "kept", {}, f"runs {manager}"
        if unit.get("waits"):
            return "kept", {}, f"starts {unit['starts']} at the first request: {unit['waits']}; ask it once and run discover again to have it in the plan"
        if unit.get("package"):
            return "external", {}, f"package {unit['package'].split(':')[0]}"
        return "unexplained", {}, unit["path"] or "no file"

    def _of_unit(self, unit: dict[str, Any]) -> tuple[str, dict[str, str], str] | None:
        """By the processes and listeners of the unit, or of the one that a socket starts."""
        name = unit.get("starts", unit["name"]) if unit["name"].endswith(".socket") else unit["name"]
        processes = [process for process in self.evidence["processes"] if process["unit"] == name and not unit.get("owner")]
        kinds = {tuple(process["of"]) for process in processes if self._of(process["of"])}
        if any(kind[0] == "emperor" for kind in kinds):
            return self._of(("emperor",))
        if len(kinds) > 1:
            return "kept", {}, f"keeps {', '.join(sorted(kind[1] for kind in kinds))}"
        if kinds:
            status, keys, words = self._of(next(iter(kinds))) or ("kept", {}, "")
            return ("kept" if unit["name"] != name else status), keys, words
        for item in self.evidence["listeners"]:
            service = self.needed.get(item["address"].removeprefix("unix:"))
            if item["unit"] == name and service:
                return "external", {"service": service}, f"service {service} needs it"
        return None

    # -- the entries

    def _add(self, kind: str, what: str, found: tuple[str, dict[str, str], str], **more: Any) -> None:
        status, keys, evidence = found
        entry = {"kind": kind, "what": what, "status": status, **keys, "evidence": evidence, **{key: value for key, value in more.items() if value}}
        reason = _reason(entry, self.explained)
        if status == "unexplained" and reason:
            entry.update(status="kept", evidence=reason)
        self.entries.append(entry)

    def make(self) -> list[Entry]:
        """Every entry, in a fixed order, each once."""
        self._sites()
        self._listeners()
        self._processes()
        for unit in self.evidence["units"]:
            self._add_unit(unit)
        for line in self.evidence["cron"]:
            self._cron(line)
        for name, server in self.servers.items():
            self._add("app server", f"{name}: {server['command']}", ("kept", {"app_server": name}, self._about(server)))
        for manager in self.evidence["managers"]:
            self._add("manager", _manager_text(manager), ("kept", {}, ", ".join(manager["config"]) or ", ".join(run["what"] for run in manager["runs"])),
                      next=min((run["next"] for run in manager["runs"] if run.get("next")), default=""))
        for text in self.evidence["blind"]:
            self._add("blind", text, ("unexplained", {}, ""))
        unique = {(entry["kind"], entry["what"], entry["evidence"]): entry for entry in self.entries}
        return sorted(unique.values(), key=lambda entry: (KINDS.index(entry["kind"]), entry["what"], entry["evidence"]))

    def _about(self, server: dict[str, Any]) -> str:
        """What a person wants to know of an application server, in one line."""
        leads = sorted({place for address in server["listeners"] for place in self.targets.get(address, [])})
        parts = [f"{server['server']} of user {server['user']}", f"kept by {server['by']}" if server["by"] else "nothing starts it again",
                 "listens at " + ", ".join(server["listeners"]) if server["listeners"] else "", f"code {server['code']}" if server["code"] else "",
                 f"venv {server['venv']}" if server["venv"] else "", "config " + ", ".join(server["config"]) if server["config"] else "",
                 "nginx leads to it from " + ", ".join(some(leads, 5)) if leads else "no nginx location leads to it"]
        return "; ".join(part for part in parts if part)

    def _sites(self) -> None:
        for site in (*self.nginx.sites, *self.nginx.streams):
            title, place = _title(site) + (f" ({' '.join(site.listen)})" if site.name else ""), f"{site.file}:{site.line}"
            hidden = self.requests.servers.hidden(site) if site.protocol == "http" else ""
            if hidden:
                self._add("vhost", title, ("kept", {}, f"{place}; no request reaches it: {hidden}"))
                continue
            found = [self._location(site, location) for location in site.locations]
            url = self.requests.url(site) if site.protocol == "http" else ""
            names = sorted({keys["service"] for status, keys, _evidence in found if "service" in keys and status != "external"})
            statuses = {status for status, _keys, _evidence in found}
            if names:
                status = "converted" if any(self._moves(name) == "converted" for name in names) else "kept"
                self._add("vhost", title, (status, {"service": names[0]} if len(names) == 1 else {}, f"{place}; leads to {', '.join(names)}"), url=url)
            elif statuses == {"unexplained"}:
                self._add("vhost", title, ("unexplained", {}, f"{place}; nothing answers behind it"), url=url)
            else:
                self._add("vhost", title, ("external" if statuses == {"external"} else "kept", {}, place), url=url)

    def _location(self, site: nginx_config.Site, location: nginx_config.Location) -> tuple[str, dict[str, str], str]:
        place = f"{location.file}:{location.line}"
        title = f"{_title(site)} {location.match}"
        url = self.requests.url(site, location) if site.protocol == "http" else ""
        found: tuple[str, dict[str, str], str] = ("kept", {}, place)
        if not location.passes:
            found = self._goes_on(location, place)
            self._add("location", f"{title} -> {location.served}" if location.served else title, found, url=url)
        for directive, target in location.passes:
            found = self._target(directive, target, place)
            what = f"{title} -> {directive} {target}"
            if "service" not in found[1] or found[1].get("need"):
                what += f" ({found[2]})"
            self._add("location", what, (found[0], {key: value for key, value in found[1].items() if key != "need"}, place), url=url)
        return found

    def _goes_on(self, location: nginx_config.Location, place: str) -> tuple[str, dict[str, str], str]:
        """A location that hands over nothing itself: it belongs to the service that it goes on to, by try_files, error_page or rewrite."""
        routes = self.beyond.get(id(location), [])
        leads = [self._target(route.directive, route.target, place) for route in routes]
        services = {keys["service"]: status for status, keys, _words in leads if "service" in keys and status != "external"}
        if len(services) != 1:
            return "kept", {}, place
        (name, status), = services.items()
        matches = ", ".join(dict.fromkeys(route.location.match for route in routes))
        return status, {"service": name}, f"{place}; goes on to {matches}"

    def _target(self, directive: str, target: str, place: str) -> tuple[str, dict[str, str], str]:
        """What a pass leads to; the third part says it in words."""
        addresses = self.nginx.addresses(target)
        if not addresses:
            return "unexplained", {}, "the target holds a variable"
        owner = next((self.owners[address] for address in addresses if address in self.owners), None)
        if owner:
            return self._moves(owner), {"service": owner}, place
        item = next((found for found in map(self.listener, addresses) if found is not None), None)
        if item is None:
            local = all(address.startswith("/") or _LOCAL.match(address) for address in addresses)
            if local or directive == "uwsgi_pass" and not any(re.match(r"[\w.-]+:\d+$", address) for address in addresses):
                return "unexplained", {}, "no service listens there" if directive == "uwsgi_pass" else "nobody listens there"
            return "external", {}, "another host"
        status, keys, words = self._listener(item)
        return status, keys, keys.get("app_server") or (item["process"] if item["process"] != "systemd" else "") or words

    def _listener(self, item: dict[str, Any]) -> tuple[str, dict[str, str], str]:
        address = item["address"].removeprefix("unix:")
        if address in self.owners:
            return self._moves(self.owners[address]), {"service": self.owners[address]}, f"service {self.owners[address]}"
        found = self._of(item.get("of", ()))
        if found:
            return found
        if item["process"] == "nginx":
            return "kept", {}, "nginx"
        if item.get("container"):
            return "external", {}, "a container"
        service = self.needed.get(address)
        if service and not address.startswith("/tmp/"):
            return "external", {"service": service}, f"service {service} needs it; {item['unit'] or item['command']}"
        if item["process"] == "systemd":
            socket = next((unit for unit in self.evidence["units"] if item["address"].removeprefix("unix:") in unit.get("listen", [])
                           or address.rpartition(":")[2] in [listen.rpartition(":")[2] for listen in unit.get("listen", [])]), None)
            if socket is not None:
                status, keys, words = self.units[socket["name"], socket.get("owner", "")]
                return status, keys, f"{socket['name']}: {words}"
        if item["unit"] and item["package"]:
            own = self.units.get((item["unit"], ""))
            if item.get("unit_package", item["package"]) or own is None:
                return "external", {}, item["unit"]
        own = self.units.get((item["unit"], ""))
        if own is not None and own[0] != "external":
            return own
        if not item["process"]:
            return "unexplained", {}, "no process that can be seen holds it"
        return "unexplained", {}, item["unit"] or item["command"]

    def _listeners(self) -> None:
        for item in self.evidence["listeners"]:
            port = item["address"].rpartition(":")[2]
            if not item["address"].startswith("unix:") and (not port.isdigit() or int(port) >= EPHEMERAL) and item["address"] not in self.targets:
                continue
            found = self._listener(item)
            if item["address"].startswith(("unix:/tmp/", "unix:/var/tmp/")) and found[0] != "converted" and item["address"] not in self.targets:
                continue  # its name may be another one tomorrow; its process is in the ledger
            self._add("listener", f"{item['address']} {item['process']}".strip(), found)

    def _processes(self) -> None:
        for process in self.evidence["processes"]:
            what = f"{process['program']} ({process['user']})"
            if process["listeners"] and not process["unit"]:
                what += " at " + ", ".join(some(process["listeners"], 3))
            own = self.units.get((process["unit"], "")) or next((found for (name, owner), found in self.units.items()
                                                                 if name == process["unit"] and owner == process["user"]), None)
            found = self._of(process["of"])
            manager = self._manager(process["command"][:120]) or process["unit"] and self._manager(process["unit"])
            if found is None and manager:
                found = ("kept", {}, f"runs {manager}")
            if found is None and own is not None and (own[0] != "external" or process["package"]):
                found = own
            if found is None and process["package"] and process["unit_package"]:
                found = ("external", {}, f"package {process['package'].split(':')[0]}")
            evidence = "; ".join(part for part in (process["unit"] or "no unit", found[2] if found else process["command"]) if part)
            self._add("process", what, (found[0], found[1], evidence) if found else ("unexplained", {}, evidence))

    def _add_unit(self, unit: dict[str, Any]) -> None:
        kind = "timer" if unit["name"].endswith(".timer") else "unit"
        what = unit["name"] + (f" of user {unit['owner']}" if unit.get("owner") else "") + (f" ({unit['when']})" if unit.get("when") else "")
        status, keys, words = self.units[unit["name"], unit.get("owner", "")]
        evidence = words if words == unit["path"] else f"{unit['path']}; {words}"
        if status == "unexplained" and unit.get("command"):
            evidence += f": {unit['command']}"
        self._add(kind, what, (status, keys, evidence), next=unit.get("next", "") if kind == "timer" else "")

    def _cron(self, line: dict[str, Any]) -> None:
        found = self._of(line.get("of", ()))
        manager = self._manager(f"{line['source']} {line['when']} {line['command']}")
        stays = line["package"] or _user_crontabs.is_users(line["source"]) and _user_crontabs.stays(line)
        if found and found[0] == "converted" and stays:
            found = ("kept", found[1], found[2])
        if found is None and manager:
            found = ("kept", {}, f"runs {manager}")
        if found is None:
            found = ("external", {}, f"package {line['package'].split(':')[0]}") if line["package"] else ("unexplained", {}, "")
        evidence = line["source"] + (f"; {found[2]}" if found[2] else "")
        self._add(line["kind"], f"{line['when']} {line['user']} {line['command']}", (found[0], found[1], evidence))


def _title(site: nginx_config.Site) -> str:
    return site.title if site.protocol == "http" else f"{site.protocol} {site.title}"


def _manager_text(manager: dict[str, Any]) -> str:
    """A manager and how it runs, without times that pass."""
    runs = [f"{run['by']} {run['what']} ({run['when']})" for run in manager["runs"]]
    plural = {kind: kind + ("es" if kind.endswith("s") else "s") for kind in manager["manages"]}
    manages = ", ".join(f"{len(names)} {kind if len(names) == 1 else plural[kind]}" for kind, names in manager["manages"].items())
    return f"{manager['name']}: {', '.join(some(runs, 3)) or 'nothing runs it'}" + (f"; manages {manages}" if manages else "")


def _reason(entry: Entry, kept: Iterable[dict[str, str]]) -> str:
    """A person's reason for an unexplained entry: a pattern like the shell's against what it is. Blind spots need ``kind: blind``."""
    for item in kept:
        kind = item.get("kind", "")
        if (kind == entry["kind"] or not kind and entry["kind"] != "blind") and fnmatch.fnmatchcase(entry["what"], item["what"]):
            return item["reason"]
    return ""


# -- what the plan and a person get of it

def findings(entries: Iterable[Entry], status: str) -> list[dict[str, str]]:
    """The plan's ``external``, ``kept`` or ``unexplained``: one line for each thing, not for each side of it.

    A process whose unit is listed, and a listener whose process or unit is, is the same thing seen from another side.
    """
    chosen = [entry for entry in entries if entry["status"] == status]
    if status == "external":
        chosen = [entry for entry in chosen if entry["kind"] == "location" or entry["kind"] == "listener" and not entry["what"].startswith("unix:")]
    elif status == "kept":
        chosen = [entry for entry in chosen if entry["kind"] in ("app server", "manager", "unit", "timer", "cron", "at") and "service" not in entry
                  and entry["evidence"].rpartition("; ")[2] not in ("nginx", "the emperor that starts the vassals")
                  and not re.search(r"; (runs|application server) \S+$", entry["evidence"])]
    else:
        chosen = _once(chosen)
    return [{key: entry[key] for key in ("kind", "what", "evidence") if entry.get(key)} for entry in chosen]


def _once(entries: list[Entry]) -> list[Entry]:
    units = {entry["what"].split(" ")[0] for entry in entries if entry["kind"] == "unit"}
    paths = {entry["evidence"].split(": ")[0] for entry in entries if entry["kind"] == "unit"}
    processes = [entry for entry in entries if entry["kind"] == "process"]
    found = []
    for entry in entries:
        if entry["kind"] == "process" and entry["evidence"].split("; ")[0] in units:
            continue
        if entry["kind"] == "listener" and (entry["evidence"] in paths or any(entry["what"].split(" ")[0] in process["what"] for process in processes)):
            continue
        found.append(entry)
    return found
