# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running uWSGI instances and what keeps them: emperors with their vassals, systemd units, something else."""

from __future__ import annotations

import glob
import os
import re
import subprocess
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths, _unit_text
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process, Sockets, tree
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _uwsgi_config

_PROPERTIES = ("Id", "FragmentPath", "SourcePath", "Environment", "EnvironmentFiles", "WorkingDirectory", "MainPID", "StateDirectory", "CacheDirectory",
               "LogsDirectory", "ReadWritePaths", "TriggeredBy", "ExecStart")
_FIRST_FILE = ("ini", "xml", "xmlconfig", "yaml", "yml", "json", "js", "config", "inherit", "include")


@dataclass
class Instance:
    """One uWSGI master. ``start`` is the directory it was started in; ``kind`` is emperor, unit or nothing."""

    master: Process
    processes: List[Process]
    config: _uwsgi_config.Config
    start: str
    kind: str = ""
    unit: str = ""
    vassal: str = ""
    reason: str = ""
    emperor: Optional[Process] = None
    blind: List[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The vassal's or the unit's name; the configuration file's where neither is there."""
        source = os.path.basename(self.vassal or self.config_file or "")
        stem = self.unit[:-len(".service")] if self.kind == "unit" else source.rsplit(".", 1)[0]
        return re.sub(r"[^A-Za-z0-9_.-]", "-", stem).lstrip("._-")[:63] or "uwsgi-%s" % os.path.basename(self.start.rstrip("/") or "root")

    @property
    def config_file(self) -> Optional[str]:
        """The first file of its configuration."""
        return next(iter(self.config.files), None)

    @property
    def worker(self) -> Process:
        """A process that serves requests: the last descendant, or the master when it works alone."""
        workers = [process for process in self.processes if process.parent == self.master.pid]
        return workers[0] if workers else self.master


def is_uwsgi(process: Process) -> bool:
    """By the binary: the distribution's, one in a venv, one under another name that started as uwsgi, or pyuwsgi inside a Python."""
    return os.path.basename(process.exe).startswith("uwsgi") or bool(process.argv) and os.path.basename(process.argv[0]).startswith("uwsgi") \
        or _script(process) is not None


def _script(process: Process) -> Optional[str]:
    """The script uwsgi (or pyuwsgi) that a Python runs: pyuwsgi is an extension module of it."""
    words = [word for word in process.argv[1:2] if not word.startswith("-")]
    if not re.fullmatch(r"(python|pypy)[\d.]*", os.path.basename(process.exe)) or not words:
        return None
    return words[0] if os.path.basename(words[0]) in ("uwsgi", "pyuwsgi") else None


def program(process: Process) -> str:
    """What was started: the binary, or pyuwsgi's script."""
    script = _script(process)
    return os.path.normpath(os.path.join(process.cwd, script)) if script else process.exe


def masters(table: Dict[int, Process]) -> List[Process]:
    """Masters: uWSGI processes that no other one forked. A vassal was started by its emperor through a pipe of its own."""
    found = []
    for process in sorted(table.values(), key=lambda item: item.pid):
        if is_uwsgi(process):
            parent = table.get(process.parent)
            if parent is None or not is_uwsgi(parent):
                found.append(process)
            else:
                pipe = process.environ.get("UWSGI_EMPEROR_FD")
                if pipe is None and process.rewritten and "uWSGI master" in process.argv[0] and "uWSGI worker" not in parent.argv[0]:
                    found.append(process)
                elif pipe is not None and parent.environ.get("UWSGI_EMPEROR_FD") != pipe:
                    found.append(process)
    return found


def unit_properties(units: Iterable[str]) -> Dict[str, Dict[str, str]]:
    """``systemctl show`` of several units in one call; empty without systemd. Values of Environment are real: never return them."""
    names = sorted(set(units) - {""})
    if not names or not os.path.isdir("/run/systemd/system"):
        return {}
    done = subprocess.run(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), *names], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                          stdin=subprocess.DEVNULL, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}, check=False)
    return {values["Id"]: values for values in _unit_text.shown(done.stdout.decode("utf-8", "replace")) if values.get("Id")}


