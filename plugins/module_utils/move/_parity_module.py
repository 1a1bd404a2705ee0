# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parity gate's shell: reads the access logs, asks both sides, compares static trees, stops the conversion when they differ."""

from __future__ import annotations

import collections
import contextlib
import os
import re
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _nginx_tokens, _proc
from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import ask, host_header
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import engine, find_container
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, host_lock, yield_cpu
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response, UwsgiError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_nginx
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import MASK, redact
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs
from ansible_collections.gantry.webstack.plugins.module_utils.image._image import needles
from ansible_collections.gantry.webstack.plugins.module_utils.move import _memory, _parity, _requests, _static_trees
from ansible_collections.gantry.webstack.plugins.module_utils.move._candidate import BESIDE, discard

AT_ONCE = 6
"""Requests under way at the same time: enough to overlap slow answers, few enough not to starve the host."""

SERVICES_AT_ONCE = 4
"""Services that are compared side by side; they share the requests under way."""

LOG_BYTES = 2 * 1024 * 1024
"""How much of the end of an access log is read."""

BODY_BYTES = 8 * 1024 * 1024
"""How much of an answer is read and compared; an endless one ends here."""

ROUNDS = 3
"""How often answers may lead to further requests: a page to its style sheet, the style sheet to its fonts, a font to a range of it."""

SLOW = 1.5
"""Seconds that three answers may take for more requests to be made of them: a slow page is not asked for in every variant."""

_ACCESS_LOG = "/var/log/nginx/access.log"


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


def log_formats(text: str) -> Dict[str, str]:
    """{name: text} of the log_format directives of a configuration, nginx's own among them. Pure."""
    found = {"combined": _requests.COMBINED}
    words: List[str] = []
    for token in _nginx_tokens.tokens(text):
        if token.kind == "mark":
            if words[:1] == ["log_format"] and len(words) > 2:
                found[words[1]] = "".join(words[3 if words[2].startswith("escape=") else 2:])
            words = []
        elif token.kind == "quoted":
            words.append(re.sub(r"\\([\"'\\])", r"\1", token.text[1:-1]))
        elif token.kind == "word":
            words.append(token.text)
    return found


def log_places(service: Mapping[str, Any]) -> List[Tuple[str, str]]:
    """(path, name of its format) of the access logs of a service's sites; those off or led elsewhere are left out. Pure."""
    found = []
    for site in service.get("nginx", {}).get("sites", []) or [{}]:
        words = str(site.get("access_log", _ACCESS_LOG) or "").split()
        if words and words[0].startswith("/") and "$" not in words[0]:
            found.append((words[0], words[1] if len(words) > 1 and "=" not in words[1] else "combined"))
    return list(dict.fromkeys(found))


class HostSilentError(WebstackError):
    """The host itself does not answer a request: an endless stream, a page that takes too long. Nobody can compare that."""


class Asked(NamedTuple):
    """One request that was compared, or that somebody did not answer; what differed; seconds that it all took."""

    request: _parity.Request
    comparison: Optional[_parity.Comparison]
    what: List[str]
    seconds: float


class Found(NamedTuple):
    """What was compared of one service."""

    asked: List[Asked]
    trees: List[Tuple[str, _static_trees.Compared]]


