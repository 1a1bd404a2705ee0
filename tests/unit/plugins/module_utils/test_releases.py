# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Releases: which stay, which comes before, and one link that is never missing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _releases

SERVED = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 99).map(float), max_size=8)


@pytest.mark.parametrize(("served", "running", "before"), [
    ({}, "a", None), ({"a": 1.0}, "a", None), ({"a": 1.0, "b": 2.0, "c": 3.0}, "c", "b"), ({"a": 1.0, "b": 2.0, "c": 3.0}, "b", "a"), ({"a": 1.0}, "", "a"),
])
def test_previous(served: Dict[str, float], running: str, before: str) -> None:
    assert _releases.previous(served, running) == before


@given(st.sets(st.sampled_from("abcdefgh")), SERVED, st.lists(st.sampled_from("abcdefgh"), max_size=2, unique=True), st.integers(1, 5))
def test_what_is_needed_always_stays(there: set, served: Dict[str, float], needed: List[str], keep: int) -> None:
    gone = set(_releases.surplus(sorted(there), served, needed, keep))
    assert gone <= there and not gone & set(needed)
    assert len([item for item in there - gone if item not in needed]) <= keep
    assert all(item in gone for item in there if item not in served and item not in needed)


def test_relocate() -> None:
    text = "chdir = /srv/a/current\nx = /srv/a/current/b:/srv/a/current\nhook = chdir:/srv/a/current\ny = /srv/a/current-2 /srv/a/currents\n"
    assert _releases.relocate(text, "/srv/a/current", "/R") == "chdir = /R\nx = /R/b:/R\nhook = chdir:/R\ny = /srv/a/current-2 /srv/a/currents\n"


@pytest.fixture(name="shop")
def a_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _releases.Releases:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    return _releases.Releases("shop", str(tmp_path / "srv/current"))


def bring(shop: _releases.Releases, name: str, serves: bool = True, venv: str = "") -> None:
    stage = shop.begin()
    if venv:
        os.makedirs(os.path.join(shop.venvs, venv), exist_ok=True)
        os.symlink("../../venvs/" + venv, os.path.join(stage, ".venv"))
    shop.finish(stage, name, {})
    shop.save(path=shop.path, wanted=name, keep=1, pinned=False)
    if serves:
        shop.flip()
        shop.settle()


def test_only_so_many_stay_with_their_environments(shop: _releases.Releases) -> None:
    for number, name in enumerate("abc"):
        bring(shop, name, venv="v%d" % number)
    assert shop.there() == ["b", "c"] and sorted(os.listdir(shop.venvs)) == ["v1", "v2"]
    assert shop.choose("previous") == "b" and [item["id"] for item in shop.listing()] == ["c", "b"]
    with pytest.raises(WebstackError, match=r"^service shop: it has no kept release 'a' on this host; there are c \(current\), b$"):
        shop.choose("a")


def test_a_release_that_never_served_goes_back(shop: _releases.Releases) -> None:
    bring(shop, "a")
    bring(shop, "b", serves=False)
    assert shop.pending and shop.running() == "a" and not shop.flip_back()
    shop.flip()
    assert shop.running() == "b" and shop.flip_back() and shop.running() == "a" and shop.pending
    assert _releases.Releases("shop").running() == "a"
    bring(shop, "c")
    assert shop.there() == ["a", "c"] and not shop.pending


def test_the_first_release_that_does_not_serve_leaves_no_link(shop: _releases.Releases) -> None:
    bring(shop, "a", serves=False)
    shop.flip()
    assert not shop.flip_back() and not os.path.lexists(shop.path)


def test_going_back_by_name_leaves_the_order(shop: _releases.Releases) -> None:
    bring(shop, "a")
    bring(shop, "b")
    shop.save(wanted=shop.choose("previous"), pinned=True)
    shop.flip()
    shop.settle()
    assert shop.running() == "a" and shop.there() == ["a", "b"]
    with pytest.raises(WebstackError, match="it has no previous release on this host"):
        shop.choose("previous")


def test_what_a_killed_run_left_is_removed(shop: _releases.Releases) -> None:
    left = shop.begin()
    bring(shop, "a")
    assert not os.path.exists(left)
