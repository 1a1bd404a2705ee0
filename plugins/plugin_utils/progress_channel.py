# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""From the workers to the callback that draws: a pipe that they inherit, one line of JSON a time. Without a terminal there is none, and no host is asked."""

from __future__ import annotations

import json
import os
import select
from contextlib import suppress
from typing import Any, NamedTuple


class News(NamedTuple):
    """How far the task ``step`` has got on ``host``: ``done`` of ``total`` bytes of ``what``; a total of 0 is not known, and no ``what`` is the end of it."""

    host: str
    step: str
    what: str
    done: int
    total: int


class Channel:
    """A pipe of lines no longer than what is written in one piece (pipe(7)). Full, it loses the newest, and nobody waits."""

    def __init__(self) -> None:
        self._reader, self._writer = os.pipe()
        self._rest = b""
        for end in (self._reader, self._writer):
            os.set_blocking(end, False)

    def tell(self, news: News) -> None:
        """Called by a worker."""
        line = json.dumps(news).encode("ascii") + b"\n"
        if len(line) <= select.PIPE_BUF:
            with suppress(OSError):
                os.write(self._writer, line)

    def heard(self) -> list[News]:
        """What workers have told since."""
        with suppress(OSError):
            self._rest += os.read(self._reader, 65536)
        *lines, self._rest = self._rest.split(b"\n")
        return [News(*json.loads(line)) for line in lines]


_channel: Channel | None = None


def open_channel() -> Channel:
    """The channel, for those who are forked from here on."""
    global _channel  # pylint: disable=global-statement
    _channel = _channel or Channel()
    return _channel


def channel() -> Channel | None:
    """The channel, where anybody draws."""
    return _channel


def news(host: str, step: str, line: str) -> News | None:
    """What a line of module_utils/common/_progress.py says; None when it says nothing. It comes from a managed host, so it may be anything. Pure."""
    with suppress(ValueError, RecursionError):
        told: Any = json.loads(line)
        if isinstance(told, dict):
            what, values = told.get("what"), [told.get("done"), told.get("total")]
            amounts = [value for value in values if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63]
            if isinstance(what, str) and len(amounts) == len(values):
                return News(host, step, what[:80], amounts[0], amounts[1])
    return None
