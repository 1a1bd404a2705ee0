# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scheduled commands of timers: the host's timer goes on ticking, and a drop-in says where its service's command runs.

``systemctl daemon-reload`` takes a drop-in up in one step and touches no process: a job that runs is left to finish, and a tick meets the
unit as it was or as it is, so that it runs exactly once.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
from typing import Dict, List, Mapping, NamedTuple, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.common._unit_text import Sections, argument, assignments, last, parse, shell_command
from ansible_collections.gantry.webstack.plugins.module_utils.move._cron import DOCKER

DIRECTORIES = ("/etc/systemd/system", "/run/systemd/system", "/usr/local/lib/systemd/system", "/lib/systemd/system", "/usr/lib/systemd/system")
"""Where units stand, the first one first (systemd.unit(5))."""

DROP_IN = "50-webstack.conf"
_UNSUPPORTED = ("ExecCondition", "ExecStop", "ExecStopPost", "ExecReload", "RootDirectory", "RootImage", "Sockets")
LOOSENED = """\
User=root
Group=root
SupplementaryGroups=
DynamicUser=no
WorkingDirectory=/
NoNewPrivileges=no
CapabilityBoundingSet=~
ProtectSystem=no
ProtectHome=no
PrivateDevices=no
PrivateNetwork=no
PrivateUsers=no
ProtectProc=default
RestrictNamespaces=no
RestrictAddressFamilies=
SystemCallFilter=
MemoryDenyWriteExecute=no
MemoryMax=infinity
InaccessiblePaths=
ReadOnlyPaths=
"""
"""What the docker client needs: it is root's, talks to the engine's socket, and what it starts is confined by the container."""


class Job(NamedTuple):
    """What a service unit that a timer starts does; ``names`` are the variables of its Environment=."""

    user: str
    command: str
    directory: str
    names: List[str]
    files: List[str]


def is_unit(source: str) -> bool:
    """Whether the ``source`` of a schedule's entry is a timer or a service unit."""
    return source.endswith((".timer", ".service"))


def texts(unit: str) -> List[str]:
    """A unit and its drop-ins, ours left out, in the order in which systemd reads them; nothing when there is no such unit."""
    path = next((os.path.join(top, unit) for top in DIRECTORIES if os.path.isfile(os.path.join(top, unit))), None)
    if path is None:
        return []
    drop_ins: Dict[str, str] = {}
    for top in reversed(DIRECTORIES):
        drop_ins.update({os.path.basename(item): item for item in glob.glob(os.path.join(top, unit + ".d", "*.conf"))})
    drop_ins.pop(DROP_IN, None)
    return [_read(item) for item in [path, *(drop_ins[name] for name in sorted(drop_ins))]]


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        return handle.read()


def started_by(timer: str) -> str:
    """The unit that a timer starts (systemd.timer(5), Unit=)."""
    return last(parse(texts(timer)), "Timer", "Unit", timer[:-len(".timer")] + ".service")


def service_unit(source: str) -> str:
    """The service unit of a schedule's entry."""
    name = os.path.basename(source)
    return started_by(name) if name.endswith(".timer") else name


def job_of(sections: Sections) -> Job:
    """What a service unit runs, as one shell command. Raises WebstackError for a unit that does more than a command says."""
    service = {key: values for (section, key), values in sections.items() if section == "Service" and values}
    odd = [key for key in _UNSUPPORTED if key in service]
    if odd or last(sections, "Service", "Type", "simple") not in ("simple", "exec", "oneshot"):
        raise WebstackError("it has %s" % ("%s=" % odd[0] if odd else "Type=" + service["Type"][-1]))
    commands = [line for key in ("ExecStartPre", "ExecStart", "ExecStartPost") for line in service.get(key, [])]
    if not service.get("ExecStart"):
        raise WebstackError("it has no ExecStart=")
    directory = last(sections, "Service", "WorkingDirectory").lstrip("-").replace("%%", "%")
    files = [value.lstrip("-") for value in service.get("EnvironmentFile", [])]
    return Job(last(sections, "Service", "User", "root"), shell_command(commands), directory, list(assignments(service.get("Environment", []))), files)


