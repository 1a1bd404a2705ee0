# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Services as a Swarm stack (docker stack deploy, compose file 3.9) with an nginx in front. Pure.

Tasks may run on different nodes, so nginx reaches uWSGI over an overlay network. It looks a service up again every few seconds, which needs neither
a virtual IP nor the routing mesh.
"""

from __future__ import annotations

import hashlib
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.export import compose, edge
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.compose import GRACE
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import CONFIG, UWSGI_PORT, Container, Mount, Secret, Settings
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.text import Document, without

ADDRESS = f"0.0.0.0:{UWSGI_PORT}"
LABEL = "webstack.state"
"""Label of the node that has the state of services."""


def secret_name(container: Container, secret: Secret) -> str:
    """The name under which docker secret create has to know it."""
    return f"{container.name}-{secret.key}"


def _digest(text: str) -> str:
    """Configs of a swarm never change: another content is another name."""
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def volumes(container: Container, found: list[Mount], settings: Settings) -> list[dict[str, Any]]:
    """Mounts as a stack has them: it makes no directory of the host by itself anyway."""
    return [{key: value for key, value in item.items() if key != "bind"} for item in compose.volumes(container, found, settings)]


def _deploy(pinned: bool, container: Container | None = None, replicas: int = 1) -> dict[str, Any]:
    """``container`` is None for nginx, whose port can only be had by one."""
    limits = without({"pids": container.pids, "memory": container.memory}) if container else {}
    return without({"replicas": replicas, "endpoint_mode": "dnsrr", "restart_policy": {"condition": "any", "delay": "2s"},
                    "update_config": {"order": "start-first", "failure_action": "rollback"} if container else None,
                    "placement": {"constraints": [f"node.labels.{LABEL} == true"]} if pinned else None,
                    "resources": {"limits": limits} if limits else None})


def _application(container: Container, settings: Settings) -> dict[str, Any]:
    return without({
        "image": container.image, "user": container.user, "read_only": True, "cap_drop": ["ALL"], "environment": dict(container.environment),
        "volumes": [*volumes(container, list(container.mounts), settings),
                    *({"type": "tmpfs", "target": path, "tmpfs": {"mode": 0o1777}} for path in ("/tmp", "/var/tmp"))],
        "sysctls": dict(container.sysctls), "ulimits": compose.ulimits(container), "networks": ["stack"],
    })


def _granted(container: Container, secrets: list[Secret]) -> list[dict[str, Any]]:
    return [{"source": secret_name(container, secret), "target": secret.target, "uid": str(container.uid), "gid": str(container.gid), "mode": 0o400}
            for secret in secrets]


def _service(container: Container, settings: Settings) -> dict[str, Any]:
    found = _application(container, settings)
    return without({**found, "command": [container.binary, "--ini", CONFIG], "configs": [{"source": container.name, "target": CONFIG}],
                    "secrets": _granted(container, list(container.secrets)),
                    "healthcheck": {**compose.healthcheck(container, f"127.0.0.1:{UWSGI_PORT}"), "interval": "5s", "retries": 6}, "stop_grace_period": GRACE,
                    "deploy": _deploy(bool(container.mounts), container)})


def _worker(container: Container, settings: Settings, number: int) -> dict[str, Any]:
    worker = container.workers[number]
    return without({**_application(container, settings), "working_dir": container.workdir, "command": ["/bin/sh", "-c", worker.command],
                    "secrets": _granted(container, [secret for secret in container.secrets if not secret.variables]),
                    "stop_grace_period": f"{worker.stop_timeout}s", "deploy": _deploy(bool(container.mounts), container, worker.instances)})


def _edge(containers: list[Container], settings: Settings) -> dict[str, Any]:
    trees = [item for container in containers for item in volumes(container, edge.mounts(container), settings)]
    # as the services' own group where there is only one: static trees may be readable for it alone
    gids = {container.gid for container in containers if edge.mounts(container)}
    gid = next(iter(gids)) if len(gids) == 1 else edge.UID
    return {
        "image": settings.nginx, "command": list(edge.COMMAND), "user": f"{edge.UID}:{gid}", "read_only": True, "cap_drop": ["ALL"],
        "configs": [{"source": "nginx", "target": edge.CONFIG}],
        "volumes": [*trees, {"type": "tmpfs", "target": "/tmp", "tmpfs": {"mode": 0o1777}}],
        "ports": [{"target": port, "published": settings.port if port == edge.PORT else port, "protocol": "tcp", "mode": "host"}
                  for port in edge.ports(containers)],
        "networks": ["stack"], "deploy": _deploy(bool(trees)),
    }


def document(containers: list[Container], settings: Settings) -> Document:
    """The stack of services and their nginx."""
    services = compose.entries(containers, settings, _edge, _service, _worker)
    title = edge.title(settings)
    configs = {"nginx": {"name": f"{settings.project}-nginx-{_digest(edge.config(containers, title, network=True))}", "file": "./nginx/stack.conf"}}
    configs.update({item.name: {"name": f"{settings.project}-{item.name}-{_digest(item.config(ADDRESS))}", "file": f"./{item.name}/uwsgi.swarm.ini"}
                    for item in containers})
    secrets = {secret_name(item, secret): {"external": True} for item in containers for secret in item.secrets}
    found = Document(without({"version": "3.9", "services": services, "networks": {"stack": {"driver": "overlay"}}, "configs": configs, "secrets": secrets,
                              "volumes": compose.named_volumes(containers, settings)}))
    found.head = compose.head(settings, "docker stack deploy")
    _comments(found, containers, settings)
    return found


def _comments(found: Document, containers: list[Container], settings: Settings) -> None:
    found.note(("services", "edge", "ports"), "mode host shows the application its clients' addresses; the routing mesh (mode: ingress) shows its own")
    for container in containers:
        place = ("services", container.name)
        found.note(place, *container.notes)
        if container.local:
            found.note((*place, "image"), "every node has to have it: push it to a registry, and name it from there")
        found.note((*place, "volumes"), "1023 is mode 1777")
        found.note((*place, "healthcheck", "interval"), "a task counts as started when its first check, one interval later, has passed")
        if container.network != "bridge":
            found.note((*place, "networks"), "nginx reaches it here; the overlay has a way out, which the service did not need on its host"
                       if container.network == "none" else "it talks to its host's loopback: give what it needs another address")
        if container.mounts:
            found.note((*place, "deploy", "placement"), f"its state is on one node: docker node update --label-add {LABEL}=true NODE")
        if container.workers or container.jobs:
            found.note((*place, "deploy", "replicas"), "before it is more than one, look whether its state may be shared")
        if container.secrets:
            found.note((*place, "secrets"), "256 is mode 0400")
        for secret in container.secrets:
            found.note(("secrets", secret_name(container, secret)), f"docker secret create {secret_name(container, secret)} FILE; see README.md")
