# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parity gate: the same request to the host, to the candidate, and to the host again.

What differs between the host's own two answers is noise (dates, tokens, counters); any other difference in status, headers or
body counts. The candidate is asked between the two, so that data which changes meanwhile shows up as noise and not as a defect.
"""

from __future__ import annotations

import collections
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response

SAFE_METHODS = ("GET", "HEAD")
"""RFC 9110 section 9.2.1; OPTIONS and TRACE are safe too, and no application is worth asking them."""

_TOKEN = re.compile(rb"[0-9A-Za-z_]+|[^0-9A-Za-z_]")
_REQUEST = re.compile(r'"(?P<method>[A-Z]+) (?P<target>/\S*) HTTP/[0-9.]+" (?P<status>\d{3}) ')


class Request(NamedTuple):
    """What to ask: a method and a request target."""

    method: str
    target: str

    def shown(self) -> str:
        """The request for people: without the query's values, which may be private."""
        path, mark, query = self.target.partition("?")
        keys = "&".join(part.partition("=")[0] + "=..." for part in query.split("&")) if query else ""
        return "%s %s%s%s" % (self.method, path, mark, keys)


def from_access_log(lines: Iterable[str], limit: int) -> List[Request]:
    """The latest distinct safe requests of a log in nginx's combined format; one per path and set of query keys."""
    found: "collections.OrderedDict[Tuple[str, str, str], Request]" = collections.OrderedDict()
    for line in lines:
        match = _REQUEST.search(line)
        if match is None or match["method"] not in SAFE_METHODS or match["status"] in ("400", "408", "444", "499", "502", "503", "504"):
            continue
        path, dummy, query = match["target"].partition("?")
        shape = re.sub(r"\d+", "0", path)
        key = (match["method"], shape, ",".join(sorted(part.partition("=")[0] for part in query.split("&"))))
        found.pop(key, None)
        found[key] = Request(match["method"], match["target"])
    return list(found.values())[-limit:]


def choose(service: Mapping[str, Any], log_lines: Iterable[str], extra: Sequence[str], limit: int) -> List[Request]:
    """What to ask of a service: its health path (GET and HEAD), its locations, a page that is not there, the log, the user's own list.

    ``extra`` has targets (``/path``) or ``METHOD /path``; a method that is not safe is sent only from there.
    """
    wanted = [Request("GET", service.get("health", {}).get("path", "/")), Request("HEAD", service.get("health", {}).get("path", "/"))]
    for site in service.get("nginx", {}).get("sites", []):
        text = site.get("location", "/")
        location = text.split()[-1]
        if text.startswith("~"):
            wanted += [Request("GET", site["path"])] if site.get("path") else []
        elif location.startswith("/"):
            wanted += [Request("GET", location), Request("GET", location.rstrip("/") + "/webstack-no-such-page")]
    for item in extra:
        method, space, target = item.partition(" ")
        wanted.append(Request(method, target) if space else Request("GET", item))
    wanted += from_access_log(log_lines, limit)
    return list(dict.fromkeys(wanted))


def _headers(answer: Response) -> Dict[str, List[str]]:
    found: Dict[str, List[str]] = {}
    for name, value in answer.headers:
        if name.lower() != "date":
            found.setdefault(name.lower(), []).append(value)
    return found


def _cookie_shape(value: str) -> str:
    """A Set-Cookie without what is made anew for each answer: its value and its dates (RFC 6265 section 4.1)."""
    first, dummy, rest = value.partition(";")
    kept = [part.strip() for part in rest.split(";") if not part.strip().lower().startswith("expires=")]
    return "; ".join([first.partition("=")[0] + "="] + sorted(kept))


def _masked(before: bytes, after: bytes) -> Optional[List[Optional[bytes]]]:
    """The tokens that both answers share, None where they differ; None as a whole when they differ in length."""
    left, right = _TOKEN.findall(before), _TOKEN.findall(after)
    if len(left) != len(right):
        return None
    return [a if a == b else None for a, b in zip(left, right)]


def _body_difference(before: bytes, candidate: bytes, after: bytes) -> Optional[str]:
    if candidate in (before, after):
        return None
    mask = _masked(before, after)
    if mask is None:
        # Not alike token by token: lists grew, lines came and went. Lines that both of the host's answers have must be there.
        lines = set(candidate.splitlines())
        missing = [line for line in before.splitlines() if line in set(after.splitlines()) and line not in lines]
        return "body lacks %r" % missing[0][:120].decode("latin-1") if missing else None
    tokens = _TOKEN.findall(candidate)
    if len(tokens) != len(mask):
        noise = mask.count(None)
        if noise and noise * 4 >= len(mask):
            return None  # more than a quarter is noise: random data, whose token count means nothing
        return "body has %d bytes, the host's %d; the first difference: %s" % (len(candidate), len(before), _first_difference(before, candidate))
    for index, (token, wanted) in enumerate(zip(tokens, mask)):
        if wanted is not None and token != wanted:
            place = b"".join(tokens[max(0, index - 8):index + 8])
            host_place = b"".join(_TOKEN.findall(before)[max(0, index - 8):index + 8])
            return "body says %r where the host says %r" % (place.decode("latin-1"), host_place.decode("latin-1"))
    return None


def _first_difference(left: bytes, right: bytes) -> str:
    at = next((index for index, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))
    return "%r, on the host %r" % (right[max(0, at - 20):at + 40].decode("latin-1"), left[max(0, at - 20):at + 40].decode("latin-1"))


def differences(before: Response, candidate: Response, after: Response) -> List[str]:
    """What the candidate's answer has that is neither the host's nor the host's own noise: one short sentence each."""
    if before.status != after.status:
        return [] if candidate.status in (before.status, after.status) else ["status %d, the host's %d" % (candidate.status, before.status)]
    if candidate.status != before.status:
        return ["status %d, the host's %d" % (candidate.status, before.status)]
    found = []
    first, middle, last = _headers(before), _headers(candidate), _headers(after)
    for name in sorted(set(first) | set(middle)):
        if name == "set-cookie":
            shapes = [sorted(map(_cookie_shape, headers.get(name, []))) for headers in (first, middle, last)]
            if shapes[1] not in (shapes[0], shapes[2]):
                found.append("Set-Cookie %s, the host's %s" % (shapes[1], shapes[0]))
        elif first.get(name) != last.get(name):
            if (name in middle) != (name in first) and (name in middle) != (name in last):
                found.append("header %s %s" % (name, "is missing" if name not in middle else "is new"))
        elif middle.get(name) != first.get(name):
            found.append("header %s is %s, the host's %s" % (name, middle.get(name, "missing"), first.get(name, "missing")))
    body = _body_difference(before.body, candidate.body, after.body)
    return found + ([body] if body else [])


def compare(host: Callable[[Request], Response], candidate: Callable[[Request], Response], request: Request, tries: int = 3) -> List[str]:
    """Ask host, candidate, host; again (``tries``) when something differs, since data may have changed in between."""
    found: List[str] = []
    for dummy in range(tries):
        before = host(request)
        middle = candidate(request)
        found = differences(before, middle, host(request))
        if not found:
            break
    return found
