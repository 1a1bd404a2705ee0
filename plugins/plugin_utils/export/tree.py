# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All files of one host's export, by their paths in its directory. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.export import compose, dockerfile, edge, kubernetes, quadlet, readme, swarm
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import Container, Settings, describe_all
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service

FORMATS = ("dockerfile", "compose", "swarm", "kubernetes", "quadlet")
"""What can be asked for."""

Files = dict[str, str]


def _dockerfiles(containers: list[Container], settings: Settings) -> Files:
    return {f"{item.name}/{name}": text for item in containers for name, text in dockerfile.files(item, settings).items()}


def _compose(containers: list[Container], settings: Settings) -> Files:
    return {"compose.yaml": compose.document(containers, settings).text(), "nginx/compose.conf": edge.config(containers, edge.title(settings)),
            **{f"{item.name}/uwsgi.ini": item.config(item.socket) for item in containers}}


def _swarm(containers: list[Container], settings: Settings) -> Files:
    return {"stack.yaml": swarm.document(containers, settings).text(), "nginx/stack.conf": edge.config(containers, edge.title(settings), network=True),
            **{f"{item.name}/uwsgi.swarm.ini": item.config(swarm.ADDRESS) for item in containers}}


def _kubernetes(containers: list[Container], settings: Settings) -> Files:
    found = {}
    for item in containers:
        found[f"{item.name}/kubernetes.yaml"] = "".join(document.text() for document in kubernetes.documents(item, settings))
        secret = kubernetes.secret_manifest(item)
        if secret is not None:
            found[f"{item.name}/kubernetes-secret.example.yaml"] = secret.text()
    return found


def _quadlet(containers: list[Container], settings: Settings) -> Files:
    found: Files = {}
    for item in containers:
        for name, text in quadlet.units(item, settings).items():
            found[f"quadlet/systemd/{name}" if name.endswith((".service", ".timer")) else f"quadlet/{name}"] = text
    return {**found, **{f"quadlet/{name}": text for name, text in quadlet.edge_units(containers, settings).items()}}


_WRITERS: dict[str, Callable[[list[Container], Settings], Files]] = {
    "dockerfile": _dockerfiles, "compose": _compose, "swarm": _swarm, "kubernetes": _kubernetes, "quadlet": _quadlet}


DATA: dict[str, Callable[[list[Container], Settings], Any]] = {
    "compose": lambda containers, settings: compose.document(containers, settings).data,
    "swarm": lambda containers, settings: swarm.document(containers, settings).data,
    "kubernetes": lambda containers, settings: [item.data for container in containers for item in kubernetes.documents(container, settings)],
    "quadlet": lambda containers, settings: {**{name: text for container in containers for name, text in quadlet.units(container, settings).items()},
                                             **quadlet.edge_units(containers, settings)},
    "dockerfile": lambda containers, settings: {container.service["name"]: dockerfile.files(container, settings) for container in containers},
}
"""The same as data: what the filters return."""


def checked(formats: Iterable[str]) -> list[str]:
    """The formats, each once and in their order. Raises ModelError for one that is not known."""
    wanted = list(formats) or list(FORMATS)
    unknown = [str(name) for name in wanted if name not in FORMATS]
    if unknown:
        raise ModelError(f"webstack_export_formats: no format {', '.join(map(repr, unknown))}; there are {', '.join(FORMATS)}")
    return [name for name in FORMATS if name in wanted]


def files(services: list[Service], settings: Settings, formats: Iterable[str] = FORMATS) -> Files:
    """Path -> text. The Dockerfiles are always there: what is exported is built from them sooner or later."""
    wanted = checked(["dockerfile", *(formats or FORMATS)])
    containers = describe_all(services, settings)
    found: Files = {"README.md": readme.text(containers, settings, wanted)}
    for name in wanted:
        found.update(_WRITERS[name](containers, settings))
    if {"compose", "swarm"} & set(wanted):
        found.update({f"{item.name}/crontab": readme.crontab(item, settings, wanted) for item in containers if item.jobs})
        found.update({f"secrets/{item.name}.ini.example": "[uwsgi]\n" + "".join(f"env = {name}=\n" for name in item.variables)
                      for item in containers if item.variables})
    return dict(sorted(found.items()))
