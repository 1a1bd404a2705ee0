# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A role's argument_specs held against the schema."""

from __future__ import annotations

from collections.abc import Set
from pathlib import Path
from typing import Any

import yaml

from ansible_collections.gantry.webstack.plugins.plugin_utils import model

ROOT = Path(__file__).parents[2]
TYPES = {"string": "str", "integer": "int", "boolean": "bool", "array": "list", "object": "dict"}


def options(role: str) -> dict[str, Any]:
    """The options of a role."""
    return yaml.safe_load((ROOT / f"roles/{role}/meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]


def resolved(fragment: dict[str, Any]) -> dict[str, Any]:
    """A fragment with its references followed."""
    while "$ref" in fragment:
        target: Any = model.schema()
        for step in fragment["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        fragment = {**target, **{key: value for key, value in fragment.items() if key != "$ref"}}
    return fragment


def type_of(fragment: dict[str, Any]) -> str:
    """The type by which role validation knows it."""
    if fragment.get("$ref") == "#/$defs/path":  # of a file, unlike a URL's
        return "path"
    fragment = resolved(fragment)
    if "enum" in fragment:
        return "str"
    return "raw" if isinstance(fragment["type"], list) else TYPES[fragment["type"]]


def differences(where: str, option: dict[str, Any], fragment: dict[str, Any], required: bool = False, *,
                left_out: Set[str] = frozenset(), closed: Set[str] = frozenset()) -> list[str]:
    """What an option says otherwise than the schema, and the same of the options inside it.

    ``left_out`` are properties that are no options, ``closed`` are options whose insides are told elsewhere.
    """
    kind, fragment = type_of(fragment), resolved(fragment)
    said = {"type": option.get("type"), "choices": option.get("choices"), "required": bool(option.get("required"))}
    meant = {"type": kind, "choices": fragment.get("enum"), "required": required}
    inner = fragment
    if kind == "list":
        inner = resolved(fragment["items"])
        said["elements"], meant["elements"] = option.get("elements"), type_of(fragment["items"])
    found = [f"{where}: {said} is not {meant}"] if said != meant else []
    if not option.get("description"):
        found.append(f"{where}: not described")
    if inner.get("additionalProperties") is not False or where in closed:
        # directives have any name, so that an option may not list any: role validation would refuse the others
        return found + ([f"{where}: has options"] if "options" in option else [])
    properties = {name: value for name, value in inner.get("properties", {}).items() if f"{where}.{name}" not in left_out}
    inside = option.get("options", {})
    if set(inside) ^ set(properties):
        found.append(f"{where}: {sorted(set(inside) ^ set(properties))} stand only on one side")
    for name in set(inside) & set(properties):
        found += differences(f"{where}.{name}", inside[name], properties[name], name in inner.get("required", []), left_out=left_out, closed=closed)
    return found
