# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where state goes when definitions do not say it."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.filter.with_state import with_state

SERVICES: list[dict[str, Any]] = [{"name": "a", "state": [{"path": "/a"}, {"path": "/b", "volume": False}, {"path": "/c", "volume": "c"}]}, {"name": "b"}]


def test_what_says_it_itself_stays() -> None:
    assert with_state(SERVICES, "place") == SERVICES
    assert with_state(SERVICES, "volume") == [
        {"name": "a", "state": [{"path": "/a", "volume": True}, {"path": "/b", "volume": False}, {"path": "/c", "volume": "c"}]}, {"name": "b"}]


def test_another_word_is_refused() -> None:
    with pytest.raises(AnsibleFilterError, match="webstack_state is 'volumes'; it is one of place, volume"):
        with_state(SERVICES, "volumes")
