# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What runs beside a service's web workers in uWSGI, on its way from the host's instance to a container's and back; see _beside and _at_work.

Spoolers, daemons and crons are there once at any moment: they end on one side before they may begin on the other. Mules that do only what they are told
belong to the web workers that tell them, so they work as long as these do, on both sides; mules with a loop of their own are there once, too.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from typing import Any, Callable, Dict, List, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until
from ansible_collections.gantry.webstack.plugins.module_utils.move import _at_work, _beside

LULL = 15
"""Seconds before a tick in which an instance is not told to end: it would tick again if it took so long."""

OBSERVED = 3
"""Seconds in which a mule that does only what it is told is seen to wait for it."""

_DAEMON_SECONDS = 60
"""How long a daemon may take to end after its stop signal before it is killed."""


class Held:
    """What one container's uWSGI holds back. ``entry`` is its entry in the journal, {slot, ...}."""

    def __init__(self, service: Mapping[str, Any], entry: Mapping[str, str]) -> None:
        self.service, self.name = service, service["name"]
        self.directory = directory(service["name"], entry.get("slot", "-"))
        self.ticks = ticks(service["name"])
        self.crons = _beside.crons(service)

    @property
    def released(self) -> bool:
        """May everything in it work?"""
        return os.path.exists(os.path.join(self.directory, _beside.ALL))

    def release_mules(self) -> None:
        """Its mules may work from here on. Idempotent."""
        self._touch(_beside.MULES)

    def release(self, last: Mapping[str, int]) -> None:
        """Everything may work. ``last``: cron's name -> the minute (since the epoch) in which the other side ran it last. Idempotent."""
        if not self.released:
            self.own_all(last)
            self.release_mules()
            self._touch(_beside.ALL)

    def _touch(self, name: str) -> None:
        path = os.path.join(self.directory, name)
        if not os.path.exists(path):
            _journal.replace_file(path, "", 0o444)

    def own_all(self, last: Mapping[str, int]) -> None:
        """These ticks, cron's name -> minute, have been run by the other side."""
        for name, minute in last.items():
            self.own(name, minute)

    def own(self, cron: str, minute: int) -> bool:
        """Make the file by which a tick is owned; False when the container has it, and so has run it, or will."""
        if not os.path.isdir(self.ticks):
            os.makedirs(self.ticks)
            info = os.stat(os.path.dirname(self.ticks))
            os.chown(self.ticks, info.st_uid, info.st_gid)
        try:
            os.close(os.open(os.path.join(self.ticks, "%s-%d" % (cron, minute)), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except FileExistsError:
            return False
        return True

    def take_ticks_back(self) -> bool:
        """From here on the container starts no cron, and the next minute's ticks are the host's; False while one of this minute has not been run yet.

        When one has been run, the host's instance must not begin before the next minute: it runs everything that is due as soon as it is up.
        """
        was_released = self.released
        self.hold_back()
        now = time.time()
        due = [entry.name for entry in self.crons if entry.matches(now)]
        mine = [name for name in due if self.own(name, int(now // 60))]
        if mine and was_released:
            for name in mine:
                os.unlink(os.path.join(self.ticks, "%s-%d" % (name, int(now // 60))))
            self._touch(_beside.ALL)
            return False
        while set(due) - set(mine) and time.time() // 60 == now // 60:
            time.sleep(0.1)
        return True

    def hold_back(self) -> None:
        """Daemons and spoolers that are started from here on wait; so do the crons."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.directory, _beside.ALL))

    def hold_mules_back(self) -> None:
        """Mules that are started from here on wait."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self.directory, _beside.MULES))

    def forget(self) -> None:
        """Remove the files of the ticks; none is ahead."""
        shutil.rmtree(self.ticks, ignore_errors=True)
        with contextlib.suppress(OSError):
            os.removedirs(os.path.dirname(self.ticks))


def directory(name: str, slot: str) -> str:
    """Where a container's scripts, and the files that they wait for, lie on the host."""
    return os.path.join(_paths.service_state(name), slot, "beside")


def ticks(name: str) -> str:
    """Where the minutes of a service's crons are owned; the service's user may write there."""
    return os.path.join(_paths.service_run(name), "ticks")


def prepare(name: str, slot: str) -> None:
    """Write the scripts of a container in which everything waits."""
    top = directory(name, slot)
    os.makedirs(top, exist_ok=True)
    os.chmod(top, 0o755)
    for script, text in _beside.SCRIPTS.items():
        _journal.replace_file(os.path.join(top, script), text, 0o444)


def settle(instance: _at_work.Instance, told: bool, seconds: float, quick: Callable[[], bool] = lambda: True) -> str:
    """Wait until mules and spoolers have nothing in hand, and crons have ended; the spoolers are stopped then. What still was at work, in words, or nothing."""
    left = "its uWSGI"

    def idle() -> bool:
        nonlocal left
        left = "a mule" if not instance.mules_idle(told) else "a command of its cron" if instance.crons_at_work() else ""
        if left or not quick():
            left = left or "its cron"
            return False
        left = "a spooler"
        if not instance.stop_spoolers():
            return False
        left = ""
        return True
    until(idle, seconds, 0.1)
    return left


def no_tick_ahead(instance: _at_work.Instance, within: float = LULL) -> bool:
    """Will the instance start no command of its cron for some time?"""
    last, now = instance.last_runs(), time.time()
    return not any(entry.due(now, last.get(entry.name) or 0, within) for entry in _beside.crons(instance.service))


def minutes(instance: _at_work.Instance) -> Dict[str, int]:
    """Cron's name -> the minute in which the instance ran it last. Raises WebstackError where that cannot be seen."""
    found: Dict[str, int] = {}
    entries = {entry.name: entry for entry in _beside.crons(instance.service)}
    for name, last in instance.last_runs().items():
        if last is None:
            raise WebstackError("service %s: when its uWSGI's cron last ran '%s' cannot be seen, so it could run twice; have cron or a timer start it"
                                % (instance.service["name"], entries[name].command))
        found[name] = last // 60
    return found


def end_beside(instance: _at_work.Instance, held: Held, told: bool, seconds: float) -> List[str]:
    """Let what a container runs beside its web requests end while these go on; uWSGI starts it again at once, and it waits. Words for what had to be killed."""
    warnings: List[str] = []
    if held.crons and not until(held.take_ticks_back, 130):
        warnings.append("its cron")
    held.hold_back()
    if not told:
        held.hold_mules_back()
    left = settle(instance, told, seconds)
    warnings += [left] if left else []
    for pid, number in instance.daemons().items():
        _at_work.send(-pid, number)
    if not until(lambda: not instance.daemons(), _DAEMON_SECONDS):
        warnings.append("a daemon")
        for pid in instance.daemons():
            _at_work.send(-pid, signal.SIGKILL)
    parts = instance.parts()
    for pid in parts["spoolers"] + ([] if told else parts["mules"]):
        _at_work.send(pid, signal.SIGKILL)
    return warnings


def instance_of(service: Mapping[str, Any], container: Any) -> Optional[_at_work.Instance]:
    """The uWSGI of a container; None when it does not run."""
    pid = container.attrs["State"]["Pid"] if container is not None else 0
    return _at_work.Instance(service, pid) if pid and _beside.has_any(service) else None
