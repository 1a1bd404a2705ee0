# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's running uWSGI instance of a service: its process, where its socket is defined, its secret values."""

from __future__ import annotations

import re
import shlex
import socket
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths, _proc
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_uwsgi, _uwsgi_config, _uwsgi_running


class Definition(NamedTuple):
    """Where a socket's path is written: ``file`` None is the command line; ``line`` counts from 1, 0 when unknown."""

    file: Optional[str]
    token: str
    line: int


def listener(paths: List[str]) -> Optional[_proc.Process]:
    """The master of the instance that holds a listener bound to one of ``paths``: its parent holds none of them."""
    inodes = {item.inode for item in _proc.unix_sockets() if item.listening and item.path in paths}
    inodes |= {item.inode for item in _proc.tcp_states() if item.listening and any(_uwsgi_running.same(item.local, path) for path in paths)}
    # systemd holds the sockets that it gives
    holders = {process.pid: process for process in _proc.processes().values() if process.pid != 1 and inodes.intersection(process.inodes)}
    return next((process for process in holders.values() if process.parent not in holders), None)


def read_config(service: Mapping[str, Any], seam: str) -> _uwsgi_config.Config:
    """The effective configuration of the running instance that listens at the seam. Raises WebstackError when none does."""
    master = listener([seam, _paths.beside(seam)])
    if master is None:
        raise WebstackError("service %s: no uWSGI on the host listens at %s; start it, or run discover again" % (service["name"], seam))
    # as discover reads it: with what an emperor gives its vassals, in the directory of the start
    table = _proc.processes()
    units = _evidence_uwsgi.unit_properties([table[master.pid].unit] if master.pid in table else [])
    serving, _emperors = _evidence_uwsgi.instances(table, units, socket.gethostname(), _proc.Sockets())
    found = next((item for item in serving if item.master.pid == master.pid), None)
    if found is None:
        raise WebstackError("service %s: the uWSGI that listens at %s ended while it was looked at; run again" % (service["name"], seam))
    return found.config


def socket_definition(service: Mapping[str, Any], seam: str) -> Definition:
    """Where the seam's path is defined. Raises WebstackError when it could not be changed there, hence no way back."""
    config = read_config(service, seam)
    place = _uwsgi_config.locate_value(config, "socket", seam)
    if place.file is None and place.raw != seam:
        raise WebstackError("service %s: %s, so its socket cannot be moved without losing a request" % (service["name"], place.problem))
    if place.problem and place.file is not None and place.line == 0:
        raise WebstackError("service %s: its socket's definition cannot be told apart: %s" % (service["name"], place.problem))
    return Definition(place.file, place.raw, place.line)


def secret_values(service: Mapping[str, Any], configured: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """Values of the service's secret environment variables, read where the plan says they are. For the target only, never returned.

    ``configured``: what uWSGI's configuration gives it, where no instance of the host runs that could tell.
    """
    values: Dict[str, str] = {}
    for secret in service.get("secrets", []):
        kind, dummy, place = secret["source"].partition(":")
        if kind in ("file", "code"):
            continue
        if kind == "uwsgi":
            if configured is None:
                configured = _uwsgi_config.environment(read_config(service, service["uwsgi"]["socket"]))
            found = dict(configured)
        elif kind == "envfile":
            found = parse_environment_file(_read(place))
        else:
            text = run(["systemctl", "show", "--property=Environment", "--value", place]).stdout
            found = dict(item.partition("=")[::2] for item in shlex.split(text))
        if secret["name"] not in found:
            raise WebstackError("service %s: its secret %s is not in %s any more; run discover again" % (service["name"], secret["name"], place))
        values[secret["name"]] = found[secret["name"]]
    return values


def parse_environment_file(text: str) -> Dict[str, str]:
    """NAME=VALUE lines as systemd reads them (systemd.exec(5), EnvironmentFile=): comments, quotes, continued lines."""
    found = {}
    for line in re.sub(r"\\\n", "", text).splitlines():
        name, equal, value = line.strip().partition("=")
        if equal and not line.lstrip().startswith(("#", ";")):
            value = value.strip()
            if len(value) > 1 and value[0] == value[-1] and value[0] in "'\"":
                value = value[1:-1]
            found[name.strip()] = value
    return found


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape") as handle:
        return handle.read()
