# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of ``nginx -T`` on the target: freed of secrets and comments, searched for uwsgi locations."""

from __future__ import annotations

import fnmatch
import functools
import posixpath
import re
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._nginx_tokens import MARKER, QUOTES, tokens, unquote
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import MASK, is_secret, secret_name, secret_value

_NAMED = {"set": 0, "uwsgi_param": 0, "fastcgi_param": 0, "scgi_param": 0, "proxy_set_header": 0, "grpc_set_header": 0, "add_header": 0, "env": 0,
          "more_set_headers": 0, "proxy_cookie_domain": 0}
_HARMLESS = re.compile(r"(_pass|_key|_cache_key|_zone|_path|_file|_certificate|_location|auth_request|auth_basic|limit_req|limit_conn|log_format|"
                       r"server_tokens|server_name|proxy_pass_header|ssl_\w+)$")


def clean(text: str) -> str:
    """The configuration without comments (file markers stay), without Lua bodies, and without values that look secret.

    Each file is read for itself, so a broken one changes nothing in the others; one that a map includes is read as a part of that map.
    """
    pieces = re.split(r"(?m)^(# configuration file /.*:)$", text)
    main = MARKER.match(pieces[1]) if len(pieces) > 1 else None
    prefix = posixpath.dirname(main.group(1)) if main else ""
    maps: List[Tuple[str, str]] = []
    done = [_clean(pieces[0], "", prefix, maps)]
    for marker, body in zip(pieces[1::2], pieces[2::2]):
        path = marker[len("# configuration file "):-1]
        around = sorted({context for pattern, context in maps if fnmatch.fnmatchcase(path, pattern)}, key=_BLOCKS_OF_VALUES.index)
        done += [marker, _clean(body, around[0] if around else "", prefix, maps)]
    return "".join(done)


_BLOCKS_OF_VALUES = ("private", "map", "geo")
"""Blocks whose lines are values, by how much is masked in them."""


def _clean(text: str, around: str, prefix: str, maps: List[Tuple[str, str]]) -> str:
    """One file, standing in a block ``around``; ``maps`` gets (pattern, block) of what it includes into blocks of values."""
    done: List[str] = []
    statement: List[str] = []
    context: List[str] = [around]
    loose, before = False, ""
    for token in tokens(text):
        if token.kind == "comment":
            done.append(token.text if MARKER.match(token.text) else "")
        elif token.kind == "raw":
            done.append(" ")
        elif token.kind == "mark":
            if token.text == "{":
                private = statement[:1] == ["map"] and any(secret_name(word) for word in statement[1:])
                context.append("private" if private else statement[0] if statement else "")
            elif token.text == "}" and len(context) > 1:
                context.pop()
            if statement[:1] == ["include"] and context[-1] in _BLOCKS_OF_VALUES:
                maps += [(posixpath.normpath(posixpath.join(prefix, name)), context[-1]) for name in statement[1:]]
            statement, loose = [], False
            done.append(token.text)
        elif token.kind == "space":
            done.append(token.text)
        else:
            # a quote that is not closed, or at the wrong place: what is a value and what a name cannot be told until the statement ends
            if before == "quoted" and token.text[0] != ")":
                loose, done[-1] = True, MASK
            loose = loose or token.kind == "word" and token.text[0] in QUOTES
            done.append(MASK if loose else token.text if statement == ["include"] else _masked(token.text, statement, context[-1]))
            statement.append(unquote(token.text))
        before = token.kind
    return "".join(done)


def _masked(token: str, statement: List[str], block: str) -> str:
    """The token, or the mask when it is a secret argument of the directive that ``statement`` has begun."""
    value = unquote(token)
    if block == "private" and value not in ("default", "hostnames", "volatile", "include"):
        return MASK
    if not statement:
        # in a map's block the first word of a line is a value to compare with
        return MASK if block in ("map", "geo") and secret_value(value) else token
    name = statement[0]
    if name in _NAMED and len(statement) == 2:
        return MASK if is_secret(statement[1].lstrip("$"), value) and not re.fullmatch(r"\$\{?\w+\}?", value) else token
    if secret_value(value) and not value.startswith("$"):
        return MASK
    if name == "if" and any(secret_name(word) for word in statement[1:] if "$" in word) and not re.match(r"[(!~*=$)]", value):
        return MASK + (")" if value.endswith(")") else "")
    if secret_name(name) and not _HARMLESS.search(name) and not value.startswith(("/", "$")) and block in ("", "private"):
        return MASK
    return token