class ParityModule(WebstackModule):
    """Prove each candidate equal to the host's process, or say where it is not and remove it."""

    def run(self) -> None:
        self.result["services"] = []
        if self.check_mode:
            return
        yield_cpu()
        with host_lock(), ThreadPoolExecutor(AT_ONCE) as pool:
            open_moves = BESIDE[self.params["beside"]](self.params["services"])
            if self.params["beside"] == "container":
                open_moves = [(service, journal) for service, journal in open_moves if journal.candidate]  # the others run their newest version
            formats = self._formats(service for service, dummy in open_moves)
            with ThreadPoolExecutor(SERVICES_AT_ONCE) as services:
                proofs = services.map(lambda move: self._prove(pool, move[0], move[1], formats), open_moves)
                self.result["services"] = [report(service["name"], proof, hider(service)) for (service, dummy), proof in zip(open_moves, proofs)]
            self._need_memory(open_moves)
            if any(item["differences"] for item in self.result["services"]):
                self._refuse([journal for dummy, journal in open_moves])
            for dummy, journal in open_moves:
                journal.record("proven", phase="proven")

    @staticmethod
    def _formats(services: Iterable[Mapping[str, Any]]) -> Dict[str, str]:
        """The log formats of nginx, asked for only when a site names one of its own."""
        names = {name for service in services for dummy, name in log_places(service)}
        if names <= {"combined"}:
            return {"combined": _requests.COMBINED}
        found, dummy = _evidence_nginx.nginx(_proc.processes())
        return log_formats(found["text"] if found else "")

    def _prove(self, pool: ThreadPoolExecutor, service: Mapping[str, Any], journal: _journal.Journal, formats: Mapping[str, str]) -> Found:
        """Compare every request of a service, what the answers lead to, and its static trees."""
        if not journal.candidate:
            raise WebstackError("service %s: there is no candidate to compare; run convert" % service["name"])
        here = HostFs()
        seam, socket = journal.served_by.get("socket") or journal.data["seam"], journal.candidate["socket"]
        asked = self._ask_all(pool, service, formats, seam, socket, _static_trees.targets(service, here))
        return Found(asked, self._trees(service, journal, here) if self.params["beside"] == "host" else [])

    def _ask_all(self, pool: ThreadPoolExecutor, service: Mapping[str, Any], formats: Mapping[str, str], seam: str, socket: str,
                 static: Sequence[str]) -> List[Asked]:
        """Compare every request of a service at two addresses, and what the answers lead to; ``static`` are targets of files."""
        extra = self.params["requests"].get(service["name"], [])
        logs = [_requests.Log(with_rotated(path), formats.get(name, "")) for path, name in log_places(service)]
        left_out = _requests.taken_out(extra) + self.params["changes"]
        wanted = _requests.distinct(_requests.choose(service, logs, extra, self.params["limit"], static), left_out)
        asked: List[Asked] = []
        for dummy in range(ROUNDS):
            asked += pool.map(lambda request: self._compare(service, seam, socket, request), wanted)
            known = [item.request for item in asked]
            answers = [(item.request, item.comparison.host) for item in asked if item.comparison is not None and item.seconds < SLOW]
            more = _requests.further(service, answers, host_header(service))
            wanted = _requests.bounded(_requests.distinct(more, left_out, known), known)
            if not wanted:
                break
        return asked

    @staticmethod
    def _trees(service: Mapping[str, Any], journal: _journal.Journal, here: HostFs) -> List[Tuple[str, _static_trees.Compared]]:
        """The static trees of the service, on the host and in the candidate."""
        with engine() as client:
            container = find_container(client, journal.candidate["container"])
            pid = container.attrs["State"]["Pid"] if container is not None else 0
        compared = []
        for path in _static_trees.belonging(service, here) if pid else []:
            tree = _static_trees.compare(HostFs(), _static_trees.inside(pid), path)
            if tree.found:  # a file may have come while the other side was looked at
                again = _static_trees.compare(HostFs(), _static_trees.inside(pid), path).found
                tree = tree._replace(found=[what for what in tree.found if what in again])
            compared.append((path, tree))
        return compared

    def _ask(self, service: Mapping[str, Any], address: str, asked: _parity.Request) -> Response:
        """One answer of the service at an address. Raises UwsgiError."""
        return ask(service, address, asked.target, asked.method, self.params["timeout"], asked.host, asked.headers, BODY_BYTES)

    def _compare(self, service: Mapping[str, Any], seam: str, socket: str, request: _parity.Request) -> Asked:
        began = time.monotonic()

        def at(address: str) -> _parity.Ask:
            def plain(asked: _parity.Request) -> Response:
                return self._ask(service, address, asked)
            return lambda asked: plain(_parity.with_own(asked, plain))

        def host(asked: _parity.Request) -> Response:
            try:
                return at(seam)(asked)
            except UwsgiError as exc:
                raise HostSilentError(str(exc)) from exc

        comparison, what = None, []
        try:
            comparison = _parity.compare(host, at(socket), request)
            what = comparison.found
        except HostSilentError as exc:
            what = [str(exc)] if request.kind == "health" else []
        except UwsgiError as exc:
            what = [str(exc)]
        return Asked(request, comparison, what, time.monotonic() - began)

    @staticmethod
    def _need_memory(moves: Sequence[Tuple[Mapping[str, Any], _journal.Journal]]) -> None:
        """Refuse a candidate that the memory of its plan is too little for: what it has done so far is less than what comes."""
        limited = [move for move in moves if move[0].get("container", {}).get("memory")]
        if not limited:
            return
        with engine() as client:
            for service, journal in limited:
                container = find_container(client, journal.candidate["container"])
                short = _memory.shortage(_memory.usage(container.attrs["State"]["Pid"])) if container is not None else ""
                if short:
                    for dummy, other in moves:
                        discard(client, other)
                    raise WebstackError("service %s: its candidate container %s; container.memory in the plan is %s, give it more; %s serves on unchanged"
                                        % (service["name"], short, service["container"]["memory"], journal.serving))

    def _refuse(self, journals: Sequence[_journal.Journal]) -> None:
        with engine() as client:
            for journal in journals:
                discard(client, journal)
        bad = next(item for item in self.result["services"] if item["differences"])
        first, serving = bad["differences"][0], journals[0].serving
        raise WebstackError("service %s: the container answers %d of %d requests otherwise than %s, first %s: %s; %s serves on unchanged"
                            % (bad["service"], len(bad["differences"]), bad["requests"] + bad["trees"], serving, first["request"],
                               first["what"][0].replace("the host", serving), serving), differences=bad["differences"])


