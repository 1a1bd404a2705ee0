# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service's workers and schedule as hardened systemd units. Pure.

Sources of the settings: systemd.exec(5), systemd.service(5), systemd.timer(5) of systemd 247 (Debian 11), 252 and 257 (Debian 13).
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common import _calendar, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.common._unit_text import argument, quoted
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_HARDENED = """\
NoNewPrivileges=yes
CapabilityBoundingSet=
ProtectSystem=strict
PrivateDevices=yes
ProtectProc=invisible
RestrictNamespaces=yes
RestrictSUIDSGID=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
RemoveIPC=yes
"""
_ALWAYS = """\
PrivateTmp=yes
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectKernelTunables=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
"""
"""Of use for root's jobs too, which otherwise are root's for a reason: they may write to /var and change owners."""


def job_name(job: Mapping[str, Any], among: Iterable[Mapping[str, Any]]) -> str:
    """A job's name: the given one, or one that follows from its command and user, and from its time where that is not enough."""
    if job.get("name"):
        return job["name"]
    same = [other for other in among if (other["command"], other.get("user")) == (job["command"], job.get("user"))]
    text = "\0".join([job.get("user") or "", job["command"], *([job["when"]] if len(same) > 1 else [])])
    return "job-" + hashlib.sha256(text.encode()).hexdigest()[:8]


def units(services: Iterable[Service]) -> list[dict[str, Any]]:
    """``units`` of the module systemd_units: every worker, job and timer of completed services.

    Raises ModelError for what a unit cannot say, and for two entries that would have one unit.
    """
    found: list[dict[str, Any]] = []
    for service in services:
        for worker in service["workers"]:
            if "command" in worker:
                found += _worker(service, worker)
        for job in service["schedule"]:
            found += _job(service, job)
    seen: dict[str, str] = {}
    for unit in found:
        if unit["name"] in seen:
            raise ModelError(f"services {seen[unit['name']]} and {unit['service']} would both have the unit {unit['name']}; name one otherwise")
        seen[unit["name"]] = unit["service"]
    return found


def _worker(service: Service, worker: Mapping[str, Any]) -> list[dict[str, Any]]:
    name, count = service["name"], worker.get("instances", 1)
    place = f"services[{name}].workers[{worker['name']}]"
    body = [
        "[Service]", "Type=simple", *_run(service, worker, place),
        "Restart=on-failure", "RestartSec=5", "KillMode=mixed", f"TimeoutStopSec={worker.get('stop_timeout', 90)}", *_sandbox(service, worker, place),
    ]
    head = [f"Description=Worker {worker['name']} of {name}", "After=network.target", "StartLimitIntervalSec=0"]
    text = _unit(name, head, body, ["[Install]", "WantedBy=multi-user.target"], [f"Worker={worker['name']}", *_own_notes(worker)])
    stem = f"webstack-{name}-{worker['name']}"
    watch = [_paths.code_stamp(name), _paths.venv_stamp(service["python"]["venv"]), *_secret_files(service)]
    return [
        {"name": f"{stem}.service" if count == 1 else f"{stem}@{number}.service", "content": text, "service": name, "watch": watch, "stays": True,
         "moves": True}
        for number in range(1, count + 1)
    ]


def _job(service: Service, job: Mapping[str, Any]) -> list[dict[str, Any]]:
    name = service["name"]
    label = job_name(job, service["schedule"])
    place = f"services[{name}].schedule[{label}]"
    boot = job["when"].strip() == _calendar.REBOOT
    try:
        lines = [] if boot else _calendar.timer_lines(job["when"])
    except WebstackError as exc:
        raise ModelError(f"{place}.when: {exc}") from exc
    notes = [f"Job={label}", f"When={' '.join(job['when'].split())}", *_own_notes(job)]
    body = ["[Service]", "Type=oneshot", *_run(service, job, place), f"TimeoutStartSec={job.get('timeout', 'infinity')}", *_sandbox(service, job, place)]
    install = ["[Install]", "WantedBy=multi-user.target"] if boot else []
    stem = f"webstack-{name}-{label}"
    head = [f"Description=Scheduled command {label} of {name}", "After=network.target"]
    unit = {"name": f"{stem}.service", "content": _unit(name, head, body, install, notes), "service": name,
            "state": "any", "moves": True}
    if boot:
        return [unit]
    lines = ["[Timer]", *lines, "AccuracySec=1s", *(["Persistent=yes"] if job.get("persistent") else [])]
    timer = _unit(name, [f"Description=When to run {stem}.service"], lines, ["[Install]", "WantedBy=timers.target"], [])
    return [unit, {"name": f"{stem}.timer", "content": timer, "service": name, "moves": True}]


