# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How far a long piece of work has got, for who watches: a line of JSON in a file on the host that the control node named, and reads meanwhile."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import time
from typing import Iterable, Iterator

VARIABLE = "WEBSTACK_PROGRESS_FILE"
"""The environment variable that names the file. Set by the control node's plugin_utils/progress_watch.py, and by nobody else."""

EVERY = 0.2
"""Seconds between two writes."""

WIDTH = 512
"""Bytes of the file: one write at its begin, so a reader sees the one line or the other."""


class Progress:
    """Nothing without a path, and never a reason for the work itself to fail. The file is its owner's alone, and goes with the process."""

    def __init__(self, path: str) -> None:
        self._fd, self._what, self._done, self._total, self._next = -1, "", 0, 0, 0.0
        if path:
            with contextlib.suppress(OSError):
                self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
                atexit.register(self.end, path)

    @property
    def wanted(self) -> bool:
        """Whether anybody watches."""
        return self._fd >= 0

    def begin(self, what: str, total: int) -> None:
        """Another piece of work, of ``total`` bytes; 0 when that is not known. No ``what``: none that can be measured."""
        self._what, self._done, self._total, self._next = what, 0, total, 0.0
        self.add(0)

    def add(self, number: int) -> None:
        """So many bytes more are done."""
        self.reach(self._done + number)

    def reach(self, done: int) -> None:
        """So many bytes are done in all."""
        self._done = done
        if self._fd >= 0:
            now = time.monotonic()
            if now >= self._next or done >= self._total > 0:  # the end is told at once: nothing may follow for a while
                self._next = now + EVERY
                self._write()

    def counted(self, chunks: Iterable[bytes]) -> Iterator[bytes]:
        """Pass the chunks on, and count them."""
        for chunk in chunks:
            self.add(len(chunk))
            yield chunk

    def end(self, path: str) -> None:
        """Remove the file."""
        with contextlib.suppress(OSError):
            os.unlink(path)

    def _write(self) -> None:
        line = json.dumps({"what": self._what[:80], "done": min(self._done, self._total), "total": self._total})
        with contextlib.suppress(OSError):
            os.pwrite(self._fd, line.ljust(WIDTH - 1).encode("ascii")[:WIDTH - 1] + b"\n", 0)


SHOWN = Progress(os.environ.pop(VARIABLE, ""))
"""That of this process."""
