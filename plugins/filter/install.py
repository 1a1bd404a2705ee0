# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters: service definitions completed, and as the arguments of the modules that install them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.plugin_utils import install_args, model


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


def complete(services: list[model.Service]) -> list[model.Service]:
    """Validate and complete service definitions."""
    return install_args.check(model.complete_all(services))


def vassals(services: list[model.Service], secrets: install_args.Secrets | None = None) -> list[dict[str, Any]]:
    """Completed services as uWSGI vassals."""
    return install_args.vassals(services, plain(secrets or {}))


def complaint(services: list[model.Service], secrets: install_args.Secrets | None = None) -> str:
    """What is wrong with service definitions, or an empty text."""
    try:
        install_args.vassals(complete(plain(services)), plain(secrets or {}))
    except model.ModelError as exc:
        return str(exc)
    return ""


class FilterModule:
    """Entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {
            "complaint": complaint,
            "complete": _speaking(complete),
            "vassals": _speaking(vassals),
            "sites": _speaking(install_args.sites),
            "venvs": _speaking(install_args.venvs),
            "webapps": _speaking(install_args.webapps),
            "commands": _speaking(install_args.commands),
        }
