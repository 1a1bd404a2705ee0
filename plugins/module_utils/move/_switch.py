# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The switch over the socket, and its way back: steps that each look first, so that a killed run is finished by the next.

Every step is taken for all services before the next one, so that waiting overlaps.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any, Dict, List, Mapping

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import await_health, health_problem
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import engine, find_container, remove_container
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, host_lock
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import is_listening
from ansible_collections.gantry.webstack.plugins.module_utils.move import _cron, _host_stack, _seam, _timers
from ansible_collections.gantry.webstack.plugins.module_utils.move._candidate import account, forget, group_of_nginx

STOP_SECONDS = 60
"""How long an instance may take to end after its last request."""


class Move:
    """One service on its way: its journal, its seam, its host stack and its container."""

    def __init__(self, journal: _journal.Journal, client: Any) -> None:
        self.journal, self.client = journal, client
        self.name = journal.name
        self.service: Mapping[str, Any] = journal.service
        self.seam: str = journal.data["seam"]
        self.stack = _host_stack.of(self.service, self.seam, journal.data.get("host"))
        self.timers = _timers.Timers(self.name, self.service.get("schedule", []))
        self.warnings: List[str] = []

    @property
    def socket(self) -> str:
        """The container's socket."""
        return self.journal.candidate["socket"]

    def container(self) -> Any:
        """The container (docker Container), or None."""
        return find_container(self.client, self.journal.candidate.get("container", ""))

    # Host to container.

    def begin(self) -> None:
        """Last look at both sides; note where the way back begins."""
        if _seam.links_to(self.seam, self.socket):
            return  # a run before this one has come so far
        self._crontabs(_journal.CONTAINER)
        self.timers.texts(self.journal.candidate["container"])  # a plan that does not fit any more is told before anything moves
        problem = health_problem(self.service, self.socket)
        if problem is not None:
            raise WebstackError("service %s: its candidate does not answer as it should (%s); run convert again" % (self.name, problem))
        self.journal.record("switching", phase="switching", host=self.journal.data.get("host") or self.stack.remember())
        self.stack.memory = self.journal.data["host"]

    def keep_across_boots(self, edge: Mapping[str, Any]) -> None:
        """The engine starts the container after a boot, tmpfiles.d makes its directory and the seam before that."""
        container = self.container()
        if container is not None and container.attrs["HostConfig"]["RestartPolicy"]["Name"] != "unless-stopped":
            container.update(restart_policy={"Name": "unless-stopped"})
        uid = account(self.service)[0]
        stats = {path: os.stat(path) for path in _seam.directories_on_run(self.seam)}
        rules = _seam.tmpfiles_rules(self.seam, _paths.service_run(self.name), self.socket, uid, group_of_nginx(edge), stats)
        path = _paths.tmpfiles_conf(self.name, "container")
        if not os.path.exists(path) or _host_stack.read(path) != rules:
            _journal.replace_file(path, rules, 0o644)

    def take_seam(self) -> None:
        """New connections go to the container from here on."""
        if not _seam.links_to(self.seam, self.socket):
            _seam.link(self.seam, self.socket)
        if self.journal.runtime != _journal.CONTAINER:
            self.journal.record("switched", runtime=_journal.CONTAINER)

    def drain_host(self, timeout: float) -> None:
        """Requests that the host's instance has are answered by it."""
        if self.stack.running() and not _seam.drained(None, self.stack.paths, timeout):
            self.warnings.append("service %s: requests were still open on the host after %d s" % (self.name, timeout))

    def stop_host(self) -> None:
        """The host's instance is set aside; the seam is watched until it has ended."""
        self.stack.set_aside()

    def await_host_stopped(self) -> None:
        """Wait for its end; whatever it tidies away at the seam is put back at once."""
        def ended() -> bool:
            if not _seam.links_to(self.seam, self.socket):
                os.makedirs(os.path.dirname(self.seam), exist_ok=True)
                _seam.link(self.seam, self.socket)
            return not self.stack.running()
        _seam.wait_for("service %s: the host's instance did not end" % self.name, ended, STOP_SECONDS)
        ended()

    def done(self) -> None:
        """The move to the container is complete."""
        self.journal.record("host stopped", phase="switched")

    # Container to host.

    def start_host(self) -> None:
        """The host's instance comes up beside the seam."""
        if not _seam.is_link(self.seam):
            return
        if self.journal.phase != "returning":
            self.journal.record("returning", phase="returning")
        new = _paths.beside(self.seam)
        if _seam.is_socket(new) and is_listening(new):
            return  # a run before this one has come so far
        if self.stack.running():  # the switch was killed before it could stop the host's instance
            self.stack.set_aside()
            self.await_host_stopped()
        self.stack.start_beside()

    def give_seam_back(self, timeout: float) -> None:
        """Once the host's instance is healthy, its socket becomes the seam."""
        if _seam.is_link(self.seam):
            new = _paths.beside(self.seam)
            try:
                await_health(self.service, new, timeout)
            except WebstackError as exc:
                self.stack.set_aside()
                raise WebstackError("%s; the container serves on" % exc) from exc
            os.rename(new, self.seam)
        if self.journal.runtime != _journal.HOST:
            self.journal.record("rolled back", runtime=_journal.HOST)

    def forget_container(self, drain_timeout: float) -> None:
        """The container answers what it has, and goes; its image stays for the next convert."""
        container = self.container()
        if container is not None:
            # Its requests are counted in its own network namespace.
            pid = container.attrs["State"]["Pid"]
            if pid and not _seam.drained(pid, [self.socket], drain_timeout):
                self.warnings.append("service %s: requests were still open in the container after %d s" % (self.name, drain_timeout))
            self._await_jobs(container, drain_timeout)
            remove_container(container, stop_timeout=STOP_SECONDS)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_paths.tmpfiles_conf(self.name, "container"))
        self.stack.restore()
        forget(self.name)
        self.journal.record("host", phase=_journal.HOST, candidate=None, host=None)

    def _await_jobs(self, container: Any, timeout: float) -> None:
        """Let scheduled commands that run in the container end."""
        def idle() -> bool:
            started = self.timers.in_container()  # asked first: its client may not have reached the engine yet
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

    def schedule(self, runtime: str) -> None:
        """Each crontab that has commands of the service is replaced in one step; so is what its timers start."""
        if runtime == _journal.CONTAINER:
            self.timers.to_container(self.journal.candidate["container"])
        else:
            self.timers.to_host()
        for path, text in self._crontabs(runtime).items():
            if text != _host_stack.read(path):
                info = os.stat(path)
                _journal.replace_file(path, text, info.st_mode & 0o7777, info.st_uid, info.st_gid)


