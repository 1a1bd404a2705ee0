# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host does not need any more, and what it does."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _decommission, _set_aside, _spare


def service(name: str, unit: str, vassal: str = "") -> dict[str, Any]:
    return {"name": name, "uwsgi": {"manager": {"kind": "emperor", "unit": unit, "vassal": vassal} if vassal else {"kind": "unit", "unit": unit}}}


SHOP, BLOG = service("shop", "emperor.service", "/etc/v/shop.ini"), service("blog", "emperor.service", "/etc/v/blog.ini")


@pytest.mark.parametrize(("going", "staying", "vassals", "idle"), [
    ([SHOP], [], [], ["emperor.service"]),
    ([SHOP], [BLOG], [], []),  # it could go back
    ([SHOP, BLOG], [], ["shop.chain", "logs.reopen"], ["emperor.service"]),
    ([SHOP], [], ["other.yml"], []),  # somebody else's vassal
    ([SHOP, service("own", "own.service")], [BLOG], [], ["own.service"]),
])
def test_units_that_nobody_needs(going: list[Any], staying: list[Any], vassals: list[str], idle: list[str]) -> None:
    assert _decommission.idle_units(going, staying, {"/etc/v": vassals}) == idle


@pytest.mark.parametrize(("text", "found"), [
    ("ExecStart=/usr/bin/uwsgi --ini x\n", True), ("* * * * * root uwsgi-core --version\n", True), ("  # /usr/bin/uwsgi\n", False),
    ("uwsgi_pass unix:/x\n", False), ("my-uwsgi.service\n", False), ("", False),
])
def test_a_word_is_a_need(text: str, found: bool) -> None:
    assert _spare.mentioned({"uwsgi", "uwsgi-core"}, {"/etc/x": text}) == ("/etc/x" if found else None)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_paths, "SET_ASIDE", str(tmp_path / "state/.set-aside"))
    monkeypatch.setattr(_spare, "nginx_paths", list)
    monkeypatch.setattr(_spare, "CONFIGURATION", (str(tmp_path / "cron.d"),))
    monkeypatch.setattr(_spare._proc, "processes", dict)
    for part in ("shop/code", "shop/venv", "shop/data", "cron.d"):
        (tmp_path / part).mkdir(parents=True)
    return tmp_path


def shop(host: Path, **keys: Any) -> dict[str, Any]:
    return {"name": "shop", "code": {"path": f"{host}/shop/code"}, "python": {"venv": f"{host}/shop/venv"}, "state": [{"path": f"{host}/shop/data"}], **keys}


def test_code_that_nobody_needs_goes(host: Path) -> None:
    assert _spare.directories(shop(host), [], [], set()) == _spare.Directories([f"{host}/shop/code", f"{host}/shop/venv"], {})


@pytest.mark.parametrize("reason", ["state", "mount", "static", "nginx", "job", "other"])
def test_code_that_something_is_in_stays(host: Path, monkeypatch: pytest.MonkeyPatch, reason: str) -> None:
    inner, others = f"{host}/shop/code/inner", []
    (host / "shop/code/inner").mkdir()
    definition = shop(host, files=[{"path": inner}]) if reason == "mount" else shop(host, nginx={"static": [{"path": inner + "/"}]}) if reason == "static" \
        else shop(host, state=[{"path": inner}]) if reason == "state" else shop(host)
    if reason == "nginx":
        monkeypatch.setattr(_spare, "nginx_paths", lambda: [inner])
    if reason == "job":
        (host / "cron.d/x").write_text(f"* * * * * root {inner}/run\n")
    if reason == "other":
        others = [{"name": "blog", "code": {"path": inner}}]
    found = _spare.directories(definition, [], others, set())
    assert found.remove == [f"{host}/shop/venv"]
    assert list(found.leave) == [f"{host}/shop/code"]


def test_a_job_that_moved_is_no_reason(host: Path) -> None:
    (host / "cron.d/x").write_text(f"* * * * * root docker exec c sh -c '{host}/shop/venv/bin/python x'\n")
    moved = {"source": f"{host}/cron.d/x", "command": f"{host}/shop/venv/bin/python x"}
    assert not _spare.directories(shop(host, schedule=[moved]), [], [], set()).leave
    assert list(_spare.directories(shop(host, schedule=[]), [], [], set()).leave) == [f"{host}/shop/venv"]


