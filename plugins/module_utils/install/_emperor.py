# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""An emperor and its vassals as they run.

A reload keeps the master's pid and replaces its workers (core/emperor.c).
"""

from __future__ import annotations

import json
from typing import Any, Dict, Mapping, NamedTuple, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import Deadline, UwsgiError, connect


class Vassal(NamedTuple):
    """A running vassal: its master's pid and its workers (pid -> start in seconds since the epoch)."""

    master: int
    workers: Dict[int, float]


def find_vassal(name: str, emperor: int, seen: Dict[int, _processes.Process]) -> Optional[Vassal]:
    """The vassal with that file name below the emperor's process, or None. Without a master the one process is its own worker. Pure."""
    for process in _processes.children(emperor, seen):
        if "--ini" in process.argv and process.argv[-1].rpartition("/")[2] == name:
            workers = {child.pid: child.started for child in _processes.children(process.pid, seen)}
            return Vassal(process.pid, workers or {process.pid: process.started})
    return None


def read_json(address: str, timeout: float = 2.0) -> Dict[str, Any]:
    """What a stats socket (UNIX path or HOST:PORT) says; empty when it says nothing that can be read."""
    try:
        with connect(address, Deadline(address, timeout)) as peer:
            peer.settimeout(timeout)
            said = json.loads(b"".join(iter(lambda: peer.recv(65536), b"")).decode("utf-8", "replace"))
    except (UwsgiError, OSError, ValueError):
        return {}
    return said if isinstance(said, dict) else {}


def named(seen: Dict[int, _processes.Process], stats: Mapping[str, Any]) -> Dict[int, _processes.Process]:
    """Processes with the command lines that an emperor's vassals had before ``auto-procname`` rewrote them, by the emperor's stats. Pure."""
    known = dict(seen)
    for vassal in stats.get("vassals", []):
        if vassal.get("pid") in known:
            known[vassal["pid"]] = known[vassal["pid"]]._replace(argv=["uwsgi", "--ini", str(vassal.get("id", ""))])
    return known


def processes() -> Dict[int, _processes.Process]:
    """All processes, vassals under their files' names."""
    return named(_processes.processes(), read_json(_paths.EMPEROR_STATS))


def program(emperor: int, seen: Mapping[int, _processes.Process]) -> str:
    """The uWSGI program that an emperor runs: what stands before its first option. Pure."""
    argv = seen[emperor].argv if emperor in seen else []
    options = [index for index, word in enumerate(argv) if word.startswith("-")]
    return argv[options[0] - 1] if options and options[0] else ""
