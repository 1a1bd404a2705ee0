# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a host how far a module has got while it runs there.

The module runs as ever, and its result is what it always is. A fork of the worker, with a copy of the connection, reads the module's file beside it; whatever
goes wrong there is the end of the fork alone.
"""

from __future__ import annotations

import os
import secrets
import shlex
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, NoReturn

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ansible_collections.gantry.webstack.plugins.module_utils.common._progress import VARIABLE
from ansible_collections.gantry.webstack.plugins.plugin_utils import progress_channel

CONNECTIONS = ("ssh", "local", "docker", "podman")
"""Connections that start a process for each command; others have a socket that two processes cannot share."""

FIRST, SOONEST, LATEST = 0.5, 0.5, 4.0
"""Seconds until a host is asked for the first time, and between two questions: the sooner the more it had to tell."""

FAILURES = 3
"""Questions in a row that may fail, such as where the server lets no second session in."""


class Watched(ActionBase):
    """An action whose module is watched while it runs, where anybody draws what it tells."""

    def _execute_module(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        channel = progress_channel.channel()
        known = self._connection.transport.rpartition(".")[2] in CONNECTIONS
        if channel is None or not known or self._task.check_mode or self._task.async_val:
            return super()._execute_module(*args, **kwargs)
        path = f"/run/webstack-progress-{secrets.token_hex(8)}"
        host = str((kwargs.get("task_vars") or {}).get("inventory_hostname", ""))
        self._task.environment.append({VARIABLE: path})
        try:
            with self._beside(channel, host, path):
                return super()._execute_module(*args, **kwargs)
        finally:
            self._task.environment.remove({VARIABLE: path})

    @contextmanager
    def _beside(self, channel: progress_channel.Channel, host: str, path: str) -> Iterator[None]:
        parent, child = os.getpid(), 0
        with suppress(OSError):  # no process to spare: nothing is shown
            child = os.fork()
            if child == 0:
                self._ask_on(channel, host, path, parent)
        try:
            yield
        finally:
            if child:
                with suppress(OSError):
                    os.kill(child, signal.SIGKILL)
                    os.waitpid(child, 0)

    def _ask_on(self, channel: progress_channel.Channel, host: str, path: str, parent: int) -> NoReturn:
        """Ask until the worker ends this process, or has ended itself."""
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            Display().set_queue(None)  # it has a lock, with which this process must not die
            pause, failures, former = FIRST, 0, ""
            while failures < FAILURES:
                time.sleep(pause)
                if os.getppid() != parent:
                    break
                try:
                    line = self._low_level_execute_command(f"cat {shlex.quote(path)} 2>/dev/null || :")["stdout"].strip()
                    failures = 0
                except Exception:  # pylint: disable=broad-exception-caught
                    line, failures = "", failures + 1
                pause = SOONEST if line != former else min(pause * 1.2, LATEST)
                former = line
                told = progress_channel.news(host, self._task._uuid, line.splitlines()[-1] if line else "")
                if told is not None:
                    channel.tell(told)
        finally:
            os._exit(0)
