# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two places in which nginx can run: its systemd unit on the host, and a container. Each step looks first."""

from __future__ import annotations

import contextlib
import glob
import os
import resource
import stat
from abc import ABC, abstractmethod
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import find_container, remove_container
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until
from ansible_collections.gantry.webstack.plugins.module_utils.edge import _handover, _image, _masters
from ansible_collections.gantry.webstack.plugins.module_utils.edge._mounts import Mount
from ansible_collections.gantry.webstack.plugins.module_utils.move import _container_config, _seam
from ansible_collections.gantry.webstack.plugins.module_utils.move._host_stack import read

DOCKER = "/usr/bin/docker"
OFFER = os.path.join(_paths.EDGE_RUN, _handover.OFFER)
ENTER = os.path.join(_paths.service_state(_paths.EDGE), "enter.py")
START_SECONDS = 60
CAPABILITIES = ["NET_BIND_SERVICE", "SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE"]
"""Ports below 1024; workers of another user; logs, caches and temporary directories that belong to that user, and keys that belong to others."""

_SECOND = 1000000000
_PIDS = 4096


class Nginx(NamedTuple):
    """How the host's nginx is started: ``arguments`` stand behind ``binary``, ``pid_file`` is what its configuration says."""

    unit: str
    binary: str
    arguments: List[str]
    config: str
    pid_file: str


class Side(ABC):
    """Where nginx runs or could run."""

    words: str

    @abstractmethod
    def master(self) -> int:
        """The PID of its master; 0 when it does not run there."""

    @abstractmethod
    def start(self, sockets: List[int]) -> None:
        """Start it with these listening sockets. Raises WebstackError."""

    @abstractmethod
    def stop(self) -> None:
        """End it at once; whatever it had to answer is answered."""

    def serves(self) -> bool:
        """Does it take connections?"""
        return _masters.serves(self.master())


class HostSide(Side):
    """The unit. While a container serves, a drop-in has the unit stand for the container: started, reloaded and stopped, it does that to it."""

    words = "nginx on the host"

    def __init__(self, nginx: Nginx) -> None:
        self.nginx = nginx

    @property
    def drop_in(self) -> str:
        """What has the unit stand for the container."""
        return "/etc/systemd/system/%s.d/%s" % (self.nginx.unit, _paths.EDGE_DROP_IN)

    @property
    def way_back(self) -> str:
        """What has the unit take nginx's sockets back; gone after a boot."""
        return "/run/systemd/system/%s.d/60-webstack-edge.conf" % self.nginx.unit

    def master(self) -> int:
        pid = _processes.main_pid(self.nginx.unit)
        return pid if pid and _masters.is_master(pid) else 0

    def start(self, sockets: List[int]) -> None:
        nginx = self.nginx
        if not sockets:
            self.stands_for(None)
            run(["systemctl", "start", nginx.unit])
            return
        _journal.write_private(ENTER, _image.program(), 0o600)
        own_pid_file(nginx.pid_file)
        command = [_image.interpreter(), ENTER, "start", OFFER, nginx.pid_file, str(START_SECONDS), "--", nginx.binary, *nginx.arguments]
        text = "[Service]\nType=forking\nPIDFile=%s\nTimeoutStartSec=%d\nExecReload=\nExecReload=%s\n" % (
            nginx.pid_file, 2 * START_SECONDS, " ".join(map(quoted, command)))
        _written(self.way_back, text)
        run(["systemctl", "daemon-reload"])
        if _processes.unit_properties(nginx.unit, "ActiveState").get("ActiveState") != "active":
            run(["systemctl", "start", nginx.unit])  # it stands for the container that runs
        with _handover.Offer(OFFER) as offer:
            run(["systemctl", "reload", "--no-block", nginx.unit])
            offer.give(sockets, START_SECONDS, lambda: None)
            if not until(self.serves, START_SECONDS):
                raise WebstackError("nginx did not come up on the host within %d s: see journalctl -u %s and its error log" % (START_SECONDS, nginx.unit))

    def stop(self) -> None:
        if self.master():
            _masters.kill(self.master())

    def stands_for(self, container: Optional[str]) -> None:
        """Have the unit stand for a container, or for itself again."""
        changed = _journal.remove_file(self.way_back) if container is None or self.master() else False
        if container is None:
            changed = _journal.remove_file(self.drop_in) or changed
        else:
            changed = _written(self.drop_in, self._text(container)) or changed
        if changed:
            run(["systemctl", "daemon-reload"])

    def _text(self, container: str) -> str:
        test = [DOCKER, "exec", container, self.nginx.binary, *self.nginx.arguments, "-t", "-q"]
        return ("# Written by gantry.webstack: nginx runs in a container, and this unit stands for it.\n[Unit]\nWants=docker.service\nAfter=docker.service\n"
                "[Service]\nType=oneshot\nRemainAfterExit=yes\nRestart=no\nPIDFile=\nSuccessExitStatus=SIGKILL\nTimeoutStopSec=90\n"
                "ExecStartPre=\nExecStart=\nExecStart=%s start %s\nExecStartPost=\nExecReload=\nExecReload=%s\nExecReload=%s kill --signal=HUP %s\n"
                "ExecStop=\nExecStop=%s stop %s\nExecStopPost=\n" % (DOCKER, container, " ".join(map(quoted, test)), DOCKER, container, DOCKER, container))


