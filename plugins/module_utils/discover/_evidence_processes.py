# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Every process that tells something of the host, aggregated; the application servers and other listeners among them.

Left out: kernel threads, the processes that ask (Ansible's own), what a person has open in a terminal, jobs that cron or a timer runs at the moment, what
systemd is about to start, what has ended since, and children that are of the same kind and unit as their parents. No PIDs, no counts: both change from run
to run.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process, Sockets, tree
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _app_servers, _evidence_host, _evidence_python
from ansible_collections.gantry.webstack.plugins.module_utils.discover._app_servers import PLAIN, Program
from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence_keepers import SUPERVISORS
from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence_systemd import Unit
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact

_SHELLS = re.compile(r"-?(sh|bash|dash|zsh|ksh|fish|csh|tcsh|busybox)")
_SESSION = re.compile(r"sshd(-session|-auth)?|sftp-server|login|sudo|su|runuser|screen|SCREEN|tmux.*|\(sd-pam\)|agetty|ssh-agent|gpg-agent|script|tini")
_TEMPORARY = ("/tmp/", "/var/tmp/")
_CRONS = ("cron", "crond", "atd", "anacron")


@dataclass
class View:
    """The host as processes see it, and what was found out about each: ``of`` by PID (service, app server, nginx, emperor, manager ...).

    ``units`` are those of systemd by name and user, whose is empty for the system's.
    """

    table: Dict[int, Process]
    sockets: Sockets
    owner: Callable[[str], Optional[str]]
    units: Dict[Tuple[str, str], Unit]
    of: Dict[int, Tuple[str, str]] = field(default_factory=dict)
    programs: Dict[int, Program] = field(default_factory=dict)

    def program(self, process: Process) -> Program:
        """What a process runs, looked up once."""
        if process.pid not in self.programs:
            self.programs[process.pid] = _app_servers.program(process.exe, process.argv, process.cwd, process.name)
        return self.programs[process.pid]

    def package(self, process: Process) -> str:
        """The package whose program this is: of the script where an interpreter runs one; a module counts by the unit's package."""
        running = self.program(process)
        if running.module or not process.exe and not running.path.startswith("/"):
            return self.unit_package(process)
        return (self.owner(running.path) or "") if running.path.startswith("/") else ""

    def unit(self, process: Process) -> Optional[Unit]:
        """The unit that a process runs in."""
        return self.units.get((process.unit, _evidence_host.user_name(int(process.user_manager)) if process.user_manager else ""))

    def unit_package(self, process: Process) -> str:
        """The package that brought the process's unit."""
        unit = self.unit(process)
        return unit.package if unit is not None and not process.user_manager else ""

    def is_package(self, process: Process) -> bool:
        """A package's program in a package's unit: one of its daemons."""
        return bool(self.package(process) and self.unit_package(process))

    def listens(self, process: Process) -> List[str]:
        """Addresses that a process holds open for others, sorted."""
        found = set()
        for inode in process.inodes:
            tcp = self.sockets.tcp.get(inode)
            if tcp is not None and tcp.listening:
                found.add(tcp.local)
            elif self.sockets.unix_listening.get(inode, "").startswith("/"):
                found.add("unix:" + self.sockets.unix_listening[inode])
        return sorted(found)


def askers(table: Dict[int, Process], sockets: Sockets, me: int) -> Set[int]:
    """This process, what it started, and everything up to the daemon that let it in."""
    found = {process.pid for process in tree(table, me)}
    pid = me
    while pid in table and pid != 1:
        process = table[pid]
        if pid != me and any(inode in sockets.tcp and sockets.tcp[inode].listening for inode in process.inodes):
            break
        found.add(pid)
        pid = process.parent
    return found


def _personal(view: View, process: Process) -> bool:
    """A shell without a script, a session's own processes, or a program of a package that somebody has open and that is not left to itself."""
    name = os.path.basename(process.argv[0].split(" ")[0].rstrip(":"))
    if _SHELLS.fullmatch(name) and all(word.startswith("-") and word != "-c" for word in process.argv[1:]):
        return True
    if process.unit and not process.user_manager:
        return process.name == "(sd-pam)" or process.name in ("sshd", "sshd-session") and " " in process.argv[0] and "listener" not in process.argv[0]
    if _SESSION.fullmatch(process.name) or _SESSION.fullmatch(name):
        return True
    attached = process.terminal or process.parent != 1
    return bool(attached and view.package(process) and not view.listens(process) and not view.program(process).interpreter)


def _is_starting(view: View, process: Process) -> bool:
    """A child of systemd, or of a user's, that has not become the program of its unit yet."""
    above = view.table.get(process.parent)
    if above is None or os.path.basename(above.exe) != "systemd" or above.pid == 1 and "--user" in process.argv:
        return False
    return process.exe in (above.exe, os.path.join(os.path.dirname(above.exe), "systemd-executor"))


def _is_job(view: View, process: Process) -> bool:
    """A job that cron runs at the moment: cron is above it, and it serves nobody."""
    # by its command line, since cron's child still has cron's name when it is looked at in the moment of its execve(2)
    itself = process.name.lower() in _CRONS and os.path.basename(process.argv[0].split(" ")[0]).lower() in _CRONS
    pid = process.parent
    while pid in view.table and pid > 1:
        if view.table[pid].name.lower() in _CRONS and not itself:
            return not view.listens(process)
        pid = view.table[pid].parent
    unit = view.unit(process)
    return unit is not None and unit.triggered and not view.listens(process)


def app_servers(view: View) -> List[Dict[str, Any]]:
    """Application servers, and every other listener that is no daemon of a package: {name, server, command, user, unit, by, listeners, code, ...}.

    Marks their processes in ``view.of``. Whether a listener of another kind counts as one is for the planner to say: nginx must lead to it.
    """
    found: List[Dict[str, Any]] = []
    masters: List[Tuple[Process, Optional[_app_servers.Server]]] = []
    for process in sorted(view.table.values(), key=lambda item: item.pid):
        if process.pid in view.of or process.pid == 1:
            continue
        server = _app_servers.known(view.program(process), process.argv)
        above = view.table.get(process.parent)
        if server is not None and (above is None or _app_servers.known(view.program(above), above.argv) != server):
            masters.append((process, server))
        elif server is None and view.listens(process) and not view.is_package(process):
            # systemd, which listens for others, is nobody's master
            if above is None or above.pid == 1 or above.unit != process.unit or not view.listens(above):
                masters.append((process, None))
    for process, server in masters:
        if process.pid not in view.of:
            found.append(_describe(view, process, server))
    named: Dict[str, int] = {}
    for item in sorted(found, key=lambda item: (item["name"], item["command"], item["listeners"])):
        named[item["name"]] = named.get(item["name"], 0) + 1
        if named[item["name"]] > 1:
            item["name"] += "-%d" % named[item["name"]]
    for item in found:
        for pid in item.pop("pids"):
            view.of.setdefault(pid, ("app server" if item["server"] != PLAIN else "listener", item["name"]))
    return sorted(found, key=lambda item: item["name"])


def _describe(view: View, process: Process, server: Optional[_app_servers.Server]) -> Dict[str, Any]:
    running, below = view.program(process), [item for item in tree(view.table, process.pid) if item.pid not in view.of]
    unit = None if process.user_manager else view.unit(process)
    argv = process.argv
    worker = next((item for item in below if item.parent == process.pid and item.uid != process.uid), process)
    listeners = sorted({address for item in below for address in view.listens(item)})
    cwd = process.cwd
    venv = _venv(process)
    config = _app_servers.config_files(server, argv, cwd or "/")
    own_unit = unit is not None and not unit.package
    name = process.unit[:-len(".service")] if process.unit and unit is not None and (server is not None or own_unit) else running.name or process.name
    command = redact("; ".join(unit.sections.get(("Service", "ExecStart"), [])) if process.rewritten and own_unit and unit else " ".join(argv))[:300]
    return {
        "name": re.sub(r"[^A-Za-z0-9_.@-]+", "-", name).strip("-") or "process", "server": server.name if server else PLAIN, "command": command,
        "user": _evidence_host.user_name(worker.uid), "group": _evidence_host.group_name(worker.gid), "unit": process.unit, "by": _keeper(view, process),
        "package": view.owner(process.exe) or "" if view.is_package(process) else "", "listeners": listeners,
        "code": _app_servers.directory(server, running, argv, cwd) or "", "venv": venv or "", "config": [path for path in config if os.path.exists(path)],
        "pids": [item.pid for item in below],
    }


def _venv(process: Process) -> Optional[str]:
    """The virtual environment whose python or script was started, or the one in the process's environment."""
    for word in process.argv[:2]:
        prefix = os.path.dirname(os.path.dirname(word)) if word.startswith("/") else ""
        if prefix and _evidence_python.pyvenv(prefix):
            return prefix
    named = process.environ.get("VIRTUAL_ENV", "")
    return named if named and _evidence_python.pyvenv(named) else None


def _keeper(view: View, process: Process) -> str:
    """What starts it again: its unit, a supervisor above it, or nothing."""
    pid = process.parent
    while pid in view.table and pid > 1:
        name = os.path.basename(view.program(view.table[pid]).path)
        if name in SUPERVISORS:
            return SUPERVISORS[name]
        pid = view.table[pid].parent
    unit = view.unit(process)
    if process.unit and process.user_manager:
        return "unit %s of user %s" % (process.unit, process.user_manager)
    return "unit %s" % process.unit if unit is not None and not unit.name.startswith(("cron.", "ssh.", "sshd.", "user@")) else ""


def processes(view: View, left_out: Set[int], worker_of: Callable[[str, str, str], Sequence[str]]) -> List[Dict[str, Any]]:
    """{program, user, unit, package, command, of, listeners} of every process that is not left out, one for each program, user, unit and owner, sorted.

    :param worker_of: names of the services to which a (command, directory, user) is tied.
    """
    found: Dict[Tuple[str, ...], Dict[str, Any]] = {}
    for process in sorted(view.table.values(), key=lambda item: item.pid):
        if process.pid in left_out or process.pid == 1 or _personal(view, process) or _is_starting(view, process):
            continue
        if process.pid not in view.of and _is_job(view, process):
            continue
        unit, user = process.unit, _evidence_host.user_name(process.uid)
        listeners = view.listens(process)
        package = view.package(process)
        of = view.of.get(process.pid)
        if of is None and process.ended:
            continue
        above = view.table.get(process.parent)
        same = above is not None and above.pid != 1 and above.unit == unit and above.pid not in left_out
        stands = above is not None and (package or not view.is_package(above) if unit else view.of.get(above.pid) is None)
        if of is None and same and not listeners and stands:
            continue  # its parent stands for it
        if of is None and not view.is_package(process):
            tied = worker_of(" ".join(process.argv), process.cwd, user)
            of = ("worker", tied[0]) if len(tied) == 1 else None
        key = (view.program(process).label, user, unit, *(of or ()))
        item = found.setdefault(key, {"program": key[0], "user": user, "unit": unit, "package": package, "unit_package": view.unit_package(process),
                                      "command": redact(" ".join(process.argv))[:200], "of": list(of or ()), "listeners": []})
        item["listeners"] = sorted(set(item["listeners"]) | {address for address in listeners if not address[5:].startswith(_TEMPORARY)})
    return [found[key] for key in sorted(found)]
