# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action plugin: real, again, check, reuse; what it says when it cannot."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.playbook.task import Task

from ansible_collections.gantry.webstack.plugins.action.discover import ActionModule

EVIDENCE = json.loads((Path(__file__).parents[2] / "fixtures" / "evidence" / "bookworm.json").read_text(encoding="utf-8"))


def discover(found: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
    """Run the plugin with a target that answers ``found``."""
    task = MagicMock(Task)
    task.async_val, task.args, task.check_mode, task.action = 0, options, check, "gantry.webstack.discover"
    plugin = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    plugin._execute_module = MagicMock(return_value=found)
    return plugin.run(task_vars={"inventory_hostname": "web1"})


def test_real_again_check_and_reuse(tmp_path: Path) -> None:
    answer = {"evidence": EVIDENCE}
    looked = discover(answer, check=True, dir=str(tmp_path / "plans"))
    assert looked["changed"] and not (tmp_path / "plans").exists() and "name: blog" in looked["diff"][0]["after"]
    first = discover(answer, dir=str(tmp_path / "plans"))
    assert first["changed"] and first["path"] == str(tmp_path / "plans/web1.yml") and Path(first["report"]).exists()
    text = Path(first["path"]).read_text(encoding="utf-8")
    assert first["diff"][0]["after"] == text and first["diff"] == looked["diff"]
    assert not discover(answer, check=True, dir=str(tmp_path / "plans"))["changed"]
    assert not discover(answer, dir=str(tmp_path / "plans"))["changed"]
    reused = discover({"failed": True, "msg": "asked"}, dir=str(tmp_path / "plans"), reuse=True)
    assert not reused["changed"] and reused["reused"] and reused["plan"] == first["plan"]
    assert sorted(path.name for path in (tmp_path / "plans").iterdir()) == ["web1.html", "web1.yml"]


@pytest.mark.parametrize(("found", "message"), [
    ({"failed": True, "msg": "discover must run as root"}, "discover must run as root"),
    ({"evidence": {**EVIDENCE, "nginx": None, "instances": []}}, "web1: no nginx, no uWSGI and no other application server runs here"),
])
def test_one_clear_sentence(found: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(AnsibleActionFail, match=message):
        discover(found, dir=str(tmp_path))
    assert not list(tmp_path.iterdir())


def test_a_damaged_plan(tmp_path: Path) -> None:
    (tmp_path / "web1.yml").write_text("version: 1\nhost: web1\nservices:\n  - name: a\n    sokcet: x\n", encoding="utf-8")
    with pytest.raises(AnsibleActionFail, match=r"web1.yml: services\[a\]: unknown key 'sokcet'"):
        discover({}, dir=str(tmp_path), reuse=True)


def test_names_with_slashes(tmp_path: Path) -> None:
    assert Path(discover({"evidence": EVIDENCE}, dir=str(tmp_path), host="../../x")["path"]).parent == tmp_path
