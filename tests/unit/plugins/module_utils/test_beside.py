# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _at_work, _beside, _candidate, _container_config, _held

MONDAY = time.mktime((2026, 11, 30, 4, 30, 7, 0, 0, -1))


def service(**options: Any) -> dict[str, Any]:
    return {"name": "shop", "uwsgi": {"options": options}}


@pytest.mark.parametrize(("key", "value", "when", "command"), [
    ("cron", "-1 -1 -1 -1 -1 echo a  b", (-1, -1, -1, -1, -1), "echo a  b"),
    ("unique-cron", "30 4 -1 -1 1 x", (30, 4, -1, -1, 1), "x"),
    ("cron2", "minute=-5,hour=4,unique=1 x y=z", (-5, 4, -1, -1, -1), "x y=z"),
    ("cron2", "run it", (-1, -1, -1, -1, -1), "run it"),
])
def test_crons_are_read_as_uwsgi_reads_them(key: str, value: str, when: tuple[int, ...], command: str) -> None:
    entry = _beside.cron(key, value)
    assert (entry.when, entry.command, entry.head + entry.command) == (when, command, value)


def test_a_cron_that_uwsgi_would_not_take() -> None:
    with pytest.raises(WebstackError, match="cron = daily x is not understood"):
        _beside.cron("cron", "daily x")


@pytest.mark.parametrize(("spec", "fits"), [
    ("-1 -1 -1 -1 -1", True), ("30 4 -1 -1 -1", True), ("31 4 -1 -1 -1", False), ("-15 -2 -1 -1 -1", True), ("-7 -1 -1 -1 -1", False),
    ("30 4 30 11 -1", True), ("30 4 -1 -1 1", True), ("30 4 -1 -1 7", False), ("30 4 1 -1 1", True), ("30 4 1 -1 2", False),
])
def test_minutes_of_a_cron(spec: str, fits: bool) -> None:
    assert _beside.cron("cron", spec + " x").matches(MONDAY) is fits


def test_when_a_cron_is_due() -> None:
    every, early = _beside.cron("cron", "-1 -1 -1 -1 -1 x"), _beside.cron("cron", "31 4 -1 -1 -1 x")
    assert every.due(MONDAY, 0, 1) and every.due(MONDAY, int(MONDAY) - 50, 15) and not every.due(MONDAY, int(MONDAY) - 20, 15)
    assert not early.due(MONDAY, 0, 15) and early.due(MONDAY + 45, 0, 15)


def test_everything_waits_in_a_container() -> None:
    held = service(mule="m.py", spooler="/srv/spool", cron=["-1 -1 -1 -1 -1 a 'b'", "-1 -1 -1 -1 -1 a 'b'"])
    held["uwsgi"]["options"].update({"attach-daemon2": "stopsignal=2,cmd=run it", "attach-daemon": "other"})
    assert dict(_container_config.uwsgi_options(held, "/s.sock"))["attach-daemon"] == "other"  # in an export
    options = _container_config.uwsgi_options(held, "/s.sock", hold=True)
    told = dict(options)
    assert told["hook-as-mule"] == "wait_for_file:/etc/webstack/beside/mules" and told["spooler-python-import"] == "/etc/webstack/beside/hold.py"
    assert told["attach-daemon2"].startswith("stopsignal=2,cmd=/") and told["attach-daemon2"].endswith("/hold.py && run it")
    assert told["attach-daemon"].endswith("/hold.py && other")
    names = [entry.name for entry in _beside.crons(held)]
    assert len(set(names)) == 2
    assert [value.split("tick.py ")[1] for key, value in options if key == "cron"] == [f"/run/webstack/shop/ticks {name} 'a '\"'\"'b'\"'\"''" for name in names]
    bound = _candidate.plan_candidate(held, "sha256:1", {}, "7:8", []).mounts
    assert any(item.target == _beside.DIRECTORY and item.source.endswith("/beside") and item.read_only for item in bound)


def test_a_service_without_any_is_as_it_was() -> None:
    assert not _beside.has_any(service(processes=2)) and "hook-as-mule" not in dict(_container_config.uwsgi_options(service(), "/s", hold=True))


