"""The way back to a host's instance that does not come up where it was told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _switch

SEAM, BESIDE = "/run/shop.sock", "/run/shop.sock.host"


def move(on_container: bool, monkeypatch: pytest.MonkeyPatch) -> tuple[Any, list[str]]:
    """A move whose host instance never answers beside the seam, and where it was asked for."""
    asked: list[str] = []

    def await_health(_service: Any, address: str, _timeout: float, failed: Callable[[], str | None] = lambda: None) -> None:
        asked.append(address)
        if address == BESIDE:
            raise WebstackError("service shop: %s" % (failed() or "not healthy within 60 s"))

    monkeypatch.setattr(_switch, "await_health", await_health)
    made = _switch.Move.__new__(_switch.Move)
    made.name, made.service, made.journal, made.stack = "shop", {}, MagicMock(runtime=_journal.CONTAINER, data={}), MagicMock()
    made.stack.running.return_value = False
    states = iter([True])
    made.seam = MagicMock(way_back=BESIDE, address=SEAM)
    made.seam.lies_on_container.side_effect = lambda: next(states, on_container)
    monkeypatch.setattr(_switch.Move, "socket", "/run/webstack/shop/x.sock")
    return made, asked


def test_an_instance_that_a_manager_led_to_the_seam_itself_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = move(False, monkeypatch)
    made.give_seam_back(60)
    assert asked == [BESIDE, SEAM]
    made.stack.set_aside.assert_not_called()
    made.seam.give_back.assert_not_called()
    made.journal.record.assert_called_once_with("rolled back", runtime=_journal.HOST)


def test_an_instance_that_does_not_come_up_is_set_aside_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    made, asked = move(True, monkeypatch)
    with pytest.raises(WebstackError, match="service shop: not healthy within 60 s; the container serves on"):
        made.give_seam_back(60)
    assert asked == [BESIDE]
    made.stack.set_aside.assert_called_once_with()
    made.stack.hold_place.assert_called_once_with()
    made.seam.hold.assert_called_with("/run/webstack/shop/x.sock")