def manager_environment() -> Dict[str, str]:
    """What systemd gives every unit, such as LANG."""
    if not os.path.isdir("/run/systemd/system"):
        return {}
    done = subprocess.run(["systemctl", "show-environment"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                          env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}, check=False)
    return dict(line.split("=", 1) for line in done.stdout.decode("utf-8", "replace").splitlines() if "=" in line)


def instances(table: Dict[int, Process], units: Dict[str, Dict[str, str]], hostname: str, sockets: Sockets) -> Tuple[List[Instance], List[Instance]]:
    """(instances that serve, emperors)."""
    found: Dict[int, Instance] = {}
    for master in masters(table):
        unit = master.unit
        cwd = units.get(unit, {}).get("WorkingDirectory", "").lstrip("!") or "/"
        emperor = _emperor_of(table, master, found)
        if emperor is not None:
            found[master.pid] = _vassal(table, master, emperor, hostname, sockets)
            found[master.pid].emperor = emperor.master
            continue
        config = _read_config(master, cwd, hostname, _exec_start(units.get(unit, {}).get("ExecStart", "")))
        found[master.pid] = Instance(master, own_processes(table, master), config, cwd, unit=unit)
    emperors = [item for item in found.values() if is_emperor(item)]
    serving = [item for item in found.values() if not is_emperor(item)]
    for item in serving:
        if not item.vassal:
            _manager(item, units, [other for other in found.values() if other.unit == item.unit])
    return serving, emperors


def is_emperor(instance: Instance) -> bool:
    """Does its configuration make it an emperor?"""
    return bool(instance.config.all("emperor"))


def own_processes(table: Dict[int, Process], master: Process) -> List[Process]:
    """The instance's processes without those of vassals below it."""
    below = tree(table, master.pid)
    inner = {item.pid for item in masters({process.pid: process for process in below})} - {master.pid}
    foreign = {process.pid for pid in inner for process in tree(table, pid)}
    return [process for process in below if process.pid not in foreign]


def _emperor_of(table: Dict[int, Process], master: Process, found: Dict[int, Instance]) -> Optional[Instance]:
    """The emperor above a vassal; it may have forked a process of its own in between."""
    pid = master.parent
    while pid in table:
        if pid in found and is_emperor(found[pid]):
            return found[pid]
        pid = table[pid].parent
    return None


def _vassal(table: Dict[int, Process], master: Process, emperor: Instance, hostname: str, sockets: Sockets) -> Instance:
    """A vassal: the emperor starts it in its directory with the file's name (core/emperor.c)."""
    if master.rewritten:
        return _titled_vassal(table, master, emperor, hostname, sockets)
    options, _bare, _warnings = _uwsgi_config.parse_argv(_paths.as_configured(master.argv)[1:])
    names = [value for key, value in options if key in _FIRST_FILE and value]
    places = [place[len("glob://"):] if place.startswith("glob://") else place for place in emperor.config.all("emperor")]
    for place in places:
        directory = os.path.normpath(os.path.join(emperor.start, place))
        # with templates around it the vassal is not the first file: it is the one that lies in the emperor's directory
        for name in names:
            path = os.path.normpath(os.path.join(directory, name)) if os.path.isdir(directory) else os.path.join(emperor.start, name)
            listed = os.path.dirname(path) == directory or path in [os.path.join(emperor.start, item) for item in glob.glob(directory)]
            if listed and os.path.lexists(path):
                start = directory if os.path.isdir(directory) else emperor.start
                config = _read_config(master, start, hostname)
                return Instance(master, own_processes(table, master), config, start, kind="emperor", unit=emperor.unit, vassal=path)
    start = (names and os.path.isabs(names[0]) and os.path.dirname(names[0])) or emperor.start
    instance = Instance(master, own_processes(table, master), _read_config(master, start, hostname), start, unit=emperor.unit)
    instance.reason = "an emperor started it, but its file is not in the emperor's directory"
    return instance


