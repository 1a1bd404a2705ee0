# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Source directories on the control node: found, told by content, packed so that the same source gives the same bytes."""

from __future__ import annotations

import gzip
import tarfile
from pathlib import Path
from typing import BinaryIO

from ansible_collections.gantry.webstack.plugins.module_utils.install import _tree


def find(path: str, base: str) -> Path:
    """A path of the control node: absolute, or below the current directory, or below ``base`` (the playbook's directory)."""
    given = Path(path).expanduser()
    candidates = [given] if given.is_absolute() else [Path.cwd() / given, Path(base) / given]
    return next((candidate for candidate in candidates if candidate.exists()), candidates[0])


def pack(root: Path, entries: _tree.Entries, target: Path) -> None:
    """Write ``entries`` of ``root`` as a tar.gz that depends on nothing but their content."""
    with target.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as zipped:
        with tarfile.open(fileobj=zipped, mode="w", format=tarfile.PAX_FORMAT) as archive:
            for path in sorted(entries):
                archive.addfile(*_member(root, path, entries[path]))


def _member(root: Path, path: str, entry: str) -> tuple[tarfile.TarInfo, BinaryIO | None]:
    info = tarfile.TarInfo(path)
    kind, _space, value = entry.partition(" ")
    if kind == "l":
        info.type, info.linkname = tarfile.SYMTYPE, value
        return info, None
    info.mode = 0o755 if kind == "x" else 0o644
    info.size = (root / path).stat().st_size
    return info, (root / path).open("rb")


def summary(name: str, wanted: _tree.Entries, there: _tree.Entries, most: int = 50) -> str:
    """Which files differ, for a diff: one line each, at most ``most``."""
    write, remove = _tree.difference(wanted, there)
    lines = [f"{'change' if path in there else 'add'} {path}" for path in write] + [f"remove {path}" for path in remove]
    if len(lines) > most:
        lines = [*lines[:most], f"and {len(lines) - most} more"]
    return "".join(line + "\n" for line in lines)