def with_rotated(path: str, few: int = 200) -> List[str]:
    """The end of a log; of the one before it too (logrotate(8)) when it has just been rotated."""
    lines = tail_lines(path)
    return (tail_lines(path + ".1") + lines) if len(lines) < few else lines


def hider(service: Mapping[str, Any]) -> Callable[[str], str]:
    """A function that takes the service's secret values, what looks like a secret, and values of queries out of one line."""
    values: List[str] = []
    with contextlib.suppress(WebstackError, OSError):
        for value in needles(service, HostFs())[0].values():
            text = value.decode("utf-8", "replace")
            values += [text, *(part for line in text.splitlines() for part in (line.strip(), line.partition("=")[2].strip("\"' ")) if len(part) >= 8)]
    values.sort(key=len, reverse=True)

    def hide(line: str) -> str:
        for value in values:
            line = line.replace(value, MASK)
        return redact(re.sub(r"([?&;][\w.\[\]-]+=)[^&\s\"'<>;#)]+", r"\1...", line))

    return hide


def report(name: str, found: Found, hide: Callable[[str], str]) -> Dict[str, Any]:
    """What was compared of a service, for the result and the page: counts by kind, and each difference with both answers. Pure."""
    differences = []
    for request, comparison, what, dummy in found.asked:
        if what:
            lines = _parity.shown(comparison.host, comparison.candidate, hide) if comparison is not None else []
            differences.append({"request": request.shown(), "kind": request.kind, "what": [hide(text) for text in what], "diff": lines})
    differences += [{"request": "static tree " + path, "kind": "static tree", "what": tree.found, "diff": []} for path, tree in found.trees if tree.found]
    compared = [item.request.kind for item in found.asked if item.comparison is not None or item.what]
    return {"service": name, "requests": len(compared), "kinds": dict(collections.Counter(compared)),
            "unanswered": [item.request.shown() for item in found.asked if item.comparison is None and not item.what],
            "trees": len(found.trees), "files": sum(tree.files for dummy, tree in found.trees), "differences": differences}
