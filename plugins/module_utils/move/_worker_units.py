# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workers that systemd keeps beside a service: the unit stays, and a drop-in has it run a container of its own in place of the command.

systemd stops a unit before it starts it again, so there are never two. What it sends to stop the worker reaches the worker in the container, which
may finish what it has as on the host: ``docker run`` in the foreground passes signals on.
Variables of the unit travel through a file without a name that is the command's standard input: they are not in ``docker inspect``, nor in a process list.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import sys
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import find_container, remove_container
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.common._unit_text import Sections, argument, last, parse
from ansible_collections.gantry.webstack.plugins.module_utils.move import _container_config, _timers
from ansible_collections.gantry.webstack.plugins.module_utils.move._cron import DOCKER

STEADY = 3
"""Seconds for which a worker has to stay up in its container; one that does not goes on on the host."""

_SEND = """import os, sys
names = sys.argv[1].split(",")
fd = os.memfd_create("environment")
os.write(fd, b"\\0".join(os.fsencode("%s=%s" % (name, os.environ[name])) for name in names if name in os.environ))
os.lseek(fd, 0, 0)
os.dup2(fd, 0)
os.execv(sys.argv[2], sys.argv[2:])
"""
_TAKE = """import os, signal, sys
os.environb.update(item.split(b"=", 1) for item in sys.stdin.buffer.read().split(b"\\0") if item)
os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
def to_all(number, frame=None):
    try:
        os.kill(-1, number)
    except ProcessLookupError:
        pass
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2):
    signal.signal(number, to_all)
main = os.fork()
if not main:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv("/bin/sh", ["sh", "-c", sys.argv[1]])
code = 1
while True:
    try:
        pid, status = os.wait()
    except ChildProcessError:
        sys.exit(code)
    if pid == main:
        code = 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        to_all(signal.SIGTERM)
"""
"""What stands in for systemd in the container, as its first process: a signal reaches all processes of the worker, and it ends with the last one."""


def moving(service: Mapping[str, Any]) -> Dict[str, str]:
    """Unit -> command of the workers that move with a service; see ``stays`` for the others. Pure."""
    found: Dict[str, str] = {}
    for worker in service.get("workers", []):
        if worker.get("kind") == "unit" and not stays(worker):
            count = worker.get("instances", 1)
            stem = worker["what"][:-len("@1.service")] if count > 1 else ""
            for unit in ["%s@%d.service" % (stem, number) for number in range(1, count + 1)] if count > 1 else [worker["what"]]:
                found[unit] = worker.get("runs") or worker["command"]
    return found


def stays(worker: Mapping[str, Any]) -> str:
    """Why a worker's unit goes on on the host; empty for one that moves. Pure."""
    if worker.get("kind") != "unit" or "runs" not in worker and "command" not in worker:
        return "it does not run the service's code or venv by one simple command"
    return "it runs as %s" % worker["user"] if worker.get("user") else ""


class Place(NamedTuple):
    """What a worker's container is made of: uid:gid, further gids, image, network, mounts, and limits as words of ``docker run``."""

    user: str
    groups: Sequence[int]
    image: str
    network: str
    mounts: Sequence[_container_config.Mount]
    limits: Sequence[str]


def place(service: Mapping[str, Any], image: str, user: str, groups: Sequence[int]) -> Place:
    """As the service's own container, but for its sockets and its uWSGI configuration. Pure but for looking whether paths exist."""
    own = (_container_config.CONFIG, _paths.service_run(service["name"]))
    mounts = [item for item in _container_config.mounts(service, "", None) if item.target not in own]
    net = _container_config.network(service)
    limits = ["--pids-limit=%d" % _container_config.pids_limit(service)]
    limits += ["--add-host=%s:%s" % item for item in sorted(_container_config.host_entries(_read("/etc/hosts"), net).items())]
    return Place(user, groups, image, net, mounts, limits)


def drop_in(service: Mapping[str, Any], job: _timers.Job, where: Place, names: Sequence[str], extra: Sequence[str], python: str,
            host: str) -> "tuple[str, str]":
    """(container's name, drop-in) of a worker. ``names``: variables of its unit that it gets; ``extra``: words of its own limits. Pure."""
    command = [DOCKER, "run", "--rm", "--interactive", "--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--log-driver=none",
               "--user=" + where.user, *("--group-add=%d" % gid for gid in where.groups), "--network=" + where.network,
               *([] if where.network == "host" else ["--hostname=" + host]), "--tmpfs=/tmp:mode=1777", "--tmpfs=/var/tmp:mode=1777",
               "--label=%s.worker=%s" % (_paths.LABEL, service["name"]), *where.limits, *extra]
    command += ["--mount=type=bind,source=%s,target=%s%s" % (item.source, item.target, ",readonly" if item.read_only else "") for item in where.mounts]
    command += ["--workdir=" + job.directory] if job.directory.startswith("/") else []
    inside = [where.image, python, "-I", "-S", "-c", _TAKE, job.command]
    name = "webstack-%s-worker-%s" % (service["name"], hashlib.sha256("\0".join([*command, *inside, *names]).encode()).hexdigest()[:12])
    words = [sys.executable, "-I", "-S", "-c", _SEND, ",".join(names), *command, "--name=" + name, *inside]
    tidy = "/bin/sh -c %s" % argument("exec %s rm --force %s >/dev/null 2>&1" % (DOCKER, name))  # what was killed and goes on without its unit
    lines = ["# Written by gantry.webstack: this worker runs in a container.", "[Unit]", "After=docker.service", "[Service]",
             _timers.LOOSENED + "SuccessExitStatus=129 130 143", "ExecStartPre=", "ExecStartPost=", "ExecStart=",
             "ExecStartPre=-" + tidy, "ExecStart=" + " ".join(argument(word) for word in words),
             "ExecStopPost=-" + tidy]
    return name, "\n".join(lines) + "\n"


