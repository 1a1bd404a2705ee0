# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which interpreter a service gets, and what it is told when there is none."""

from __future__ import annotations

from typing import Optional

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _interpreters
from ansible_collections.gantry.webstack.plugins.module_utils.install._interpreters import Found, Wish

THERE = {
    "/usr/bin/python3": Found("3.11.2", "package"),
    "/usr/bin/python3.11": Found("3.11.2", "package"),
    "/usr/local/bin/python3.13": Found("3.13.1", None),
    "/opt/webstack/python/3.12.9/bin/python3.12": Found("3.12.9", "tree"),
    "/opt/webstack/python/3.12.10/bin/python3.12": Found("3.12.10", "tree"),
    "/opt/webstack/python/3.11.9/bin/python3.11": Found("3.11.9", "tree"),
}


@pytest.mark.parametrize(("version", "interpreter", "origin", "chosen"), [
    (None, None, None, "/usr/bin/python3"),
    ("3.11", None, None, "/usr/bin/python3"),
    ("3.11", None, "tree", "/opt/webstack/python/3.11.9/bin/python3.11"),
    ("3.11.9", None, None, "/opt/webstack/python/3.11.9/bin/python3.11"),
    ("3.12", None, None, "/opt/webstack/python/3.12.10/bin/python3.12"),
    ("3.12.9", None, "tree", "/opt/webstack/python/3.12.9/bin/python3.12"),
    (None, None, "tree", "/opt/webstack/python/3.12.10/bin/python3.12"),
    ("3.13", None, None, "/usr/local/bin/python3.13"),
    ("3.13", "/usr/local/bin/python3.13", None, "/usr/local/bin/python3.13"),
])
def test_choose(version: Optional[str], interpreter: Optional[str], origin: Optional[str], chosen: str) -> None:
    assert _interpreters.choose(Wish("shop", version, interpreter, origin), THERE, {}) == chosen


@pytest.mark.parametrize(("version", "interpreter", "origin", "message"), [
    ("3.1", None, None, r"^service shop: Python 3\.1 is not on this host; there are .*python3 \(3\.11\.2\)"),
    ("3.13", None, "tree", r"^service shop: Python 3\.13 in an interpreter tree is not on this host"),
    ("3.12", None, "package", r"^service shop: Python 3\.12 of the distribution is not on this host"),
    (None, "/usr/bin/python3.9", None, r"^service shop: there is no Python interpreter /usr/bin/python3\.9 on this host; there are /opt"),
    ("3.12", "/usr/bin/python3", None, r"^service shop: /usr/bin/python3 is Python 3\.11\.2, not the wanted 3\.12; there are"),
])
def test_choose_refuses_with_what_is_available(version: Optional[str], interpreter: Optional[str], origin: Optional[str], message: str) -> None:
    with pytest.raises(WebstackError, match=message) as told:
        _interpreters.choose(Wish("shop", version, interpreter, origin), THERE, {"python3.11": "3.11.2"})
    assert "; the distribution offers python3.11 (3.11.2); ask for one of these versions" in str(told.value)


def test_parse_policy() -> None:
    told = ("python3:\n  Installed: 3.11.2-1+b1\n  Candidate: 3.11.2-1+b1\n  Version table:\n"
            "python3.13:\n  Installed: (none)\n  Candidate: 3.13.5-2\npython3.9:\n  Candidate: (none)\n")
    assert _interpreters.parse_policy(told) == {"python3": "3.11.2", "python3.13": "3.13.5"}


def test_order_is_by_number() -> None:
    assert sorted(["3.9.2", "3.10.1", "3.12.10", "3.12.9"], key=_interpreters.order) == ["3.9.2", "3.10.1", "3.12.9", "3.12.10"]
