# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Site directories as installers leave them, and as people change them afterwards."""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import venv
from pathlib import Path
from typing import Dict, List

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_python, _evidence_site


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def dist(site: Path, name: str, files: Dict[str, str], kind: str = "sha256", **extra: str) -> Path:
    """A wheel's installation, files below or beside the site directory."""
    rows: List[str] = []
    for path, text in files.items():
        write(site / path, text)
        digest = base64.urlsafe_b64encode(hashlib.new(kind, text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f'"{path}",{kind}={digest},{len(text)}')
    info = site / f"{name}-1.0.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    for item, text in extra.items():
        write(info / item.replace("__", "."), text)
    write(info / "RECORD", "\n".join([*rows, f"{name}/__pycache__/x.pyc,,", f"{name}-1.0.dist-info/RECORD,,"]) + "\n")
    return info


def look(site: Path) -> _evidence_site.Site:
    return _evidence_site.look([str(site)], str(site.parent))


def names(site: Path, paths: List[str]) -> List[str]:
    return [os.path.relpath(path, site) + ("/" if path.endswith("/") else "") for path in paths]


def test_patched_and_added_files(tmp_path: Path) -> None:
    site = tmp_path / "site"
    dist(site, "shop", {"shop/__init__.py": "a", "shop/sub/x y.py": "b", "shop/gone.py": "c", "../bin/shop": "#!x"}, "sha512")
    write(site / "shop/__init__.py", "A")
    write(tmp_path / "bin/shop", "#!y")
    (site / "shop/gone.py").unlink()
    write(site / "shop/hotfix.py", "")
    write(site / "shop/sub/local\nname.py", "")
    write(site / "shop/vendor/a/b.py", "")
    write(site / "shop/vendor/c.py", "")
    write(site / "shop/__pycache__/hotfix.pyc", "")
    found = look(site)
    assert names(site, found.patched) == ["../bin/shop", "shop/__init__.py", "shop/gone.py"]
    assert names(site, found.added) == ["shop/hotfix.py", "shop/sub/local\nname.py", "shop/vendor/"]
    assert not found.unowned and not found.unverified and not found.blind


def test_what_no_metadata_names(tmp_path: Path) -> None:
    dist(tmp_path, "google_x", {"google/x/__init__.py": ""})
    write(tmp_path / "tool.py", "")
    write(tmp_path / "copied/__init__.py", "")
    write(tmp_path / "space/inner/mod.py", "")
    write(tmp_path / "docs/readme.txt", "")
    write(tmp_path / "google/y/__init__.py", "")
    write(tmp_path / "LICENSE", "")
    write(tmp_path / "~ip/x.py", "")
    found = look(tmp_path)
    assert names(tmp_path, found.unowned) == ["copied", "space", "tool.py"]
    assert names(tmp_path, found.added) == ["LICENSE", "google/y/"]


def test_distributions_that_do_not_name_their_files(tmp_path: Path) -> None:
    write(tmp_path / "old-2.0.egg-info/PKG-INFO", "Name: old\nVersion: 2.0\n")
    write(tmp_path / "old-2.0.egg-info/top_level.txt", "old\n_old\n")
    write(tmp_path / "old/__init__.py", "")
    write(tmp_path / "_old.so", "")
    write(tmp_path / "listed-1.0.egg-info/PKG-INFO", "Name: listed\nVersion: 1.0\n")
    write(tmp_path / "listed-1.0.egg-info/installed-files.txt", "../listed.py\nPKG-INFO\n")
    write(tmp_path / "listed.py", "")
    write(tmp_path / "flat-3.0.egg-info", "Name: flat\nVersion: 3.0\n")
    write(tmp_path / "flat.py", "")
    write(tmp_path / "egg-1.0-py3.egg/EGG-INFO/PKG-INFO", "Name: egg\nVersion: 1.0\n")
    found = look(tmp_path)
    assert [(item["name"], item["version"]) for item in found.distributions] == [("egg", "1.0"), ("flat", "3.0"), ("listed", "1.0"), ("old", "2.0")]
    assert found.unverified == ["flat", "old"] and not found.unowned and not found.added


def test_editable_and_direct_installs(tmp_path: Path) -> None:
    site, src = tmp_path / "site", tmp_path / "my src"
    write(src / "old.egg-info/PKG-INFO", "Name: Old\nVersion: 0.9\n")
    write(site / "old.egg-link", f"{src}\n.\n")
    write(site / "easy-install.pth", f"{src}\n")
    dist(site, "pep660", {}, direct_url__json=f'{{"url": "file://{str(src).replace(" ", "%20")}", "dir_info": {{"editable": true}}}}')
    write(site / "__editable__.pep660-1.0.pth", f"{src}/x\n")
    write(site / "__editable___found_1_0_finder.py", f"MAPPING: dict[str, str] = {{'found': '{src}/found'}}\n")
    dist(site, "vcs", {}, direct_url__json='{"url": "https://me:CANARY@git.test/r.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}, "subdirectory": "p"}')
    dist(site, "archive", {}, direct_url__json='{"url": "https://CANARY@files.test/a.whl", "archive_info": {}}')
    dist(site, "local", {}, direct_url__json='{"url": "file:///srv/local", "dir_info": {}}')
    dist(site, "broken", {}, direct_url__json='{"url": ')
    (src / "linked").mkdir()
    (site / "linked").symlink_to(src / "linked")
    (site / "loop").symlink_to(site / "loop")
    found = look(site)
    assert found.editable == [f"found {src}", f"linked {src}/linked", f"old {src}", f"pep660 {src}"]
    assert found.direct_urls == ["archive https://files.test/a.whl", "local file:///srv/local", "vcs git+https://git.test/r.git@abc#subdirectory=p"]
    assert {"name": "Old", "version": "0.9"} in found.distributions and "CANARY" not in str(found)


def test_pth_files(tmp_path: Path) -> None:
    write(tmp_path / "a.pth", f"# c\n\n{tmp_path}\nnowhere\nimport os; os.environ.setdefault('X', \"CANARY\")\n")
    write(tmp_path / "distutils-precedence.pth", "import os\n")
    found = look(tmp_path)
    assert found.pth == [f"{tmp_path}/a.pth adds {tmp_path}", f"{tmp_path}/a.pth adds {tmp_path}/nowhere, which does not exist",
                         f"{tmp_path}/a.pth runs import os; os.environ.setdefault('...', \"...\")"]


def test_odd_metadata_hides_nothing(tmp_path: Path) -> None:
    dist(tmp_path, "good", {"good.py": ""})
    write(tmp_path / "nul-1.0.dist-info/METADATA", "Name: nul\nVersion: 1.0\n")
    (tmp_path / "nul-1.0.dist-info/RECORD").write_bytes(b'a\0b,"\n\xff\xfe,sha256=x,1\n')
    (tmp_path / "fifo-1.0.dist-info").mkdir()
    os.mkfifo(tmp_path / "fifo-1.0.dist-info/METADATA")
    os.mkfifo(tmp_path / "fifo.pth")
    write(tmp_path / "latin-1.0.dist-info/RECORD", "")
    (tmp_path / "latin-1.0.dist-info/METADATA").write_bytes(b"Name: latin\nVersion: 1.0\nAuthor: J\xfcrg\n")
    (tmp_path / os.fsdecode(b"caf\xe9.py")).write_bytes(b"")
    found = look(tmp_path)
    assert [item["name"] for item in found.distributions] == ["good", "latin", "nul"]
    assert [os.path.basename(path) for path in found.unowned] == [os.fsdecode(b"caf\xe9.py")]


@pytest.mark.parametrize("system", [True, False])
def test_a_real_venv(tmp_path: Path, system: bool) -> None:
    venv.EnvBuilder(system_site_packages=system, symlinks=True).create(str(tmp_path / "env"))
    short = "%d.%d" % sys.version_info[:2]
    found = _evidence_python.describe([f"/x/lib/python{short}/lib-dynload/_ssl.so"], str(tmp_path / "env"))
    assert found is not None and found.interpreter == os.path.realpath(sys.executable)
    assert found.system_site is system and bool(found.shared) is system
    assert found.site == [f"{tmp_path}/env/lib/python{short}/site-packages"] and found.full == "%d.%d.%d" % sys.version_info[:3]


@pytest.mark.parametrize(("path", "made", "owned", "origin"), [
    ("usr/bin/python3.11", "", True, "package"), ("opt/py/bin/python3.12", "", False, "tree"),
    ("home/x/.pyenv/versions/3.12.1/bin/python3.12", "", False, "pyenv"),
    ("srv/penv/versions/3.12.1/bin/python3.12", "srv/penv/shims/x", False, "pyenv"),
    ("srv/miniconda3/bin/python3.12", "srv/miniconda3/conda-meta/history", False, "conda"),
    ("root/.local/share/uv/python/cpython-3.12.4-linux-x86_64-gnu/bin/python3.12", "", False, "uv"), ("opt/app/versions/2/bin/python3.9", "", False, "tree"),
])
def test_origins(tmp_path: Path, path: str, made: str, owned: bool, origin: str) -> None:
    write(tmp_path / path, "")
    if made:
        write(tmp_path / made, "")
    assert _evidence_python.origin(str(tmp_path / path), owned) == origin


def test_the_interpreter_behind_a_library(tmp_path: Path) -> None:
    python = write(tmp_path / "tree/bin/python3.12", "")
    for mapped in ("tree/lib/libpython3.12.so.1.0", "tree/lib/python3.12/lib-dynload/_ssl.cpython-312.so"):
        found = _evidence_python.describe([str(tmp_path / mapped)], None)
        assert found is not None and found.interpreter == str(python)
