# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Counts and percentiles of a load run, as a whole and by window around the moments of a switch."""

from __future__ import annotations

import argparse
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from records import Record, read_records

SLOW_KINDS = frozenset({"delay", "slow"})
"""Answers that take 2 s on purpose: counted like all others, left out of the percentiles that they would fill."""

WINDOWS = ("before", "during", "after")


def percentile(values: Sequence[float], percent: float) -> float | None:
    """The nearest-rank percentile: the smallest value that at least ``percent`` % of all values do not exceed."""
    if not values:
        return None
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1]


def window_of(at: float, marks: Sequence[float], margin: float = 5.0) -> str | None:
    """Which window a request belongs to; ``marks`` are the switches' times (epoch seconds).

    During: within ``margin`` seconds of any switch. Before: before the first. After: after the last. Between two
    switches, outside their margins: None.
    """
    if any(abs(at - mark) <= margin for mark in marks):
        return "during"
    if not marks or at < min(marks):
        return "before"
    return "after" if at > max(marks) else None


def latencies(records: Iterable[Record]) -> dict[str, float | int | None]:
    """p50, p99 and the longest answer in milliseconds, of the good answers that are not slow on purpose."""
    good = [record.ms for record in records if record.error is None and record.kind not in SLOW_KINDS]
    return {"p50_ms": percentile(good, 50), "p99_ms": percentile(good, 99), "max_ms": max(good, default=None)}


def by_window(records: Iterable[Record], marks: Sequence[float], margin: float = 5.0) -> dict[str, dict[str, Any]]:
    """Sent, failed and latencies of each of WINDOWS."""
    rows: dict[str, list[Record]] = {name: [] for name in WINDOWS}
    for record in records:
        window = window_of(record.at, marks, margin)
        if window is not None:
            rows[window].append(record)
    return {name: count(found) for name, found in rows.items()}


def count(records: Sequence[Record]) -> dict[str, Any]:
    """Sent, failed, how many went over kept connections, and latencies."""
    return {
        "sent": len(records),
        "failed": sum(record.error is not None for record in records),
        "kept": sum(record.kept for record in records),
        **latencies(records),
    }


def summarise(records: Sequence[Record], marks: Sequence[float] = ()) -> dict[str, Any]:
    """The whole run: totals, rate, by service and kind, by window when there are marks, and the failures by kind."""
    first = min((record.at for record in records), default=0.0)
    last = max((record.at for record in records), default=0.0)
    services = sorted({record.service for record in records})
    result: dict[str, Any] = {
        "from": first,
        "to": last,
        "rate": round(len(records) / (last - first), 1) if last > first else 0.0,
        **count(records),
        "services": {},
        "failures": dict(Counter(f"{r.service} {r.kind}: {r.error}" for r in records if r.error is not None).most_common(20)),
    }
    for service in services:
        mine = [record for record in records if record.service == service]
        result["services"][service] = {
            **count(mine),
            "kinds": {kind: count([r for r in mine if r.kind == kind]) for kind in sorted({r.kind for r in mine})},
            **({"windows": by_window(mine, marks)} if marks else {}),
        }
    return result


def main() -> None:
    """Print the summary of a finished or running load as JSON."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("records", type=Path, help="what load.py wrote with --out")
    parser.add_argument("--mark", type=float, action="append", default=[], help="epoch second of a switch; may be repeated")
    options = parser.parse_args()
    print(json.dumps(summarise(read_records(options.records), options.mark), indent=2))


if __name__ == "__main__":
    main()
