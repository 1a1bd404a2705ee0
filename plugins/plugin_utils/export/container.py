# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service as a container in no tool's words yet: what compose, Swarm, Kubernetes and Podman each say in their own. Pure.

What convert decides for the real container (module_utils/move/_container_config.py) is asked there, so that an export agrees with it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _calendar, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _beside, _container_config, _timers
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service

CONFIG, SECRETS = _container_config.CONFIG, _container_config.SECRETS
UWSGI_PORT = 3031
"""Where uWSGI listens when it shares no host with its nginx: the port of uWSGI's own examples."""

OPEN_FILES = (1024, 524288)
"""Soft and hard limit where the host does not tell: systemd's own. An engine's may be a thousand times that, and uWSGI makes tables of that size."""

_ID = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?\Z")


@dataclass(frozen=True)
class Settings:
    """What an export knows beside the plan.

    ``facts`` is what M(gantry.webstack.export_info) returned, ``images`` (service -> reference) and ``locks`` (service -> text) come first where they have one.
    """

    host: str = "webstack"
    edge: Mapping[str, Any] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    locks: Mapping[str, str] = field(default_factory=dict)
    nginx_image: str = ""
    base: str = ""
    state: str = "host"
    port: int = 8080

    @property
    def nginx(self) -> str:
        """The image of the nginx in front: of the host's own version, unless another is named."""
        return self.nginx_image or "docker.io/library/nginx:" + (str(self.edge.get("version") or "") or "stable")

    @property
    def project(self) -> str:
        """The host's name as one of a compose project or a stack."""
        return identifier(self.host)


class Secret(NamedTuple):
    """One file that holds what is secret: ``variables`` are the environment variables in it, none for a file that the service reads itself."""

    key: str
    target: str
    source: str
    variables: tuple[str, ...] = ()


class Mount(NamedTuple):
    """A path of the host that the service sees at the same place."""

    path: str
    read_only: bool


class Job(NamedTuple):
    """A scheduled command: ``cron`` is empty for a time that cron's five fields cannot say, ``timer`` lines of a [Timer] section."""

    name: str
    command: str
    user: str
    when: str
    cron: str
    timer: tuple[str, ...]
    overlaps: bool


class Worker(NamedTuple):
    """A process beside the web process, of the same image."""

    name: str
    command: str
    instances: int
    stop_timeout: int


@dataclass(frozen=True)
class Container:
    """One service; ``notes`` is what a person has to know or decide, ``health`` as the engine's API has it."""

    service: Service
    name: str
    image: str
    built: bool
    uid: int
    gid: int
    groups: tuple[int, ...]
    binary: str
    workdir: str
    environment: Mapping[str, str]
    secrets: tuple[Secret, ...]
    mounts: tuple[Mount, ...]
    network: str
    pids: int
    memory: str
    sysctls: Mapping[str, str]
    open_files: tuple[int, int]
    jobs: tuple[Job, ...]
    workers: tuple[Worker, ...]
    notes: tuple[str, ...]

    @property
    def run(self) -> str:
        """The directory of its UNIX socket, shared with nginx."""
        return _paths.service_run(self.service["name"])

    @property
    def socket(self) -> str:
        """Its UNIX socket."""
        return self.run + "/uwsgi.sock"

    @property
    def local(self) -> bool:
        """Whether the image has no registry in its name: it is where it was made, and nowhere else."""
        first, slash, _rest = self.image.partition("/")
        return not slash or not re.search(r"[.:]|^localhost$", first)

    @property
    def user(self) -> str:
        """Its user and group as numbers."""
        return f"{self.uid}:{self.gid}"

    @property
    def variables(self) -> list[str]:
        """Names of its environment variables that are secret."""
        return [name for secret in self.secrets for name in secret.variables]

    def config(self, address: str, include: bool = True) -> str:
        """Its uWSGI configuration with its socket at ``address``; ``include`` has secret variables read from their file."""
        options = _container_config.uwsgi_options(self.service, address)
        return _container_config.ini(options + ([("ini", SECRETS)] if include and self.variables else []))

    def health(self, address: str) -> dict[str, Any]:
        """Its health check, as the engine's API has it."""
        return _container_config.health_check(self.service, address, _container_config.interpreter(self.service, lambda path: True))

    def static(self, path: str) -> Mount | None:
        """The mount that a static tree lies in; None for a tree of the image, or of nginx alone."""
        return next((mount for mount in self.mounts if within(path, mount.path)), None)

    def in_image(self, path: str) -> bool:
        """Whether a path is one of the code or the virtual environment, which are in the image."""
        own = (self.service.get("code", {}).get("path"), self.service.get("python", {}).get("venv"))
        return self.static(path) is None and any(within(path, top) for top in own if top)


