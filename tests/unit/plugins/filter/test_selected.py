"""The filter selected."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.filter.selected import selected

PLAN = {
    "host": "web1",
    "services": [{"name": "shop"}, {"name": "old", "fit": {"verdict": "blocked", "reasons": ["its socket is TCP"]}}],
    "unexplained": [{"kind": "listener", "what": "tcp 0.0.0.0:8080"}],
}


def test_a_blocked_service_is_refused_with_its_reason() -> None:
    with pytest.raises(AnsibleFilterError, match="service old cannot be converted: its socket is TCP"):
        selected(PLAN)
    assert selected(PLAN, ["shop"]) == [{"name": "shop"}]
    assert len(selected(PLAN, fit=False)) == 2


def test_strict_refuses_the_unexplained() -> None:
    with pytest.raises(AnsibleFilterError, match="on web1 1 thing is unexplained: listener tcp 0.0.0.0:8080"):
        selected(PLAN, ["shop"], strict=True)


def test_an_unknown_service_is_named() -> None:
    with pytest.raises(AnsibleFilterError, match="no service 'shup'; there are shop, old"):
        selected(PLAN, ["shup"])


def test_an_empty_plan_has_nothing_to_move() -> None:
    with pytest.raises(AnsibleFilterError, match="the plan of web1 has no service to move"):
        selected({"host": "web1", "services": []})
