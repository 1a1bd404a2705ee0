# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Code trees: the same by content, whatever the place."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.install import _tree

NAMES = st.sampled_from(["a", "b.py", "d/a", "d/e/f", "g/x"])


def write(root: Path, files: Dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


@given(st.dictionaries(NAMES, st.sampled_from(["", "1", "2"])), st.dictionaries(NAMES, st.sampled_from(["", "1", "2"])))
def test_digests_are_equal_when_the_content_is(tmp_path_factory: pytest.TempPathFactory, one: Dict[str, str], two: Dict[str, str]) -> None:
    roots = [tmp_path_factory.mktemp("tree") for dummy in range(2)]
    write(roots[0], one)
    write(roots[1], two)
    entries = [_tree.scan(str(root)) for root in roots]
    assert (_tree.digest_of(entries[0]) == _tree.digest_of(entries[1])) == (one == two)
    writes, removes = _tree.difference(entries[0], entries[1])
    assert set(writes) == {name for name in one if two.get(name) != one[name]}
    assert set(removes) == set(two) - set(one)


def test_what_counts(tmp_path: Path) -> None:
    write(tmp_path, {"a.py": "x", "run": "x", "__pycache__/a.pyc": "", "old.pyc": "", ".git/HEAD": "", ".hidden": "x", "var/up/load": "x", "var/keep": "x"})
    (tmp_path / "run").chmod(0o755)
    (tmp_path / "link").symlink_to("a.py")
    (tmp_path / "dirlink").symlink_to("var")
    (tmp_path / "empty").mkdir()
    os.mkfifo(tmp_path / "pipe")
    entries = _tree.scan(str(tmp_path), ["var/up"])
    assert {name: entry[0] for name, entry in entries.items()} == {"a.py": "f", "run": "x", ".hidden": "f", "link": "l", "dirlink": "l", "var/keep": "f"}
    assert entries["dirlink"] == "l var"
    assert _tree.scan(str(tmp_path / "none")) == {}


def test_inside() -> None:
    assert _tree.inside(["/srv/a/b/", "/srv/a", "/srv/ab", "/srv/a/./c/d"], "/srv/a/") == ["b", "c/d"]
