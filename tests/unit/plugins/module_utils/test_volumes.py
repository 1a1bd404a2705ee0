# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State in volumes: which, under what name, mounted how; who writes; and what lies beneath."""

from __future__ import annotations

import mmap
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _candidate, _container_config, _hold, _volumes


def service(*state: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "shop", "state": list(state), **more}


@pytest.mark.parametrize(("state", "found"), [
    ([], {}),
    ([{"path": "/srv/shop/data"}, {"path": "/srv/shop/log", "volume": False}], {}),
    ([{"path": "/srv/shop/data", "volume": "shop-data"}], {"/srv/shop/data": "shop-data"}),
    ([{"path": "/srv/shop/ż ó/", "volume": True}], {"/srv/shop/ż ó/": "webstack-shop----7edb9b"}),
])
def test_what_goes_to_a_volume(state: list[dict[str, Any]], found: dict[str, str]) -> None:
    named = _volumes.wanted(service(*state))
    assert named.keys() == found.keys()
    assert [name for path, name in named.items() if not name.startswith("webstack-")] == [name for name in found.values() if not name.startswith("webstack-")]
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-") for name in named.values())


def test_names_are_apart() -> None:
    names = [_volumes.name_of(name, path, True) for name in ("a", "b") for path in ("/srv/x/data", "/srv/y/data", "/srv/x data")]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize(("state", "words"), [
    ([{"path": "/a", "volume": "v1"}, {"path": "/b", "volume": "v1"}], "the same volume v1"),
    ([{"path": "/a", "volume": True}, {"path": "/a/b", "volume": True}], "the one holds the other"),
])
def test_volumes_that_cannot_be(state: list[dict[str, Any]], words: str) -> None:
    with pytest.raises(WebstackError, match=words):
        _volumes.wanted(service(*state))


def test_what_lies_in_a_volume_needs_no_mount_of_its_own() -> None:
    mounts = _container_config.mounts(service({"path": "/a", "volume": True}, {"path": "/a/b"}, {"path": "/ab"}), "", None, exists=lambda path: True)
    assert {mount.target: bool(mount.volume) for mount in mounts if not mount.read_only and mount.target.startswith("/a")} == {"/a": True, "/ab": False}


def test_a_container_with_a_volume_is_another_one() -> None:
    def slot(*state: dict[str, Any]) -> str:
        return _candidate.plan_candidate(service(*state, uwsgi={"options": {}}), "sha256:1", {}, "1:1", []).slot
    assert len({slot({"path": "/usr"}), slot({"path": "/usr", "volume": False})}) == 1
    assert len({slot({"path": "/usr", "volume": value}) for value in (False, True, "other")}) == 3


def test_mounts_change_their_kind_alone() -> None:
    binds = [{"Type": "bind", "Source": path, "Target": path, "ReadOnly": False} for path in ("/a", "/b")]
    assert _volumes.with_volumes(binds, {"/b": "v1"}) == [
        binds[0], {"Type": "volume", "Source": "v1", "Target": "/b", "ReadOnly": False, "VolumeOptions": {"NoCopy": True}}]


@pytest.mark.parametrize(("path", "unit"), [  # as systemd-escape --path --suffix=mount prints them
    ("/srv/shop/data", "srv-shop-data.mount"), ("/srv/a-b/c_d.e", r"srv-a\x2db-c_d.e.mount"), ("/srv/with space", r"srv-with\x20space.mount"),
    ("/.hidden/x", r"\x2ehidden-x.mount"), ("/ż", r"\xc5\xbc.mount"), ("/a:b", "a:b.mount"),
])
def test_units_are_named_as_systemd_names_them(path: str, unit: str) -> None:
    assert _volumes.unit_of(path) == unit


@pytest.mark.parametrize(("path", "found"), [("/srv", ["/srv/a b", "/srv"]), ("/srv/a b", ["/srv/a b"]), ("/sr", []), ("/srv/a", [])])
def test_mounts_at_and_below(path: str, found: list[str]) -> None:
    table = ("22 1 8:1 / / rw - ext4 /dev/sda rw\n23 22 8:2 / /srv/a\\040b rw - ext4 /dev/sdb rw\n24 22 8:3 / /srv rw - ext4 /dev/sdc rw\n")
    assert _volumes.mounts_in(path, table) == found


