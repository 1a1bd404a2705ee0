# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd units, the whole list in one call: the file, enabled, running, and running what is in the file."""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files

DIRECTORY = "/etc/systemd/system"
_PROPERTIES = ("LoadState", "ActiveState", "UnitFileState", "NeedDaemonReload", "ActiveEnterTimestampMonotonic", "Type")


class State(NamedTuple):
    """What systemd and the disk know of one unit; ``entered`` and ``written`` are seconds since the epoch."""

    content: Optional[str]
    loaded: bool
    active: bool
    enabled: bool
    entered: float
    written: float


def actions(unit: Mapping[str, Any], state: State) -> List[str]:
    """What to do for one unit, in order: write, enable, start, restart, stop, disable. Pure.

    A unit whose file is newer than its start is restarted although the file is right: the run that wrote it ended before.
    """
    todo = []
    written = unit["content"] is not None and state.content != unit["content"]
    if written:
        todo.append("write")
    if unit["enabled"] and not state.enabled:
        todo.append("enable")
    if unit["enabled"] is False and state.enabled:
        todo.append("disable")
    if unit["state"] == "started":
        outdated = unit["content"] is not None and (written or state.written > state.entered + _processes.CLOCK_SLACK)
        if not state.active:
            todo.append("start")
        elif outdated:
            todo.append("restart")
    elif unit["state"] == "stopped" and state.active:
        todo.append("stop")
    return todo


class SystemdUnits(WebstackModule):
    """The module's behaviour; see the documentation of systemd_units."""

    def run(self) -> None:
        todo = {unit["name"]: self._plan(unit) for unit in self.params["units"]}
        self.result.update(actions={name: what for name, what in todo.items() if what})
        if self.check_mode:
            return
        wanted = {unit["name"]: unit for unit in self.params["units"]}
        for name, what in todo.items():
            if "write" in what:
                transaction = _own_files.Transaction()
                transaction.apply(_own_files.Change(self._path(name), None, _own_files.Target(wanted[name]["content"])))
        if any("write" in what for what in todo.values()):
            run(["systemctl", "daemon-reload"])
        for name, what in todo.items():
            for verb in what:
                if verb != "write":
                    self._systemctl(verb, name)

    @staticmethod
    def _path(name: str) -> str:
        return os.path.join(DIRECTORY, name)

    def _plan(self, unit: Dict[str, Any]) -> List[str]:
        name = unit["name"]
        target = _own_files.look(self._path(name)) if unit["content"] is not None else None
        state = self._state(name, target)
        if not state.loaded and unit["content"] is None and not self.check_mode:
            raise WebstackError("there is no unit %s on this host" % name)
        todo = actions(unit, state)
        if "write" in todo:
            self.add_diff(self._path(name), target.text if target else "", unit["content"])
        rest = [verb for verb in todo if verb != "write"]
        self.add_diff(name, "", "".join("systemctl %s %s\n" % (verb, name) for verb in rest))
        return todo

    def _state(self, name: str, target: Optional[_own_files.Target]) -> State:
        known = _processes.unit_properties(name, *_PROPERTIES)
        if not known and not self.check_mode:
            raise WebstackError("this host is not run by systemd; gantry.webstack needs it to keep %s running" % name)
        entered = time.time() - time.monotonic() + int(known.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        written = os.stat(self._path(name)).st_mtime if target else 0.0
        return State(target.text if target else None, known.get("LoadState") == "loaded", known.get("ActiveState") in ("active", "reloading"),
                     known.get("UnitFileState") in ("enabled", "enabled-runtime", "static", "generated", "alias", "indirect"), entered, written)

    @staticmethod
    def _systemctl(verb: str, name: str) -> None:
        done = run(["systemctl", verb, name], check=False)
        if done.returncode != 0:
            log = run(["journalctl", "--unit", name, "--lines", "20", "--no-pager", "--output", "cat"], check=False).stdout
            last = (log.strip() or done.stderr.strip() or "no output").splitlines()[-1]
            raise WebstackError("systemctl %s %s failed: %s" % (verb, name, last), stderr=done.stderr, log=log, rc=done.returncode)
