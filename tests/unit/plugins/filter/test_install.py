# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of install: one sentence when they refuse, and no lazy data inside."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from ansible_collections.gantry.webstack.plugins.filter.install import FilterModule, plain

FILTERS = FilterModule().filters()


@pytest.mark.parametrize(("services", "complaint"), [
    ([{"name": "a", "cod": {}}], "webstack_services: services[a]: unknown key 'cod'; known keys are "),
    ([{"name": "a"}, {"name": "a"}], "webstack_services: two services are named 'a'"),
    ([{"name": "a", "uwsgi": {"socket": "/s/x/a"}}, {"name": "b", "uwsgi": {"socket": "/s/x/a"}}],
     "webstack_services: services a and b have the same socket '/s/x/a'"),
    ([{"name": "a", "environment": {"A": "x\ny"}}], "services[a].environment.A: a value with a line break"),
    ([{"name": "a", "secrets": [{"name": "S"}]}], "service a: webstack_secrets has no value for its secret S"),
])
def test_complaints(services: list[dict[str, Any]], complaint: str) -> None:
    said = FILTERS["complaint"](services)
    assert said.startswith(complaint) and "\n" not in said


def test_no_complaint() -> None:
    assert FILTERS["complaint"]([{"name": "a"}]) == ""
    with pytest.raises(AnsibleFilterError, match="two services are named"):
        FILTERS["complete"]([{"name": "a"}, {"name": "a"}])
    assert [item["name"] for item in FILTERS["sites"](FILTERS["complete"]([{"name": "a"}]))] == ["a"]


def test_plain() -> None:
    templar = Templar(loader=DataLoader(), variables={"services": [{"name": trust_as_template("{{ 'sh' ~ 'op' }}"), "n": 1, "f": True, "e": None, "l": [1.5]}]})
    lazy = templar.template(trust_as_template("{{ services }}"))
    done = plain(lazy)
    assert done == [{"name": "shop", "n": 1, "f": True, "e": None, "l": [1.5]}]
    assert {type(value) for value in done[0].values()} == {str, int, bool, type(None), list}
