# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one model: service definitions and plans as plain data, checked by the JSON Schema beside this file."""

from __future__ import annotations

import copy
import functools
import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gantry.webstack.plugins.module_utils.common._paths import KEPT_RELEASES, host_socket, secret_ini
from ansible_collections.gantry.webstack.plugins.plugin_utils import plan_text

try:
    import jmespath
    import jsonschema
except ImportError as exc:  # ansible-doc reads plugins on machines without them
    IMPORT_ERROR: ImportError | None = exc
else:
    IMPORT_ERROR = None

Service = dict[str, Any]
Plan = dict[str, Any]


class ModelError(ValueError):
    """A definition or plan that cannot be used; the message names the place and the value."""


@functools.cache
def schema() -> dict[str, Any]:
    """The plan's JSON Schema."""
    return json.loads(Path(__file__).with_name("plan.schema.json").read_text(encoding="utf-8"))


def _place(path: Iterable[Any], services: list[Any]) -> str:
    """Name a place as a person would: ``services[shop].uwsgi.socket`` rather than ``services.0.uwsgi.socket``."""
    place = ""
    steps = list(path)
    for index, step in enumerate(steps):
        if isinstance(step, int):
            item = services[step] if index == 1 and steps[0] in ("services", "nginx_sites") and step < len(services) else None
            place += f"[{item['name'] if isinstance(item, dict) and 'name' in item else step}]"
        else:
            place += f".{step}" if place else str(step)
    return place or "the plan"


def _explain(error: Any, services: list[Any]) -> str:
    place = _place(error.absolute_path, services)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        unknown = sorted(str(key) for key in set(error.instance) - set(error.schema.get("properties", {})))
        known = ", ".join(sorted(error.schema.get("properties", {})))
        return f"{place}: unknown key {', '.join(map(repr, unknown))}; known keys are {known}"
    if "auth" in error.absolute_path or "auth" in (error.instance if isinstance(error.instance, dict) else {}):
        return f"{place}: its value does not fit (wanted is {error.validator}: {error.validator_value}; the value may be secret and is not shown)"
    return f"{place}: {error.message}"


def _duplicates(values: Iterable[str]) -> list[str]:
    seen: set[str] = set()
    return sorted({value for value in values if value in seen or seen.add(value)})  # type: ignore[func-returns-value]


def validate(plan: Plan, where: str = "plan") -> Plan:
    """Return ``plan`` when it fits the schema and its services have distinct names and sockets; raise ModelError otherwise."""
    if IMPORT_ERROR is not None:
        raise ModelError(f"the control node's Python lacks {IMPORT_ERROR.name}; pip install -r requirements.txt of gantry.webstack")
    services = plan.get("services") if isinstance(plan, dict) else None
    services = services if isinstance(services, list) else []
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(schema()).iter_errors(plan))
    if error is not None:
        raise ModelError(f"{where}: {_explain(error, services)}")
    _distinct(services, where)
    return plan


def _distinct(services: list[Service], where: str) -> None:
    """Refuse two services of one name or one socket."""
    for name in _duplicates(service["name"] for service in services):
        raise ModelError(f"{where}: two services are named {name!r}")
    for socket in _duplicates(s["uwsgi"]["socket"] for s in services if s.get("uwsgi", {}).get("socket")):
        names = " and ".join(s["name"] for s in services if s.get("uwsgi", {}).get("socket") == socket)
        raise ModelError(f"{where}: services {names} have the same socket {socket!r}")


def hold(value: Any, fragment: dict[str, Any], name: str) -> None:
    """Hold the value of a variable against a fragment of the schema; raises ModelError with place and value."""
    if IMPORT_ERROR is not None:
        raise ModelError(f"the control node's Python lacks {IMPORT_ERROR.name}; pip install -r requirements.txt of gantry.webstack")
    whole = {"$defs": schema()["$defs"], "type": "object", "properties": {name: fragment}}
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(whole).iter_errors({name: value}))
    if error is not None:
        raise ModelError(_explain(error, value if isinstance(value, list) else []))


