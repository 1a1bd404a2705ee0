# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""systemd units, the whole list in one call: the file, enabled, running, and running what is in the file."""

from __future__ import annotations

import contextlib
import os
import re
import tempfile
import time
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files

DIRECTORY = "/etc/systemd/system"
CRON_DIR = "/etc/cron.d"
PREFIX = "webstack-"
SETTLE = 3.0
"""Seconds for which a process that ``stays`` must go on before it counts as running: an import error shows within them."""

_PROPERTIES = ("Id", "LoadState", "ActiveState", "UnitFileState", "ActiveEnterTimestampMonotonic", "NRestarts", "MainPID")

_TOLERATED = re.compile("Special user nobody configured")
"""What systemd-analyze says of units that run all the same."""


class State(NamedTuple):
    """What systemd and the disk know of one unit; ``entered`` and ``written`` are seconds since the epoch.

    ``written`` is when its file, or a file that it watches, was last changed.
    """

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
    static = unit["content"] is not None and "\n[Install]\n" not in unit["content"]
    if unit["enabled"] and not state.enabled and not static:
        todo.append("enable")
    if unit["enabled"] is False and state.enabled and not static:
        todo.append("disable")
    if unit["state"] == "started":
        watched = unit["content"] is not None or unit.get("watch")
        outdated = watched and (written or state.written > state.entered + _processes.CLOCK_SLACK)
        if not state.active:
            todo.append("start")
        elif outdated:
            todo.append("restart")
    elif unit["state"] == "stopped" and state.active:
        todo.append("stop")
    return todo


def service_of(text: str) -> Optional[str]:
    """The service that a unit of ours belongs to, by its first line; None for units that belong to none, such as the emperor's."""
    first = text.partition("\n")[0]
    if not first.startswith("# " + _own_files.MARK + " Service ") or not first.endswith("."):
        return None
    return first[len("# " + _own_files.MARK + " Service "):-1]


def of_services() -> Dict[str, _own_files.Target]:
    """The units and crontabs on this host that belong to services of ours (path -> content)."""
    units = {path: target for path, target in _own_files.ours_in(DIRECTORY, PREFIX).items() if service_of(target.text)}
    return {**units, **_own_files.ours_in(CRON_DIR, PREFIX)}


_UNIT = {
    "name": {"type": "str", "required": True},
    "content": {"type": "str"},
    "enabled": {"type": "bool", "default": True},
    "state": {"type": "str", "choices": ["started", "stopped", "any"], "default": "started"},
    "watch": {"type": "list", "elements": "path", "default": []},
    "stays": {"type": "bool", "default": False},
    "service": {"type": "str"},
    "moves": {"type": "bool", "default": False},
}
SPEC = {
    "units": {"type": "list", "elements": "dict", "required": True, "options": _UNIT},
    "services": {"type": "bool", "default": False},
}
"""argument_spec of the module systemd_units."""


