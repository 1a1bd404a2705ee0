# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What there is to do for the vassals of an emperor, without doing it; apart from what does it, since every install looks (_lookahead) and few do."""

from __future__ import annotations

import contextlib
import grp
import os
import re
from typing import Any, Container, Dict, List, Mapping, Optional, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import is_listening
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule
from ansible_collections.gantry.webstack.plugins.module_utils.install import _emperor, _own_files, _releases, _secret_former, _uwsgi_wrapper

SECRETS_FOLLOW = "; Secrets follow."


def censored(text: str) -> str:
    """A vassal's text without the values of secrets, which version 0.1 wrote at its end. Pure."""
    head, mark, tail = text.partition(SECRETS_FOLLOW + "\n")
    return head + mark + re.sub(r"(?m)^(env = \w+)=.*$", r"\1=(secret)", tail)


def runs_older(workers: Mapping[int, float], watched: Mapping[str, float]) -> List[str]:
    """The watched files (path -> change time) that are newer than every worker (pid -> start): what runs was read before them. Pure."""
    if not workers:
        return []
    newest = max(workers.values())
    return sorted(path for path, changed in watched.items() if changed > newest + _processes.CLOCK_SLACK)


def refuse_contained(wanted: Container[str]) -> None:
    """Raise WebstackError for a service that we installed, that runs in a container, and that is not wanted any more."""
    for journal in _journal.load_all():
        if journal.runtime == _journal.CONTAINER and journal.name not in wanted:
            parked = _own_files.look(os.path.join(_paths.parked(journal.name), journal.name + ".ini"))
            if parked is not None and _own_files.is_ours(parked.text):
                raise WebstackError("service %s is not in the list any more but runs in a container; "
                                    "roll it back first, or run decommission with decommission_purge" % journal.name)


_VASSAL = {
    **{key: {"type": "str", "required": True} for key in ("name", "content", "socket", "user", "group")},
    "code_path": {"type": "path"},
    "venv": {"type": "path"},
    "watch": {"type": "list", "elements": "path", "default": []},
    "health_path": {"type": "str", "default": "/"},
    "health_host": {"type": "str", "default": "localhost"},
    "health_status": {"type": "int"},
    "health_timeout": {"type": "float", "default": 10},
}
SPEC = {
    "vassals": {"type": "list", "elements": "dict", "required": True, "options": _VASSAL},
    "changed": {"type": "list", "elements": "str", "default": []},
    "directory": {"type": "path", "default": "/etc/webstack/vassals"},
    "unit": {"type": "str", "default": "webstack-emperor.service"},
    "binary": {"type": "path"},
    "timeout": {"type": "float", "default": 60},
}
"""argument_spec of the module uwsgi_vassals."""


