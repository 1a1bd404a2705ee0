# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What install leaves for discover, and what a person may have made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_notes
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK

HEAD = f"; {MARK} Service shop.\n[uwsgi]\nsocket = /s\nstate = [1]\n"
STATE = [{"path": "/srv/shop/100% mine"}, {"path": "/srv/shop/db", "kind": "database"}]
HEALTH = {"path": "/ping?a=%n", "host": "shop.test", "timeout": 5}


def test_what_was_said_comes_back() -> None:
    lines = _evidence_notes.lines(STATE, HEALTH)
    assert _evidence_notes.parse(HEAD + "\n".join(lines) + "\n") == {"state": STATE, "health": HEALTH}
    assert _evidence_notes.lines([], {}) == []


@pytest.mark.parametrize("text", [
    HEAD, "[uwsgi]\n[x-webstack]\nstate = [{\"path\": \"/theirs\"}]\n", HEAD + "[x-webstack]\nstate = [{\n",
    HEAD + "[x-webstack]\nstate = {\"path\": \"/x\"}\n",
    HEAD + "[x-webstack]\nstate = [{\"path\": \"relative\"}, 3, {}]\nhealth = {\"path\": 3, \"host\": \"\", \"timeout\": true, \"other\": 1}\n", "",
])
def test_nothing_is_made_of_what_is_not_ours_or_broken(text: str) -> None:
    assert _evidence_notes.parse(text) == {"state": [], "health": {}}


def test_a_kind_that_the_model_does_not_have_is_left_out() -> None:
    assert _evidence_notes.parse(HEAD + '[x-webstack]\nstate = [{"path": "/a", "kind": "odd"}]\n')["state"] == [{"path": "/a"}]


@pytest.mark.parametrize(("record", "found"), [
    ({"path": "/srv/shop/current", "keep": 3, "pinned": False, "wanted": "a1"}, {}),
    ({"path": "/srv/shop/current/", "keep": 5, "pinned": True, "wanted": "a1"}, {"keep": 5, "release": "a1"}),
    ({"path": "/srv/other", "keep": 5}, {}), ([], {}), ("{", {}),
])
def test_releases(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, record: Any, found: dict[str, Any]) -> None:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path))
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/releases.json").write_text(record if isinstance(record, str) else json.dumps(record))
    assert _evidence_notes.of_releases("shop", "/srv/shop/current") == found
    assert _evidence_notes.of_releases("gone", "/srv/shop/current") == {}


@pytest.mark.parametrize(("volume", "kept"), [(True, True), (False, True), ("shop-data", True), ("../x", False), (1, False), (None, False)])
def test_a_volume_comes_back_when_it_fits(volume: object, kept: bool) -> None:
    found = _evidence_notes.parse(HEAD + "\n".join(_evidence_notes.lines([{"path": "/a", "volume": volume}], {})) + "\n")["state"]
    assert found == [{"path": "/a", **({"volume": volume} if kept else {})}]
