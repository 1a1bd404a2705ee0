# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Timers of a service: found, and what they start moved to a container and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _unit_text
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_units
from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence_systemd import Unit
from ansible_collections.gantry.webstack.plugins.module_utils.move import _timers
from ansible_collections.gantry.webstack.plugins.plugin_utils import model, render_units

SERVICE = {"name": "shop", "user": {"name": "shop"}, "code": {"path": "/srv/shop/code"}, "python": {"venv": "/srv/shop/venv"}, "environment": {"A": "b $c%"}}


@pytest.fixture(name="etc")
def a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_timers, "DIRECTORIES", (str(tmp_path),))
    monkeypatch.setattr(_timers.Timers, "_path", staticmethod(lambda unit: str(tmp_path / (unit + ".d") / _timers.DROP_IN)))
    monkeypatch.setattr(_timers._processes, "unit_properties", lambda unit, *names: {})
    monkeypatch.setattr(_timers, "run", lambda argv: (tmp_path / "reloads").open("a").write("x"))
    monkeypatch.setattr("os.fchown", lambda *args: None)
    return tmp_path


def facts() -> Dict[str, Any]:
    return {"name": "shop", "code": "/srv/shop/code", "python": {"venv": "/srv/shop/venv"}, "user": {"name": "shop"},
            "manager": {"unit": "webstack-emperor.service"},
            "workers": [], "schedule": [], "remarks": []}


def found(etc: Path) -> Dict[str, Any]:
    units = [Unit(path.name, str(path), (path.read_text(),)) for path in sorted(etc.iterdir()) if path.suffix in (".service", ".timer")]
    item = facts()
    _evidence_units.assign([item], units)
    return item


def install(etc: Path, **more: Any) -> None:
    for unit in render_units.units(model.complete_all([{**SERVICE, **more}])):
        (etc / unit["name"]).write_text(unit["content"])


def test_discover_finds_what_install_wrote(etc: Path) -> None:
    schedule = [{"name": "a", "when": "*/5 1 * * mon", "user": "shop", "command": "x \"$A\" | y 5%"},
                {"name": "b", "when": "@reboot", "user": "root", "command": "z", "timeout": 5, "memory_max": "5M", "writable": ["/a b", "/c%"],
                 "extra": ["Nice=5", "ProtectHome=no"]},
                {"name": "c", "when": "Mon 03:00; Tue 04:00", "user": "shop", "command": "z", "persistent": True}]
    workers = [{"name": "w", "command": "run 'a  b'", "instances": 3, "stop_timeout": 7},
               {"name": "v", "command": "run", "user": "other", "memory_max": "5M", "writable": ["/d"], "extra": ["Environment=A=1"]}]
    install(etc, schedule=schedule, workers=workers)
    item = found(etc)
    assert sorted(({key: value for key, value in job.items() if key != "source"} for job in item["schedule"]), key=lambda job: job["name"]) == schedule
    assert {Path(job["source"]).name for job in item["schedule"]} == {"webstack-shop-a.timer", "webstack-shop-b.service", "webstack-shop-c.timer"}
    unknown = ("kind", "what", "evidence")
    assert [{key: value for key, value in worker.items() if key not in unknown} for worker in item["workers"]] == [workers[1], workers[0]]


def test_a_hand_written_timer(etc: Path) -> None:
    (etc / "back.service").write_text("[Service]\nUser=shop\nExecStart=/usr/bin/tar -cf /b.tar $DIRS \"/srv/shop/code\"\nEnvironmentFile=-%s\n" % (etc / "env"))
    (etc / "env").write_text("# x\nTOKEN=CANARY\n")
    (etc / "nightly.timer").write_text("[Timer]\nUnit=back.service\nOnCalendar=03:00\nOnBootSec=5min\n")
    (etc / "odd.service").write_text("[Service]\nUser=shop\nType=oneshot\nExecStart=/bin/echo %n\n")
    (etc / "odd.timer").write_text("[Timer]\nOnCalendar=daily\n")
    item = found(etc)
    assert item["schedule"] == [{"source": str(etc / "nightly.timer"), "user": "shop", "command": "/usr/bin/tar -cf /b.tar $DIRS /srv/shop/code",
                                 "when": "03:00; OnBootSec=5min"}]
    assert item["workers"] == [{"kind": "timer", "what": "odd.timer", "evidence": str(etc / "odd.timer")}]
    assert item["remarks"] == ["what odd.timer starts is not understood: it uses a specifier of systemd: %n"]
    text = _timers.Timers("shop", item["schedule"]).texts("webstack-shop-1")[str(etc / "back.service.d/50-webstack.conf")]
    assert "CANARY" not in text
    assert ("ExecStart=/usr/bin/docker exec --user shop --env TOKEN webstack-shop-1 /bin/sh -c "
            '"/usr/bin/tar -cf /b.tar $$DIRS /srv/shop/code"\n') in text


def test_there_and_back(etc: Path) -> None:
    install(etc, schedule=[{"name": "a", "when": "* * * * *", "command": "x \"$A\" 5%"}])
    timers = _timers.Timers("shop", found(etc)["schedule"])
    before = {path.name: path.read_text() for path in etc.iterdir()}
    timers.to_container("webstack-shop-1")
    timers.to_container("webstack-shop-1")
    assert (etc / "reloads").read_text() == "x"
    path = etc / "webstack-shop-a.service.d" / _timers.DROP_IN
    there = _unit_text.parse([before["webstack-shop-a.service"], path.read_text()])
    assert _unit_text.words(there[("Service", "ExecStart")][0]) == [
        "/usr/bin/docker", "exec", "--user", "shop", "--workdir", "/srv/shop/code", "--env", "PATH", "--env", "A", "webstack-shop-1", "/bin/sh", "-c",
        'x "$$A" 5%%']
    assert _unit_text.last(there, "Service", "User") == "root"
    assert found(etc)["schedule"][0]["command"] == "x \"$A\" 5%"  # our drop-in hides nothing
    timers.to_host()
    (etc / "reloads").unlink()
    assert {path.name: path.read_text() for path in etc.iterdir()} == before


def test_a_plan_that_does_not_fit(etc: Path) -> None:
    install(etc, schedule=[{"name": "a", "when": "* * * * *", "command": "x"}])
    jobs: List[Dict[str, Any]] = found(etc)["schedule"]
    with pytest.raises(WebstackError, match="does not run 'y' as shop any more; run discover again"):
        _timers.Timers("shop", [{**jobs[0], "command": "y"}]).texts("c")
    (etc / "webstack-shop-a.service").unlink()
    with pytest.raises(WebstackError, match="is gone; run discover again"):
        _timers.Timers("shop", jobs).texts("c")
