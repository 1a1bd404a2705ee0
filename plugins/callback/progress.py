# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: stdout
short_description: Show a run as it happens, host by host and phase by phase
version_added: 0.2.0
description:
  - On a terminal one line per host shows its phase, for how long it has been there, and a bar. While an image is built or state is copied, the bar shows
    how many bytes of it are done, and otherwise how many of the play's steps. A phase that is over
    leaves a line with its time and what it came to. A table at the end tells where each service runs, the size of its image, and the seconds of each phase.
  - Without a terminal (in CI, in the log of an AWX job) there are plain lines, and one now and then for a phase that takes long.
  - A failure is told by its one sentence, with the place of the whole result.
  - The bytes are asked of the host about once a second, over a further session of the same connection, with the connections ssh, local, docker and podman.
    Where that is not possible, in check mode and without a terminal no host is asked for anything.
  - E(NO_COLOR), C(-v), C(--check) and C(--diff) do what they do with Ansible's own callback.
extends_documentation_fragment:
  - result_format_callback
options:
  plain:
    description: Write plain lines on a terminal too.
    type: bool
    default: false
    env:
      - name: WEBSTACK_PROGRESS_PLAIN
    ini:
      - section: callback_webstack_progress
        key: plain
  every:
    description: Seconds after which a phase that goes on is told again where there is no terminal; 0 for never.
    type: float
    default: 30
    env:
      - name: WEBSTACK_PROGRESS_EVERY
    ini:
      - section: callback_webstack_progress
        key: every
  failures:
    description:
      - A directory on the control node for the whole result of a host's last failure, as JSON that only its owner can read.
        The result is printed instead when this is empty or cannot be written.
    type: path
    default: ~/.ansible/webstack-failures
    env:
      - name: WEBSTACK_PROGRESS_FAILURES
    ini:
      - section: callback_webstack_progress
        key: failures
requirements:
  - set it as stdout callback, such as by E(ANSIBLE_STDOUT_CALLBACK) or C(stdout_callback) in ansible.cfg
