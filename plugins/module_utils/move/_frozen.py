# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The move of a service whose state changes sides with it: a pre-copy while it serves, a short freeze in which nobody writes, and a last pass.

In the freeze requests wait at a socket that nobody accepts from (Hold). What wrote to the one side has ended before the last pass, and what will write to
the other side starts after it, so neither has an open file, a cache or a session of the wrong side. Every step looks first; the journal's
``freeze`` is {to, since: seconds since the epoch from which requests wait}, there from the first step that a killed run must not leave to others.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _proc
from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import await_health
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import errors, find_container, remove_container
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _copy, _hold, _instance, _seam, _volumes
from ansible_collections.gantry.webstack.plugins.module_utils.move._candidate import discard, group_of_nginx

STOP_SECONDS = 60
"""How long what is given up, or goes on elsewhere, may take to end."""


class TooLong(WebstackError):
    """The freeze would last longer than it may."""


def applies(move: Any, target: str) -> bool:
    """Whether this move takes state along."""
    if move.successor is not None:
        return False  # both containers have the same volumes
    state = _volumes.State(move.journal)
    return bool(move.journal.data.get("freeze") or (state.waiting() if target == _journal.CONTAINER else state.moved()))


class Frozen:
    """One service (a Move) that is moved with its state. ``params`` are those of the module switch; ``log`` takes a line of progress."""

    def __init__(self, move: Any, params: Mapping[str, Any], log: Callable[[str], None]) -> None:
        self.move, self.journal, self.params, self.log = move, move.journal, params, log
        self.limit: float = params["freeze"]
        self.state, self.hold = _volumes.State(move.journal), _hold.Hold(move.name)
        self.schedule = list(move.service.get("schedule", []))
        self.since = self._began = self._deadline = 0.0
        move.hold_at = self.hold.socket

    # Host to container.

    def forth(self) -> Dict[str, Any]:
        """The state into volumes, and the requests to the container. Raises WebstackError when the host serves on."""
        move, state = self.move, self.state
        if not self._begun:
            state.refuse()
            self._refuse_edge()
            move.begin()
        self._note(_journal.CONTAINER, "switching")
        state.make(move.client)
        try:
            self._renew_container()
            if state.waiting():
                state.copy_until_small(False, self.limit, self.log)
                self._await_quiet(self._strange_writer)
        except WebstackError:
            if not move.seam.lies_on_container() and not state.moved():
                discard(move.client, self.journal)
                self.journal.record("given up", freeze=None)
            raise
        self._hold()
        try:
            self._end_host()
            if state.waiting():
                state.copy(False, self._tick, last=True)
            with errors():
                self._start_container()
        except WebstackError as exc:
            self._give_up_forth(exc)
        try:
            with errors():
                self._serve_by_container()
        except WebstackError as exc:
            facts = self._go_back_or_wait()
            raise WebstackError("%s; it went back to the host with its state, and requests waited for %.1f s" % (exc, facts["seconds"])) from exc
        facts = self._through(_journal.CONTAINER, move.socket)
        state.seal()
        move.done(self.params["keep_images"])
        return facts

    def _renew_container(self) -> None:
        """The proven container again with volumes in place of binds, not started: a new one has nothing of the other side open."""
        move, names = self.move, self.state.wanted
        final = move.journal.candidate["container"]
        current, fresh = find_container(move.client, final), find_container(move.client, final + ".next")
        if current is None and fresh is not None:  # a run that was killed came so far
            fresh.rename(final)
            return
        if current is None:
            raise WebstackError("service %s: its candidate is gone; run convert again" % move.name)
        host = current.attrs["HostConfig"]
        if all(mount["Type"] == "volume" for mount in host.get("Mounts") or [] if mount["Target"] in names):
            if current.status == "running" and self.state.waiting():  # of a run that a boot cut off
                current.stop(timeout=STOP_SECONDS)
            return
        if fresh is not None:
            remove_container(fresh)
        config = {key: value for key, value in current.attrs["Config"].items() if not (key == "Hostname" and host["NetworkMode"] == "host")}
        mounts = _volumes.with_volumes(host["Mounts"], names)
        move.client.api.create_container_from_config({**config, "Image": current.attrs["Image"], "HostConfig": {**host, "Mounts": mounts}}, final + ".next")
        remove_container(current, stop_timeout=STOP_SECONDS)
        find_container(move.client, final + ".next").rename(final)

    def _end_host(self) -> None:
        """The host's instance answers what it has and ends; nobody has a file of the state open for writing any more."""
        move = self.move
        if move.stack.running():
            if not move.stack.aside and not move.seam.host_drained(self._left()):
                raise TooLong("requests were still open on the host")
            move.stop_host()
            self._within("the host's instance did not end", self._host_ended)
        move.seam.hold(self.hold.socket)
        self._await_no_writer()

    def _host_ended(self) -> bool:
        self.move.stack.keep_aside()
        return not self.move.stack.running()

    def _give_up_forth(self, exc: WebstackError) -> None:
        move = self.move
        try:
            move.start_host()
            move.give_seam_back(self.params["timeout"])
        except WebstackError as other:
            self._serve_again()
            raise WebstackError("service %s: %s; the host's instance did not come back (%s), so the container serves" % (move.name, exc, other)) from other
        facts = self._through(_journal.HOST, move.seam.entrance)
        move.forget_container(self.params["drain_timeout"])
        raise WebstackError("service %s: its state could not be copied within the %g s for which requests may wait (%s); they waited for %.1f s, and the host "
                            "serves on" % (move.name, self.limit, exc, facts["seconds"])) from exc

    def _start_container(self) -> None:
        """It begins to load; started before the truth changes sides, so that an engine that is gone is noticed in time."""
        container = self.move.container()
        if container.status != "running":
            container.start()

    def _serve_by_container(self) -> None:
        """The volumes have the truth, and the container serves."""
        move = self.move
        self.state.put_over()
        self._start_container()
        move.keep_across_boots(self.params["edge"])
        if self.journal.runtime != _journal.CONTAINER:
            self.journal.record("switched", runtime=_journal.CONTAINER)
        move.schedule(_journal.CONTAINER)
        await_health(move.service, move.socket, self.params["timeout"], self._ended)
        move.seam.take(move.socket)
        move.hold_at = ""
        move.await_host_stopped()  # it has, and nobody brings it back

    def _ended(self) -> Optional[str]:
        container = self.move.container()
        running = container is not None and container.attrs["State"]["Running"]
        return None if running else "the container ended with its state in volumes"

    # Container to host.

    def back(self) -> Dict[str, Any]:
        """The state back to the host's own directories, and the requests to the host's instance. Raises WebstackError when the container serves on."""
        move, state = self.move, self.state
        if state.moved() and not self._begun:
            self._refuse_edge()
        state.check_seal()
        self._note(_journal.HOST, "returning")
        if state.moved():
            try:
                state.copy_until_small(True, self.limit, self.log)
                self._await_quiet(self._job_in_container)
            except WebstackError:
                if move.seam.lies_on(move.socket):
                    self._stay()
                raise
        if state.moved() or move.seam.lies_on_container():
            self._hold()
            try:
                if state.moved():
                    with errors():
                        self._end_container()
                    self._end_host()  # after a boot it may serve from the volume
                    state.copy(True, self._tick, last=True)
            except WebstackError as exc:
                self._give_up_back(exc)
            try:
                with errors():
                    self._go_back()
            except WebstackError:
                self._serve_again()
                raise
        facts = self._through(_journal.HOST, move.seam.entrance)
        move.forget_container(self.params["drain_timeout"])
        return facts

    def _end_container(self) -> None:
        move, container = self.move, self.move.container()
        if container is not None and container.status == "running":
            pid = container.attrs["State"]["Pid"]
            if not move.seam.container_drained(pid, move.socket, self._left()):
                raise TooLong("requests were still open in the container")
            container.stop(timeout=STOP_SECONDS)

    def _go_back(self) -> None:
        """The host's own directories have the truth again, and its instance serves. Both sides are equal, unless the container has run."""
        move = self.move
        container = move.container()
        if container is not None and container.status == "running":
            container.stop(timeout=STOP_SECONDS)
            self.state.copy(True, last=True)
        self.state.take_off()
        move.schedule(_journal.HOST)
        move.start_host()
        move.give_seam_back(self.params["timeout"])

    def _go_back_or_wait(self) -> Dict[str, Any]:
        """What cannot even go back, since no engine answers, is the container's: the engine starts it when it is there again."""
        try:
            with errors():
                self._go_back()
                facts = self._through(_journal.HOST, self.move.seam.entrance)
                self.move.forget_container(self.params["drain_timeout"])
                return facts
        except WebstackError:
            self._lead_to_container()
            raise

    def _lead_to_container(self) -> None:
        self.move.seam.take(self.move.socket)
        self.move.hold_at = ""
        self._through(_journal.CONTAINER, self.move.socket)

    def _give_up_back(self, exc: WebstackError) -> None:
        self._serve_again()
        raise WebstackError("service %s: its state could not be copied back within the %g s for which requests may wait (%s); the container serves on"
                            % (self.move.name, self.limit, exc)) from exc

    def _serve_again(self) -> None:
        """What could not go back to the host is served by the container as before."""
        move = self.move
        if move.stack.running():
            move.stack.set_aside()
            move.await_host_stopped()
        if self.state.waiting():
            self.state.copy(False, last=True)
        try:
            with errors():
                self._serve_by_container()
        except WebstackError:
            self._lead_to_container()
            raise
        self._through(_journal.CONTAINER, move.socket)
        self._stay()

    def _stay(self) -> None:
        self.state.seal()
        self.journal.record("stays in its container", phase="switched", freeze=None)

    # The freeze.

    def _refuse_edge(self) -> None:
        if self.move.client.containers.list(filters={"label": _paths.LABEL + ".edge"}):
            raise WebstackError("service %s: nginx runs in a container, which would go on reading its state where it has been; bring nginx back to the host "
                                "first (convert with webstack_edge=host), and move it again afterwards" % self.move.name)

    @property
    def _begun(self) -> bool:
        return bool(self.journal.data.get("freeze"))

    def _note(self, target: str, phase: str) -> None:
        former = self.journal.data.get("freeze") or {}
        if former.get("to") != target or self.journal.phase != phase:
            self.journal.record("state begins to move to the %s" % target, phase=phase, freeze={**former, "to": target})

    def _await_quiet(self, busy: Callable[[], str]) -> None:
        """Wait for a moment from which nothing that is scheduled writes for as long as the freeze may last."""
        def why_not() -> str:
            due = _hold.next_tick(self.schedule) < self.limit + 2
            return busy() or ("a scheduled command starts within the %g s that requests may wait (webstack_freeze)" % self.limit if due else "")
        deadline = time.monotonic() + 90 + self.params["drain_timeout"]
        reason = why_not()
        while reason:
            if time.monotonic() > deadline:
                raise WebstackError("service %s: there was no moment to copy its state in peace: %s; try again later, or leave it in place"
                                    % (self.move.name, reason))
            time.sleep(0.2)
            reason = why_not()

    def _strange_writer(self) -> str:
        """What else than the host's instance writes: a scheduled command, or somebody who has a file open."""
        job = _hold.running_job(self.schedule)
        if job:
            return "%s runs" % job
        master = _instance.listener([self.move.seam.address, self.move.seam.way_back])
        own = {process.pid for process in _proc.tree(_proc.processes(), master.pid)} if master is not None else set()
        return next(("process %d (%s) has %s open for writing" % item[:3] for item in _volumes.writers(self._tops) if item.pid not in own), "")

    def _job_in_container(self) -> str:
        container = self.move.container()
        return "a scheduled command runs in the container" if self.move.timers.in_container() or (container and container.attrs.get("ExecIDs")) else ""

    @property
    def _tops(self) -> "set[str]":
        return {place.rstrip("/") for path, entry in self.state.known.items() for place in (path, entry["real"], entry["data"])}

    def _hold(self) -> None:
        """From here on requests wait. A boot meanwhile gives them to the host, which finds the side that has the truth in its place."""
        move = self.move
        self.hold.start(group_of_nginx(self.params["edge"]))
        move.stack.free_place()
        _journal.replace_file(_paths.tmpfiles_conf(move.name, "container"), move.stack.boot_rules(), 0o644)
        move.seam.keep()
        self.since = (self.journal.data["freeze"].get("since") if move.seam.lies_on(self.hold.socket) else None) or time.time()
        self.journal.record("requests wait", freeze={**self.journal.data["freeze"], "since": self.since})
        self._began = time.monotonic() - max(0.0, time.time() - self.since)  # the clock may be set meanwhile
        self._deadline = time.monotonic() + self.limit
        move.seam.take(self.hold.socket)

    def _held(self) -> float:
        return time.monotonic() - self._began if self.since else 0.0

    def _left(self) -> float:
        """Seconds that the freeze may still last until the last pass is over. Raises TooLong when there are none, or too many requests wait."""
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TooLong("its time is over")
        if self.hold.waiting() > 0.8 * _hold.QUEUE:
            raise TooLong("%d requests wait already" % self.hold.waiting())
        return left

    def _tick(self, counts: _copy.Counts) -> None:
        if time.monotonic() > self._deadline:
            raise TooLong("the last pass had copied %d MB" % (counts.bytes >> 20))

    def _within(self, what: str, condition: Callable[[], bool]) -> None:
        try:
            _seam.wait_for(what, condition, self._left(), 0.02)
        except TooLong:
            raise
        except WebstackError as exc:
            raise TooLong(str(exc)) from exc

    def _await_no_writer(self) -> None:
        def told() -> str:
            return next(("process %d (%s) still has %s open for writing" % item[:3] for item in _volumes.writers(self._tops)), "")
        while told():
            self._left()
            time.sleep(0.05)

    def _through(self, target: str, address: str) -> Dict[str, Any]:
        """The freeze is over: what waited is passed on to ``address``. Returns what a user is told."""
        seconds = round(self._held(), 2)
        self.hold.release(address)
        self.since = 0.0
        if seconds:
            self.journal.record("requests waited for %.2f s" % seconds)
        self.hold.end(self.params["drain_timeout"])
        return {"service": self.move.name, "to": target, "seconds": seconds, "passes": self.state.passes, "bytes": self.state.bytes}
