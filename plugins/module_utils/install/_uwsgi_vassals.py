# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All vassals of an emperor as one transaction: tried out, written, awaited until they answer, or all put back."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import re
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Container, Dict, List, Mapping, Optional, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import is_listening
from ansible_collections.gantry.webstack.plugins.module_utils.install import _emperor, _own_files, _releases, _secret_former, _uwsgi_chain, _uwsgi_wrapper

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
                raise WebstackError("service %s is not in the list any more but runs in a container; roll it back or decommission it first" % journal.name)


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


class UwsgiVassals(WebstackModule):
    """The module's behaviour; see the documentation of uwsgi_vassals."""

    def run(self) -> None:
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
        if self.beside and not self.check_mode:
            _uwsgi_wrapper.write(self.binary)
        self.settled = not _secret_former.kept(self._secrets())
        if self.check_mode:
            return
        try:
            if self.changes or self.reasons:
                self._act(changed)
        except WebstackError:
            _secret_former.take_back(self._secrets())
            raise
        _secret_former.forget(self._secrets())

    # What there is to do.

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

    def _choose_chained(self) -> List[str]:
        """Those whose workers may be replaced one after the other; for the others, what is in the way is noted."""
        for name in self.chained:
            running = self.before[name]
            content = self.vassals[name]["content"]
            program = _uwsgi_wrapper.program_of(content) or self.binary
            obstacle = _uwsgi_chain.obstacle(content, running.master, program) if running else "does not run"
            if obstacle:
                self.as_a_whole[name] = obstacle
        return [name for name in self.chained if name not in self.as_a_whole]

    def _report(self, changed: Set[str]) -> None:
        removed = sorted(self._name(change.path) for change in self.changes if not change.target)
        self.result.update(changed_vassals=sorted(changed), reloaded=dict(sorted(self.reasons.items())), removed=removed, status={}, chained=[])
        for path in self.beside:
            known = _own_files.look(path)
            self.add_diff(path, known.text if known else "", _uwsgi_wrapper.wanted(self.binary)[path].text)
        for name, reason in sorted(self.reasons.items()):
            self.add_diff("vassal %s" % name, reason + "\n", "runs what is on disk\n")

    # Doing it.

    def _act(self, changed: Set[str]) -> None:
        if not self.emperor:
            raise WebstackError("the emperor %s does not run on this host; run the role gantry.webstack.uwsgi" % self.params["unit"])
        known = [name for name in changed | set(self.reasons) if self.before[name] is not None]
        self._need_environments(sorted(changed | set(self.reasons)))
        self._try_out(sorted(known))
        for name in changed | set(self.reasons):
            self._make_log(name)
            _uwsgi_chain.make_trigger(self.vassals[name]["content"])
        for name in sorted(self.pending):
            self.pending[name].flip()
        for name in changed | set(self.reasons):
            self._make_spoolers(name)
        self.chained = self._choose_chained()
        self.result["chained"] = sorted(self.chained)
        transaction = _own_files.Transaction()
        watches = [self._watch(name) for name in sorted(changed | set(self.reasons))]
        try:
            for change in self.changes:
                if self._name(change.path) in self.parked:
                    _journal.private_dir(os.path.dirname(change.path))
                if change.target is not None:
                    self._write(transaction, change)
            for name in self.reasons:
                self._reload(name)
            _emperor.await_all(watches, self.emperor, self.params["timeout"])
        except WebstackError as exc:
            self.result.clear()
            _secret_former.take_back(self._secrets())
            flipped = self._flip_back()
            undone = transaction.put_back(keep_times=False)
            again = undone + [self._path(name) for name in self.reasons if name in known and self._path(name) not in undone]
            seen = _emperor.processes()
            self.before = {name: _emperor.find_vassal(name + ".ini", self.emperor, seen) for name in self.vassals}
            for path in again:
                _touch(path, ahead=2)  # one more than the refused one may have been given
            left = self._await_again(again, known)
            serves = any(self._name(path) in known for path in again) and not left
            note = "; everything was put back%s" % _told(flipped) + (" and serves again" if serves else "") if again else ""
            details = dict(exc.details, put_back=undone, former_releases=flipped)
            raise WebstackError("%s%s%s" % (exc, note, "; but %s" % left if left else ""), **details) from exc
        for releases in self.pending.values():
            releases.settle()
        self.result["status"] = {watch.name: watch.status for watch in watches}
        self._remove(transaction)

    def _reload(self, name: str) -> None:
        """Tell what runs to read everything again: its workers one after the other, or, through the emperor, the whole vassal."""
        if name in self.chained:
            try:
                return _uwsgi_chain.pull(self.vassals[name]["content"])
            except OSError as exc:
                raise WebstackError("service %s: its workers could not be told to reload: %s" % (name, exc)) from exc
        return _touch(self._path(name))

    def _need_environments(self, names: List[str]) -> None:
        """Refuse a vassal whose virtual environment is not there: uWSGI would not start, or go on without it."""
        for name in names:
            for venv in _uwsgi_chain.values(self.vassals[name]["content"], "virtualenv", "venv", "home", "pyhome")[-1:]:
                if os.path.isabs(venv) and not os.path.isdir(self._staged(name, venv)) and not os.path.isdir(venv):
                    self.result.clear()
                    raise WebstackError("service %s: there is no virtual environment at %s; name its lock in python.requirements, or one that is there in "
                                        "python.venv (/usr is the distribution's Python)" % (name, venv))

    def _try_out(self, names: List[str]) -> None:
        """Before a running vassal is touched, its application is loaded once beside it: what does not load never replaces what serves."""
        with ThreadPoolExecutor(max_workers=os.cpu_count() or 1) as pool:
            for name, problem in zip(names, pool.map(self._attempt, names)):
                if problem is not None:
                    self.result.clear()
                    error = _emperor.refusal(name, problem)
                    raise WebstackError("%s; nothing was changed, the running one still serves" % error, **error.details)

    def _attempt(self, name: str) -> Optional[_emperor.Problem]:
        """Load an application as it is on disk, or as the release that waits has it."""
        return _emperor.try_out(self.binary, self._staged(name, self.vassals[name]["content"]), self.params["timeout"])

    def _staged(self, name: str, text: str) -> str:
        """A text with the places of the release that waits, if one does, instead of those to which its links lead."""
        vassal = self.vassals[name]
        if name not in self.pending or not vassal["code_path"]:
            return text
        place = self.pending[name].staged()
        text = _releases.relocate(text, vassal["venv"], os.path.join(place, _releases.VENV)) if vassal["venv"] else text
        return _releases.relocate(text, vassal["code_path"], place)

    def _flip_back(self) -> Dict[str, str]:
        """Bring back the former release of every service whose new one has not served: service -> release."""
        return {name: releases.running() for name, releases in sorted(self.pending.items()) if releases.flip_back()}

    def _make_spoolers(self, name: str) -> None:
        """uWSGI does not start without its spoolers' directories."""
        vassal = self.vassals[name]
        base = _uwsgi_chain.values(vassal["content"], "chdir")[-1:] or ["/"]
        for value in _uwsgi_chain.values(vassal["content"], "spooler", "spooler-external", "Q"):
            path = os.path.join(base[0], value)
            if not os.path.lexists(path):
                os.makedirs(path, mode=0o755)
                os.chmod(path, 0o750)
                shutil.chown(path, vassal["user"], vassal["group"])

    def _log_path(self, name: str) -> str:
        """Where a vassal logs to, when it is a file of ours; empty for the journal."""
        path = _paths.vassal_log(name)
        return path if path in _uwsgi_chain.values(self.vassals[name]["content"], "logto", "logto2") else ""

    def _make_log(self, name: str) -> None:
        """uWSGI opens its log as root at first and as the service's user after a reload."""
        vassal, path = self.vassals[name], self._log_path(name)
        if not path:
            return
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
        try:
            os.fchown(fd, pwd.getpwnam(vassal["user"]).pw_uid, grp.getgrnam(vassal["group"]).gr_gid)
            os.fchmod(fd, 0o640)
        except KeyError as exc:
            raise WebstackError("service %s: there is no user %s on this host" % (name, vassal["user"])) from exc
        finally:
            os.close(fd)

    def _watch(self, name: str, patient: bool = False) -> _emperor.Watch:
        vassal = self.vassals[name]
        log = _emperor.Log(self._log_path(name), self.params["unit"])
        stats = (_uwsgi_chain.values(vassal["content"], "stats") or [""])[-1]
        before = self.before[name]
        steps = len(before.workers) if before is not None and name in self.chained and not patient else 1
        watch = _emperor.Watch(name, self._path(name), vassal["socket"], vassal["health_host"], vassal["health_path"], log, before, patient, steps, stats)
        if vassal["health_status"] and not patient:
            watch.expect(vassal["health_status"], vassal["health_timeout"])
        return watch

    @staticmethod
    def _write(transaction: _own_files.Transaction, change: _own_files.Change) -> None:
        earlier = os.stat(change.path).st_mtime if os.path.exists(change.path) else 0.0
        transaction.apply(change)
        _touch(change.path, earlier)

    def _await_again(self, paths: List[str], known: List[str]) -> str:
        """After putting back: wait until what ran before answers again; an empty text, or what is wrong."""
        watches = []
        for path in paths:
            name = self._name(path)
            if name in known and name in self.vassals:
                watches.append(self._watch(name, patient=True))
        try:
            _emperor.await_all(watches, self.emperor, self.params["timeout"])
        except WebstackError as exc:
            return str(exc)
        return ""

    def _remove(self, transaction: _own_files.Transaction) -> None:
        """Stale vassals go last, when everything that shall serve does; their processes are awaited."""
        stale = [change for change in self.changes if change.target is None]
        for change in stale:
            transaction.apply(change)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(_paths.chain_file(self._name(change.path)))
        deadline = time.monotonic() + self.params["timeout"]
        for change in stale:
            while _emperor.find_vassal(os.path.basename(change.path), self.emperor, _emperor.processes()) is not None:
                if time.monotonic() > deadline:
                    self.module.warn("vassal %s still finishes its requests" % self._name(change.path))
                    break
                time.sleep(0.1)
            match = re.search(r"(?m)^socket = (/run/\S+)$", change.before.text if change.before else "")
            if match and not is_listening(match.group(1)):
                # After a reload uWSGI no longer takes the socket for its own (VACUUM WARNING) and leaves it.
                with contextlib.suppress(OSError):
                    os.unlink(match.group(1))
                with contextlib.suppress(OSError):
                    os.rmdir(os.path.dirname(match.group(1)))


def _told(releases: Mapping[str, str]) -> str:
    return ", with " + ", ".join("release %s of %s" % (releases[name], name) for name in releases) + "," if releases else ""


def _touch(path: str, earlier: Optional[float] = None, ahead: int = 1) -> None:
    """Give a vassal's file an mtime that the emperor, which counts whole seconds, takes for later than the one it knows."""
    with contextlib.suppress(FileNotFoundError):
        known = os.stat(path).st_mtime if earlier is None else earlier
        stamp = max(time.time(), float(int(known) + ahead))
        os.utime(path, (stamp, stamp))


def _changed_at(path: str) -> float:
    """When a file's content last changed: a time of the future is a trick for the emperor, and a later ctime only says that it was put back."""
    info = os.stat(path)
    return min(info.st_mtime, info.st_ctime)
