# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a caller gives beside the plan, held against what an export takes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils import model
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import Container, Settings, describe_all
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service

STATES = ("host", "volume")
_TEXTS, _MAPPINGS = ("nginx_image", "base", "state", "host"), ("facts", "images", "locks")


def read(plan: Any, given: Mapping[str, Any]) -> tuple[list[Service], Settings]:
    """The services of a plan (or a list of them), and the settings. Raises ModelError with the name and the value of what does not fit."""
    whole = plan if isinstance(plan, dict) else {"version": 1, "host": "webstack", "services": plan}
    model.validate(whole)
    unknown = sorted(set(given) - {*_TEXTS, *_MAPPINGS, "port"})
    if unknown:
        raise ModelError(f"export: no setting {', '.join(map(repr, unknown))}; there are {', '.join(sorted((*_TEXTS, *_MAPPINGS, 'port')))}")
    for name in (*_TEXTS, *_MAPPINGS):
        wanted = str if name in _TEXTS else dict
        if name in given and not isinstance(given[name], wanted):
            raise ModelError(f"export {name}: {given[name]!r} is no {'text' if wanted is str else 'mapping'}")
    if given.get("state", "host") not in STATES:
        raise ModelError(f"export state: {given['state']!r} is none of {', '.join(STATES)}")
    port = given.get("port", 8080)
    if isinstance(port, bool) or not str(port).isdigit() or not 0 < int(port) < 65536:
        raise ModelError(f"export port: {port!r} is no port; give a number from 1 to 65535")
    names = {service["name"] for service in whole["services"]}
    for service in given.get("images", {}):
        if service not in names:
            raise ModelError(f"export images: no service {service!r}; there are {', '.join(sorted(names)) or 'none'}")
    chosen = {name: given[name] for name in (*_TEXTS, *_MAPPINGS) if given.get(name)}
    return whole["services"], Settings(**{"host": str(whole["host"]), "edge": whole.get("edge", {}), **chosen, "port": int(port)})


def described(plan: Any, given: Mapping[str, Any]) -> tuple[list[Container], Settings]:
    """The services of a plan as containers, and the settings."""
    services, found = read(plan, given)
    return describe_all(services, found), found
