# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans that outlast the control node's disk: on the host, and in a real git repository."""

from __future__ import annotations

import stat
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _plan_files
from ansible_collections.gantry.webstack.plugins.plugin_utils import plan_git, plan_store

FILES = {"web1.yml": "version: 1\n", ".discovered/web1.yml": "version: 1\n", "web1.html": "<p>\n", "sbom/web1/shop.cdx.json": "{}\n"}


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the host keeps its plan."""
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "host"))
    monkeypatch.setattr(_paths, "PLANS_DIR", str(tmp_path / "host/.plans"))
    return tmp_path / "host/.plans"


def ask(args: dict[str, Any], check: bool = False) -> dict[str, Any]:
    """The module on the host."""
    module = MagicMock(params={"files": None, "before": "", **args}, check_mode=check)
    run = _plan_files.PlanFiles(module)
    try:
        run.run()
    except WebstackError as exc:
        return {"failed": True, "msg": str(exc)}
    return {"changed": run.changed, **run.result}


@pytest.fixture
def repo(tmp_path: Path) -> str:
    subprocess.run(["git", "init", "--quiet", "--bare", "--initial-branch=main", str(tmp_path / "plans.git")], check=True)
    return f"file://{tmp_path}/plans.git"


def sync(folder: Path, wanted: Any, host: str = "web1", check: bool = False) -> plan_store.Sync:
    return plan_store.Sync(str(folder), host, plan_store.store(wanted, {}, host, lambda args: ask(args, check)), check)


def texts(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("kind", ["host", "git"])
def test_another_control_node_goes_on(kind: str, root: Path, repo: str, tmp_path: Path) -> None:
    wanted: Any = "host" if kind == "host" else {"repo": repo, "branch": "plans", "path": "production"}
    first = sync(tmp_path / "a", wanted)
    first.take()
    assert first.read("web1.yml") is None
    looked = sync(tmp_path / "a", wanted, check=True)
    looked.take()
    assert looked.keep(FILES) and not root.exists() and not (tmp_path / "a").exists()
    empty = sync(tmp_path / "x", wanted)
    empty.take()
    assert empty.files == {}
    assert first.keep(FILES) and not first.keep(FILES)
    second = sync(tmp_path / "b", wanted)
    second.take()
    assert {name: text for name, text in texts(tmp_path / "b").items() if not name.startswith(".stored")} == FILES
    assert second.read("web1.yml") == "version: 1\n" and not second.keep(FILES)
    assert second.keep({**FILES, "web1.yml": "version: 1 # edited\n"})
    third = sync(tmp_path / "a", wanted, check=True)
    third.take()  # it has the former plan, unedited
    assert third.read("web1.yml") == "version: 1 # edited\n" and not (tmp_path / "a/web1.yml").exists()


def test_the_host_keeps_it_for_root_alone(root: Path) -> None:
    assert ask({"host": "web1", "files": FILES}, check=True)["changed"] and not root.exists()
    assert ask({"host": "web1", "files": FILES})["changed"] and not ask({"host": "web1", "files": FILES})["changed"]
    assert stat.S_IMODE(root.stat().st_mode) == 0o700 and stat.S_IMODE((root / "web1.yml").stat().st_mode) == 0o600
    assert ask({"host": "web1"})["files"] == FILES and ask({"host": "web2"})["files"] == {}
    for name in ("../web1.yml", "/etc/passwd", "sbom/../web1.yml", "other/web1.yml"):
        assert "no name of a plan's file" in ask({"host": "web1", "files": {name: ""}})["msg"]


def test_an_edit_here_is_handed_on_and_one_there_is_taken_over(root: Path, tmp_path: Path) -> None:
    first = sync(tmp_path / "a", "host")
    first.take()
    first.keep(FILES)
    plan = tmp_path / "a/web1.yml"
    plan.parent.mkdir(exist_ok=True)
    plan.write_text("here: 1\n", encoding="utf-8")
    again = sync(tmp_path / "a", "host")
    again.take()
    assert again.read("web1.yml") == "here: 1\n" and again.keep(again.files)
    (root / "web1.yml").write_text("there: 1\n", encoding="utf-8")
    again = sync(tmp_path / "a", "host")
    again.take()
    assert plan.read_text(encoding="utf-8") == "there: 1\n"
    plan.write_text("here: 2\n", encoding="utf-8")
    (root / "web1.yml").write_text("there: 2\n", encoding="utf-8")
    with pytest.raises(plan_store.StoreError, match=r"a/web1.yml and host:.*/\.plans/web1.yml are different plans.*remove the file here"):
        sync(tmp_path / "a", "host").take()
    assert (plan.read_text(encoding="utf-8"), (root / "web1.yml").read_text(encoding="utf-8")) == ("here: 2\n", "there: 2\n")


@pytest.mark.parametrize("kind", ["host", "git"])
def test_what_somebody_else_has_changed_is_not_replaced(kind: str, root: Path, repo: str, tmp_path: Path) -> None:
    wanted = "host" if kind == "host" else repo
    runs = [sync(tmp_path / name, wanted) for name in "ab"]
    for run in runs:
        run.take()
    assert runs[0].keep(FILES)
    with pytest.raises(plan_store.StoreError, match="web1.yml was changed by somebody else since this run has read it; run again"):
        runs[1].store.save({"web1.yml": "other\n"}, "", False)  # type: ignore[union-attr]
    fresh = sync(tmp_path / "c", wanted)
    fresh.take()
    assert fresh.read("web1.yml") == "version: 1\n"


def test_what_is_beside_the_plan_is_handed_on_at_the_end(root: Path, tmp_path: Path) -> None:
    run = sync(tmp_path / "a", "host")
    run.take()
    assert run.keep({"web1.yml": "version: 1\n"})
    (tmp_path / "a").mkdir(exist_ok=True)
    (tmp_path / "a/web1.yml").write_text("version: 1\n", encoding="utf-8")
    (tmp_path / "a/web1.parity.json").write_text("{}\n", encoding="utf-8")
    end = sync(tmp_path / "a", "host")
    assert end.keep() and not sync(tmp_path / "a", "host").keep()
    assert (root / "web1.parity.json").read_text(encoding="utf-8") == "{}\n"


def test_many_hosts_push_at_the_same_time(repo: str, tmp_path: Path) -> None:
    def hand_on(number: int) -> None:
        host = f"web{number}"
        store = plan_git.GitStore(plan_git.Place(repo), {}, host)
        store.load()
        assert store.save({f"{host}.yml": f"host: {host}\n"}, "", False)
        store.close()

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(hand_on, range(6)))
    log = subprocess.run(["git", "-C", repo.removeprefix("file://"), "log", "--format=%an %s", "main"], check=True, capture_output=True, text=True).stdout
    assert sorted(log.splitlines()) == [f"gantry.webstack Plan of web{number}" for number in range(6)]


@pytest.mark.parametrize(("wanted", "auth", "why"), [
    ("hots", {}, "webstack_plan_store is 'hots'; it has to be host, the URL"),
    ({"repository": "x"}, {}, "unknown key repository, repo is missing; known keys are author, branch, path, repo"),
    ("https://ops:hunter2@git.example.org/plans.git", {}, r"'https://\*\*\*@git.example.org/plans.git' holds a password; give it in webstack_plan_store_auth"),
    ({"repo": "git@git.example.org:plans.git", "path": "../x"}, {}, "path '../x' must be a directory inside"),
    ("git@git.example.org:plans.git#--upload", {}, "branch '--upload' is no name"),
    ({"repo": "a:b", "author": "me"}, {}, "author 'me' is not of the form"),
    ("a:b", {"key": "x"}, "webstack_plan_store_auth: unknown key key; known keys are key_file"),
])
def test_one_clear_sentence(wanted: Any, auth: dict[str, str], why: str) -> None:
    with pytest.raises(plan_store.StoreError, match=why) as caught:
        plan_store.store(wanted, auth, "web1", ask)
    assert "hunter2" not in str(caught.value)


def test_a_repository_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(plan_store.StoreError, match=r"the plan store file:///nowhere/plans.git#main:web1.yml cannot be used: git ls-remote: fatal: "):
        plan_git.GitStore(plan_git.Place("file:///nowhere/plans.git"), {}, "web1").load()


def test_credentials_reach_git_by_its_environment_alone() -> None:
    env = plan_git.environment(plan_git.Place("a:b"), {"key_file": "/k", "known_hosts_file": "/h", "username": "ops", "password": "hunter2"})
    assert env["GIT_SSH_COMMAND"] == "ssh -o BatchMode=yes -i /k -o IdentitiesOnly=yes -o UserKnownHostsFile=/h"
    done = subprocess.run(["git", "credential", "fill"], input="protocol=https\nhost=git.example.org\n\n", env=env, capture_output=True, text=True, check=True)
    assert "username=ops\npassword=hunter2\n" in done.stdout and not any("hunter2" in value for key, value in env.items() if key.startswith("GIT_"))
