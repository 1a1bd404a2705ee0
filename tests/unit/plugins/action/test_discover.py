# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The action plugin: real, again, check, reuse; what it says when it cannot."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from ansible.playbook.task import Task

from ansible_collections.gantry.webstack.plugins.action.discover import ActionModule

EVIDENCE = json.loads((Path(__file__).parents[2] / "fixtures" / "evidence" / "bookworm.json").read_text(encoding="utf-8"))


def discover(found: dict[str, Any], check: bool = False, kept: dict[str, str] | None = None, **options: Any) -> dict[str, Any]:
    """Run the plugin with a target that answers ``found``, and that keeps files in ``kept``."""
    def execute(module_name: str, module_args: dict[str, Any], task_vars: Any) -> dict[str, Any]:
        if module_name != "gantry.webstack.plan_files":
            return found
        assert kept is not None
        if module_args.get("files") is None:
            return {"files": dict(kept)}
        changed = any(kept.get(name) != text for name, text in module_args["files"].items())
        kept.update({} if check else module_args["files"])
        return {"changed": changed}

    task = MagicMock(Task)
    task.async_val, task.args, task.check_mode, task.action = 0, options, check, "gantry.webstack.discover"
    plugin = ActionModule(task, MagicMock(), MagicMock(), MagicMock(), MagicMock(), MagicMock())
    plugin._execute_module = MagicMock(side_effect=execute)
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
    assert sorted(path.name for path in (tmp_path / "plans").iterdir()) == [".discovered", "index.html", "plan.schema.json", "web1.html", "web1.yml"]
    assert (tmp_path / "plans/.discovered/web1.yml").read_text(encoding="utf-8") == text


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


def change(path: Path, old: str, new: str) -> str:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")
    return path.read_text(encoding="utf-8")


def grown(blog: dict[str, Any]) -> dict[str, Any]:
    """The recorded evidence with some facts of the blog changed."""
    data = copy.deepcopy(EVIDENCE)
    next(item for item in data["instances"] if item["name"] == "blog").update(blog)
    return {"evidence": data}


def test_edits_survive_and_conflicts_are_shown(tmp_path: Path) -> None:
    answer = {"evidence": EVIDENCE}
    path = Path(discover(answer, dir=str(tmp_path))["path"])
    change(path, "    health:\n", "    # asked by the balancer\n    health:\n")
    health = next(service for service in yaml.safe_load(path.read_text(encoding="utf-8"))["services"] if service["name"] == "blog")["health"]
    edited = change(path, f"path: {health['path']}\n      status: {health['status']}", f"path: /up\n      status: {health['status']}")
    looked = discover(answer, check=True, dir=str(tmp_path))
    assert looked["changed"] and path.read_text(encoding="utf-8") == edited
    kept = discover(answer, dir=str(tmp_path))
    text = path.read_text(encoding="utf-8")
    assert kept["conflicts"] == [] and [edit["place"] for edit in kept["edits"]] == ["services[blog].health.path"] and kept["diff"] == looked["diff"]
    assert "# asked by the balancer" in text and f"# discover: edited; found was {health['path']}" in text and "path: /up" in text
    assert "services[blog].health.path" in Path(kept["report"]).read_text(encoding="utf-8")
    again = discover(answer, dir=str(tmp_path))
    assert not again["changed"] and again["edits"] == kept["edits"] and path.read_text(encoding="utf-8") == text

    other = grown({"health": {"path": "/other", "status": 204}})
    looked = discover(other, check=True, dir=str(tmp_path))
    clash = discover(other, dir=str(tmp_path))
    place = {"place": "services[blog].health.path", "plan": "/up", "found": "/other", "before": health["path"]}
    assert looked["conflicts"] == clash["conflicts"] == [place] and clash["plan"]["services"][0]["health"] == {"path": "/up", "status": 204}
    assert clash["summary"][-1] == "  the plan differs from what was found at 1 edited place, 1 where the host has changed too"
    assert any("the plan says /up, discover found /other" in warning for warning in clash["warnings"])
    after = discover(other, dir=str(tmp_path))
    assert not after["changed"] and after["conflicts"] == [] and after["edits"] == [place | {"before": "/other"}]
    assert discover({}, dir=str(tmp_path), reuse=True)["plan"] == clash["plan"]


