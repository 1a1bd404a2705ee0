# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files of ours among files of others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Dict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files as own

MINE = "# " + own.MARK + "\n"


def target(text: str) -> own.Target:
    return own.Target(MINE + text, 0o644, os.getuid(), os.getgid())


def test_plan() -> None:
    a, b, c = target("a"), target("b"), target("c")
    changes = own.plan({"/a": a, "/b": b, "/c": c}, {"/a": a, "/b": c, "/d": a}, {})
    assert changes == [own.Change("/b", c, b), own.Change("/c", None, c), own.Change("/d", a, None)]


def test_files_of_others_are_refused() -> None:
    with pytest.raises(WebstackError, match="^/a is there already and is not a file of gantry.webstack"):
        own.plan({"/a": target("a")}, {}, {"/a": own.Target("theirs")})


def test_only_marked_files_are_ours(tmp_path: Path) -> None:
    (tmp_path / "webstack-a.conf").write_text(MINE)
    (tmp_path / "webstack-b.conf").write_text("theirs\n" + MINE)
    (tmp_path / "other.conf").write_text(MINE)
    (tmp_path / "webstack-c.conf").symlink_to(tmp_path / "webstack-a.conf")
    assert list(own.ours_in(str(tmp_path), "webstack-", ".conf")) == [str(tmp_path / "webstack-a.conf")]
    assert own.ours_in(str(tmp_path / "none")) == {}
    assert list(own.others_at([str(tmp_path / "webstack-b.conf"), str(tmp_path / "none")])) == [str(tmp_path / "webstack-b.conf")]


FILES = st.dictionaries(st.sampled_from("abcdef"), st.text("xyz\n", max_size=5), max_size=6)


@given(FILES, FILES)
def test_applied_then_settled_put_back_then_as_before(tmp_path_factory: pytest.TempPathFactory, before: Dict[str, str], after: Dict[str, str]) -> None:
    directory = tmp_path_factory.mktemp("files")
    for name, text in before.items():
        (directory / name).write_text(MINE + text)
        os.utime(directory / name, (1000, 1000))
    desired = {str(directory / name): target(text) for name, text in after.items()}
    transaction = own.Transaction()
    changes = own.plan(desired, own.ours_in(str(directory)), {})
    for change in changes:
        transaction.apply(change)
    assert own.ours_in(str(directory)) == desired
    assert own.plan(desired, own.ours_in(str(directory)), {}) == []
    assert sorted(transaction.put_back()) == sorted(change.path for change in changes)
    assert {path.name: path.read_text() for path in directory.iterdir()} == {name: MINE + text for name, text in before.items()}
    assert all(path.stat().st_mtime == 1000 for path in directory.iterdir())


def test_a_refusing_file_system_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(WebstackError, match="could not be written: Not a directory"):
        own.Transaction().apply(own.Change(str(tmp_path / "file" / "x"), None, target("")))
