# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parity gate: the same request to the host, to the candidate, and to the host again.

What differs between the host's own answers is noise (dates, tokens, counters); any other difference in status, headers, cookies or
body counts. The candidate is asked between the two, so that data which changes meanwhile shows up as noise and not as a defect.
"""

from __future__ import annotations

import hashlib
import re
import time
import zlib
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response
from ansible_collections.gantry.webstack.plugins.module_utils.move import _noise

OWN = ""
"""Value of a header that stands for what the asked side itself gave: its ETag, its Last-Modified."""

VALIDATORS = {"If-None-Match": "ETag", "If-Modified-Since": "Last-Modified"}
"""Conditional headers and where their values come from (RFC 9110 section 13.1)."""

TRIES = 5
"""How often host, candidate and host are asked before a difference counts."""


LONG = 1.0
"""Seconds of an answer that is not asked for more often than need be."""


class Request(NamedTuple):
    """What to ask: a method, a request target, a Host (empty: the service's own) and further headers. ``kind`` says why, for people."""

    method: str
    target: str
    host: str = ""
    headers: Tuple[Tuple[str, str], ...] = ()
    kind: str = "listed"

    def key(self) -> Tuple[str, str, str, Tuple[Tuple[str, str], ...]]:
        """What makes two requests the same."""
        return self[:4]

    def shown(self) -> str:
        """The request for people: without the query's values, which may be private."""
        path, mark, query = self.target.partition("?")
        keys = "&".join(part.partition("=")[0] + "=..." for part in query.split("&")) if query else ""
        more = ["Host: " + self.host] if self.host else []
        more += [name if value == OWN else "%s: %s" % (name, value) for name, value in self.headers]
        return "%s %s%s%s%s" % (self.method, path, mark, keys, " (%s)" % ", ".join(more) if more else "")


class Comparison(NamedTuple):
    """What one request showed: differences (none is good), and the last answers of both sides."""

    found: List[str]
    host: Response
    candidate: Response


def _headers(answer: Response) -> Dict[str, List[str]]:
    found: Dict[str, List[str]] = {}
    for name, value in answer.headers:
        found.setdefault(name.lower(), []).append(value)
    return found


class _Cookie(NamedTuple):
    """A Set-Cookie line: its value, and its attributes without a date, which is made anew for each answer (RFC 6265 section 4.1)."""

    value: str
    attributes: List[str]


def _cookies(answer: Response) -> Dict[str, _Cookie]:
    found = {}
    for line in _headers(answer).get("set-cookie", []):
        first, dummy, rest = line.partition(";")
        name, dummy, value = first.partition("=")
        parts = [part.strip() for part in rest.split(";") if part.strip()]
        found[name.strip()] = _Cookie(value, sorted("expires" if part.lower().startswith("expires=") else part for part in parts))
    return found


def _cookie_differences(hosts: Sequence[Response], candidate: Response) -> List[str]:
    known, mine = [_cookies(answer) for answer in hosts], _cookies(candidate)
    found = []
    for name in sorted(set().union(*known) | set(mine)):
        wanted = [cookies[name] for cookies in known if name in cookies]
        if name not in mine:
            found += ["cookie %s is missing" % name] if len(wanted) == len(known) else []
        elif not wanted:
            found.append("cookie %s is new" % name)
        elif mine[name].attributes not in [cookie.attributes for cookie in wanted]:
            found.append("cookie %s has %s, the host's %s" % (name, mine[name].attributes, wanted[0].attributes))
        elif len({cookie.value for cookie in wanted}) == 1 and len(wanted) == len(known) and mine[name].value != wanted[0].value:
            found.append("cookie %s has another value, which is the same in all of the host's answers" % name)
    return found


_APART = ("date", "set-cookie")
"""Headers that say nothing, or are looked at for themselves."""


def _entity_tag(values: List[str]) -> List[str]:
    """An ETag without its opaque part, which frameworks make of a file's time to the nanosecond and of its inode; the bodies are compared anyway."""
    return [re.sub(r'"[^"]*"', '"..."', value) for value in values]


def _header_differences(hosts: Sequence[Response], candidate: Response, body: bool) -> List[str]:
    known, mine = [_headers(answer) for answer in hosts], _headers(candidate)
    found = []
    for name in sorted((set().union(*known) | set(mine)) - set(_APART)):
        if name == "content-length" and body and name in mine and all(name in headers for headers in known):
            continue  # of the body, which is compared
        values = [headers[name] for headers in known if name in headers]
        said = mine.get(name, [])
        if name == "etag":
            values, said = [_entity_tag(value) for value in values], _entity_tag(said)
        always = len(values) == len(known)
        if said in values or (not said and not always):
            continue
        constant = always and all(value == values[0] for value in values)
        if not said or not values or constant or not _noise.fits(_noise.learn([_joined(value) for value in values]), _joined(said)):
            found.append("header %s is %s, the host's %s" % (name, said or "missing", values[0] if values else "missing"))
    return found


def _joined(values: List[str]) -> bytes:
    return "\n".join(values).encode("latin-1", "replace")


def body_of(answer: Response) -> bytes:
    """The body without its gzip or deflate coding, whose bytes may differ for the same content. What is broken stays as it is."""
    coding = (answer.header("Content-Encoding") or "").strip().lower()
    if coding in ("gzip", "x-gzip", "deflate"):
        try:
            return zlib.decompressobj(47).decompress(answer.body, 64 * 1024 * 1024)  # 32: gzip or zlib by its head
        except zlib.error:
            pass
    return answer.body


def is_text(answer: Response) -> bool:
    """Can a person read the body?"""
    body = body_of(answer)[:4096]
    return b"\0" not in body and b"\xef\xbf\xbd" not in body.decode("utf-8", "replace").encode("utf-8")[:-6]


def _body_difference(hosts: Sequence[Response], candidate: Response) -> List[str]:
    known, body = [body_of(answer) for answer in hosts], body_of(candidate)
    shortest = min(map(len, [*known, body])) if not all(answer.complete for answer in [*hosts, candidate]) else None
    known, body = [text[:shortest] for text in known], body[:shortest]
    if body in known:
        return []
    template = _noise.learn(known)
    place = _noise.mismatch(template, body)
    if place is None:
        return []
    if not (is_text(hosts[0]) and is_text(candidate)):
        return ["body has %d bytes, %s, the host's %d, %s" % (len(body), _digest(body), len(known[0]), _digest(known[0]))]
    said, wanted = (text.decode("utf-8", "backslashreplace") for text in place.told(body))
    return ["body says %r where the host says %r" % (said, wanted)]


def _digest(body: bytes) -> str:
    return "sha256 " + hashlib.sha256(body).hexdigest()[:16]


def differences(hosts: Sequence[Response], candidate: Response) -> List[str]:
    """What the candidate's answer has that is neither the host's nor the host's own noise: one short sentence each.

    ``hosts`` are answers of the host; only of two or more of them, from before and after the candidate's, noise can be learned.
    """
    alike = [answer for answer in hosts if answer.status == candidate.status]
    if not alike:
        return ["status %d, the host's %d" % (candidate.status, hosts[0].status)]
    body = _body_difference(alike, candidate)
    return _header_differences(alike, candidate, bool(candidate.body or alike[0].body)) + _cookie_differences(alike, candidate) + body


Ask = Callable[[Request], Response]


def with_own(request: Request, ask: Ask) -> Request:
    """A conditional request with the validators that the asked side itself gives; without those that it does not give."""
    if all(value != OWN for dummy, value in request.headers):
        return request
    plain = ask(request._replace(headers=tuple(item for item in request.headers if item[1] != OWN)))
    filled = [(name, value if value != OWN else plain.header(VALIDATORS[name]) or "") for name, value in request.headers]
    return request._replace(headers=tuple(item for item in filled if item[1]))


def compare(host: Ask, candidate: Ask, request: Request, tries: int = TRIES, pause: Callable[[float], None] = time.sleep) -> Comparison:
    """Ask host, candidate, host; again when something differs, since data may have changed in between and noise may not have shown.

    What is noise is learned from all of the host's answers, and all of the candidate's are judged by it. A difference is gone when the last answer
    has none and most have none. A status that is another one three times is no noise; ``tries`` counts for the rest. After an answer that took longer
    than LONG the host is asked again only when there is a difference that may be noise.
    """
    began = time.monotonic()
    hosts, middles = [host(request)], []
    slow = time.monotonic() - began > LONG
    for number in range(tries):
        middles.append(candidate(request))
        if slow and number == 0 and not differences(hosts, middles[0]):
            return Comparison([], hosts[0], middles[0])
        hosts.append(host(request))
        judged = [differences(hosts, answer) for answer in middles]
        if not judged[-1] and sum(not found for found in judged) * 2 > len(judged):
            return Comparison([], hosts[-1], middles[-1])
        if number >= 2 and not {answer.status for answer in hosts} & {answer.status for answer in middles}:
            break
        if number + 1 < tries:
            pause(0.1 * (number + 1))  # seconds that count and clocks that tick show themselves
            hosts.append(host(request))
    worst = max(number for number, found in enumerate(judged) if found)
    return Comparison(judged[worst], hosts[-1], middles[worst])


def shown(host: Response, candidate: Response, hide: Callable[[str], str]) -> List[str]:
    """Both answers as the lines of a diff: ``-`` the host's, ``+`` the container's, a few lines around the first difference of the bodies.

    ``hide`` takes secrets out of a line. Values of cookies are not shown.
    """
    found = _pair("HTTP %d" % host.status, "HTTP %d" % candidate.status)
    left, right = _headers(host), _headers(candidate)
    for name in sorted((set(left) | set(right)) - {"date"}):
        if left.get(name) != right.get(name) or name == "content-type":
            found += _pair(_header_line(name, left), _header_line(name, right))
    mine, theirs = body_of(host), body_of(candidate)
    if mine != theirs and is_text(host) and is_text(candidate):
        found += [" ", *_noise.lines_around(mine, theirs)]
    elif mine != theirs:
        found += [" ", *_pair(*("%d bytes, %s" % (len(body), _digest(body)) for body in (mine, theirs)))]
    return [line[:1] + hide(line[1:]) for line in found]


def _header_line(name: str, headers: Mapping[str, List[str]]) -> Optional[str]:
    values = headers.get(name)
    if values is None:
        return None
    if name == "set-cookie":
        values = [re.sub(r"^([^=;]*)=[^;]*", r"\1=...", value) for value in values]
    return "%s: %s" % (name, " | ".join(values))


def _pair(left: Optional[str], right: Optional[str]) -> List[str]:
    if left == right:
        return [" " + str(left)]
    return [sign + text for sign, text in (("-", left), ("+", right)) if text is not None]