@pytest.mark.parametrize(("key", "value", "why"), [
    ("mule", "m.py", ""), ("spooler", "/s", ""), ("attach-daemon2", "cmd=x,stopsignal=2", ""), ("cron2", "minute=2 x", ""),
    ("spooler", "s", "not absolute"), ("attach-daemon2", "cmd=x,pidfile=/p", "pidfile"), ("smart-attach-daemon", "/p x", "goes on"),
    ("exec-as-user", "x", "before"), ("cron2", "legion=a x", "legion"), ("cron", "x", "not understood"),
])
def test_what_cannot_be_held_back(key: str, value: str, why: str) -> None:
    assert why in _beside.problem(key, value) and bool(why) == bool(_beside.problem(key, value))


@pytest.fixture(name="held")
def held_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _held.Held:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_paths, "RUN_DIR", str(tmp_path / "run"))
    (tmp_path / "run/shop").mkdir(parents=True)
    _held.prepare("shop", "s")
    return _held.Held(service(cron="-1 -1 -1 -1 -1 echo ran"), {"slot": "s"})


def tick(held: _held.Held, tmp_path: Path) -> subprocess.Popen[str]:
    script = (Path(held.directory) / "tick.py").read_text(encoding="utf-8").replace(_beside.DIRECTORY, held.directory)
    return subprocess.Popen([sys.executable, "-c", script, held.ticks, held.crons[0].name, "echo ran"], stdout=subprocess.PIPE, text=True)


def in_one_minute() -> int:
    """The minute, with enough of it left."""
    while time.time() % 60 > 50:
        time.sleep(1)
    return int(time.time() // 60)


def test_a_tick_has_one_owner(held: _held.Held, tmp_path: Path) -> None:
    minute = in_one_minute()
    waiting = tick(held, tmp_path)
    time.sleep(0.5)
    assert waiting.poll() is None  # until it may
    held.release({})
    assert waiting.communicate(timeout=20)[0] == "ran\n" and tick(held, tmp_path).communicate(timeout=20)[0] == ""
    assert not held.own(held.crons[0].name, minute) and held.own(held.crons[0].name, minute + 1)


def test_a_tick_that_the_host_has_run_is_not_run_again(held: _held.Held, tmp_path: Path) -> None:
    held.release({held.crons[0].name: in_one_minute()})
    assert tick(held, tmp_path).communicate(timeout=20)[0] == "" and held.released


def test_ticks_are_taken_back_when_the_container_has_run_this_minutes(held: _held.Held, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held.release({})
    minute = in_one_minute()
    assert not held.take_ticks_back() and held.released  # not yet: the container has still to run it
    assert tick(held, tmp_path).communicate(timeout=20)[0] == "ran\n"
    moments = iter([minute * 60 + 1.0, minute * 60 + 1.0, minute * 60 + 59.9])
    monkeypatch.setattr(time, "time", lambda: next(moments, minute * 60 + 60.0))
    monkeypatch.setattr(time, "sleep", lambda seconds: None)
    assert held.take_ticks_back() and not held.released


def test_who_waits_for_what() -> None:
    sleeping = subprocess.Popen([sys.executable, "-c", "import time; print(1, flush=True); time.sleep(60)"], stdout=subprocess.PIPE)
    told = subprocess.Popen([sys.executable, "-c", "import select, socket\na, b = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
                             "p = select.poll(); p.register(a); p.unregister(a); p.register(b, select.POLLIN); print(1, flush=True); p.poll()"],
                            stdout=subprocess.PIPE)
    try:
        for process in (sleeping, told):
            assert process.stdout is not None and process.stdout.readline() == b"1\n"
        deadline = time.monotonic() + 20
        while not (_at_work.sleeps(sleeping.pid) and _at_work.is_told(told.pid)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert not _at_work.sleeps(told.pid) and not _at_work.is_told(sleeping.pid) and not _at_work.is_told(os.getpid())
    finally:
        sleeping.kill()
        told.kill()
        sleeping.wait()
        told.wait()
