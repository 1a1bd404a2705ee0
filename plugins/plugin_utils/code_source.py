# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where a service's code comes from, brought to a directory on the control node: a directory, a git repository, an archive.

Repositories and archives are kept below ``$XDG_CACHE_HOME/gantry.webstack``; several runs may use it at once.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack

KINDS = ("code_source", "code_git", "code_archive")
KEPT = 20
"""Unpacked trees that stay in the cache of one repository."""


class SourceError(ValueError):
    """Code that cannot be had; the message names the option and the value."""


class Source(NamedTuple):
    """A directory with code. ``place`` names the option and its value for messages, ``note`` tells of the release where it came from."""

    root: Path
    place: str
    note: str


def get(service: Mapping[str, Any], base: str) -> Source:
    """The code of a service as an entry of the module webapps tells it. Raises SourceError."""
    if service.get("code_git"):
        return _git(service["code_git"], base)
    if service.get("code_archive"):
        return _archive(service["code_archive"], base)
    root = source_pack.find(service["code_source"], base)
    if not root.is_dir():
        raise SourceError(f"code.source {str(root)!r} is not a directory on the control node")
    return Source(root, f"code.source {str(root)!r}", f"directory {service['code_source']}")


def _cache(*parts: str) -> Path:
    path = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "gantry.webstack", *parts)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Several hosts of a play, and several plays, ask for the same code at the same time."""
    with (directory / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:16]


# git


def _git(wanted: Mapping[str, Any], base: str) -> Source:
    """Ask the repository for the commit; fetch it when the cache does not have it."""
    repo, version = str(wanted["repo"]), str(wanted.get("version") or "HEAD")
    place = f"code.git.repo {_safe(repo)!r}"
    if repo.startswith("-") or version.startswith("-"):
        raise SourceError(f"{place}: repo and version do not begin with a dash ({version!r})")
    local = source_pack.find(repo, base)
    repo = str(local) if "://" not in repo and ":" not in repo and local.exists() else repo
    cache = _cache("git", _digest(repo + ("+submodules" if wanted.get("submodules") else "")))
    with _alone(cache):
        commit = _commit(cache, repo, version, place)
        tree = cache / commit
        if not tree.is_dir():
            _checkout(cache, repo, version, commit, bool(wanted.get("submodules")), place)
        os.utime(tree)
        for old in sorted((path for path in cache.iterdir() if re.fullmatch(r"[0-9a-f]{40,64}", path.name)), key=lambda path: path.stat().st_mtime)[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)
    root = tree / wanted["subdirectory"] if wanted.get("subdirectory") else tree
    if not root.is_dir() or not root.resolve().is_relative_to(tree.resolve()):
        raise SourceError(f"code.git.subdirectory {wanted['subdirectory']!r} is not a directory of {_safe(repo)!r} at {version}")
    return Source(root, f"{place} at {version}", f"git {version} {commit[:12]}")


def _commit(cache: Path, repo: str, version: str, place: str) -> str:
    """The commit that a branch, a tag or the beginning of a commit's name means, without fetching anything."""
    if re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", version):
        return version
    lines = [line.split("\t") for line in _run(["git", "ls-remote", "--", repo], place).splitlines() if "\t" in line]
    refs = {name: commit for commit, name in lines}
    for name in (f"refs/tags/{version}^{{}}", f"refs/tags/{version}", f"refs/heads/{version}", version):
        if name in refs:
            return refs[name]
    if re.fullmatch(r"[0-9a-f]{7,40}", version):
        mirror = _mirror(cache, repo, place)
        found = subprocess.run(["git", "-C", str(mirror), "rev-parse", "--verify", "--quiet", version + "^{commit}"],
                               capture_output=True, text=True, check=False).stdout.strip()
        if found:
            return found
    known = ", ".join(sorted(name.rpartition("/")[2] for name in refs if not name.endswith("^{}") and name != "HEAD")[:20])
    raise SourceError(f"code.git.version {version!r} is no branch, tag or commit of {_safe(repo)!r}; there are {known or 'none'}")


def _mirror(cache: Path, repo: str, place: str) -> Path:
    mirror = cache / "mirror.git"
    if not mirror.is_dir():
        _run(["git", "init", "--quiet", "--bare", str(mirror)], place)
    _run(["git", "-C", str(mirror), "fetch", "--quiet", "--prune", "--force", "--", repo, "+refs/*:refs/*"], place)
    return mirror