class ContainerSide(Side):
    """One container of nginx, by all that it is made of."""

    words = "nginx in its container"

    def __init__(self, client: Any, slot: str, nginx: Nginx) -> None:
        self.client, self.slot, self.nginx = client, slot, nginx

    image = interpreter = ""
    mounts: Sequence[Mount] = ()
    limits: Sequence[Mapping[str, Any]] = ()
    """What it is made of; set where it may have to be made."""

    @property
    def name(self) -> str:
        """The container's name; no service's can begin so."""
        return "webstack.edge-" + self.slot

    def container(self) -> Any:
        """The container (docker Container), or None."""
        return find_container(self.client, self.name)

    def master(self) -> int:
        container = self.container()
        pid = container.attrs["State"]["Pid"] if container is not None and container.attrs["State"]["Running"] else 0
        return pid if pid and _masters.is_master(pid) else 0

    def start(self, sockets: List[int]) -> None:
        self.stop()
        os.makedirs(_paths.RUN_DIR, mode=0o755, exist_ok=True)
        os.makedirs(_paths.EDGE_RUN, mode=0o700, exist_ok=True)
        with _handover.Offer(OFFER) as offer:
            self.client.containers.run(self.image, self.command(), name=self.name, labels={_image.LABEL: "nginx", _paths.LABEL + ".slot": self.slot},
                                       network_mode="host", healthcheck=self._health(), **self.confinement())
            offer.give(sockets, START_SECONDS, self._ended)
            if not until(lambda: self.serves() or self._ended() is not None, START_SECONDS) or not self.serves():
                raise WebstackError(self._ended() or "nginx in its container has no workers after %d s" % START_SECONDS)

    def command(self) -> List[str]:
        """What the container runs."""
        return [self.interpreter, _image.ENTER, "run", OFFER, "--", self.nginx.binary, *self.nginx.arguments]

    def confinement(self) -> Dict[str, Any]:
        """What it may, and what it sees."""
        covered = any(mount.path == "/tmp" for mount in self.mounts)
        return {
            "detach": True, "user": "0:0", "read_only": True, "cap_drop": ["ALL"], "cap_add": CAPABILITIES, "security_opt": ["no-new-privileges"],
            "pid_mode": "host", "pids_limit": _PIDS, "tmpfs": {} if covered else {"/tmp": "mode=1777"}, "ulimits": list(self.limits),
            "mounts": [{"Type": "bind", "Source": mount.path, "Target": mount.path, "ReadOnly": mount.read_only} for mount in self.mounts],
            "log_config": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}}, "stop_signal": "SIGQUIT"}

    def _health(self) -> Dict[str, Any]:
        return {"test": ["CMD", self.interpreter, "-I", "-S", _image.ENTER, "health", _paths.EDGE_PID],
                "interval": 30 * _SECOND, "timeout": 15 * _SECOND, "start_period": 30 * _SECOND, "retries": 3}

    def _ended(self) -> Optional[str]:
        container = self.container()
        if container is not None and container.attrs["State"]["Running"]:
            return None
        log = container.logs(tail=20).decode("utf-8", "replace").strip().splitlines() if container is not None else []
        return "nginx's container ended with code %s: %s" % (container.attrs["State"]["ExitCode"] if container is not None else "-", (log or ["no word"])[-1])

    def stop(self) -> None:
        container = self.container()
        if container is not None:
            remove_container(container)

    def keep(self) -> None:
        """Have the engine start it after a boot and when it has ended."""
        container = self.container()
        if container is not None and container.attrs["HostConfig"]["RestartPolicy"]["Name"] != "unless-stopped":
            container.update(restart_policy={"Name": "unless-stopped"})


