# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where nginx's configuration names a server by its TCP address, and what stands there when a UNIX socket takes its place. Pure but for ``read`` and ``find``.

Only the argument of ``uwsgi_pass``, ``proxy_pass``, and ``server`` of an upstream is changed. A ``proxy_pass`` without an upstream also gives nginx a
Host header, a redirect and a key of its cache (ngx_http_proxy_module: $proxy_host, proxy_redirect default, proxy_cache_key), so where the
configuration leaves these to nginx they are written behind it, as they were.
"""

from __future__ import annotations

import posixpath
import re
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.common._nginx_tokens import QUOTES, tokens, unquote

_PASSES = ("uwsgi_pass", "proxy_pass")
_VALUES = ("set", "map", "geo", "split_clients")
_LOOPBACK = re.compile(r"(127\.\d+\.\d+\.\d+|localhost|\[::1\])$")
_ANYWHERE = ("", "*", "0.0.0.0", "[::]")


class Place(NamedTuple):
    """One token: its file, its offset there, its text now, and the text that leads to the UNIX socket."""

    file: str
    start: int
    old: str
    new: str


class Block:
    """A block of the configuration with its directives (name -> arguments as they are written), whatever file they stand in."""

    def __init__(self, name: str, args: List[str], parent: "Optional[Block]") -> None:
        self.name, self.args, self.parent = name, args, parent
        self.directives: Dict[str, List[List[str]]] = {}

    def around(self) -> "Iterator[Block]":
        """This block and those around it, from the inside."""
        block: Optional[Block] = self
        while block is not None:
            yield block
            block = block.parent

    def effective(self, name: str) -> "Tuple[Optional[Block], List[List[str]]]":
        """The innermost block that has the directive, and its lines: nginx inherits all of them or none."""
        return next(((block, block.directives[name]) for block in self.around() if name in block.directives), (None, []))


class _Named(NamedTuple):
    """An argument that names a server: where it stands and in which block."""

    file: str
    start: int
    text: str
    name: str
    block: Block
    line: int


Read = Callable[[str], str]
Find = Callable[[str], List[str]]


class _Walk:
    """The whole configuration, includes followed in the blocks that they stand in."""

    def __init__(self, main: str, read: Read, find: Find) -> None:
        self.read, self.find, self.prefix = read, find, posixpath.dirname(main)
        self.named: List[_Named] = []
        self.values: List[Tuple[str, str]] = []  # what a variable may be, and where
        self.files: Dict[str, str] = {}
        self._file(main, Block("", [], None), ())

    def _file(self, path: str, block: Block, above: Tuple[str, ...]) -> None:
        try:
            text = self.files.setdefault(path, self.read(path))
        except OSError:
            return
        statement: List[Tuple[str, int, int]] = []
        position, line = 0, 1
        for token in tokens(text):
            if token.kind in ("word", "quoted"):
                statement.append((token.text, position, line))
            elif token.kind == "mark":
                if token.text == "{":
                    words = [unquote(word) for word, dummy, dummy2 in statement] or [""]
                    block = Block(words[0], words[1:], block)
                elif token.text == "}":
                    block = block.parent or block
                elif statement:
                    self._directive(path, statement, block, above)
                statement = []
            position += len(token.text)
            line += token.text.count("\n")

    def _directive(self, path: str, statement: List[Tuple[str, int, int]], block: Block, above: Tuple[str, ...]) -> None:
        name, args = unquote(statement[0][0]), [word for word, dummy, dummy2 in statement[1:]]
        if name == "include" and args:
            for found in self.find(posixpath.normpath(posixpath.join(self.prefix, unquote(args[0])))):
                if found != path and found not in above:
                    self._file(found, block, (*above, path))
            return
        block.directives.setdefault(name, []).append(args)
        if args and (name in _PASSES or name == "server" and block.name == "upstream"):
            self.named.append(_Named(path, statement[1][1], args[0], name, block, statement[1][2]))
        if args and (name == "set" or block.name in _VALUES):
            self.values.append((unquote(args[-1]), "%s:%d" % (path, statement[0][2])))


def leads_to(target: str, address: str) -> bool:
    """Does nginx reach the listener at ``address`` (HOST:PORT as uWSGI takes it, or a path) by ``target``, by its name or the loopback's?"""
    if address.startswith("/"):
        return target.startswith("unix:/") and posixpath.normpath("/" + target[len("unix:"):].lstrip("/")) == address
    (host, colon, port), (mine, dummy, mine_port) = target.rpartition(":"), address.rpartition(":")
    if not colon or not port.isdigit() or port != mine_port:
        return False
    local = _LOOPBACK.match(host) is not None
    return host == mine or local and (mine in _ANYWHERE or {host, mine} <= {"localhost", "127.0.0.1"} or {host, mine} <= {"localhost", "[::1]"})


def _cut(value: str) -> Tuple[str, str, str]:
    """(scheme with ://, server, URI) of what a directive passes to; a UNIX socket is ``unix:/path``."""
    scheme, sign, rest = value.partition("://") if re.match(r"(?!unix:)\w+://", value) else ("", "", value)
    if rest.startswith("unix:"):
        path, colon, uri = rest[len("unix:"):].partition(":")
        return scheme + sign, "unix:" + path, uri if colon else ""
    server = re.match(r"[^/?]*", rest)
    return scheme + sign, server.group() if server else rest, rest[server.end():] if server else ""


