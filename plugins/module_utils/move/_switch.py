# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The switch over the socket, and its way back: steps that each look first, so that a killed run is finished by the next.

Every step is taken for all services before the next one, so that waiting overlaps.
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import time
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import await_health, health_problem
from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import is_listening
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import engine, find_container, remove_container
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, host_lock
from ansible_collections.gantry.webstack.plugins.module_utils.install import _releases
from ansible_collections.gantry.webstack.plugins.module_utils.move import (
    _beside_move,
    _cron,
    _dead_man,
    _frozen,
    _held,
    _host_stack,
    _kept,
    _runtime_dirs,
    _seam,
    _seams,
    _set_aside,
    _timers,
    _user_crontabs,
    _watch,
    _worker_units,
)
from ansible_collections.gantry.webstack.plugins.module_utils.move._candidate import account, discard, forget, forget_socket, group_of_nginx, on_host
from ansible_collections.gantry.webstack.plugins.module_utils.move._container_config import interpreter
from ansible_collections.gantry.webstack.plugins.module_utils.move._parity_module import tail_lines

STOP_SECONDS = 60
"""How long an instance may take to end after its last request."""


class Move(_beside_move.Beside):
    """One service on its way: its journal, its seam, its host stack and its container."""

    successor: Optional[_journal.Successor] = None
    words = _watch.TO_CONTAINER
    hold_at = ""
    """The socket at which requests wait while the state changes sides."""

    def __init__(self, journal: _journal.Journal, client: Any) -> None:
        self.journal, self.client = journal, client
        self.name = journal.name
        self.service: Mapping[str, Any] = journal.service
        self.seam = _seams.of(self.service, journal.data["seam"])
        self.stack = _host_stack.of(self.service, self.seam, journal.data.get("host"))
        self.timers = _timers.Timers(self.name, self.service.get("schedule", []))
        self.user_crontabs = _user_crontabs.UserCrontabs(self.name, self.service.get("schedule", []))
        self.workers = _worker_units.Workers(self.service, client)
        self.held = _held.Held(self.service, journal.candidate)
        self.warnings: List[str] = []

    @property
    def socket(self) -> str:
        """The container's socket."""
        return self.journal.candidate["socket"]

    def container(self) -> Any:
        """The container (docker Container), or None."""
        return find_container(self.client, self.journal.candidate.get("container", ""))

    def sweep(self) -> None:
        """Remove what a run that was killed was about to move to its place."""
        conf = _paths.tmpfiles_conf(self.name, "container")
        crontabs = [job["source"] for job in self.service.get("schedule", []) if _cron.is_system(job.get("source", ""))]
        _journal.sweep([_paths.service_state(self.name), *self.stack.places, *self.timers.places, *self.workers.places, *self.user_crontabs.places,
                        *(os.path.dirname(path) for path in (self.seam.address, conf, *crontabs) if path.startswith("/"))])

    # Host to container.

    def begin(self) -> None:
        """Last look at both sides; note where the way back begins."""
        if self.seam.lies_on(self.socket):
            return  # a run before this one has come so far
        self._crontabs(_journal.CONTAINER)
        self.timers.texts(self.journal.candidate["container"])  # a plan that does not fit any more is told before anything moves
        self.user_crontabs.texts()
        self.workers.texts(self._worker_place())
        problem = health_problem(self.service, self.socket)
        if problem is not None:
            raise WebstackError("service %s: its candidate does not answer as it should (%s); run it again" % (self.name, problem))
        self.journal.record("switching", phase="switching", **self.seen_beside(), **self.remember())
        self.stack.memory = self.journal.data.get("host") or {}

    def remember(self) -> Dict[str, Any]:
        """What the journal has to know of the way back."""
        return {"host": self.journal.data.get("host") or self.stack.remember()}

    def watch(self) -> Optional[_watch.Watch]:
        """Ready to be watched, when both sides run; a run before this one may have stopped the other."""
        if not self.other_is_up():
            return None
        return _watch.Watch(self.service, self.other_socket, self.socket, tail_lines(_watch.access_log(self.service) or ""), self._died, self.words)

    def other_is_up(self) -> bool:
        """Does the side run that requests came from, at ``other_socket``?"""
        self.seam.keep()
        return self.seam.host_is_up()

    def _died(self) -> Optional[str]:
        container = self.container()
        if container is None:
            return "%s is gone" % self.words.container
        state = container.attrs["State"]
        return None if state["Running"] and not container.attrs["RestartCount"] else "%s ended with code %s" % (self.words.container, state["ExitCode"])

    def share(self, percent: float) -> None:
        """For this moment new connections go to the container, or not, by chance."""
        self.seam.turn(self.socket if random.random() * 100 < percent else self.other_socket)

    @property
    def other_socket(self) -> str:
        """Where the side listens that requests came from."""
        return self.seam.way_back

    def keep_across_boots(self, edge: Mapping[str, Any]) -> None:
        """The engine starts the container after a boot, tmpfiles.d makes its directory and the seam before that; no unit that stops removes the seam."""
        container = self.container()
        if container is not None and container.attrs["HostConfig"]["RestartPolicy"]["Name"] != "unless-stopped":
            container.update(restart_policy={"Name": "unless-stopped"})
        uid = account(self.service)[0]
        rules = self.seam.tmpfiles_rules(self.socket, uid, group_of_nginx(edge))
        path = _paths.tmpfiles_conf(self.name, "container")
        if not os.path.exists(path) or _host_stack.read(path) != rules:
            _journal.replace_file(path, rules, 0o644)
        manager = self.service["uwsgi"]["manager"]
        _runtime_dirs.keep(self.name, self.seam.lasting, manager["unit"] if manager["kind"] == "unit" else "")

    def take_seam(self) -> None:
        """New connections go to the container from here on."""
        self.release_mules()
        self.seam.take(self.socket)
        if self.journal.runtime != _journal.CONTAINER:
            self.journal.record("switched", runtime=_journal.CONTAINER)

    def stay(self) -> None:
        """Nothing got worse: the container is the service's."""

    def drain_host(self, timeout: float) -> None:
        """Requests that the host's instance has are answered by it."""
        if self.stack.running() and not self.seam.host_drained(timeout):
            self.warnings.append("service %s: requests were still open on the host after %d s" % (self.name, timeout))

    def stop_host(self) -> None:
        """The host's instance is set aside; the seam is watched until it has ended."""
        if not self.leaving:
            self.stack.set_aside()
            self.seam.unkeep()

    def await_host_stopped(self) -> None:
        """Wait for its end; whatever it tidies away at the seam is put back at once."""
        if self.leaving:
            return

        late = time.monotonic() + _held.LULL - 1  # before uWSGI's cron ticks again

        def ended() -> bool:
            self.seam.hold(self.hold_at or self.socket)
            self.stack.keep_aside()
            if time.monotonic() > late:
                self.end_at_once()
            return not self.stack.running() and not self.still_there()
        _seam.wait_for("service %s: the host's instance did not end" % self.name, ended, STOP_SECONDS)
        self.stack.hold_place()
        _seam.wait_for("service %s: the host's instance did not end" % self.name, ended, STOP_SECONDS)  # one that came up in this moment

    def done(self, keep: int) -> None:
        """The move to the container is complete; ``keep`` images beside its own stay."""
        event = "former container removed" if self.leaving else "host stopped"
        _kept.note(self.client, self.journal, event, keep, bool(self.leaving.get("went_back")), phase="switched", leaving=None, ending=None, freeze=None)

    # Container to container.

    @property
    def leaving(self) -> Dict[str, Any]:
        """The container that this one has taken the seam from: its ``candidate`` entry, ``went_back``; empty when it was the host's instance."""
        return self.journal.data.get("leaving") or {}

    def end_former(self, timeout: float) -> None:
        """The former container answers what it has, and goes; the host's code is that of the one that serves, for the way back."""
        if not self.leaving:
            return
        self._end(self.leaving["candidate"], timeout)
        forget(self.name, self.journal.candidate["slot"])
        follow_release(self.journal)

    def end_leaving(self, timeout: float) -> None:
        """A former container that a run which was killed has left ends, before the host's instance comes up."""
        if self.leaving:
            self._end(self.leaving["candidate"], timeout)

    def _end(self, entry: Mapping[str, str], timeout: float) -> None:
        """A container that gets no new requests ends after those that it has, and its scheduled commands."""
        container = find_container(self.client, entry.get("container", ""))
        if container is not None:
            pid = container.attrs["State"]["Pid"]
            if pid and not self.seam.container_drained(pid, entry["socket"], timeout):
                self.warnings.append("service %s: requests were still open in the container after %d s" % (self.name, timeout))
            self.settle_container(container, entry, timeout)
            self._await_jobs(container, timeout)
            remove_container(container, stop_timeout=STOP_SECONDS)
        if entry:
            forget_socket(entry["socket"])

    # Container to host.

    def start_host(self) -> None:
        """The host's instance comes up while the container serves."""
        if not self.seam.lies_on_container():
            return
        if self.journal.phase != "returning":
            self.journal.record("returning", phase="returning")
        if self.seam.host_is_up() and not self.stack.aside:
            former = self.former()
            if former is not None:
                former.continue_spoolers()
            return  # a run before this one has come so far
        if self.stack.running():  # the switch was killed before it could stop the host's instance
            self.stack.set_aside()
            self.await_host_stopped()
        self.stack.start_beside()

    def give_seam_back(self, timeout: float) -> None:
        """Once the host's instance is healthy, it gets the seam."""
        if self.seam.lies_on_container():
            try:
                await_health(self.service, self.seam.way_back, timeout, self._overtaken)
            except WebstackError as exc:
                if self._overtaken():
                    await_health(self.service, self.seam.address, timeout)
                else:
                    self.stack.set_aside()
                    last = self.last_ticks()
                    self.await_host_stopped()
                    self.resume(last)
                    raise WebstackError("%s; the container serves on" % exc) from exc
            else:
                self.seam.give_back()
        if self.journal.runtime != _journal.HOST:
            self.journal.record("rolled back", runtime=_journal.HOST)

    def _overtaken(self) -> Optional[str]:
        """Whether the host's instance has taken its own address already: somebody has put its configuration back, as configuration managers do."""
        return None if self.seam.lies_on_container() else "its configuration was put back while it came up"

    def forget_container(self, drain_timeout: float) -> None:
        """The container answers what it has, and goes; its image stays for the next convert."""
        self._end(self.journal.candidate, drain_timeout)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_paths.tmpfiles_conf(self.name, "container"))
        self.stack.restore()
        _runtime_dirs.let_go(self.name)
        forget(self.name)
        self.held.forget()
        self.journal.record("host", phase=_journal.HOST, candidate=None, host=None, leaving=None, told=None, ticks=None, ending=None, freeze=None)

    def _await_jobs(self, container: Any, timeout: float) -> None:
        """Let scheduled commands that run in the container end."""
        def idle() -> bool:
            # asked first: its client may not have reached the engine yet
            started = self.timers.in_container() or self.user_crontabs.starting() or _cron.starting(container.name)
            container.reload()
            return not started and not container.attrs.get("ExecIDs")
        with contextlib.suppress(WebstackError):
            _seam.wait_for("service %s: a scheduled command still runs in its container" % self.name, idle, timeout)

    # Scheduled commands, either way.

    def _crontabs(self, runtime: str) -> Dict[str, str]:
        """Path -> text of each system crontab that has commands of the service. Raises WebstackError when one of them is gone."""
        jobs: Dict[str, List[Dict[str, str]]] = {}
        for job in self.service.get("schedule", []):
            if _cron.is_system(job.get("source", "")):
                jobs.setdefault(job["source"], []).append(job)
        texts = {path: _cron.to_host(_host_stack.read(path), "webstack-%s-" % self.name) for path in jobs}
        if runtime == _journal.CONTAINER:
            texts = {path: _cron.to_container(text, jobs[path], self.journal.candidate["container"]) for path, text in texts.items()}
        return texts

    def _worker_place(self) -> _worker_units.Place:
        uid, gid, groups = account(self.service)
        return _worker_units.place(self.service, self.journal.candidate["image"], "%d:%d" % (uid, gid), groups)

    def move_workers(self, runtime: str) -> None:
        """What systemd keeps beside the service ends on one side, and begins on the other."""
        if runtime == _journal.CONTAINER:
            self.warnings += self.workers.to_container(self._worker_place())
        else:
            self.workers.to_host()

    def schedule(self, runtime: str) -> None:
        """Each crontab that has commands of the service is replaced in one step; so is what its timers start."""
        if runtime == _journal.CONTAINER:
            self.timers.to_container(self.journal.candidate["container"])
            self.user_crontabs.to_container(self.journal.candidate["container"], interpreter(self.service))
        else:
            self.timers.to_host()
            self.user_crontabs.to_host()
        for path, text in self._crontabs(runtime).items():
            if text != _host_stack.read(path):
                info = os.stat(path)
                _journal.replace_file(path, text, info.st_mode & 0o7777, info.st_uid, info.st_gid)


