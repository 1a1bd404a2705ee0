# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A vassal that is tried out, and watched until it answers: who serves, since when, and what went wrong.

The emperor (core/emperor.c) scans its directory every emperor-freq seconds, reloads a vassal whose file has a later mtime, in whole
seconds, and starts ``uwsgi --ini NAME.ini`` for each; a reload keeps the master's pid and replaces its workers.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from typing import Dict, List, NamedTuple, Optional, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _ask, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import UwsgiConnectError, UwsgiError
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _emperor, _uwsgi_wrapper

_LEFT_OUT = re.compile(
    r"(socket|uwsgi-socket|shared-socket|http.*|fastcgi.*|scgi.*|puwsgi.*|raw-socket|stats.*|log.*|req-logger|pidfile\d?|safe-pidfile\d?|daemonize\d?|attach-.*"
    r"|smart-attach-.*|legion.*|mules?|farm|spooler.*|cron\d?|unique-cron|legion-cron|timer|rbtimer|touch-.*|fs-.*reload|master|master-fifo|workers|processes"
    r"|cheap.*|vacuum|lazy|lazy-apps|hook-.*|exec-.*|harakiri.*|emperor.*|auto-procname|procname.*|listen|die-on-term|zerg.*|subscribe.*|py-auto-?reload.*"
    r"|chmod-socket|chown-socket|no-server)\Z")
"""Options that serve, listen, log or start something else: a trial only loads the application."""

_TELLING = re.compile(r"\b(error|unable|failed|invalid|cannot|can't|no such|denied)\b|!!!", re.IGNORECASE)

_STEADY = 0.5
"""Seconds between two questions to a vassal that does not answer well, and the most that it must go on after its first good answer."""

_BRIEF = 0.2
"""The least that it must go on."""