def within(path: str, top: str) -> bool:
    """Whether a path is ``top`` or below it."""
    return (path.rstrip("/") + "/").startswith(top.rstrip("/") + "/")


def identifier(name: str) -> str:
    """A name that every target takes (RFC 1123 label): lower case, digits, dashes."""
    found = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:50].strip("-")
    if not _ID.match(found):
        raise ModelError(f"{name!r} has no letter or digit that a container's name could be made of")
    return found


def describe(service: Service, settings: Settings) -> Container:
    """One service. Raises ModelError, with the place in the plan, for what no container can be made of."""
    where = f"services[{service['name']}]"
    facts = settings.facts.get("services", {}).get(service["name"], {})
    for place, value in (("uwsgi.binary", service.get("uwsgi", {}).get("binary")), ("uwsgi.socket", service.get("uwsgi", {}).get("socket")),
                         ("user", service.get("user"))):
        if not value:
            raise ModelError(f"{where}.{place}: it is missing, so no container can be described; run discover again, or write it into the plan")
    uid, gid = (facts.get(key, service["user"].get(key)) for key in ("uid", "gid"))
    if uid is None or gid is None:
        raise ModelError(f"{where}.user: an export needs its uid and gid as numbers; write them into the plan")
    reference = settings.images.get(service["name"]) or facts.get("image") or ""
    secrets = _secrets(service)
    jobs, job_notes = _jobs(service, where)
    workers, worker_notes = _workers(service)
    network = _container_config.network(service)
    return Container(
        service=service, name=identifier(service["name"]), image=reference or f"webstack/{identifier(service['name'])}:1", built=bool(reference),
        uid=uid, gid=gid, groups=tuple(facts.get("groups", ())), binary=service["uwsgi"]["binary"], workdir=service.get("code", {}).get("path", "/"),
        environment=dict(sorted(service.get("environment", {}).items())), secrets=secrets, mounts=_mounts(service, facts), network=network,
        pids=_container_config.pids_limit(service), memory=_container_config.memory(service).get("mem_limit", ""),
        sysctls=_container_config.sysctls(service, network),
        open_files=_open_files(facts), jobs=jobs, workers=workers, notes=(*_notes(service, secrets, jobs, workers), *job_notes, *worker_notes))


def possible(services: Iterable[Service], settings: Settings) -> tuple[list[Service], list[str]]:
    """The services that a container can be made of, and a sentence for each of the others; only one that convert refuses too may be left out."""
    found, left_out = [], []
    for service in services:
        try:
            describe(service, settings)
        except ModelError as exc:
            if service.get("fit", {}).get("verdict") != "blocked":
                raise
            left_out.append(f"service {service['name']} is not exported: {exc}")
        else:
            found.append(service)
    return found, left_out


def describe_all(services: Iterable[Service], settings: Settings) -> list[Container]:
    """Several services, whose names have to stay apart in the words of every target."""
    found: dict[str, Container] = {}
    for service in services:
        container = describe(service, settings)
        if container.name in found:
            raise ModelError(f"services {found[container.name].service['name']} and {service['name']} would both be named {container.name!r}; rename one")
        found[container.name] = container
    return list(found.values())


