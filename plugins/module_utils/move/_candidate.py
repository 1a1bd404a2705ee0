# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The candidate: a service's container beside its host process, on a socket of its own, until it is proven."""

from __future__ import annotations

import contextlib
import glob
import grp
import os
import pwd
import resource
import shutil
import socket as sockets
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import await_health
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import engine, find_container, remove_container
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, host_lock
from ansible_collections.gantry.webstack.plugins.module_utils.install import _releases, _secret_files
from ansible_collections.gantry.webstack.plugins.module_utils.move import (
    _beside,
    _container_config,
    _cron,
    _held,
    _instance,
    _kept,
    _seams,
    _timers,
    _user_crontabs,
    _volumes,
    _worker_units,
)
from ansible_collections.gantry.webstack.plugins.module_utils.move._host_stack import read

LOG_TAIL, LOG_READ = 40, 400
"""Lines of a container's log that are told, and that are read: each worker may have logged a traceback."""

LOG_BYTES = 1 << 16
"""As much of one that is a file."""

PRECOPY_SECONDS = 3600.0
"""How long a pass over the state may take while the host serves; the switch says when it is too long to wait for."""

Moves = List[Tuple[Mapping[str, Any], _journal.Journal]]
"""Service definitions, each with the journal of its candidate."""


class Candidate(NamedTuple):
    """One container as it shall be."""

    service: Mapping[str, Any]
    image: str
    slot: str
    socket: str
    config: str
    secrets: Optional[str]
    mounts: List[_container_config.Mount]
    network: str
    user: str
    groups: List[int]

    @property
    def name(self) -> str:
        """The container's name: one exact candidate of one service."""
        return "webstack-%s-%s" % (self.service["name"], self.slot)

    @property
    def directory(self) -> str:
        """Where its configuration lies on the host."""
        return os.path.join(_paths.service_state(self.service["name"]), self.slot)

    def journal_entry(self) -> Dict[str, str]:
        """What the journal keeps."""
        return {"container": self.name, "image": self.image, "slot": self.slot, "socket": self.socket}

    def described(self) -> str:
        """The container in the words of a diff; without secrets."""
        lines = ["container: " + self.name, "image: " + self.image, "network: " + self.network, "user: " + self.user]
        lines += ["mount: %s %s%s" % (mount.target, "read-only" if mount.read_only else "read-write",
                                      ", in the volume %s once it serves" % mount.volume if mount.volume else "") for mount in self.mounts]
        return "\n".join(lines + ["", self.config])


def plan_candidate(service: Mapping[str, Any], image: str, secret_values: Mapping[str, str], user: str, groups: List[int]) -> Candidate:
    """Everything that makes up a service's container; the same input gives the same name. Pure but for looking whether paths exist."""
    name = service["name"]
    net = _container_config.network(service)
    secrets = _container_config.ini([("env", "%s=%s" % item) for item in sorted(secret_values.items())]) if secret_values else None
    include = _container_config.log_options(service) + ([("ini", _container_config.SECRETS)] if secrets else [])
    beside = [_container_config.Mount("beside", _beside.DIRECTORY, True)] if _beside.has_any(service) else []
    logs = _container_config.log_mounts(service)
    draft = _container_config.mounts(service, "", "" if secrets is None else "secrets") + beside + logs
    slot = _container_config.slot(image, _container_config.ini(_container_config.uwsgi_options(service, "", hold=True) + include), secrets or "", draft, net,
                                  service.get("container", {}))
    directory = os.path.join(_paths.service_state(name), slot)
    socket = os.path.join(_paths.service_run(name), slot + ".sock")
    mounts = _container_config.mounts(service, os.path.join(directory, "uwsgi.ini"), os.path.join(directory, "secrets.ini") if secrets else None)
    mounts += [mount._replace(source=os.path.join(directory, mount.source)) for mount in beside] + logs
    config = _container_config.ini(_container_config.uwsgi_options(service, socket, hold=True) + include)
    return Candidate(service, image, slot, socket, config, secrets, mounts, net, user, groups)


