# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Running uWSGI instances and what keeps them: emperors with their vassals, systemd units, something else."""

from __future__ import annotations

import functools
import glob
import os
import re
import subprocess
from collections import Counter
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Optional, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths, _unit_text
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process, Sockets, tree
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_host, _evidence_keepers, _uwsgi_config, _uwsgi_running

_PROPERTIES = ("Id", "FragmentPath", "SourcePath", "Environment", "EnvironmentFiles", "WorkingDirectory", "MainPID", "StateDirectory", "CacheDirectory",
               "LogsDirectory", "ReadWritePaths", "TriggeredBy", "ExecStart")
_LOADED = ("ini", "xml", "xmlconfig", "yaml", "yml", "json", "js", "config")
_FIRST_FILE = (*_LOADED, "inherit", "include")


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
    program: Optional[_evidence_keepers.Program] = None
    listening: Set[str] = field(default_factory=set)
    """Addresses at which its master listens: paths and HOST:PORT."""
    inherited: List[str] = field(default_factory=list)
    """Those of them that no option names and that speak the uwsgi protocol."""
    shared: Set[str] = field(default_factory=set)
    """Files of its configuration that others read too."""
    given: str = ""
    """Who opens its socket for it; empty when it does so itself."""
    activated: List[str] = field(default_factory=list)
    """The systemd socket units that start it."""
    blind: List[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The vassal's or the unit's name, of a template's unit the instance's; the configuration file's where neither is there."""
        source = self.program.name + ".program" if self.program else os.path.basename(self.config_file or "")
        unit = self.unit[:-len(".service")]
        stem = (unit.partition("@")[2] or unit) if self.kind == "unit" else source.rsplit(".", 1)[0]
        return re.sub(r"[^A-Za-z0-9_.-]", "-", stem).lstrip("._-")[:63] or "uwsgi-%s" % os.path.basename(self.start.rstrip("/") or "root")

    @property
    def config_file(self) -> Optional[str]:
        """The vassal's file; else the last configuration file that its command line names, since distributions put their own before it."""
        named = [path for option in self.config.exported if option.source_file == _uwsgi_config.COMMAND_LINE and option.key in _LOADED
                 for path in self.config.files if path == os.path.normpath(os.path.join(self.start, _uwsgi_config.text(option).partition(":")[0]))]
        return self.vassal or next(iter(named[::-1]), None) or next(iter(self.config.files), None)

    @property
    def worker(self) -> Process:
        """A process that serves requests, or the master when it works alone. A spooler is none: it runs in its own directory (core/spooler.c)."""
        workers = [process for process in self.processes if process.parent == self.master.pid]
        spools = {os.path.realpath(os.path.join(self.start, value)) for value in self.config.all("spooler", "spooler-external", "Q")}
        return next((process for process in workers if not spools or process.cwd not in spools), (workers or [self.master])[0])


def is_uwsgi(process: Process) -> bool:
    """By the binary: the distribution's, one in a venv, one under another name that started as uwsgi, or pyuwsgi inside a Python."""
    return os.path.basename(process.exe).startswith("uwsgi") or bool(process.argv) and os.path.basename(process.argv[0]).startswith("uwsgi") \
        or _script(process) is not None or _is_titled_module(process)


def _is_titled_module(process: Process) -> bool:
    """A Python that has given itself one of uWSGI's titles, with pyuwsgi's extension module inside."""
    return process.rewritten and "uWSGI" in process.argv[0] and any(re.match(r"(py)?uwsgi\.", os.path.basename(path)) for path in process.maps)


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


def instances(table: Dict[int, Process], units: Dict[str, Dict[str, str]], hostname: str, sockets: Sockets,
              passed: Iterable[str] = ()) -> Tuple[List[Instance], List[Instance]]:
    """(instances that serve, emperors); one that does both is in both.

    :param passed: addresses to which nginx speaks the uwsgi protocol
    """
    found: Dict[int, Instance] = {}
    for master in masters(table):
        emperor = _emperor_of(table, master, found)
        if emperor is not None:
            found[master.pid] = _vassal(table, master, emperor, hostname, sockets)
            found[master.pid].emperor = emperor.master
        else:
            found[master.pid] = _standing_alone(table, master, units, hostname, sockets)
        found[master.pid].listening = _listening(master, sockets)
        _uwsgi_running.tell(found[master.pid].config, _told(found[master.pid]))
    emperors = [item for item in found.values() if is_emperor(item)]
    serving = [item for item in found.values() if not is_emperor(item) or _uwsgi_config.sockets(item.config)]
    readers = Counter(path for item in found.values() for path in item.config.files)
    for item in serving:
        item.shared = {path for path in item.config.files if readers[path] > 1}
        if not item.vassal and not item.reason:
            _manager(item, units, table, [other for other in found.values() if other.unit == item.unit and not other.emperor])
        if item.reason:
            item.kind = ""
        unnamed = _uwsgi_running.inherited(item.config, item.start, item.listening)
        own = not item.given or (item.config.last("protocol", "socket-protocol") or "uwsgi") != "uwsgi"
        item.inherited = [address for address in unnamed if not own or any(_uwsgi_running.same(address, other) for other in passed)]
        if len(item.activated) == len(item.inherited) == 1:  # one socket unit, which can be stopped and started with the service
            item.kind, item.reason, item.given = "unit", "", ""
    return serving, emperors


def _standing_alone(table: Dict[int, Process], master: Process, units: Dict[str, Dict[str, str]], hostname: str, sockets: Sockets) -> Instance:
    """An instance without an emperor, read in the directory that its unit, its supervisor or its shell started it in."""
    supervisor = _evidence_keepers.supervisor_of(table, master)
    if supervisor:
        return _supervised(table, master, supervisor, hostname, sockets)
    properties = {} if master.user_manager else units.get(master.unit, {})
    directory = properties.get("WorkingDirectory", "").lstrip("!-")
    home = _evidence_host.home(master.uid)
    if directory == "~" or not directory and master.user_manager:
        directory = home or "/"
    command = exec_start(properties.get("ExecStart", ""))
    start = directory or (master.cwd if not properties else "") or "/"
    config = _read_config(master, start, hostname, command)
    if not properties and config.all("chdir") and not master.rewritten:
        start = master.environ.get("PWD", start)  # it has left the directory in which it was started
        config = _read_config(master, start, hostname, command)
    return Instance(master, own_processes(table, master), config, start, unit=master.unit)


def _supervised(table: Dict[int, Process], master: Process, supervisor: Tuple[str, Process], hostname: str, sockets: Sockets) -> Instance:
    """An instance that a supervisor keeps; a program of supervisor is known by its name, its command line, or the socket it listens at."""
    bound = _listening(master, sockets)
    found = Instance(master, own_processes(table, master), _uwsgi_config.Config(), supervisor[1].cwd or "/", unit=master.unit)
    for item in _evidence_keepers.candidates(supervisor[1], master, read_text) if supervisor[0] == "supervisor" else []:
        start = item.directory or found.start
        config = _read_config(master, start, hostname, item.command)
        opened = {_uwsgi_running.address(_uwsgi_config.text(option), start) for option in _uwsgi_config.sockets(config)} | {item.address}
        if not master.rewritten or bound & opened:
            found.config, found.start, found.program = config, start, item
            break
    else:
        found.config = _read_config(master, found.start, hostname)
    found.reason = _evidence_keepers.kept_by(supervisor[0], found.program)
    found.given = found.reason if found.program and found.program.socket else ""
    return found


def _told(instance: Instance) -> Dict[str, str]:
    """Options whose values can be seen at the processes."""
    worker, unnamed = instance.worker, _uwsgi_running.inherited(instance.config, instance.start, instance.listening)
    children = sum(process.parent == instance.master.pid and process.exe == instance.master.exe for process in instance.processes)
    told = {"chdir": worker.cwd, "uid": _evidence_host.user_name(worker.uid), "gid": _evidence_host.group_name(worker.gid)}
    if children and instance.config.flag("master"):
        told.update(processes=str(children), workers=str(children))
    if len(unnamed) == 1:
        told.update(dict.fromkeys(_uwsgi_config.SOCKET_KEYS, unnamed[0]))
    return told


def _listening(master: Process, sockets: Sockets) -> Set[str]:
    """Where it listens; a socket that has been renamed over its seam since is at the seam."""
    found = {sockets.tcp[inode].local for inode in master.inodes if inode in sockets.tcp and sockets.tcp[inode].listening}
    return found | set(_paths.as_configured([sockets.unix_listening[inode] for inode in master.inodes if inode in sockets.unix_listening]))


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


def _directories(emperor: Instance) -> List[Tuple[str, List[str]]]:
    """(directory in which vassals start, their files) of each place an emperor watches: a directory, or a pattern (core/emperor.c emperor_build_scanners)."""
    found = []
    for place in emperor.config.all("emperor"):
        scheme, _sign, rest = place.rpartition("://")
        path = os.path.join(emperor.start, rest)
        if scheme in ("", "dir") and os.path.isdir(path):
            directory = os.path.realpath(path)
            found.append((directory, [name for name in sorted(glob.glob(glob.escape(directory) + "/*")) if not os.path.isdir(name)]))
        elif scheme in ("", "glob"):
            found.append((emperor.start, [name for name in sorted(glob.glob(path)) if not os.path.isdir(name)]))
    return found


def _vassal(table: Dict[int, Process], master: Process, emperor: Instance, hostname: str, sockets: Sockets) -> Instance:
    """A vassal: the emperor starts it in its directory with the file's name (core/emperor.c)."""
    if master.rewritten:
        return _titled_vassal(table, master, emperor, hostname, sockets)
    options, _bare, _warnings = _uwsgi_config.parse_argv(_paths.as_configured(master.argv)[1:])
    names = [value for key, value in options if key in _FIRST_FILE and value]
    for start, files in _directories(emperor):
        # with templates around it the vassal is not the first file: it is the one that the emperor watches
        for name in names:
            path = os.path.normpath(os.path.join(start, name))
            if path in files:
                config = _read_config(master, start, hostname)
                return Instance(master, own_processes(table, master), config, start, kind="emperor", unit=emperor.unit, vassal=path)
    start = (names and os.path.isabs(names[0]) and os.path.dirname(names[0])) or emperor.start
    instance = Instance(master, own_processes(table, master), _read_config(master, start, hostname), start, unit=emperor.unit)
    instance.reason = _no_file(emperor, "its file is not in a place that the emperor watches")
    return instance


def _no_file(emperor: Instance, otherwise: str) -> str:
    """Why no file can be told to be a vassal's."""
    other = [place.split("://")[0] for place in emperor.config.all("emperor") if re.match(r"(?!dir|glob)[a-z]\w*://", place)]
    if other:
        return "its emperor takes vassals from %s, not from files" % " and ".join(other)
    return "an emperor started it, but %s" % otherwise


def _titled_vassal(table: Dict[int, Process], master: Process, emperor: Instance, hostname: str, sockets: Sockets) -> Instance:
    """A vassal that has rewritten its command line: the file among those that the emperor watches whose socket it listens on."""
    bound = _listening(master, sockets)
    for start, files in _directories(emperor):
        for path in files:
            if path.endswith(tuple(_uwsgi_config.FORMATS)):
                name = os.path.basename(path) if os.path.dirname(path) == start else path
                config = _read_config(master, start, hostname, vassal_command(emperor.config, name))
                if bound & {_uwsgi_running.address(_uwsgi_config.text(option), start) for option in _uwsgi_config.sockets(config)}:
                    return Instance(master, own_processes(table, master), config, start, kind="emperor", unit=emperor.unit, vassal=path)
    instance = Instance(master, own_processes(table, master), _read_config(master, emperor.start, hostname), emperor.start, unit=emperor.unit)
    instance.reason = _no_file(emperor, "no file that the emperor watches opens its socket")
    return instance


def vassal_command(emperor: _uwsgi_config.Config, name: str) -> List[str]:
    """The command line by which an emperor starts a vassal (core/emperor.c vassal_new_argv)."""
    words = ["uwsgi"]

    def add(option: str, *keys: str) -> None:
        for value in emperor.all(*keys):
            words.extend(["--" + option, value])

    add("inherit", "vassals-inherit-before")
    add("include", "vassals-include-before")
    add("set", "vassals-set", "vassal-set")
    words += ["--" + next((kind for end, kind in _uwsgi_config.FORMATS.items() if name.endswith(end)), "inherit"), name]
    add("inherit", "vassals-inherit")
    add("include", "vassals-include")
    return words


def _manager(instance: Instance, units: Dict[str, Dict[str, str]], table: Dict[int, Process], same_unit: List[Instance]) -> None:
    """Set ``kind`` to unit for an instance that has a unit of its own, else ``reason``."""
    unit, master = instance.unit, instance.master
    properties = units.get(unit, {})
    fragment = properties.get("FragmentPath", "")
    sockets = [name for name in properties.get("TriggeredBy", "").split() if name.endswith(".socket")]
    if is_emperor(instance):
        instance.reason = "it is an emperor too, which starts vassals"
    elif master.user_manager:
        instance.reason = "the own systemd of user %s keeps it (%s)" % (_evidence_host.user_name(int(master.user_manager)), unit)
    elif not unit or not properties:
        instance.reason = "no systemd unit and no emperor keeps it"
    elif "/generator" in fragment or properties.get("SourcePath", "").startswith("/etc/init.d/"):
        instance.reason = "the init script %s keeps it, not a systemd unit of its own" % (properties.get("SourcePath") or unit)
    elif len(same_unit) > 1:
        instance.reason = "the unit %s keeps several uWSGI instances" % unit
    elif int(properties.get("MainPID") or 0) != master.pid:
        instance.reason = "it is not the main process of the unit %s" % unit
    elif sockets or "LISTEN_FDS" in master.environ:
        instance.activated = sockets
        instance.reason = instance.given = "systemd's socket activation gives it its socket%s" % (" (%s)" % ", ".join(sockets) if sockets else "")
    else:
        instance.kind = "unit"


def exec_start(text: str) -> List[str]:
    """The command of a unit as ``systemctl show`` prints it."""
    match = re.search(r"argv\[\]=(.*?) ; ", text)
    return match.group(1).split() if match else []


def _read_config(process: Process, cwd: str, hostname: str, instead: Optional[List[str]] = None) -> _uwsgi_config.Config:
    """The configuration by the process's command line, or ``instead`` where the process has rewritten it (auto-procname)."""
    argv = instead if process.rewritten and instead else _paths.as_configured(process.argv)
    host = _uwsgi_config.Host(hostname=hostname, realpath=os.path.realpath, is_link=os.path.islink, glob=lambda pattern: sorted(glob.glob(pattern)),
                              inode=_inode, libyaml=any("/libyaml" in path for path in process.maps))

    def read(magic: Dict[str, str]) -> _uwsgi_config.Config:
        host.magic = magic
        return _uwsgi_config.effective(argv, cwd, process.environ, read_text, host=host)

    magic = {"b": program(process), "k": str(os.sysconf("SC_NPROCESSORS_ONLN")), **_identity(process.uid, process.gid)}
    config = read(magic)
    letters = config.letters
    if letters & set("uUgG") and config.all("uid", "immediate-uid"):
        magic.update(_identity(0, 0))  # only root could become somebody else
        config = read(magic)
    if "V" in letters and version(program(process), process.uid, process.gid):
        config = read({**magic, "V": version(program(process), process.uid, process.gid)})
    if process.rewritten and not instead:
        config.warnings.append("the process has rewritten its command line")
    return config


def _identity(uid: int, gid: int) -> Dict[str, str]:
    """Placeholders of who starts it."""
    return {"u": str(uid), "U": _evidence_host.user_name(uid), "g": str(gid), "G": _evidence_host.group_name(gid)}


def _inode(path: str) -> Optional[int]:
    try:
        return os.lstat(path).st_ino
    except OSError:
        return None


def version(binary: str, uid: int, gid: int) -> str:
    """What ``--version`` prints, as the user it serves: 2.0.21-debian. One that only root can change says the same to everybody."""
    return _version(binary, *((0, 0) if _evidence_host.trusted(binary) else (uid, gid)))


@functools.lru_cache(maxsize=None)
def _version(binary: str, uid: int, gid: int) -> str:
    rc, out, _err = _evidence_host.as_owner([binary, "--version"], uid, gid)
    match = re.search(r"\d+\.\d+\S*", out) if rc == 0 else None
    return match.group() if match else ""


def read_text(path: str) -> str:
    """A file's text; bytes that are not UTF-8 are kept as surrogates."""
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        return handle.read()