class Pass(NamedTuple):
    """A location that hands requests to a uwsgi server, or over HTTP (``uri`` takes the place of the location's text, when it is not empty)."""

    target: str
    location: str
    server_name: str
    http: bool = False
    uri: str = ""


def uwsgi_passes(text: str) -> List[Pass]:
    """Every ``uwsgi_pass``, and ``proxy_pass`` over http, with its innermost location and the first name of its server; upstreams resolved to their servers."""
    upstreams: Dict[str, List[str]] = {}
    found: List[Tuple[str, str, str, bool]] = []
    for name, arguments, blocks, names in _directives(text):
        if name == "server" and blocks and blocks[-1][0] == "upstream" and arguments:
            upstreams.setdefault(blocks[-1][1], []).append(arguments[0])
        elif arguments and (name == "uwsgi_pass" or name == "proxy_pass" and arguments[0].startswith("http://")):
            locations = [block for block in blocks if block[0] == "location"]
            found.append((arguments[0], locations[-1][1] if locations else "/", names[0] if names else "", name == "proxy_pass"))
    passes: List[Pass] = []
    for target, location, server, http in found:
        bare, uri = re.sub(r"^(s?uwsgi|http)://", "", target), ""
        if http:
            bare, uri = _server_and_uri(bare)
        passes += [Pass(_address(item), location, server, http, uri) for item in upstreams.get(bare, [bare])]
    return passes


def _server_and_uri(target: str) -> Tuple[str, str]:
    """``127.0.0.1:8000/app/`` as (127.0.0.1:8000, /app/); ``unix:/run/x.sock:/app/`` too."""
    if target.startswith("unix:"):
        path, dummy, uri = target[len("unix:"):].partition(":")
        return "unix:" + path, uri
    end = next((place for place, letter in enumerate(target) if letter in "/?"), len(target))
    return target[:end], target[end:]


def _address(target: str) -> str:
    """A target as a socket path or HOST:PORT."""
    return posixpath.normpath("/" + target[len("unix:"):].split(":")[0].lstrip("/")) if target.startswith("unix:/") else target


@functools.lru_cache(maxsize=1)
def _directives(text: str) -> List[Tuple[str, List[str], List[Tuple[str, str]], List[str]]]:
    """Simple directives: (name, arguments, enclosing blocks as (name, last argument), names of the enclosing server).

    The names list of a server is shared, so that a server_name after a location counts too. Files follow each other in
    ``nginx -T``; an included snippet stands outside the block that includes it, so its text is put in its place first.
    """
    found: List[Tuple[str, List[str], List[Tuple[str, str]], List[str]]] = []
    blocks: List[Tuple[str, str]] = []
    servers: List[List[str]] = []
    statement: List[str] = []
    for token in tokens(join(text)):
        if token.kind in ("word", "quoted"):
            statement.append(unquote(token.text))
        elif token.kind == "mark":
            if token.text == "{":
                blocks.append((statement[0] if statement else "", statement[-1] if len(statement) > 1 else ""))
                if blocks[-1][0] == "server":
                    servers.append([])
            elif token.text == "}":
                if blocks and blocks.pop()[0] == "server" and servers:
                    servers.pop()
            elif statement:
                if statement[0] == "server_name" and servers:
                    servers[-1] += statement[1:]
                found.append((statement[0], statement[1:], list(blocks), servers[-1] if servers else []))
            statement = []
    return found


def files(text: str) -> Dict[str, str]:
    """``nginx -T`` output cut into its files, in order; the first is the main configuration."""
    found: Dict[str, List[str]] = {}
    current: Optional[List[str]] = None
    for line in text.split("\n"):
        match = MARKER.match(line)
        if match:
            current = found.setdefault(match.group(1), [])
            current.clear()
        elif current is not None:
            current.append(line)
    return {path: "\n".join(lines) for path, lines in found.items()}


