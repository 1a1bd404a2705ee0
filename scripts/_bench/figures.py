"""What a benchmark has found: figures with their bounds, as a table and as a file."""

from __future__ import annotations

import argparse
import json
import os
import time
from dataclasses import asdict, dataclass, field
from typing import Any

from . import CACHE, ROOT, hosts

PLACE = CACHE / "bench"
PING = "- {hosts: all, gather_facts: false, tasks: [{ansible.builtin.ping: }]}\n"
"""The playbook that others are compared with."""


@dataclass
class Figure:
    """One line of the table. ``value`` is a ratio unless ``unit`` says otherwise; without a bound it is only stated."""

    name: str
    value: float
    bound: float | None = None
    unit: str = ""
    samples: dict[str, list[float]] = field(default_factory=dict)
    least: bool = False
    """The bound is the least that the value may be; else it is the most."""

    @property
    def ok(self) -> bool:
        """Whether the bound is kept, as printed: to two decimals."""
        return self.bound is None or (round(self.value, 2) >= self.bound if self.least else round(self.value, 2) <= self.bound)

    def told(self) -> dict[str, Any]:
        """The figure for a file."""
        return {**asdict(self), "ok": self.ok}


class Measured:
    """What every benchmark has: its options, rounds and figures, a directory of its own, and the hosts that it has made."""

    prefix: str
    place: str

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.count = 2 if options.quick else 5
        self.figures: list[Figure] = []
        self.work = PLACE / self.place
        self.work.mkdir(parents=True, exist_ok=True)
        (self.work / "ping.yml").write_text(PING, encoding="utf-8")
        self._made: list[str] = []

    def started(self, name: str, *flags: str, image: str = "") -> str:
        """A fresh host; its container's name."""
        container = f"{self.prefix}-{name}"
        hosts.remove(container)
        self._made.append(container)
        hosts.start(container, self.options.suite, *flags, image=image)
        return container

    def clean(self) -> None:
        """Remove every host that was made."""
        for name in self._made:
            hosts.remove(name)


def line(figure: Figure) -> str:
    """A figure as a line of the table."""
    value = f"{figure.value:.{1 if figure.unit == 's' else 0}f} {figure.unit}" if figure.unit else f"{figure.value:.2f}"
    bound = "" if figure.bound is None else f"{'>= ' if figure.least else ''}{figure.bound:g}"
    word = "" if figure.bound is None else "ok" if figure.ok else "NOT ok"
    return f"{figure.name:<88} {value:>10}  {bound:>6}  {word}".rstrip()


def table(figures: list[Figure]) -> str:
    """All figures."""
    return "\n".join([f"{'figure':<88} {'value':>10}  {'bound':>6}", *(line(figure) for figure in figures)])


def finish(name: str, figures: list[Figure], started: float, count: int, suite: str) -> None:
    """Print the table, and write NAME.json with every sample."""
    print("\n" + table(figures))
    made = {"started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(started)), "seconds": round(time.time() - started), "rounds": count,
            "cpus": os.cpu_count(), "suite": suite, "figures": [figure.told() for figure in figures]}
    path = PLACE / f"{name}.json"
    path.write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    print(f"\nmedians of {count}; samples in {path.relative_to(ROOT)}")
