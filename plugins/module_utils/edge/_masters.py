# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's master processes on this host, whichever container they are in: the edge's shares the host's numbers of processes."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import List

from ansible_collections.gantry.webstack.plugins.module_utils.common import _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until


def title(process: _processes.Process) -> str:
    return " ".join(process.argv)


def is_master(pid: int) -> bool:
    """Is it the master of an nginx?"""
    try:
        with open("/proc/%d/cmdline" % pid, "rb") as handle:
            return handle.read(64).startswith(b"nginx: master process")
    except OSError:
        return False


def helpers(pid: int) -> List[_processes.Process]:
    """The workers of a master, those that leave included, and its cache processes."""
    return _processes.children(pid, _processes.processes()) if pid else []


def serves(pid: int) -> bool:
    """Has a master workers that take connections?"""
    return any(title(child).startswith("nginx: worker process") and "shutting down" not in title(child) for child in helpers(pid))


def drained(pid: int, timeout: float) -> bool:
    """Take no connection any more, and wait until the workers have answered what they have. False when they had not at the end.

    The master stays, with its sockets: a hang-up has it serve again (nginx: Controlling nginx, WINCH and HUP).
    """
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGWINCH)
    return until(lambda: not helpers(pid), timeout)


def kill(pid: int) -> None:
    """End a master that has no workers, at once: asked to, it would remove its UNIX sockets and PID file, which are the other one's now."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_master(pid), 10)


def wake(pid: int) -> None:
    """Have a master that was told to take no connections serve again."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGHUP)
