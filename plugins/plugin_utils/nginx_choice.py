# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which server and which location nginx chooses for a request. Pure.

Sources: nginx's documentation "How nginx processes a request", "Server names" and the directives ``listen`` and ``location``; where it is silent,
ngx_hash_add_key (src/core/ngx_hash.c: which of two names counts), ngx_http_find_virtual_server and ngx_http_core_find_location (src/http).
"""

from __future__ import annotations

import ipaddress
import itertools
import re
import urllib.parse
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_config import Location, Site

ANY, ANY6 = "*", "[::]"


class Unclear(ValueError):
    """A regular expression that Python's ``re`` and PCRE do not read alike; the message has it."""


class Endpoint(NamedTuple):
    """Where a server listens: ``*`` is any IPv4 address, ``[::]`` any IPv6 address; UNIX sockets have no port. ``both``: IPv4, too."""

    address: str
    port: str
    default: bool
    tls: bool
    both: bool


class Chosen(NamedTuple):
    """The location for a path; None where the server block itself answers. ``redirects``: nginx answers with 301 to the path with a slash."""

    location: Location | None
    redirects: bool = False


_CLASSES = {"alpha": "a-zA-Z", "digit": "0-9", "alnum": "a-zA-Z0-9", "upper": "A-Z", "lower": "a-z", "word": r"\w", "space": r"\s", "xdigit": "0-9a-fA-F",
            "punct": r"!-/:-@\[-`{-~", "blank": r" \t"}


def regex(pattern: str, flags: int = 0) -> re.Pattern[str]:
    """A PCRE as Python's. nginx compares bytes, so both are read as Latin-1. Raises Unclear."""
    python = re.sub(r"\(\?(?:<(?![=!])|'(?=\w+'))", "(?P<", pattern)  # other spellings of a named group
    python = re.sub(r"(\(\?P<\w+)'", r"\1>", python)
    python = re.sub(r"(?<!\\)\[(\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*)\]", lambda match: f"[{_class(match[1])}]", python)
    python = python.replace(r"\z", r"\Z").replace(r"\h", r"[ \t]")
    try:
        return re.compile(_latin(python), flags | re.ASCII)
    except (re.error, OverflowError) as exc:
        raise Unclear(f"{pattern!r}: {exc}") from exc


def _class(body: str) -> str:
    """What stands between the brackets of a class, as Python writes it."""
    body = re.sub(r"(?<!\\)\[(?!:\w+:\])", r"\\[", body)
    return re.sub(r"\[:(\w+):\]", lambda match: _CLASSES.get(match[1], match[0]), body)


def _latin(text: str) -> str:
    return text.encode("utf-8", "surrogateescape").decode("latin-1")


def normalized(path: str, merge: bool = True) -> str | None:
    """A request's path as nginx compares it: without the query, decoded, dots resolved, slashes merged unless ``merge_slashes off``.

    None where nginx answers 400: a path that leaves the root, or one with a NUL.
    """
    text = urllib.parse.unquote(_latin(re.split(r"[?#]", path, maxsplit=1)[0]), encoding="latin-1")
    parts: list[str] = []
    pieces = text.split("/")[1:]
    for number, part in enumerate(pieces):
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part and part != "." or part == "" and not merge and number < len(pieces) - 1:
            parts.append(part)
    tail = "/" if parts and text.endswith(("/", "/.", "/..")) else ""
    return None if "\0" in text else "/" + "/".join(parts) + tail


def endpoints(listen: str) -> Iterator[Endpoint]:
    """What a listen directive's arguments mean; several for a range of ports and for ``localhost``."""
    first, *options = listen.split()
    flags = ("default_server" in options or "default" in options, "ssl" in options or "quic" in options, "ipv6only=off" in options)
    if first.startswith("unix:"):
        yield Endpoint(first, "", *flags)
        return
    match = re.fullmatch(r"(?:(\[[^\]]*\]|[^:]+):)?(\d+)(?:-(\d+))?", first)
    name, low, high = (match[1] or ANY, match[2], match[3] or match[2]) if match else (first, "80", "80")
    for port in range(int(low), min(int(high), 65535) + 1):
        for address in ("127.0.0.1", "[::1]") if name == "localhost" else (_address(name),):
            yield Endpoint(address, str(port), *flags)


