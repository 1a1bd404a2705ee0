# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Both sides of a switch watched while both still run: errors and latency, of real requests and of our own.

Our own requests go to the host's process and to the container at the same time, so that whatever slows the whole host slows both sides; between
two containers, the one that runs is what the host's process is otherwise. A few are under
way to each side at most; one that is not answered yet counts as late as soon as it is, so that a side that hangs is seen before it has answered.
Real requests are read from nginx's access log, which tells their status: their share of errors now is held against that of before. Those that wait
for a worker of the container are counted in the kernel's table: these wait longer and longer, whatever else slows the host.
"""

from __future__ import annotations

import math
import os
import re
import threading
import time
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import ask, first_site
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import unix_sockets
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import UwsgiError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _requests
from ansible_collections.gantry.webstack.plugins.module_utils.move._container_config import number

ENOUGH = 50
"""Answers of each side from which on a 99th percentile says something."""

SLACK = 0.02
"""Seconds by which a 99th percentile may rise whatever its factor: below that, scheduling alone decides."""

FEW = 3
"""Errors, and late answers, that are let pass: one may be a client's own."""

LATE = 0.02
"""Share of late answers that is let pass: of equal sides a hundredth is late by what a 99th percentile is, and it is known from few answers."""

RECENT = 3.0
"""Seconds for which most answers of a container are late when it hangs: the first ones after a switch may be, from a cold start under all the load."""

HANGS = 0.2
"""Seconds by which the answers of one that hangs are late, at least: a busy host may delay every second one of the side that has the load by less."""

QUEUE = 100
"""Connections that wait for a worker at most, where uWSGI's option ``listen`` says nothing else."""

QUEUED, FEW_QUEUED = 5, 10
"""Connections for each request that the container can work at which may wait for it all the time, and how many may do so in any case."""

QUEUED_SECONDS = 2.0
"""All the time: at each look for so long."""

AT_ONCE = 6
"""Requests of ours that are under way to one side at most."""

PROBE_SECONDS = 0.6
"""Pause of each of these after an answer."""

PROBE_TIMEOUT = 5.0
SLICE_SECONDS = 0.02
LOOK_SECONDS = 0.2

PROBES = 20
"""How many different requests are asked in turn."""

_STATUS = re.compile(r'" (?P<status>[1-5]\d{2}) ')
"""What follows the quoted request in nginx's combined format, and in most that were made of it (nginx: log_format)."""


class Limits(NamedTuple):
    """What counts as worse: ``errors`` in percentage points, ``p99`` as a factor."""

    errors: float
    p99: float


class Words(NamedTuple):
    """How both sides are called: the one that requests came from, the same as a place, and the one that they go to."""

    host: str = "the host"
    on_host: str = "on the host"
    container: str = "the container"


TO_CONTAINER = Words()
BETWEEN = Words("the running container", "in the running container", "the next container")


class Time(NamedTuple):
    """What a request of ours took: its number, seconds, and when that was (time.monotonic)."""

    request: int
    seconds: float
    at: float


class Tally:
    """Answers of one side, or of real requests: ``total``, ``errors`` (5xx or none at all), ``times`` where known."""

    def __init__(self) -> None:
        self.total, self.errors = 0, 0
        self.times: List[Time] = []
        self.asked: Dict[int, Tuple[int, float]] = {}
        """(request, when it was sent by time.monotonic) of those that are not answered yet, by thread."""
        self._lock = threading.Lock()

    def add(self, error: bool, time_of: Optional[Time] = None) -> None:
        """One answer."""
        with self._lock:
            self.total += 1
            self.errors += error
            if time_of is not None:
                self.times.append(time_of)

    def waits(self, now: float) -> List[Time]:
        """For how long requests have waited by now, answered or not."""
        return self.times + [Time(request, now - began, now) for request, began in list(self.asked.values())]

    @property
    def share(self) -> float:
        """Errors in percent."""
        return 100.0 * self.errors / self.total if self.total else 0.0


def tally_log(lines: Iterable[str], tally: Tally) -> Tally:
    """Add the requests of an access log's lines to ``tally``; a line of an unknown form counts for nothing."""
    for line in lines:
        match = _STATUS.search(line)
        if match:
            tally.add(match["status"].startswith("5"))
    return tally


def p99(times: Sequence[float]) -> float:
    """The 99th percentile by nearest rank: the smallest value that 99 % do not exceed."""
    return sorted(times)[math.ceil(0.99 * len(times)) - 1]