def _names_in(path: str) -> List[str]:
    """Variables of an EnvironmentFile; none when it is not there."""
    with contextlib.suppress(OSError):
        return [match[1] for match in map(re.compile(r"\s*([A-Za-z_]\w*)\s*=").match, _read(path).splitlines()) if match]
    return []


def variables(job: Job) -> List[str]:
    """The variables that a unit gives its commands."""
    return list(dict.fromkeys([*job.names, *(name for path in job.files for name in _names_in(path))]))


def drop_in(job: Job, container: str, names: Sequence[str]) -> str:
    """The drop-in that runs a job in a container. Variables come from the unit as they always did and are passed on by name. Pure."""
    command = [DOCKER, "exec", "--user", job.user]
    if job.directory.startswith("/"):
        command += ["--workdir", job.directory]
    for name in names:
        command += ["--env", name]
    command += [container, "/bin/sh", "-c", job.command]
    spelled = " ".join(word if re.fullmatch(r"[\w./:@+=-]+", word) else argument(word) for word in command)
    return ("# Written by gantry.webstack: this command runs in a container.\n[Unit]\nAfter=docker.service\n[Service]\n%s"
            "ExecStartPre=\nExecStartPost=\nExecStart=\nExecStart=%s\n" % (LOOSENED, spelled))


class Timers:
    """The timers of one service on their way to a container and back."""

    def __init__(self, name: str, schedule: Sequence[Mapping[str, str]]) -> None:
        self.name = name
        self.jobs = {service_unit(job["source"]): job for job in schedule if is_unit(job.get("source", ""))}

    def texts(self, container: str) -> Dict[str, str]:
        """Path -> text of each drop-in. Raises WebstackError when a unit is not what the plan says any more."""
        found = {}
        for unit, job in self.jobs.items():
            sections = parse(texts(unit))
            if not sections:
                raise WebstackError("service %s: the unit %s of its schedule is gone; run discover again" % (self.name, unit))
            there = job_of(sections)
            if there.command != job["command"] or there.user != job.get("user", "root"):
                raise WebstackError("service %s: the unit %s does not run '%s' as %s any more; run discover again"
                                    % (self.name, unit, job["command"], job.get("user", "root")))
            found[self._path(unit)] = drop_in(there, container, variables(there))
        return found

    @property
    def places(self) -> List[str]:
        """Directories in which drop-ins are replaced."""
        return [os.path.dirname(self._path(unit)) for unit in self.jobs]

    @staticmethod
    def _path(unit: str) -> str:
        return os.path.join("/etc/systemd/system", unit + ".d", DROP_IN)

    def to_container(self, container: str) -> None:
        """From the next tick on the commands run in the container. Idempotent."""
        changed = False
        for path, text in self.texts(container).items():
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if not os.path.exists(path) or _read(path) != text:
                _journal.replace_file(path, text, 0o644)
                changed = True
        self._reload(changed)

    def to_host(self) -> None:
        """From the next tick on the commands run on the host. Idempotent."""
        removed = [unit for unit in self.jobs if _journal.remove_file(self._path(unit))]
        self._reload(bool(removed))

    def _reload(self, changed: bool) -> None:
        """Have systemd read its units, also when a run that was killed wrote them."""
        if changed or any(_processes.unit_properties(unit, "NeedDaemonReload").get("NeedDaemonReload") == "yes" for unit in self.jobs):
            run(["systemctl", "daemon-reload"])

    def in_container(self) -> bool:
        """Whether a job has been started whose command runs, or is about to, in the container."""
        return any(_runs_docker(int(_processes.unit_properties(unit, "MainPID").get("MainPID") or 0)) for unit in self.jobs)


def _runs_docker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        if pid:
            with open("/proc/%d/cmdline" % pid, "rb") as handle:
                return handle.read().split(b"\0")[:2] == [DOCKER.encode(), b"exec"]
    return False
