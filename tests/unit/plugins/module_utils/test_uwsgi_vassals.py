# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Vassals: texts without secrets, and who runs something older than what is on disk."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Dict, List
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _emperor, _own_files, _releases, _vassal_watch, _vassals_look
from ansible_collections.gantry.webstack.plugins.module_utils.install import _uwsgi_vassals as vassals
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK


def test_secrets_are_never_told() -> None:
    text = "[uwsgi]\nenv = A=open\n; Secrets follow.\nenv = B=hidden\nenv = C=hidden=too\n"
    assert _vassals_look.censored(text) == "[uwsgi]\nenv = A=open\n; Secrets follow.\nenv = B=(secret)\nenv = C=(secret)\n"
    assert _vassals_look.censored("[uwsgi]\nenv = A=open\n") == "[uwsgi]\nenv = A=open\n"


@pytest.mark.parametrize(("workers", "watched", "newer"), [
    ({1: 100.0}, {"/a": 50.0}, []), ({1: 100.0}, {"/a": 100.9}, []), ({1: 100.0}, {"/b": 102.0, "/a": 103.0}, ["/a", "/b"]),
    ({1: 10.0, 2: 100.0}, {"/a": 50.0}, []), ({}, {"/a": 50.0}, []),
])
def test_who_runs_something_older(workers: Dict[int, float], watched: Dict[str, float], newer: List[str]) -> None:
    assert _vassals_look.runs_older(workers, watched) == newer


def test_the_emperor_sees_every_change(tmp_path: Path) -> None:
    file = tmp_path / "a.ini"
    file.write_text("")
    known = file.stat().st_mtime
    vassals._touch(str(file))
    assert int(file.stat().st_mtime) > int(known)
    assert _vassals_look._changed_at(str(file)) <= time.time()


