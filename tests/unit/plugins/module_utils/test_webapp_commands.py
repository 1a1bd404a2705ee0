# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands: what they depend on, and their surroundings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths, _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _webapp_commands as webapp_commands

SERVICE: Dict[str, Any] = {"name": "shop", "user": "shop", "group": "shop", "chdir": "/srv/shop", "venv": "/srv/venv", "environment": {"A": "b"},
                           "check": [], "migrate": [], "prepare": [["python", "manage.py", "migrate"], ["true"]],
                           "postponed": [], "migrated_by": None, "origin": None}


def test_digest() -> None:
    def digest(kind: str, release: str, venv: Any, **more: Any) -> str:
        return webapp_commands.digest({**SERVICE, **more}, kind, release, venv)

    one = digest("prepare", "code", "venv")
    assert one == digest("prepare", "code", "venv")
    others = [digest("prepare", "new", "venv"), digest("prepare", "code", None), digest("prepare", "code", "venv", environment={}),
              digest("prepare", "code", "venv", prepare=[])]
    assert len({one, *others}) == 5
    assert digest("migrate", "code", "venv", origin="1") == digest("migrate", "other", None, origin="1") != digest("migrate", "code", "venv", origin="2")


def test_they_are_run_in_the_release_that_waits() -> None:
    given = {**SERVICE, "chdir": "/srv/a/current", "venv": "/srv/a/venv", "environment": {"D": "/srv/a/current/d", "E": "/srv/a/currently"},
             "check": [["/srv/a/venv/bin/python", "/srv/a/current/x"]]}
    moved = webapp_commands.relocated(given, "/srv/a/releases/1", {"S": "hidden"})
    assert moved["check"] == [["/srv/a/releases/1/.venv/bin/python", "/srv/a/releases/1/x"]] and moved["chdir"] == "/srv/a/releases/1"
    env = moved["environment"]
    assert env["PATH"].startswith("/srv/a/releases/1/.venv/bin:/usr/local/sbin:") and env["VIRTUAL_ENV"] == "/srv/a/releases/1/.venv"
    assert (env["D"], env["E"], env["S"]) == ("/srv/a/releases/1/d", "/srv/a/currently", "hidden")
    same = webapp_commands.relocated(SERVICE, SERVICE["chdir"], {})
    assert same["environment"]["VIRTUAL_ENV"] == "/srv/venv" and same["prepare"] == SERVICE["prepare"]


def test_what_they_print_is_told_without_secrets() -> None:
    assert webapp_commands.without("hidden hid abc", {"A": "hidden", "B": "hid", "C": "abc"}) == "(secret) hid abc"


@pytest.fixture(name="ran")
def commands_that_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> List[List[str]]:
    ran: List[List[str]] = []

    def run_as(user: str, group: str, argv: List[str], env: Dict[str, str], cwd: str) -> Any:
        if argv == ["false"]:
            raise CommandError("false failed (rc 1): no output", rc=1)
        ran.append(argv)
        return MagicMock(stdout="done\n")

    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path))
    monkeypatch.setattr(_users, "run_as", run_as)
    return ran


def run(check: bool = False, changed: List[str] = (), **more: Any) -> webapp_commands.WebappCommands:  # type: ignore[assignment]
    module = MagicMock()
    module.check_mode = check
    module.params = {"services": [{**SERVICE, **more}], "changed": list(changed), "deploy": False}
    shell: Any = webapp_commands.WebappCommands(module)
    shell.run()
    return shell


def test_they_run_once_per_state(ran: List[List[str]], tmp_path: Path) -> None:
    assert run(check=True).changed and ran == []
    assert run().result["output"] == {"shop": ["done\n", "done\n"]}
    assert ran == SERVICE["prepare"]
    assert not run().changed and not run(check=True).changed
    assert run(check=True, changed=["shop"]).changed
    (tmp_path / "shop" / "releases.json").write_text(json.dumps({"wanted": "new", "path": "/srv/shop"}))
    assert run().changed and len(ran) == 4


def test_one_that_fails_is_told_and_runs_again(ran: List[List[str]]) -> None:
    with pytest.raises(WebstackError, match=r"^service shop: preparing its release failed: false failed \(rc 1\)"):
        run(prepare=[["true"], ["false"]])
    assert run(prepare=[["true"], ["true"]]).changed


def test_what_waits_for_another_host_is_told_and_done_later(ran: List[List[str]]) -> None:
    shell = run(migrate=[["m"]], postponed=["migrate", "prepare"])
    assert shell.result["todo"] == ["shop"] and shell.result["migrated"] == {} and ran == []
    shell = run(migrate=[["m"]], migrated_by="first")
    assert ran == SERVICE["prepare"] and shell.result["migrated"] == {"shop": ""} and shell.result["migrate"] == []
    assert run(migrate=[["m"]], postponed=["migrate", "prepare"]).result["todo"] == []
