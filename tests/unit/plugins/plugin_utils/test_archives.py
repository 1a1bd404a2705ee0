# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives on the control node: fetched once, and told by their digest."""

from __future__ import annotations

import contextlib
import hashlib
import io
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils import urls

from ansible_collections.gantry.webstack.plugins.plugin_utils import archives

SHA = hashlib.sha256(b"tree").hexdigest()


def test_a_url_is_fetched_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def open_url(url: str, **told: Any) -> Any:
        asked.append(url)
        return contextlib.closing(io.BytesIO(b"tree"))

    monkeypatch.setattr(archives, "cache", lambda: tmp_path / "cache")
    monkeypatch.setattr(urls, "open_url", open_url)
    tree = {"version": "3.12.4", "url": "https://me:secret@host/a.tar.gz"}
    assert [archives.find(tree, SHA, "/").read_bytes() for _time in range(3)] == [b"tree"] * 3
    assert asked == ["https://me:secret@host/a.tar.gz"]
    with pytest.raises(archives.ArchiveError, match=r"python_trees\[3\.12\.4\]\.url: https://\*\*\*\*@host/a\.tar\.gz has the sha256 .*, not 000"):
        archives.find(tree, "0" * 64, "/")
    assert sorted(path.name for path in (tmp_path / "cache").iterdir() if path.name[0] != ".") == [SHA]


def test_files(tmp_path: Path) -> None:
    (tmp_path / "a.tar.gz").write_bytes(b"tree")
    assert archives.find({"version": "3.12.4", "archive": "a.tar.gz"}, SHA, str(tmp_path)) == tmp_path / "a.tar.gz"
    assert archives.find({"version": "3.12.4", "url": f"file://{tmp_path}/a.tar.gz"}, SHA, "/") == tmp_path / "a.tar.gz"
    for tree, message in (({"archive": "b.tar.gz"}, "is not a file on the control node"), ({"url": "ftp://host/a"}, "neither http nor https nor file"),
                          ({"archive": "a.tar.gz"}, "nothing was changed")):
        with pytest.raises(archives.ArchiveError, match=message):
            archives.find({"version": "3.12.4", **tree}, "0" * 64, str(tmp_path))
