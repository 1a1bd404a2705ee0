"""daemon.json: merged, completed, and how it is taken up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _engine_daemon

DEFAULTS = {"live-restore": True, "log-driver": "json-file", "log-opts": {"max-size": "10m", "max-file": "3"}}
LEAF = st.one_of(st.booleans(), st.integers(), st.text(max_size=3), st.lists(st.text(max_size=2), max_size=2))
SETTINGS = st.dictionaries(st.sampled_from("abcd"), st.one_of(LEAF, st.dictionaries(st.sampled_from("abcd"), LEAF, max_size=3)), max_size=3)


def test_keys_of_others_stay_and_those_that_we_set_before_go() -> None:
    current = {"labels": ["rack=7"], "debug": True, "log-opts": {"max-size": "5m", "tag": "x"}}
    ours = {("debug",), ("log-opts", "max-size")}
    assert _engine_daemon.merged(current, {"log-driver": "local"}, ours) == {"labels": ["rack=7"], "log-opts": {"tag": "x"}, "log-driver": "local"}
    assert current["debug"] is True


@given(SETTINGS, SETTINGS)
def test_merging_twice_is_merging_once(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    once = _engine_daemon.merged(current, wanted, set())
    assert _engine_daemon.merged(once, wanted, set(_engine_daemon.leaves(wanted))) == once
    assert set(_engine_daemon.leaves(wanted)) <= set(_engine_daemon.leaves(once))


@given(st.dictionaries(st.sampled_from("abcd"), LEAF), st.dictionaries(st.sampled_from("efgh"), st.dictionaries(st.sampled_from("abcd"), LEAF, min_size=1)))
def test_what_is_set_and_taken_away_leaves_what_others_had(current: dict[str, Any], wanted: dict[str, Any]) -> None:
    there = _engine_daemon.merged(current, wanted, set())
    assert _engine_daemon.merged(there, {}, set(_engine_daemon.leaves(wanted))) == current


@pytest.mark.parametrize(("wanted", "others", "swarm", "expected"), [
    ({}, {}, False, DEFAULTS),
    ({"log-opts": {"max-size": "1m"}}, {}, False, {**DEFAULTS, "log-opts": {"max-size": "1m", "max-file": "3"}}),
    ({"log-driver": "journald"}, {}, False, {"live-restore": True, "log-driver": "journald"}),
    ({"log-driver": "journald", "log-opts": {"tag": "x"}}, {}, False, {"live-restore": True, "log-driver": "journald", "log-opts": {"tag": "x"}}),
    ({}, {"log-driver": "syslog", "live-restore": False}, False, {}),
    ({}, {"log-opts": {"max-size": "7m"}}, False, {**DEFAULTS, "log-opts": {"max-file": "3"}}),
    ({}, {}, True, {key: value for key, value in DEFAULTS.items() if key != "live-restore"}),
    ({"live-restore": True}, {}, True, DEFAULTS),
])
def test_defaults_hold_where_nobody_says_otherwise(wanted: dict[str, Any], others: dict[str, Any], swarm: bool, expected: dict[str, Any]) -> None:
    assert _engine_daemon.completed(wanted, DEFAULTS, others, swarm) == expected


@pytest.mark.parametrize(("before", "after", "way"), [
    ({"debug": True}, {"debug": True}, ""),
    ({}, {"debug": True, "live-restore": True}, "reload"),
    ({"debug": True}, {"log-driver": "local"}, "restart"),
    ({"log-opts": {"max-file": "3"}}, {"log-opts": {"max-file": "4"}}, "restart"),
])
def test_a_restart_only_when_it_is_needed(before: dict[str, Any], after: dict[str, Any], way: str) -> None:
    assert _engine_daemon.way(before, after) == way


@pytest.mark.parametrize(("text", "said"), [("{", "is not JSON"), ("[]", "holds a list where Docker wants an object")])
def test_a_broken_file_is_told(text: str, said: str) -> None:
    with pytest.raises(WebstackError, match=said):
        _engine_daemon.read(text, "/etc/docker/daemon.json")


def test_no_file_is_no_settings() -> None:
    assert _engine_daemon.read(None, "x") == _engine_daemon.read(" \n", "x") == {}
