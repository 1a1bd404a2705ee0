# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parity gate's shell: reads the access log, asks both sides, stops the conversion when they differ."""

from __future__ import annotations

import os
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Callable, Dict, List, Mapping, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import ask, first_site
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import engine
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, host_lock, yield_cpu
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response, UwsgiError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _parity
from ansible_collections.gantry.webstack.plugins.module_utils.move._candidate import discard, on_host

AT_ONCE = 6
"""Requests under way at the same time: enough to overlap slow answers, few enough not to starve the host."""

LOG_BYTES = 2 * 1024 * 1024
"""How much of the end of an access log is read."""


def tail_lines(path: str, size: int = LOG_BYTES) -> List[str]:
    """The last whole lines of a file, at most ``size`` bytes; nothing when it cannot be read."""
    try:
        with open(path, "rb") as handle:
            handle.seek(0, os.SEEK_END)
            start = max(0, handle.tell() - size)
            handle.seek(start)
            lines = handle.read(size).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return lines[1:] if start else lines


class ParityModule(WebstackModule):
    """Prove each candidate equal to the host's process, or say where it is not and remove it."""

    def run(self) -> None:
        self.result["services"] = []
        if self.check_mode:
            return
        yield_cpu()
        with host_lock(), ThreadPoolExecutor(AT_ONCE) as pool:
            moves = [(service, _journal.load(service["name"])) for service in self.params["services"]]
            open_moves = [(service, journal) for service, journal in moves if on_host(journal)]
            proofs = [(service, journal, self._prove(pool, service, journal)) for service, journal in open_moves]
            for service, journal, proof in proofs:
                found = [(request, what.result()) for request, what in proof]
                report = {"service": service["name"], "requests": len(found),
                          "differences": [{"request": request.shown(), "what": what} for request, what in found if what]}
                self.result["services"].append(report)
                if report["differences"]:
                    self._refuse(report, [journal for dummy, journal in open_moves])
            for dummy, journal in open_moves:
                journal.record("proven", phase="proven")

    def _prove(self, pool: ThreadPoolExecutor, service: Mapping[str, Any], journal: _journal.Journal) -> List[Tuple[_parity.Request, "Future[List[str]]"]]:
        """Begin to compare every request of a service."""
        if not journal.candidate:
            raise WebstackError("service %s: there is no candidate to compare; run convert" % service["name"])
        log = first_site(service).get("access_log", "/var/log/nginx/access.log")  # with its format, perhaps; False without one
        lines = tail_lines(log.split()[0]) if log else []
        extra = self.params["requests"].get(service["name"], [])
        timeout = self.params["timeout"]

        def prove(request: _parity.Request) -> List[str]:
            def at(socket: str) -> Callable[[_parity.Request], Response]:
                return lambda asked: ask(service, socket, asked.target, asked.method, timeout=timeout)
            try:
                return _parity.compare(at(journal.data["seam"]), at(journal.candidate["socket"]), request)
            except UwsgiError as exc:
                return [str(exc)]

        return [(request, pool.submit(prove, request)) for request in _parity.choose(service, lines, extra, self.params["limit"])]

    @staticmethod
    def _refuse(report: Dict[str, Any], journals: List[_journal.Journal]) -> None:
        with engine() as client:
            for journal in journals:
                discard(client, journal)
        first = report["differences"][0]
        raise WebstackError("service %s: the container answers %d of %d requests otherwise than the host, first %s: %s; the host serves on unchanged"
                            % (report["service"], len(report["differences"]), report["requests"], first["request"], first["what"][0]),
                            differences=report["differences"])