def _checkout(cache: Path, repo: str, version: str, commit: str, submodules: bool, place: str) -> None:
    mirror = _mirror(cache, repo, place)
    if subprocess.run(["git", "-C", str(mirror), "cat-file", "-e", commit + "^{commit}"], capture_output=True, check=False).returncode != 0:
        raise SourceError(f"code.git.version {version!r} is no commit of {_safe(repo)!r}")
    stage = Path(tempfile.mkdtemp(prefix="stage-", dir=cache))
    try:
        _run(["git", "clone", "--quiet", "--no-checkout", "--shared", "--", str(mirror), str(stage / "tree")], place)
        _run(["git", "-C", str(stage / "tree"), "-c", "advice.detachedHead=false", "checkout", "--quiet", commit], place)
        if submodules:
            _run(["git", "-C", str(stage / "tree"), "remote", "set-url", "origin", repo], place)
            _run(["git", "-C", str(stage / "tree"), "submodule", "--quiet", "update", "--init", "--recursive"], place)
        (stage / "tree").rename(cache / commit)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _run(argv: list[str], place: str) -> str:
    env = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_SSH_COMMAND": os.environ.get("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")}
    try:
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env=env, stdin=subprocess.DEVNULL, errors="replace")
    except OSError as exc:
        raise SourceError(f"{place}: {argv[0]} could not be started on the control node: {exc.strerror}") from exc
    if done.returncode != 0:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        telling = next((line for line in said if line.startswith(("fatal:", "error:"))), said[-1] if said else "no output")
        raise SourceError(f"{place}: {' '.join(argv[:2] if argv[1] != '-C' else ['git', argv[3]])} failed: {_safe(telling)}")
    return done.stdout


def _safe(url: str) -> str:
    """A URL without the password or token in it."""
    return re.sub(r"(://)[^/\s@]+@", r"\1", url)


# archives


def _archive(wanted: Mapping[str, Any], base: str) -> Source:
    """Check the archive's sum, and unpack it when the cache does not have it."""
    sha256, strip = str(wanted["sha256"]).lower(), int(wanted.get("strip") or 0)
    if wanted.get("url"):
        place = f"code.archive.url {_safe(wanted['url'])!r}"
        file = _cache("archives") / sha256
        with _alone(file.parent):
            if not file.exists():
                _download(wanted["url"], file, sha256, place)
    else:
        file = source_pack.find(wanted["path"], base)
        place = f"code.archive.path {str(file)!r}"
        if not file.is_file():
            raise SourceError(f"{place} is not a file on the control node")
    found = _sum(file)
    if found != sha256:
        raise SourceError(f"{place} has the SHA-256 {found}, not {sha256}")
    cache = _cache("trees")
    tree = cache / f"{sha256}-{strip}"
    with _alone(cache):
        if not tree.is_dir():
            stage = Path(tempfile.mkdtemp(prefix="stage-", dir=cache))
            try:
                _unpack(file, stage / "tree", strip, place)
                (stage / "tree").rename(tree)
            finally:
                shutil.rmtree(stage, ignore_errors=True)
    return Source(tree, place, f"archive {os.path.basename(wanted.get('url') or wanted['path'])} {sha256[:12]}")


def _sum(file: Path) -> str:
    with file.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def _download(url: str, target: Path, sha256: str, place: str) -> None:
    if not url.startswith(("https://", "http://", "file://")):
        raise SourceError(f"{place}: only http, https and file are supported")
    fd, name = tempfile.mkstemp(dir=target.parent)
    try:
        from ansible.module_utils.urls import open_url  # here: it costs every install 0.08 s, and few fetch an archive

        with os.fdopen(fd, "wb") as handle, open_url(url, timeout=60) as answer:
            shutil.copyfileobj(answer, handle)
        found = _sum(Path(name))
        if found != sha256:
            raise SourceError(f"{place} has the SHA-256 {found}, not {sha256}")
        os.rename(name, target)
    except OSError as exc:
        raise SourceError(f"{place} could not be downloaded: {getattr(exc, 'reason', None) or exc}") from exc
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _stripped(name: str, strip: int, place: str) -> str:
    """A member's path without its first ``strip`` directories; empty for what is above them."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if name.startswith("/") or ".." in parts:
        raise SourceError(f"{place} holds the path {name!r}")
    return "/".join(parts[strip:])


def _unpack(file: Path, target: Path, strip: int, place: str) -> None:
    target.mkdir()
    try:
        if zipfile.is_zipfile(file):
            _unzip(file, target, strip, place)
            return
        with tarfile.open(file) as archive:
            for member in archive:
                path = _stripped(member.name, strip, place)
                if path and (member.isreg() or member.issym() or member.islnk()):
                    _write(archive, member, target / path, strip, target, place)
    except (tarfile.TarError, zipfile.BadZipFile, EOFError) as exc:
        raise SourceError(f"{place} is no tar or zip archive that can be read: {exc}") from exc


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, strip: int, top: Path, place: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.parent.resolve().is_relative_to(top.resolve()):
        raise SourceError(f"{place} holds the path {member.name!r}, which a link leads out of it")
    if member.issym():
        path.symlink_to(member.linkname)
        return
    source = archive.extractfile(member)
    if source is not None:
        with source, path.open("wb") as handle:
            shutil.copyfileobj(source, handle)
        path.chmod(0o755 if member.mode & 0o100 else 0o644)


def _unzip(file: Path, target: Path, strip: int, place: str) -> None:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _stripped(info.filename, strip, place)
            if name and not info.is_dir():
                path = target / name
                path.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(info) as source, path.open("wb") as handle:
                    shutil.copyfileobj(source, handle)
                path.chmod(0o755 if info.external_attr >> 16 & 0o100 else 0o644)
