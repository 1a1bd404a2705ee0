# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A second process beside one that makes requests wait: should the first be killed, it goes on at once, so that nobody waits for the next run."""

from __future__ import annotations

import contextlib
import os
from typing import Callable, Iterator

_DONE = b"."


@contextlib.contextmanager
def beside(go_on: Callable[[], object]) -> Iterator[None]:
    """Call ``go_on`` in a process of its own session when this one ends without leaving the block; an exception leaves it too.

    It has every lock of this process (flock(2): a lock belongs to the open file, which a fork shares), so another run waits until it is done.
    """
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(writing)
        _wait(reading, go_on)
    os.close(reading)
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):
            os.write(writing, _DONE)
        os.close(writing)
        os.waitpid(pid, 0)


def _wait(reading: int, go_on: Callable[[], object]) -> None:
    """What the second process does; never returns."""
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):  # the connection to the control node ends with the first process
            os.dup2(nothing, number)
        if os.read(reading, 1) != _DONE:
            go_on()
    finally:
        os._exit(0)