def follow_release(journal: _journal.Journal) -> None:
    """The code on the host becomes that of the container which has taken the seam from another one."""
    releases = _releases.Releases(journal.name)
    if journal.data["leaving"]["went_back"]:
        release = next((item["release"] for item in _kept.of(journal) if item["id"] == journal.candidate["image"]), None)
        if release not in releases.there():
            return
        releases.save(wanted=release, pinned=True)
        releases.flip()
    releases.settle()


class Handover(Move):
    """The same from one container to the next, up to the moment from which the next one is the service's container."""

    words = _watch.BETWEEN

    def __init__(self, journal: _journal.Successor, client: Any) -> None:
        super().__init__(journal, client)
        self.successor: _journal.Successor = journal

    def remember(self) -> Dict[str, Any]:
        """The way back to the host begins where it began."""
        return {}

    @property
    def other_socket(self) -> str:
        return self.successor.served_by["socket"]

    def other_is_up(self) -> bool:
        return is_listening(self.other_socket)

    def take_seam(self) -> None:
        """New connections go to the next container."""
        self.release_mules()
        self.seam.take(self.socket)

    def stay(self) -> None:
        """The next container is the service's from here on."""
        self.journal = self.successor.promote()

    def return_seam(self) -> None:
        """New connections go to the running container again, and no run that comes after a killed one moves them once more."""
        self.seam.take(self.other_socket)
        self.journal.record("went back", phase=_journal.HOST)

    def give_up(self, edge: Mapping[str, Any], drain_timeout: float) -> None:
        """The next container answers what it has, and goes."""
        self._end(self.journal.candidate, drain_timeout)
        Move(self.successor.former, self.client).keep_across_boots(edge)
        discard(self.client, self.successor)


