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
from typing import Dict, Iterable, List, Mapping, Optional, Sequence, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import is_listening
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import (
    _emperor,
    _own_files,
    _releases,
    _secret_former,
    _uwsgi_chain,
    _uwsgi_wrapper,
    _vassal_watch,
)
from ansible_collections.gantry.webstack.plugins.module_utils.install._vassals_look import VassalsLook

ADDRESSES = ("socket", "uwsgi-socket", "http-socket", "http", "https", "https-socket", "fastcgi-socket", "scgi-socket", "stats")
"""Options whose value begins with an address that uWSGI binds (uWSGI: Configuration Options)."""


class UwsgiVassals(VassalsLook):
    """The module's behaviour; see the documentation of uwsgi_vassals."""

    def run(self) -> None:
        """See WebstackModule."""
        changed = self.look()
        if self.check_mode:
            return
        if self.beside:
            _uwsgi_wrapper.write(self.binary)
        try:
            if self.changes or self.reasons:
                self._act(changed)
        except WebstackError:
            _secret_former.take_back(self._secrets())
            raise
        _secret_former.forget(self._secrets())

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
        stale = [change for change in self.changes if change.target is None]
        in_the_way = in_the_way_of(stale, [vassal["content"] for vassal in self.vassals.values()])
        try:
            self._remove(transaction, in_the_way)
            for change in self.changes:
                if self._name(change.path) in self.parked:
                    _journal.private_dir(os.path.dirname(change.path))
                if change.target is not None:
                    self._write(transaction, change)
            for name in self.reasons:
                self._reload(name)
            _vassal_watch.await_all(watches, self.emperor, self.params["timeout"])
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
        self._remove(transaction, [change for change in stale if change not in in_the_way])  # when everything that shall serve does

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
                    error = _vassal_watch.refusal(name, problem)
                    raise WebstackError("%s; nothing was changed, the running one still serves" % error, **error.details)

    def _attempt(self, name: str) -> Optional[_vassal_watch.Problem]:
        """Load an application as it is on disk, or as the release that waits has it."""
        return _vassal_watch.try_out(self.binary, self._staged(name, self.vassals[name]["content"]), self.params["timeout"])

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

    def _watch(self, name: str, patient: bool = False) -> _vassal_watch.Watch:
        vassal = self.vassals[name]
        log = _vassal_watch.Log(self._log_path(name), self.params["unit"])
        stats = (_uwsgi_chain.values(vassal["content"], "stats") or [""])[-1]
        before = self.before[name]
        steps = len(before.workers) if before is not None and name in self.chained and not patient else 1
        watch = _vassal_watch.Watch(name, self._path(name), vassal["socket"], vassal["health_host"], vassal["health_path"], log, before, patient, steps, stats)
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
            _vassal_watch.await_all(watches, self.emperor, self.params["timeout"])
        except WebstackError as exc:
            return str(exc)
        return ""

    def _remove(self, transaction: _own_files.Transaction, stale: Sequence[_own_files.Change]) -> None:
        """Stale vassals go; their processes are awaited."""
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


def in_the_way_of(stale: Iterable[_own_files.Change], contents: Iterable[str]) -> List[_own_files.Change]:
    """Those of the stale vassals that hold a TCP address which one of ``contents`` binds: two cannot, while a UNIX socket's path just changes hands. Pure."""
    def addresses(text: str) -> Set[str]:
        return {value.split(",")[0] for value in _uwsgi_chain.values(text, *ADDRESSES) if not value.startswith("/")}

    wanted = set().union(*map(addresses, contents))
    return [change for change in stale if change.before and addresses(change.before.text) & wanted]


def _told(releases: Mapping[str, str]) -> str:
    return ", with " + ", ".join("release %s of %s" % (releases[name], name) for name in releases) + "," if releases else ""


def _touch(path: str, earlier: Optional[float] = None, ahead: int = 1) -> None:
    """Give a vassal's file an mtime that the emperor, which counts whole seconds, takes for later than the one it knows."""
    with contextlib.suppress(FileNotFoundError):
        known = os.stat(path).st_mtime if earlier is None else earlier
        stamp = max(time.time(), float(int(known) + ahead))
        os.utime(path, (stamp, stamp))
