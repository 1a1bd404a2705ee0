# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to ask both sides: health, locations, host names, logs, the user's list, and what the host's own answers lead to. Pure."""

from __future__ import annotations

import collections
import fnmatch
import posixpath
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Tuple
from urllib.parse import quote, urljoin, urlsplit

from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response
from ansible_collections.gantry.webstack.plugins.module_utils.move._parity import OWN, VALIDATORS, Request

SAFE_METHODS = ("GET", "HEAD")
"""RFC 9110 section 9.2.1; OPTIONS and TRACE are safe too, and no application is worth asking them."""

COMBINED = '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent"'
"""nginx's predefined format (ngx_http_log_module)."""

ABSENT = "webstack-no-such-page"

_REQUEST = re.compile(r'(?P<method>[A-Z]+) (?P<target>/\S*) HTTP/[0-9.]+"?(?: (?P<status>\d{3})\b)?')
_UNASKED = ("400", "408", "444", "494", "495", "496", "497", "499", "502", "503", "504")
"""Statuses of requests that never reached the application, or broke off."""


class Log(NamedTuple):
    """The end of an access log, and the text of its log_format."""

    lines: Sequence[str]
    format: str = COMBINED


class Logged(NamedTuple):
    """One line of a log: what was asked; ``status`` is empty where the format does not tell."""

    method: str
    target: str
    status: str


def format_parts(text: str) -> List[str]:
    """A log_format as literal, variable, literal, ... literal."""
    return re.split(r"\$(\w+)", re.sub(r"\$\{(\w+)\}", "$\\1\0", text))  # ${name} ends where its brace did, also before a letter


def read_line(parts: Sequence[str], line: str) -> Dict[str, str]:
    """The variables of one line of a log; empty when the line does not have that format. Takes time that grows with the line only."""
    if not line.startswith(parts[0]):
        return {}
    found: Dict[str, str] = {}
    at = len(parts[0])
    for name, literal in zip(parts[1::2], (part.replace("\0", "") for part in parts[2::2])):
        end = len(line) if literal == "" else line.find(literal, at)
        while literal[:1] == '"' and end > at and line[end - 1] == "\\" and line[end - 2] != "\\":  # escaped, so of the value (escape=json)
            end = line.find(literal, end + 1)
        if end < 0:
            return {}
        found[name] = _unescaped(line[at:end])
        at = end + len(literal)
    return found


_ESCAPE = re.compile(r'\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|["\\/bfnrt])')


def _unescaped(text: str) -> str:
    """A value without nginx's escapes, of escape=default (backslash, x, two digits) and of escape=json."""
    def sign(match: "re.Match[str]") -> str:
        code = match.group(1)
        return chr(int(code[1:], 16)) if code[0] in "xu" else {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}.get(code, code)

    return _ESCAPE.sub(sign, text) if "\\" in text else text


def logged(log: Log) -> Iterable[Logged]:
    """What the lines of a log say was asked; lines that say nothing are passed over."""
    parts = format_parts(log.format)
    names = set(parts[1::2])
    split = "request_method" in names and ("request_uri" in names or "uri" in names)
    for line in log.lines:
        found = read_line(parts, line) if split or "request" in names else {}
        if "request" in found:
            match = _REQUEST.match(found["request"])
            if match:
                yield Logged(match["method"], match["target"], found.get("status", ""))
        elif found:
            target = found.get("request_uri") or found["uri"] + ("?" + found["args"] if found.get("args", "-") not in ("", "-") else "")
            yield Logged(found["request_method"], target, found.get("status", ""))
        else:
            match = _REQUEST.search(line)
            if match:
                yield Logged(match["method"], match["target"], match["status"] or "")


def from_logs(service: Mapping[str, Any], logs: Sequence[Log], limit: int) -> List[Request]:
    """The latest distinct safe requests of the logs, one per shape of path, set of query keys and status; and GET for a few paths that are POSTed to."""
    found: "collections.OrderedDict[Tuple[str, ...], Request]" = collections.OrderedDict()
    posted: "collections.OrderedDict[str, Request]" = collections.OrderedDict()
    for line in (line for log in logs for line in logged(log)):
        if line.status in _UNASKED or not line.target.startswith("/") or not leads_here(service, line.target):
            continue
        path, dummy, query = line.target.partition("?")
        shape = re.sub(r"\d+", "0", path)
        if line.method in SAFE_METHODS:
            key = (line.method, shape, ",".join(sorted(part.partition("=")[0] for part in query.split("&"))), line.status[:1])
            found.pop(key, None)
            found[key] = Request(line.method, line.target, kind="access log")
        elif line.method != "OPTIONS":
            posted[shape] = Request("GET", path, kind="error page")
    gets = {re.sub(r"\d+", "0", request.target.partition("?")[0]) for request in found.values()}
    only_posted = [request for shape, request in posted.items() if shape not in gets]
    return list(found.values())[-limit:] + only_posted[-4:]