def account(service: Mapping[str, Any]) -> "tuple[int, int, List[int]]":
    """uid, gid and supplementary gids of the service's user as the host has them. Raises WebstackError when there is no such user."""
    user = service["user"]
    try:
        entry = pwd.getpwnam(user["name"])
        gid = grp.getgrnam(user["group"]).gr_gid if user.get("group") else user.get("gid", entry.pw_gid)
    except KeyError as exc:
        raise WebstackError("service %s: %s" % (service["name"], exc.args[0])) from exc
    groups = sorted(set(os.getgrouplist(entry.pw_name, entry.pw_gid)) - {gid})
    return entry.pw_uid, gid, groups


def group_of_nginx(edge: Mapping[str, Any]) -> int:
    """gid of nginx's workers, who have to reach the container's socket. Raises WebstackError when the host has no such group."""
    name = edge.get("group") or edge.get("user") or "www-data"
    try:
        return grp.getgrnam(name).gr_gid
    except KeyError as exc:
        raise WebstackError("nginx's group %r (edge.group in the plan) is not known on this host" % name) from exc


def beside_host(services: Sequence[Mapping[str, Any]]) -> List[Tuple[Mapping[str, Any], _journal.Journal]]:
    """Each service that the host serves, with its journal."""
    moves = [(service, _journal.load(service["name"])) for service in services]
    return [(service, journal) for service, journal in moves if on_host(journal)]


def beside_container(services: Sequence[Mapping[str, Any]]) -> List[Tuple[Mapping[str, Any], _journal.Journal]]:
    """Each service that a container serves, with the journal of the next one; one whose switch has begun is finished by the switch."""
    moves = [(service, _journal.load(service["name"])) for service in services]
    return [(service, _journal.Successor(journal)) for service, journal in moves if journal.phase == "switched" and on_host(_journal.Successor(journal))]


BESIDE = {"host": beside_host, "container": beside_container}
"""Beside what a candidate runs, and how the services are found to which that applies."""