class SystemdUnits(WebstackModule):
    """The module's behaviour; see the documentation of systemd_units."""

    def run(self) -> None:
        self.contained: Dict[str, bool] = {}
        self.units = [unit for unit in self.params["units"] if not (unit["moves"] and self._in_container(unit["service"]))]
        self.known = _properties([unit["name"] for unit in self.params["units"]])
        if self.units and not self.known and not self.check_mode:
            raise WebstackError("this host is not run by systemd; gantry.webstack needs it to keep %s running" % self.units[0]["name"])
        self.changes: List[_own_files.Change] = []
        todo = {unit["name"]: self._plan(unit) for unit in self.units}
        stale = self._stale() if self.params["services"] else []
        for change in stale:
            self.add_diff(change.path, change.before.text if change.before else "", "")
        self.result.update(actions={name: what for name, what in todo.items() if what}, removed=[change.path for change in stale])
        if not self.check_mode and (stale or any(todo.values())):
            self._verify()
            self._act(todo, stale)

    # What there is to do.

    def _in_container(self, service: Optional[str]) -> bool:
        """What a contained service's jobs run is the switch's matter until it is back."""
        if service is None:
            return False
        if service not in self.contained:
            self.contained[service] = _journal.load(service).runtime == _journal.CONTAINER
        return self.contained[service]

    @staticmethod
    def _path(name: str) -> str:
        return os.path.join(DIRECTORY, name)

    def _plan(self, unit: Dict[str, Any]) -> List[str]:
        name, path = unit["name"], self._path(unit["name"])
        target = _own_files.look(path) if unit["content"] is not None else None
        if target is not None and unit["service"] is not None and not _own_files.is_ours(target.text):
            raise WebstackError("%s is there already and is not a file of gantry.webstack; move it away, or name the worker or job of service %s otherwise"
                                % (path, unit["service"]))
        state = self._state(unit, target)
        if not state.loaded and unit["content"] is None:
            if self.check_mode:
                return []  # it comes with its package, which enables and starts it
            raise WebstackError("there is no unit %s on this host" % name)
        todo = actions(unit, state)
        if "write" in todo:
            self.add_diff(path, target.text if target else "", unit["content"])
            self.changes.append(_own_files.Change(path, target, _own_files.Target(unit["content"])))
        rest = [verb for verb in todo if verb != "write"]
        self.add_diff(name, "", "".join("systemctl %s %s\n" % (verb, name) for verb in rest))
        return todo

    def _state(self, unit: Mapping[str, Any], target: Optional[_own_files.Target]) -> State:
        known = self.known.get(unit["name"], {})
        entered = time.time() - time.monotonic() + int(known.get("ActiveEnterTimestampMonotonic") or 0) / 1e6
        files = ([self._path(unit["name"])] if target else []) + list(unit["watch"])
        return State(target.text if target else None, known.get("LoadState") == "loaded", known.get("ActiveState") in ("active", "reloading"),
                     known.get("UnitFileState") in ("enabled", "enabled-runtime", "static", "generated", "alias", "indirect"), entered, _newest(files))

    def _stale(self) -> List[_own_files.Change]:
        """Units and crontabs of ours that no service wants any more."""
        wanted = {self._path(unit["name"]) for unit in self.params["units"]}
        ours = {path: target for path, target in of_services().items() if path not in wanted}
        return [_own_files.Change(path, target, None) for path, target in ours.items() if not self._in_container(service_of(target.text))]

    # Doing it.

    def _verify(self) -> None:
        """Let systemd read the new units in a stage. Raises WebstackError with its first complaint."""
        if not self.changes:
            return
        with tempfile.TemporaryDirectory(prefix="webstack-units-") as stage:
            paths = []
            for change in self.changes:
                paths.append(os.path.join(stage, os.path.basename(change.path)))
                with open(paths[-1], "w", encoding="utf-8", errors="surrogateescape") as handle:
                    handle.write(change.target.text if change.target else "")
            for path in [path for path in paths if path.endswith(".timer")]:
                started = path[:-len(".timer")] + ".service"
                if started not in paths and os.path.exists(self._path(os.path.basename(started))):
                    os.symlink(self._path(os.path.basename(started)), started)
            done = run(["systemd-analyze", "verify", "--man=no", *paths], env={"SYSTEMD_UNIT_PATH": stage + ":", "SYSTEMD_LOG_COLOR": "0"}, check=False)
            said = [line for line in re.sub(r"\x1b\[[0-9;]*m", "", done.stderr).splitlines() if stage in line and not _TOLERATED.search(line)]
        if said:
            line = said[0].replace(stage, DIRECTORY)
            raise WebstackError("systemd does not understand what %s would be: %s; nothing was changed" % (line.partition(":")[0], line), stderr=done.stderr)

    def _act(self, todo: Mapping[str, Sequence[str]], stale: Sequence[_own_files.Change]) -> None:
        by_name = {unit["name"]: unit for unit in self.units}
        if any(name.endswith(".timer") for name, what in todo.items() if what) or any(change.path.startswith(CRON_DIR) for change in stale):
            _away_from_full_minute()
        transaction = _own_files.Transaction()
        try:
            for change in self.changes:
                transaction.apply(change)
            self._stop([change.path for change in stale if change.path.startswith(DIRECTORY)])
            for change in stale:
                transaction.apply(change)
            if self.changes or stale:
                run(["systemctl", "daemon-reload"])
            for verb in ("enable", "disable", "stop", "start", "restart"):
                names = [name for name, what in todo.items() if verb in what]
                if names:
                    self._systemctl(verb, names)
            self._stay_up([name for name, what in todo.items() if by_name[name]["stays"] and {"start", "restart"} & set(what)])
        except WebstackError as exc:
            if not self.changes and not stale:
                raise
            self._put_back(transaction, todo, stale)
            raise WebstackError("%s; the units were put back as they were" % exc, **exc.details) from exc

    def _stop(self, paths: Iterable[str]) -> None:
        """Units that go: timers first. A job that runs is left to finish."""
        names = sorted((os.path.basename(path) for path in paths), key=lambda name: not name.endswith(".timer"))
        jobs = {name for name in names if (_properties([name]).get(name, {}).get("ActiveState")) == "activating"}
        for verb in ("disable", "stop"):
            chosen = [name for name in names if verb == "disable" or name not in jobs]
            if chosen:
                run(["systemctl", verb, *chosen], check=False)

    def _put_back(self, transaction: _own_files.Transaction, todo: Mapping[str, Sequence[str]], stale: Sequence[_own_files.Change]) -> None:
        new = [os.path.basename(change.path) for change in self.changes if change.before is None]
        if new:
            run(["systemctl", "disable", "--now", *new], check=False)
        transaction.put_back(keep_times=False)
        run(["systemctl", "daemon-reload"])
        former = [name for name, what in todo.items() if name not in new and {"write", "restart"} <= set(what)]
        gone = [os.path.basename(change.path) for change in stale if change.path.startswith(DIRECTORY)]
        enabled = [name for name in gone if "[Install]" in next(change.before.text for change in stale if change.path.endswith("/" + name) and change.before)]
        if former:
            run(["systemctl", "restart", *former], check=False)
        if enabled:
            run(["systemctl", "enable", *enabled], check=False)
            run(["systemctl", "start", *[name for name in enabled if name.endswith(".timer") or "oneshot" not in _text(self._path(name))]], check=False)

    @staticmethod
    def _stay_up(names: Sequence[str]) -> None:
        """Raises WebstackError for a unit that ends within SETTLE seconds of its start, with its last log lines."""
        before = _properties(names)
        deadline = time.monotonic() + SETTLE if names else 0.0
        while True:
            now = _properties(names)
            for name in names:
                was, state = before[name], now[name]
                if state.get("ActiveState") != "active" or (state.get("NRestarts"), state.get("MainPID")) != (was.get("NRestarts"), was.get("MainPID")):
                    log = _log(name)
                    last = " | ".join(line for line in log.strip().splitlines()[-3:]) or "it logged nothing"
                    raise WebstackError("%s does not stay up; its last log lines: %s" % (name, last), log=log)
            if time.monotonic() >= deadline:
                return
            time.sleep(0.3)

    @staticmethod
    def _systemctl(verb: str, names: Sequence[str]) -> None:
        done = run(["systemctl", verb, *names], check=False)
        if done.returncode != 0:
            states = _properties(names)
            bad = [name for name in names if states.get(name, {}).get("ActiveState") == "failed"] or names
            log = _log(bad[0])
            last = (log.strip() or done.stderr.strip() or "no output").splitlines()[-1]
            raise WebstackError("systemctl %s %s failed: %s" % (verb, bad[0], last), stderr=done.stderr, log=log, rc=done.returncode)


def _log(name: str) -> str:
    return run(["journalctl", "--unit", name, "--lines", "20", "--no-pager", "--output", "cat"], check=False).stdout


def _text(path: str) -> str:
    there = _own_files.look(path)
    return there.text if there else ""


def _newest(paths: Iterable[str]) -> float:
    """The latest change among files; what is not there never changed."""
    newest = 0.0
    for path in paths:
        with contextlib.suppress(OSError):
            newest = max(newest, os.stat(path).st_mtime)
    return newest


def _properties(names: Sequence[str]) -> Dict[str, Dict[str, str]]:
    """Properties of units by name, in one call; empty without systemd."""
    if not names or not _processes.has_systemd():
        return {}
    output = run(["systemctl", "show", "--property=" + ",".join(_PROPERTIES), *names]).stdout
    blocks = [dict(line.partition("=")[::2] for line in block.splitlines() if "=" in line) for block in output.strip().split("\n\n")]
    return dict(zip(names, blocks))


def _away_from_full_minute() -> None:
    """cron looks at its files, and most timers elapse, at the full minute: what replaces one by the other shall not do so just then."""
    second = time.time() % 60
    if second < 1.5 or second > 55:
        time.sleep((61.5 - second) % 60)
