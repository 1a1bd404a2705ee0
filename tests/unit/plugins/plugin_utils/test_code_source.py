# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Code from repositories and archives: what is meant, what is refused, and what is asked again."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.plugin_utils import code_source


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def git(repo: Path, *words: str) -> str:
    argv = ["git", "-C", str(repo), "-c", "user.name=A", "-c", "user.email=a@b.test", "-c", "protocol.file.allow=always", *words]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def commit(repo: Path, text: str) -> str:
    (repo / "app").mkdir(exist_ok=True)
    (repo / "app" / "wsgi.py").write_text(text)
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "--message", text)
    return git(repo, "rev-parse", "HEAD")


@pytest.fixture(name="repo")
def a_repository(tmp_path: Path) -> Path:
    repo = tmp_path / "shop.git"
    repo.mkdir()
    git(repo, "init", "--quiet", "--initial-branch=main")
    commit(repo, "1")
    git(repo, "tag", "--annotate", "--message", "one", "v1")
    return repo


def text(repo: Path, **more: object) -> str:
    return (code_source.get({"code_git": {"repo": str(repo), **more}}, "/").root / "app" / "wsgi.py").read_text()


def test_branches_tags_and_commits(repo: Path) -> None:
    first = git(repo, "rev-parse", "HEAD")
    assert text(repo) == text(repo, version="main") == text(repo, version="v1") == text(repo, version=first) == text(repo, version=first[:8]) == "1"
    second = commit(repo, "2")
    assert (text(repo, version="main"), text(repo, version="v1"), text(repo, version=second[:9])) == ("2", "1", "2")
    found = code_source.get({"code_git": {"repo": str(repo), "version": "v1", "subdirectory": "app"}}, "/")
    assert (found.root / "wsgi.py").exists() and found.note == f"git v1 {first[:12]}"


def test_nothing_is_fetched_while_the_commit_is_the_same(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text(repo)
    monkeypatch.setattr(code_source, "_mirror", lambda *args: pytest.fail("fetched"))
    assert text(repo) == "1"


@pytest.mark.parametrize(("more", "complaint"), [
    ({"version": "v9"}, "code.git.version 'v9' is no branch, tag or commit of '.*'; there are main, v1$"),
    ({"version": "0" * 40}, "code.git.version '0+' is no commit of"),
    ({"subdirectory": "nothing"}, "code.git.subdirectory 'nothing' is not a directory of '.*' at HEAD$"),
    ({"subdirectory": ".."}, "code.git.subdirectory '..' is not a directory of"),
    ({"version": "--upload-pack=x"}, "repo and version do not begin with a dash"),
])
def test_what_a_repository_does_not_have(repo: Path, more: dict[str, str], complaint: str) -> None:
    with pytest.raises(code_source.SourceError, match=complaint):
        text(repo, **more)


def test_no_repository_and_no_password_in_the_message(tmp_path: Path) -> None:
    with pytest.raises(code_source.SourceError, match="^code.git.repo '.*none' at .*|^code.git.repo '.*none': git ls-remote failed: fatal: "):
        text(tmp_path / "none")
    with pytest.raises(code_source.SourceError) as caught:
        code_source.get({"code_git": {"repo": "https://me:hidden@127.0.0.1:1/x.git"}}, "/")
    assert "hidden" not in str(caught.value)


def test_submodules(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outer = tmp_path / "outer.git"
    outer.mkdir()
    git(outer, "init", "--quiet", "--initial-branch=main")
    git(outer, "submodule", "--quiet", "add", str(repo), "inner")
    commit(outer, "x")
    for key, value in (("COUNT", "1"), ("KEY_0", "protocol.file.allow"), ("VALUE_0", "always")):
        monkeypatch.setenv("GIT_CONFIG_" + key, value)
    assert (code_source.get({"code_git": {"repo": str(outer), "submodules": True}}, "/").root / "inner/app/wsgi.py").read_text() == "1"
    assert not (code_source.get({"code_git": {"repo": str(outer)}}, "/").root / "inner/app").exists()


def packed(path: Path, names: dict[str, str], links: dict[str, str] | None = None) -> str:
    with tarfile.open(path, "w:gz") as archive:
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            archive.addfile(info)
        for name, content in names.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(content), 0o755
            archive.addfile(info, io.BytesIO(content.encode()))
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.parametrize("key", ["path", "url"])
def test_an_archive(tmp_path: Path, key: str) -> None:
    sha256 = packed(tmp_path / "a.tgz", {"shop-1/wsgi.py": "1", "README": "x"})
    place = str(tmp_path / "a.tgz") if key == "path" else (tmp_path / "a.tgz").as_uri()
    found = code_source.get({"code_archive": {key: place, "sha256": sha256, "strip": 1}}, "/")
    assert [path.name for path in found.root.iterdir()] == ["wsgi.py"] and (found.root / "wsgi.py").stat().st_mode & 0o777 == 0o755
    with pytest.raises(code_source.SourceError, match=f"^code.archive.{key} '.*a.tgz' has the SHA-256 {sha256}, not 0+$"):
        code_source.get({"code_archive": {key: place, "sha256": "0" * 64}}, "/")
    with pytest.raises(code_source.SourceError, match=f"^code.archive.{key} '.*none'"):
        code_source.get({"code_archive": {key: place.replace("a.tgz", "none"), "sha256": "1" * 64}}, "/")


def test_a_zip(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("shop/wsgi.py", "1")
    sha256 = hashlib.sha256((tmp_path / "a.zip").read_bytes()).hexdigest()
    found = code_source.get({"code_archive": {"path": str(tmp_path / "a.zip"), "sha256": sha256, "strip": 1}}, "/")
    assert (found.root / "wsgi.py").read_text() == "1"


@pytest.mark.parametrize(("names", "links", "complaint"), [
    ({"../x": "1"}, {}, "holds the path '../x'"), ({"/x": "1"}, {}, "holds the path '/x'"),
    ({"out/x": "1"}, {"out": "/tmp"}, "holds the path 'out/x', which a link leads out of it"),
])
def test_an_archive_that_leads_out_of_itself(tmp_path: Path, names: dict[str, str], links: dict[str, str], complaint: str) -> None:
    sha256 = packed(tmp_path / "a.tgz", names, links)
    with pytest.raises(code_source.SourceError, match=complaint):
        code_source.get({"code_archive": {"path": str(tmp_path / "a.tgz"), "sha256": sha256}}, "/")


def test_no_archive(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("text")
    with pytest.raises(code_source.SourceError, match="is no tar or zip archive"):
        code_source.get({"code_archive": {"path": str(tmp_path / "a"), "sha256": hashlib.sha256(b"text").hexdigest()}}, "/")
