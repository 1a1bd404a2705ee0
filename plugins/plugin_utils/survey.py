# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The options of roles as the questions of an AWX survey. Pure.

What a survey may hold is what AWX checks when one is posted (``JobTemplateSurveySpec`` in awx/api/views, ``SURVEY_TYPE_MAPPING`` in
awx/main/constants.py): text, textarea, password, multiplechoice and multiselect have texts as defaults, integer and float numbers; min and max are integers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import yaml

Question = dict[str, Any]

LONGEST = 1024
"""Characters of an answer, as AWX's own form offers it; a textarea may have 64 times as many."""

_VARIABLE = re.compile(r"^\{\{\s*(webstack_\w+)\s*(?:\|\s*default\((.*)\)\s*)?\}\}$")
_MARKUP = re.compile(r"\b(?:[BCEIMOPUV]|RV)\(([^()]*)\)")
_LINK = re.compile(r"\bL\(([^,()]*), ?([^()]*)\)")


class SurveyError(ValueError):
    """Something is no argument spec of a role; the message names the option."""


def variable(name: str, default: Any) -> tuple[str, Any]:
    """The variable by which people set an option, and its value when nobody does.

    An option of a role is set by a ``webstack_*`` variable where defaults/main.yml says ``{{ webstack_X | default(VALUE) }}``; else by its own name. None
    is no value.
    """
    found = _VARIABLE.match(default.strip()) if isinstance(default, str) else None
    if found:
        return found[1], yaml.safe_load(found[2]) if found[2] else None
    return name, None if isinstance(default, str) and "{{" in default else default


def plain(description: str | Iterable[str]) -> str:
    """A description without Ansible's markup."""
    text = " ".join([description] if isinstance(description, str) else description)
    return " ".join(_MARKUP.sub(lambda found: found[1].partition("#")[0], _LINK.sub(r"\1 (\2)", text)).split())


def _kind(option: Mapping[str, Any]) -> str:
    """The type of question; empty for an option that no question can ask for."""
    kind, inner = option.get("type", "str"), option.get("elements", "str")
    if option.get("no_log"):
        return "password" if kind in ("str", "raw") else ""  # a mapping with a secret belongs into a credential
    if kind == "list":
        return "" if inner in ("dict", "list") else "multiselect" if option.get("choices") else "text"
    if kind == "bool" or option.get("choices"):
        return "multiplechoice"
    return {"int": "integer", "float": "float", "dict": "textarea", "json": "textarea"}.get(kind, "text")


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _default(kind: str, value: Any) -> Any:
    """A default as AWX takes it; None for none: AWX hands every default on, also an empty one."""
    if value is None or value in ("", [], {}):
        return None
    if kind in ("integer", "float"):
        return value
    if kind == "multiselect":
        return "\n".join(map(_text, value))
    if isinstance(value, list):
        return ",".join(map(_text, value))
    return json.dumps(value, ensure_ascii=False) if isinstance(value, Mapping) else _text(value)


def question(name: str, option: Mapping[str, Any], default: Any, prefill: bool) -> Question | None:
    """One option as a question; None when no question can ask for it. Raises SurveyError."""
    if not isinstance(option, Mapping) or not isinstance(option.get("description"), (str, list)):
        raise SurveyError(f"option {name!r} has no description, so it cannot be asked for")
    kind = _kind(option)
    if not kind:
        return None
    setting, fallback = variable(name, default)
    value = _default(kind, option.get("default", fallback))
    told = plain(option["description"])
    if kind == "textarea":
        told += " As JSON."
    elif option.get("type") == "list" and kind == "text":
        told += " Several are separated by commas."
    asked: Question = {"variable": setting, "question_name": setting.removeprefix("webstack_").replace("_", " ").capitalize(),
                       "type": kind, "required": bool(option.get("required"))}
    if kind in ("multiplechoice", "multiselect"):
        asked["choices"] = [_text(choice) for choice in option.get("choices") or (True, False)]
    elif kind in ("integer", "float"):
        asked["min"] = 0
    else:
        asked.update(min=0, max=LONGEST * 64 if kind == "textarea" else LONGEST)
    if value is not None and kind != "password":
        if prefill:
            asked["default"] = value
        else:
            told += f" {str(value).replace(chr(10), ', ')} unless given."
    return {**asked, "question_description": told}


def survey(specs: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any], *, entry_point: str, without: Iterable[str], prefill: bool,
           name: str, description: str) -> dict[str, Any]:
    """The survey of the options of one or more roles, each variable once. Empty when there is nothing to ask for.

    :param specs: what stands in meta/argument_specs.yml of each role.
    :param defaults: what stands in defaults/main.yml of all of them.
    :param without: names of options or of their variables.
    Raises SurveyError.
    """
    left_out, asked = set(without), dict[str, Question]()
    for number, spec in enumerate(specs):
        spec = spec.get("argument_specs", spec) if isinstance(spec, Mapping) else {}
        if not isinstance(spec.get(entry_point), Mapping):
            raise SurveyError(f"argument specs {number + 1} of {len(specs)} have no entry point {entry_point!r}; there are {', '.join(sorted(spec)) or 'none'}")
        for option, told in spec[entry_point].get("options", {}).items():
            found = question(option, told, defaults.get(option), prefill)
            if found and not left_out & {option, found["variable"]}:
                asked.setdefault(found["variable"], found)
    return {"name": name, "description": description, "spec": list(asked.values())} if asked else {}
