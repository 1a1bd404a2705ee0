# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs against what its configuration says now: files may have changed since a service read them.

uWSGI reads its configuration when it starts and when it reloads, before it forks its workers; so every worker is younger than what was read.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any, List, Mapping, Sequence, Set

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _uwsgi_config

_BIRTH = 2.0
"""Seconds by which a file must be younger than a worker: a process's birth is known to a hundredth, a file's time to a clock tick."""
_ANYWHERE = ("", "*", "0.0.0.0", "[::]")
_ON_DEMAND = ("cheap", "cheaper", "cheaper-initial", "idle", "mule", "mules", "farm", "spooler", "spooler-external", "http", "https", "http-to", "fastrouter",
              "rawrouter", "sslrouter", "attach-daemon", "emperor", "zerg", "zerg-server", "legion", "vassal-sos", "worker-exec", "worker-exec2")
"""Options with which the number of children is not the number of workers."""


@dataclass
class Running:
    """An instance as it runs: ``listening`` are its addresses, ``directory`` its workers' directory, ``children`` those of its own program,
    ``stats`` the answer of its stats socket, ``loaded`` when the oldest worker that lives was born (0: not known), ``changed`` when each file was."""

    listening: Set[str]
    directory: str = ""
    uid: int = -1
    children: int = 0
    stats: Mapping[str, Any] = field(default_factory=dict)
    loaded: float = 0.0
    changed: Mapping[str, float] = field(default_factory=dict)
    users: Mapping[str, int] = field(default_factory=dict)


def address(text: str, start: str) -> str:
    """A socket option's value as the kernel lists it: an absolute path, or HOST:PORT."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and "/" not in text:
        return "%s:%s" % ("0.0.0.0" if host in ("", "*") else host, port)
    if text.startswith("@"):
        return text
    return os.path.normpath(os.path.join(start, text))


def same(one: str, other: str) -> bool:
    """Do two addresses lead to one listener: the same path, or the same port where one of them stands for every host."""
    if one == other:
        return True
    (host, colon, port), (host2, colon2, port2) = one.rpartition(":"), other.rpartition(":")
    local = ("localhost", "[::1]")
    return bool(colon and colon2 and port == port2 and port.isdigit() and (
        host in _ANYWHERE or host2 in _ANYWHERE or {host, host2} <= {"127.0.0.1", *local}))


def named(config: _uwsgi_config.Config, start: str) -> Set[str]:
    """Every address that an option names, whatever it is for."""
    values = [part for option in config.options for part in re.split(r"[,\s=]+", _uwsgi_config.text(option)) if part]
    return {address(value, start) for value in values}


def inherited(config: _uwsgi_config.Config, start: str, listening: Set[str]) -> List[str]:
    """Addresses at which it listens though no option names them."""
    known = named(config, start)
    return sorted(item for item in listening if not any(same(item, other) for other in known))


def resolved(config: _uwsgi_config.Config, value: str) -> str:
    """The address behind ``=0``, the number of a shared socket (core/socket.c uwsgi_new_socket)."""
    shared = config.all("shared-socket", "undeferred-shared-socket")
    if re.fullmatch(r"=\d+", value) and int(value[1:]) < len(shared):
        return shared[int(value[1:])].split(",")[0]
    return value


def tell(config: _uwsgi_config.Config, told: Mapping[str, str]) -> None:
    """Put what the process tells in place of what only a command or another host would (``@(exec://...)``, ``@(http://...)``), which is never asked.

    What it does not tell stays a warning.
    """
    config.options = [option._replace(value=told[option.key]) if foreign(_uwsgi_config.text(option)) and told.get(option.key) else option
                      for option in config.options]
    left = " ".join(_uwsgi_config.text(option) for option in config.options if foreign(_uwsgi_config.text(option)))

    def answered(warning: str) -> bool:
        reference = "@(" + warning[:-len(_uwsgi_config.NOT_READ)]
        return warning.endswith(_uwsgi_config.NOT_READ) and reference not in left and any(reference in option.raw for option in config.exported)

    config.warnings = [warning for warning in config.warnings if not answered(warning)]


def foreign(text: str) -> bool:
    """Does a command or another host give this value, or a part of it?"""
    return re.search(r"@\(\w+://", text) is not None


def differences(config: _uwsgi_config.Config, start: str, running: Running) -> List[str]:
    """Sentences on what runs otherwise than the configuration says."""
    found: List[str] = []
    if not config.options:
        return found
    newer = sorted(path for path, changed in running.changed.items() if running.loaded and changed > running.loaded + _BIRTH)
    if newer:
        found.append("%s changed after the service had read %s: the plan has what stands there now; reload the service, or put back what it runs with" % (
            ", ".join(newer), "it" if len(newer) == 1 else "them"))
    return found + _sockets(config, start, running) + _processes(config, running) + _place(config, start, running)


def _sockets(config: _uwsgi_config.Config, start: str, running: Running) -> List[str]:
    wanted = {address(resolved(config, _uwsgi_config.text(option)), start) for option in _uwsgi_config.sockets(config)}
    missing = sorted(item for item in wanted if "fd:" not in item and not any(same(item, other) for other in running.listening))
    if not missing or not running.listening or any(item.endswith(":0") or "@(" in item for item in missing):
        return []
    return ["its configuration says socket %s, but the running process listens at %s" % (", ".join(missing), ", ".join(sorted(running.listening)))]


def _processes(config: _uwsgi_config.Config, running: Running) -> List[str]:
    value = config.last("processes", "workers") or "1"
    if not value.isdigit():
        return []
    wanted = max(int(value), 1)
    workers = running.stats.get("workers")
    if isinstance(workers, list) and workers:
        count = len(workers)
    elif any(config.all(key) for key in _ON_DEMAND):
        return []
    else:
        count = running.children if config.flag("master") else running.children + 1
    if count == wanted or not count:
        return []
    return ["its configuration says processes = %d, but %d %s" % (wanted, count, "run" if count > 1 else "runs")]


def _place(config: _uwsgi_config.Config, start: str, running: Running) -> List[str]:
    found = []
    chdir = config.last("chdir2") or config.last("chdir")
    if chdir and running.directory and not config.all("chroot", "pivot-root"):
        wanted = os.path.normpath(os.path.join(start, chdir))
        if wanted != running.directory and os.path.realpath(wanted) != running.directory:
            found.append("its configuration says chdir = %s, but it runs in %s" % (wanted, running.directory))
    user = config.last("uid", "immediate-uid")
    wanted_uid = running.users.get(user, int(user) if user.isdigit() else -1) if user else -1
    if wanted_uid >= 0 and running.uid not in (-1, wanted_uid):
        found.append("its configuration says uid = %s, but it runs as user %d" % (user, running.uid))
    return found


def command_differs(configured: Sequence[str], running: Sequence[str]) -> bool:
    """Has a unit's or program's command changed since it was started? Words that hold variables cannot be compared."""
    if not configured or not running or os.path.basename(configured[0]).split("_")[0] != os.path.basename(running[0]).split("_")[0]:
        return False
    return not any("$" in word for word in configured) and " ".join(configured[1:]) != " ".join(running[1:])


def variables_differ(told: Mapping[str, str], running: Mapping[str, str]) -> List[str]:
    """Names of variables that the process was not started with as its unit says now."""
    return sorted(name for name, value in told.items() if running.get(name) != value)
