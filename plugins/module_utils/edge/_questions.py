# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What to ask an nginx by its configuration: its servers, their locations and some of the files that they serve. Pure but for what lies in trees."""

from __future__ import annotations

import os
import re
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._nginx_tokens import tokens, unquote
from ansible_collections.gantry.webstack.plugins.module_utils.install._nginx_files import statements
from ansible_collections.gantry.webstack.plugins.module_utils.move import _parity, _requests

MOST, FILES, LOGGED = 300, 4, 20
"""Questions in all; files of one tree; targets of the access log for one server."""

_PORTS = {"http": 80, "https": 443, "grpc": 80, "grpcs": 443}


class Place(NamedTuple):
    """Where a server listens; ``host`` is one that reaches it."""

    host: str
    port: int
    tls: bool


class Server(NamedTuple):
    """A server block of http; ``trees`` are (URL, directory)."""

    listens: List[List[str]]
    names: List[str]
    targets: List[str]
    trees: List[Tuple[str, str]]
    variable: bool


class Question(NamedTuple):
    """One request at one place."""

    place: Place
    request: _parity.Request


class _Block(NamedTuple):
    words: List[str]
    directives: List[List[str]]
    blocks: List["_Block"]


def _tree(text: str) -> _Block:
    top = _Block([], [], [])
    stack: List[_Block] = [top]
    words: List[str] = []
    for token in tokens(text):
        if token.kind in ("word", "quoted"):
            words.append(unquote(token.text))
        elif token.kind == "mark":
            if token.text == "{":
                block = _Block(words, [], [])
                stack[-1].blocks.append(block)
                stack.append(block)
            elif token.text == ";":
                stack[-1].directives.append(words)
            elif len(stack) > 1:
                stack.pop()
            words = []
    return top


def _walk(block: _Block) -> Iterable[_Block]:
    for child in block.blocks:
        yield child
        yield from _walk(child)


def _flat(dump: str) -> str:
    """A dump of several files as one, each include replaced by what it names, as nginx reads it."""
    parts: Dict[str, str] = {}
    for piece in re.split(r"(?m)^(?=# configuration file /.*:$)", dump):
        head, dummy, body = piece.partition("\n")
        match = re.match(r"# configuration file (/.*):$", head)
        if match:
            parts[match.group(1)] = body
    main = next(iter(parts), "")

    def put(match: "re.Match[str]", above: Tuple[str, ...]) -> str:
        pattern = os.path.normpath(os.path.join(os.path.dirname(main), unquote(match.group(2))))
        regex = re.compile("[^/]*".join(re.escape(part) for part in pattern.split("*")) + "$")
        return match.group(1) + "\n".join(expand(path, above) for path in parts if regex.match(path) and path not in above)

    def expand(path: str, above: Tuple[str, ...]) -> str:
        return re.sub(r"(?m)(^|[;{}\s])include\s+([^;]+?)\s*;", lambda match: put(match, (*above, path)), _uncommented(parts[path])) + "\n"

    return expand(main, ()) if main else dump


def _uncommented(text: str) -> str:
    return "".join(" " if token.kind == "comment" else token.text for token in tokens(text))


def servers(dump: str, prefix: str) -> List[Server]:
    """The servers of http in what ``nginx -T`` printed; ``prefix`` is that of relative paths."""
    found = []
    for http in (block for block in _tree(_flat(dump)).blocks if block.words == ["http"]):
        default = next((words[1] for words in http.directives if words[0] == "root" and len(words) > 1), "html")
        for server in (block for block in http.blocks if block.words == ["server"]):
            directives = server.directives
            root = next((words[1] for words in directives if words[0] == "root" and len(words) > 1), default)
            targets, trees = ["/"], [("/", os.path.join(prefix, root))]
            passes = [words for block in [server, *_walk(server)] for words in block.directives if words and words[0].endswith("_pass")]
            for location in (block for block in _walk(server) if block.words[:1] == ["location"]):
                path = location.words[-1]
                if len(location.words) > 1 and path.startswith("/") and (len(location.words) == 2 or location.words[1] in ("=", "^~")):
                    if not any("$" in word for words in location.directives if words and words[0].endswith("_pass") for word in words):
                        targets.append(path)
                    trees += [(path if words[0] == "alias" else "/", os.path.join(prefix, words[1])) for words in location.directives
                              if words and words[0] in ("alias", "root") and len(words) > 1]
            listens = [words[1:] for words in directives if words and words[0] == "listen"] or [["80"]]
            names = [name for words in directives if words and words[0] == "server_name" for name in words[1:]]
            variable = any("$" in word for words in passes for word in words)
            found.append(Server(listens, names, list(dict.fromkeys(targets)), [item for item in trees if "$" not in item[1]], variable))
    return found