def _quoted(text: str, value: str) -> str:
    """The value written as the token was."""
    return text[0] + value + text[0] if text[0] in QUOTES else value


def places(main: str, read: Read, find: Find, address: str, socket: str) -> List[Place]:
    """Every token that leads to ``address``, in order of files and offsets, with what leads to ``socket`` (a path) in its place.

    Raises WebstackError, one sentence without the service's name, when one of them cannot be changed without changing what is served.
    """
    walk = _Walk(main, read, find)
    found: Dict[Tuple[str, int], Place] = {}
    for item in walk.named:
        value = unquote(item.text)
        scheme, server, uri = _cut(value)
        if not leads_to(server, address):
            _refuse_variable(item, value, walk, address)
            continue
        new = _quoted(item.text, _instead(item, scheme, address, uri, socket)) + _behind(item, server, uri)
        place = Place(item.file, item.start, item.text, new)
        if found.setdefault((item.file, item.start), place) != place:
            raise WebstackError("%s:%d is included in several places whose headers differ, so one change cannot fit all; "
                                "set proxy_set_header Host beside it" % (item.file, item.line))
    return sorted(found.values())


def led(main: str, read: Read, find: Find, socket: str, address: str) -> List[Place]:
    """Every token that leads to ``socket``, with what leads to ``address`` in its place: for those that others have written meanwhile."""
    found = {}
    for item in _Walk(main, read, find).named:
        scheme, server, uri = _cut(unquote(item.text))
        if server == "unix:" + socket:
            back = "unix:%s%s" % (address, ":" + uri if uri else "") if address.startswith("/") else address + uri
            found[(item.file, item.start)] = Place(item.file, item.start, item.text, _quoted(item.text, scheme + back))
    return sorted(found.values())


def _refuse_variable(item: _Named, value: str, walk: _Walk, address: str) -> None:
    if "$" not in value:
        return
    for text, place in walk.values:
        if leads_to(_cut(text)[1], address):
            raise WebstackError("nginx reaches %s through a variable (%s in %s:%d, set in %s); write the address itself, or an upstream's name, into %s"
                                % (address, value, item.file, item.line, place, item.name))


def _instead(item: _Named, scheme: str, address: str, uri: str, socket: str) -> str:
    if item.name == "server":
        others = [args[0] for args in item.block.directives.get("server", []) if args and not leads_to(unquote(args[0]), address)]
        if others:
            raise WebstackError("its upstream %s has further servers: %s" % (" ".join(item.block.args), ", ".join(others)))
        return "unix:" + socket
    if item.name == "proxy_pass" and scheme not in ("", "http://"):
        raise WebstackError("nginx speaks %s to %s in %s:%d; only http and uwsgi can be led to a UNIX socket" % (scheme[:-3], address, item.file, item.line))
    return scheme + "unix:" + socket + (":" + uri if uri else "")


def _behind(item: _Named, server: str, uri: str) -> str:
    """Directives that keep what nginx derives from the address of a ``proxy_pass``."""
    if item.name != "proxy_pass" or server.startswith("unix:") or not any(block.name == "http" for block in item.block.around()):
        return ""
    place = "%s:%d" % (item.file, item.line)
    where, headers = item.block.effective("proxy_set_header")
    names = [unquote(args[0]).lower() for args in headers if args]
    if any(re.search(r"\$\{?proxy_(host|port)\b", " ".join(args)) for args in headers):
        raise WebstackError("a header that nginx sends is made of $proxy_host or $proxy_port at %s, which a UNIX socket changes; write its value" % place)
    host = server[:-len(":80")] if server.endswith(":80") else server
    more: List[str] = []
    if "host" not in names:
        inherited = [] if where in (None, item.block) else headers
        more += ["proxy_set_header %s" % " ".join(args) for args in inherited] + ["proxy_set_header Host %s" % host]
        if not item.block.effective("proxy_redirect")[1]:
            location = next((block.args[-1] for block in item.block.around() if block.name == "location"), "/")
            more.append("proxy_redirect http://%s%s %s" % (server, uri or "/", location if uri else "/"))
    cache = item.block.effective("proxy_cache")[1]
    if cache and cache[-1] != ["off"] and not item.block.effective("proxy_cache_key")[1]:
        more.append("proxy_cache_key http://%s$request_uri" % host)
    if more and item.block.name in ("if", "limit_except"):
        raise WebstackError("the proxy_pass in %s stands in a block (%s) in which its Host header cannot be kept; set proxy_set_header Host around it"
                            % (place, item.block.name))
    return "".join("; " + line for line in more)


def changed(text: str, edits: List[Place]) -> str:
    """The text of one file with its tokens changed."""
    for place in sorted(edits, key=lambda item: -item.start):
        if text[place.start:place.start + len(place.old)] != place.old:
            raise WebstackError("%s changed while it was looked at; run again" % place.file)
        text = text[:place.start] + place.new + text[place.start + len(place.old):]
    return text


def changed_back(text: str, edits: List[Place]) -> str:
    """The text of one file with what was put into it taken out, wherever it stands now; what is gone is passed over."""
    position = 0
    for place in sorted(edits, key=lambda item: item.start):
        whole = re.compile(re.escape(place.new) + r"(?![^\s;{}])")
        match = whole.search(text, position) or whole.search(text)
        if match:
            text = text[:match.start()] + place.old + text[match.end():]
            position = match.start() + len(place.old)
    return text
