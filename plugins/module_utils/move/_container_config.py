# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service definition as a container: its uWSGI configuration option by option, its mounts, its network. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import packet, speaks_http
from ansible_collections.gantry.webstack.plugins.module_utils.discover._uwsgi_config import HTTP_KEYS
from ansible_collections.gantry.webstack.plugins.module_utils.install._secret_files import DOLLAR
from ansible_collections.gantry.webstack.plugins.module_utils.move import _beside, _held, _volumes

CONFIG = "/etc/webstack/uwsgi.ini"
"""Where the container finds its uWSGI configuration."""

SECRETS = "/etc/webstack/secrets.ini"
"""Where the container finds environment variables that are secret."""

_OUTSIDE = "the container has its own socket, user and life; the host's setting does not apply in it"
_LOGS = "logs go to a file of the container's own where the host's went to one, else to standard output; they are rotated by size there"
_FROZEN = "the image does not change under a running service"
DROPPED: Dict[str, str] = {
    **dict.fromkeys(("socket", "uwsgi-socket", "s", *HTTP_KEYS, "chown-socket", "chmod-socket", "C", "vacuum"), "the seam: " + _OUTSIDE),
    **dict.fromkeys(("uid", "gid", "add-gid", "additional-gid", "cap", "chroot", "unshare", "cgroup", "cgroup-opt"), "the engine sets these: " + _OUTSIDE),
    **dict.fromkeys(("daemonize", "daemonize2", "d", "pidfile", "pidfile2", "safe-pidfile", "safe-pidfile2"), "the engine keeps the process: " + _OUTSIDE),
    **dict.fromkeys(("logto", "logto2", "log-syslog", "rsyslog", "log-maxsize", "log-backupname", "log-reopen", "log-truncate", "logfile-chown",
                     "logfile-chmod", "logger", "req-logger", "log-encoder", "log-req-encoder"), _LOGS),
    **dict.fromkeys(("touch-reload", "touch-workers-reload", "touch-chain-reload", "touch-logreopen", "touch-logrotate", "fs-reload", "fs-brutal-reload",
                     "py-autoreload", "py-auto-reload", "python-autoreload"), _FROZEN),
    **dict.fromkeys(("stats", "stats-server", "stats-http", "stats-push", "master-fifo"), "a socket of the host's instance: " + _OUTSIDE),
    **dict.fromkeys(("die-on-term", "exit-on-reload", "hook-master-start"), "SIGTERM lets requests in flight finish, then ends the container"),
    **dict.fromkeys(("master", "M", "need-app", "env"), "always set for a container, or given apart"),
    **dict.fromkeys(("ini", "inherit", "include", "emperor", "emperor-tyrant", "auto-procname", "procname-prefix-spaced"), "already resolved"),
}
"""Options that are not taken over, each with the reason. Everything else is."""


class Mount(NamedTuple):
    """A bind mount: the same path on both sides unless ``target`` says otherwise. ``volume`` has its content once the service's state has moved there."""

    source: str
    target: str
    read_only: bool
    volume: str = ""


