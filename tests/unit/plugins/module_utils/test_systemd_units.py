# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Units: what is to be done, by state."""

from __future__ import annotations

from typing import List, Optional

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install._systemd_units import State, actions


def state(content: Optional[str] = None, loaded: bool = True, active: bool = True, enabled: bool = True,
          entered: float = 100.0, written: float = 50.0) -> State:
    return State(content, loaded, active, enabled, entered, written)


NEW = "[Service]\n[Install]\n"


@pytest.mark.parametrize(("content", "enabled", "wanted", "there", "todo"), [
    (None, True, "started", state(), []),
    (None, True, "started", state(active=False, enabled=False), ["enable", "start"]),
    (None, None, "started", state(enabled=False), []),
    (None, False, "stopped", state(), ["disable", "stop"]),
    (None, False, "stopped", state(active=False, enabled=False), []),
    (NEW, True, "started", state(None, loaded=False, active=False, enabled=False, entered=0, written=0), ["write", "enable", "start"]),
    (NEW, True, "started", state("old"), ["write", "restart"]),
    (NEW, True, "started", state(NEW), []),
    (NEW, True, "started", state(NEW, entered=100.0, written=100.5), []),
    (NEW, True, "started", state(NEW, entered=100.0, written=200.0), ["restart"]),  # the run that wrote it ended before it restarted
    ("job", True, "any", state(None, loaded=False, active=False, enabled=False), ["write"]),  # a timer starts it, nothing enables it
    ("job", True, "any", state("job", active=False, enabled=False), []),
    (NEW, True, "stopped", state("old", active=False), ["write"]),
])
def test_actions(content: Optional[str], enabled: Optional[bool], wanted: str, there: State, todo: List[str]) -> None:
    assert actions({"content": content, "enabled": enabled, "state": wanted}, there) == todo