"""

import json
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible import constants as C
from ansible import context
from ansible.plugins.callback import CallbackBase

from ansible_collections.gantry.webstack.plugins.plugin_utils import plan_dir, progress, progress_channel, progress_live

COLOURS = {"ok": C.COLOR_OK, "changed": C.COLOR_CHANGED, "failed": C.COLOR_ERROR, "soft": C.COLOR_VERBOSE, "": None}


class CallbackModule(CallbackBase):
    """Turns Ansible's events into those of progress.Run, and shows what comes out of it."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "gantry.webstack.progress"

    def __init__(self) -> None:
        super().__init__()
        self.progress = progress.Run()
        self.live: progress_live.Live | None = None
        self.played = False

    # What is shown.

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """The lines at work make room for what is written, and come back below it."""
        if self.live is None:
            yield
            return
        with self.live.aside():
            yield

    def _say(self, lines: list[progress.Line]) -> None:
        if lines:
            with self._aside():
                for line in lines:
                    self._display.display(line.text, color=COLOURS[line.kind])

    def _watched(self, now: float, turn: int, columns: int, rows: int) -> list[str]:
        channel = progress_channel.channel()
        for news in channel.heard() if channel is not None else []:
            self.progress.heard(news)
        return self.progress.live(now, turn, columns, rows, progress_live.fancy(sys.stdout))

    def _waited(self, now: float) -> None:
        every = self.get_option("every")
        self._say(self.progress.waiting(now, every) if every > 0 else [])

    # Events.

    def v2_playbook_on_start(self, playbook: Any) -> None:
        self.progress.check = bool(context.CLIARGS.get("check"))
        asks = context.CLIARGS.get("step") or self._display.verbosity > 2
        terminal = progress_live.is_terminal(sys.stdout) and not self.get_option("plain") and not asks
        if terminal:
            progress_channel.open_channel()
        self.live = progress_live.Live(self._watched, self._waited, sys.stdout.fileno() if terminal else None)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        variables = play.get_variable_manager()
        hosts = variables._inventory.get_hosts(play.hosts) if variables is not None and variables._inventory is not None else []
        self._say(self.progress.play(play.get_name().strip(), [host.name for host in hosts], list(_steps(play.compile())), time.monotonic()))
        if self.live is not None:
            self.live.start()

    def v2_playbook_on_no_hosts_matched(self) -> None:
        self._say([progress.Line("no host matches: look at the inventory, --limit and webstack_hosts", "soft")])

    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        action = task.resolved_action or task.action
        if action.rpartition(".")[2] == "pause" and self.live is not None:
            self.live.stop()  # it asks somebody at the terminal
        role = task._role.get_name() if task._role else ""
        self._say(self.progress.starting(host.get_name(), progress.phase_of(action, role), task._uuid, time.monotonic()))
        if action.rpartition(".")[2] != "pause" and self.live is not None:
            self.live.start()

    def v2_runner_on_ok(self, result: Any) -> None:
        action = _action(result)
        self.progress.ended(result.host.get_name(), action, result.result, time.monotonic())
        shown = action in ("ansible.builtin.debug", "debug") and not result.task.loop
        with self._aside():
            self._handle_warnings_and_exception(result)
            if shown:
                self._tell_debug(result)
            else:
                self._tell_verbose(result, "changed" if result.is_changed() else "ok")

    def v2_runner_on_skipped(self, result: Any) -> None:
        self.progress.ended(result.host.get_name(), _action(result), {}, time.monotonic())
        with self._aside():
            self._handle_warnings_and_exception(result)
            self._tell_verbose(result, "skipped")

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        self._failed(result, ignore_errors)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        self._failed(result, bool(result.task.ignore_unreachable))

    def v2_runner_item_on_ok(self, result: Any) -> None:
        with self._aside():
            self._handle_warnings_and_exception(result)
            if _action(result) in ("ansible.builtin.debug", "debug"):
                self._tell_debug(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        with self._aside():
            self._handle_warnings(result.result)
            label = self._get_item_label(result.result)
            self._display.display(f"{result.host.get_name()}  item {label}: {progress.text.sentence(result.result)}", color=C.COLOR_ERROR)

    def v2_runner_retry(self, result: Any) -> None:
        if self._display.verbosity > 0:
            left = result.result["retries"] - result.result["attempts"]
            self._say([progress.Line(f"{result.host.get_name()}  {result.task_name}: once more, {left} times left", "soft")])

    def v2_on_file_diff(self, result: Any) -> None:
        results = result.result.get("results", []) if result.task.loop else [result.result]
        for item in results:
            diff = self._get_diff(item["diff"]) if item.get("diff") and item.get("changed") else ""
            if diff:
                with self._aside():
                    self._display.display(diff)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        now = time.monotonic()
        lines = self.progress.finish(now)
        if self.live is not None:
            self.live.stop()
        self._say([*lines, *(self.progress.tables(now) if self.progress.hosts else [])])

    # One result.

    def _tell_debug(self, result: Any) -> None:
        shown = {key: value for key, value in result.result.items() if not key.startswith("_") and key not in self._hide_in_debug}
        told = shown.get("msg") if "msg" in shown else shown
        lines = [str(line) for line in told] if isinstance(told, list) else [told] if isinstance(told, str) else [self._dump_results(result.result, indent=2)]
        for line in "\n".join(lines).splitlines():
            self._display.display(f"{result.host.get_name()}  {line}")

    def _tell_verbose(self, result: Any, word: str) -> None:
        if self._run_is_verbose(result):
            whole = f" => {self._dump_results(result.result)}" if self._display.verbosity > 1 else ""
            colour = {"changed": C.COLOR_CHANGED, "ok": C.COLOR_OK, "skipped": C.COLOR_SKIP}[word]
            self._display.display(f"{result.host.get_name()}  {word}: {result.task_name}{whole}", color=colour)

    def _failed(self, result: Any, ignored: bool) -> None:
        host = result.host.get_name()
        lines = self.progress.failed(host, result.task_name, result.result, time.monotonic(), ignored, _action(result))
        whole = self._dump_results(result.result, indent=2)
        with self._aside():
            self._handle_warnings(result.result)
            self._say(lines)
            if not ignored:
                place = self._keep(host, result.task_name, whole)
                if self._display.verbosity > 0 or not place:
                    self._display.display(f"  the whole result: {whole}")
                if place:
                    self._display.display(f"  the whole result is in {place}")

    def _keep(self, host: str, task: str, whole: str) -> str:
        """Write a result for its owner alone; its place, or nothing when there is none."""
        folder = self.get_option("failures")
        if not folder:
            return ""
        path = os.path.join(folder, f"{plan_dir.file_name(host)}.json")
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            handle = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(f'{{"host": {json.dumps(host)}, "task": {json.dumps(task)}, "result": {whole}}}\n')
            os.replace(f"{path}.new", path)
        except OSError:
            return ""
        return path


def _action(result: Any) -> str:
    return result.task.resolved_action or result.task.action


def _steps(blocks: list[Any]) -> Iterator[str]:
    """The ids of all tasks that are known before the play runs."""
    for item in blocks:
        if hasattr(item, "block"):
            for part in (item.block, item.rescue, item.always):
                yield from _steps(part)
        elif item.action not in ("meta", "ansible.builtin.meta", "ansible.legacy.meta"):
            yield item._uuid
