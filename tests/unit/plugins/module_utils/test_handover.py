# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From one container to the next: what the journal says at each moment, and what a run makes of what a killed one has left."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _candidate, _switch

OLD, NEW = ({"container": f"webstack-shop-{slot}", "image": f"sha256:{slot}", "slot": slot, "socket": f"/run/webstack/shop/{slot}.sock"}
            for slot in ("0" * 12, "1" * 12))
SERVICE = {"name": "shop", "uwsgi": {"socket": "/run/shop.sock", "manager": {"kind": "emperor", "vassal": "/etc/v/shop.ini"}}}


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _journal.Journal:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    seam = tmp_path / "shop.sock"
    seam.symlink_to(OLD["socket"])
    made = _journal.Journal("shop")
    made.record("switched", runtime="container", phase="switched", service=SERVICE, seam=str(seam), candidate=OLD)
    return made


def started(journal: _journal.Journal, phase: str = "candidate") -> _journal.Successor:
    successor = _journal.Successor(journal)
    successor.record(phase, phase=phase, service={**SERVICE, "fresh": True}, seam=journal.data["seam"], candidate=NEW, went_back=None)
    return successor


def lead(journal: _journal.Journal, entry: dict[str, str]) -> None:
    os.unlink(journal.data["seam"])
    os.symlink(entry["socket"], journal.data["seam"])


def test_the_next_one_is_noted_beside_the_one_that_serves(journal: _journal.Journal) -> None:
    started(journal)
    read = _journal.load("shop")
    assert (read.phase, read.candidate, read.service) == ("switched", OLD, SERVICE)
    successor = _journal.Successor(read)
    assert (successor.phase, successor.candidate, successor.served_by) == ("candidate", NEW, OLD)
    successor.record("discarded", phase="host", candidate=None)
    assert "next" not in _journal.load("shop").data


def test_the_next_one_becomes_the_one_that_serves(journal: _journal.Journal) -> None:
    promoted = started(journal, "switching").promote()
    assert promoted is journal
    read = _journal.load("shop")
    assert (read.phase, read.candidate, read.service["fresh"]) == ("switching", NEW, True)
    assert read.data["leaving"] == {"candidate": OLD, "went_back": False}
    assert "next" not in read.data and read.at("switched") is not None


@pytest.mark.parametrize(("phase", "leads_to", "beside", "finished"), [
    ("candidate", OLD, True, False), ("proven", OLD, True, True), ("switching", OLD, True, True), ("switching", NEW, False, True),
])
def test_what_a_killed_run_has_left(journal: _journal.Journal, phase: str, leads_to: dict[str, str], beside: bool, finished: bool) -> None:
    started(journal, phase)
    lead(journal, leads_to)
    assert bool(_candidate.beside_container([SERVICE])) is beside  # a further candidate may take its place
    assert bool(_switch.handovers([_journal.load("shop")])) is finished


@pytest.mark.parametrize(("phase", "leads_to", "container"), [("proven", OLD, OLD), ("switching", OLD, OLD), ("switching", NEW, NEW)])
def test_the_way_to_the_host_begins_where_requests_go(
        journal: _journal.Journal, monkeypatch: pytest.MonkeyPatch, phase: str, leads_to: dict[str, str], container: dict[str, str]) -> None:
    removed: list[Any] = []
    monkeypatch.setattr(_candidate, "find_container", lambda client, name: name)
    monkeypatch.setattr(_candidate, "remove_container", removed.append)
    monkeypatch.setattr(_switch, "follow_release", lambda journal: None)
    started(journal, phase)
    lead(journal, leads_to)
    module: Any = object.__new__(_switch.SwitchModule)
    (move,) = module._moves([_journal.load("shop")], "host", None)
    assert move.journal.candidate == container
    assert removed == ([NEW["container"]] if container == OLD else [])
    assert "next" not in _journal.load("shop").data


def test_one_that_was_not_proven_is_given_up_by_another_run(journal: _journal.Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_candidate, "find_container", lambda client, name: None)
    started(journal)
    module: Any = object.__new__(_switch.SwitchModule)
    assert module._moves([_journal.load("shop")], "container", None) == []
    assert "next" not in _journal.load("shop").data


def test_the_configuration_of_the_one_that_serves_stays(journal: _journal.Journal, tmp_path: Path) -> None:
    for entry in (OLD, NEW):
        (tmp_path / "state/shop" / entry["slot"]).mkdir()
    _candidate.forget("shop", OLD["slot"])
    assert sorted(os.listdir(tmp_path / "state/shop")) == [OLD["slot"], "journal.json"]


def test_secrets_are_those_of_the_container_or_newer(journal: _journal.Journal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "state/shop" / OLD["slot"]).mkdir()
    (tmp_path / "state/shop" / OLD["slot"] / "secrets.ini").write_text("[uwsgi]\nenv = TOKEN=a%%b\nenv = KEY=old\n")
    monkeypatch.setattr(_paths, "secret_ini", lambda name: str(tmp_path / "secrets.ini"))
    assert _candidate.configured("shop", OLD["slot"]) == {"TOKEN": "a%b", "KEY": "old"}
    (tmp_path / "secrets.ini").write_text("[uwsgi]\nenv = KEY=new\n")
    assert _candidate.configured("shop", OLD["slot"]) == {"TOKEN": "a%b", "KEY": "new"}


def test_a_service_of_the_host_has_no_image_to_go_back_to(journal: _journal.Journal) -> None:
    module: Any = object.__new__(_candidate.CandidateModule)
    module.params = {"services": [SERVICE, {"name": "blog"}], "image": "previous"}
    with pytest.raises(WebstackError, match="service blog: its requests do not go to a container"):
        module._kept_images(_candidate.beside_container(module.params["services"]))
