# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Docker Engine's daemon.json as data: merged into what is there, checked, and taken up without stopping a container.

Which options a running daemon takes up on SIGHUP, and that live-restore keeps containers running while it restarts, is told in
Docker's documentation of dockerd ("Configuration reload behavior") and of live restore.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from typing import Any, Dict, List, Mapping, Optional, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _engine, _journal, _paths, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files

Leaf = Tuple[str, ...]
Settings = Dict[str, Any]

RELOADABLE = frozenset((
    "allow-nondistributable-artifacts", "authorization-plugins", "debug", "default-runtime", "features", "insecure-registries", "labels", "live-restore",
    "max-concurrent-downloads", "max-concurrent-uploads", "max-download-attempts", "registry-mirrors", "runtimes", "shutdown-timeout"))
"""Top-level options that dockerd takes up on SIGHUP."""


def leaves(settings: Mapping[str, Any], above: Leaf = ()) -> Dict[Leaf, Any]:
    """The single settings by their path of keys; a list is one setting. Pure."""
    found: Dict[Leaf, Any] = {}
    for key, value in settings.items():
        if isinstance(value, Mapping) and value:
            found.update(leaves(value, (*above, key)))
        else:
            found[(*above, key)] = value
    return found


ROTATED = ("json-file", "local")
"""Logging drivers that keep files on the host and take max-size and max-file; others refuse these."""


def completed(wanted: Mapping[str, Any], defaults: Mapping[str, Any], others: Mapping[str, Any], swarm: bool = False) -> Settings:
    """``wanted`` with the defaults where neither it nor ``others`` (what somebody else has set) says anything. Pure.

    A member of a swarm cannot have live-restore (dockerd refuses to start).
    """
    done: Settings = dict(wanted)
    for key, value in defaults.items():
        if isinstance(value, Mapping) and isinstance(done.get(key, {}), Mapping) and isinstance(others.get(key, {}), Mapping):
            inner = {name: one for name, one in value.items() if name not in others.get(key, {})}
            done[key] = {**inner, **done.get(key, {})}
        elif key not in done and key not in others and not (swarm and key == "live-restore"):
            done[key] = value
    if done.get("log-driver", others.get("log-driver", "json-file")) not in ROTATED:
        done["log-opts"] = wanted.get("log-opts", {})
    return {key: value for key, value in done.items() if value != {} or key in wanted}


def merged(current: Mapping[str, Any], wanted: Mapping[str, Any], ours: Set[Leaf]) -> Settings:
    """``current`` with ``wanted`` set, and without what we had set before (``ours``) and do not want any more. Pure."""
    done: Settings = json.loads(json.dumps(current))
    keep = leaves(wanted)
    for path in sorted(ours - set(keep), reverse=True):
        _remove(done, path)
    for path, value in keep.items():
        place = done
        for key in path[:-1]:
            if not isinstance(place.get(key), dict):
                place[key] = {}
            place = place[key]
        place[path[-1]] = value
    return done


def _remove(settings: Settings, path: Leaf) -> None:
    inner = settings.get(path[0])
    if len(path) == 1:
        settings.pop(path[0], None)
    elif isinstance(inner, dict):
        _remove(inner, path[1:])
        if not inner:
            del settings[path[0]]


def read(text: Optional[str], path: str) -> Settings:
    """The settings in a daemon.json. Raises WebstackError with the place of what is no JSON object."""
    if text is None or not text.strip():
        return {}
    try:
        found = json.loads(text)
    except ValueError as exc:
        raise WebstackError("%s is not JSON: %s; correct it, or move it away, and run again" % (path, exc)) from exc
    if not isinstance(found, dict):
        raise WebstackError("%s holds a %s where Docker wants an object; correct it, or move it away, and run again" % (path, type(found).__name__))
    return found