def errors_rose(before: Tally, now: Tally, limits: Limits) -> bool:
    """Are more than a few answers errors, and by more than ``limits.errors`` percentage points more than before?"""
    return now.errors >= FEW and now.share > before.share + limits.errors


def verdict(host: Tally, container: Tally, real_before: Tally, real: Tally, limits: Limits, words: Words = TO_CONTAINER) -> Optional[str]:
    """What got worse, in a few words for the end of a sentence; None when nothing did. Pure."""
    if errors_rose(host, container, limits):
        return "%d of %d test requests failed in %s, %d of %d %s" % (container.errors, container.total, words.container, host.errors, host.total, words.on_host)
    if errors_rose(real_before, real, limits):
        return "%.1f %% of %d requests failed, %.1f %% before" % (real.share, real.total, real_before.share)
    if min(len(host.times), len(container.times)) >= ENOUGH:
        usual = p99([item.seconds for item in host.times])
        bound = max(usual * limits.p99, usual + SLACK)
        late = sum(item.seconds > bound for item in container.times)
        if late > FEW + LATE * len(container.times):
            return ("%d of %d answers of %s took more than %.0f ms, %s's p99 is %.0f ms"
                    % (late, len(container.times), words.container, bound * 1000, words.host, usual * 1000))
    return None


def hangs(host: Tally, container: Tally, limits: Limits, now: float, words: Words = TO_CONTAINER) -> Optional[str]:
    """Are most of the container's last answers late at ``now`` (time.monotonic)? As ``verdict``, of few answers: it says something when it lasts."""
    late, known = _late(host, container, limits.p99, now)
    if known >= AT_ONCE and late * 2 > known:
        return "%d of the last %d answers of %s took more than %g times as long as %s's" % (late, known, words.container, limits.p99, words.host)
    return None