def _unit(service: str, head: list[str], body: list[str], install: list[str], notes: Iterable[str]) -> str:
    parts = [["[Unit]", *head], body, install, ["[X-Webstack]", *notes] if notes else []]
    return f"# {MARK} Service {service}.\n" + "\n".join("\n".join(part) + "\n" for part in parts if part)


def _own_notes(entry: Mapping[str, Any]) -> list[str]:
    """What a definition says of an entry and its lines do not tell apart from ours, for discover."""
    return [f"Writable={path}" for path in entry.get("writable", [])] + [f"Extra={line}" for line in entry.get("extra", [])]


def _run(service: Service, entry: Mapping[str, Any], place: str) -> list[str]:
    """Who runs what, where, and with which environment."""
    user, command = entry.get("user") or service["user"]["name"], entry["command"].strip()
    if not command or "\0" in command:
        raise ModelError(f"{place}.command: there is nothing to run in {entry['command']!r}")
    environment = {"PATH": f"{posixpath.join(service['python']['venv'], 'bin')}:{_PATH}", **service["environment"]}
    for key, value in environment.items():
        if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key) or "\0" in value:
            raise ModelError(f"services[{service['name']}].environment.{key}: {value!r} cannot stand in the environment of a unit")
    lines = [f"User={user}"]
    if user == service["user"]["name"]:
        lines.append(f"Group={service['user']['group']}")
    lines.append(f"WorkingDirectory={service['code']['path']}".replace("%", "%%"))
    lines += ["Environment=" + quoted(f"{key}={value}") for key, value in environment.items()]
    if service["secrets"]:
        lines.append(f"EnvironmentFile=-{_secret_env(service['name'])}")
    return [*lines, f"SyslogIdentifier={service['name']}", f"ExecStart=/bin/sh -c {argument(command)}"]


def _sandbox(service: Service, entry: Mapping[str, Any], place: str) -> list[str]:
    root = (entry.get("user") or service["user"]["name"]) == "root"
    writable = [*(item["path"] for item in service["state"]), *entry.get("writable", [])]
    needed = [service["code"]["path"], service["python"]["venv"], *writable]
    home = any(path == top or path.startswith(top + "/") for path in needed for top in ("/home", "/root", "/run/user"))
    lines = (_ALWAYS + ("ProtectSystem=full\n" if root else _HARDENED)).splitlines()
    lines += [] if root and not home else [f"ProtectHome={'read-only' if home else 'yes'}"]
    lines += ["ReadWritePaths=" + quoted("-" + path.rstrip("/")) for path in dict.fromkeys(writable)]
    if "memory_max" in entry:
        lines.append(f"MemoryMax={entry['memory_max']}")
    for line in entry.get("extra", []):
        if not re.fullmatch(r"[A-Za-z][A-Za-z0-9-]*=.*", line):
            raise ModelError(f"{place}.extra: {line!r} is no line of a [Service] section; write KEY=VALUE")
    return [*lines, *entry.get("extra", [])]


def _secret_env(name: str) -> str:
    return _paths.secret_env(name)


def _secret_files(service: Service) -> list[str]:
    if not service["secrets"]:
        return []
    return [secret["source"].removeprefix("file:") for secret in service["secrets"] if secret["source"].startswith("file:")] + [_secret_env(service["name"])]