def test_releases_go_with_their_link_or_not_at_all(host: Path) -> None:
    (host / "shop/releases/1").mkdir(parents=True)
    (host / "shop/current").symlink_to("releases/1")
    definition = shop(host, code={"path": f"{host}/shop/current"}, python={})
    managed = [f"{host}/shop/current", f"{host}/shop/releases"]
    assert _spare.directories(definition, managed, [], set()) == _spare.Directories(managed, {})
    (host / "cron.d/x").write_text(f"* * * * * root {host}/shop/current/run\n")
    assert _spare.directories(definition, managed, [], set()).remove == []


def test_the_way_back_after_a_purge(host: Path) -> None:
    parked = host / "state/shop/parked/shop.ini"
    definition = {**shop(host), **service("shop", "", str(host / "v/shop.ini"))}
    journal = _journal.Journal("shop", {"runtime": "container", "phase": "switched", "events": [], "seam": "/run/shop.sock", "service": definition,
                                        "decommissioned": {"at": 1.0, "purged": 2.0}})
    with pytest.raises(WebstackError, match="service shop: its host stack was purged .*install it again"):
        _set_aside.undo([journal])
    parked.parent.mkdir(parents=True)
    parked.write_text("[uwsgi]\n")
    assert [step.what for step in _set_aside.undo([journal])] == ["host stack of shop"]
    assert not _set_aside.is_decommissioned(_journal.load("shop"))


def test_an_empty_record_leaves_nothing(host: Path) -> None:
    _set_aside.save_record({"units": {"x.service": {"enabled": True, "active": False}}, "packages": {}})
    assert _set_aside.load_record()["units"] == {"x.service": {"enabled": True, "active": False}}
    _set_aside.save_record({"units": {}, "packages": {}})
    assert not os.path.exists(_paths.SET_ASIDE)


class Commands:
    """A host's systemd, dpkg and apt, as far as undoing asks them."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.there: set[str] = set()

    def run(self, argv: list[str], **_more: Any) -> Any:
        self.done += [" ".join(argv)] if argv[0] != "dpkg-query" and argv[1] not in ("is-enabled", "is-active") else []
        return SimpleNamespace(stdout="".join(f"installed {name}\n" for name in self.there) if argv[0] == "dpkg-query" else "disabled\n")

    def get(self, arguments: list[str]) -> str:
        self.done.append(" ".join(["apt-get", *(os.path.basename(word) for word in arguments)]))
        self.there |= {"uwsgi-core"}
        return ""


def test_what_was_set_aside_comes_back_once(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = Commands()
    monkeypatch.setattr(_set_aside, "run", commands.run)
    monkeypatch.setattr(_set_aside._apt, "Apt", lambda: commands)
    journal = _journal.Journal("shop")
    journal.record("decommissioned", runtime="container", phase="switched", seam="/run/shop.sock", service=SHOP, decommissioned={"at": 1.0})
    _set_aside.save_record({"units": {"emperor.service": {"enabled": True, "active": True}, "other.service": {"enabled": True, "active": False}},
                            "packages": {"uwsgi-core": {"version": "2.0", "automatic": True}}})
    for name in ("uwsgi-core_2.0_amd64.deb", "uwsgi-core-dbg_2.0_amd64.deb"):
        (host / "state/.set-aside" / name).touch()
    told = [step.what for step in _set_aside.undo([journal], check_mode=True)]
    assert commands.done == [] and _set_aside.is_decommissioned(_journal.load("shop"))
    assert [step.what for step in _set_aside.undo([journal])] == told == ["package uwsgi-core", "emperor.service", "host stack of shop"]
    assert commands.done == ["apt-get install --yes --no-install-recommends --allow-downgrades uwsgi-core_2.0_amd64.deb", "apt-mark auto uwsgi-core",
                             "systemctl enable emperor.service", "systemctl start emperor.service"]
    assert _set_aside.load_record() == {"units": {"other.service": {"enabled": True, "active": False}}, "packages": {}}
    assert _set_aside.undo([_journal.load("shop")]) == []
