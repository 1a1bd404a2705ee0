# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action plugins of install: what is read here, what is sent, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
from ansible.errors import AnsibleActionFail
from ansible.playbook.task import Task

from ansible_collections.gantry.webstack.plugins.action import python_venvs, webapps
from ansible_collections.gantry.webstack.plugins.module_utils.install import _tree


def plugin(kind: Any, answers: list[dict[str, Any]], check: bool = False, **options: Any) -> Any:
    task = MagicMock(Task)
    task.async_val, task.args, task.check_mode = 0, options, check
    loader = MagicMock()
    loader.get_basedir.return_value = "/nowhere"
    action = kind.ActionModule(task, MagicMock(), MagicMock(), loader, MagicMock(), MagicMock())
    action._connection._shell.join_path = lambda *parts: "/".join(parts)
    action._execute_module = MagicMock(side_effect=answers)
    action._make_tmp_path = MagicMock(return_value="/remote")
    action._remove_tmp_path, action._fixup_perms2, action._transfer_file = MagicMock(), MagicMock(), MagicMock()
    return action


def service(source: Path) -> dict[str, Any]:
    return {"name": "shop", "code_path": "/srv/shop", "code_source": str(source), "directories": [{"path": "/srv/shop/var"}], "venv": "/srv/venv"}


@pytest.fixture(name="source")
def a_source(tmp_path: Path) -> Path:
    (tmp_path / "var").mkdir()
    (tmp_path / "var" / "db").write_text("not sent")
    (tmp_path / "wsgi.py").write_text("1")
    return tmp_path


def sent(action: Any, call: int) -> dict[str, Any]:
    return action._execute_module.call_args_list[call].kwargs["module_args"]["services"][0]


def test_one_call_when_nothing_differs(source: Path) -> None:
    action = plugin(webapps, [{"changed": False}], services=[service(source)])
    assert action.run(task_vars={}) == {"changed": False}
    entries = {path: entry for path, entry in _tree.scan(str(source)).items() if path == "wsgi.py"}
    assert sent(action, 0)["code_digest"] == _tree.digest_of(entries)
    assert action._execute_module.call_count == 1 and not action._transfer_file.called


def test_only_what_differs_is_sent(source: Path) -> None:
    other = {**service(source), "name": "other"}
    answers = [{"changed": False, "code_there": {"shop": {"old.py": "f 1"}}}, {"changed": True, "diff": []}]
    action = plugin(webapps, answers, services=[service(source), other])
    result = action.run(task_vars={})
    assert result["diff"] == [{"before_header": "code of shop", "after_header": "code of shop", "before": "", "after": "add wsgi.py\nremove old.py\n"}]
    second = action._execute_module.call_args_list[1].kwargs["module_args"]["services"]
    assert [item.get("code_pack") for item in second] == ["/remote/code-0.tar.gz", None]
    assert action._transfer_file.call_count == 1 and action._remove_tmp_path.called


def test_check_mode_sends_nothing(source: Path) -> None:
    action = plugin(webapps, [{"changed": True, "diff": [], "code_there": {"shop": {}}}], check=True, services=[service(source)])
    result = action.run(task_vars={})
    assert result["changed"] and result["diff"][0]["after"] == "add wsgi.py\n" and "code_there" not in result
    assert not action._transfer_file.called


@pytest.mark.parametrize("kind", ["missing", "empty"])
def test_a_source_that_is_none(tmp_path: Path, kind: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnsibleActionFail, match=f"^service shop: code.source .*{kind}"):
        plugin(webapps, [], services=[service(tmp_path / kind)]).run(task_vars={})


def test_requirements_are_read_here(tmp_path: Path) -> None:
    (tmp_path / "r.txt").write_text("a==1\n")
    action = plugin(python_venvs, [{"changed": False}], venvs=[{"name": "shop", "path": "/v", "requirements_file": str(tmp_path / "r.txt")}])
    action.run(task_vars={})
    assert action._execute_module.call_args.kwargs["module_args"] == {"venvs": [{"name": "shop", "path": "/v", "requirements": "a==1\n"}]}
    with pytest.raises(AnsibleActionFail, match="^service shop: python.requirements '/none' cannot be read: No such file"):
        plugin(python_venvs, [], venvs=[{"name": "shop", "path": "/v", "requirements_file": "/none"}]).run(task_vars={})