def _secrets(service: Service) -> tuple[Secret, ...]:
    files: dict[str, Secret] = {}
    variables: dict[str, str] = {}
    for secret in service.get("secrets", []):
        kind, _colon, place = secret.get("source", "").partition(":")
        if kind == "file":
            files.setdefault(place, Secret(_key(secret["name"], {item.key for item in files.values()}), place, secret["source"]))
        elif kind != "code":
            variables[secret["name"]] = secret.get("source", "")
    found = list(files.values())
    if variables:
        found.append(Secret("environment", SECRETS, ", ".join(dict.fromkeys(variables.values())), tuple(sorted(variables))))
    return tuple(found)


def _key(name: str, taken: set[str]) -> str:
    """A secret's name for every target, like no other of its service."""
    key = re.sub(r"[^A-Za-z0-9_.-]+", "-", name).strip("-.") or "secret"
    key = f"{key}-file" if key == "environment" else key
    return next(item for item in [key, *(f"{key}-{number}" for number in range(2, 1000))] if item not in taken)


def _mounts(service: Service, facts: Mapping[str, Any]) -> tuple[Mount, ...]:
    """State and files: what convert mounts, less what an export brings in another way; what the host does not have is left out as there."""
    missing = set(facts.get("missing", ()))
    own = {CONFIG, SECRETS, _paths.service_run(service["name"]), *(secret.target for secret in _secrets(service))}
    found = _container_config.mounts(service, "", None, lambda path: path not in missing)
    return tuple(Mount(item.target, item.read_only) for item in found if item.target not in own)


def _open_files(facts: Mapping[str, Any]) -> tuple[int, int]:
    soft, hard = facts.get("open_files") or OPEN_FILES
    return int(soft), int(hard)


def _jobs(service: Service, where: str) -> tuple[tuple[Job, ...], list[str]]:
    found, notes = [], []
    for number, job in enumerate(service.get("schedule", [])):
        when = " ".join(job["when"].split())
        name = job.get("name") or f"job-{number + 1}"
        try:
            cron = _cron(when)
            timer = () if when == _calendar.REBOOT else tuple(_calendar.timer_lines(when))
        except WebstackError as exc:
            raise ModelError(f"{where}.schedule[{name}].when: {exc}") from exc
        user = job.get("user") or service["user"]["name"]
        if user != service["user"]["name"]:
            notes.append(f"its scheduled command {name} ran as {user}; in Kubernetes it runs as {service['user']['name']}")
        found.append(Job(identifier(name), job["command"], user, when, cron, timer, not _timers.is_unit(job.get("source", ".timer"))))
    return tuple(found), notes


def _cron(when: str) -> str:
    """Five fields, or empty. Raises WebstackError for five fields that cron does not know."""
    if not _calendar.is_cron(when):
        return ""
    _calendar.parse(when)
    return _calendar.MACROS.get(when, when)


def _workers(service: Service) -> tuple[tuple[Worker, ...], list[str]]:
    found, notes = [], []
    for worker in service.get("workers", []):
        if "command" in worker:
            found.append(Worker(identifier(worker["name"]), worker["command"], worker.get("instances", 1), worker.get("stop_timeout", 90)))
        elif worker.get("kind") not in _beside.KINDS:  # these are options of its uWSGI
            notes.append(f"{worker['what']} works beside it on the host and is not exported")
    return tuple(found), notes


def _notes(service: Service, secrets: tuple[Secret, ...], jobs: tuple[Job, ...], workers: tuple[Worker, ...]) -> list[str]:
    notes = list(service.get("fit", {}).get("reasons", []))
    for need in service.get("needs", []):
        local = need["address"].startswith("unix:") or re.match(r"(127\.|localhost|\[?::1)", need["address"])
        notes.append(f"it needs {need['kind']} at {need['address']}" + (", which is this host's own: elsewhere give it another address" if local else ""))
    if any(secret.variables for secret in secrets) and (jobs or workers):
        notes.append("uWSGI alone reads its secret variables; outside Kubernetes its scheduled commands and workers do not have them")
    notes += [f"its secret {item['name']} stands in its code" for item in service.get("secrets", []) if item.get("source", "").startswith("code:")]
    return notes
