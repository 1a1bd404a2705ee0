"""Measuring commands: wall-clock time, processor time and memory of a whole process tree, and medians of interleaved rounds."""

from __future__ import annotations

import math
import os
import statistics
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from . import BenchError


@dataclass
class Run:
    """One command: seconds by the clock, seconds of processor time (its children's included), and what it printed."""

    wall: float
    cpu: float
    output: str


def spans(argv: Sequence[str], *, timeout: float = 900) -> tuple[float, dict[str, float], str]:
    """Run a playbook that must succeed: seconds by the clock, seconds of each task by its name, and what it printed."""
    started = time.monotonic()
    moments: list[tuple[str, float]] = []
    lines: list[str] = []
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True) as process:
        timer = threading.Timer(timeout, process.kill)
        timer.start()
        for line in process.stdout or []:
            lines.append(line)
            if line.startswith(("TASK [", "PLAY RECAP")):
                moments.append((line[line.find("[") + 1:line.rfind("]")].rpartition(" : ")[2], time.monotonic()))
        process.wait()
        timer.cancel()
    if process.returncode != 0:
        raise BenchError(f"{' '.join(argv)[:200]} ended with code {process.returncode}:\n{''.join(lines)[-3000:]}")
    taken = {name: after - begin for (name, begin), (dummy, after) in zip(moments, moments[1:])}
    return time.monotonic() - started, taken, "".join(lines)


@dataclass
class Series:
    """The same thing measured in several rounds."""

    samples: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        return statistics.median(self.samples)


def measure(argv: Sequence[str], *, env: Mapping[str, str] | None = None, timeout: float = 900) -> Run:
    """Run a command that must succeed. Raises BenchError with the end of what it printed."""
    started = time.monotonic()
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
                               env={**os.environ, **(env or {})}, start_new_session=True)
    timer = threading.Timer(timeout, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        text = process.stdout.read()
        # wait4(2), unlike Popen.wait, tells the processor time of this one child and of all that it has waited for.
        dummy, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    finally:
        timer.cancel()
        process.stdout.close() if process.stdout else None
    if process.returncode != 0:
        raise BenchError(f"{' '.join(argv)[:200]} ended with code {process.returncode}:\n{text[-3000:]}")
    return Run(time.monotonic() - started, usage.ru_utime + usage.ru_stime, text)


def p99(latencies: Sequence[float]) -> float:
    """The 99th percentile by nearest rank: the smallest value that 99 % do not exceed."""
    return sorted(latencies)[math.ceil(0.99 * len(latencies)) - 1]


LONG = 20
"""Seconds from which on a measurement is told as it ends: nobody likes to wait without a sign."""


def rounds(count: int, sides: Mapping[str, Callable[[], float]]) -> dict[str, Series]:
    """Measure every side once per round, so that what else the machine does meets all of them alike; each round begins with another side."""
    series = {name: Series() for name in sides}
    names = list(sides)
    for number in range(count):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            begun = time.monotonic()
            series[name].samples.append(sides[name]())
            if time.monotonic() - begun > LONG:
                print(f"    {name}, round {number + 1} of {count}: {time.monotonic() - begun:.0f} s", flush=True)
    return series


def tree(pid: int) -> list[int]:
    """A process and all below it (proc(5): /proc/PID/task/TID/children)."""
    found = [pid]
    for parent in found:
        for path in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += [int(word) for word in path.read_text(encoding="ascii").split()]
            except OSError:
                continue
    return found


def _pss(pid: int) -> int:
    """Proportional set size in KiB: memory that several processes share counts once over all of them."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def peak_memory(argv: Sequence[str], *, every: float = 0.05) -> float:
    """The largest memory in MiB that a command and its children had together while it ran, looked at each ``every`` seconds."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    most = 0
    while process.poll() is None:
        most = max(most, sum(_pss(pid) for pid in tree(process.pid)))
        time.sleep(every)
    if process.returncode != 0:
        raise BenchError(f"{' '.join(argv)[:200]} ended with code {process.returncode}")
    return most / 1024
