# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images that are kept: which ones stay, which one is meant, what is removed from the engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _kept


def entry(number: int, at: float | None = None) -> _kept.Entry:
    return {"id": f"sha256:{number}{'0' * 11}ff", "tag": f"webstack/shop:{number}{'0' * 11}", "at": number if at is None else at, "service": {"name": "shop"}}


def numbers(images: list[_kept.Entry]) -> list[str]:
    return [item["id"][len("sha256:")] for item in images]


@pytest.mark.parametrize(("running", "keep", "stay"), [
    (5, 3, ["2", "3", "4", "5"]),
    (5, 1, ["4", "5"]),
    (5, 0, ["4", "5"]),  # the one before it stays always
    (2, 1, ["1", "2"]),  # gone back to the second: the first is where the next way back leads
    (2, 2, ["1", "2", "5"]),
    (1, 0, ["1"]),
])
def test_which_stay(running: int, keep: int, stay: list[str]) -> None:
    assert numbers(_kept.split([entry(number) for number in range(1, 6)], entry(running)["id"], keep)) == stay


def test_an_image_that_was_gone_back_to_keeps_its_time() -> None:
    images = [entry(1), entry(2)]
    assert _kept.noted(images, entry(1, 9.0), went_back=True) == images
    assert numbers(_kept.noted(images, entry(1, 9.0))) == ["2", "1"]
    assert numbers(_kept.noted(images, entry(3))) == ["1", "2", "3"]


@pytest.fixture
def journal() -> _journal.Journal:
    return _journal.Journal("shop", {"runtime": "container", "phase": "switched", "events": [{"at": 7.5, "event": "switched"}], "service": {"name": "shop"},
                                     "candidate": {"image": entry(2)["id"]}, "images": [entry(1), entry(2), entry(3)]})


@pytest.mark.parametrize(("wanted", "found"), [
    ("previous", 1), (entry(3)["id"], 3), (entry(3)["tag"], 3), ("3000", 3), ("sha256:30", 3), ("300000000000", 3),
])
def test_which_is_meant(journal: _journal.Journal, wanted: str, found: int) -> None:
    assert _kept.choose(journal, wanted) == entry(found)


@pytest.mark.parametrize(("wanted", "words"), [
    ("9", "no kept image '9'"), ("", "no kept image ''"), ("previous", "no previous image on this host; there are 200000000000 (current)"),
])
def test_what_is_not_there_is_said(journal: _journal.Journal, wanted: str, words: str) -> None:
    if wanted == "previous":
        journal.data["images"] = [entry(2), entry(3)]
    with pytest.raises(WebstackError) as caught:
        _kept.choose(journal, wanted)
    assert words in str(caught.value)


class Engine:
    """An engine's images, as far as they are asked for."""

    def __init__(self, images: list[dict[str, Any]]) -> None:
        self.listed, self.removed = images, []  # type: list[dict[str, Any]], list[str]
        self.api = self

    def images(self, filters: dict[str, str]) -> list[dict[str, Any]]:
        assert filters == {"label": "gantry.webstack.service=shop"}
        return self.listed

    def inspect_image(self, image: str) -> dict[str, Any]:
        return next(item for item in self.listed if item["Id"] == image)

    def remove_image(self, tag: str) -> None:
        self.removed.append(tag)


def test_the_engine_keeps_what_the_journal_keeps(journal: _journal.Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("docker")
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path))
    journal.data["candidate"]["image"] = entry(4)["id"]
    client = Engine([{"Id": entry(number)["id"], "RepoTags": [entry(number)["tag"], "team/shop:live"]} for number in range(6)] + [{"Id": "sha256:x"}])
    _kept.note(client, journal, "host stopped", 2, phase="switched")
    assert client.removed == [entry(number)["tag"] for number in (0, 1, 5)]
    kept = _journal.load("shop").data["images"]
    assert numbers(kept) == ["2", "3", "4"]
    assert kept[-1] == {**entry(4), "at": 7.5, "release": None}
    assert _journal.load("shop").phase == "switched"
