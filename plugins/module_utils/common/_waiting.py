# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Waiting for what nobody announces."""

from __future__ import annotations

import time
from typing import Any, Callable


def until(condition: Callable[[], Any], timeout: float, interval: float = 0.05) -> bool:
    """Ask again and again, at least once; ``timeout`` and ``interval`` in seconds. False when the condition does not hold in time."""
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(interval)
    return True
