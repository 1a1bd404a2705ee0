"""On a host: until standard input ends, watch the modules that Ansible runs; then print the largest memory of one, its children counted with it, in KiB.

A module that came through a pipe is ``/usr/bin/python3`` without arguments. Its own peak is the kernel's (VmHWM); children are added as they are seen.
"""

from __future__ import annotations

import os
import select
import sys


def field(pid: str, name: str) -> int:
    """A size of /proc/PID/status in KiB."""
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as lines:
            return next((int(line.split()[1]) for line in lines if line.startswith(name + ":")), 0)
    except OSError:
        return 0


def is_module(pid: str) -> bool:
    """Is this a Python that reads its program from a pipe?"""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as line:
            return line.read() == b"/usr/bin/python3\0"
    except OSError:
        return False


def children(pid: str) -> list[str]:
    """Processes that it waits for (proc(5), task/TID/children)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as line:
            return line.read().split()
    except OSError:
        return []


def main() -> None:
    """Look every 20 ms."""
    peak = 0
    known: dict[str, bool] = {}
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        pids = {name for name in os.listdir("/proc") if name.isdigit()}
        known = {pid: known[pid] if pid in known else is_module(pid) for pid in pids}
        for pid in (pid for pid, ours in known.items() if ours):
            peak = max(peak, field(pid, "VmHWM"), field(pid, "VmRSS") + sum(field(child, "VmRSS") for child in children(pid)))
    print(peak)


main()
