"""Steps that say what they do: a line with a running clock on a terminal, plain lines elsewhere."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType

SPINNER = "|/-\\"
PLAIN_EVERY = 15.0
"""Seconds between two lines of a long step where nobody watches a terminal."""


class Step:
    """One step, as a context manager: tells its text, then the time and ``detail()`` while it runs, then how long it took."""

    def __init__(self, text: str, detail: Callable[[], str] = lambda: "") -> None:
        self.text = text
        self.detail = detail
        self.seconds = 0.0
        self._begin = 0.0
        self._ended = threading.Event()
        self._terminal = sys.stdout.isatty()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Step:
        self._begin = time.monotonic()
        if not self._terminal:
            print(f"> {self.text}", flush=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.seconds = time.monotonic() - self._begin
        self._ended.set()
        self._thread.join()
        outcome = "" if kind is None else "FAILED after "
        if self._terminal:
            print(f"\r\x1b[K> {self.text}: {outcome}{self.seconds:.1f} s", flush=True)
        else:
            print(f"  {outcome}{self.seconds:.1f} s", flush=True)

    def _watch(self) -> None:
        turn = 0
        while not self._ended.wait(0.25 if self._terminal else PLAIN_EVERY):
            label = re.split("[:,]", self.text)[0]  # the whole text would leave no room for the rest
            line = f"{label}  {time.monotonic() - self._begin:.0f} s  {self.detail()}".rstrip()
            if self._terminal:
                width = shutil.get_terminal_size().columns - 3
                print(f"\r\x1b[K{SPINNER[turn % len(SPINNER)]} {line[:width]}", end="", flush=True)
                turn += 1
            else:
                print(f"  {line}", flush=True)