def _titled_vassal(table: Dict[int, Process], master: Process, emperor: Instance, hostname: str, sockets: Sockets) -> Instance:
    """A vassal that has rewritten its command line: the file in the emperor's directory whose socket it listens on."""
    bound = {sockets.unix_listening[inode] for inode in master.inodes if inode in sockets.unix_listening}
    bound |= {sockets.tcp[inode].local for inode in master.inodes if inode in sockets.tcp and sockets.tcp[inode].listening}
    for place in emperor.config.all("emperor"):
        directory = os.path.normpath(os.path.join(emperor.start, place))
        for path in sorted(glob.glob(directory + "/*" if os.path.isdir(directory) else directory.replace("glob://", ""))):
            if path.endswith(tuple(_uwsgi_config.FORMATS)):
                config = _read_config(master, os.path.dirname(path), hostname, ["uwsgi"], os.path.basename(path))
                if bound & {os.path.join(os.path.dirname(path), _uwsgi_config.text(option)) for option in _uwsgi_config.sockets(config)} \
                        or bound & {_uwsgi_config.text(option) for option in _uwsgi_config.sockets(config)}:
                    return Instance(master, own_processes(table, master), config, os.path.dirname(path), kind="emperor", unit=emperor.unit, vassal=path)
    instance = Instance(master, own_processes(table, master), _read_config(master, emperor.start, hostname), emperor.start, unit=emperor.unit)
    instance.reason = "an emperor started it, but no file in the emperor's directory opens its socket"
    return instance


def _manager(instance: Instance, units: Dict[str, Dict[str, str]], same_unit: List[Instance]) -> None:
    """Set ``kind`` to unit for an instance that has a unit of its own, else ``reason``."""
    unit = instance.unit
    properties = units.get(unit, {})
    fragment = properties.get("FragmentPath", "")
    if not unit or not properties:
        instance.reason = "no systemd unit and no emperor keeps it"
    elif "/generator" in fragment or properties.get("SourcePath", "").startswith("/etc/init.d/"):
        instance.reason = "the init script %s keeps it, not a systemd unit of its own" % (properties.get("SourcePath") or unit)
    elif len(same_unit) > 1:
        instance.reason = "the unit %s keeps several uWSGI instances" % unit
    elif int(properties.get("MainPID") or 0) != instance.master.pid:
        instance.reason = "it is not the main process of the unit %s" % unit
    elif ".socket" in properties.get("TriggeredBy", "") or "LISTEN_FDS" in instance.master.environ:
        instance.reason = "systemd's socket activation gives it its socket"
    else:
        instance.kind = "unit"


def _exec_start(text: str) -> List[str]:
    """The command of a unit as ``systemctl show`` prints it."""
    match = re.search(r"argv\[\]=(.*?) ; ", text)
    return match.group(1).split() if match else []


def _read_config(process: Process, cwd: str, hostname: str, instead: Optional[List[str]] = None, vassal: Optional[str] = None) -> _uwsgi_config.Config:
    """The configuration by the process's command line, or ``instead`` where the process has rewritten it (auto-procname)."""
    host = _uwsgi_config.Host(hostname=hostname, realpath=os.path.realpath, is_link=os.path.islink, glob=lambda pattern: sorted(glob.glob(pattern)),
                              libyaml=any("/libyaml" in path for path in process.maps))
    argv = instead if process.rewritten and instead else _paths.as_configured(process.argv)
    config = _uwsgi_config.effective(argv, cwd, process.environ, read_text, vassal=vassal, host=host)
    if process.rewritten and not instead:
        config.warnings.append("the process has rewritten its command line")
    return config


def read_text(path: str) -> str:
    """A file's text; bytes that are not UTF-8 are kept as surrogates."""
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        return handle.read()
