"""The filter survey: every type of option, every role of the collection, and AWX's own rules."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.filter.survey import survey

ROOT = Path(__file__).parents[4]
ROLES = sorted(path.parents[1] for path in (ROOT / "roles").glob("*/meta/argument_specs.yml"))
TYPES: dict[str, Any] = {"text": str, "textarea": str, "password": str, "multiplechoice": str, "multiselect": str, "integer": int, "float": (float, int)}


def questions(options: dict[str, Any], defaults: dict[str, Any] | None = None, **more: Any) -> list[dict[str, Any]]:
    return survey({"argument_specs": {"main": {"options": options}}}, defaults, **more).get("spec", [])


@pytest.mark.parametrize(("option", "wanted"), [
    ({"type": "str", "default": "x"}, {"type": "text", "default": "x", "min": 0, "max": 1024}),
    ({"type": "path", "required": True}, {"type": "text", "required": True}),
    ({"type": "bool", "default": False}, {"type": "multiplechoice", "choices": ["true", "false"], "default": "false"}),
    ({"type": "str", "choices": ["a", "b"], "default": "b"}, {"type": "multiplechoice", "choices": ["a", "b"], "default": "b"}),
    ({"type": "int", "choices": [1, 2], "default": 2}, {"type": "multiplechoice", "choices": ["1", "2"], "default": "2"}),
    ({"type": "list", "elements": "str", "choices": ["a", "b"], "default": ["a", "b"]}, {"type": "multiselect", "choices": ["a", "b"], "default": "a\nb"}),
    ({"type": "list", "elements": "str", "default": ["a", "b"]}, {"type": "text", "default": "a,b"}),
    ({"type": "int", "default": 0}, {"type": "integer", "default": 0, "min": 0}),
    ({"type": "float", "default": 1.5}, {"type": "float", "default": 1.5, "min": 0}),
    ({"type": "dict", "default": {"a": [1]}}, {"type": "textarea", "default": '{"a": [1]}', "max": 65536}),
    ({"type": "str", "no_log": True, "default": "s3cret"}, {"type": "password"}),
])
def test_types(option: dict[str, Any], wanted: dict[str, Any]) -> None:
    asked = questions({"shop_x": {"description": "What it is.", **option}})[0]
    assert {key: asked.get(key) for key in wanted} == wanted and asked["variable"] == "shop_x"
    assert ("default" in asked) == ("default" in wanted) and asked["required"] is bool(option.get("required"))


@pytest.mark.parametrize("option", [{"type": "list", "elements": "dict"}, {"type": "dict", "no_log": True}])
def test_what_is_no_matter_for_a_form_is_left_out(option: dict[str, Any]) -> None:
    assert questions({"shop_x": {"description": "x", **option}}) == []


@pytest.mark.parametrize(("default", "variable", "value"), [
    ("{{ webstack_canary | default(0) }}", "webstack_canary", 0),
    ("{{ webstack_until | default('switch') }}", "webstack_until", "switch"),
    ("{{ webstack_select | default([]) }}", "webstack_select", None),
    ("{{ webstack_services | default([]) | gantry.webstack.sites }}", "shop_x", None),
    ("{{ shop_dir }}/x", "shop_x", None),
    ("plain", "shop_x", "plain"),
])
def test_a_question_sets_what_people_set(default: str, variable: str, value: Any) -> None:
    kind = "int" if isinstance(value, int) else "raw"
    asked = questions({"shop_x": {"description": "x", "type": kind}}, {"shop_x": default})[0]
    assert (asked["variable"], asked.get("default")) == (variable, value)


def test_descriptions_are_plain_and_tell_the_default_that_is_not_filled_in() -> None:
    option = {"type": "int", "default": 60, "description": [
        "Seconds, see M(gantry.webstack.switch) and P(gantry.webstack.convert#role).", "B(Not) O(x), V(y)."]}
    asked = questions({"shop_x": option}, prefill=False)[0]
    assert asked["question_description"] == "Seconds, see gantry.webstack.switch and gantry.webstack.convert. Not x, y. 60 unless given."
    assert "default" not in asked and asked["question_name"] == "Shop x"


def test_variables_of_several_roles_are_asked_for_once_and_some_not_at_all() -> None:
    one = {"main": {"options": {"a_dir": {"type": "path", "description": "x"}, "a_y": {"type": "str", "description": "x"}}}}
    two = {"main": {"options": {"b_dir": {"type": "path", "description": "x"}, "b_z": {"type": "str", "description": "x"}}}}
    found = survey([one, two], {"a_dir": "{{ webstack_dir }}", "b_dir": "{{ webstack_dir }}"}, without=["b_z"])
    assert [asked["variable"] for asked in found["spec"]] == ["webstack_dir", "a_y"]
    assert survey([one], {"a_dir": "{{ webstack_dir }}"}, without=["webstack_dir", "a_y"]) == {}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
@pytest.mark.parametrize("prefill", [True, False])
def test_every_role_of_the_collection_has_a_survey_that_awx_takes(role: Path, prefill: bool) -> None:
    spec = yaml.safe_load((role / "meta/argument_specs.yml").read_text(encoding="utf-8"))
    defaults = yaml.safe_load((role / "defaults/main.yml").read_text(encoding="utf-8"))
    found = survey(spec, defaults, prefill=prefill, name=role.name)
    assert found["spec"] and len({asked["variable"] for asked in found["spec"]}) == len(found["spec"])
    for asked in found["spec"]:
        assert all(isinstance(asked[key], kind) for key, kind in (("type", str), ("question_name", str), ("variable", str), ("required", bool)))
        assert isinstance(asked.get("default", ""), (str, TYPES[asked["type"]])) and not isinstance(asked.get("default"), bool)
        assert all(isinstance(asked.get(key, 0), int) for key in ("min", "max"))
        if asked["type"] in ("multiplechoice", "multiselect"):
            assert set(str(asked.get("default", "")).splitlines()) <= set(asked["choices"])


@pytest.mark.parametrize(("spec", "why"), [
    ({"main": {"options": {"shop_x": {"type": "str"}}}}, "option 'shop_x' has no description"),
    ({"other": {}}, "argument specs 1 of 1 have no entry point 'main'; there are other"),
])
def test_one_clear_sentence(spec: dict[str, Any], why: str) -> None:
    with pytest.raises(AnsibleFilterError, match=why):
        survey(spec)
