"""The table at the end, from the load's records and the host's journals. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from records import Record
from summary import WINDOWS, by_window, count

SWITCHES = ("switched", "rolled back")
"""Events of a service's journal at which its requests begin to go elsewhere."""

MARGIN = 5.0
"""Seconds before and after a switch that count as during it."""


def switch_times(journal: Mapping[str, Any], since: float) -> list[float]:
    """When a service's requests began to go elsewhere, in epoch seconds, not before ``since``."""
    return [event["at"] for event in journal.get("events", []) if event["event"] in SWITCHES and event["at"] >= since]


def service_rows(records: Sequence[Record], journals: Mapping[str, Mapping[str, Any]], images: Mapping[str, int], before: Mapping[str, str],
                 since: float) -> list[dict[str, Any]]:
    """One row per service, and one for the static files that nginx serves itself throughout.

    ``journals``: by service, as they are at the end; ``images``: bytes by service; ``before``: runtime by service at the
    start of the load; ``since``: that start, in epoch seconds.
    """
    marks = {name: switch_times(journal, since) for name, journal in journals.items()}
    rows = []
    for name in [*journals, "static"]:
        mine = [record for record in records if record.service == name]
        moments = marks.get(name) or sorted(mark for found in marks.values() for mark in found)
        rows.append({
            "service": name,
            "before": before.get(name, "nginx"),
            "after": journals[name].get("runtime", "host") if name in journals else "nginx",
            "image_bytes": images.get(name),
            "switches": len(marks.get(name, [])),
            **count(mine),
            "windows": by_window(mine, moments, MARGIN),
        })
    return rows


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows as text: the first column to the left, the others to the right, two spaces between."""
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) if index == 0 else cell.rjust(width) for index, (cell, width) in enumerate(zip(row, widths, strict=True))]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _mb(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e6:.0f} MB"


def render(rows: Sequence[Mapping[str, Any]], phases: Sequence[tuple[str, float]], late: float | None) -> str:
    """The table as it is printed; percentiles are of the good answers that are not slow on purpose.

    ``late``: by how many milliseconds the generator's own starts were late at most, in 99 of 100 cases.
    """
    head = ["service", "was", "is", "image", "sent", "failed", *(f"{p} {'/'.join(WINDOWS)}" for p in ("p50", "p99"))]
    body = [[row["service"], row["before"], row["after"], _mb(row["image_bytes"]), str(row["sent"]), str(row["failed"]),
             *(" / ".join(_ms(row["windows"][window][f"{p}_ms"]) for window in WINDOWS) for p in ("p50", "p99"))] for row in rows]
    total = ["all", "", "", "", str(sum(row["sent"] for row in rows)), str(sum(row["failed"] for row in rows)), "", ""]
    times = [["phase", "seconds"], *([name, f"{seconds:.1f}"] for name, seconds in phases)]
    note = (f"p50 and p99 in ms, without the answers that take 2 s on purpose; during: within {MARGIN:.0f} s of a switch.\n"
            f"The load generator's own starts were late by {_ms(late)} ms (p99): what this machine adds to each number.")
    return f"{columns([head, *body, total])}\n{note}\n\n{columns(times)}"