def _plain(location: str) -> Optional[str]:
    """The path that a location without an expression begins with; None for an expression or a named one."""
    text = location.split()[-1]
    return None if location.startswith(("~", "@")) or not text.startswith("/") else text


def leads_here(service: Mapping[str, Any], target: str) -> bool:
    """Would nginx hand this target to the service, as far as prefixes tell? A static location that fits longer takes it."""
    nginx, path = service.get("nginx", {}), target.partition("?")[0]
    sites = nginx.get("sites", [])
    prefixes = [_plain(site.get("location", "/")) for site in sites] or ["/"]
    ours = [len(prefix) for prefix in prefixes if prefix is not None and path.startswith(prefix)]
    if not ours and any(site.get("location", "/").startswith("~") for site in sites):
        ours = [0]
    others = [len(prefix) for prefix in (_plain(item["location"]) for item in nginx.get("static", [])) if prefix and prefix != "/" and path.startswith(prefix)]
    return bool(ours) and max(ours) >= max(others, default=0)


def host_names(site: Mapping[str, Any]) -> List[str]:
    """A Host for each server name: itself, one that a wildcard takes; none for an expression (nginx: server_name)."""
    found = []
    for name in site.get("server_names", []):
        if name.startswith(("*.", ".")):
            found.append("www." + name.lstrip("*."))
        elif name.endswith(".*"):
            found.append(name[:-1] + "test")
        elif name not in ("", "_") and not name.startswith("~"):
            found.append(name)
    return found


def choose(service: Mapping[str, Any], logs: Sequence[Log], extra: Sequence[str], limit: int, static: Sequence[str] = (), names: int = 16) -> List[Request]:
    """What to ask of a service at first: health, locations under each server name, a page that is not there, static files, the logs, the user's list.

    ``extra`` has targets (``/path``) or ``METHOD /path``; a method that is not safe is sent only from there. ``!PATTERN`` takes out what has
    a path of this pattern (fnmatch). ``static`` are targets of files that the service serves itself.
    """
    health = service.get("health", {}).get("path", "/")
    wanted = [Request("GET", health, kind="health"), Request("HEAD", health, kind="HEAD")]
    sites = service.get("nginx", {}).get("sites", [])
    hosts: List[Request] = []
    first = (service.get("health", {}).get("host") or next((name for site in sites[:1] for name in host_names(site)), ""))
    for site in sites:
        plain = _plain(site.get("location", "/"))
        target = plain if plain is not None else site.get("path")
        if target is None:
            continue
        wanted.append(Request("GET", target, kind="location"))
        if plain is not None and not site.get("location", "/").startswith("="):
            wanted.append(Request("GET", plain.rstrip("/") + "/" + ABSENT, kind="error page"))
        hosts += [Request("GET", target, name, kind="server name") for name in host_names(site) if name != first]
    wanted += hosts[:names]
    wanted += [Request("GET", target, kind="static file") for target in static]
    for item in extra:
        method, space, target = item.partition(" ")
        if not item.startswith("!"):
            wanted.append(Request(method, target) if space else Request("GET", item))
    wanted += from_logs(service, logs, limit)
    return distinct(wanted, taken_out(extra))


def taken_out(extra: Sequence[str]) -> List[str]:
    """The patterns of paths that a user does not want to be asked for."""
    return [item[1:].strip() for item in extra if item.startswith("!")]


def distinct(wanted: Iterable[Request], patterns: Sequence[str] = (), known: Iterable[Request] = ()) -> List[Request]:
    """Each once, without those of ``known`` and those whose path has one of the patterns."""
    seen = {request.key() for request in known}
    found = []
    for request in wanted:
        path = request.target.partition("?")[0]
        if request.key() not in seen and not any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns):
            seen.add(request.key())
            found.append(request)
    return found


MOST = {"resource": 12, "redirect": 4, "range": 3, "conditional": 4, "HEAD": 4, "variant": 8}
"""How many requests that the host's answers lead to are sent, by kind."""

