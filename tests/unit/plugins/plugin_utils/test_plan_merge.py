# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Edits that survive: single cases, and laws for plans as hypothesis makes them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.plugin_utils.plan_merge import merge, place, steps

NAMES = st.sampled_from("abcd")
SCALARS = st.one_of(st.integers(0, 3), st.booleans(), st.sampled_from(["", "x", "y"]))
ITEMS = st.lists(st.fixed_dictionaries({"name": NAMES}, optional={"v": SCALARS, "path": NAMES}), max_size=4)
VALUES = st.recursive(st.one_of(SCALARS, st.lists(SCALARS, max_size=4), ITEMS), lambda inner: st.dictionaries(NAMES, inner, max_size=4), max_leaves=8)
PLANS = st.dictionaries(NAMES, VALUES, max_size=4)


@given(PLANS, PLANS)
@example({"a": ["b", "a", "b"]}, {"a": ["a", "a", "b"]})
def test_who_changed_nothing_has_no_say(base: Any, other: Any) -> None:
    for merged in (merge(base, base, other), merge(base, other, other)):
        assert merged.plan == other and merged.conflicts == [] and merged.edits == []
    merged = merge(base, other, base)
    assert merged.plan == other and merged.conflicts == []


@given(PLANS, PLANS, PLANS)
@example({"a": {"a": [0]}}, {"a": {"a": []}}, {"a": {"a": [0, 0]}})  # which of two alike a person took out cannot be known: its place is the same
def test_the_next_run_finds_the_same_and_no_conflict(base: Any, mine: Any, new: Any) -> None:
    first = merge(base, mine, new)
    again = merge(new, first.plan, new)
    assert again.plan == first.plan and list(again.plan) == list(first.plan) and again.conflicts == []
    told = [[(place(edit.path), edit.plan, edit.found) for edit in merged.edits] for merged in (first, again)]
    assert told[0] == told[1]


@given(PLANS, PLANS, PLANS)
def test_every_conflict_is_where_all_three_differ(base: Any, mine: Any, new: Any) -> None:
    for conflict in merge(base, mine, new).conflicts:
        values = [conflict.before, conflict.plan, conflict.found]
        assert all(repr(one) != repr(other) for one, other in zip(values, values[1:] + values[:1]))


SHOP = {"name": "shop", "uwsgi": {"options": {"processes": 4, "master": True}}, "state": [{"path": "/x"}]}
A, B = {"name": "a"}, {"name": "b"}


def options(**changes: Any) -> dict[str, Any]:
    return {**SHOP, "uwsgi": {"options": changes}}


def state(*items: dict[str, str]) -> dict[str, Any]:
    return {**SHOP, "state": list(items)}


@pytest.mark.parametrize(("mine", "new", "wanted", "conflicts"), [
    ([A, {**SHOP, "health": {"path": "/up"}}], [A, SHOP], [A, {**SHOP, "health": {"path": "/up"}}], []),
    ([A, options(processes=8, master=True)], [A, options(processes=4)], [A, options(processes=8)], []),
    ([A, options(processes=8, master=True)], [A, options(processes=6, master=True)], [A, options(processes=8, master=True)],
     ["services[shop].uwsgi.options.processes: 8, 6, 4"]),
    ([A, options(processes=4, master=1)], [A, SHOP], [A, options(processes=4, master=1)], []),
    ([A, state({"path": "/x"}, {"path": "/y"})], [A, state({"path": "/w"}, {"path": "/x", "evidence": "e"})],
     [A, state({"path": "/w"}, {"path": "/x", "evidence": "e"}, {"path": "/y"})], []),
    ([A, state()], [A, SHOP], [A, state()], []),
    ([A, state()], [A, state({"path": "/x", "evidence": "e"})], [A, state()],
     ['services[shop].state[/x]: nothing, {"path": "/x", "evidence": "e"}, {"path": "/x"}']),
    ([{**SHOP, "tools": ["/a"]}], [A], [{**SHOP, "tools": ["/a"]}], ["services[shop]: "]),
    ([A], [A, SHOP], [A], []),
    ([], [B, A, SHOP], [B], []),
])
def test_single_cases(mine: list[Any], new: list[Any], wanted: list[Any], conflicts: list[str]) -> None:
    merged = merge({"services": [A, SHOP]}, {"services": mine}, {"services": new})
    assert repr(merged.plan) == repr({"services": wanted})
    told = [f"{told['place']}: {told['plan']}, {told['found']}, {told['before']}" for told in (item.told() for item in merged.conflicts)]
    assert len(told) == len(conflicts) and all(text.startswith(start) for text, start in zip(told, conflicts))


def test_a_new_order_of_the_persons_stays() -> None:
    assert merge([1, 2, 3], [3, 1, 2], [1, 2, 9, 3]).plan == [3, 1, 2, 9]
    assert list(merge({"a": 1, "b": 1}, {"b": 1, "a": 1}, {"a": 1, "b": 1, "c": 1}).plan) == ["b", "c", "a"]


def test_lists_with_equal_items() -> None:
    assert merge(["x", "x"], ["x", "x", "y"], ["x", "x", "x"]).plan == ["x", "x", "y", "x"]
    assert [place((step,)) for step in steps([{"name": "a"}, {"name": "a"}, "x", {"q": 1}, ["b"]])] == ["[a]", "[a]", "[x]", '[{"q": 1}]', '[["b"]]']


def test_what_may_be_secret_is_not_shown() -> None:
    site = {"auth": {"users": [{"name": "u", "hash": "canary"}]}}
    told = merge({}, site, {"auth": {"users": [{"name": "u", "hash": "other"}]}}).conflicts[0].told()
    assert "canary" not in str(told) and "other" not in str(told)
    assert "canary" not in str([edit.told() for edit in merge({}, {"nginx": site}, {}).edits])


def test_where_a_service_runs_is_nobody_s_edit_in_a_plan_without_a_base() -> None:
    mine, new = ({"services": [{"name": "shop", "runtime": runtime, "health": health}]} for runtime, health in (("host", 1), ("container", 2)))
    merged = merge({}, mine, new)
    assert merged.plan == {"services": [{"name": "shop", "runtime": "container", "health": 1}]}
    assert [place(edit.path) for edit in merged.conflicts] == ["services[shop].health"]