def _text(value: Any) -> str:
    return {True: "true", False: "false"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def ini(options: Sequence[Tuple[str, str]]) -> str:
    """A uWSGI ini file of one section whose values stand for themselves: ``%`` is doubled, and ``$(`` comes from a variable of ours."""
    lines = ["%s = %s\n" % (key, value.replace("%", "%%").replace("$(", "%%(" + DOLLAR + ")(")) for key, value in options]
    return "[uwsgi]\n" + ("%s = $\n" % DOLLAR if any("%%(" + DOLLAR in line for line in lines) else "") + "".join(lines)


LOG_FILE = 10000000
"""Bytes after which a container's log is renamed, over the one before; it has two such files at most."""


def logs_to_file(service: Mapping[str, Any]) -> bool:
    """Does the container write its log to a file, as the host's instance does or as the plan says?

    The engine reads each line from a pipe: a line for each request took 40 % of a small service's
    requests at saturation (docs/benchmarks.md).
    """
    options = service.get("uwsgi", {}).get("options", {})
    values = [value for key in ("logger", "req-logger", "logger-req") for value in _listed(options.get(key, []))]
    files = any(key in options for key in ("logto", "logto2", "daemonize", "daemonize2", "d")) or any(str(value).startswith("file:") for value in values)
    return bool(service.get("container", {}).get("log", "file" if files else "engine") == "file")


def log_options(service: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """The options by which uWSGI writes and rotates its own log (uWSGI: options logto, log-maxsize, log-backupname)."""
    path = _paths.container_log(service["name"])
    return [("logto", path), ("log-maxsize", str(LOG_FILE)), ("log-backupname", path + ".1")] if logs_to_file(service) else []


def log_mounts(service: Mapping[str, Any]) -> List[Mount]:
    """The directory of that log."""
    directory = os.path.dirname(_paths.container_log(service["name"]))
    return [Mount(directory, directory, False)] if logs_to_file(service) else []


def _listed(value: Any) -> List[Any]:
    return value if isinstance(value, list) else [value]


def uwsgi_options(service: Mapping[str, Any], socket: str, hold: bool = False) -> List[Tuple[str, str]]:
    """The options of the container's uWSGI in order: the host's less DROPPED, and what a container needs.

    ``hold``: what it runs beside web requests waits until the host lets it begin (see _beside).
    """
    kept: List[Tuple[str, str]] = []
    for key, value in service.get("uwsgi", {}).get("options", {}).items():
        if key not in DROPPED:
            kept += [(key, _text(item)) for item in _listed(value)]
    environment = [("env", "%s=%s" % item) for item in sorted(service.get("environment", {}).items())]
    if hold:
        kept = _beside.held_back(kept, service, interpreter(service), _held.ticks(service["name"]))
    return [("master", "true"), ("need-app", "true"), *listening(service, socket), ("chmod-socket", "660"),
            ("hook-master-start", "unix_signal:15 gracefully_kill_them_all")] + kept + environment


def listening(service: Mapping[str, Any], socket: str) -> List[Tuple[str, str]]:
    """The option that opens the container's socket: of the same kind as the host's.

    A peer on a UNIX socket has no address and no port, which uWSGI shows as 0.0.0.0 and 80: an application that speaks HTTP is told those that
    it knew (uWSGI: internal routing).
    """
    uwsgi = service.get("uwsgi", {})
    kind = next((key for key in HTTP_KEYS if key in uwsgi.get("options", {})), "socket") if speaks_http(service) else "socket"
    found = [(kind, socket)]
    host, colon, port = uwsgi.get("socket", "").rpartition(":")
    if speaks_http(service) and colon and port.isdigit():
        peer = "127.0.0.1" if host in ("", "*", "0.0.0.0", "localhost") else host.strip("[]")
        found += [("route-run", "addvar:REMOTE_ADDR=%s" % peer), ("route-run", "addvar:SERVER_PORT=%s" % port)]
    return found


def mounts(service: Mapping[str, Any], config: str, secrets: Optional[str], exists: Any = os.path.exists) -> List[Mount]:
    """What the container sees of the host: its configuration, its socket directory, state, files, secrets, and sockets it needs."""
    name = service["name"]
    found = [Mount(config, CONFIG, True), Mount(_paths.service_run(name), _paths.service_run(name), False)]
    if secrets:
        found.append(Mount(secrets, SECRETS, True))
    volumes = _volumes.wanted(service)
    writable = {item["path"] for item in service.get("state", [])} - _volumes.covered(service)
    writable |= {path for path in _beside.spools(service) if not any(path.startswith(top.rstrip("/") + "/") for top in writable)}
    readable = {item["path"] for item in service.get("files", [])}
    readable |= {item["source"][len("file:"):] for item in service.get("secrets", []) if item["source"].startswith("file:")}
    for need in service.get("needs", []):
        if need["address"].startswith("unix:/"):
            readable.add(os.path.dirname(need["address"][len("unix:"):]))
    found += [Mount(path, path, False, volumes.get(path, "")) for path in sorted(writable) if exists(path)]
    found += [Mount(path, path, True) for path in sorted(readable - writable) if exists(path)]
    return found


def network(service: Mapping[str, Any]) -> str:
    """``none`` for a service that talks to nobody over TCP, ``host`` when it talks to the host's loopback, else ``bridge``."""
    hosts = [need["address"].rsplit(":", 1)[0].strip("[]") for need in service.get("needs", []) if not need["address"].startswith("unix:")]
    if any(host.startswith("127.") or host in ("::1", "localhost") for host in hosts):
        return "host"
    return "bridge" if hosts else "none"


SOMAXCONN = 4096
"""What a new network namespace allows as a listen queue since Linux 5.4 (listen(2))."""


def sysctls(service: Mapping[str, Any], net: str) -> Dict[str, str]:
    """Kernel settings of the container's own network namespace: uWSGI refuses a ``listen`` that is larger than somaxconn."""
    wanted = number(service.get("uwsgi", {}).get("options", {}), "listen")
    return {"net.core.somaxconn": str(wanted)} if wanted > SOMAXCONN and net != "host" else {}


def number(options: Mapping[str, Any], *names: str, default: int = 1) -> int:
    """What uWSGI is told of a number by the first of these options that is one."""
    return next((int(options[name]) for name in names if str(options.get(name, "")).isdigit()), default)


PIDS = 512
"""Processes and threads that a container may have at the least."""


def pids_limit(service: Mapping[str, Any]) -> int:
    """What the plan says, or room for twice the processes and threads that uWSGI is told to start, and for what the application starts beside them."""
    if "pids" in service.get("container", {}):
        return int(service["container"]["pids"])
    options = service.get("uwsgi", {}).get("options", {})
    return max(PIDS, PIDS // 2 + 2 * number(options, "processes", "workers", "p") * (number(options, "threads") + 2))


_ASK = """import base64, socket, sys
address = sys.argv[1]
host, _, port = address.rpartition(":")
peer = socket.socket(socket.AF_UNIX if address[0] == "/" else socket.AF_INET)
peer.settimeout(10)
peer.connect(address if address[0] == "/" else (host, int(port)))
peer.sendall(base64.b64decode(sys.argv[2]))
sys.exit(peer.recv(64).split()[1:2] != [sys.argv[3].encode()])
"""
"""A health check without any package: one prepared request to a UNIX socket or HOST:PORT, and the status of the answer."""

_SECOND = 1000000000  # the engine's API counts nanoseconds


def health_check(service: Mapping[str, Any], socket: str, interpreter: str) -> Dict[str, Any]:
    """``Healthcheck`` of a container: the request by which the candidate was found healthy, every 30 s."""
    health = service.get("health", {})
    asked = base64.b64encode(packet(service, health.get("path", "/"))).decode("ascii")
    return {"test": ["CMD", interpreter, "-I", "-S", "-c", _ASK, socket, asked, str(health.get("status", 200))],
            "interval": 30 * _SECOND, "timeout": 15 * _SECOND, "start_period": 60 * _SECOND, "retries": 3}


def interpreter(service: Mapping[str, Any], exists: Any = os.path.exists) -> str:
    """A Python that is in the image: the service's own."""
    python = service.get("python", {})
    found = [python["venv"] + "/bin/" + name for name in ("python3", "python")] if python.get("venv") else []
    return next((path for path in [*found, python.get("interpreter")] if path and exists(path)), "/usr/bin/python3")


def host_entries(hosts: str, net: str) -> Dict[str, str]:
    """name -> address of hosts(5) for a network of the container's own; those of the loopback would lead to the container itself. Pure."""
    found: Dict[str, str] = {}
    for line in hosts.splitlines() if net == "bridge" else []:
        words = line.partition("#")[0].split()
        if words and not words[0].startswith(("127.", "::1", "fe00:", "ff00:", "ff02:", "fe80:")):
            found.update({name: words[0] for name in words[1:] if name not in found})
    return found


def open_files(limits: str, most: int) -> List[Dict[str, Any]]:
    """``ulimits`` with the open files of /proc/PID/limits (proc(5)), and at most ``most``, which the engine may give; none when it does not tell. Pure."""
    match = re.search(r"(?m)^Max open files +(\d+) +(\d+)", limits)
    if match is None:
        return []
    hard = min(int(match.group(2)), most)
    return [{"name": "nofile", "soft": min(int(match.group(1)), hard), "hard": hard}]


def labels(service: Mapping[str, Any], image: str, name: str) -> Dict[str, str]:
    """What says which service a container is, of which image, and by which definition (sha256 of its JSON)."""
    definition = hashlib.sha256(json.dumps(service, sort_keys=True).encode()).hexdigest()
    return {_paths.LABEL + "." + key: value for key, value in (("service", service["name"]), ("slot", name), ("image", image), ("plan", definition))}


def memory(service: Mapping[str, Any]) -> Dict[str, str]:
    """The plan's memory limit, swap included, as the engine's API has it; none without one."""
    limit = service.get("container", {}).get("memory", "").lower()
    return {"mem_limit": limit, "memswap_limit": limit} if limit else {}


def slot(image: str, text: str, secrets_text: str, bound: Sequence[Mount], net: str, limits: Mapping[str, Any]) -> str:
    """The name of one exact candidate: 12 hex digits of what it is made of. The same input is the same container."""
    # Paths of the slot's own files would make the digest depend on itself.
    parts = [image, text, hashlib.sha256(secrets_text.encode()).hexdigest(), net,
             [[item.target, item.read_only, *([item.volume] if item.volume else [])] for item in bound], *([dict(limits)] if limits else [])]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]