def way(before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """How a change is taken up: nothing, ``reload`` or ``restart``. Pure."""
    changed = {key for key in {*before, *after} if before.get(key) != after.get(key)}
    return "" if not changed else "reload" if changed <= RELOADABLE else "restart"


class EngineDaemon(WebstackModule):
    """The module's behaviour; see the documentation of engine_daemon."""

    def run(self) -> None:
        self.path: str = self.params["path"]
        self.unit: str = self.params["unit"]
        there = _own_files.look(self.path)
        stamp = self._stamp()
        before = read(there.text if there else None, self.path)
        ours = {tuple(path) for path in stamp.get("ours", [])}
        settings = completed(self.params["settings"], self.params["defaults"], merged(before, {}, ours), self._in_swarm(before))
        after = merged(before, settings, ours)
        todo = way(before, after) or stamp.get("pending", "")
        if there is None and not after:
            todo = ""
        self.result.update(action=todo)
        text = json.dumps(after, indent=2, sort_keys=True) + "\n"
        if before != after:
            self.add_diff(self.path, there.text if there else "", text)
        elif todo:
            self.add_diff(self.unit, "does not run what is in %s\n" % self.path, "%s\n" % todo)
        if self.check_mode:
            return
        keep = sorted(leaves(settings))
        if todo:
            self._note(ours | set(keep), todo)
            self._act(ours, _own_files.Change(self.path, there, _own_files.Target(text, there.mode if there else 0o644)), before != after, todo, after)
        if todo or {tuple(path) for path in keep} != ours:
            self._note(keep, "")

    # What this module has set, and what a killed run has left to do.

    @staticmethod
    def _stamp_path() -> str:
        return os.path.join(_paths.STATE_DIR, ".engine.json")

    def _stamp(self) -> Dict[str, Any]:
        there = _own_files.look(self._stamp_path())
        return json.loads(there.text) if there else {}

    def _note(self, ours: Any, pending: str) -> None:
        _journal.private_dir(_paths.STATE_DIR)
        _journal.write_private(self._stamp_path(), json.dumps({"ours": [list(path) for path in sorted(ours)], "pending": pending}) + "\n")

    # Doing it.

    def _act(self, ours: Set[Leaf], change: _own_files.Change, written: bool, todo: str, after: Settings) -> None:
        transaction = _own_files.Transaction()
        running = _processes.main_pid(self.unit) != 0
        try:
            if written:
                self._validate(change, after)
                os.makedirs(os.path.dirname(self.path), exist_ok=True)
                transaction.apply(change)
            if running:
                self._take_up(todo, after)
        except WebstackError as exc:
            undone = transaction.put_back()
            if undone and running:
                run(["systemctl", "reset-failed", self.unit], check=False)
                run(["systemctl", "reload-or-restart" if _processes.main_pid(self.unit) else "start", self.unit], check=False)
            self._note(ours, "" if undone or written else todo)
            left = "daemon.json was put back" if undone else "nothing was changed"
            engine = "runs as before" if _processes.main_pid(self.unit) else "does not run"
            raise WebstackError("%s; %s, and the engine %s" % (exc, left, engine), **exc.details) from exc

    def _validate(self, change: _own_files.Change, after: Settings) -> None:
        """Have dockerd read the settings together with its unit's arguments. Raises WebstackError with what it says against them.

        Before 23.0 there is no ``--validate``; such a dockerd ends at a PID file that names a living process, after it has read its settings.
        """
        shown = _processes.unit_properties(self.unit, "ExecStart").get("ExecStart", "").partition("argv[]=")[2].partition(" ;")[0].split()
        argv = [word for word in shown or ["dockerd"] if not word.startswith("$")]
        with tempfile.TemporaryDirectory(prefix="webstack-daemon-") as directory:
            stage, occupied = os.path.join(directory, "daemon.json"), os.path.join(directory, "pid")
            for path, text in ((stage, change.target.text if change.target else ""), (occupied, str(os.getpid()))):
                with open(path, "w", encoding="utf-8") as handle:
                    handle.write(text)
            if "--validate" in run([argv[0], "--help"], check=False).stdout:
                done = run([*argv, "--validate", "--config-file", stage], check=False)
                refused = done.returncode != 0
            elif "pidfile" in after:
                return  # it would start; such settings are tried in earnest
            else:
                done = run([*argv, "--pidfile", occupied, "--config-file", stage], check=False)
                refused = "pid file found" not in done.stderr
            if refused:
                said = (done.stderr.strip() or "no reason given").splitlines()[-1].replace(stage, self.path)
                raise WebstackError("Docker refuses the settings for %s: %s" % (self.path, said), stderr=done.stderr, rc=done.returncode)

    @staticmethod
    def _in_swarm(settings: Settings) -> bool:
        """Whether the engine is a member of a swarm: dockerd keeps this file as long as it is one."""
        return os.path.exists(os.path.join(str(settings.get("data-root", "/var/lib/docker")), "swarm", "docker-state.json"))

    def _take_up(self, todo: str, after: Settings) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        if todo == "restart" and after.get("live-restore") and not self._live_restore():
            # Containers outlive the restart only when the daemon that stops already knows.
            self._systemctl("reload", since)
            deadline = time.monotonic() + 10
            while not self._live_restore() and time.monotonic() < deadline:
                time.sleep(0.2)
        self._systemctl(todo, since)
        if todo == "reload":
            log = self._log(since)
            wrong = [line for line in log.splitlines() if "level=error" in line and "config" in line.lower()]
            if wrong:
                raise WebstackError("the engine does not take up its settings: %s" % wrong[-1], log=log)
        self._await(since)

    @staticmethod
    def _live_restore() -> bool:
        with _engine.engine() as client:
            return bool(client.info().get("LiveRestoreEnabled"))

    def _systemctl(self, verb: str, since: str) -> None:
        run(["systemctl", "reset-failed", self.unit], check=False)
        done = run(["systemctl", verb, self.unit], check=False)
        if done.returncode != 0:
            raise self._refusal(since)

    def _await(self, since: str) -> None:
        deadline = time.monotonic() + self.params["timeout"]
        while True:
            try:
                with _engine.engine(timeout=10):
                    return
            except _engine.EngineMissing:
                if time.monotonic() > deadline:
                    raise self._refusal(since) from None
            time.sleep(0.5)

    def _refusal(self, since: str) -> WebstackError:
        log = self._log(since)
        said: List[str] = [line for line in log.splitlines() if "unable to configure" in line or "failed to start" in line.lower() or "level=fatal" in line]
        return WebstackError("the engine does not start with these settings: %s" % (said[0] if said else "see journalctl -u %s" % self.unit), log=log)

    def _log(self, since: str) -> str:
        return run(["journalctl", "--unit", self.unit, "--since", since, "--lines", "60", "--no-pager", "--output", "cat"], check=False).stdout
