# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Interpreter trees: unpacked, proven, replaced, removed; and what is refused before anything is touched."""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from pathlib import Path
from typing import Any, Dict, List, Optional
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _interpreters, _python_trees
from ansible_collections.gantry.webstack.plugins.module_utils.install._interpreters import Found

SHA = "0" * 64


@pytest.mark.parametrize(("tree", "message"), [
    ({"version": "3.12"}, "version '3.12' is not a whole one"),
    ({"version": "3.12.1", "sha256": "abc"}, r"python_trees\[3\.12\.1\]\.sha256: 'abc' is not 64"),
    ({"version": "3.12.1", "prefix": "/opt"}, "'/opt' is not a directory of its own"),
    ({"version": "3.12.2", "prefix": "/opt/py/3.11.1/x"}, "in each other's way"),
])
def test_complete_refuses(tree: Dict[str, Any], message: str) -> None:
    with pytest.raises(WebstackError, match=message):
        _python_trees.complete([{"version": "3.11.1", "sha256": SHA, "prefix": "/opt/py/3.11.1"}, {"sha256": SHA, **tree}])


def test_complete() -> None:
    assert _python_trees.complete([{"version": "3.11.1", "sha256": "A" * 64}]) == [
        {"version": "3.11.1", "sha256": "a" * 64, "prefix": "/opt/webstack/python/3.11.1"}]


class Host:
    """A host below a directory, whose interpreters are files that hold their version."""

    def __init__(self, top: Path) -> None:
        self.top, self.warnings = top, []  # type: ignore[var-annotated]

    def archive(self, version: str, told: Optional[str] = None, name: str = "bin/python3.12") -> Dict[str, Any]:
        made = self.top / f"made-{version}-{told}"
        (made / "python" / name).parent.mkdir(parents=True)
        (made / "python" / name).write_text(told or version)
        path = self.top / f"{made.name}.tar.gz"
        with tarfile.open(path, "w:gz") as archive:
            archive.add(made, "")
        return {"version": version, "archive": str(path), "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "prefix": str(self.top / "trees" / version)}

    def run(self, trees: List[Dict[str, Any]], check: bool = False, packs: bool = True, wanted: Any = ()) -> _python_trees.PythonTrees:
        module = MagicMock()
        module.check_mode = check
        module.warn = self.warnings.append
        sent = [{"sha256": tree["sha256"], "path": tree["archive"]} for tree in trees] if packs else []
        module.params = {"trees": trees, "wanted": list(wanted), "packages": ["python3", "python3.13"], "packs": sent}
        shell = _python_trees.PythonTrees(module)
        shell.run()
        return shell


@pytest.fixture(name="host")
def a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_python_trees, "host_lock", contextlib.nullcontext)
    monkeypatch.setattr(_paths, "TREES", str(tmp_path / "state" / "trees.json"))
    monkeypatch.setattr(_interpreters, "_LOOKED_IN", ())
    monkeypatch.setattr(_interpreters, "offered_packages", lambda: {"python3.13": "3.13.5"})
    monkeypatch.setattr(_interpreters, "version_of", lambda path: Path(path).read_text() if Path(path).is_file() else None)
    monkeypatch.setattr(_python_trees, "_SEARCHED", (str(tmp_path / "srv"),))
    monkeypatch.setattr(_python_trees._journal, "replace_file", lambda path, text, mode: Path(path).write_text(text))

    def run(argv: List[str], **told: Any) -> Any:
        return MagicMock(stdout=Path(argv[0]).read_text())

    monkeypatch.setattr(_python_trees, "run", run)
    return Host(tmp_path)


def test_check_ask_real_check_real(host: Host) -> None:
    tree = host.archive("3.12.4")
    assert host.run([tree], check=True, packs=False).changed and not (host.top / "trees").exists()
    assert host.run([tree], packs=False).result["archives_needed"] == [tree["sha256"]]
    real = host.run([tree])
    assert (real.changed, real.result["unpacked"]) == (True, [tree["prefix"]])
    assert (Path(tree["prefix"]) / "bin" / "python3.12").read_text() == "3.12.4"
    for check in (True, False):
        again = host.run([tree], check=check, packs=False)
        assert not again.changed and "archives_needed" not in again.result
    assert sorted(path.name for path in (host.top / "trees").iterdir()) == ["3.12.4"]