def handovers(journals: Sequence[_journal.Journal]) -> List[_journal.Successor]:
    """The next containers that have been proven, or have the seam already."""
    found = [_journal.Successor(journal) for journal in journals if journal.data.get("next")]
    return [journal for journal in found if journal.phase in ("proven", "switching") or not on_host(journal)]


def _where(journal: _journal.Journal) -> str:
    """Where a service's requests go, in the words of a diff."""
    return "runtime: %s\n" % journal.runtime + ("container: %s\n" % journal.candidate["container"] if journal.runtime == _journal.CONTAINER else "")


class SwitchModule(WebstackModule):
    """Move the named services to ``to`` (container or host)."""

    def run(self) -> None:
        target = self.params["to"]
        with contextlib.nullcontext() if self.check_mode else host_lock():  # first, since another run may be about to write the journals
            if not self.check_mode:  # also of services that need no move: a run may have been killed before it noted its first step
                _journal.sweep(map(_paths.service_state, [*self.params["services"], _paths.EDGE]))
            journals = [_journal.load(name) for name in self.params["services"]]
            final = "switched" if target == _journal.CONTAINER else _journal.HOST
            open_moves = [journal for journal in journals if journal.phase != final or journal.data.get("next")]
            if target == _journal.HOST:
                for step in _set_aside.undo(open_moves, self.check_mode):
                    self.add_diff(step.what, step.before, step.after)
            former = {journal.name: _where(journal) for journal in open_moves}
            if open_moves and not self.check_mode:
                with engine() as client:
                    self._move(target, self._moves(open_moves, target, client))
        self.result["edge"] = _journal.HOST if _journal.edge_on_host() else _journal.CONTAINER
        self.result["services"] = []
        for journal in journals:
            if journal in open_moves:
                self.add_diff(journal.name, former[journal.name], "runtime: %s\n" % target if self.check_mode else _where(journal))
            self.result["services"].append({"service": journal.name, "runtime": target if self.check_mode else journal.runtime,
                                            "switched_at": journal.at("switched" if target == _journal.CONTAINER else "rolled back")})

    def _moves(self, journals: List[_journal.Journal], target: str, client: Any) -> List[Move]:
        """The moves, those to a next container among them; one that is not proven, or not wanted any more, is given up."""
        nexts = {journal.name: journal for journal in handovers(journals)}
        for journal in journals:
            successor = nexts.get(journal.name)
            if target == _journal.HOST and successor is not None and not on_host(successor):
                successor.promote()  # a run that was killed came so far
            elif journal.runtime == _journal.CONTAINER and not journal.data.get("leaving") and (successor is None or target == _journal.HOST):
                discard(client, _journal.Successor(journal))
            if target == _journal.HOST and journal.data.get("leaving"):
                follow_release(journal)
        if target == _journal.HOST:
            return [Move(journal, client) for journal in journals]
        return [Handover(nexts[journal.name], client) if journal.name in nexts else Move(self._movable(journal, target), client)
                for journal in journals if journal.name in nexts or journal.phase != "switched"]

    @staticmethod
    def _movable(journal: _journal.Journal, target: str) -> _journal.Journal:
        if target == _journal.CONTAINER and journal.phase not in ("proven", "switching", "switched", "returning"):
            raise WebstackError("service %s: no candidate has been proven for it; run convert" % journal.name)
        return journal

    def _move(self, target: str, moves: List[Move]) -> None:
        edge, drain = self.params["edge"], self.params["drain_timeout"]
        self._each(moves, lambda m: m.sweep())
        frozen = [move for move in moves if _frozen.applies(move, target)] if target == _journal.CONTAINER else []
        moves = [move for move in moves if move not in frozen]
        if target == _journal.CONTAINER:
            self._refuse_side_by_side(frozen)
            self._each(moves, lambda m: m.begin())
            refused = self._canary(moves)
            self._each(moves, lambda m: m.await_lull(), lambda m: m.keep_across_boots(edge))
            watches = self._watches(moves, self.params["watch"])  # made before the switch: nobody waits for a look while they are
            self._each(moves, lambda m: m.take_seam())
            refused += self._watch(moves, watches, 100, self.params["watch"])
            self._each(moves, lambda m: m.stay())
            self._each(moves, lambda m: m.schedule(target), lambda m: m.move_workers(target), lambda m: m.drain_host(drain),
                       lambda m: m.settle_host(drain), lambda m: m.stop_host(), lambda m: m.await_host_stopped(), lambda m: m.end_former(drain),
                       lambda m: m.release(), lambda m: m.done(self.params["keep_images"]))
            refused += self._with_state(frozen, lambda frozen: frozen.forth())
        else:
            refused = self._back(moves)
        for warning in (warning for move in [*moves, *frozen] for warning in move.warnings):
            self.module.warn(warning)
        if refused:
            raise WebstackError("; ".join(refused))

    @staticmethod
    def _each(moves: List[Move], *steps: Callable[[Move], None]) -> None:
        for step in steps:
            for move in moves:
                step(move)

    def _back(self, moves: List[Move]) -> List[str]:
        """Move to the host; sentences about what could not."""
        frozen = [move for move in moves if _frozen.applies(move, _journal.HOST)]
        others = [move for move in moves if move not in frozen]
        self._seam_back(others)
        self._each(others, lambda m: m.schedule(_journal.HOST), lambda m: m.move_workers(_journal.HOST),
                   lambda m: m.forget_container(self.params["drain_timeout"]))
        return self._with_state(frozen, lambda frozen: frozen.back())

    def _seam_back(self, moves: List[Move]) -> None:
        """New requests go to the host; a watch has this done at once, and the rest when it is over. Idempotent."""
        drain, timeout = self.params["drain_timeout"], self.params["timeout"]
        self._each(moves, lambda m: m.end_leaving(drain), lambda m: m.hold_back(drain), lambda m: m.start_host(), lambda m: m.give_seam_back(timeout))

    def _with_state(self, moves: Sequence[Move], act: Callable[[_frozen.Frozen], Dict[str, Any]]) -> List[str]:
        """Move services whose state changes sides with them, one after the other, so that each is held for a short time. Sentences about what could not."""
        refused = []
        for move in moves:
            try:
                with _dead_man.beside(functools.partial(self._go_on, move.name, act)):
                    self.result.setdefault("frozen", []).append(act(_frozen.Frozen(move, self.params, self.module.log)))
            except WebstackError as exc:
                refused.append(str(exc))
        return refused

    def _go_on(self, name: str, act: Callable[[_frozen.Frozen], Dict[str, Any]]) -> None:
        """Requests of the service wait, and the process that was to end that is gone: what the next run would do."""
        journal = _journal.load(name)
        if (journal.data.get("freeze") or {}).get("since"):
            with engine() as client:
                move = Move(journal, client)
                move.sweep()
                act(_frozen.Frozen(move, self.params, self.module.log))

    def _refuse_side_by_side(self, frozen: Sequence[Move]) -> None:
        if frozen and (self.params["canary"] or self.params["watch"]):
            raise WebstackError("service %s: its state goes to a volume, so the host's process and the container cannot serve side by side; leave canary "
                                "and watch out, or select the other services" % frozen[0].name)

    def _canary(self, moves: List[Move]) -> List[str]:
        """The same as ``_watch`` while a part of the requests goes to the containers."""
        percent, seconds = self.params["canary"], self.params["canary_seconds"]
        if not (percent and seconds):
            return []
        for move in moves:
            if percent < 100 and not move.seam.divisible:
                raise WebstackError("service %s: nginx reaches it at %s, where requests cannot be shared out; leave the canary out (the watch is there for it)"
                                    % (move.name, move.seam.address))
        return self._watch(moves, self._watches(moves, seconds), percent, seconds)

    @staticmethod
    def _watches(moves: List[Move], seconds: float) -> List[_watch.Watch]:
        """What there is to watch for ``seconds``."""
        return [found for found in (move.watch() for move in moves if seconds) if found is not None]

    def _watch(self, moves: List[Move], watches: List[_watch.Watch], percent: float, seconds: float) -> List[str]:
        """Watch while ``percent`` of the requests go to the containers; what gets worse goes back and out of ``moves``. Sentences about these."""
        if not watches:
            return []
        known = {move.name: move for move in moves}
        limits = _watch.Limits(self.params["watch_errors"], self.params["watch_p99"])
        began, ended = time.monotonic(), {}

        def back(watched: _watch.Watch) -> None:
            ended[watched.service["name"]] = time.monotonic() - began
            move = known[watched.service["name"]]
            if isinstance(move, Handover):
                move.return_seam()
            else:
                self._seam_back([move])

        found = _watch.watch(watches, seconds, limits, back, lambda watched: known[watched.service["name"]].share(percent) if percent < 100 else None)
        self.result.setdefault("watched", []).extend(dict(watched.summary(), service=watched.service["name"], percent=percent) for watched in watches)
        worse = [move for move in moves if move.name in found]
        moves[:] = [move for move in moves if move.name not in found]
        self._back([move for move in worse if not isinstance(move, Handover)])
        for move in worse:
            if isinstance(move, Handover):
                move.give_up(self.params["edge"], self.params["drain_timeout"])
        return ["service %s: went back to %s by itself %d s after %d %% of its requests had gone to %s: %s"
                % (move.name, move.words.host, ended[move.name], percent, move.words.container, found[move.name]) for move in worse]
