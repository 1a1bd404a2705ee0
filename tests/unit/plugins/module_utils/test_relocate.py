# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Directories that are built beside what they replace."""

from __future__ import annotations

import base64
import hashlib
import os
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install import _relocate


@pytest.mark.parametrize("path", ["/srv/shop/venv", "/srv/v", "/srv/x~", "/srv/shop/venvs/0a1b2c"])
def test_beside_is_a_neighbour_of_the_same_length(path: str) -> None:
    other = _relocate.beside(path)
    assert other != path and len(other) == len(path) and os.path.dirname(other) == os.path.dirname(path)


def test_change_paths(tmp_path: Path) -> None:
    staged, path = tmp_path / "ven~", tmp_path / "venv"
    site = staged / "lib" / "python3.11" / "site-packages"
    info = site / "a-1.dist-info"
    info.mkdir(parents=True)
    (staged / "bin").mkdir()
    script = staged / "bin" / "a"
    script.write_text(f"#!{staged}/bin/python\n")
    script.chmod(0o755)
    (tmp_path / "cache").write_text(f"home {staged}\n")
    os.link(tmp_path / "cache", staged / "linked")
    (staged / "binary").write_bytes(b"\0" + str(staged).encode() + b"\0")
    os.utime(script, (1, 2))
    (info / "RECORD").write_text("../../../bin/a,sha256=old,12\na.py,sha256=same,1\na-1.dist-info/RECORD,,\n")
    _relocate.change_paths(str(staged), str(path))
    assert script.read_text() == f"#!{path}/bin/python\n"
    assert (script.stat().st_mode & 0o777, script.stat().st_mtime) == (0o755, 2)
    assert (staged / "binary").read_bytes() == b"\0" + str(path).encode() + b"\0"
    assert (tmp_path / "cache").read_text() == f"home {staged}\n" and (staged / "linked").read_text() == f"home {path}\n"
    digest = base64.urlsafe_b64encode(hashlib.sha256(script.read_bytes()).digest()).rstrip(b"=").decode()
    assert (info / "RECORD").read_text() == f"../../../bin/a,sha256={digest},12\na.py,sha256=same,1\na-1.dist-info/RECORD,,\n"
    with pytest.raises(ValueError, match="not of one length"):
        _relocate.change_paths(str(staged), str(path) + "x")


@pytest.mark.parametrize("exchanges", [True, False])
def test_put(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool) -> None:
    if not exchanges:
        monkeypatch.setattr(_relocate, "_exchange", lambda one, other: False)
    path, staged = tmp_path / "venv", tmp_path / "ven~"
    for text in ("one", "two"):
        staged.mkdir()
        (staged / "state").write_text(text)
        _relocate.put(str(staged), str(path))
        assert (path / "state").read_text() == text
        assert [entry.name for entry in tmp_path.iterdir()] == ["venv"]


def test_recover(tmp_path: Path) -> None:
    (tmp_path / "ven~").mkdir()
    (tmp_path / "ven~.former").mkdir()
    (tmp_path / "ven~.former" / "state").write_text("one")
    _relocate.recover(str(tmp_path / "venv"))
    assert [entry.name for entry in tmp_path.iterdir()] == ["venv"]
    assert (tmp_path / "venv" / "state").read_text() == "one"
    _relocate.recover(str(tmp_path / "venv"))
    assert (tmp_path / "venv" / "state").read_text() == "one"
