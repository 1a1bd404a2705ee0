# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx moves: from its unit into a container, from one container to the next, and back.

One rule for every way and for a run after one that was killed: the side that nginx shall be on has the sockets of one that has them and
serves; then all others answer what they have, and go.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import json
import os
import shutil
from typing import Any, Dict, List, NamedTuple, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _engine, _journal, _paths, _proc
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, host_lock, run
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_nginx
from ansible_collections.gantry.webstack.plugins.module_utils.edge import _configuration, _handover, _image, _masters, _mounts, _proof, _questions, _sides
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx
from ansible_collections.gantry.webstack.plugins.module_utils.move._parity_module import tail_lines

SWITCHED, SWITCHING, RETURNING = "switched", "switching", "returning"


class Plan(NamedTuple):
    """nginx's container as it shall be."""

    nginx: _sides.Nginx
    uses: _configuration.Uses
    dump: str
    mounts: _mounts.Mounts
    harvested: _image.Harvested
    limits: List[Dict[str, Any]]

    @property
    def slot(self) -> str:
        """12 hexadecimal digits of all that the container is made of."""
        parts = [self.harvested.image.id, list(self.nginx), [list(mount) for mount in self.mounts.mounts], self.limits, _sides.CAPABILITIES]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:12]

    def described(self) -> str:
        """In the words of a diff."""
        lines = ["runtime: container", "container: webstack.edge-" + self.slot, "image: " + self.harvested.image.tag]
        lines += ["mount: %s %s" % (mount.path, "read-only" if mount.read_only else "read-write") for mount in self.mounts.mounts]
        return "\n".join(lines) + "\n"