def test_a_plan_whose_last_version_is_not_known(tmp_path: Path) -> None:
    path = Path(discover({"evidence": EVIDENCE}, dir=str(tmp_path))["path"])
    (tmp_path / ".discovered/web1.yml").unlink()
    assert discover({"evidence": EVIDENCE}, dir=str(tmp_path))["conflicts"] == []
    (tmp_path / ".discovered/web1.yml").unlink()
    change(path, "version: 1.22.1", "version: 1.22.2")
    clash = discover({"evidence": EVIDENCE}, dir=str(tmp_path))
    assert [item["place"] for item in clash["conflicts"]] == ["edge.version"] and "not known" in clash["warnings"][0]
    assert clash["plan"]["edge"]["version"] == "1.22.2"


def test_the_index_has_each_plan_and_passes_over_what_is_none(tmp_path: Path) -> None:
    for host in ("web2", "web10", "index"):
        discover({"evidence": EVIDENCE}, dir=str(tmp_path), host=host)
    (tmp_path / "group_vars.yml").write_text("a: 1\n", encoding="utf-8")
    (tmp_path / "broken.yml").write_text("version: 1\nservices: 3\n", encoding="utf-8")
    (tmp_path / "web10.yml").unlink()
    (tmp_path / "latin.yml").write_bytes(b"services: \xff")
    (tmp_path / "folder.yml").mkdir()
    discover({"evidence": EVIDENCE}, dir=str(tmp_path), host="web2")
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'href="web2.html"' in page and 'href="index_.html"' in page and "cannot be read" in page and "group_vars" not in page and "web10" not in page
    assert not discover({"evidence": EVIDENCE}, dir=str(tmp_path), host="index")["changed"]


def test_a_damaged_plan_is_left_alone(tmp_path: Path) -> None:
    for text, why in (("services: [", "not YAML"), ("version: 1\nhost: web1\nservices: []\nedgy: 1\n", "unknown key 'edgy'")):
        (tmp_path / "web1.yml").write_text(text, encoding="utf-8")
        with pytest.raises(AnsibleActionFail, match=f"{why}.*remove the file"):
            discover({"evidence": EVIDENCE}, dir=str(tmp_path))
        assert (tmp_path / "web1.yml").read_text(encoding="utf-8") == text
    (tmp_path / "web1.yml").write_bytes(b"\xff")
    with pytest.raises(AnsibleActionFail, match="not UTF-8"):
        discover({"evidence": EVIDENCE}, dir=str(tmp_path))


def test_a_run_goes_on_where_another_control_node_has_ended(tmp_path: Path) -> None:
    answer, kept = {"evidence": EVIDENCE}, dict[str, str]()
    looked = discover(answer, check=True, kept=kept, store="host", dir=str(tmp_path / "a"))
    assert looked["changed"] and not kept and not list(tmp_path.iterdir())
    first = discover(answer, kept=kept, store="host", dir=str(tmp_path / "a"))
    assert first["changed"] and first["where"] == "host:/var/lib/webstack/.plans/web1.yml"
    assert sorted(kept) == [".discovered/web1.yml", "web1.html", "web1.yml"] and kept["web1.yml"] == Path(first["path"]).read_text(encoding="utf-8")
    kept["web1.yml"] = kept["web1.yml"].replace("version: 1.22.1", "version: 1.22.2  # as of tomorrow")
    edited = discover(answer, kept=kept, store="host", dir=str(tmp_path / "b"))
    assert edited["changed"] and [edit["place"] for edit in edited["edits"]] == ["edge.version"] and edited["conflicts"] == []
    assert "# discover: edited; found was 1.22.1" in kept["web1.yml"] and "as of tomorrow" in kept["web1.yml"]
    for check in (True, False):
        again = discover(answer, check=check, kept=kept, store="host", dir=str(tmp_path / "c"))
        assert not again["changed"] and "diff" not in again and (tmp_path / "c").exists() is not check
        reused = discover({"failed": True, "msg": "asked"}, check=check, kept=kept, store="host", dir=str(tmp_path / f"d{check}"), reuse=True)
        assert not reused["changed"] and reused["reused"] and reused["plan"]["edge"]["version"] == "1.22.2"
    assert (tmp_path / "dFalse/web1.html").exists() and not (tmp_path / "dTrue").exists()
