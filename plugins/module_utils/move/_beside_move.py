# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The part of a move that is about what uWSGI runs beside web requests; see _held. Every step looks first, so that a killed run is finished by the next."""

from __future__ import annotations

import signal
from abc import ABC, abstractmethod
from typing import Any, Dict, Iterable, List, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until
from ansible_collections.gantry.webstack.plugins.module_utils.move import _at_work, _beside, _held, _host_stack, _instance, _seams


class Beside(ABC):
    """What a move knows, and its steps for a service whose uWSGI has mules, spoolers, daemons or crons; nothing is to be done for others.

    The journal's ``told``: its mules do only what they are told; ``ticks``: cron's name -> the minute in which the host's instance ran it last;
    ``ending``: PID -> start of what ends with the host's instance.
    """

    journal: _journal.Journal
    name: str
    service: Mapping[str, Any]
    seam: _seams.Seam
    stack: _host_stack.HostStack
    held: _held.Held
    warnings: List[str]

    @abstractmethod
    def container(self) -> Any:
        """The container (docker Container), or None."""

    @property
    @abstractmethod
    def leaving(self) -> Dict[str, Any]:
        """The container that this one takes the seam from; empty when it is the host's instance."""

    def former(self) -> Optional[_at_work.Instance]:
        """The host's instance, when it runs and has more than web requests; what runs beside these moves with them."""
        if not _beside.has_any(self.service):
            return None
        master = _instance.listener([self.seam.address, self.seam.way_back])
        return _at_work.Instance(self.service, master.pid) if master is not None else None

    def seen_beside(self) -> Dict[str, Any]:
        """What the journal has to know of the mules; that the crons can be seen is tried out."""
        former = self.former()
        if former is None:
            return {}
        _held.minutes(former)
        return {"told": former.mules_told(_held.OBSERVED)}

    @property
    def told(self) -> bool:
        """Do its mules do nothing but what they are told?"""
        return bool(getattr(self.journal, "former", self.journal).data.get("told", True))

    def await_lull(self) -> None:
        """Begin where no tick of uWSGI's own cron is near, so that the mules' messages need not wait for one."""
        former = self.former()
        if former is not None and not self.held.released:
            until(lambda: _held.no_tick_ahead(former, 2 * _held.LULL), 3 * _held.LULL)

    def settle_host(self, timeout: float) -> None:
        """What runs beside the host's web requests comes to a point at which it can be ended: nothing in hand, no tick ahead."""
        former = None if self.leaving or self.held.released else self.former()
        if former is None:
            return
        left = _held.settle(former, self.told, max(timeout, 2 * _held.LULL), lambda: _held.no_tick_ahead(former))
        self._warn(left, "on the host", timeout)
        self.journal.record("settled", ticks=_held.minutes(former), ending=_started(former.everything()))

    def release(self) -> None:
        """What its container has held back begins; the other side has ended."""
        if _beside.has_any(self.service):
            self.held.release(self.journal.data.get("ticks", {}) if not self.leaving else {})

    def hold_back(self, timeout: float) -> None:
        """What runs beside the container's web requests ends, before the host's instance comes up with its own."""
        if not _beside.has_any(self.service) or not self.seam.lies_on_container() or self.seam.host_is_up() and not self.stack.aside:
            return
        instance = _held.instance_of(self.service, self.container())
        if instance is not None:
            if not self.held.released:  # a run before this one ended the host's, or has come so far here
                self.held.own_all(self.journal.data.get("ticks", {}))
            for what in _held.end_beside(instance, self.held, self.told, timeout):
                self._warn(what, "in the container", timeout)

    def still_there(self) -> List[int]:
        """PIDs of what ran beside the host's web requests, itself included."""
        table = _processes.processes()
        known = {int(pid): started for pid, started in self.journal.data.get("ending", {}).items()}
        return [pid for pid, started in known.items() if pid in table and abs(table[pid].started - started) < 1]

    def end_at_once(self) -> None:
        """An instance with crons that has not ended in time: it must not tick again."""
        for pid in self.still_there() if self.held.crons else []:
            _at_work.send(pid, signal.SIGKILL)

    def release_mules(self) -> None:
        """Mules that do only what they are told work from the moment at which somebody may tell them."""
        if _beside.has_mules(self.service) and self.told:
            self.held.release_mules()

    def settle_container(self, container: Any, entry: Mapping[str, str], timeout: float) -> None:
        """The same for a container that is about to end; ``entry`` is its own in the journal."""
        instance = _held.instance_of(self.service, container)
        if instance is not None:
            _held.Held(self.service, entry).hold_back()
            self._warn(_held.settle(instance, self.told, timeout), "in the container", timeout)

    def last_ticks(self) -> Dict[str, int]:
        """Cron's name -> the minute in which the host's instance ran it last, as far as it can be seen."""
        former = self.former()
        return {name: (moment or 0) // 60 for name, moment in former.last_runs().items()} if former is not None else {}

    def resume(self, last: Mapping[str, int]) -> None:
        """The container goes on with everything: the host's instance could not take its place, and has ended."""
        if _beside.has_any(self.service):
            self.held.release(last)

    def _warn(self, left: str, where: str, timeout: float) -> None:
        if left:
            self.warnings.append("service %s: %s was still at work %s after %d s" % (self.name, left, where, timeout))


def _started(pids: Iterable[int]) -> Dict[str, float]:
    """PID -> when it was started: a PID may be somebody else's later."""
    table = _processes.processes()
    return {str(pid): round(table[pid].started, 1) for pid in sorted(pids) if pid in table}
