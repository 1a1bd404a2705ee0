# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Crontabs, tmpfiles.d and the code at its place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _tree
from ansible_collections.gantry.webstack.plugins.module_utils.install import _webapp_files as files
from ansible_collections.gantry.webstack.plugins.module_utils.move import _cron
from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack

JOBS = [{"when": "*/5 * * * *", "user": "shop", "command": "/srv/shop/tick --now"}, {"when": "@daily", "user": "root", "command": "/bin/true"}]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(os, "fchown", lambda *args: None)


def test_crontab() -> None:
    text = files.crontab("shop", JOBS, {"A": "b c", "Q": ' "x" ', "S": "'y'", "PATH": "/venv/bin"})
    assert text.splitlines()[1:] == [
        "SHELL=/bin/sh", "PATH=/venv/bin", "A=b c", "Q=' \"x\" '", "S=\"'y'\"", "*/5 * * * * shop /srv/shop/tick --now", "@daily root /bin/true"]
    assert [tuple(job) for job in map(_cron.parse_line, text.splitlines()) if job] == [tuple(job.values()) for job in JOBS]


def test_tmpfiles() -> None:
    assert files.tmpfiles("shop", "/run/uwsgi/shop", "shop", "www-data").splitlines()[1:] == ["d /run/uwsgi/shop 2750 shop www-data -"]
    assert files.on_tmpfs("/run/x") and files.on_tmpfs("/var/run/x") and not files.on_tmpfs("/srv/run/x")


def write(root: Path, texts: Dict[str, str]) -> None:
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def packed(tmp_path: Path, texts: Dict[str, str]) -> tuple:
    source = tmp_path / f"source{len(list(tmp_path.iterdir()))}"
    source.mkdir()
    write(source, texts)
    entries = _tree.scan(str(source))
    pack = tmp_path / (source.name + ".tar.gz")
    source_pack.pack(source, entries, pack)
    return str(pack), _tree.digest_of(entries)


def test_code_becomes_its_source_and_keeps_its_state(tmp_path: Path) -> None:
    place = tmp_path / "srv" / "code"
    place.parent.mkdir()
    files.CodeTree("shop", str(place), []).replace(*packed(tmp_path, {"a.py": "1", "old/x.py": "1", "old/y/z.py": "1", "kept/b.py": "1", "dir/c": "1"}))
    write(place, {"var/db": "state", "kept/__pycache__/b.pyc": "", "old/__pycache__/x.pyc": "", "venv/bin/python": ""})
    inode = (place / "kept/b.py").stat().st_ino
    pack, digest = packed(tmp_path, {"a.py": "2", "kept/b.py": "1", "dir": "now a file", "new/d.py": "1"})
    tree = files.CodeTree("shop", str(place), [str(place / "var"), str(place / "venv")])
    assert tree.digest != digest
    tree.replace(pack, digest)
    assert files.CodeTree("shop", str(place), [str(place / "var"), str(place / "venv")]).digest == digest
    assert (place / "a.py").read_text() == "2" and (place / "var/db").read_text() == "state" and (place / "venv/bin/python").exists()
    assert not (place / "old").exists()
    assert (place / "kept/b.py").stat().st_ino == inode
    files.settle("shop")
    assert [path.name for path in place.parent.iterdir()] == ["code"]


def test_damaged_code_changes_nothing(tmp_path: Path) -> None:
    place = tmp_path / "srv" / "code"
    write(place, {"a.py": "1"})
    pack, dummy = packed(tmp_path, {"a.py": "2"})
    with pytest.raises(WebstackError, match="^service shop: its code arrived damaged$"):
        files.CodeTree("shop", str(place), []).replace(pack, "0" * 64)
    assert (place / "a.py").read_text() == "1"


def test_a_file_never_replaces_a_directory_with_state(tmp_path: Path) -> None:
    place = tmp_path / "srv" / "code"
    write(place, {"var/db": "state"})
    pack, digest = packed(tmp_path, {"var": "a file"})
    with pytest.raises(WebstackError, match="a directory with state in it"):
        files.CodeTree("shop", str(place), [str(place / "var")]).replace(pack, digest)
    assert (place / "var/db").read_text() == "state"


FORMER = {"a.py": "1", "old/x.py": "1", "kept/b.py": "1"}
LATTER = {"a.py": "2", "kept/b.py": "1", "new/d.py": "1"}


def test_code_that_does_not_serve_is_put_back_to_the_letter(tmp_path: Path) -> None:
    place = tmp_path / "srv" / "code"
    place.parent.mkdir()
    pack, digest = packed(tmp_path, FORMER)
    files.CodeTree("shop", str(place), []).replace(pack, digest)
    files.settle("shop")
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*.py")}
    files.CodeTree("shop", str(place), []).replace(*packed(tmp_path, LATTER))
    assert (place / "a.py").read_text() == "2"
    assert files.put_back("shop")
    assert files.CodeTree("shop", str(place), []).digest == digest
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*.py")} == before
    assert [path.name for path in place.parent.iterdir()] == ["code"]
    assert not files.put_back("shop")


def test_code_that_serves_stays(tmp_path: Path) -> None:
    place = tmp_path / "srv" / "code"
    place.parent.mkdir()
    files.CodeTree("shop", str(place), []).replace(*packed(tmp_path, FORMER))
    pack, digest = packed(tmp_path, LATTER)
    files.CodeTree("shop", str(place), []).replace(pack, digest)
    files.settle("shop")
    assert not files.put_back("shop")
    assert files.CodeTree("shop", str(place), []).digest == digest
    assert [path.name for path in place.parent.iterdir()] == ["code"]


def test_the_first_code_that_does_not_serve_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "srv" / "code"
    place.parent.mkdir()
    files.CodeTree("shop", str(place), []).replace(*packed(tmp_path, FORMER))
    assert files.put_back("shop")
    assert list(place.iterdir()) == []
