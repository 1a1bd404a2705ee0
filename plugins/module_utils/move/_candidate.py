# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The candidate: a service's container beside its host process, on a socket of its own, until it is proven."""

from __future__ import annotations

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
from ansible_collections.gantry.webstack.plugins.module_utils.move import _container_config, _cron, _instance, _seam, _timers
from ansible_collections.gantry.webstack.plugins.module_utils.move._host_stack import read

LOG_TAIL = 40


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
        lines += ["mount: %s %s" % (mount.target, "read-only" if mount.read_only else "read-write") for mount in self.mounts]
        return "\n".join(lines + ["", self.config])


def plan_candidate(service: Mapping[str, Any], image: str, secret_values: Mapping[str, str], user: str, groups: List[int]) -> Candidate:
    """Everything that makes up a service's container; the same input gives the same name. Pure but for looking whether paths exist."""
    name = service["name"]
    net = _container_config.network(service)
    secrets = _container_config.ini([("env", "%s=%s" % item) for item in sorted(secret_values.items())]) if secret_values else None
    include = [("ini", _container_config.SECRETS)] if secrets else []
    draft = _container_config.mounts(service, "", "" if secrets is None else "secrets")
    slot = _container_config.slot(image, _container_config.ini(_container_config.uwsgi_options(service, "") + include), secrets or "", draft, net,
                                  service.get("container", {}))
    directory = os.path.join(_paths.service_state(name), slot)
    socket = os.path.join(_paths.service_run(name), slot + ".sock")
    return Candidate(service, image, slot, socket, _container_config.ini(_container_config.uwsgi_options(service, socket) + include), secrets,
                     _container_config.mounts(service, os.path.join(directory, "uwsgi.ini"), os.path.join(directory, "secrets.ini") if secrets else None),
                     net, user, groups)


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


