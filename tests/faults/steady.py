"""A small steady load of GET requests over new connections; every answer but 200 is a failure."""

from __future__ import annotations

import http.client
import itertools
import threading
import time
from typing import NamedTuple


class Failure(NamedTuple):
    """A request that was not answered with 200: when it was sent (time.monotonic) and what happened."""

    at: float
    what: str


class Load:
    """Asks the pages (a site, or a site and a path) in turn, ``rate`` times a second, from ``start`` to ``stop``, by some threads side by side.

    A path that ends with ``?`` gets a number, and ``answered`` has those of which the answer did not say that they were lost.
    """

    def __init__(self, address: str, pages: list[str] | list[tuple[str, str]], rate: float = 40, threads: int = 1, patience: float = 10) -> None:
        self.address, self.rate, self.count, self.patience = address, rate, threads, patience
        self.pages = [page if isinstance(page, tuple) else (page, "/") for page in pages]
        self.sent, self.failures, self.answered = 0, list[Failure](), set[str]()
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=[number], daemon=True) for number in range(threads)]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def between(self, begin: float, end: float) -> list[Failure]:
        """The failures of requests that were sent in a span of time.monotonic()."""
        return [failure for failure in list(self.failures) if begin <= failure.at <= end]

    def _run(self, number: int) -> None:
        due = time.monotonic()
        for site, path in itertools.cycle(self.pages[number % len(self.pages):] + self.pages[:number % len(self.pages)]):
            if self._stop.is_set():
                return
            self._ask(site, path)
            due = max(due + self.count / self.rate, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))

    def _ask(self, site: str, path: str) -> None:
        self.sent += 1
        number = str(next(self._numbers)) if path.endswith("?") else ""
        at, moment = time.monotonic(), time.strftime("%H:%M:%S")
        try:
            connection = http.client.HTTPConnection(self.address, 80, timeout=self.patience)
            connection.request("GET", path + number, headers={"Host": site})
            answer = connection.getresponse()
            status, kept = answer.status, bool(number) and not answer.getheader("X-Lost")
            connection.close()
        except (OSError, http.client.HTTPException) as exc:
            self.failures.append(Failure(at, f"{moment} {site}{path}: {exc!r}"))
        else:
            if status == 200 and kept:
                self.answered.add(number)
            if status != 200:
                self.failures.append(Failure(at, f"{moment} {site}{path}: {status}"))