def test_side_by_side_and_removed(host: Host) -> None:
    one, two = host.archive("3.12.4"), host.archive("3.12.5")
    host.run([one, two])
    venv = host.top / "srv" / "shop" / "venv"
    venv.mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text(f"home = {one['prefix']}/bin\nversion = 3.12.4\n")
    kept = host.run([], check=True)
    assert (kept.result["kept"], kept.result["removed"], Path(two["prefix"]).exists()) == ([one["prefix"]], [two["prefix"]], True)
    host.run([])
    assert Path(one["prefix"]).exists() and not Path(two["prefix"]).exists()
    assert f"the virtual environment {venv}" in host.warnings[-1]
    (venv / "pyvenv.cfg").unlink()
    assert host.run([]).changed and not Path(one["prefix"]).exists()
    assert not host.run([]).changed


def test_a_tree_that_was_broken_comes_back(host: Host) -> None:
    tree = host.archive("3.12.4")
    host.run([tree])
    (Path(tree["prefix"]) / "bin" / "python3.12").unlink()
    assert host.run([tree], packs=False).result["archives_needed"] == [tree["sha256"]]
    assert host.run([tree]).changed and (Path(tree["prefix"]) / "bin" / "python3.12").exists()


@pytest.mark.parametrize(("told", "name", "message"), [
    ("3.12.3", "bin/python3.12", "its interpreter is Python 3.12.3, not 3.12.4; what was there is as it was"),
    (None, "deep/er/bin/python3.12", "it has no bin/python3.12 at its top or up to two directories below"),
])
def test_an_archive_that_is_not_what_it_says_changes_nothing(host: Host, told: Optional[str], name: str, message: str) -> None:
    good = host.archive("3.12.4")
    host.run([good])
    bad = {**host.archive("3.12.4", told or "3.12.4", name), "prefix": good["prefix"]}
    with pytest.raises(WebstackError, match=message):
        host.run([bad])
    assert not host.run([good], packs=False).changed
    assert [path.name for path in (host.top / "trees").iterdir()] == ["3.12.4"]
    with pytest.raises(WebstackError, match=message):
        host.run([good, {**bad, "prefix": str(host.top / "trees" / "other")}])
    assert _interpreters.prefixes() == [good["prefix"]]


def test_a_wrong_digest_is_refused(host: Host) -> None:
    with pytest.raises(WebstackError, match="its sha256 is .*, not 0000"):
        host.run([{**host.archive("3.12.4"), "sha256": SHA}])


def test_a_directory_of_somebody_else_is_left_alone(host: Host) -> None:
    tree = host.archive("3.12.4")
    Path(tree["prefix"]).mkdir(parents=True)
    (Path(tree["prefix"]) / "photos").touch()
    with pytest.raises(WebstackError, match="is there and is no interpreter tree of this collection"):
        host.run([tree], check=True)


def test_what_is_wanted(host: Host) -> None:
    tree = host.archive("3.12.4")
    host.run([tree], check=True, wanted=[{"name": "shop", "version": "3.12", "origin": "tree"}, {"name": "blog", "version": "3.13"}])
    with pytest.raises(WebstackError, match=r"^service shop: Python 3\.11 is not on this host; there are .*3\.12\.4\).*the distribution offers python3\.13"):
        host.run([tree], wanted=[{"name": "shop", "version": "3.11"}])
    assert not (host.top / "trees").exists()


def test_a_tree_that_goes_is_not_there_for_who_wants_it(host: Host) -> None:
    host.run([host.archive("3.12.4")])
    with pytest.raises(WebstackError, match=r"^service shop: Python 3\.12 is not on this host; there are /usr/bin/python3\.13 \(3\.13\.5\);"):
        host.run([], wanted=[{"name": "shop", "version": "3.12"}])


def test_goes() -> None:
    there = {"/opt/a/bin/python3.12": Found("3.12.4", "tree")}
    assert [path for path in there if _python_trees._goes(path, [], {"/opt/a": ["process 1"]})] == []
    assert [path for path in there if _python_trees._goes(path, [], {"/opt/a": []})] == list(there)
