# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A look ahead answers for a module only when its real run would write nothing."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict, List, cast

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule
from ansible_collections.gantry.webstack.plugins.module_utils.install import _lookahead


class Sample(WebstackModule):
    """Does what its parameter says."""

    def run(self) -> None:
        does = self.params["does"]
        assert self.check_mode
        if does == "fail":
            raise WebstackError("no")
        if does == "break":
            raise KeyError("x")
        if does == "warn":
            self.module.warn("careful")
        self.changed = does == "change"
        self.settled = does != "note"
        if "venvs" in self.params:
            self.result["at"] = [venv["path"] for venv in self.params["venvs"]]
        told: Dict[str, Dict[str, Any]] = {"ask": {"code_there": {"a": 1}},
                                           "stage": {"staged": {"shop": {"venv": "/v/2", "pinned": False}}}}
        self.result.update(did=does, **told.get(does, {}))


@pytest.fixture(autouse=True)
def _sample(monkeypatch: pytest.MonkeyPatch) -> None:
    venvs = {"type": "list", "elements": "dict", "default": []}
    spec = {"does": {"type": "str", "required": True}, "password": {"type": "str", "no_log": True}, "venvs": venvs}
    monkeypatch.setattr(_lookahead, "MODULES", {"sample": (Sample, spec)})


def look(*calls: Dict[str, Any]) -> "tuple[List[Dict[str, Any]], Any]":
    params = {"calls": [{"module": "sample", "args": args, "staged": "venvs" in args} for args in calls]}
    module = SimpleNamespace(params=params, check_mode=False, no_log_values=set())
    ahead = _lookahead.Lookahead(cast(AnsibleModule, module))
    ahead.run()
    return ahead.result["answers"], module


@pytest.mark.parametrize("does", ["fail", "break", "warn", "change", "note", "ask"])
def test_what_has_something_to_do_ends_the_look(does: str) -> None:
    answers, _module = look({"does": "nothing"}, {"does": does}, {"does": "nothing"})
    assert answers == [{"changed": False, "diff": [], "did": "nothing", "at": []}]


def test_wrong_arguments_are_the_module_s_own_to_refuse() -> None:
    assert look({"does": "nothing"}, {"dose": "nothing"})[0] == [{"changed": False, "diff": [], "did": "nothing", "at": []}]


def test_secrets_are_known_and_arguments_forgotten() -> None:
    _answers, module = look({"does": "nothing", "password": "canary"})
    assert module.no_log_values == {"canary"} and module.params == {}


def test_environments_are_looked_at_where_the_releases_before_them_want_them() -> None:
    answers, _module = look({"does": "stage"}, {"does": "nothing", "venvs": [{"name": "shop", "path": "/v"}, {"name": "other", "path": "/o"}]})
    assert answers[1]["at"] == ["/v/2", "/o"]