class CandidateModule(WebstackModule):
    """Bring up what ``services`` and ``images`` say, all at once, then wait for each to be healthy."""

    def run(self) -> None:
        images = {item["service"]: item["id"] for item in self.params["images"]}
        self.result.update(candidates=[], copied=[])
        self._logged: Dict[str, int] = {}  # container -> bytes in its log before it
        with contextlib.nullcontext() if self.check_mode else host_lock():  # first, since another run may be about to write the journals
            open_moves = BESIDE[self.params["beside"]](self.params["services"])
            if self.params["image"]:
                open_moves, images = self._kept_images(open_moves)
            if self.check_mode:
                self._tell(open_moves, images)
            elif open_moves:
                self._bring_up(open_moves, images)

    def _kept_images(self, open_moves: Moves) -> Tuple[Moves, Dict[str, str]]:
        """The definitions and ids of the kept images that are asked for."""
        found = {service["name"] for service, dummy in open_moves}
        astray = next((service["name"] for service in self.params["services"] if service["name"] not in found), None)
        if astray is not None:
            raise WebstackError("service %s: its requests do not go to a container, so there is no image to go back to; run convert" % astray)
        entries = {journal.name: _kept.choose(_journal.load(journal.name), self.params["image"]) for dummy, journal in open_moves}
        return [(entries[journal.name]["service"], journal) for dummy, journal in open_moves], {name: entry["id"] for name, entry in entries.items()}

    def _tell(self, open_moves: Moves, images: Mapping[str, str]) -> None:
        for service, journal in open_moves:
            if not journal.served_by:
                _volumes.State(_journal.Journal(service["name"], {**journal.data, "service": dict(service)})).refuse()
                told = "".join("%s copied to the volume %s\n" % item for item in sorted(_volumes.wanted(service).items()))
                self.add_diff(service["name"], "", "a candidate container beside the host's process\n" + told)
            elif service["name"] in images:
                candidate = self._plan(service, images, journal)
                if candidate.journal_entry() != journal.served_by:
                    self.add_diff(service["name"], "", candidate.described())

    def _bring_up(self, open_moves: Moves, images: Mapping[str, str]) -> None:
        with engine() as client:
            planned = [(self._plan(service, images, journal), journal) for service, journal in open_moves]
            for candidate, journal in planned:
                if candidate.journal_entry() == journal.served_by:  # the newest version runs already
                    discard(client, journal)
                    _releases.Releases(journal.name).settle()
            wanted = [(candidate, journal) for candidate, journal in planned if candidate.journal_entry() != journal.served_by]
            try:
                for candidate, journal in wanted:
                    self._start(client, candidate, journal)
                for candidate, journal in wanted:
                    self._await(client, candidate, journal)
                for candidate, journal in wanted:
                    self._copy_state(client, candidate, journal)
            except WebstackError:
                for dummy, journal in wanted:
                    discard(client, journal)
                raise
            if self.params["image"]:  # it has served before
                for dummy, journal in wanted:
                    journal.record("proven", phase="proven", went_back=True)

    def _plan(self, service: Mapping[str, Any], images: Mapping[str, str], journal: _journal.Journal) -> Candidate:
        name = service["name"]
        if name not in images:
            raise WebstackError("service %s: there is no image for it; run image_harvest first" % name)
        sources = [job.get("source", "") for job in service.get("schedule", [])]
        moving = any(_cron.is_system(source) or _timers.is_unit(source) or _user_crontabs.is_users(source) for source in sources)
        if (moving or _worker_units.moving(service)) and not os.path.exists(_cron.DOCKER):
            raise WebstackError("service %s: its scheduled commands and workers need the docker command line, and there is no %s; "
                                "run the role gantry.webstack.engine" % (name, _cron.DOCKER))
        uid, gid, groups = account(service)
        if isinstance(journal, _journal.Successor):
            service = _volumes.as_kept(service, journal.former)
        else:
            _volumes.State(_journal.Journal(name, {**journal.data, "service": dict(service)})).refuse()
        if journal.served_by and service["uwsgi"]["socket"] != journal.data["seam"]:
            raise WebstackError("service %s: its socket is %s now, and nginx leads to %s; roll it back to the host, install and convert it again"
                                % (name, service["uwsgi"]["socket"], journal.data["seam"]))
        if not journal.served_by and "host" not in journal.data:
            _seams.of(service, service["uwsgi"]["socket"]).definition(service)  # no way back, no way forth
        secrets = _instance.secret_values(service, configured(name, journal.served_by["slot"]) if journal.served_by else None)
        return plan_candidate(service, images[name], secrets, "%d:%d" % (uid, gid), groups)

    def _start(self, client: Any, candidate: Candidate, journal: _journal.Journal) -> None:
        name = candidate.service["name"]
        current = find_container(client, candidate.name)
        if current is not None and current.status == "running" and journal.candidate == candidate.journal_entry():
            return
        leftovers = client.containers.list(all=True, filters={"label": "%s.service=%s" % (_paths.LABEL, name)})
        for container in leftovers:
            # a worker's has the label of the image that it is made of, and belongs to its unit
            if container.name != journal.served_by.get("container") and _paths.LABEL + ".worker" not in container.labels:
                remove_container(container)
        # Noted before anything of it exists: whatever happens now, the next run knows what to look for.
        journal.record("candidate", phase="candidate", service=dict(candidate.service), seam=candidate.service["uwsgi"]["socket"],
                       candidate=candidate.journal_entry(), went_back=None)
        self._make_places(candidate, journal)
        serving = find_container(client, journal.served_by["container"]) if journal.served_by else None
        self.add_diff(name, "", candidate.described())
        client.containers.run(
            candidate.image, [candidate.service["uwsgi"]["binary"], "--ini", _container_config.CONFIG], name=candidate.name, detach=True,
            user=candidate.user, group_add=candidate.groups, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"],
            pids_limit=_container_config.pids_limit(candidate.service), sysctls=_container_config.sysctls(candidate.service, candidate.network),
            network_mode=candidate.network, hostname=None if candidate.network == "host" else sockets.gethostname(),
            environment=dict(candidate.service.get("environment", {})), tmpfs={"/tmp": "mode=1777", "/var/tmp": "mode=1777"},
            mounts=self._mounts(candidate, journal),
            **_container_config.memory(candidate.service),
            log_config={"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            healthcheck=_container_config.health_check(candidate.service, candidate.socket, _container_config.interpreter(candidate.service)),
            extra_hosts=_container_config.host_entries(read("/etc/hosts"), candidate.network), ulimits=self._open_files(candidate.service, serving),
            labels=_container_config.labels(candidate.service, candidate.image, candidate.slot))

    @staticmethod
    def _mounts(candidate: Candidate, journal: _journal.Journal) -> List[Dict[str, Any]]:
        """The mounts as the engine's API has them; state is where it is now, so that both sides are compared with the same."""
        binds = [{"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only} for mount in candidate.mounts]
        moved = _volumes.State(journal.former if isinstance(journal, _journal.Successor) else journal).moved()
        return _volumes.with_volumes(binds, {mount.target: mount.volume for mount in candidate.mounts if mount.volume and mount.target in moved})

    def _copy_state(self, client: Any, candidate: Candidate, journal: _journal.Journal) -> None:
        """Copy state to its volumes for the first time, while the host serves; the switch copies what has changed since."""
        if isinstance(journal, _journal.Successor):
            return
        state = _volumes.State(journal)
        if state.waiting():
            state.make(client)
            state.check_room()
            state.copy_until_small(False, PRECOPY_SECONDS, self.module.log)
            self.result["copied"].append({"service": journal.name, "volumes": sorted(state.wanted.values()), "bytes": state.bytes})

    @staticmethod
    def _open_files(service: Mapping[str, Any], serving: Any) -> List[Dict[str, Any]]:
        """As many files as what serves may have open; the engine's own limit is far higher, and uWSGI makes tables of that size."""
        if serving is not None:
            return [{key.lower(): value for key, value in item.items()} for item in serving.attrs["HostConfig"].get("Ulimits") or []]
        seam = service["uwsgi"]["socket"]
        master = _instance.listener([seam, _paths.beside(seam)])
        return _container_config.open_files(read("/proc/%d/limits" % master.pid), resource.getrlimit(resource.RLIMIT_NOFILE)[1]) if master else []

    def _make_places(self, candidate: Candidate, journal: _journal.Journal) -> None:
        """The container's configuration, readable by its user alone where it is secret, and its socket directory."""
        uid, gid = (int(part) for part in candidate.user.split(":"))
        forget(candidate.service["name"], journal.served_by.get("slot"))
        _journal.private_dir(candidate.directory)
        _journal.write_private(os.path.join(candidate.directory, "uwsgi.ini"), candidate.config, 0o444)
        if candidate.secrets is not None:
            _journal.write_private(os.path.join(candidate.directory, "secrets.ini"), candidate.secrets, 0o400, uid, gid)
        if _beside.has_any(candidate.service):
            _held.prepare(candidate.service["name"], candidate.slot)
        self._logged[candidate.name] = size_of(_paths.container_log(candidate.service["name"]))
        for mount in _container_config.log_mounts(candidate.service):
            os.makedirs(os.path.dirname(mount.source), mode=0o755, exist_ok=True)
            os.makedirs(mount.source, exist_ok=True)
            os.chown(mount.source, uid, gid)
            os.chmod(mount.source, 0o750)
        directory = _paths.service_run(candidate.service["name"])
        os.makedirs(os.path.dirname(directory), mode=0o755, exist_ok=True)
        os.makedirs(directory, exist_ok=True)
        os.chown(directory, uid, group_of_nginx(self.params["edge"]))
        os.chmod(directory, 0o2750)  # set-group-ID: sockets made in it belong to nginx's group

    def _await(self, client: Any, candidate: Candidate, journal: _journal.Journal) -> None:
        container = client.containers.get(candidate.name)

        def ended() -> Optional[str]:
            container.reload()
            if container.attrs["State"].get("OOMKilled"):
                limit = candidate.service.get("container", {}).get("memory", "not set")
                return "its candidate container ran out of memory; container.memory in the plan is %s" % limit
            return None if container.status == "running" else "its candidate container ended with code %s" % container.attrs["State"]["ExitCode"]

        try:
            await_health(candidate.service, candidate.socket, self.params["timeout"], ended)
        except WebstackError as exc:
            log = container.logs(tail=LOG_READ).decode("utf-8", "replace")
            if _container_config.logs_to_file(candidate.service):
                log += written_since(_paths.container_log(candidate.service["name"]), self._logged.get(candidate.name, 0))
            log = until_not_loaded(log)
            raise WebstackError("%s; %s serves on unchanged. The container's last words: %s" % (exc, journal.serving, last_words(log)),
                                log=log.splitlines()[-LOG_TAIL:]) from exc
        self.result["candidates"].append(dict(candidate.journal_entry(), service=candidate.service["name"]))


def on_host(journal: _journal.Journal) -> bool:
    """Do requests go to what served before the candidate? A run that was killed may have moved the seam and not noted it."""
    candidate = journal.candidate
    moving = journal.data.get("freeze")  # its state is changing sides, and the switch knows how to end that
    return journal.runtime == _journal.HOST and not moving and not (candidate and _seams.of(journal.service, journal.data["seam"]).lies_on(candidate["socket"]))


def discard(client: Any, journal: _journal.Journal) -> None:
    """Remove a candidate that does not go into service, if there is one; the code on the host is that of what serves again."""
    if journal.served_by:
        _releases.Releases(journal.name).flip_back()
    if not journal.candidate:
        return
    container = find_container(client, journal.candidate["container"])
    if container is not None:
        remove_container(container)
    forget_socket(journal.candidate["socket"])
    forget(journal.name, journal.served_by.get("slot"))
    journal.record("discarded", phase=_journal.HOST, candidate=None)


def forget_socket(path: str) -> None:
    """Remove the socket of a container that is gone, and its directory unless another one's is in it."""
    with contextlib.suppress(OSError):
        os.unlink(path)
    with contextlib.suppress(OSError):
        os.removedirs(os.path.dirname(path))


def forget(name: str, but: Optional[str] = None) -> None:
    """Remove the configuration of a service's containers, secrets included, but for that of one slot."""
    for slot in glob.glob(os.path.join(glob.escape(_paths.service_state(name)), "[0-9a-f]" * 12)):
        if os.path.basename(slot) != but:
            shutil.rmtree(slot, ignore_errors=True)


def configured(name: str, slot: str) -> Dict[str, str]:
    """The secret environment of a service whose host instance is set aside: as its container has it, or newer, as install has written it since."""
    found: Dict[str, str] = {}
    for path in (os.path.join(_paths.service_state(name), slot, "secrets.ini"), _paths.secret_ini(name)):
        if os.path.exists(path):
            found.update(_secret_files.parse_ini(read(path)))
    return found


def size_of(path: str) -> int:
    """Bytes of a file; none when it is not there."""
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0


def written_since(path: str, begin: int) -> str:
    """The end of a log that a service's user owns, from a byte on; a link is nobody's log."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as handle:
            size = os.fstat(handle.fileno()).st_size
            handle.seek(max(begin if begin <= size else 0, size - LOG_BYTES))
            return handle.read(LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return ""


def until_not_loaded(log: str) -> str:
    """A uWSGI log up to the last application that did not load, if there is one: what serves writes to the same log, and has its own to say afterwards."""
    begin = log.rfind("unable to load app")
    return log if begin < 0 else log[:begin] + log[begin:].split("\n", 1)[0]


def last_words(log: str) -> str:
    """The line of a uWSGI log that says most: the end of a Python traceback, else the last one."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception")) and not line.startswith(" ")]
    return (errors or lines or ["nothing"])[-1].strip()
