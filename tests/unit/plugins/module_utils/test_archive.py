# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives: every format, and nothing outside the directory."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
import zipfile
from pathlib import Path
from typing import Any, Dict

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _archive


def make(path: Path, mode: Any, **members: Dict[str, Any]) -> Path:
    """A tar of ``members``: name -> what its TarInfo has, ``content`` aside."""
    with tarfile.open(path, mode) as archive:
        for name, told in members.items():
            info = tarfile.TarInfo(told.get("name", name))
            content = told.get("content", b"")
            info.size, info.mode, info.mtime = len(content), told.get("mode", 0o644), 1700000000
            info.type, info.linkname = told.get("type", tarfile.REGTYPE), told.get("linkname", "")
            archive.addfile(info, io.BytesIO(content))
    return path


GOOD: Dict[str, Dict[str, Any]] = {
    "python": {"name": "./python/bin/python3.12", "content": b"ELF", "mode": 0o4777},
    "link": {"name": "python/bin/python3", "type": tarfile.SYMTYPE, "linkname": "python3.12"},
    "hard": {"name": "python/bin/python", "type": tarfile.LNKTYPE, "linkname": "python/bin/python3.12"},
    "lib": {"name": "python/lib/os.py", "content": b"pass"},
}


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz", "zst", "zip"])
def test_formats(tmp_path: Path, mode: str) -> None:
    archive, target = tmp_path / "archive", tmp_path / "target"
    target.mkdir()
    if mode == "zip":
        with zipfile.ZipFile(archive, "w") as opened:
            for name, content, bits in (("python/bin/python3.12", "ELF", 0o104755), ("python/bin/python3", "python3.12", 0o120777),
                                        ("python/lib/os.py", "pass", 0o100644)):
                info = zipfile.ZipInfo(name)
                info.external_attr = bits << 16
                opened.writestr(info, content)
    elif mode == "zst":
        if shutil.which("zstd") is None:
            pytest.skip("no zstd here")
        subprocess.run(["zstd", "-q", str(make(tmp_path / "plain", "w", **GOOD)), "-o", str(archive)], check=True)
    else:
        make(archive, mode, **GOOD)
    _archive.unpack(str(archive), str(target))
    python = target / "python" / "bin" / "python3"
    assert python.is_symlink() and python.read_bytes() == b"ELF"
    assert python.stat().st_mode & 0o7777 == 0o755 and (target / "python" / "lib" / "os.py").stat().st_mode & 0o7777 == 0o644
    assert _archive.find_root(str(target), "3.12") == str(target / "python")
    if mode != "zip":
        assert (target / "python" / "lib" / "os.py").stat().st_mtime == 1700000000


@pytest.mark.parametrize(("member", "message"), [
    ({"name": "/etc/passwd", "content": b"x"}, "'/etc/passwd' leads out"),
    ({"name": "a/../../x", "content": b"x"}, "leads out"),
    ({"name": "a/link", "type": tarfile.SYMTYPE, "linkname": "/etc"}, "link 'a/link' leads out of the directory, to '/etc'"),
    ({"name": "a/link", "type": tarfile.SYMTYPE, "linkname": "../../x"}, "leads out"),
    ({"name": "hard", "type": tarfile.LNKTYPE, "linkname": "../x"}, "leads out"),
    ({"name": "hard", "type": tarfile.LNKTYPE, "linkname": "nowhere"}, "not there before it"),
    ({"name": "null", "type": tarfile.CHRTYPE}, "neither a file"),
    ({"name": "pipe", "type": tarfile.FIFOTYPE}, "neither a file"),
])
def test_nothing_leads_out(tmp_path: Path, member: Dict[str, Any], message: str) -> None:
    (tmp_path / "target").mkdir()
    with pytest.raises(WebstackError, match=message):
        _archive.unpack(str(make(tmp_path / "archive", "w:gz", bad=member)), str(tmp_path / "target"))


def test_nothing_is_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    (tmp_path / "outside").mkdir()
    members = {"link": {"name": "d", "type": tarfile.SYMTYPE, "linkname": "../outside"}, "file": {"name": "d/file", "content": b"x"}}
    with pytest.raises((WebstackError, OSError)):
        _archive.unpack(str(make(tmp_path / "archive", "w", **members)), str(tmp_path / "target"))
    assert list((tmp_path / "outside").iterdir()) == []


def test_chained_links_lead_nowhere_outside(tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    members = {"f": {"name": "a/b/f", "content": b"x"}, "up": {"name": "a/b/up", "type": tarfile.SYMTYPE, "linkname": "../.."},
               "out": {"name": "out", "type": tarfile.SYMTYPE, "linkname": "a/b/up/../.."}}
    with pytest.raises(WebstackError, match="leads out"):
        _archive.unpack(str(make(tmp_path / "archive", "w", **members)), str(tmp_path / "target"))


def test_what_is_no_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "target").mkdir()
    whole = make(tmp_path / "whole", "w:gz", **GOOD).read_bytes()
    for content, message in ((b"<html>" * 100, "it is none of tar.gz"), (whole[:60] + b"x" * 600, "it is damaged"), (whole[:60], "it is damaged")):
        (tmp_path / "archive").write_bytes(content)
        with pytest.raises(WebstackError, match=message):
            _archive.unpack(str(tmp_path / "archive"), str(tmp_path / "target"))
    (tmp_path / "archive").write_bytes(b"\x28\xb5\x2f\xfd" + b"x" * 600)
    monkeypatch.setattr(_archive.shutil, "which", lambda name: None)
    with pytest.raises(WebstackError, match="this host has no zstd to read it; install the package zstd"):
        _archive.unpack(str(tmp_path / "archive"), str(tmp_path / "target"))


def test_find_root(tmp_path: Path) -> None:
    (tmp_path / "python" / "install" / "bin").mkdir(parents=True)
    (tmp_path / "python" / "install" / "bin" / "python3.12").touch()
    assert _archive.find_root(str(tmp_path), "3.12") == str(tmp_path / "python" / "install")
    assert _archive.find_root(str(tmp_path), "3.12", 2) == str(tmp_path / "python" / "install")
    assert _archive.find_root(str(tmp_path), "3.12", 1) is None
    assert _archive.find_root(str(tmp_path), "3.11") is None