_EMPEROR_ENV = ["env", "-i", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"]


class Problem(NamedTuple):
    """Why a vassal does not serve: one line, and the traceback or the last log lines."""

    reason: str
    details: str


_TRACEBACK = "Traceback (most recent call last):"


_RAISED = re.compile(r"[A-Za-z_][\w.]*(:|$)")
"""The last line of a traceback: the exception's name, alone or with what it says."""

_IGNORED = re.compile(r"Exception ignored |Error in (atexit|sys\.)")
"""Before a traceback that changes nothing, such as those of an interpreter that ends (sys.unraisablehook, atexit)."""

_SHUTDOWN = re.compile(r'  File "[^"]*/threading\.py", line \d+, in _shutdown$')


def traceback_in(log: str) -> str:
    """The last Python traceback in a log, or an empty text. Pure."""
    lines = log.splitlines()
    starts = [index for index, line in enumerate(lines) if line.startswith(_TRACEBACK)]
    # Several workers may write at once: one into which nobody else wrote is preferred, and the head of another's is no end.
    starts = [index for index in starts if lines[index + 1:index + 2] and lines[index + 1][:1].isspace()] or starts
    # What ends the process comes before what its end breaks.
    starts = [index for index in starts
              if not (index and _IGNORED.match(lines[index - 1]) or _SHUTDOWN.match("".join(lines[index + 1:index + 2])))] or starts
    if not starts:
        return ""
    found = [lines[starts[-1]]]
    for line in lines[starts[-1] + 1:]:
        last = _RAISED.match(line) is not None
        if last or not line or line[0].isspace():  # all else was written by another worker meanwhile, such as a request's line
            found.append(line)
        if last:
            break
    return "\n".join(found)


def explain(log: str) -> Problem:
    """What a log says about a vassal that did not start. Pure."""
    traceback = traceback_in(log)
    if traceback:
        return Problem("its application does not load: " + traceback.splitlines()[-1], traceback)
    lines = [line for line in log.splitlines() if line.strip()]
    raised = [line for line in lines if re.match(r"[A-Za-z_][\w.]*(Error|Exception|Exit)\b", line)]
    if raised:
        return Problem("its application does not load: " + raised[-1], "\n".join(lines[-15:]))
    refused = [line for line in lines if re.match(r"\w+\(\): .* \[\S+ line \d+\]", line) and not line.startswith("unlink()")]
    telling = refused or [line for line in lines if _TELLING.search(line) and "running as root" not in line and "no app loaded" not in line]
    return Problem("uWSGI says: " + telling[-1].strip() if telling else "it said nothing about why", "\n".join(lines[-15:]))


def trial_text(content: str) -> str:
    """A vassal's text with nothing left but what loads its application. Pure."""
    kept = []
    for line in content.partition("\n[x-webstack]")[0].splitlines():  # our notes: what is added below belongs to the section before them
        key = line.partition("=")[0].strip()
        if "=" not in line or not _LEFT_OUT.match(key):
            kept.append(line)
    # Without a socket uWSGI starts no workers, and then does not mind that there is no application.
    return "\n".join(kept + ["need-app = true", "socket = 127.0.0.1:0", ""])


def try_out(binary: str, content: str, timeout: float) -> Optional[Problem]:
    """Load a vassal's application in a process of its own that never serves (uwsgi --no-server); None when it loads."""
    fd, path = tempfile.mkstemp(prefix="webstack-trial-", suffix=".ini")
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape") as handle:
            handle.write(trial_text(content))
        argv = _EMPEROR_ENV + ["timeout", "--kill-after=5", "%g" % timeout, _uwsgi_wrapper.program_of(content) or binary, "--ini", path, "--no-server"]
        try:
            done = run(argv, check=False)
        except CommandError as exc:
            return Problem(str(exc), "")
        if done.returncode == 124:
            return Problem("its application does not load within %g seconds" % timeout, done.stderr[-2000:])
        return None if done.returncode == 0 else explain(done.stderr)
    finally:
        os.unlink(path)


class Log:
    """What is added to a log file, or, without one, to the emperor's journal from now on."""

    def __init__(self, path: str, unit: str) -> None:
        self._path, self._unit, self._since = path, unit, time.time()
        self._offset = os.path.getsize(path) if os.path.exists(path) else 0

    def news(self) -> str:
        """The lines added since."""
        if not self._path:
            return self.journal()
        try:
            with open(self._path, "rb") as handle:
                handle.seek(self._offset if os.fstat(handle.fileno()).st_size >= self._offset else 0)
                return handle.read(1 << 20).decode("utf-8", "replace")
        except OSError:
            return ""

    def journal(self) -> str:
        """The lines added since, from the emperor's journal: what a vassal says before it opens its log."""
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self._since))
        return run(["journalctl", "--unit", self._unit, "--since", since, "--output", "cat", "--no-pager"], check=False).stdout


