# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sources: found where the user means them, packed to the same bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install import _tree, _webapp_releases
from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack


def tree(root: Path) -> Path:
    (root / "d").mkdir(parents=True)
    (root / "d" / "a.py").write_text("x")
    (root / "run").write_text("#!/bin/sh\n")
    (root / "run").chmod(0o700)
    (root / "link").symlink_to("d/a.py")
    return root


def test_the_same_source_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = tree(tmp_path / "one"), tree(tmp_path / "two")
    os.utime(two / "run", (5, 5))
    (two / "d" / "__pycache__").mkdir()
    packs = []
    for root in (one, two):
        source_pack.pack(root, _tree.scan(str(root)), tmp_path / "pack")
        packs.append((tmp_path / "pack").read_bytes())
    assert packs[0] == packs[1]


def test_packed_and_unpacked_it_is_the_same(tmp_path: Path) -> None:
    entries = _tree.scan(str(tree(tmp_path / "one")))
    source_pack.pack(tmp_path / "one", entries, tmp_path / "pack")
    (tmp_path / "out").mkdir()
    _webapp_releases.unpack(str(tmp_path / "pack"), str(tmp_path / "out"))
    assert _tree.scan(str(tmp_path / "out")) == entries
    assert (tmp_path / "out" / "run").stat().st_mode & 0o777 == 0o755


def test_find(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "x").mkdir(parents=True)
    (tmp_path / "there" / "y").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    base = str(tmp_path / "there")
    assert source_pack.find("x", base) == tmp_path / "here" / "x"
    assert source_pack.find("y", base) == tmp_path / "there" / "y"
    assert source_pack.find("z", base) == tmp_path / "here" / "z"
    assert source_pack.find(str(tmp_path), base) == tmp_path


def test_summary() -> None:
    assert source_pack.summary("a", {"a": "f 1", "b": "f 2"}, {"b": "f 1", "c": "f 1"}) == "add a\nchange b\nremove c\n"
    assert source_pack.summary("a", {str(number): "f 1" for number in range(9)}, {}, most=2) == "add 0\nadd 1\nand 7 more\n"
