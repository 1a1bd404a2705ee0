# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes as /proc shows them (proc(5)), and systemd units as ``systemctl show`` does."""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from typing import Dict, List, NamedTuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import run

CLOCK_SLACK = 1.0
"""Seconds by which a start time and a file's time may disagree without meaning anything."""


class Process(NamedTuple):
    """One process; ``started`` is in seconds since the epoch, ``argv`` is what it shows (it may have rewritten it)."""

    pid: int
    parent: int
    state: str
    started: float
    argv: List[str]


def parse_stat(text: str, now: float, uptime: float, ticks: int) -> Process:
    """A process out of /proc/PID/stat; the name in parentheses may hold anything, so the last parenthesis ends it."""
    pid = int(text.split(" ", 1)[0])
    fields = text.rpartition(")")[2].split()
    return Process(pid, int(fields[1]), fields[0], now - uptime + int(fields[19]) / ticks, [])


def processes() -> Dict[int, Process]:
    """All living processes by pid; zombies are left out."""
    now, uptime, ticks = time.time(), time.clock_gettime(time.CLOCK_BOOTTIME), os.sysconf("SC_CLK_TCK")
    found: Dict[int, Process] = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        with contextlib.suppress(OSError):  # it may end while we look
            with open("/proc/%s/stat" % name, encoding="utf-8", errors="replace") as handle:
                process = parse_stat(handle.read(), now, uptime, ticks)
            if process.state in "ZX":
                continue
            with open("/proc/%s/cmdline" % name, "rb") as handle:
                argv = [part.decode("utf-8", "replace") for part in handle.read().rstrip(b"\0").split(b"\0")]
            found[process.pid] = process._replace(argv=argv)
    return found


def children(pid: int, among: Dict[int, Process]) -> List[Process]:
    """The children of a process."""
    return [process for process in among.values() if process.parent == pid]


def has_systemd() -> bool:
    """Whether systemd runs this machine (sd_booted(3))."""
    return os.path.isdir("/run/systemd/system") and shutil.which("systemctl") is not None


def unit_properties(unit: str, *names: str) -> Dict[str, str]:
    """Properties of a unit; a unit that is not there has LoadState=not-found. Empty without systemd."""
    if not has_systemd():
        return {}
    output = run(["systemctl", "show", unit, "--property=" + ",".join(names)]).stdout
    return dict(line.partition("=")[::2] for line in output.splitlines() if "=" in line)


def nginx_master(unit: str) -> int:
    """The master of the nginx that a unit keeps, or stands for while it runs in a container (its PIDs are the host's); 0 when there is none."""
    pid = main_pid(unit)
    if pid:
        return pid
    try:
        with open(_paths.EDGE_PID, encoding="ascii") as handle:
            pid = int(handle.read())
        with open("/proc/%d/cmdline" % pid, "rb") as title:
            return pid if title.read(64).startswith(b"nginx: master process") else 0
    except (OSError, ValueError):
        return 0


def main_pid(unit: str) -> int:
    """The main process of an active unit, or 0."""
    known = unit_properties(unit, "MainPID", "ActiveState")
    return int(known.get("MainPID", "0")) if known.get("ActiveState") in ("active", "reloading") else 0