class CandidateModule(WebstackModule):
    """Bring up what ``services`` and ``images`` say, all at once, then wait for each to be healthy."""

    def run(self) -> None:
        images = {item["service"]: item["id"] for item in self.params["images"]}
        self.result["candidates"] = []
        if self.check_mode:
            for service, dummy in self._open_moves():
                self.add_diff(service["name"], "", "a candidate container beside the host's process\n")
            return
        with host_lock():  # first, since another run may be about to write the journals
            open_moves = self._open_moves()
            if open_moves:
                self._bring_up(open_moves, images)

    def _open_moves(self) -> List[Tuple[Mapping[str, Any], _journal.Journal]]:
        moves = [(service, _journal.load(service["name"])) for service in self.params["services"]]
        return [(service, journal) for service, journal in moves if on_host(journal)]

    def _bring_up(self, open_moves: Sequence[Tuple[Mapping[str, Any], _journal.Journal]], images: Mapping[str, str]) -> None:
        with engine() as client:
            wanted = [self._plan(service, images, journal) for service, journal in open_moves]
            try:
                for candidate, (dummy, journal) in zip(wanted, open_moves):
                    self._start(client, candidate, journal)
                for candidate in wanted:
                    self._await(client, candidate)
            except WebstackError:
                for dummy, journal in open_moves:
                    discard(client, journal)
                raise

    def _plan(self, service: Mapping[str, Any], images: Mapping[str, str], journal: _journal.Journal) -> Candidate:
        name = service["name"]
        if name not in images:
            raise WebstackError("service %s: there is no image for it; run image_harvest first" % name)
        sources = [job.get("source", "") for job in service.get("schedule", [])]
        if any(_cron.is_system(source) or _timers.is_unit(source) for source in sources) and not os.path.exists(_cron.DOCKER):
            raise WebstackError("service %s: its scheduled commands need the docker command line, and there is no %s; "
                                "run the role gantry.webstack.engine" % (name, _cron.DOCKER))
        uid, gid, groups = account(service)
        if "host" not in journal.data:
            _instance.socket_definition(service, service["uwsgi"]["socket"])  # no way back, no way forth
        return plan_candidate(service, images[name], _instance.secret_values(service), "%d:%d" % (uid, gid), groups)

    def _start(self, client: Any, candidate: Candidate, journal: _journal.Journal) -> None:
        name = candidate.service["name"]
        current = find_container(client, candidate.name)
        if current is not None and current.status == "running" and journal.candidate == candidate.journal_entry():
            return
        leftovers = client.containers.list(all=True, filters={"label": "%s.service=%s" % (_paths.LABEL, name)})
        for container in leftovers:
            remove_container(container)
        self._make_places(candidate)
        # Noted before it exists: whatever happens now, the next run knows what to look for.
        journal.record("candidate", phase="candidate", service=dict(candidate.service), seam=candidate.service["uwsgi"]["socket"],
                       candidate=candidate.journal_entry())
        self.add_diff(name, "", candidate.described())
        client.containers.run(
            candidate.image, [candidate.service["uwsgi"]["binary"], "--ini", _container_config.CONFIG], name=candidate.name, detach=True,
            user=candidate.user, group_add=candidate.groups, read_only=True, cap_drop=["ALL"], security_opt=["no-new-privileges"],
            pids_limit=_container_config.pids_limit(candidate.service), sysctls=_container_config.sysctls(candidate.service, candidate.network),
            network_mode=candidate.network, hostname=None if candidate.network == "host" else sockets.gethostname(),
            environment=dict(candidate.service.get("environment", {})), tmpfs={"/tmp": "mode=1777", "/var/tmp": "mode=1777"},
            mounts=[{"Type": "bind", "Source": mount.source, "Target": mount.target, "ReadOnly": mount.read_only} for mount in candidate.mounts],
            **_container_config.memory(candidate.service),
            log_config={"Type": "json-file", "Config": {"max-size": "10m", "max-file": "3"}},
            healthcheck=_container_config.health_check(candidate.service, candidate.socket, _container_config.interpreter(candidate.service)),
            extra_hosts=_container_config.host_entries(read("/etc/hosts"), candidate.network), ulimits=self._open_files(candidate.service),
            labels=_container_config.labels(candidate.service, candidate.image, candidate.slot))

    @staticmethod
    def _open_files(service: Mapping[str, Any]) -> List[Dict[str, Any]]:
        """As many files as the host's instance may have open; the engine's own limit is far higher, and uWSGI makes tables of that size."""
        seam = service["uwsgi"]["socket"]
        master = _instance.listener([seam, _paths.beside(seam)])
        return _container_config.open_files(read("/proc/%d/limits" % master.pid), resource.getrlimit(resource.RLIMIT_NOFILE)[1]) if master else []

    def _make_places(self, candidate: Candidate) -> None:
        """The container's configuration, readable by its user alone where it is secret, and its socket directory."""
        uid, gid = (int(part) for part in candidate.user.split(":"))
        forget(candidate.service["name"])
        _journal.private_dir(candidate.directory)
        _journal.write_private(os.path.join(candidate.directory, "uwsgi.ini"), candidate.config, 0o444)
        if candidate.secrets is not None:
            _journal.write_private(os.path.join(candidate.directory, "secrets.ini"), candidate.secrets, 0o400, uid, gid)
        directory = _paths.service_run(candidate.service["name"])
        os.makedirs(os.path.dirname(directory), mode=0o755, exist_ok=True)
        os.makedirs(directory, exist_ok=True)
        os.chown(directory, uid, group_of_nginx(self.params["edge"]))
        os.chmod(directory, 0o2750)  # set-group-ID: sockets made in it belong to nginx's group

    def _await(self, client: Any, candidate: Candidate) -> None:
        container = client.containers.get(candidate.name)

        def ended() -> Optional[str]:
            container.reload()
            return None if container.status == "running" else "its candidate container ended with code %s" % container.attrs["State"]["ExitCode"]

        try:
            await_health(candidate.service, candidate.socket, self.params["timeout"], ended)
        except WebstackError as exc:
            log = container.logs(tail=LOG_TAIL).decode("utf-8", "replace")
            raise WebstackError("%s; the host serves on unchanged. The container's last words: %s" % (exc, last_words(log)), log=log.splitlines()) from exc
        self.result["candidates"].append(dict(candidate.journal_entry(), service=candidate.service["name"]))


def on_host(journal: _journal.Journal) -> bool:
    """Do requests go to the host's process? A run that was killed may have moved the seam and not noted it."""
    candidate = journal.candidate
    return journal.runtime == _journal.HOST and not (candidate and _seam.links_to(journal.data["seam"], candidate["socket"]))


def discard(client: Any, journal: _journal.Journal) -> None:
    """Remove a candidate that does not go into service, if there is one."""
    if not journal.candidate:
        return
    container = find_container(client, journal.candidate["container"])
    if container is not None:
        remove_container(container)
    forget(journal.name)
    journal.record("discarded", phase=_journal.HOST, candidate=None)


def forget(name: str) -> None:
    """Remove the configuration of a service's candidates, secrets included."""
    for slot in glob.glob(os.path.join(glob.escape(_paths.service_state(name)), "[0-9a-f]" * 12)):
        shutil.rmtree(slot, ignore_errors=True)


def last_words(log: str) -> str:
    """The line of a uWSGI log that says most: the end of a Python traceback, else the last one."""
    lines = [line for line in log.splitlines() if line.strip()]
    errors = [line for line in lines if line.split(":")[0].endswith(("Error", "Exception")) and not line.startswith(" ")]
    return (errors or lines or ["nothing"])[-1].strip()