def containers(client: Any) -> List[str]:
    """The slots of nginx's containers on this host, running or not."""
    listed = client.containers.list(all=True, filters={"label": _image.LABEL})
    return sorted(item.labels.get(_paths.LABEL + ".slot", "") for item in listed)


def open_files(pid: int, wanted: int) -> List[Dict[str, Any]]:
    """As many files as the running master may have open, and what ``worker_rlimit_nofile`` wants."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    found = _container_config.open_files(read("/proc/%d/limits" % pid), most)
    return [dict(item, hard=min(max(item["hard"], wanted), most)) for item in found]


def quoted(word: str) -> str:
    """One argument in a unit's command line (systemd.service(5), systemd.syntax(7))."""
    return '"%s"' % word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")


def _written(path: str, text: str) -> bool:
    if os.path.exists(path) and read(path) == text:
        return False
    os.makedirs(os.path.dirname(path), exist_ok=True)
    _journal.replace_file(path, text, 0o644)
    return True


def own_pid_file(path: str, pid: int = 0) -> None:
    """nginx's PID file is a file again, with ``pid`` or the same as before: the host's nginx would write through the link into its container's."""
    if os.path.islink(path):
        _journal.replace_file(path, "%d\n" % pid if pid else read(path) if os.path.exists(path) else "", 0o644)


def link_pid_file(path: str) -> None:
    """Whoever signals nginx by its PID file reaches the one in the container, also after this starts anew."""
    if not _seam.links_to(path, _paths.EDGE_PID):
        _seam.link(path, _paths.EDGE_PID)


TMPFILES = _paths.tmpfiles_conf("edge", "nginx")


def keep_places(mounts: Sequence[Mount], pid_file: str) -> None:
    """After a boot, what is mounted from /run is there before the engine is; and it stays while units come and go."""
    lines = ["# Written by gantry.webstack: nginx runs in a container.", "d %s 0755 root root -" % _paths.RUN_DIR, "d %s 0700 root root -" % _paths.EDGE_RUN]
    ours = [mount.path for mount in mounts if mount.path.startswith("/run/") and os.path.isdir(mount.path) and not mount.path.startswith(_paths.RUN_DIR)]
    for path in ours:
        info = os.stat(path)
        lines.append("d %s %04o %d %d -" % (path, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid))
    lines.append("L+ %s - - - - %s" % (pid_file, _paths.EDGE_PID))
    _written(TMPFILES, "\n".join(lines) + "\n")
    wanted = {"/etc/systemd/system/%s.d/%s" % (unit, _paths.EDGE_DROP_IN) for unit, directories in _runtime_directories().items()
              if any("/run/" + name == path or ("/run/" + name).startswith(path + "/") for name in directories for path in ours)}
    written = [path for path in sorted(wanted) if _written(path, PRESERVE)]
    if _forget_preserved(wanted) or written:
        run(["systemctl", "daemon-reload"])


PRESERVE = "# Written by gantry.webstack: nginx's container sees sockets in this directory.\n[Service]\nRuntimeDirectoryPreserve=yes\n"


def _runtime_directories() -> Dict[str, List[str]]:
    """The directories below /run that systemd makes for units, and removes with them."""
    text = run(["systemctl", "show", "*.service", "--property=Id,RuntimeDirectory"]).stdout
    found: Dict[str, List[str]] = {}
    for block in text.split("\n\n"):
        known = dict(line.partition("=")[::2] for line in block.splitlines())
        if known.get("RuntimeDirectory"):
            found[known["Id"]] = known["RuntimeDirectory"].split()
    return found


def _forget_preserved(but: "set[str]") -> bool:
    gone = [path for path in glob.glob("/etc/systemd/system/*.service.d/" + _paths.EDGE_DROP_IN) if path not in but and read(path) == PRESERVE]
    for path in gone:
        _journal.remove_file(path)
    return bool(gone)


def forget_places() -> None:
    """The opposite of ``keep_places``."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(TMPFILES)
    if _forget_preserved(set()):
        run(["systemctl", "daemon-reload"])