class Watch:
    """One vassal from the moment its file changed until it answers with new workers.

    ``patient``: what runs may die a few times more (it is the refused one), so only time decides.
    ``steps``: so many workers are replaced one after the other, and each may take the whole time.
    """

    def __init__(self, name: str, file: str, address: str, host: str, path: str, log: Log, before: Optional[_emperor.Vassal], patient: bool = False,
                 steps: int = 1, stats: str = "") -> None:
        self.name, self.file, self.socket, self.path, self.log, self._stats = name, file, address, path, log, stats
        self._service = {"name": name, "nginx": {"sites": [{"server_names": [host]}]}}
        self._before: Set[int] = set(before.workers) if before else set()
        self._single = before is not None and set(before.workers) == {before.master}
        self._masters: Set[int] = {before.master} if before else set()
        self._patient = patient
        self.steps = steps
        self._patience = len(self._masters) + 1
        self._started = time.monotonic()
        self._answered: Optional[Tuple[int, float, float]] = None
        self._status = self.status = 0
        self._wanted, self._lenient = 0, 0.0
        self._wrong: Optional[float] = None
        self._asked = 0.0

    def expect(self, status: int, seconds: float) -> None:
        """Take no answer but ``status``, after at most so many seconds of others."""
        self._wanted, self._lenient = status, seconds

    def look(self, emperor: int, seen: Dict[int, _processes.Process]) -> Optional[Problem]:
        """Look once. Sets ``status`` when the new generation answers; returns a problem when it never will."""
        vassal = _emperor.find_vassal(os.path.basename(self.file), emperor, seen)
        if vassal is not None:
            self._masters.add(vassal.master)
        if not self._patient and (len(self._masters) > self._patience or "no app loaded. GAME OVER" in self.log.news()):
            return self.problem()
        if vassal is None or not self._renewed(vassal):
            self._answered = None
            return None
        if self._answered is not None and self._answered[0] == vassal.master:
            # One that dies of its stats socket, say, has answered before; it must still be there a moment later.
            if time.monotonic() - self._answered[1] > steady(self._answered[2] - max(vassal.workers.values())):
                self.status = self._status
            return None
        if self._wrong is not None and time.monotonic() - self._asked < _STEADY:
            return None  # its log shall tell more than our questions
        self._asked = time.monotonic()
        try:
            answer = _ask.ask(self._service, self.socket, self.path, timeout=10)
        except UwsgiConnectError:
            return None
        except UwsgiError as exc:
            time.sleep(_STEADY)  # a master that logs for its workers is a little behind them
            news = self.log.news()
            if "unable to load app" in news:  # lazy-apps: its workers accept before they load it
                return explain(news)
            said = traceback_in(news)
            return Problem(str(exc), said) if said else None
        if answer.status != self._wanted if self._wanted else answer.status >= 500:
            return self._unhealthy(answer.status)
        if self._stats and not self._accepting():
            return None
        self._status = answer.status
        self._answered = (vassal.master, time.monotonic(), time.time())
        return None

    def _unhealthy(self, status: int) -> Optional[Problem]:
        news = self.log.news()
        said = traceback_in(news) if status >= 500 else ""
        self._wrong = self._wrong or time.monotonic()
        if self._patient or not said and time.monotonic() - self._wrong < self._lenient:
            return None
        wanted = ", not %d" % self._wanted if self._wanted else ""
        details = said or "\n".join([line for line in news.splitlines() if line.strip()][-15:])
        return Problem("GET %s answers %d%s%s" % (self.path, status, wanted, " (%s)" % said.splitlines()[-1] if said else ""), details)

    def _renewed(self, vassal: _emperor.Vassal) -> bool:
        if self._single:  # without a master it is the same process after a reload; two scans of the emperor must do
            return time.monotonic() - self._started > 4
        return bool(vassal.workers) and not set(vassal.workers) & self._before

    def _accepting(self) -> bool:
        """Whether its stats socket shows a worker that accepts requests, and none of the former ones."""
        workers = _emperor.read_json(self._stats).get("workers", [])
        return any(worker.get("accepting") for worker in workers) and not {worker.get("pid") for worker in workers} & self._before - self._masters

    def problem(self) -> Problem:
        """What its log says, or the emperor's journal."""
        news = self.log.news()
        return explain(news if news.strip() else self.log.journal())


def steady(took: float) -> float:
    """How long a vassal must go on that answered ``took`` seconds after its workers began: on a busy host its master's own start is as slow. Pure."""
    return min(_STEADY, max(_BRIEF, took))


def await_all(watches: List[Watch], emperor_pid: int, timeout: float) -> None:
    """Wait until every watched vassal answers. Raises WebstackError for the first that does not, naming it."""
    started = time.monotonic()
    waiting = list(watches)
    while waiting:
        seen = _emperor.processes()
        for watch in list(waiting):
            problem = watch.look(emperor_pid, seen)
            if problem is None and not watch.status and time.monotonic() > started + timeout * watch.steps:
                known = watch.problem()
                problem = Problem("it does not answer at %s within %g seconds (%s)" % (watch.socket, timeout * watch.steps, known.reason), known.details)
            if problem is not None:
                raise refusal(watch.name, problem)
            if watch.status:
                waiting.remove(watch)
        if waiting:
            time.sleep(0.1)


def refusal(name: str, problem: Problem) -> WebstackError:
    """The error about one vassal."""
    key = "traceback" if problem.details.startswith("Traceback") else "log"
    return WebstackError("service %s: %s" % (name, problem.reason), service=name, **{key: problem.details})
