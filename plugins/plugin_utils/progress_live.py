# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines at the end of a terminal that change while others are written above them, and the clock that drives them.

The cursor stays at the begin of the first of them, so what others write unasked replaces them instead of being lost between them.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TextIO

TICK, SLOW_TICK = 0.2, 1.0
"""Seconds between two looks, on a terminal and elsewhere."""

CLEAR = "\r\x1b[J"


def is_terminal(stream: TextIO) -> bool:
    """Whether somebody watches, on something that knows its cursor."""
    with suppress(AttributeError, ValueError, OSError):
        return os.isatty(stream.fileno()) and os.environ.get("TERM", "dumb") not in ("", "dumb")
    return False


def fancy(stream: TextIO) -> bool:
    """Whether the stream takes more than ASCII."""
    return (getattr(stream, "encoding", "") or "").lower().replace("-", "") == "utf8"


class Live:
    """``lines(now, turn, columns, rows)`` are drawn on ``descriptor``; without one, ``waited(now)`` is called now and then instead."""

    def __init__(self, lines: Callable[[float, int, int, int], list[str]], waited: Callable[[float], None], descriptor: int | None) -> None:
        self.lines = lines
        self.waited = waited
        self.descriptor = descriptor
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._turn = 0
        self._drawn = False
        # Ansible forks a worker for each task: none may begin its life with the lock in another's hand.
        os.register_at_fork(before=self._lock.acquire, after_in_parent=self._lock.release, after_in_child=self._unlock)

    def _unlock(self) -> None:
        self._lock = threading.RLock()
        self._thread, self.descriptor = None, None  # a worker draws nothing

    def start(self) -> None:
        """Begin to draw; nothing to do when it has begun."""
        if self._thread is None:
            self._ended.clear()
            self._thread = threading.Thread(target=self._watch, name="progress", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Leave the terminal as if nothing had been drawn."""
        if self._thread is not None:
            self._ended.set()
            self._thread.join()
            self._thread = None
        with self._lock:
            self._clear()

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Make room for lines that stay."""
        with self._lock:
            self._clear()
            yield

    def _watch(self) -> None:
        while not self._ended.wait(TICK if self.descriptor is not None else SLOW_TICK):
            with self._lock:
                if self.descriptor is None:
                    self.waited(time.monotonic())
                else:
                    self._draw()

    def _draw(self) -> None:
        size = shutil.get_terminal_size()
        self._turn += 1
        lines = self.lines(time.monotonic(), self._turn, size.columns, max(2, min(size.lines - 2, 24)))
        self._clear()
        if lines:
            up = f"\x1b[{len(lines) - 1}A" if len(lines) > 1 else ""
            self._write("\r\n".join(lines) + f"\r{up}")
            self._drawn = True

    def _clear(self) -> None:
        if self._drawn:
            self._write(CLEAR)
            self._drawn = False

    def _write(self, text: str) -> None:
        data = text.encode("utf-8", "replace")
        with suppress(OSError):  # the terminal is gone
            while data and self.descriptor is not None:
                data = data[os.write(self.descriptor, data):]
