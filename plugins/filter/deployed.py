# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: a plan's services as their definitions say now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.filter.install import complete, plain
from ansible_collections.gantry.webstack.plugins.module_utils.install._releases import relocate
from ansible_collections.gantry.webstack.plugins.module_utils.install._requirements import canonical, parse_lock
from ansible_collections.gantry.webstack.plugins.plugin_utils import model

_OF_THE_VENV = ("pip", "setuptools", "wheel")
"""What a virtual environment may have beside its lock."""

_LISTS = {"secrets": "name", "state": "path", "files": "path"}
"""What is known by a key in lists that a definition adds to."""


def deployed(services: list[model.Service], definitions: list[model.Service]) -> list[model.Service]:
    """The plan's ``services``, each with what its definition in ``definitions`` says by now; discover has seen an earlier one.

    The virtual environment tells its interpreter itself, and its distributions are those of its lock.
    """
    try:
        known = {service["name"]: service for service in complete(definitions)} if definitions else {}
    except model.ModelError as exc:
        raise AnsibleFilterError(str(exc)) from exc
    return [_merged(service, known[service["name"]]) if service["name"] in known else service for service in plain(services)]


def _merged(service: model.Service, definition: model.Service) -> model.Service:
    merged = {**service, "environment": {**service.get("environment", {}), **definition["environment"]}, "health": definition["health"]}
    moved = _moved(service, definition)
    options = {name: _elsewhere(value, moved) for name, value in service["uwsgi"].get("options", {}).items()}
    merged["uwsgi"] = {**service["uwsgi"], "options": {**options, **definition["uwsgi"]["options"]}}
    if service.get("code", {}).get("path") in moved:
        merged["code"] = {**service["code"], "path": definition["code"]["path"]}
    if "requirements" in definition["python"]:
        merged["python"] = {key: value for key, value in service["python"].items() if key not in ("interpreter", "version")}
        if "venv" in merged["python"]:
            merged["python"]["venv"] = moved.get(merged["python"]["venv"], merged["python"]["venv"])
        merged["python"]["distributions"] = _locked(service["python"].get("distributions", []), definition["python"]["requirements"])
    for name, key in _LISTS.items():
        there = service.get(name, [])
        merged[name] = there + [item for item in definition[name] if item[key] not in [old[key] for old in there]]
    return merged


def _moved(service: model.Service, definition: model.Service) -> dict[str, str]:
    """The directories of code and virtual environment that are elsewhere by now: where they were -> where the definition has them.

    Version 0.1.0 had others when a definition named none, and a definition may name new ones.
    """
    both = [(service.get("code", {}).get("path"), definition["code"]["path"])]
    if "requirements" in definition["python"]:  # else install makes none, and the service has the one that it has
        both.insert(0, (service.get("python", {}).get("venv"), definition["python"]["venv"]))
    return {was: now for was, now in both if was and now and was != now}


def _elsewhere(value: Any, moved: dict[str, str]) -> Any:
    """An option's value with paths below moved directories where they are now."""
    if isinstance(value, list):
        return [_elsewhere(item, moved) for item in value]
    for was, now in moved.items():
        if isinstance(value, str) and (replaced := relocate(value, was, now)) != value:
            return replaced
    return value


def _locked(found: list[dict[str, Any]], path: str) -> list[dict[str, Any]]:
    """The distributions that discover has ``found``, as the lock at ``path`` has them now; as they are when it cannot be read here."""
    try:
        lock = parse_lock(Path(path).expanduser().read_text(encoding="utf-8"))
    except OSError:
        return found
    pins = {**lock.conditional, **lock.pins}
    kept = [{**item, "version": pins.get(canonical(item["name"]), item["version"])} for item in found if canonical(item["name"]) in (*pins, *_OF_THE_VENV)]
    there = {canonical(item["name"]) for item in found}
    return kept + [{"name": name, "version": version} for name, version in sorted(lock.pins.items()) if name not in there]


class FilterModule:
    """Entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"deployed": deployed}