def _address(name: str) -> str:
    """An address in one spelling."""
    if name in (ANY, "0.0.0.0"):
        return ANY
    try:
        return f"[{ipaddress.IPv6Address(name[1:-1])}]" if name.startswith("[") else str(ipaddress.IPv4Address(name))
    except ValueError:
        return name.lower()


class _Names:
    """The servers at one address and port, by name. Of two that have the same name the first counts, as nginx warns."""

    def __init__(self) -> None:
        self.first: Site | None = None
        self.default: Site | None = None
        self.exact: dict[str, Site] = {}
        self.taken: set[str] = set()
        self.front: dict[str, tuple[Site, bool]] = {}  # example.org of *.example.org and .example.org; whether the latter
        self.behind: dict[str, Site] = {}
        self.patterns: list[tuple[str, Site]] = []

    def add(self, site: Site, default: bool) -> None:
        """A server that listens here, in the order of the configuration."""
        self.first = self.first or site
        if default:
            self.default = self.default or site
        for name in site.names:
            self._add(name if name.startswith("~") else name.lower(), site)

    def _add(self, name: str, site: Site) -> None:
        if name.startswith("~"):
            self.patterns.append((name[1:], site))
        elif name.startswith("*.") and len(name) > 2:
            self.front.setdefault(name[2:], (site, False))
        elif name.startswith(".") and len(name) > 1:
            if name[1:] not in self.taken:
                self.taken.add(name[1:])
                self.front.setdefault(name[1:], (site, True))
        elif name.endswith(".*") and len(name) > 2:
            self.behind.setdefault(name[:-2], site)
        elif name not in self.taken:
            self.taken.add(name)
            self.exact[name] = site

    def find(self, host: str) -> Site | None:
        """By name: exact, longest wildcard in front, longest wildcard behind, first regular expression, default."""
        if host in self.exact:
            return self.exact[host]
        labels = host.split(".")
        for number in range(len(labels)):
            site, bare = self.front.get(".".join(labels[number:]), (None, False))
            if site is not None and (number or bare):
                return site
        for number in range(len(labels) - 1, 0, -1):
            if ".".join(labels[:number]) in self.behind:
                return self.behind[".".join(labels[:number])]
        if host:
            for pattern, site in self.patterns:
                if regex(pattern).search(host):
                    return site
        return self.default or self.first

    def sites(self) -> Iterator[Site]:
        """The servers that some request reaches; one may come twice."""
        yield from self.exact.values()
        yield from (site for site, _bare in self.front.values())
        yield from self.behind.values()
        yield from (site for _pattern, site in self.patterns)
        fallback = self.default or self.first
        if fallback:
            yield fallback