class EdgeModule(WebstackModule):
    """Have nginx run where ``to`` says."""

    def run(self) -> None:
        with contextlib.nullcontext() if self.check_mode else host_lock():
            self.journal = _journal.load(_paths.EDGE)
            with contextlib.ExitStack() as stack:
                self.client = self._client(stack)
                if self.params["to"] == _journal.CONTAINER:
                    try:
                        self._to_container()
                    finally:
                        self._leave_no_trace()
                elif self.journal.phase != _journal.HOST:
                    self._to_host()
                else:
                    if self.client is not None and not self.check_mode:
                        _proof.forget(self.client)
                    self._leave_no_trace()
        runtime = self.params["to"] if self.check_mode and self.params["until"] == "switch" else self.journal.runtime
        self.result.update(runtime=runtime, container=self.journal.candidate.get("container", ""), image=self.journal.candidate.get("image", ""))

    def _leave_no_trace(self) -> None:
        """Of a move that was not begun, nothing stays but the image."""
        if not self.check_mode and _journal.load(_paths.EDGE).phase == _journal.HOST:  # as it was written: on a full disk its beginning is not
            shutil.rmtree(_paths.EDGE_RUN, ignore_errors=True)

    def _client(self, stack: contextlib.ExitStack) -> Any:
        """The engine; None where it is not needed, or not yet."""
        to_host = self.params["to"] == _journal.HOST
        if to_host and _journal.edge_on_host():
            return None
        try:
            return stack.enter_context(_engine.engine())
        except _engine.EngineMissing:
            if self.check_mode or (to_host and self.journal.phase == _journal.HOST):
                return None
            raise

    # Where nginx is, and what its container is to be.

    def _masters(self) -> List[_proc.Process]:
        found = [process for process in _proc.processes().values() if process.argv[0].startswith("nginx: master process")]
        return sorted(found, key=lambda process: process.pid)

    def _nginx(self) -> _sides.Nginx:
        """The nginx that runs, as its unit starts it. Raises WebstackError when it is none that could be moved."""
        known = self.journal.data.get("host")
        if known:
            return _sides.Nginx(**known)
        kept = [process for process in self._masters() if process.unit]
        if not kept:
            raise WebstackError("nginx: %s" % ("no systemd unit keeps it" if self._masters() else "it does not run on this host, so there is nothing to move"))
        if len(kept) > 1:
            raise WebstackError("nginx: there are several (%s), and only one can be moved" % ", ".join(process.unit for process in kept))
        master = kept[0]
        kind = run(["systemctl", "show", "--value", "--property=Type", master.unit]).stdout.strip()
        if kind != "forking":
            raise WebstackError("nginx: its unit %s has Type=%s; only one that goes into the background (Type=forking) can be moved" % (master.unit, kind))
        arguments = _evidence_nginx.arguments(" ".join(master.argv))
        binary = master.exe or "/usr/sbin/nginx"
        uses = self._uses(binary, self._dump(binary, arguments))
        return _sides.Nginx(master.unit, binary, arguments, _evidence_nginx.main_file(" ".join(master.argv)), uses.pid)

    @staticmethod
    def _uses(binary: str, dump: str) -> _configuration.Uses:
        return _configuration.uses(dump, _configuration.build_of(run([binary, "-V"]).stderr))

    @staticmethod
    def _dump(binary: str, arguments: List[str]) -> str:
        try:
            return run([binary, *arguments, "-T", "-q"]).stdout
        except CommandError as exc:
            complaint = _nginx.parse_complaint(exc.details.get("stderr", ""))
            raise WebstackError("nginx refuses its configuration (%s); put it right first: it serves on as it was started"
                                % (complaint.text if complaint else exc)) from exc

    def _plan(self) -> Plan:
        nginx = self._nginx()
        dump = self._dump(nginx.binary, nginx.arguments)
        uses = self._uses(nginx.binary, dump)
        if uses.transparent:
            raise WebstackError("nginx: a transparent listen or bind needs more rights than its container has; leave it on the host")
        mounts = _mounts.mounts(uses)
        if mounts.problems:
            raise WebstackError("nginx: %s" % "; ".join(mounts.problems))
        if not os.path.exists(_sides.DOCKER) and not self.check_mode:
            raise WebstackError("nginx: its unit would lead to its container by the docker command line, and there is no %s; "
                                "run the role gantry.webstack.engine" % _sides.DOCKER)
        masters = self._masters()
        running = [process for process in _proc.processes().values() if process.pid in {master.pid for master in masters}
                   or process.parent in {master.pid for master in masters}]
        harvested = _image.harvest(nginx.binary, nginx.arguments, uses, mounts.mounts, running)
        limits = self.journal.data.get("limits") or (_sides.open_files(masters[0].pid, uses.descriptors) if masters else [])
        return Plan(nginx, uses, dump, mounts, harvested, limits)

    # Into a container.

    def _to_container(self) -> None:
        plan = self._plan()
        entry: Dict[str, Any] = {"container": "webstack.edge-" + plan.slot, "slot": plan.slot}
        self.result.update(remarks=plan.mounts.remarks, packages=plan.harvested.packages)
        if self.client is None:
            self.add_diff("nginx", "runtime: host\n", plan.described())
            return
        side = self._container_side(plan.nginx, plan.slot, plan)
        host = _sides.HostSide(plan.nginx)
        at_rest = self.journal.phase == SWITCHED and self.journal.candidate.get("slot") == plan.slot
        if at_rest and side.serves() and not host.master() and _sides.containers(self.client) == [plan.slot]:
            return
        self.add_diff("nginx", "runtime: %s\n" % self.journal.runtime, plan.described())
        if self.check_mode:
            return
        side.image = _image.have(self.client, plan.harvested)
        if self.params["until"] == "image":
            return
        self._sweep(plan.nginx)
        entry.update(image=side.image, mounts=[list(mount) for mount in plan.mounts.mounts])
        if not side.serves():  # a run before this one has come further
            self._try(plan, side)
            if self.params["until"] != "candidate":
                self._prove(plan, side)
        if self.params["until"] != "switch":
            return
        self.journal.record("switching", phase=SWITCHING, host=dict(plan.nginx._asdict()), limits=plan.limits, next=entry)
        others = self._others(side, host)
        try:
            self._have_serve(side, others)
        except WebstackError as exc:
            side.stop()
            if self.journal.runtime == _journal.HOST:
                self.journal.record("discarded", phase=_journal.HOST, next=None, host=None, limits=None)
            else:
                self.journal.record("discarded", phase=SWITCHED, next=None)
            raise WebstackError("%s; nginx serves on as it was" % exc) from exc
        _sides.keep_places(plan.mounts.mounts, plan.nginx.pid_file)
        host.stands_for(side.name)
        side.keep()
        _sides.link_pid_file(plan.nginx.pid_file)
        self.journal.record("switched", runtime=_journal.CONTAINER, candidate=entry, next=None)
        self._leave(others)
        self._forget_images(side.image)
        self.journal.record("host stopped", phase=SWITCHED)

    def _container_side(self, nginx: _sides.Nginx, slot: str, plan: Optional[Plan] = None) -> _sides.ContainerSide:
        side = _sides.ContainerSide(self.client, slot, nginx)
        if plan is not None:
            side.image, side.interpreter = plan.harvested.image.id, plan.harvested.interpreter
            side.mounts, side.limits = plan.mounts.mounts, plan.limits
        return side

    def _sweep(self, nginx: _sides.Nginx) -> None:
        """Remove what a run that was killed was about to move to its place."""
        host = _sides.HostSide(nginx)
        _journal.sweep([_paths.service_state(_paths.EDGE), *(os.path.dirname(path) for path in (host.drop_in, host.way_back, _sides.TMPFILES, nginx.pid_file))])
        for directory in _journal.sweep(glob.glob("/etc/systemd/system/*.service.d")):  # see _sides.keep_places
            with contextlib.suppress(OSError):  # it holds more
                os.rmdir(directory)

    def _prove(self, plan: Plan, side: _sides.ContainerSide) -> None:
        """nginx in a container answers as the one that runs does."""
        unseen = _proof.hidden(plan.uses, plan.mounts.mounts)
        if unseen:
            self.module.warn("nginx was not asked in a container beside the host's: it connects to %s and binds a socket in the same directory" % unseen)
            return
        prefix = _configuration.build_of(run([plan.nginx.binary, "-V"]).stderr).prefix
        lines = [line for directory in sorted(plan.uses.written) for path in sorted(glob.glob(directory + "/*access*.log"))
                 for line in tail_lines(path)]
        servers = _questions.servers(plan.dump, prefix)
        asked = _questions.questions(servers, _questions.logged(lines), self.params["requests"])
        with _proof.Beside(side, plan.uses, plan.dump) as beside:
            count, differences = _proof.compare(asked, beside.pid)
        self.result.update(compared=count, differences=_proof.told(differences))
        if differences:
            raise WebstackError("nginx in its container answers %d of %d requests otherwise than the host's, first %s (%s); nothing was changed"
                                % (len(differences), len(asked), differences[0].request, "; ".join(differences[0].what)))

    def _try(self, plan: Plan, side: _sides.ContainerSide) -> None:
        """nginx in the container takes the configuration."""
        command = [plan.nginx.binary, *plan.nginx.arguments, "-t", "-q"]
        os.makedirs(_paths.RUN_DIR, mode=0o755, exist_ok=True)
        os.makedirs(_paths.EDGE_RUN, mode=0o700, exist_ok=True)
        wanted = dict(side.confinement(), detach=False, stderr=True, remove=True)
        try:
            self.client.containers.run(side.image, command, network_mode="host", labels={_image.LABEL + ".test": "nginx"}, **wanted)
        except _engine.docker.errors.ContainerError as exc:
            said = exc.stderr.decode("utf-8", "replace") if isinstance(exc.stderr, bytes) else str(exc.stderr)
            complaint = _nginx.parse_complaint(said)
            raise WebstackError("nginx in its container refuses the configuration that it takes on the host (%s); nothing was changed"
                                % (complaint.text if complaint else said.strip() or exc)) from exc

    def _others(self, target: _sides.Side, host: _sides.HostSide) -> List[_sides.Side]:
        """Every side but the target that has a master, or a container."""
        slots = [slot for slot in _sides.containers(self.client) if slot]
        found: List[_sides.Side] = [self._container_side(host.nginx, slot) for slot in slots
                                    if not (isinstance(target, _sides.ContainerSide) and target.slot == slot)]
        return ([] if target is host or not host.master() else [host]) + found

    def _have_serve(self, target: _sides.Side, others: List[_sides.Side]) -> None:
        """The target has the sockets and serves. Raises WebstackError."""
        if target.serves():
            return
        if target.master():  # it was told to leave by a run that was killed
            _masters.wake(target.master())
            if not until(target.serves, _sides.START_SECONDS):
                raise WebstackError("%s does not serve again; see its error log" % target.words)
            return
        running = sorted((other for other in others if other.master()), key=lambda other: not other.serves())
        if not running:
            target.start([])
            return
        with _handover.listeners(running[0].master()) as sockets:
            target.start(sockets)

    def _leave(self, others: List[_sides.Side]) -> None:
        for other in others:
            if other.master() and not _masters.drained(other.master(), self.params["drain_timeout"]):
                self.module.warn("%s had requests open after %d s; %s" % (
                    other.words, self.params["drain_timeout"], "its old workers finish them" if isinstance(other, _sides.HostSide) else "they were cut"))
            other.stop()

    def _forget_images(self, current: str) -> None:
        for item in self.client.api.images(filters={"label": _image.LABEL}):
            if item["Id"] != current:
                with contextlib.suppress(_engine.docker.errors.APIError):
                    self.client.api.remove_image(item["Id"], force=True)

    # Back to the host.

    def _to_host(self) -> None:
        self.add_diff("nginx", "runtime: %s\n" % self.journal.runtime, "runtime: host\n")
        if self.check_mode:
            return
        nginx = self._nginx()
        host = _sides.HostSide(nginx)
        self._sweep(nginx)
        try:
            run([nginx.binary, *nginx.arguments, "-t", "-q"])
        except CommandError as exc:
            complaint = _nginx.parse_complaint(exc.details.get("stderr", ""))
            raise WebstackError("nginx on the host refuses the configuration (%s); its container serves on" % (complaint.text if complaint else exc)) from exc
        self.journal.record("returning", phase=RETURNING)
        others = self._others(host, host)
        try:
            self._have_serve(host, others)
        except WebstackError as exc:
            self._stay_in_container(host, nginx)
            raise WebstackError("%s; its container serves on" % exc) from exc
        host.stands_for(None)
        _sides.own_pid_file(nginx.pid_file, host.master())
        self.journal.record("rolled back", runtime=_journal.HOST)
        self._leave(others)
        _sides.forget_places()
        shutil.rmtree(_paths.EDGE_RUN, ignore_errors=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_sides.ENTER)
        self.journal.record("host", phase=_journal.HOST, candidate=None, host=None, limits=None, next=None)

    def _stay_in_container(self, host: _sides.HostSide, nginx: _sides.Nginx) -> None:
        candidate = self.journal.candidate.get("container")
        if candidate and not host.master():
            _sides.link_pid_file(nginx.pid_file)
            host.stands_for(candidate)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(host.way_back)
            run(["systemctl", "daemon-reload"])
            self.journal.record("stays", phase=SWITCHED)