@pytest.fixture(name="host")
def a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host below tmp_path whose emperor is never asked."""
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_paths, "LOG_DIR", str(tmp_path / "log"))
    for name in ("EMPEROR_WRAPPER", "LOGROTATE", "LOG_REOPEN", "EMPEROR_STATS", "OTHER_EMPEROR"):
        monkeypatch.setattr(_paths, name, str(tmp_path / name.lower()))
    monkeypatch.setattr(vassals._uwsgi_wrapper, "run", lambda argv: None)
    monkeypatch.setattr(_vassals_look._processes, "main_pid", lambda unit: 10)
    monkeypatch.setattr(_vassals_look._processes, "processes", dict)
    monkeypatch.setattr(vassals.grp, "getgrnam", lambda name: MagicMock(gr_gid=os.getgid()))
    monkeypatch.setattr(vassals.pwd, "getpwnam", lambda name: MagicMock(pw_uid=os.getuid()))
    for room in (vassals, _vassals_look):
        monkeypatch.setattr(room, "is_listening", lambda socket: True)
    monkeypatch.setattr(_vassal_watch, "await_all", lambda watches, emperor, timeout: None)
    monkeypatch.setattr(_emperor, "find_vassal", lambda name, emperor, seen: None)
    monkeypatch.setattr(vassals._own_files, "Target", lambda text, mode=0o644, uid=0, gid=0: real_target(text, mode, os.getuid(), os.getgid()))
    (tmp_path / "vassals").mkdir()
    return tmp_path


real_target = vassals._own_files.Target


def run(host: Path, check: bool = False, **contents: str) -> vassals.UwsgiVassals:
    module = MagicMock()
    module.check_mode = check
    module.params = {
        "vassals": [{"name": name, "content": text, "code_path": str(host / "srv/current"), "venv": None, "socket": "/run/s", "user": "u", "group": "g",
                     "watch": [], "health_path": "/", "health_host": "h", "health_status": 200, "health_timeout": 1} for name, text in contents.items()],
        "directory": str(host / "vassals"), "unit": "e", "binary": "uwsgi", "timeout": 1, "changed": [],
    }
    shell: Any = vassals.UwsgiVassals(module)
    shell.run()
    return shell


def test_check_mode_writes_nothing(host: Path) -> None:
    shell = run(host, check=True, shop="[uwsgi]\n")
    assert shell.changed and shell.result["changed_vassals"] == ["shop"]
    assert list((host / "vassals").iterdir()) == [] and not (host / "log").exists()


def test_written_then_removed_without_telling_a_secret(host: Path) -> None:
    run(host, shop="[uwsgi]\n")
    file = host / "vassals" / "shop.ini"
    assert file.read_text() == f"; {MARK}\n[uwsgi]\n"
    assert file.stat().st_mode & 0o777 == 0o640
    file.write_text(file.read_text() + "; Secrets follow.\nenv = T=hidden\n")
    (host / "vassals" / "theirs.ini").write_text("[uwsgi]\n")
    shell = run(host)
    assert shell.result["removed"] == ["shop"]
    assert "hidden" not in str(shell.diffs)
    assert [path.name for path in (host / "vassals").iterdir()] == ["theirs.ini"]


def test_a_vassal_that_does_not_answer_is_put_back(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(host, shop="[uwsgi]\nold = 1\n")
    answers = iter([_vassal_watch.refusal("shop", _vassal_watch.Problem("it does not answer", "Traceback x"))])

    def refuse(watches: List[_vassal_watch.Watch], emperor: int, timeout: float) -> None:
        for error in answers:
            raise error

    monkeypatch.setattr(_vassal_watch, "await_all", refuse)
    with pytest.raises(WebstackError, match="^service shop: it does not answer; everything was put back") as caught:
        run(host, shop="[uwsgi]\nnew = 1\n", second="[uwsgi]\n")
    assert caught.value.details["traceback"] == "Traceback x"
    assert [path.name for path in (host / "vassals").iterdir()] == ["shop.ini"]
    assert "old" in (host / "vassals" / "shop.ini").read_text()


def test_an_environment_that_is_not_there_is_named(host: Path) -> None:
    with pytest.raises(WebstackError, match="^service shop: there is no virtual environment at %s/venv; name its lock" % host):
        run(host, shop="[uwsgi]\nvirtualenv = %s/venv\n" % host)
    assert list((host / "vassals").iterdir()) == []
    (host / "venv").mkdir()
    run(host, shop="[uwsgi]\nvirtualenv = %s/venv\n" % host)


def test_what_does_not_load_never_replaces_what_serves(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(host, shop="[uwsgi]\nold = 1\n")
    monkeypatch.setattr(_emperor, "find_vassal", lambda name, emperor, seen: _emperor.Vassal(11, {12: time.time() + 9}))
    monkeypatch.setattr(_vassal_watch, "try_out", lambda binary, content, timeout: _vassal_watch.Problem("its application does not load: E", ""))
    with pytest.raises(WebstackError, match="^service shop: its application does not load: E; nothing was changed, the running one still serves$"):
        run(host, shop="[uwsgi]\nnew = 1\n")
    assert "old" in (host / "vassals" / "shop.ini").read_text()


def test_a_service_in_a_container_is_kept_right_where_it_is_parked(host: Path) -> None:
    run(host, shop="[uwsgi]\n")
    parked = host / "state" / "shop" / "parked"
    parked.mkdir(parents=True)
    (host / "vassals" / "shop.ini").rename(parked / "shop.ini")
    _journal.Journal("shop").record("moved", runtime="container")
    assert not run(host, shop="[uwsgi]\n").changed
    assert run(host, shop="[uwsgi]\nnew = 1\n").changed
    assert "new" in (parked / "shop.ini").read_text() and list((host / "vassals").iterdir()) == []
    with pytest.raises(WebstackError, match="^service shop is not in the list any more but runs in a container; roll it back"):
        run(host)


def test_files_of_others_are_never_touched(host: Path) -> None:
    (host / "vassals" / "shop.ini").write_text("[uwsgi]\n")
    with pytest.raises(WebstackError, match="is not a file of gantry.webstack"):
        run(host, shop="[uwsgi]\nnew = 1\n")


def staged(host: Path) -> _releases.Releases:
    """A service with a release that serves and one that waits."""
    releases = _releases.Releases("shop", str(host / "srv/current"))
    for name in ("one", "two"):
        releases.finish(releases.begin(), name, {})
        releases.save(path=releases.path, wanted=name, keep=3)
        if name == "one":
            releases.flip()
            releases.settle()
    return releases


def test_a_release_is_taken_up(host: Path) -> None:
    run(host, shop="[uwsgi]\n")
    staged(host)
    assert run(host, check=True, shop="[uwsgi]\n").result["reloaded"] == {"shop": "does not run"}
    run(host, shop="[uwsgi]\n")
    assert os.readlink(host / "srv/current") == "releases/two"
    assert _releases.Releases("shop").record["serving"] == "two"


def test_a_release_that_is_not_healthy_goes_back(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(host, shop="[uwsgi]\n")
    staged(host)
    monkeypatch.setattr(_emperor, "find_vassal", lambda name, emperor, seen: _emperor.Vassal(11, {12: 1.0}))
    tried: List[str] = []
    monkeypatch.setattr(_vassal_watch, "try_out", lambda binary, content, timeout: tried.append(content))
    answers = iter([_vassal_watch.refusal("shop", _vassal_watch.Problem("GET / answers 503, not 200", "said"))])

    def refuse(watches: List[_vassal_watch.Watch], emperor: int, timeout: float) -> None:
        for error in answers:
            raise error

    monkeypatch.setattr(_vassal_watch, "await_all", refuse)
    text = "[uwsgi]\nchdir = %s\n" % (host / "srv/current")
    with pytest.raises(WebstackError, match="503, not 200; everything was put back, with release one of shop, and serves again$") as caught:
        run(host, shop=text)
    assert caught.value.details["former_releases"] == {"shop": "one"} and caught.value.details["log"] == "said"
    assert os.readlink(host / "srv/current") == "releases/one"
    assert "chdir = %s\n" % (host / "srv/releases/two") in tried[0]


def test_a_vassal_goes_first_when_another_takes_its_port() -> None:
    def stale(path: str, text: str) -> _own_files.Change:
        return _own_files.Change(path, _own_files.Target(text, 0o640, 0, 0), None)

    old = stale("/v/old.ini", "[uwsgi]\nsocket = 127.0.0.1:3031\n")
    spare = stale("/v/spare.ini", "[uwsgi]\nsocket = 127.0.0.1:3032\nstats = /run/old/stats.sock\n")
    path = stale("/v/path.ini", "[uwsgi]\nsocket = /run/uwsgi/shop/uwsgi.sock\n")
    wanted = ["[uwsgi]\nsocket = /run/uwsgi/shop/uwsgi.sock\nhttp = 127.0.0.1:3031,foo\n"]
    assert vassals.in_the_way_of([old, spare, path], wanted) == [old]
    assert vassals.in_the_way_of([old, spare, path], []) == []


def test_a_port_is_free_before_its_next_vassal_is_written(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(host, old="[uwsgi]\nsocket = 127.0.0.1:3031\n")
    there: List[bool] = []
    monkeypatch.setattr(_vassal_watch, "await_all", lambda watches, emperor, timeout: there.append((host / "vassals/old.ini").exists()))
    run(host, new="[uwsgi]\nsocket = 127.0.0.1:3031\n")
    assert there == [False]
