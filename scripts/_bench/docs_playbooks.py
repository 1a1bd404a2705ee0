"""The reference of the playbooks, made from playbooks/*.yml and the argument specs and defaults of the roles that they run."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from . import ROOT
from .role_readmes import markup

SHARED = re.compile(r"\bwebstack_\w+")
PREFIX = "gantry.webstack."


def roles_of(plays: Any) -> Iterator[str]:
    """Names of our roles that a playbook's plays run, wherever they name them, in their order. Pure."""
    if isinstance(plays, Mapping):
        for key, value in plays.items():
            named = value.get("name") if isinstance(value, Mapping) else value
            if key in ("role", "ansible.builtin.import_role", "ansible.builtin.include_role") and isinstance(named, str) and named.startswith(PREFIX):
                yield named[len(PREFIX):]
            else:
                yield from roles_of(value)
    elif isinstance(plays, list):
        for item in plays:
            yield from roles_of(item)


def imported(plays: list[Mapping[str, Any]]) -> Iterator[str]:
    """Files of the playbooks that a playbook imports. Pure."""
    for play in plays:
        if "ansible.builtin.import_playbook" in play:
            yield play["ansible.builtin.import_playbook"]


def _load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def settings(role: str) -> Iterator[tuple[str, str, str]]:
    """(variable, option, description) of what sets a role's options from outside."""
    options = _load(f"roles/{role}/meta/argument_specs.yml")["argument_specs"]["main"].get("options", {})
    for option, default in (_load(f"roles/{role}/defaults/main.yml") or {}).items():
        found = SHARED.search(default) if isinstance(default, str) else None
        if found and option in options and option.removeprefix(f"{role}_") == found[0].removeprefix("webstack_"):
            text = options[option].get("description", "")
            first = markup(text if isinstance(text, str) else text[0])
            yield found[0], option, re.sub(r" ?`webstack_\w+` sets it( for all roles)?\.", "", first)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _playbook(name: str) -> Iterator[str]:
    plays = _load(f"playbooks/{name}.yml")
    parts = list(dict.fromkeys(imported(plays)))
    every = [play for part in (*parts, f"{name}.yml") for play in _load(f"playbooks/{part}")]
    roles = [role for role in dict.fromkeys(roles_of(every)) if (ROOT / f"roles/{role}/meta/argument_specs.yml").is_file()]
    own = name if name in roles else ""
    spec = _load(f"roles/{own}/meta/argument_specs.yml")["argument_specs"]["main"] if own else {}
    yield f"## {name}\n"
    yield f"{markup(spec['short_description'])}.\n" if own else "; ".join(play["name"] for play in plays if "name" in play) + ".\n"
    for text in spec.get("description", []) if isinstance(spec.get("description"), list) else [spec["description"]] if own else []:
        yield f"{markup(text)}\n"
    yield f"    ansible-playbook -i inventory.yml --become {PREFIX}{name}\n"
    if roles:
        yield "It runs the " + ("role " if len(roles) == 1 else "roles ") + ", ".join(f"[{role}](./{role}_role.rst)" for role in roles) + (
            ", whose options it takes too.\n")
    rows = {}
    if "webstack_hosts" in str(every):
        rows["webstack_hosts"] = "The hosts or groups of the inventory that it works on; all of them unless it is set."
    for role in roles:
        for variable, dummy, text in settings(role):
            rows.setdefault(variable, text)
    if rows:
        yield "| variable | what it is |\n|---|---|\n" + "\n".join(f"| `{variable}` | {_cell(text)} |" for variable, text in rows.items()) + "\n"


def page() -> str:
    """The whole page, as Markdown."""
    names = sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    head = ["# Playbooks\n",
            "Each is run by its full name, from any directory, with the collection installed. A variable is set in the inventory, or with `-e`.\n"]
    return "\n".join([*head, *(line for name in names for line in _playbook(name))])
