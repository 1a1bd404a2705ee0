# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How an instance runs: asked of its processes and its stats socket, and held against what its files, unit or supervisor say now."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import socket
from typing import Any, Dict, List, Mapping

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_uwsgi, _uwsgi_running

_MOST = 16 << 20
"""Bytes of a stats answer: every worker's every core is in it."""


def drift(instance: _evidence_uwsgi.Instance, properties: Mapping[str, str], told: Mapping[str, str]) -> List[str]:
    """What runs otherwise than it is written now, as sentences without a value of the environment.

    :param properties: of its unit, empty when another one keeps it
    :param told: the environment that its unit or supervisor gives it now
    """
    found = _uwsgi_running.differences(instance.config, instance.start, _look(instance))
    master, place = instance.master, instance.program.file if instance.program else instance.unit
    main = instance.program is not None or int(properties.get("MainPID") or 0) == master.pid
    if main and not master.rewritten:
        command = instance.program.command if instance.program else _evidence_uwsgi.exec_start(properties.get("ExecStart", ""))
        if _uwsgi_running.command_differs(command, _paths.as_configured(master.argv)):
            found.append("%s starts it with another command now than the one it runs with" % place)
        names = [] if "UWSGI_RELOADS" in master.environ else _uwsgi_running.variables_differ(told, master.environ)
        if names:
            found.append("%s gives it other values of %s now than it runs with" % (place, ", ".join(names)))
    return found


def _look(instance: _evidence_uwsgi.Instance) -> _uwsgi_running.Running:
    workers = [process for process in instance.processes if process.parent == instance.master.pid and process.exe == instance.master.exe]
    births = [process.started for process in workers or [instance.master] if process.started]
    reloaded = not workers and "UWSGI_RELOADS" in instance.master.environ
    loaded = 0.0 if reloaded else min(births, default=0.0)
    changed: Dict[str, float] = {}
    for path in instance.config.files:
        with contextlib.suppress(OSError):
            changed[path] = os.stat(path).st_mtime
    users: Dict[str, int] = {}
    for name in instance.config.all("uid", "immediate-uid"):
        with contextlib.suppress(KeyError):
            users[name] = pwd.getpwnam(name).pw_uid
    return _uwsgi_running.Running(instance.listening, instance.worker.cwd, instance.worker.uid, len(workers), _stats(instance), loaded, changed, users)


def _stats(instance: _evidence_uwsgi.Instance) -> Dict[str, Any]:
    """The answer of its stats socket, when it is this instance that listens there; empty without one."""
    place = instance.config.last("stats", "stats-server")
    if not place:
        return {}
    address = _uwsgi_running.address(place, instance.start)
    mine = next((item for item in instance.listening if _uwsgi_running.same(item, address)), None)
    if mine is None:
        return {}
    try:
        answer = _read(mine)
        if answer.startswith(b"HTTP/"):
            answer = answer.partition(b"\r\n\r\n")[2]
        found = json.loads(answer.decode("utf-8", "replace"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _read(address: str) -> bytes:
    with contextlib.ExitStack() as stack:
        if address.startswith(("/", "@")):
            link = stack.enter_context(socket.socket(socket.AF_UNIX))
            link.settimeout(3)
            link.connect(address.replace("@", "\0", 1) if address.startswith("@") else address)
        else:
            host, _colon, port = address.rpartition(":")
            host = {"0.0.0.0": "127.0.0.1", "[::]": "::1"}.get(host, host.strip("[]"))
            link = stack.enter_context(socket.create_connection((host, int(port)), timeout=3))
        found = b""
        while len(found) < _MOST:
            part = link.recv(65536)
            if not part:
                break
            found += part
        return found
