"""The action plugin of parity: what was compared stands beside the plan and in the page, good or bad."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

from ansible.playbook.task import Task

from ansible_collections.gantry.webstack.plugins.action.parity import ActionModule
from ansible_collections.gantry.webstack.plugins.plugin_utils import report, report_parity

PLAN: dict[str, Any] = {"version": 1, "host": "web1", "services": [{"name": "shop"}, {"name": "blog"}]}
GOOD = {"service": "blog", "requests": 3, "kinds": {"health": 1, "access log": 2}, "trees": 1, "files": 7, "unanswered": ["GET /events"], "differences": []}
BAD = {"service": "shop", "requests": 2, "kinds": {"health": 2}, "trees": 0, "files": 0, "unanswered": [], "differences": [
    {"request": "GET /<b>", "kind": "health", "what": ["body says 'a' where the host says '<i>'"], "diff": [" <p>", "-<i>", "+a"]}]}


def compare(found: dict[str, Any], check: bool = False, **options: Any) -> dict[str, Any]:
    task = MagicMock(Task)
    task.async_val, task.args, task.check_mode, task.action = 0, {"services": [], **options}, check, "gantry.webstack.parity"
    plugin = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    plugin._execute_module = MagicMock(return_value=dict(found))
    result = plugin.run(task_vars={"inventory_hostname": "web1"})
    assert plugin._execute_module.call_args.kwargs["module_args"] == {"services": []}
    return result


def test_a_difference_stands_in_the_page_until_it_is_gone(tmp_path: Path) -> None:
    page = tmp_path / "web1.html"
    page.write_text(report.page(PLAN), encoding="utf-8")
    untouched = page.read_text(encoding="utf-8")
    assert not compare({"services": [BAD]}, check=True, dir=str(tmp_path)).get("changed") and page.read_text(encoding="utf-8") == untouched
    refused = compare({"failed": True, "msg": "no", "services": [GOOD, BAD]}, dir=str(tmp_path))
    assert refused["failed"] and refused["changed"]
    text = page.read_text(encoding="utf-8")
    for piece in ("GET /&lt;b&gt;", '<span class="host">-&lt;i&gt;</span><span class="container">+a</span>', "1 difference", "health 1, access log 2",
                  "1 static tree with 7 files", "GET /events"):
        assert piece in text
    assert json.loads((tmp_path / "web1.parity.json").read_text(encoding="utf-8")) == {"host": "web1", "services": [GOOD, BAD]}
    # discover's next run writes the very same page
    assert report.page(PLAN, parity=report_parity.loads((tmp_path / "web1.parity.json").read_text(encoding="utf-8"))) == text
    assert not compare({"services": [BAD]}, dir=str(tmp_path))["changed"]
    assert compare({"services": [{**BAD, "differences": []}]}, dir=str(tmp_path))["changed"]
    assert "GET /&lt;b&gt;" not in page.read_text(encoding="utf-8") and "access log 2" in page.read_text(encoding="utf-8")


def test_nothing_is_written_where_nothing_was_compared_or_without_a_place(tmp_path: Path) -> None:
    assert not compare({"services": []}, dir=str(tmp_path)).get("changed")
    assert not compare({"services": [GOOD]}).get("changed")
    assert not list(tmp_path.iterdir())
    assert compare({"services": [GOOD]}, dir=str(tmp_path), host="a/b")["changed"]
    assert [path.name for path in tmp_path.iterdir()] == ["a_b.parity.json"]


def test_a_file_that_is_not_ours_tells_nothing() -> None:
    assert [report_parity.loads(text) for text in (None, "", "x", "[]", '{"services": [1]}', '{"services": [{"service": 1}]}')] == [[]] * 6
    assert report_parity.put("<p>another page</p>", [GOOD]) == "<p>another page</p>"