class Workers:
    """The worker units of one service on their way to a container and back. Every step looks first."""

    def __init__(self, service: Mapping[str, Any], client: Any) -> None:
        self.service, self.client = service, client
        self.units = moving(service)

    @property
    def places(self) -> List[str]:
        """Directories in which drop-ins are replaced."""
        return [os.path.dirname(_path(unit)) for unit in self.units]

    def texts(self, where: Place) -> "Dict[str, tuple[str, str]]":
        """Unit -> (container's name, drop-in). Raises WebstackError when a unit is not what the plan says any more."""
        found = {}
        for unit, command in self.units.items():
            sections = parse(_timers.texts(unit))
            if not sections:
                raise WebstackError("service %s: its worker %s is gone; run discover again" % (self.service["name"], unit))
            job = _timers.job_of(sections)
            if job.command != command:
                raise WebstackError("service %s: its worker %s does not run '%s' any more; run discover again" % (self.service["name"], unit, command))
            found[unit] = drop_in(self.service, job, where, _timers.variables(job), _limits(sections), _container_config.interpreter(self.service),
                                  socket.gethostname())
        return found

    def to_container(self, where: Place) -> List[str]:
        """Each worker ends on the host, or in the container of before, and then begins in a container of this image. Idempotent.

        Returns sentences about those that did not stay up and went back.
        """
        texts = self.texts(where)
        self._write({unit: text for unit, (dummy, text) in texts.items()})
        self._restart([unit for unit, (name, dummy) in texts.items() if name not in _command_line(unit)])
        fallen = self._fallen({unit: name for unit, (name, dummy) in texts.items()})
        if fallen:
            self._write(dict.fromkeys(fallen))
            run(["systemctl", "reset-failed", *fallen], check=False)
            run(["systemctl", "restart", *fallen])
        return ["service %s: its worker %s did not stay up in a container (%s); it runs on the host as before" % (self.service["name"], unit, why)
                for unit, why in fallen.items()]

    def to_host(self) -> None:
        """The same back."""
        names = {unit: _container_of(unit) for unit in self.units}
        self._write(dict.fromkeys(self.units))
        self._restart([unit for unit in self.units if DOCKER in _command_line(unit)])
        for name in filter(None, names.values()):
            container = find_container(self.client, name)
            if container is not None:  # its command was killed
                remove_container(container, stop_timeout=10)

    def _write(self, texts: Mapping[str, Optional[str]]) -> None:
        """Write drop-ins, or remove those whose text is None, and have systemd read them."""
        changed = False
        for unit, text in texts.items():
            path = _path(unit)
            there = _read(path) if os.path.exists(path) else None
            if text is not None and there != text:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                _journal.replace_file(path, text, 0o644)
                changed = True
            elif text is None:
                changed = _journal.remove_file(path) or changed
        if changed or any(_processes.unit_properties(unit, "NeedDaemonReload").get("NeedDaemonReload") == "yes" for unit in texts):
            run(["systemctl", "daemon-reload"])

    @staticmethod
    def _restart(units: Sequence[str]) -> None:
        """Those that run are stopped and started; one that somebody has stopped stays so."""
        if units:
            run(["systemctl", "try-restart", *units])

    def _fallen(self, names: Mapping[str, str]) -> Dict[str, str]:
        """Unit -> why, of those that were started and did not stay up."""
        def state(unit: str) -> Dict[str, str]:
            return _processes.unit_properties(unit, "ActiveState", "SubState", "NRestarts", "Result")
        before = {unit: state(unit) for unit in names}
        wanted = [unit for unit in names if before[unit].get("ActiveState") != "inactive"]
        deadline = time.monotonic() + (STEADY if wanted else 0)
        while time.monotonic() < deadline:
            time.sleep(0.2)
        after = {unit: state(unit) for unit in wanted}
        return {unit: now.get("Result", "") for unit, now in after.items()
                if now.get("ActiveState") == "failed" or now.get("SubState") == "auto-restart" or now.get("NRestarts") != before[unit].get("NRestarts")}


def _limits(sections: Sections) -> List[str]:
    """A unit's limits that the container has to have, since systemd's hold for the command alone."""
    value = last(sections, "Service", "MemoryMax")
    return ["--memory=" + value.lower(), "--memory-swap=" + value.lower()] if value[:-1].isdigit() and value[-1] in "KMG" or value.isdigit() else []


def _path(unit: str) -> str:
    return os.path.join("/etc/systemd/system", unit + ".d", _timers.DROP_IN)


def _command_line(unit: str) -> List[str]:
    """The command line of a unit's main process, its container's name as a word of its own; empty without one."""
    pid = int(_processes.unit_properties(unit, "MainPID").get("MainPID") or 0)
    with contextlib.suppress(OSError):
        if pid:
            with open("/proc/%d/cmdline" % pid, encoding="utf-8", errors="surrogateescape") as handle:
                return [word.replace("--name=", "", 1) for word in handle.read().split("\0")]
    return []


def _container_of(unit: str) -> str:
    """The name of the container that a unit's main process runs; empty when it runs none."""
    words = _command_line(unit)
    return next((word for word in words if word.startswith("webstack-") and "-worker-" in word), "") if DOCKER in words else ""


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        return handle.read()
