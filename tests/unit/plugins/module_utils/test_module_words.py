# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Secrets that are words of paths: what a next task uses is not masked, what people see of the arguments is."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Dict, cast

import pytest
from ansible.module_utils.basic import AnsibleModule

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule


class Sample(WebstackModule):
    """Returns a path."""

    def run(self) -> None:
        self.own_words = bool(self.params["own"])
        self.result["path"] = "/srv/shop"
        if self.params["fails"]:
            raise WebstackError("no")


class Left(Exception):
    """The module has ended."""


def left(own: bool, fails: bool = False) -> "tuple[Any, Dict[str, Any]]":
    """The module and what it gave to exit_json or fail_json."""
    given: Dict[str, Any] = {}

    def leave(**result: Any) -> None:
        given.update(result)
        raise Left

    params = {"own": own, "fails": fails, "password": "shop"}
    module = SimpleNamespace(params=params, check_mode=False, no_log_values={"shop"}, exit_json=leave, fail_json=leave)
    with pytest.raises(Left):
        Sample(cast(AnsibleModule, module)).execute()
    return module, given


def test_a_result_of_our_own_words_is_not_masked_and_its_arguments_are() -> None:
    module, given = left(own=True)
    assert module.no_log_values == set() and given["path"] == "/srv/shop"
    assert given["invocation"]["module_args"]["password"] == "VALUE_SPECIFIED_IN_NO_LOG_PARAMETER"


def test_all_else_is_masked_by_ansible() -> None:
    for own, fails in ((False, False), (True, True)):
        module, given = left(own, fails)
        assert module.no_log_values == {"shop"} and "invocation" not in given