class SwitchModule(WebstackModule):
    """Move the named services to ``to`` (container or host)."""

    def run(self) -> None:
        target = self.params["to"]
        with contextlib.nullcontext() if self.check_mode else host_lock():  # first, since another run may be about to write the journals
            journals = [_journal.load(name) for name in self.params["services"]]
            final = "switched" if target == _journal.CONTAINER else _journal.HOST
            open_moves = [journal for journal in journals if journal.phase != final]
            if open_moves and not self.check_mode:
                with engine() as client:
                    self._move(target, [Move(self._movable(journal, target), client) for journal in open_moves])
        self.result["services"] = []
        for journal in journals:
            if journal in open_moves:
                other = _journal.HOST if target == _journal.CONTAINER else _journal.CONTAINER
                self.add_diff(journal.name, "runtime: %s\n" % other, "runtime: %s\n" % target)
            self.result["services"].append({"service": journal.name, "runtime": target if self.check_mode else journal.runtime,
                                            "switched_at": journal.at("switched" if target == _journal.CONTAINER else "rolled back")})

    @staticmethod
    def _movable(journal: _journal.Journal, target: str) -> _journal.Journal:
        if target == _journal.CONTAINER and journal.phase not in ("proven", "switching", "switched", "returning"):
            raise WebstackError("service %s: no candidate has been proven for it; run convert" % journal.name)
        return journal

    def _move(self, target: str, moves: List[Move]) -> None:
        edge, drain, timeout = self.params["edge"], self.params["drain_timeout"], self.params["timeout"]
        if target == _journal.CONTAINER:
            steps = [lambda m: m.begin(), lambda m: m.keep_across_boots(edge), lambda m: m.take_seam(), lambda m: m.schedule(target),
                     lambda m: m.drain_host(drain), lambda m: m.stop_host(), lambda m: m.await_host_stopped(), lambda m: m.done()]
        else:
            steps = [lambda m: m.start_host(), lambda m: m.give_seam_back(timeout), lambda m: m.schedule(target), lambda m: m.forget_container(drain)]
        for step in steps:
            for move in moves:
                step(move)
        for warning in (warning for move in moves for warning in move.warnings):
            self.module.warn(warning)
