# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Requirement files and dist-info directories."""

from __future__ import annotations

from pathlib import Path
from typing import Dict

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install import _requirements as requirements

LOCK = """\
# made by uv pip compile --generate-hashes
--index-url https://example.org/simple
Flask==3.1.3 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
    # via -r requirements.in
importlib_metadata==8.0 ; python_version < "3.10" --hash=sha256:cc
zope.interface[test] == 7.2 --hash=sha256:dd   # comment
loose>=1
also-loose
-e ./local
"""


def test_parse_lock() -> None:
    lock = requirements.parse_lock(LOCK)
    assert lock.pins == {"flask": "3.1.3", "zope-interface": "7.2"}
    assert lock.conditional == {"importlib-metadata": "8.0"}
    assert lock.loose == ["loose", "also-loose"]
    assert lock.hashed
    assert lock.names == {"flask", "zope-interface", "importlib-metadata", "loose", "also-loose"}


def test_the_digest_is_of_what_counts() -> None:
    one = requirements.parse_lock("a==1\nb==2\n").digest
    assert requirements.parse_lock("# new comment\na==1   # why\n\nb==2").digest == one
    assert requirements.parse_lock("a==1\nb==3\n").digest != one
    assert requirements.parse_lock("a==1 --hash=sha256:aa\nb==2\n").digest != one


@pytest.mark.parametrize(("text", "installed", "after"), [
    ("a==1 --hash=x", {"a": "0", "b": "1", "pip": "23"}, {"a": "1", "pip": "23"}),
    ("a==1", {"a": "0", "b": "1"}, {"a": "1", "b": "1"}),
    ("a>=1", {}, {"a": "(any)"}),
    ('a==1 ; python_version < "3" --hash=x', {}, {}),
    ('a==1 ; python_version < "4" --hash=x', {"a": "0"}, {"a": "1"}),
])
def test_expected(text: str, installed: Dict[str, str], after: Dict[str, str]) -> None:
    assert requirements.expected(requirements.parse_lock(text), installed) == after


def test_canonical() -> None:
    assert requirements.canonical("Zope._-Interface") == "zope-interface"


def dist_info(site: Path, name: str, version: str, *needs: str) -> None:
    path = site / f"{name.replace('-', '_')}-{version}.dist-info"
    path.mkdir(parents=True)
    head = "".join(f"Requires-Dist: {need}\n" for need in needs)
    (path / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{head}\nThe text.\nName: not this\n")


def test_installed_in(tmp_path: Path) -> None:
    site = tmp_path / "lib" / "python3.11" / "site-packages"
    dist_info(site, "Flask", "3.1.3", "blinker>=1.9.0")
    dist_info(site, "zope.interface", "7.2")
    (site / "broken-1.dist-info").mkdir()
    assert requirements.installed_in(str(tmp_path)) == {"flask": "3.1.3", "zope-interface": "7.2"}
    assert requirements.listing({"b": "2", "a": "1"}) == "a 1\nb 2\n"
