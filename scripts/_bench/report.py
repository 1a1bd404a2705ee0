"""What ran and how it ended."""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from . import LOGS, ROOT, BenchError, say

AT_ONCE = 2
"""Jobs that are worked on at a time: one waits about as much as it computes."""


@dataclass
class Outcome:
    """One check: how many tests in it passed and failed (a plain command is one test)."""

    name: str
    passed: int
    failed: int
    seconds: float
    note: str = ""
    why: list[str] = field(default_factory=list)
    """Lines of its log that say what went wrong."""


TELLING = r"^fatal: |^failed: |^\[ERROR\]|^ERROR: |^E  |: error:|FAILED(?! - RETRYING)"
"""Lines of Ansible, ansible-test, pytest, mypy and molecule that say what went wrong."""


BELOW = 25
"""Lines that are shown of what such a line begins."""


def excerpt(lines: Sequence[str], show: str = "") -> list[str]:
    """What of a failed check's log is worth reading first: the lines that say what went wrong, then how it ended. Pure."""
    chosen = [line for line in lines if show and re.search(show, line)] or list(lines)
    telling = reasons(lines)
    return [*telling, *(["…"] if telling else []), *chosen[-40:]]


def reasons(lines: Sequence[str]) -> list[str]:
    """The last lines that say what went wrong, each with the first indented ones below it (Ansible's result, pytest's values). Pure."""
    told: list[str] = []
    below = 0
    for line in lines:
        below = BELOW if re.search(TELLING, line) else below - 1 if line.startswith("  ") else 0
        if below > 0:
            told.append(line)
    return told[-2 * BELOW:]


@dataclass
class Report:
    """All checks of a run."""

    outcomes: list[Outcome] = field(default_factory=list)

    def add(self, outcome: Outcome, log: Path | None = None, show: str = "") -> None:
        """Note an outcome and print it; a failure with the end of its log, or with the lines of it that match ``show``."""
        self.outcomes.append(outcome)
        word = "FAILED" if outcome.failed else "passed"
        count = f"{outcome.passed} passed, {outcome.failed} failed, " if outcome.passed + outcome.failed > 1 else ""
        print(f"  {word}: {outcome.name} ({count}{outcome.seconds:.0f} s){' ' + outcome.note if outcome.note else ''}", flush=True)
        if outcome.failed and log is not None and log.is_file():
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            outcome.why = reasons(lines) or lines[-BELOW:]
            print("\n".join(f"  | {line[:600]}" for line in excerpt(lines, show)))
            print(f"  whole log: {log}", flush=True)

    def check(self, name: str, argv: Sequence[str], *, env: Mapping[str, str] | None = None, cwd: Path = ROOT, timeout: float = 900,
              count: Callable[[int, str], tuple[int, int]] | None = None, show: str = "") -> bool:
        """Run a command as a check. ``count`` turns its code and what it printed into (passed, failed); without it, it is one test."""
        say(f"{name}: {' '.join(map(str, argv))[:150]}")
        log = LOGS / f"test-{name.replace(' ', '-').replace('/', '-')}.log"
        started = time.monotonic()
        code = run_logged(argv, log, env=env, cwd=cwd, timeout=timeout)
        text = log.read_text(encoding="utf-8", errors="replace")
        passed, failed = count(code, text) if count else (int(code == 0), int(code != 0))
        self.add(Outcome(name, passed, failed, time.monotonic() - started), log, show)
        return failed == 0

    def finish(self) -> int:
        """Print the table, why something failed (once more, for who sees only the end), and the last line; the exit code."""
        print("\nwhat ran:")
        for outcome in self.outcomes:
            word = "FAILED" if outcome.failed else "passed"
            print(f"  {word}  {outcome.passed:5d} passed {outcome.failed:4d} failed {outcome.seconds:6.0f} s  {outcome.name}")
        for outcome in (item for item in self.outcomes if item.failed):
            print("\n".join([f"\nfailed: {outcome.name} {outcome.note}".rstrip(), *(f"  | {line[:400]}" for line in outcome.why)]))
        passed, failed = (sum(getattr(outcome, what) for outcome in self.outcomes) for what in ("passed", "failed"))
        print(f"\n{passed} passed, {failed} failed", flush=True)
        return 1 if failed or not passed else 0


def run_logged(argv: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path = ROOT, timeout: float = 900,
               on_line: Callable[[str], None] | None = None) -> int:
    """Run a command with all that it prints in ``log`` (made anew) and its code as result; 124 when it took too long."""
    LOGS.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + timeout
    if _interrupted.is_set():
        raise BenchError("interrupted")
    with log.open("w", encoding="utf-8") as out:
        process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE if on_line else out, stderr=subprocess.STDOUT,
                                   env={**os.environ, **(env or {})}, cwd=cwd, start_new_session=True, text=True, errors="replace")
        _running.add(process)
        try:
            if on_line:
                watch(process, out, on_line, deadline)
            return process.wait(max(1.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            out.write(f"\nstopped: it took longer than {timeout:.0f} s\n")
            return 124
        finally:
            end(process)
            _running.discard(process)


_running: set[subprocess.Popen[str]] = set()
_interrupted = threading.Event()


def side_by_side(jobs: Iterable[Callable[[], None]]) -> None:
    """Do jobs, ``AT_ONCE`` at a time. When one raises, or this thread is interrupted, what runs by ``run_logged`` is ended and no other job begins."""
    pool = ThreadPoolExecutor(AT_ONCE)
    try:
        for done in [pool.submit(job) for job in jobs]:
            done.result()
    except BaseException:
        _interrupted.set()
        for process in list(_running):
            end(process)
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def end(process: subprocess.Popen[str]) -> None:
    """End a process that leads a session of its own, with all that it started; one that has ended is left alone."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def watch(process: subprocess.Popen[str], out: TextIO, on_line: Callable[[str], None], deadline: float) -> None:
    """Copy what a process prints to ``out``, and line by line to ``on_line``, until it closes its output or the deadline passes."""
    if process.stdout is None:
        raise ValueError("the process has no pipe")
    os.set_blocking(process.stdout.fileno(), False)
    rest = ""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while time.monotonic() < deadline:
            if not selector.select(timeout=1):
                if process.poll() is not None:
                    break
                continue
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                break
            text = data.decode(errors="replace")
            out.write(text)
            out.flush()
            *lines, rest = (rest + text).split("\n")
            for line in lines:
                on_line(line)