class Servers:
    """The servers of a configuration, ready to be asked. Building it takes one look at each of them."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self.sites = list(sites)
        self.at: dict[tuple[str, str], _Names] = {}
        both: list[str] = []
        for site in self.sites:
            for endpoint in (endpoint for listen in site.listen for endpoint in endpoints(listen)):
                self.at.setdefault((endpoint.address, endpoint.port), _Names()).add(site, endpoint.default)
                if endpoint.both and endpoint.address == ANY6:
                    both.append(endpoint.port)
        for port in both:
            self.at.setdefault((ANY, port), self.at[ANY6, port])
        self.reached = {id(site) for names in self.at.values() for site in names.sites()}

    def server(self, host: str, port: int | str = 80, address: str = "") -> Site | None:
        """The server for a request to ``address`` and ``port`` with this Host header (empty: none); None when nobody listens there.

        ``address`` empty means any IPv4 address that has no listen directive of its own. Raises Unclear.
        """
        names = self._names(port, address)
        bare = re.sub(r":\d*\Z", "", host).lower()
        return names.find(bare[:-1] if bare.endswith(".") else bare) if names else None

    def default(self, port: int | str = 80, address: str = "") -> Site | None:
        """The server for requests with a name that no server has."""
        names = self._names(port, address)
        return (names.default or names.first) if names else None

    def _names(self, port: int | str, address: str) -> _Names | None:
        wanted = _address(address) if address else ANY
        return self.at.get((wanted, str(port))) or self.at.get((ANY6 if wanted.startswith("[") else ANY, str(port)))

    def hidden(self, site: Site) -> str:
        """Why no request ever reaches a server: others have its names wherever it listens. Empty when one does."""
        if id(site) in self.reached:
            return ""
        for endpoint in (endpoint for listen in site.listen for endpoint in endpoints(listen)):
            names = self.at[endpoint.address, endpoint.port]
            for name in site.names:
                other = names.exact.get(name.lower()) or names.front.get(name.lower().lstrip("*").lstrip("."), (None,))[0] or names.find(name.lower())
                if other is not None and other is not site:
                    return f"{name or 'its place without a name'} at {' '.join(site.listen)} is the server's at {other.file}:{other.line}"
        return "others have its names wherever it listens"


class Locations:
    """The locations of one server, ready to be asked."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.inside: dict[int | None, list[Location]] = {}
        for item in site.locations:
            if not item.implied:
                self.inside.setdefault(None if item.outer is None else id(item.outer), []).append(item)

    def choose(self, path: str, merge: bool | None = None) -> Chosen:
        """The location for a request's path, nested ones included. Raises Unclear.

        ``merge`` is ``merge_slashes`` of the listen's default server, by which nginx reads a request before it knows its host. ``internal`` is not
        looked at: nginx chooses such a location too, and answers 404.
        """
        wanted = normalized(path, self.site.merge_slashes if merge is None else merge)
        return Chosen(None) if wanted is None else self._find(None, wanted)[0]

    def _find(self, outer: int | None, path: str) -> tuple[Chosen, bool]:
        """The location of one level or below it, and whether the choice is final (an exact match, a redirect or a regular expression)."""
        level = self.inside.get(outer, [])
        static = self._static(level, path)
        best, exact = static
        if best.redirects or exact:
            return best, True
        if best.location is not None:
            deeper, final = self._find(id(best.location), path)
            if final:
                return deeper, True
        found = deeper if best.location is not None and deeper.location is not None else best
        if best.location is None or best.location.modifier != "^~":
            for item in level:
                if item.modifier in ("~", "~*") and regex(item.text, re.IGNORECASE if item.modifier == "~*" else 0).search(path):
                    below, _final = self._find(id(item), path)
                    return (below if below.location is not None else Chosen(item)), True
        return found, False

    @staticmethod
    def _static(level: list[Location], path: str) -> tuple[Chosen, bool]:
        """Of the locations that are no regular expressions: the one for a path, and whether it was an exact one."""
        best: Location | None = None
        slash: list[Location] = []
        for item in level:
            text = _latin(item.text)
            if item.modifier == "=" and text == path:
                return Chosen(item), True
            if item.modifier in ("", "^~") and path.startswith(text) and (best is None or len(text) > len(_latin(best.text))):
                best = item
            if item.modifier in ("", "^~", "=") and text == path + "/":
                slash.append(item)
        if any(item.hands_on for item in slash) and (best is None or _latin(best.text) != path):
            return Chosen(next((item for item in slash if item.modifier == "="), slash[0]), redirects=True), False
        return Chosen(best), False


# -- requests that reach a place

def example(pattern: str) -> Iterator[str]:
    """Texts that a regular expression may match, simple ones first; whether they do is for the caller to see."""
    choices = [_written(alternative) for alternative in _alternatives(pattern)]
    yield from itertools.islice(itertools.chain.from_iterable(choices), 8)


def _alternatives(pattern: str) -> list[str]:
    """A pattern cut at its ``|`` outside of groups and classes."""
    parts, depth, inside, last = [], 0, False, 0
    for match in re.finditer(r"\\.|[\[\]()|]", pattern):
        sign = match.group()
        if inside:
            inside = sign != "]"
        elif sign == "[":
            inside = True
        elif sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "|" and depth == 0:
            parts.append(pattern[last:match.start()])
            last = match.end()
    return [*parts, pattern[last:]]


_ATOM = re.compile(r"\((?P<group>(?:[^()\\\[]|\\.|\[[^\]]*\]|\((?:[^()\\\[]|\\.|\[[^\]]*\]|\([^()]*\))*\))*)\)"
                   r"|\[(?P<class>\^?\]?(?:\\.|\[:\w+:\]|[^\]\\])*)\]|\\(?P<escape>.)"
                   r"|(?P<anchor>[\^$])|(?P<any>\.)|(?P<plain>[^()\[\]\\])", re.DOTALL)
_COUNT = re.compile(r"([*+?]|\{(\d+)(?:,\d*)?\})[?+]?")
_ESCAPES = {"d": "1", "w": "x", "s": " ", "S": "x", "D": "x", "W": "-", "b": "", "B": "", "A": "", "Z": "", "z": "", "h": " "}