def includes(body: str, prefix: str) -> List[Tuple[int, str]]:
    """(line, pattern) of the includes in a file. Relative ones are relative to ``prefix``, the main file's directory (ngx_conf_full_name)."""
    found: List[Tuple[int, str]] = []
    statement: List[str] = []
    line = 1
    for token in tokens(body):
        if token.kind in ("word", "quoted"):
            statement.append(unquote(token.text))
        elif token.kind == "mark":
            if statement[:1] == ["include"] and len(statement) == 2:
                found.append((line, posixpath.normpath(posixpath.join(prefix, statement[1]))))
            statement = []
        line += token.text.count("\n")
    return found


def gather(main: str, read: Callable[[str], str], find: Callable[[str], List[str]]) -> Tuple[str, List[str]]:
    """(what ``nginx -T`` would print, what could not be read), for whoever may not run it and for files that it refuses.

    The main file and every file that it includes, each once. ``read`` raises OSError; what it cannot read is there, and empty.
    """
    done: Dict[str, str] = {}
    blind: List[str] = []
    todo = [(main, "")]
    while todo:
        path, place = todo.pop(0)
        if path in done:
            continue
        try:
            done[path] = read(path)
        except OSError as exc:
            done[path] = ""
            blind.append("%s%s could not be read: %s" % (path, place, exc.strerror or type(exc).__name__))
        for line, pattern in includes(done[path], posixpath.dirname(main)):
            todo += [(name, ", which %s:%d includes," % (path, line)) for name in find(pattern)]
    return "".join("# configuration file %s:\n%s\n" % item for item in done.items()), blind


class _Files:
    """The files of ``nginx -T``, found by the patterns of includes in no more steps than files match."""

    def __init__(self, text: str) -> None:
        self.parts = files(text)
        self.prefix = posixpath.dirname(next(iter(self.parts), ""))
        self.listed: Dict[str, List[str]] = {}
        self.left = MOST_INCLUDED
        for name in sorted(self.parts):
            self.listed.setdefault(posixpath.dirname(name), []).append(name)

    def match(self, pattern: str) -> List[str]:
        """Names that an include means, sorted as glob(3) does."""
        if pattern in self.parts or not _MAGIC.search(pattern):
            return [pattern] if pattern in self.parts else []
        directory = posixpath.dirname(pattern)
        names = sorted(self.parts) if _MAGIC.search(directory) else self.listed.get(directory, [])
        return [name for name in names if fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")]

    def expanded(self, path: str, above: Tuple[str, ...] = ()) -> str:
        """A file with what it includes in place; a file that includes itself, over others too, is left out there."""
        def include(match: "re.Match[str]") -> str:
            self.left -= 1
            if self.left < 0:
                return match.group(1)
            pattern = posixpath.normpath(posixpath.join(self.prefix, unquote(match.group(2))))
            return match.group(1) + "\n".join(self.expanded(name, (*above, path)) for name in self.match(pattern) if name != path and name not in above)

        return _INCLUDE.sub(include, self.parts[path])


def matching(parts: Mapping[str, str], pattern: str) -> List[str]:
    """The files of ``nginx -T`` that an include's pattern means, sorted as glob(3) does."""
    if not _MAGIC.search(pattern):
        return [pattern] if pattern in parts else []
    return [name for name in sorted(parts) if fnmatch.fnmatchcase(name, pattern) and name.count("/") == pattern.count("/")]


MOST_INCLUDED = 100000
"""Includes that are followed: files that include each other would multiply for ever."""

_MAGIC = re.compile(r"[*?\[]")
_INCLUDE = re.compile(r"(^|[\s;{}])include\s+([^;{}#]+?)\s*;")


def join(text: str) -> str:
    """One text in which every include is replaced by the files it names."""
    found = _Files(text)
    return found.expanded(next(iter(found.parts))) if found.parts else text


def roots(text: str) -> List[str]:
    """Directories that nginx serves files from (root and alias without variables), without a slash at the end."""
    return sorted({posixpath.normpath(arguments[0]) for name, arguments, _blocks, _names in _directives(text)
                   if name in ("root", "alias") and arguments and "$" not in arguments[0] and arguments[0].startswith("/")})
