"""What AWX checks before it takes something, written down from its source (awx 24.6: api/serializers.py, api/views, main/fields.py, main/models/mixins.py)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import jinja2
import jinja2.sandbox
import jsonschema

SURVEY_TYPES: dict[str, Any] = {"text": str, "textarea": str, "password": str, "multiplechoice": str, "multiselect": str, "integer": int, "float": (float, int)}

INPUTS: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "properties": {
        "required": {"type": "array", "items": {"type": "string"}},
        "fields": {"type": "array", "items": {
            "type": "object", "additionalProperties": False, "required": ["id", "label"], "properties": {
                "type": {"enum": ["string", "boolean"]}, "format": {"enum": ["ssh_private_key", "url"]},
                "choices": {"type": "array", "minItems": 1, "items": {"type": "string"}, "uniqueItems": True},
                "id": {"type": "string", "pattern": "^[a-zA-Z_]+[a-zA-Z0-9_]*$"}, "label": {"type": "string"}, "help_text": {"type": "string"},
                "multiline": {"type": "boolean"}, "secret": {"type": "boolean"}, "default": {}}}}}}

INJECTORS: dict[str, Any] = {
    "type": "object", "additionalProperties": False, "properties": {
        "file": {"type": "object", "additionalProperties": False, "patternProperties": {r"^template(\.[a-zA-Z_]+[a-zA-Z0-9_]*)?$": {"type": "string"}}},
        "env": {"type": "object", "additionalProperties": False,
                "patternProperties": {"^(?!ANSIBLE_)[a-zA-Z_]+[a-zA-Z0-9_]*$": {"type": "string", "pattern": "^[\x00-\x7f]*$"}}},
        "extra_vars": {"type": "object", "additionalProperties": False, "patternProperties": {
            r"^[a-zA-Z_\{\}]+[a-zA-Z0-9_\{\}]*$": {"anyOf": [{"type": "string"}, {"type": "array"}, {"$ref": "#/properties/extra_vars"}]}}}}}


class Refused(Exception):
    """A request that AWX answers with 400; ``body`` is the answer."""

    def __init__(self, body: Mapping[str, Any]) -> None:
        super().__init__(str(body))
        self.body = dict(body)


def survey_spec(spec: Any) -> None:
    """JobTemplateSurveySpec._validate_spec_data."""
    for key, kind in (("name", str), ("description", str), ("spec", list)):
        if not isinstance(spec.get(key), kind):
            raise Refused({"error": f"Field '{key}' is missing from survey spec or has another type."})
    if not spec["spec"]:
        raise Refused({"error": "'spec' doesn't contain any items."})
    seen: set[str] = set()
    for number, item in enumerate(spec["spec"]):
        for key in ("type", "question_name", "variable", "required"):
            if not isinstance(item.get(key), bool if key == "required" else str):
                raise Refused({"error": f"'{key}' in survey question {number} is missing or has another type."})
        if item["variable"] in seen:
            raise Refused({"error": f"'variable' '{item['variable']}' duplicated in survey question {number}."})
        seen.add(item["variable"])
        _question(number, item)


def _question(number: int, item: dict[str, Any]) -> None:
    kind = item["type"]
    if kind not in SURVEY_TYPES:
        raise Refused({"error": f"'{kind}' in survey question {number} is not one of the allowed question types."})
    if item.get("default", "") != "" and not isinstance(item["default"], SURVEY_TYPES[kind]):
        raise Refused({"error": f"Default value {item['default']} in survey question {number} expected to be {kind}."})
    for key in ("min", "max"):
        if item.get(key) is not None and not isinstance(item[key], int):
            raise Refused({"error": f"The {key} limit in survey question {number} expected to be integer."})
    if kind in ("multiselect", "multiplechoice"):
        if "choices" not in item:
            raise Refused({"error": f"Survey question {number} of type {kind} must specify choices."})
        chosen = item.get("default", "").splitlines()
        if (kind == "multiplechoice" and len(chosen) > 1) or any(choice not in item["choices"] for choice in chosen):
            raise Refused({"error": "Default choice must be answered from the choices listed."})


def answers(spec: Mapping[str, Any], enabled: bool, ask: bool, given: Mapping[str, Any]) -> None:
    """SurveyJobTemplateMixin._accept_or_ignore_variables for the variables of a workflow's node."""
    left, wrong = dict(given), []
    for item in spec.get("spec", []) if enabled else []:
        if item["variable"] in left:
            value = left.pop(item["variable"])
            choices = item.get("choices", [])
            if item["type"] == "multiplechoice" and value not in choices:
                wrong.append(f"Value {value} for '{item['variable']}' expected to be one of {choices}.")
            elif item["type"] in ("integer", "float", "text", "textarea", "password") and (
                    not isinstance(value, SURVEY_TYPES[item["type"]]) or isinstance(value, bool)):
                wrong.append(f"Value {value} for '{item['variable']}' expected to be {item['type']}.")
    if wrong:
        raise Refused({"variables_needed_to_start": wrong})
    if left and not ask:
        raise Refused({"extra_data": [f"Variables {', '.join(left)} are not allowed on launch."]})


def credential_type(kind: str, inputs: dict[str, Any], injectors: dict[str, Any]) -> None:
    """CredentialTypeSerializer.validate, CredentialTypeInputField and CredentialTypeInjectorField; gives each field its type, as AWX does."""
    if kind not in ("cloud", "net"):
        raise Refused({"kind": [f"Must be 'cloud' or 'net', not {kind}"]})
    for name, value, schema in (("inputs", inputs, INPUTS), ("injectors", injectors, INJECTORS)):
        for error in jsonschema.Draft7Validator(schema).iter_errors(value):
            raise Refused({name: [error.message]})
    fields = inputs.get("fields", [])
    for field in fields:
        field.setdefault("type", "string")
        if field["id"] == "tower" or [other["id"] for other in fields].count(field["id"]) > 1:
            raise Refused({"inputs": [f"field IDs must be unique and not tower ({field['id']})"]})
    names = {name.partition(".")[2]: "EXAMPLE_FILENAME" for name in injectors.get("file", {})}
    known: dict[str, Any] = {field["id"]: "EXAMPLE" for field in fields}
    known["tower"] = {"filename": names.get("", names)}
    for text in _texts(injectors):
        try:
            jinja2.sandbox.ImmutableSandboxedEnvironment(undefined=jinja2.StrictUndefined).from_string(text).render(known)
        except jinja2.TemplateError as exc:
            raise Refused({"injectors": [f"{text!r} uses an undefined field ({exc})"]}) from exc


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for inner in value.values():
            yield from _texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)
    else:
        yield str(value)


def no_cycle(links: Mapping[int, Iterable[int]]) -> None:
    """WorkflowDAG.has_cycle."""
    def leads(node: int, path: tuple[int, ...]) -> None:
        if node in path:
            raise Refused({"Error": "Cycle detected."})
        for child in links.get(node, ()):
            leads(child, (*path, node))

    for node in links:
        leads(node, ())
