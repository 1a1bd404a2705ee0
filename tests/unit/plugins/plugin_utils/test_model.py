"""The model: what is refused, with which sentence, and what goes round."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.plugin_utils import model


def plan(*services: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"version": 1, "host": "web1", "services": list(services), **more}


@pytest.mark.parametrize(("bad", "sentence"), [
    (plan({"name": "shop", "uwsgi": {"sokcet": "/a"}}), "p.yml: services[shop].uwsgi: unknown key 'sokcet'; known keys are binary, config"),
    (plan({"name": "shop"}, edge={"grup": "x"}), "p.yml: edge: unknown key 'grup'"),
    (plan({"name": "shop", "runtime": "pod"}), "p.yml: services[shop].runtime: 'pod' is not one of ['host', 'container']"),
    (plan({"name": "shop", "code": {"path": "srv"}}), "p.yml: services[shop].code.path: 'srv' does not match '^/'"),
    (plan({"runtime": "host"}), "p.yml: services[0]: 'name' is a required property"),
    (plan({"name": "shop"}, {"name": "shop"}), "p.yml: two services are named 'shop'"),
    (plan({"name": "a", "uwsgi": {"socket": "/s"}}, {"name": "b", "uwsgi": {"socket": "/s"}}), "p.yml: services a and b have the same socket '/s'"),
    (plan({"name": "shop", "secrets": [{"name": "X", "source": "s3cret"}]}), "p.yml: services[shop].secrets[0].source: 's3cret' does not match"),
    ({"version": 2, "host": "web1", "services": []}, "p.yml: version: 1 was expected"),
])
def test_a_bad_plan_is_refused_with_its_place_and_value(bad: dict[str, Any], sentence: str) -> None:
    with pytest.raises(model.ModelError) as refused:
        model.validate(bad, "p.yml")
    assert str(refused.value).startswith(sentence)


@pytest.mark.parametrize(("text", "sentence"), [
    ("a: [", "p.yml: not YAML: "),
    ("- a", "p.yml: a plan is a mapping, this is list"),
    ("", "p.yml: a plan is a mapping, this is NoneType"),
])
def test_a_file_that_is_no_plan(text: str, sentence: str) -> None:
    with pytest.raises(model.ModelError) as refused:
        model.loads(text, "p.yml")
    assert str(refused.value).startswith(sentence)


NAME = st.from_regex(r"[a-z][a-z0-9_.-]{0,20}", fullmatch=True)
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=40)
SERVICE: st.SearchStrategy[dict[str, Any]] = st.fixed_dictionaries({"name": NAME}, optional={
    "runtime": st.sampled_from(["host", "container"]),
    "environment": st.dictionaries(NAME, TEXT, max_size=3),
    "uwsgi": st.fixed_dictionaries({"options": st.dictionaries(NAME, st.one_of(TEXT, st.booleans(), st.integers(), st.lists(TEXT)), max_size=4)}),
    "schedule": st.lists(st.fixed_dictionaries({"when": TEXT, "command": TEXT}), max_size=2),
})


@given(st.lists(SERVICE, max_size=4, unique_by=lambda service: service["name"]))
def test_a_plan_goes_round_through_its_file(services: list[dict[str, Any]]) -> None:
    text = model.dumps(plan(*services))
    assert model.loads(text, "p.yml") == plan(*services)
    assert model.dumps(model.loads(text, "p.yml")) == text


@given(st.lists(SERVICE, max_size=4, unique_by=lambda service: service["name"]))
def test_completing_is_idempotent_and_leaves_its_argument(services: list[dict[str, Any]]) -> None:
    text = model.dumps(plan(*services))
    for service in services:
        done = model.complete(service)
        assert model.complete(done) == done
        assert all(done[key] == value for key, value in service.items() if key not in ("uwsgi",))
    assert model.dumps(plan(*services)) == text


SERVICES = [{"name": "shop", "uwsgi": {"options": {"processes": 1}}}, {"name": "blog", "uwsgi": {"options": {"processes": 2}}}]


@pytest.mark.parametrize(("wanted", "names"), [
    (None, ["shop", "blog"]),
    ([], ["shop", "blog"]),
    ("", ["shop", "blog"]),
    ("blog", ["blog"]),
    ("shop, blog", ["shop", "blog"]),
    (["blog", "shop"], ["shop", "blog"]),
    ("[?uwsgi.options.processes==`2`]", ["blog"]),
    ("[*].name", ["shop", "blog"]),
    ("[?name=='shop'].name", ["shop"]),
    ("[0]", ["shop"]),
])
def test_select(wanted: Any, names: list[str]) -> None:
    assert [service["name"] for service in model.select(SERVICES, wanted)] == names


@pytest.mark.parametrize(("wanted", "sentence"), [
    (["shup"], "webstack_select: no service 'shup'; there are shop, blog"),
    ("shop,shup", "webstack_select: no service 'shup'; there are shop, blog"),
    ("[?name==", "webstack_select: '[?name==' is not a JMESPath expression: "),
    ("[?uwsgi.options.processes==`9`]", "webstack_select: no service matches; there are shop, blog"),
])
def test_a_selection_of_nothing_is_refused(wanted: Any, sentence: str) -> None:
    with pytest.raises(model.ModelError) as refused:
        model.select(SERVICES, wanted)
    assert str(refused.value).startswith(sentence)