def _written(pattern: str) -> Iterator[str]:
    """A pattern with one text for each of its parts: optional ones left out, then taken."""
    for take in (False, True):
        done, position = "", 0
        while position < len(pattern):
            match = _ATOM.match(pattern, position)
            if match is None:
                return
            count = _COUNT.match(pattern, match.end())
            least = 1 if count is None or count[1] == "+" else int(count[2] or take)
            done += _atom(match) * min(least, 64)
            position = count.end() if count else match.end()
        yield done


def _atom(match: re.Match[str]) -> str:
    if match["group"] is not None:
        body = match["group"]
        if body.startswith(("?=", "?!", "?<=", "?<!")):
            return ""
        body = re.sub(r"^\?(?:P?<\w+>|'\w+'|[a-z-]*:|>)", "", body)
        return next(_written(_alternatives(body)[0]), "")
    if match["class"] is not None:
        return _one_of(match["class"])
    if match["escape"] is not None:
        return _ESCAPES.get(match["escape"], match["escape"])
    return "" if match["anchor"] else "x" if match["any"] else match["plain"]


def _one_of(body: str) -> str:
    """A character of a class."""
    letters = "xaA01-_/.+"
    try:
        found = re.compile(f"[{_class(body)}]")
    except re.error:
        return ""
    return next((letter for letter in [*letters, *map(chr, range(33, 127))] if found.match(letter)), "")


def paths(location: Location) -> Iterator[str]:
    """Paths that may lead to a location, simple ones first."""
    if location.modifier in ("", "^~", "="):
        text = _quoted(location.text)
        yield text
        if location.modifier != "=":
            yield from (text + "x", text.rstrip("/") + "/x")
    elif location.modifier in ("~", "~*"):
        for text in example(location.text):
            path = _quoted(text)
            yield from ([path] if path.startswith("/") else ["/" + path, "/x" + path])
        if location.outer is not None and location.outer.modifier in ("", "^~"):
            yield from (_quoted(location.outer.text + text.lstrip("/")) for text in example(location.text))


def _quoted(path: str) -> str:
    return urllib.parse.quote(path, safe="/:@!$&'()*+,;=~-._")


def hosts(site: Site) -> Iterator[str]:
    """Host headers that may lead to a server; an empty one is none at all."""
    for name in site.names:
        if name.startswith("~"):
            yield from example(name[1:])
        elif name.strip("_"):  # "_" is nobody's name: a server has it that takes what no other one takes
            yield re.sub(r"\.\*$", ".test", "www" + name[1:] if name.startswith("*.") else name.lstrip("."))
    yield from ("localhost", *(name for name in site.names if name and not name.strip("_")))


class Requests:
    """Requests of which nginx leads each to one place."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self.servers = Servers(sites)
        self.trees = {id(site): Locations(site) for site in self.servers.sites}
        self.origins = {id(site): self._origin(site) for site in self.servers.sites}

    def _origin(self, site: Site) -> str:
        for endpoint in (endpoint for listen in site.listen for endpoint in endpoints(listen) if endpoint.port):
            for host in hosts(site):
                try:
                    found = host and self.servers.server(host, endpoint.port, endpoint.address if endpoint.address not in (ANY, ANY6) else
                                                         "" if endpoint.address == ANY else "[::]")
                except Unclear:
                    continue
                if found is site:
                    scheme = "https" if endpoint.tls else "http"
                    return f"{scheme}://{host}" + ("" if endpoint.port == {"http": "80", "https": "443"}[scheme] else f":{endpoint.port}")
        return ""

    def path(self, site: Site, location: Location) -> str:
        """A path that nginx gives to this location; empty when none is known (a named or an internal one, an expression too intricate)."""
        if location.modifier == "@" or location.internal:
            return ""
        for path in ["/", "/x"] if location.implied else paths(location):
            try:
                chosen = self.trees[id(site)].choose(path)
            except Unclear:
                continue
            if not chosen.redirects and chosen.location is (None if location.implied else location):
                return path
        return ""

    def url(self, site: Site, location: Location | None = None) -> str:
        """A URL that reaches a server, or one of its locations; empty when none is known."""
        origin = self.origins[id(site)]
        path = "/" if location is None else self.path(site, location)
        return origin + path if origin and path else ""
