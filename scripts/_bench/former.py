"""The collection as its last release had it, built from the repository's history: what people upgrade from."""

from __future__ import annotations

import re
import subprocess
import tarfile
from pathlib import Path

from . import ROOT, BenchError, control, logged


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-c", f"safe.directory={ROOT}", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"git {words[0]}: {done.stderr.strip()}")
    return done.stdout.strip()


def versions(changelog: str) -> list[str]:
    """The released versions in the text of changelogs/changelog.yaml, the newest last. Pure."""
    found = re.findall(r"(?m)^  (\d+\.\d+\.\d+):$", changelog)
    return sorted(found, key=lambda version: tuple(map(int, version.split("."))))


def commit_of(version: str) -> str:
    """The commit of a release: its tag, or the first commit whose changelog has it. Raises BenchError in a clone without history."""
    if f"v{version}" in _git("tag", "--list").split():
        return _git("rev-parse", f"v{version}^{{commit}}")
    found = _git("log", "--reverse", "--format=%H", f"-G^  {re.escape(version)}:$", "--", "changelogs/changelog.yaml").split()
    if not found or _git("rev-parse", "--is-shallow-repository") == "true":
        raise BenchError(f"the history has no commit of version {version}; fetch it all: git fetch --unshallow --tags")
    return found[0]


def sources(directory: Path) -> str:
    """Unpack the last release's files into a directory; its version."""
    version = versions((ROOT / "changelogs/changelog.yaml").read_text(encoding="utf-8"))[-1]
    archive = directory.with_suffix(".tar")
    directory.mkdir(parents=True)
    _git("archive", "--output", str(archive), commit_of(version))
    with tarfile.open(archive) as tar:
        tar.extractall(directory, filter="data")
    archive.unlink()
    return version


def install(source: Path, tree: Path) -> None:
    """Build these sources and install the tarball into a tree of collections of its own, beside what the playbooks' connections need."""
    tree.mkdir(parents=True)
    galaxy = control.tool("ansible-galaxy")
    env = {"ANSIBLE_COLLECTIONS_PATH": str(tree), "PYTHONPATH": ""}
    logged([galaxy, "collection", "build", "--output-path", str(tree), str(source)], "former", hint="")
    logged([galaxy, "collection", "install", "--offline", "--no-deps", "-p", str(tree), str(next(tree.glob("*.tar.gz")))], "former", hint="", env=env)
    (tree / "ansible_collections/community").symlink_to(control.TREE / "ansible_collections/community")
