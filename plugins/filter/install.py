# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters: service definitions completed, and as the arguments of the modules that install them."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.plugin_utils import install_args, model, render_nginx, render_units


def plain(value: Any) -> Any:
    """Data without Ansible's lazy templates and tags, which cost seconds when a schema is held against them."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    for kind in (bool, int, float, str):
        if isinstance(value, kind):
            return kind(value)
    return value


def _speaking(function: Callable[..., Any]) -> Callable[..., Any]:
    """Our one error as Ansible's: the sentence, nothing else."""

    @functools.wraps(function)
    def wrapped(services: Any, *args: Any) -> Any:
        try:
            return function(plain(services), *args)
        except model.ModelError as exc:
            raise AnsibleFilterError(str(exc)) from exc

    return wrapped


def complete(services: list[model.Service], releases: Mapping[str, str] | None = None) -> list[model.Service]:
    """Validate and complete service definitions; ``releases`` as ``webapp_release`` has them."""
    return json.loads(_completed(json.dumps([services, plain(releases or {})])))


@functools.lru_cache(maxsize=4)
def _completed(given: str) -> str:
    """One task asks for the same services several times. As JSON, which is copied faster than what it stands for."""
    services, releases = json.loads(given)
    return json.dumps(install_args.check(install_args.pinned(model.complete_all(services), releases)))


def complaint(services: list[model.Service], secrets: install_args.Secrets | None = None, releases: Mapping[str, str] | None = None) -> str:
    """What is wrong with service definitions, or an empty text."""
    try:
        install_args.check_secrets(complete(plain(services), releases), plain(secrets or {}))
    except model.ModelError as exc:
        return str(exc)
    return ""


def commands(services: list[model.Service], staged: Mapping[str, Any] | None = None, phase: str = "", hostvars: Mapping[str, Any] | None = None,
             host: str = "", hosts: list[str] | None = None, only: list[str] | None = None) -> list[dict[str, Any]]:
    """Completed services as commands: all, or those ``before`` and ``after`` the point at which the hosts of the play wait for each other.

    ``hosts``: before it, those of the play that have not failed; after it, all of the play. ``only``: the names of services.
    """
    found = install_args.commands(services, plain(staged or {}))
    found = found if only is None else [service for service in found if service["name"] in only]
    if not phase:
        return found
    if phase == "before":
        return install_args.before(found, host, hosts or [], lambda other: _of(hostvars, other, "__webapp_files", "staged"))
    return install_args.after(found, host, hosts or [], lambda other: _of(hostvars, other, "__webapp_checked", "migrated"))


def _of(hostvars: Mapping[str, Any] | None, host: str, name: str, key: str) -> Mapping[str, Any]:
    """What a task has registered on another host; empty when it has not run there."""
    variables = hostvars[host] if hostvars is not None else {}
    return plain(variables[name].get(key) or {}) if name in variables else {}


class FilterModule:
    """Entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {
            "complete": _speaking(complete),
            "complaint": complaint,
            "vassals": _speaking(install_args.vassals),
            "uwsgi_checks": _speaking(install_args.uwsgi_checks),
            "sites": _speaking(install_args.sites),
            "nginx_sites": _speaking(render_nginx.role_sites),
            "nginx_settings": _speaking(render_nginx.settings),
            "pythons": _speaking(install_args.pythons),
            "venvs": _speaking(install_args.venvs),
            "webapps": _speaking(install_args.webapps),
            "units": _speaking(render_units.units),
            "commands": _speaking(commands),
        }
