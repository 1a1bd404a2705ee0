# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a load run leaves behind: one JSON line per request, and a ledger of everything the services acknowledged."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO


@dataclass(frozen=True)
class Record:
    """One request. ``at`` is its start in epoch seconds; ``error`` is None when status, body and connection were right."""

    at: float
    service: str
    kind: str
    status: int | None
    ms: float
    error: str | None
    kept: bool


@dataclass(frozen=True)
class Promise:
    """Something a service said it has stored: ``what`` is entry or package, ``name`` is the entry's text or the file's name."""

    what: str
    name: str
    project: str
    sha256: str


class Log:
    """Appends JSON lines; each ``flush`` makes what was written so far readable to others."""

    def __init__(self, path: Path, flush_each: bool = False) -> None:
        self._file: TextIO = path.open("w", encoding="utf-8")
        self._flush_each = flush_each

    def write(self, item: Record | Promise) -> None:
        self._file.write(json.dumps(asdict(item), separators=(",", ":")) + "\n")
        if self._flush_each:
            self._file.flush()

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            if line.endswith("\n"):  # a run that was killed may leave half a line
                yield json.loads(line)


def read_records(path: Path) -> list[Record]:
    """All requests of a run, in the order in which they ended."""
    return [Record(**item) for item in _lines(path)]


def read_ledger(path: Path) -> list[Promise]:
    """All that was acknowledged in a run."""
    return [Promise(**item) for item in _lines(path)]
