# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services as Podman quadlets (podman-systemd.unit(5)), with timers of systemd for what is scheduled. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common._unit_text import argument, quoted
from ansible_collections.gantry.webstack.plugins.plugin_utils.export import edge
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.compose import seconds, volume_name
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import CONFIG, Container, Mount, Settings

_CONFINED = ["ReadOnly=true", "ReadOnlyTmpfs=false", "DropCapability=all", "NoNewPrivileges=true", "Tmpfs=/tmp:mode=1777"]
NETWORK = "webstack.network"


def _unit(head: Iterable[str], sections: dict[str, list[str]]) -> str:
    lines = [f"# {' '.join(line.split())}" for line in head]
    return "\n".join(lines) + "\n" + "\n".join("\n".join([f"[{name}]", *body]) + "\n" for name, body in sections.items() if body)


def _literal(text: str) -> str:
    """A value in which % stands for itself (systemd.unit(5): specifiers)."""
    return text.replace("%", "%%")


def stem(container: Container) -> str:
    """The name of a service's units."""
    return f"webstack-{container.name}"


def image(container: Container) -> str:
    """The image as Podman names it: what docker save wrote is docker.io's, what podman build made is of localhost."""
    return f"{'docker.io' if container.built else 'localhost'}/{container.image}" if container.local else container.image


def _volumes(container: Container, mounts: list[Mount], settings: Settings) -> list[str]:
    written = {mount.path for mount in container.mounts if not mount.read_only} if settings.state == "volume" else set()
    return [f"Volume={f'webstack-{volume_name(container, mount.path)}.volume' if mount.path in written else _literal(mount.path)}:"
            f"{_literal(mount.path)}{':ro' if mount.read_only else ''}" for mount in mounts]


def _application(container: Container, settings: Settings) -> list[str]:
    network = {"none": "none", "host": "host"}.get(container.network, NETWORK)
    return [
        f"Image={_literal(image(container))}", *(["Pull=never"] if container.local else []),
        f"User={container.uid}", f"Group={container.gid}", *(f"GroupAdd={group}" for group in container.groups),
        *_CONFINED, "Tmpfs=/var/tmp:mode=1777", f"Network={network}", f"PidsLimit={container.pids}",
        f"Ulimit=nofile={container.open_files[0]}:{container.open_files[1]}",
        *([f"PodmanArgs=--memory={container.memory} --memory-swap={container.memory}"] if container.memory else []),
        *(f"Sysctl={name}={value}" for name, value in container.sysctls.items()),
        *("Environment=" + quoted(f"{name}={value}") for name, value in container.environment.items()),
        *_volumes(container, list(container.mounts), settings),
    ]


def _secrets(container: Container, found: Iterable[Any]) -> list[str]:
    return [f"Secret={container.name}-{secret.key},type=mount,target={_literal(secret.target)},uid={container.uid},gid={container.gid},mode=0400"
            for secret in found]


def _health(container: Container) -> list[str]:
    found = container.health(container.socket)
    return ["HealthCmd=" + _literal(json.dumps(found["test"])), f"HealthInterval={seconds(found['interval'])}",
            f"HealthTimeout={seconds(found['timeout'])}", f"HealthStartPeriod={seconds(found['start_period'])}", f"HealthRetries={found['retries']}"]


def _container(container: Container, settings: Settings) -> str:
    head = [f"The service {container.service['name']} of {settings.host}; made from the plan by gantry.webstack. See README.md.", *container.notes]
    return _unit(head, {
        "Unit": [f"Description={_literal(container.service['name'])}"],
        "Container": [f"ContainerName={stem(container)}", *_application(container, settings),
                      "Exec=" + " ".join(argument(word) for word in (container.binary, "--ini", CONFIG)),
                      f"Volume={stem(container)}-run.volume:{container.run}", f"Volume=./{stem(container)}.ini:{CONFIG}:ro",
                      *_secrets(container, container.secrets), *_health(container), "StopTimeout=60"],
        "Service": ["Restart=always", "TimeoutStopSec=70"], "Install": ["WantedBy=multi-user.target"]})