def may_wait(options: Mapping[str, Any]) -> int:
    """How many connections may wait for an instance with these uWSGI options all the time: as many as each makes wait for a while, and half of its queue."""
    together = number(options, "processes", "workers", "p") * number(options, "threads")
    return max(FEW_QUEUED, min(QUEUED * together, number(options, "listen", default=QUEUE) // 2))


def queue_problem(waiting: Sequence[Tuple[float, int]], most: int, words: Words = TO_CONTAINER) -> Optional[str]:
    """Did more than ``most`` wait all the time? ``waiting``: when each look was, in seconds, and the connections that had no worker then."""
    for at, count in reversed(waiting):
        if count <= most:
            break
        if at <= waiting[-1][0] - QUEUED_SECONDS:
            return "for %.0f s more than %d requests waited for a free worker of %s, %d at last" % (QUEUED_SECONDS, most, words.container, waiting[-1][1])
    return None


def _late(host: Tally, container: Tally, factor: float, now: float) -> Tuple[int, int]:
    """How many of the container's last answers are late, of how many to requests that the host has answered too.

    Pages differ by more than sides do, so each is held against the host's best time for it, and the 99th percentile of what comes on top of these.
    """
    best: Dict[int, float] = {}
    for item in host.times:
        best[item.request] = min(item.seconds, best.get(item.request, item.seconds))
    above = [item.seconds - best[item.request] for item in host.waits(now) if item.request in best]
    last = [item for item in container.waits(now) if item.at > now - RECENT and item.request in best]
    usual = p99(above) if above else 0.0
    expected = [best[item.request] + usual for item in last]
    return sum(item.seconds > max(seconds * factor, seconds + HANGS) for item, seconds in zip(last, expected)), len(last)


class Log:
    """An access log that is followed from now on, also through its rotation."""

    def __init__(self, path: Optional[str], before: Iterable[str]) -> None:
        self.path, self.before, self.now = path, tally_log(before, Tally()), Tally()
        self._rest = ""
        self._inode, self._offset = self._stat()

    def _stat(self) -> "tuple[int, int]":
        try:
            info = os.stat(self.path or "")
        except OSError:
            return 0, 0
        return info.st_ino, info.st_size

    def read(self) -> None:
        """Count what was logged since."""
        inode, size = self._stat()
        if inode != self._inode or size < self._offset:
            self._inode, self._offset, self._rest = inode, 0, ""
        if not inode or size == self._offset:
            return
        with open(self.path or "", "rb") as handle:
            handle.seek(self._offset)
            data = handle.read(size - self._offset)
        self._offset += len(data)
        *lines, self._rest = (self._rest + data.decode("utf-8", "replace")).split("\n")
        tally_log(lines, self.now)


class Watch:
    """One service, watched. ``sockets`` are where the host's process and the container listen; ``died`` tells when the container is no more."""

    def __init__(self, service: Mapping[str, Any], host: str, container: str, log_lines: Sequence[str], died: Callable[[], Optional[str]],
                 words: Words = TO_CONTAINER) -> None:
        self.service, self.sockets, self.died, self.words = service, {"host": host, "container": container}, died, words
        self.tallies = {side: Tally() for side in self.sockets}
        path = access_log(service)
        self.log = Log(path, log_lines)
        self.may_wait = may_wait(service["uwsgi"].get("options", {}))
        self.waiting: List[Tuple[float, int]] = []
        self.timely = time.monotonic()
        """When the container's answers were not late, last."""
        # a request that changes something is never sent twice on our own account
        self.requests = [item for item in _requests.choose(service, [_requests.Log(log_lines)], [], PROBES) if item.method in _requests.SAFE_METHODS][:PROBES]

    def probe(self, side: str) -> None:
        """The next request of ours to a side."""
        tally = self.tallies[side]
        me = threading.get_ident()
        turn = (tally.total + len(tally.asked)) % len(self.requests)
        request, began = self.requests[turn], time.monotonic()
        tally.asked[me] = (turn, began)
        try:
            error = ask(self.service, self.sockets[side], request.target, request.method, PROBE_TIMEOUT, request.host).status >= 500
        except UwsgiError:
            error = True
        finally:
            del tally.asked[me]  # else a thread that ends here would be waited for
        now = time.monotonic()
        tally.add(error, Time(turn, now - began, now))

    def look(self) -> None:
        """Take in what has happened to real requests since the last look."""
        self.log.read()
        # one that nobody has accepted has no inode yet (proc_pid_net(5), sock_i_ino in the kernel's net/unix)
        count = sum(item.path == self.sockets["container"] and not item.listening and not item.inode for item in unix_sockets())
        self.waiting.append((time.monotonic(), count))

    def problem(self, limits: Limits) -> Optional[str]:
        """What got worse by now."""
        host, container, now = self.tallies["host"], self.tallies["container"], time.monotonic()
        hanging = hangs(host, container, limits, now, self.words)
        if not hanging:
            self.timely = now
        return (self.died() or queue_problem(self.waiting, self.may_wait, self.words)
                or verdict(host, container, self.log.before, self.log.now, limits, self.words) or (hanging if now >= self.timely + RECENT else None))

    def summary(self) -> Dict[str, Any]:
        """Counts and percentiles (milliseconds) for the module's result."""
        found: Dict[str, Any] = {"requests": self.log.now.total, "errors": self.log.now.errors, "probes": self.tallies["container"].total}
        for side, tally in self.tallies.items():
            if tally.times:
                found["p99_%s_ms" % side] = round(p99([item.seconds for item in tally.times]) * 1000, 1)
        return found


def access_log(service: Mapping[str, Any]) -> Optional[str]:
    """Path of the log of the service's first site; None when it has none."""
    log = first_site(service).get("access_log", "/var/log/nginx/access.log")  # with its format, perhaps; False without one
    return log.split()[0] if log else None


def watch(watches: Sequence[Watch], seconds: float, limits: Limits, back: Callable[[Watch], None],
          flip: Callable[[Watch], None] = lambda watched: None) -> Dict[str, str]:
    """Watch for ``seconds``; service -> what got worse. ``back`` is called for such a service at once, which is let alone from then on; ``flip`` for the
    others, often."""
    found: Dict[str, str] = {}
    done = threading.Event()
    threads = [(watched, threading.Thread(target=_probe, args=(watched, side, found, done), daemon=True))
               for watched in watches for side in watched.sockets for dummy in range(AT_ONCE)]
    for dummy, thread in threads:
        thread.start()
    end, look_at = time.monotonic() + seconds, 0.0
    while time.monotonic() < end and len(found) < len(watches):
        look = time.monotonic() >= look_at
        for watched in [watched for watched in watches if watched.service["name"] not in found]:
            flip(watched)
            if look:
                watched.look()
                problem = watched.problem(limits)
                if problem:
                    found[watched.service["name"]] = problem
                    back(watched)
        look_at = time.monotonic() + LOOK_SECONDS if look else look_at
        time.sleep(SLICE_SECONDS)
    done.set()
    for watched, thread in threads:
        if watched.service["name"] not in found:  # a container that hangs answers nobody
            thread.join(2 * PROBE_TIMEOUT)
    return found


def _probe(watched: Watch, side: str, found: Mapping[str, str], done: threading.Event) -> None:
    """Ask a side until the end."""
    while not done.wait(PROBE_SECONDS) and watched.service["name"] not in found:
        watched.probe(side)
