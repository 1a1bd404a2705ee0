"""The shell around every module: the lock, commands, errors."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _module


def test_the_lock_is_waited_for(tmp_path: Path) -> None:
    path, order = str(tmp_path / "lock"), []
    held = threading.Event()

    def hold() -> None:
        with _module.host_lock(path):
            held.set()
            time.sleep(0.3)
            order.append("first")

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    with _module.host_lock(path):
        order.append("second")
    other.join()
    assert order == ["first", "second"]


def test_a_lock_that_stays_is_said(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with _module.host_lock(path), pytest.raises(_module.WebstackError, match="another gantry.webstack run is at work"), _module.host_lock(path, seconds=0):
        pass
    with _module.host_lock(path, seconds=0):
        pass


def test_a_command_that_fails_says_its_last_line() -> None:
    with pytest.raises(_module.CommandError, match=r"^sh -c echo one; echo two >&2; exit 3 failed \(rc 3\): two$") as failed:
        _module.run(["sh", "-c", "echo one; echo two >&2; exit 3"])
    assert failed.value.details["rc"] == 3
    assert failed.value.details["stdout"] == "one\n"


def test_a_command_that_is_not_there_is_said() -> None:
    with pytest.raises(_module.CommandError, match="^/no/such/tool could not be started: No such file or directory$"):
        _module.run(["/no/such/tool"])