def _worker(container: Container, worker: Any, settings: Settings, number: int) -> dict[str, str]:
    suffix = f"-{number}" if worker.instances > 1 else ""
    name = f"{stem(container)}-{worker.name}{suffix}"
    return {f"{name}.container": _unit([f"A worker of {container.service['name']}."], {
        "Unit": [f"Description=Worker {worker.name} of {_literal(container.service['name'])}"],
        "Container": [f"ContainerName={name}", *_application(container, settings), f"WorkingDir={_literal(container.workdir)}",
                      f"Exec=/bin/sh -c {argument(worker.command)}", *_secrets(container, [item for item in container.secrets if not item.variables]),
                      f"StopTimeout={worker.stop_timeout}"],
        "Service": ["Restart=always", f"TimeoutStopSec={worker.stop_timeout + 10}"], "Install": ["WantedBy=multi-user.target"]})}


def _job(container: Container, job: Any) -> dict[str, str]:
    name = f"{stem(container)}-{job.name}"
    command = ["/usr/bin/podman", "exec", "--user", str(container.uid) if job.user == container.service["user"]["name"] else job.user,
               "--workdir", container.workdir, stem(container), "/bin/sh", "-c"]
    service = _unit([f"A scheduled command of {container.service['name']}, in its container."], {
        "Unit": [f"Description=Scheduled command {job.name} of {_literal(container.service['name'])}", f"Requires={stem(container)}.service",
                 f"After={stem(container)}.service"],
        "Service": ["Type=oneshot", f"ExecStart={' '.join(map(_literal, command))} {argument(job.command)}"],
        "Install": [] if job.timer else ["WantedBy=multi-user.target"]})
    if not job.timer:
        return {f"{name}.service": service}
    timer = _unit([f"When it was scheduled on the host: {job.when}"], {
        "Unit": [f"Description=When to run {name}.service"], "Timer": [*job.timer, "AccuracySec=1s"], "Install": ["WantedBy=timers.target"]})
    return {f"{name}.service": service, f"{name}.timer": timer}


def _volume(name: str, lines: list[str], says: str) -> dict[str, str]:
    return {f"webstack-{name}.volume": _unit([says], {"Volume": [f"VolumeName=webstack-{name}", *lines]})}


def units(container: Container, settings: Settings) -> dict[str, str]:
    """A service's files by name: what quadlet reads, uWSGI's configuration beside it, and plain units for its schedule."""
    found = {f"{stem(container)}.container": _container(container, settings), f"{stem(container)}.ini": container.config(container.socket)}
    found.update(_volume(f"{container.name}-run", ["Type=tmpfs", "Device=tmpfs", f"Options=uid={container.uid},gid={container.gid},mode=2770"],
                         f"Where {container.service['name']} and nginx meet."))
    if settings.state == "volume":
        for mount in container.mounts:
            if not mount.read_only:
                found.update(_volume(volume_name(container, mount.path), [f"User={container.uid}", f"Group={container.gid}"],
                                     f"Holds {mount.path}: fill it before the first start."))
    if container.network == "bridge":
        found[NETWORK] = _unit(["For services that talk to others."], {"Network": ["NetworkName=webstack"]})
    for worker in container.workers:
        for number in range(1, worker.instances + 1):
            found.update(_worker(container, worker, settings, number))
    for job in container.jobs:
        found.update(_job(container, job))
    return found


def edge_units(containers: list[Container], settings: Settings) -> dict[str, str]:
    """The nginx in front of them all."""
    mounts = [line for container in containers for line in _volumes(container, edge.mounts(container), settings)]
    shared = [f"Volume={stem(container)}-run.volume:{container.run}:ro" for container in containers]
    text = _unit([f"The nginx in front of the services of {settings.host}. TLS ends before it. On a host with its own nginx leave it out."], {
        "Unit": ["Description=nginx in front of the services"],
        "Container": ["ContainerName=webstack-edge", f"Image={_literal(settings.nginx)}", f"User={edge.UID}", f"Group={edge.UID}",
                      *(f"GroupAdd={gid}" for gid in sorted({container.gid for container in containers})), *_CONFINED,
                      "Exec=" + " ".join(argument(word) for word in edge.COMMAND), f"Volume=./webstack-edge.conf:{edge.CONFIG}:ro", *shared, *mounts,
                      *(f"PublishPort={settings.port if port == edge.PORT else port}:{port}" for port in edge.ports(containers))],
        "Service": ["Restart=always"], "Install": ["WantedBy=multi-user.target"]})
    return {"webstack-edge.container": text, "webstack-edge.conf": edge.config(containers, edge.title(settings))}
