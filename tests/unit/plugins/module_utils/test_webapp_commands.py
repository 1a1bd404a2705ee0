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
                           "commands": [["python", "manage.py", "migrate"], ["true"]]}


def test_digest() -> None:
    one = webapp_commands.digest(SERVICE, "code", "venv")
    assert one == webapp_commands.digest(dict(SERVICE), "code", "venv")
    others = [webapp_commands.digest(SERVICE, "new", "venv"), webapp_commands.digest(SERVICE, "code", None),
              webapp_commands.digest({**SERVICE, "environment": {}}, "code", "venv"), webapp_commands.digest({**SERVICE, "commands": []}, "code", "venv")]
    assert len({one, *others}) == 5


def test_surroundings() -> None:
    env = webapp_commands.surroundings(SERVICE)
    assert env["PATH"].startswith("/srv/venv/bin:/usr/local/sbin:") and env["VIRTUAL_ENV"] == "/srv/venv" and env["A"] == "b"
    assert "VIRTUAL_ENV" not in webapp_commands.surroundings({**SERVICE, "venv": None})


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
    module.params = {"services": [{**SERVICE, **more}], "changed": list(changed)}
    shell: Any = webapp_commands.WebappCommands(module)
    shell.run()
    return shell


def test_they_run_once_per_state(ran: List[List[str]], tmp_path: Path) -> None:
    assert run(check=True).changed and ran == []
    assert run().result["output"] == {"shop": ["done\n", "done\n"]}
    assert ran == SERVICE["commands"]
    assert not run().changed and not run(check=True).changed
    assert run(check=True, changed=["shop"]).changed
    (tmp_path / "shop" / "code.json").write_text(json.dumps({"digest": "new"}))
    assert run().changed and len(ran) == 4


def test_one_that_fails_is_told_and_runs_again(ran: List[List[str]]) -> None:
    with pytest.raises(WebstackError, match=r"^service shop: preparing it failed: false failed \(rc 1\)"):
        run(commands=[["true"], ["false"]])
    assert run(commands=[["true"], ["true"]]).changed
