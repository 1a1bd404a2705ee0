# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes as /proc shows them."""

from __future__ import annotations

import os
import time

from ansible_collections.gantry.webstack.plugins.module_utils.common import _processes

# /proc/1/stat of a Debian 12 host, with a name that tries to confuse
STAT = ("1 (sys) temd) S 0 1 1 0 -1 4194560 3905 16528 2 9 18 14 8 7 20 0 1 0 270082 104259584 2957 18446744073709551615 94737670463488 "
        "94737670500589 140726850432928 0 0 0 671173123 4096 1260 1 0 0 17 0 0 0 0 0 0 94737670525072 94737670529040 94738515636224 0 0 0 0 0")


def test_parse_stat() -> None:
    process = _processes.parse_stat(STAT, now=10000.0, uptime=5000.0, ticks=100)
    assert process == _processes.Process(1, 0, "S", 10000.0 - 5000.0 + 2700.82, [])


def test_this_process() -> None:
    seen = _processes.processes()
    mine = seen[os.getpid()]
    assert mine.parent == os.getppid()
    assert "pytest" in " ".join(mine.argv) or "python" in mine.argv[0]
    assert 0 <= time.time() - mine.started < 86400
    assert mine in _processes.children(os.getppid(), seen)