def test_who_writes_is_seen_by_descriptor_and_by_map(tmp_path: Path) -> None:
    for name in ("open", "mapped", "read"):
        (tmp_path / name).write_text("x" * mmap.PAGESIZE)
    code = ("import mmap, sys; a = open('open', 'a'); r = open('read'); f = open('mapped', 'r+b'); m = mmap.mmap(f.fileno(), 0); f.close(); "
            "print(flush=True); sys.stdin.read()")
    with subprocess.Popen(["python3", "-c", code], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdout and writer.stdout.readline()
        found = [item for item in _volumes.writers([str(tmp_path)]) if item.pid == writer.pid]
        writer.communicate()
    assert {os.path.basename(item.path) for item in found} == {"open", "mapped"}
    assert {item.inode for item in found} == {(tmp_path / name).stat().st_ino for name in ("open", "mapped")}
    assert not _volumes.writers([str(tmp_path)])


@pytest.fixture
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_volumes, "UNITS", str(tmp_path / "units"))
    for name in ("units", "data", "volume"):
        (tmp_path / name).mkdir()
    return tmp_path


def state_of(places: Path, **item: Any) -> _volumes.State:
    path = str(places / "data")
    known = {path: {"name": "v1", "real": path, "data": str(places / "volume"), "synced": 0, "hot": []}}
    definition = service({"path": path, "volume": True, **item})
    return _volumes.State(_journal.Journal("shop", {"runtime": "host", "phase": "proven", "events": [], "service": definition, "volumes": known}))


def test_passes_copy_less_and_less_and_are_noted(places: Path) -> None:
    state = state_of(places)
    (places / "data/file").write_text("content")
    assert state.waiting() == [str(places / "data")] and not state.moved()
    assert state.copy(False).files == 1
    assert (places / "volume/file").read_text() == "content"
    known = _journal.load("shop").data["volumes"][str(places / "data")]
    assert known["synced"] > 0 and state.passes == 1 and state.bytes == 7


def test_the_unit_of_the_mount_decides_which_side_has_the_truth(places: Path) -> None:
    state = state_of(places)
    unit = places / "units" / _volumes.unit_of(str(places / "data"))
    unit.write_text("[Mount]\n")
    assert state.moved() == {str(places / "data"): "v1"} and state.waiting() == []
    kept = _volumes.as_kept(service({"path": str(places / "data"), "kind": "data"}, {"path": "/other", "volume": True}), state.journal)
    assert kept["state"] == [{"path": str(places / "data"), "kind": "data", "volume": "v1"}, {"path": "/other"}]


def test_what_lies_beneath_must_not_be_changed_by_others(places: Path) -> None:
    state = state_of(places)
    (places / "data/file").write_text("content")
    (places / "units" / _volumes.unit_of(str(places / "data"))).touch()
    state.seal()
    (places / "data/late").write_text("by somebody")
    with pytest.raises(WebstackError, match="were changed while its state was in the volume v1"):
        state.check_seal()
    (places / "data/late").unlink()
    state.check_seal()
    assert "seal" not in _journal.load("shop").data["volumes"][str(places / "data")]


@pytest.mark.parametrize(("more", "words"), [
    ({"workers": [{"name": "mail", "command": "x"}]}, "its worker mail may write"),
    ({"uwsgi": {"options": {"mule": "work.py"}}}, "mules, spoolers"),
    ({"workers": [{"kind": "process", "what": "sh -c tick"}], "schedule": [{"command": "tick"}]}, ""),
])
def test_workers_keep_state_in_place(places: Path, more: dict[str, Any], words: str) -> None:
    state = state_of(places)
    state.journal.data["service"].update(more)
    if words:
        with pytest.raises(WebstackError, match=words):
            state.refuse()
    else:
        state.refuse()


def test_a_file_is_no_volume(places: Path) -> None:
    (places / "data").rmdir()
    (places / "data").write_text("a database")
    with pytest.raises(WebstackError, match="is no directory"):
        state_of(places).refuse()


def test_the_bus_path_of_a_unit() -> None:
    assert _hold.bus_path("webstack-a.b-1.timer") == "/org/freedesktop/systemd1/unit/webstack_2da_2eb_2d1_2etimer"


@pytest.mark.parametrize(("now", "seconds"), [(0.0, 60.0), (59.5, 0.5), (120.25, 59.75)])
def test_until_the_full_minute(now: float, seconds: float) -> None:
    assert _hold.until_full_minute(now) == seconds


def test_nothing_scheduled_is_never_due() -> None:
    assert _hold.next_tick([]) > 10**8 and _hold.running_job([]) == ""
