# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requests held instead of failed: a socket of systemd's that nobody accepts from, until what has waited there is passed on to whoever serves.

The listener is systemd's, so connections wait in the kernel also when our process is killed; passing them on is done by systemd-socket-proxyd(8). The units
are in /run: a boot leaves nothing of them.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from typing import List, Mapping

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import processes, unix_sockets
from ansible_collections.gantry.webstack.plugins.module_utils.move import _seam, _timers

QUEUE = 4096
"""Requests that can wait: as many as the kernel lets a listener have since Linux 5.4 (listen(2))."""

PROXY = ("/usr/lib/systemd/systemd-socket-proxyd", "/lib/systemd/systemd-socket-proxyd")
UNITS = "/run/systemd/system"


class Hold:
    """The socket at which the requests of one service wait."""

    def __init__(self, name: str) -> None:
        self.unit = "webstack-hold-%s" % name
        self.socket = os.path.join(_paths.service_run(name), "hold.sock")
        self._way_out = os.path.join(_paths.service_state(name), "hold.to")  # no user of the service may say where root connects to

    def start(self, group: int) -> None:
        """Listen; ``group`` (gid) may connect. One of a run that was killed goes on, unless it passes on already. Raises WebstackError without the program."""
        program = next((path for path in PROXY if os.path.exists(path)), None)
        if program is None:
            raise WebstackError("%s is missing, which holds requests while state is copied to a volume; leave the state in place" % PROXY[0])
        if os.path.exists(self._way_out):
            self.end(0)
        texts = {".socket": "[Socket]\nListenStream=%s\nSocketMode=0660\nSocketGroup=%d\nBacklog=%d\nRemoveOnStop=yes\n" % (self.socket, group, QUEUE),
                 ".service": "[Service]\nLimitNOFILE=65536\nExecStart=/bin/sh -c 'until test -s %s; do sleep 0.02; done; exec %s -c %d \"$(cat %s)\"'\n"
                             % (self._way_out, program, QUEUE, self._way_out)}
        changed = False
        for suffix, text in texts.items():
            path = os.path.join(UNITS, self.unit + suffix)
            if not os.path.exists(path) or _read(path) != text:
                os.makedirs(UNITS, exist_ok=True)
                _journal.replace_file(path, text, 0o644)
                changed = True
        if changed:
            run(["systemctl", "daemon-reload"])
        run(["systemctl", "start", self.unit + ".socket"])

    def waiting(self) -> int:
        """How many requests wait, or are being passed on."""
        return _seam.open_requests(unix_sockets(), [self.socket])

    def release(self, target: str) -> None:
        """What waits goes to ``target`` (a path, or HOST:PORT), which serves; no new request comes any more."""
        host, dummy, port = target.rpartition(":")
        if not target.startswith("/") and host in ("", "*", "0.0.0.0"):
            target = "127.0.0.1:" + port
        _journal.write_private(self._way_out, target)

    def end(self, timeout: float) -> None:
        """Once all are answered, or after ``timeout`` seconds, nothing of it is left. Idempotent."""
        units = [os.path.join(UNITS, self.unit + suffix) for suffix in (".socket", ".service")]
        if any(map(os.path.exists, units)):
            if os.path.exists(self._way_out):
                with contextlib.suppress(WebstackError):
                    _seam.wait_for("requests that were held", lambda: not self.waiting(), timeout)
            run(["systemctl", "stop", *(os.path.basename(path) for path in units)], check=False)
            for path in units:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            run(["systemctl", "daemon-reload"])
        for path in (self._way_out, self.socket):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


def _read(path: str) -> str:
    with open(path, encoding="utf-8") as handle:
        return handle.read()


# A moment in which no scheduled command writes.


def until_full_minute(now: float) -> float:
    """Seconds until cron may start something again; ``now`` in seconds since the epoch. Pure."""
    return 60 - now % 60


def bus_path(unit: str) -> str:
    """Where systemd shows a unit on D-Bus (sd_bus_path_encode(3)). Pure."""
    label = "".join(char if re.fullmatch("[A-Za-z]", char) or index and char.isdigit() else "_%02x" % ord(char) for index, char in enumerate(unit))
    return "/org/freedesktop/systemd1/unit/" + label


def next_tick(schedule: List[Mapping[str, str]]) -> float:
    """Seconds until the next scheduled command may start; a large number when nothing is scheduled."""
    soonest = 1e9
    for source in {job.get("source", "") for job in schedule}:
        if source.endswith(".timer"):
            for name, now in (("NextElapseUSecRealtime", time.time()), ("NextElapseUSecMonotonic", time.clock_gettime(time.CLOCK_MONOTONIC))):
                said = run(["busctl", "get-property", "org.freedesktop.systemd1", bus_path(os.path.basename(source)), "org.freedesktop.systemd1.Timer", name],
                           check=False).stdout.split()
                if len(said) == 2 and said[1].isdigit() and 0 < int(said[1]) < 2**63:
                    soonest = min(soonest, int(said[1]) / 1e6 - now)
        elif source.startswith("/"):
            soonest = min(soonest, until_full_minute(time.time()))
    return soonest


def running_job(schedule: List[Mapping[str, str]]) -> str:
    """A scheduled command that runs on the host at the moment; empty when none does."""
    lines = []
    for job in schedule:
        source = job.get("source", "")
        if _timers.is_unit(source):
            unit = _timers.service_unit(source)
            if _processes.unit_properties(unit, "ActiveState").get("ActiveState") in ("active", "activating", "deactivating"):
                return unit
        elif source.startswith("/") and job.get("command"):
            lines.append(job["command"].strip())
    for process in processes().values() if lines else []:
        told = " ".join(process.argv)
        found = next((line for line in lines if line in told), None)
        if found and process.unit.startswith("cron"):
            return found
    return ""
