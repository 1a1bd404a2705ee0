# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who goes on when a process is killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Callable

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.move import _dead_man


def killed() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def refused() -> None:
    raise ValueError("refused")


@pytest.mark.parametrize(("block", "goes_on"), [(killed, True), (refused, False), (lambda: None, False)])
def test_a_process_that_is_killed_is_followed_by_another(tmp_path: Path, block: Callable[[], None], goes_on: bool) -> None:
    done = tmp_path / "done"
    pid = os.fork()
    if pid == 0:
        try:
            with _dead_man.beside(lambda: done.write_text(str(os.getsid(0) == os.getpid()), encoding="utf-8")):
                block()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    end = time.monotonic() + 10
    while goes_on and not done.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert done.exists() == goes_on
    if goes_on:
        time.sleep(0.05)
        assert done.read_text(encoding="utf-8") == "True"