_RESOURCE = re.compile(r"""<(?:script|img|source|link|embed|input|video|audio)\b[^>]*?\b(?:src|href)\s*=\s*["']?([^"'\s>]+)"""
                       r"""|url\(\s*["']?([^"')\s]+)""", re.IGNORECASE)
_VARIANTS: Dict[str, Sequence[str]] = {"accept-language": ("de", "fr"), "accept-encoding": ("gzip",), "accept": ("application/json",)}
"""What to ask with where the host says that its answers vary by a header (RFC 9110 section 12.5.5)."""


def resources(request: Request, answer: Response) -> List[str]:
    """Targets of what a browser would load for an HTML page or a style sheet, on the same site. Links that people click are not among them."""
    kind = (answer.header("Content-Type") or "").lower()
    if "html" not in kind and "css" not in kind:
        return []
    text = answer.body[:1024 * 1024].decode("utf-8", "replace")
    return _same_site(request, (first or second for first, second in _RESOURCE.findall(text)))


def _same_site(request: Request, references: Iterable[str], host: str = "") -> List[str]:
    found = []
    for reference in references:
        try:
            parts = urlsplit(urljoin(request.target, reference.replace("&amp;", "&")))
        except ValueError:
            continue
        if parts.path.startswith("/") and parts.scheme in ("", "http", "https") and parts.netloc in ("", host, request.host):
            found.append(quote(parts.path, safe="/%:@!$&'()*+,;=~") + ("?" + parts.query if parts.query else ""))
    return list(dict.fromkeys(found))


def further(service: Mapping[str, Any], answers: Sequence[Tuple[Request, Response]], host: str) -> List[Request]:
    """What the host's answers lead to: resources of its pages, targets of its redirects, ranges, conditions, HEAD, and variants of what varies.

    ``answers`` are of all requests so far; ``host`` is the service's own Host. Each kind is bounded by MOST, and spread over kinds of content.
    """
    found: List[Request] = []
    spread = {(posixpath.dirname(request.target), _extension(request.target)) for request, dummy in answers if request.kind in ("resource", "static file")}
    seen: Dict[str, set] = collections.defaultdict(set)
    for request, answer in sorted(answers, key=lambda pair: -len(pair[1].body)):
        if request.method != "GET" or request.headers:
            continue
        kind = (answer.header("Content-Type") or "").partition(";")[0]
        for target in resources(request, answer):
            place = (posixpath.dirname(target), _extension(target))
            if place not in spread and leads_here(service, target):
                spread.add(place)
                found.append(Request("GET", target, request.host, kind="resource"))
        if 300 <= answer.status < 400 and answer.header("Location"):
            found += [Request("GET", target, request.host, kind="redirect") for target in _same_site(request, [answer.header("Location") or ""], host)
                      if leads_here(service, target)]
        if (answer.status, kind) not in seen["HEAD"]:
            seen["HEAD"].add((answer.status, kind))
            found.append(request._replace(method="HEAD", kind="HEAD"))
        if answer.status == 200:
            found += _of_headers(request, answer, kind, seen)
    return found


def _extension(target: str) -> str:
    return posixpath.splitext(target.partition("?")[0])[1]


def _of_headers(request: Request, answer: Response, kind: str, seen: Dict[str, set]) -> List[Request]:
    """Ranges, conditions and variants of one good answer, where none of its kind of content has been seen."""
    found: List[Request] = []
    size = len(answer.body)
    if (answer.header("Accept-Ranges") or "").lower() == "bytes" and size > 1 and kind not in seen["range"]:
        seen["range"].add(kind)
        found.append(request._replace(headers=(("Range", "bytes=%d-%d" % (size // 2, size - 1)),), kind="range"))
    for condition, validator in VALIDATORS.items():
        if answer.header(validator) and (condition, kind) not in seen["conditional"]:
            seen["conditional"].add((condition, kind))
            found.append(request._replace(headers=((condition, OWN),), kind="conditional"))
    for name in (answer.header("Vary") or "").lower().replace(" ", "").split(","):
        for value in _VARIANTS.get(name, ()):
            if (name, value, kind) not in seen["variant"]:
                seen["variant"].add((name, value, kind))
                found.append(request._replace(headers=((name.title(), value),), kind="variant"))
    return found


def bounded(wanted: Iterable[Request], known: Iterable[Request]) -> List[Request]:
    """As many of each kind as MOST allows, with those that were sent already."""
    counts = collections.Counter(request.kind for request in known)
    found = []
    for request in wanted:
        if counts[request.kind] < MOST.get(request.kind, 0):
            counts[request.kind] += 1
            found.append(request)
    return found
