"""A small steady load of GET requests over new connections; every answer but 200 is a failure."""

from __future__ import annotations

import http.client
import itertools
import threading
import time


class Load:
    """Asks the hosts in turn, ``rate`` times a second, from ``start`` to ``stop``."""

    def __init__(self, address: str, hosts: list[str], rate: float = 40) -> None:
        self.address, self.hosts, self.rate = address, hosts, rate
        self.sent, self.failures = 0, list[str]()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join(30)

    def _run(self) -> None:
        due = time.monotonic()
        for host in itertools.cycle(self.hosts):
            if self._stop.is_set():
                return
            self._ask(host)
            due = max(due + 1 / self.rate, time.monotonic() - 1)
            time.sleep(max(0.0, due - time.monotonic()))

    def _ask(self, host: str) -> None:
        self.sent += 1
        moment = time.strftime("%H:%M:%S")
        try:
            connection = http.client.HTTPConnection(self.address, 80, timeout=10)
            connection.request("GET", "/", headers={"Host": host})
            status = connection.getresponse().status
            connection.close()
        except (OSError, http.client.HTTPException) as exc:
            self.failures.append(f"{moment} {host}: {exc!r}")
        else:
            if status != 200:
                self.failures.append(f"{moment} {host}: {status}")
