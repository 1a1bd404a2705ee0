# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services as a compose file (compose-spec) with an nginx in front. Pure.

The services share their UNIX sockets with nginx through small volumes, as they did on the host: a service that talks to nobody has no network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.export import edge
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import CONFIG, Container, Mount, Settings
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.text import Document, without

_TMPFS = ["/tmp:mode=1777", "/var/tmp:mode=1777"]
_LOGGING = {"driver": "json-file", "options": {"max-size": "10m", "max-file": "3"}}
GRACE = "60s"
"""How long requests in flight may take when a container is stopped."""


def literal(value: Any) -> Any:
    """Data in which ``$`` stands for itself (compose-spec: interpolation)."""
    if isinstance(value, dict):
        return {key: literal(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [literal(item) for item in value]
    return value.replace("$", "$$") if isinstance(value, str) else value


def seconds(nanoseconds: int) -> str:
    """A time of the engine's API as compose writes it."""
    return f"{nanoseconds // 10**9}s"


def healthcheck(container: Container, address: str) -> dict[str, Any]:
    """The container's health check."""
    found = container.health(address)
    return {"test": found["test"], **{key: seconds(found[key]) for key in ("interval", "timeout", "start_period")}, "retries": found["retries"]}


def volume_name(container: Container, path: str) -> str:
    """The named volume of a path."""
    return f"{container.name}-{path.strip('/').replace('/', '-').lower()}"


def bind(mount: Mount) -> dict[str, Any]:
    """A path of the host, which has to be there."""
    return without({"type": "bind", "source": mount.path, "target": mount.path, "read_only": mount.read_only or None, "bind": {"create_host_path": False}})


def volumes(container: Container, found: list[Mount], settings: Settings) -> list[dict[str, Any]]:
    """Mounts of state and files: the host's paths, or named volumes for what is written."""
    written = {mount.path for mount in container.mounts if not mount.read_only} if settings.state == "volume" else set()
    return [without({"type": "volume", "source": volume_name(container, mount.path), "target": mount.path, "read_only": mount.read_only or None})
            if mount.path in written else bind(mount) for mount in found]


def named_volumes(containers: list[Container], settings: Settings) -> dict[str, Any]:
    """The named volumes that hold state."""
    if settings.state != "volume":
        return {}
    return {volume_name(container, mount.path): {} for container in containers for mount in container.mounts if not mount.read_only}


def confined() -> dict[str, Any]:
    """No rights beyond the user's own, as convert gives its containers none."""
    return {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"]}


def ulimits(container: Container) -> dict[str, Any]:
    """How many files it may have open."""
    return {"nofile": dict(zip(("soft", "hard"), container.open_files))}


def _application(container: Container, settings: Settings) -> dict[str, Any]:
    """What the web process and its workers have in common."""
    return without({
        "image": container.image,
        "build": None if container.built else {"context": f"./{container.name}"},
        "user": container.user, "group_add": [str(group) for group in container.groups], **confined(), "tmpfs": _TMPFS,
        "network_mode": container.network if container.network in ("none", "host") else None,
        "environment": container.environment, "volumes": volumes(container, list(container.mounts), settings),
        "pids_limit": container.pids, "mem_limit": container.memory, "memswap_limit": container.memory, "sysctls": dict(container.sysctls),
        "ulimits": ulimits(container), "restart": "unless-stopped", "logging": _LOGGING,
    })


def _service(container: Container, settings: Settings) -> dict[str, Any]:
    found = _application(container, settings)
    found["command"] = [container.binary, "--ini", CONFIG]
    found["configs"] = [{"source": container.name, "target": CONFIG}]
    if container.secrets:
        found["secrets"] = [{"source": f"{container.name}-{secret.key}", "target": secret.target} for secret in container.secrets]
    found.setdefault("volumes", []).append({"type": "volume", "source": f"{container.name}-run", "target": container.run})
    return {**found, "healthcheck": healthcheck(container, container.socket), "stop_grace_period": GRACE}


def _worker(container: Container, settings: Settings, number: int) -> dict[str, Any]:
    worker = container.workers[number]
    found = {**_application(container, settings), "working_dir": container.workdir, "command": ["/bin/sh", "-c", worker.command],
             "stop_grace_period": f"{worker.stop_timeout}s"}
    files = [{"source": f"{container.name}-{secret.key}", "target": secret.target} for secret in container.secrets if not secret.variables]
    return {**found, **({"secrets": files} if files else {}), **({"scale": worker.instances} if worker.instances > 1 else {})}


def _edge(containers: list[Container], settings: Settings) -> dict[str, Any]:
    shared = [{"type": "volume", "source": f"{container.name}-run", "target": container.run, "read_only": True} for container in containers]
    shared += [item for container in containers for item in volumes(container, edge.mounts(container), settings)]
    return {
        "image": settings.nginx, "command": list(edge.COMMAND), "user": f"{edge.UID}:{edge.UID}",
        "group_add": sorted({str(container.gid) for container in containers}), **confined(), "tmpfs": ["/tmp:mode=1777"],
        "configs": [{"source": "nginx", "target": edge.CONFIG}], "volumes": shared,
        "ports": [f"{settings.port if port == edge.PORT else port}:{port}" for port in edge.ports(containers)],
        "restart": "unless-stopped", "logging": _LOGGING,
    }


def secret_file(container: Container, secret: Any) -> str:
    """Where a secret's file is: where the service reads it on the host; variables have none there that all of them are in."""
    return f"./secrets/{container.name}.ini" if secret.variables else secret.target


Front = Callable[[list[Container], Settings], dict[str, Any]]
Web = Callable[[Container, Settings], dict[str, Any]]
Beside = Callable[[Container, Settings, int], dict[str, Any]]


def entries(containers: list[Container], settings: Settings, front: Front, web: Web, worker: Beside) -> dict[str, Any]:
    """``services`` of a file: nginx, each service, and its workers."""
    found: dict[str, Any] = {"edge": literal(front(containers, settings))}
    for container in containers:
        found[container.name] = literal(web(container, settings))
        for number, item in enumerate(container.workers):
            found[f"{container.name}-{item.name}"] = literal(worker(container, settings, number))
    return found


def head(settings: Settings, tool: str) -> list[str]:
    """The first lines of a file."""
    return [f"The services of {settings.host} and an nginx in front, for {tool}; made from the plan by gantry.webstack.",
            "README.md beside this file says what has to be provided, and how to start it."]


def document(containers: list[Container], settings: Settings) -> Document:
    """The compose file of services and their nginx."""
    services = entries(containers, settings, _edge, _service, _worker)
    runs = {f"{container.name}-run": {"driver_opts": {"type": "tmpfs", "device": "tmpfs", "o": f"uid={container.uid},gid={container.gid},mode=2770"}}
            for container in containers}
    configs = {"nginx": {"file": "./nginx/compose.conf"}, **{item.name: {"file": f"./{item.name}/uwsgi.ini"} for item in containers}}
    secrets = {f"{item.name}-{secret.key}": {"file": literal(secret_file(item, secret))} for item in containers for secret in item.secrets}
    found = Document(without({"name": settings.project, "services": services, "configs": configs, "secrets": secrets,
                              "volumes": {**runs, **named_volumes(containers, settings)}}))
    found.head = head(settings, "docker compose")
    _comments(found, containers, settings)
    return found


def _comments(found: Document, containers: list[Container], settings: Settings) -> None:
    found.note(("services", "edge", "ports"), "what the host served on ports 80 and 443 comes here, without TLS: end TLS before it, and choose the port")
    for container in containers:
        place = ("services", container.name)
        found.note(place, *container.notes)
        if container.built:
            found.note((*place, "image"), f"made by convert on {settings.host}; elsewhere: a registry's reference, or build: ./{container.name}")
        if not container.memory:
            found.note((*place, "pids_limit"), "no memory limit: the plan has none (container.memory)")
        if container.mounts:
            found.note((*place, "volumes"), "state and files at the paths of the host, for the same user; move them, or have named volumes by export_state")
        for secret in container.secrets:
            says = f"lines `env = NAME=VALUE` below [uwsgi], for {', '.join(secret.variables)}; readable for {container.user}" if secret.variables else \
                f"the file itself, readable for {container.user}"
            found.note(("secrets", f"{container.name}-{secret.key}"), f"{says}; on {settings.host} it comes from {secret.source}")
