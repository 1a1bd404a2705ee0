"""The host's instance: set aside, started beside the seam, restored to the letter; at any point again."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _host_stack, _own_mount, _seams

INI = "[uwsgi]\n# socket = /run/uw/%n.sock is the default\nmodule = app\nsocket = /run/uw/%n.sock\n"


class Mounts(list[str]):
    """What is mounted over itself; the real mount(2) needs a host (the scenario neighbours)."""

    def mount(self, source: bytes | None, target: bytes, _kind: None, _flags: object, _data: None) -> int:
        if source:
            self.append(os.fsdecode(target))
        return 0

    def umount2(self, target: bytes, _flags: int) -> int:
        self.remove(os.fsdecode(target))
        return 0


@pytest.fixture
def mounts(monkeypatch: pytest.MonkeyPatch) -> Mounts:
    found = Mounts()
    monkeypatch.setattr(_own_mount, "_libc", lambda: found)
    return found


@pytest.fixture
def vassal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mounts: Mounts) -> Path:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    path = tmp_path / "vassals" / "shop.ini"
    path.parent.mkdir()
    path.write_text(INI)
    path.chmod(0o640)
    os.utime(path, (1_700_000_000, 1_700_000_000))
    return path


def stack(vassal: Path, seam: str = "/run/uw/shop.sock", **memory: Any) -> _host_stack.HostStack:
    service = {"name": "shop", "uwsgi": {"manager": {"kind": "emperor", "vassal": str(vassal)}}}
    return _host_stack.of(service, _seams.of({"name": "shop"}, seam), {"file": str(vassal), "token": "/run/uw/%n.sock", "line": 4, **memory})


def look(path: Path) -> tuple[str, int, int]:
    info = path.stat()
    return path.read_text(), info.st_mode & 0o7777, info.st_mtime_ns


def test_there_and_back_leaves_no_trace(vassal: Path, tmp_path: Path) -> None:
    before = look(vassal)
    host = stack(vassal, str(tmp_path / "shop.sock"))
    host.set_aside()
    assert not vassal.exists()
    host.start_beside()
    assert vassal.read_text() == INI[::-1].replace("/run/uw/%n.sock"[::-1], (str(tmp_path / "shop.sock") + ".host")[::-1], 1)[::-1]
    assert vassal.stat().st_mode & 0o7777 == 0o640
    host.restore()
    assert look(vassal) == before
    assert os.listdir(vassal.parent) == ["shop.ini"]


@pytest.mark.parametrize("steps", [
    ["set_aside", "set_aside", "start_beside", "start_beside", "restore", "restore"],
    ["set_aside", "start_beside", "set_aside", "start_beside", "restore"],
    ["set_aside", "restore", "set_aside", "start_beside", "restore"],
    ["set_aside", "keep_aside", "hold_place", "hold_place", "set_aside", "keep_aside",
     "start_beside", "start_beside", "set_aside", "hold_place", "restore", "restore"],
    ["set_aside", "hold_place", "restore", "set_aside", "hold_place", "start_beside", "restore"],
])
def test_every_step_may_be_taken_again(vassal: Path, tmp_path: Path, steps: list[str], mounts: Mounts) -> None:
    before = look(vassal)
    for step in steps:
        getattr(stack(vassal, str(tmp_path / "shop.sock")), step)()
        assert mounts == ([str(vassal)] if step == "start_beside" else [])
    assert look(vassal) == before


def test_who_writes_a_vassal_again_does_not_get_it_into_the_emperors_sight(vassal: Path, tmp_path: Path) -> None:
    host = stack(vassal, str(tmp_path / "shop.sock"))
    host.set_aside()
    vassal.write_text(INI)  # before it has ended
    host.keep_aside()
    assert host.aside and not vassal.exists()
    vassal.write_text(INI)
    host.hold_place()
    assert host.aside and os.listdir(vassal) == ["README"]
    beside = vassal.parent / "new"
    beside.write_text(INI)
    with pytest.raises(IsADirectoryError):
        os.rename(beside, vassal)  # as Puppet, Salt and Ansible write a file
    with pytest.raises(IsADirectoryError):
        vassal.write_text(INI)
    assert not vassal.is_file() and Path(host.parked, "shop.ini").read_text() == INI


def test_a_link_in_the_emperors_directory_stays_a_link(vassal: Path, tmp_path: Path) -> None:
    real = tmp_path / "available.ini"
    vassal.rename(real)
    vassal.symlink_to("../available.ini")
    host = stack(vassal, str(tmp_path / "shop.sock"))
    host.set_aside()
    host.hold_place()
    real_text = look(real)
    host.restore()
    assert os.readlink(vassal) == "../available.ini"
    assert look(real) == real_text


def test_a_socket_that_an_included_file_defines_changes_there(vassal: Path, tmp_path: Path) -> None:
    common = tmp_path / "common.ini"
    common.write_text("[uwsgi]\nsocket = /run/uw/shop.sock\n")
    before = look(common)
    host = stack(vassal, str(tmp_path / "shop.sock"), file=str(common), token="/run/uw/shop.sock", line=2)
    host.set_aside()
    host.start_beside()
    assert common.read_text() == f"[uwsgi]\nsocket = {tmp_path}/shop.sock.host\n"
    host.restore()
    assert look(common) == before
    assert vassal.read_text() == INI


def test_a_token_that_moved_is_found_when_it_is_the_only_one(vassal: Path, tmp_path: Path) -> None:
    vassal.write_text("[uwsgi]\nprocesses = 4\nmodule = app\nharakiri = 20\nsocket = /run/uw/%n.sock\n")
    host = stack(vassal, str(tmp_path / "shop.sock"))
    host.set_aside()
    host.start_beside()
    assert f"socket = {tmp_path}/shop.sock.host\n" in vassal.read_text()


def test_a_vassal_that_is_gone_is_said(vassal: Path, tmp_path: Path) -> None:
    vassal.unlink()
    with pytest.raises(WebstackError, match=r"service shop: its vassal is neither in .*shop\.ini nor set aside"):
        stack(vassal, str(tmp_path / "shop.sock")).start_beside()


def test_a_socket_unit_goes_and_comes_with_its_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_host_stack.Unit, "drop_in", str(tmp_path / "service.d" / "50.conf"))
    monkeypatch.setattr(_host_stack.Unit, "_socket_drop_in", str(tmp_path / "socket.d" / "50.conf"))
    told: list[list[str]] = []
    monkeypatch.setattr(_host_stack, "run", lambda argv: told.append(argv[1:]))
    service = {"name": "shop", "uwsgi": {"manager": {"kind": "unit", "unit": "shop.service", "socket": "shop.socket"}}}
    host = _host_stack.of(service, _seams.of(service, "/run/shop.sock"))
    host.set_aside()
    assert host.aside and told[-1] == ["stop", "--no-block", "shop.socket", "shop.service"]
    for name in ("service.d", "socket.d"):
        assert f"ConditionPathExists=!{tmp_path}/state/shop/in-container" in (tmp_path / name / "50.conf").read_text()
    assert "[Service]" not in (tmp_path / "socket.d" / "50.conf").read_text()
    host.start_beside()
    assert told[-2:] == [["daemon-reload"], ["start", "--no-block", "shop.socket", "shop.service"]]
    assert not host.aside and not (tmp_path / "service.d").exists() and not (tmp_path / "socket.d").exists()


def test_an_untaught_manager_is_refused() -> None:
    with pytest.raises(WebstackError, match="service shop: its uWSGI is started by something unknown"):
        _host_stack.of({"name": "shop", "uwsgi": {}}, _seams.of({"name": "shop"}, "/run/shop.sock"))


def test_a_drop_in_of_a_killed_run_is_not_taken_for_the_unit() -> None:
    unit = "# /etc/systemd/system/two.service\n[Service]\nExecStart=/usr/bin/uwsgi --master \\\n  --socket /run/two.sock\n"
    other = "\n# /etc/systemd/system/two.service.d/10-more.conf\n[Service]\nExecStart=\nExecStart=/usr/bin/uwsgi --socket /run/more.sock\n"
    place = "/etc/systemd/system/two.service.d/50-webstack.conf"
    ours = f"\n# {place}\n# Written by us.\n[Service]\nExecStart=\nExecStart=/usr/bin/uwsgi --socket /run/two.sock.host\n"
    assert _host_stack.last_exec_start(unit + ours, place) == "ExecStart=/usr/bin/uwsgi --master    --socket /run/two.sock"
    assert _host_stack.last_exec_start(unit + other + ours, place) == "ExecStart=/usr/bin/uwsgi --socket /run/more.sock"