class VassalsLook(WebstackModule):
    """The module uwsgi_vassals as far as it only looks."""

    def run(self) -> None:
        """See WebstackModule."""
        self.look()

    def look(self) -> Set[str]:
        """Find out what there is to do; the names of the vassals whose files change."""
        self.directory: str = self.params["directory"]
        self.vassals: Dict[str, Dict[str, Any]] = {vassal["name"]: vassal for vassal in self.params["vassals"]}
        if len(self.vassals) != len(self.params["vassals"]):
            raise WebstackError("two vassals have the same name")
        journals = {name: _journal.load(name) for name in self.vassals}
        self.parked = {name for name, journal in journals.items() if journal.runtime == _journal.CONTAINER}
        self.chained: List[str] = []
        self.as_a_whole: Dict[str, str] = {}
        known = {name: _releases.Releases(name, vassal["code_path"] or "") for name, vassal in self.vassals.items()}
        self.pending = {name: releases for name, releases in known.items() if releases.pending and name not in self.parked}
        self.emperor = _processes.main_pid(self.params["unit"])
        seen = _emperor.processes()
        self.binary: str = self.params["binary"] or _emperor.program(self.emperor, seen) or "/usr/bin/uwsgi"
        for vassal in self.vassals.values():
            vassal["content"] = _uwsgi_wrapper.fitting(vassal["content"], self.binary)
        self.changes = self._plan()
        self.beside = _uwsgi_wrapper.differing(self.binary) if self.vassals else []
        self.before = {name: _emperor.find_vassal(name + ".ini", self.emperor, seen) if self.emperor else None for name in self.vassals}
        changed = {self._name(change.path) for change in self.changes if change.target and self._name(change.path) not in self.parked}
        self.reasons = {name: reason for name, reason in ((name, self._outdated(name)) for name in self.vassals if name not in changed) if reason}
        self._report(changed)
        self.settled = not _secret_former.kept(self._secrets())
        return changed

    def _secrets(self) -> List[str]:
        """The files whose former selves may be kept: what the vassals read, and what their workers and jobs do."""
        return [path for name, vassal in self.vassals.items() for path in [*vassal["watch"], _paths.secret_env(name)]]

    def _path(self, name: str) -> str:
        if name in self.parked:
            return os.path.join(_paths.parked(name), name + ".ini")
        return os.path.join(self.directory, name + ".ini")

    @staticmethod
    def _name(path: str) -> str:
        return os.path.basename(path)[:-len(".ini")]

    def _plan(self) -> List[_own_files.Change]:
        desired, ours = {}, {}
        for name, vassal in self.vassals.items():
            desired[self._path(name)] = _own_files.Target(self._marked(vassal["content"]), 0o640, 0, self._gid(vassal))
            parked = _own_files.look(self._path(name)) if name in self.parked else None
            if parked is not None:
                ours[self._path(name)] = parked
        ours.update(_own_files.ours_in(self.directory, "", ".ini"))
        refuse_contained(self.vassals)
        changes = _own_files.plan(desired, ours, _own_files.others_at(path for path in desired if path not in ours))
        for change in changes:
            before, after = (censored(side.text) if side else "" for side in (change.before, change.target))
            if before == after:
                before, after = before + "; mode or owner as it was\n", after + "; mode or owner changed\n"
            self.add_diff(change.path, before, after)
        return changes

    @staticmethod
    def _marked(content: str) -> str:
        return content if _own_files.is_ours(content) else "; %s\n%s" % (_own_files.MARK, content)

    def _gid(self, vassal: Mapping[str, Any]) -> int:
        try:
            return grp.getgrnam(vassal["group"]).gr_gid
        except KeyError as exc:
            if self.check_mode:
                return -1  # it will be made before a real run comes here
            raise WebstackError("service %s: there is no group %s on this host" % (vassal["name"], vassal["group"])) from exc

    def _outdated(self, name: str) -> Optional[str]:
        """Why a vassal whose file is right must be started or reloaded all the same."""
        if name in self.parked:
            return None
        running = self.before[name]
        if running is None or not is_listening(self.vassals[name]["socket"]):
            return "does not run"
        watched = {}
        for path in self.vassals[name]["watch"] + [self._path(name)]:
            with contextlib.suppress(FileNotFoundError):
                watched[path] = _changed_at(path)
        if self.check_mode and name in self.params["changed"]:
            return "runs what is about to change"
        newer = runs_older(running.workers, watched)
        if (newer or name in self.pending) and not {self._path(name), _paths.secret_ini(name)} & set(newer):
            self.chained.append(name)  # the master has read nothing but what is still so
        if name in self.pending:
            return "its release %s waits" % self.pending[name].record["wanted"]
        return "runs what was there before %s" % newer[0] if newer else None

    def _report(self, changed: Set[str]) -> None:
        removed = sorted(self._name(change.path) for change in self.changes if not change.target)
        self.result.update(changed_vassals=sorted(changed), reloaded=dict(sorted(self.reasons.items())), removed=removed, status={}, chained=[])
        for path in self.beside:
            known = _own_files.look(path)
            self.add_diff(path, known.text if known else "", _uwsgi_wrapper.wanted(self.binary)[path].text)
        for name, reason in sorted(self.reasons.items()):
            self.add_diff("vassal %s" % name, reason + "\n", "runs what is on disk\n")


def _changed_at(path: str) -> float:
    """When a file's content last changed: a time of the future is a trick for the emperor, and a later ctime only says that it was put back."""
    info = os.stat(path)
    return min(info.st_mtime, info.st_ctime)
