# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Archives on the control node: found, or fetched once and kept by their digest."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from ansible import constants

from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack


class ArchiveError(Exception):
    """One sentence for a user."""


def find(tree: Mapping[str, Any], sha256: str, base: str) -> Path:
    """The archive of an interpreter tree on this machine. Raises ArchiveError when it is not there, or not the one that is meant."""
    what = f"python_trees[{tree['version']}]"
    if tree.get("url"):
        return _fetch(str(tree["url"]), sha256, what)
    path = source_pack.find(str(tree["archive"]), base)
    if not path.is_file():
        raise ArchiveError(f"{what}.archive: {str(path)!r} is not a file on the control node")
    _verify(path, sha256, f"{what}.archive: {str(path)!r}")
    return path


def cache() -> Path:
    """Where archives are kept that were fetched."""
    return Path(os.path.expanduser(constants.ANSIBLE_HOME)) / "webstack" / "archives"


def _fetch(url: str, sha256: str, what: str) -> Path:
    told = re.sub(r"(\w://)[^/@\s]+@", r"\1****@", url)
    parts = urlsplit(url)
    if parts.scheme == "file":
        path = Path(unquote(parts.path))
        if not path.is_file():
            raise ArchiveError(f"{what}.url: {told} is not a file on the control node")
        _verify(path, sha256, f"{what}.url: {told}")
        return path
    if parts.scheme not in ("http", "https"):
        raise ArchiveError(f"{what}.url: {told} is neither http nor https nor file")
    kept = cache() / sha256
    kept.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (kept.parent / f".{sha256}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several hosts at once want the same archive
        if not kept.is_file() or _digest(kept) != sha256:
            _download(url, kept, sha256, f"{what}.url: {told}")
    return kept


def _download(url: str, target: Path, sha256: str, what: str) -> None:
    from ansible.module_utils.urls import open_url  # here: most runs fetch nothing

    with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as handle:
        fetched = Path(handle.name)
        try:
            with open_url(url, timeout=60) as answer:
                shutil.copyfileobj(answer, handle, 1 << 20)
            handle.flush()
            _verify(fetched, sha256, what)
            fetched.rename(target)
        except OSError as exc:
            raise ArchiveError(f"{what} cannot be fetched: {getattr(exc, 'reason', None) or exc}") from exc
        finally:
            fetched.unlink(missing_ok=True)


def _verify(path: Path, sha256: str, what: str) -> None:
    found = _digest(path)
    if found != sha256:
        raise ArchiveError(f"{what} has the sha256 {found}, not {sha256}; nothing was changed")


def _digest(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