def loads(text: str, where: str) -> Plan:
    """Parse and validate a plan file's text."""
    try:
        data = yaml.load(text, Loader=plan_text.LOADER)
    except yaml.YAMLError as exc:
        raise ModelError(f"{where}: not YAML: {' '.join(str(exc).split())}") from exc
    if not isinstance(data, dict):
        raise ModelError(f"{where}: a plan is a mapping, this is {type(data).__name__}")
    return validate(data, where)


def dumps(plan: Plan) -> str:
    """The plan as YAML without comments; the same plan always gives the same text."""
    return plan_text.write(plan)


def select(services: list[Service], wanted: str | list[str] | None) -> list[Service]:
    """Choose services by names (a list, or one string with commas) or a JMESPath expression over the list; everything when ``wanted`` is empty.

    Raises ModelError for a name that is not there, an expression that does not parse, or one that yields no service.
    """
    if not wanted:
        return services
    names = [service["name"] for service in services]
    if isinstance(wanted, str):
        if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*(\s*,\s*[A-Za-z0-9][A-Za-z0-9_.-]*)*", wanted):  # names; alone, none is JMESPath that finds anything
            wanted = re.split(r"\s*,\s*", wanted)
        else:
            try:
                found = jmespath.search(wanted, services)
            except jmespath.exceptions.JMESPathError as exc:
                raise ModelError(f"webstack_select: {wanted!r} is not a JMESPath expression: {exc}") from exc
            found = found if isinstance(found, list) else [found]
            wanted = [item["name"] if isinstance(item, dict) and "name" in item else item for item in found if item is not None]
            if not wanted:
                raise ModelError(f"webstack_select: no service matches; there are {', '.join(names) or 'none'}")
    unknown = [str(name) for name in wanted if name not in names]
    if unknown:
        raise ModelError(f"webstack_select: no service {', '.join(map(repr, unknown))}; there are {', '.join(names) or 'none'}")
    return [service for service in services if service["name"] in wanted]


def complete(service: Service) -> Service:
    """A service definition with what ``install`` assumes where it is silent. Pure; the argument is not changed."""
    done = copy.deepcopy(service)
    name = done["name"]
    done.setdefault("runtime", "host")
    user = done.setdefault("user", {})
    user.setdefault("name", name)
    user.setdefault("group", user["name"])
    code = done.setdefault("code", {}).setdefault("path", f"/srv/{name}/current")
    done["code"].setdefault("keep", KEPT_RELEASES)
    done.setdefault("python", {}).setdefault("venv", f"{code.rstrip('/')}/.venv")
    done.setdefault("uwsgi", {}).setdefault("socket", host_socket(name))
    done["uwsgi"].setdefault("options", {})
    sites = done.setdefault("nginx", {}).setdefault("sites", [{}])
    for site in sites:
        if "tls" not in site:
            site.setdefault("listen", ["80"])
        site.setdefault("server_names", [f"{name}.test"])
        site.setdefault("location", "/")
    done["nginx"].setdefault("static", [])
    for key in ("secrets", "state", "files", "schedule", "workers", "needs"):
        done.setdefault(key, [])
    for secret in done["secrets"]:
        secret.setdefault("source", f"uwsgi:{secret_ini(name)}")
    done.setdefault("environment", {})
    done.setdefault("health", {}).setdefault("path", "/")
    done["health"].setdefault("status", 200)
    done["health"].setdefault("timeout", 10)
    return done


def complete_all(services: list[Service]) -> list[Service]:
    """Validate a list of service definitions as ``install`` gets it, and complete each."""
    validate({"version": 1, "host": "-", "services": services}, "webstack_services")
    done = [complete(service) for service in services]
    _distinct(done, "webstack_services")  # their sockets are known now; what is completed fits the schema as what was given does
    return done