def place(listen: List[str]) -> Optional[Place]:
    """Where to ask; None for UNIX sockets, QUIC, and where the PROXY protocol is spoken."""
    address, options = listen[0], listen[1:]
    if address.startswith("unix:") or {"proxy_protocol", "quic", "udp"} & set(options):
        return None
    match = re.fullmatch(r"(?:(\[[^\]]*\]|[^:]*):)?(\d+)|(\[[^\]]*\]|[^:]+)", address)
    if match is None:
        return None
    host, port = (match.group(1) or match.group(3) or "*").strip("[]"), int(match.group(2) or 80)
    return Place({"*": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port, "ssl" in options)


def host_name(names: List[str]) -> str:
    """A name by which the server is asked."""
    for name in names:
        if name not in ("", "_") and not name.startswith("~"):
            return re.sub(r"^\*\.", "www.", name).replace("*", "com").lstrip(".")
    return "localhost"


def files(tree: Tuple[str, str]) -> List[str]:
    """URLs of some of the files in a tree: the first of each directory near its top."""
    url, top = tree
    found: List[str] = []
    left = [(top, 0)]
    while left and len(found) < FILES:
        path, depth = left.pop(0)
        try:
            names = sorted(os.listdir(path))[:200]
        except OSError:
            continue
        plain = [name for name in names if not name.startswith(".") and os.path.isfile(os.path.join(path, name))]
        found += [os.path.join(path, name) for name in plain[:2]]
        left += [(os.path.join(path, name), depth + 1) for name in names if depth < 3 and not name.startswith(".") and os.path.isdir(os.path.join(path, name))]
    return [url.rstrip("/") + "/" + os.path.relpath(path, top) for path in found[:FILES] if re.fullmatch(r"[\w./+~-]+", os.path.relpath(path, top))]


def logged(lines: Iterable[str]) -> List[str]:
    """The targets that were asked for last, by access logs in a usual format, the newest first."""
    found = [match.group(1) for match in (re.search(r'"(?:GET|HEAD) (/[!-~]*) HTTP/', line) for line in lines) if match]
    return list(dict.fromkeys(reversed(found)))[:LOGGED]


def questions(found: List[Server], recent: List[str], listed: Sequence[str] = ()) -> List[Question]:
    """What to ask; ``recent`` are targets of access logs, ``listed`` what people add, or with a ``!`` before a pattern of paths take out."""
    taken_out, more = _requests.taken_out(listed), [target for target in listed if not target.startswith("!")]
    wanted: List[Question] = []
    seen: Set[Tuple[int, bool, str]] = set()
    for server in found:
        name = host_name(server.names)
        served = [url for tree in server.trees for url in files(tree)]
        targets = [*server.targets, *served, *([] if server.variable else recent), *more, "/webstack-is-not-there"]
        for where in filter(None, map(place, server.listens)):
            if (where.port, where.tls, name) not in seen:
                seen.add((where.port, where.tls, name))
                requests = [_parity.Request("GET", target, name) for target in targets]
                wanted += [Question(where, request) for request in _requests.distinct(requests, taken_out)]
    return wanted[:MOST]


def upstreams(dump: str) -> Set[Tuple[str, int]]:
    """(host, port) of what nginx connects to over TCP, names of upstream groups among the hosts."""
    found = set()
    for name, *arguments in statements(dump):
        if not arguments or not (name.endswith("_pass") or name == "server"):
            continue
        match = re.match(r"(?:(\w+)://)?(\[[^\]]+\]|[^\s:/$]+)(?::(\d+))?(?:/|$)", arguments[0])
        if match and match.group(2) != "unix":
            port = match.group(3) or _PORTS.get(match.group(1) or "http", 80)
            found.add((match.group(2).strip("[]"), int(port)))
    return found
