"""An nginx configuration in which each answer says which server and location gave it, made from the text of ``nginx -T`` file by file.

Servers, locations, names, listens and includes stay as they are and where they are, so that it is nginx that puts them together. What would answer,
or need a certificate, a module or another host, is left out.
"""

from __future__ import annotations

import fnmatch
import posixpath
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from ansible_collections.gantry.webstack.plugins.module_utils.common import _nginx_tokens
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _nginx_text
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_config import PASSES
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_directives import Mended

KEPT = {
    "main": {"user", "events", "http", "include"},
    "events": {"worker_connections"},
    "http": {"include", "server", "map", "geo", "split_clients", "types", "default_type", "server_names_hash_max_size", "server_names_hash_bucket_size",
             "map_hash_max_size", "map_hash_bucket_size", "types_hash_max_size", "variables_hash_max_size", "merge_slashes"},
    "server": {"include", "listen", "server_name", "location", "merge_slashes"},
    "location": {"include", "location", "internal", *PASSES},
}
"""What stays, by block; the content of other blocks stays whole."""

OPTIONS = ("default_server", "default", "ipv6only=on", "ipv6only=off", "bind")
"""What stays of a listen."""


@dataclass
class _File:
    """One file on its way."""

    path: str
    blocks: list[str]
    on: bool
    there: Callable[[str], bool]
    out: list[str] = field(default_factory=list)
    included: list[tuple[str, str]] = field(default_factory=list)


def instrumented(text: str, follow: bool = False) -> dict[str, str]:
    """{path: text}. With ``follow`` try_files stays, and a location that has one answers with the place to which it has led."""
    files = _nginx_text.files(text)
    main = next(iter(files))
    contexts: list[tuple[str, str]] = [(main, "main")]
    done = {}

    def there(pattern: str) -> bool:
        return bool(re.search(r"[*?\[]", pattern)) or posixpath.normpath(posixpath.join(posixpath.dirname(main), pattern)) in files

    for path, body in files.items():
        around = next((context for pattern, context in contexts if fnmatch.fnmatchcase(path, pattern)), "main")
        file = _File(path, [around], around in KEPT or around in ("map", "geo", "split_clients", "types"), there)
        done[path] = _one(file, body, follow)
        contexts += [(posixpath.normpath(posixpath.join(posixpath.dirname(main), pattern)), context) for pattern, context in file.included]
    head = "pid /run/nginx-corpus.pid; error_log stderr warn; worker_processes 1;"
    return {**done, main: head + done[main]}


def _one(file: _File, body: str, follow: bool) -> str:
    statement: list[str] = []
    gone: list[bool] = []  # for each open block: whether it was left out
    begun, line = 1, 1
    tries = _with_tries(body) if follow else set()
    for token in Mended(body).tokens:
        if token.kind in ("word", "quoted"):
            begun = begun if statement else line
            statement.append(token.text)
        elif token.kind == "mark":
            _mark(file, token.text, statement, gone, begun, tries)
            statement = []
        line += token.text.count("\n")
        file.out.append("\n" * token.text.count("\n"))
    return "".join(file.out)


def _with_tries(body: str) -> set[int]:
    """Lines at which locations begin that have a try_files of their own."""
    found, blocks = set(), []
    statement: list[str] = []
    begun, line = 1, 1
    for token in Mended(body).tokens:
        if token.kind in ("word", "quoted"):
            begun = begun if statement else line
            statement.append(token.text)
        elif token.kind == "mark":
            if token.text == "{":
                blocks.append((statement[:1], begun))
            elif token.text == "}":
                blocks.pop()
            elif statement[:1] == ["try_files"] and blocks:
                found.add(blocks[-1][1])
            statement = []
        line += token.text.count("\n")
    return found


def _mark(file: _File, mark: str, statement: list[str], gone: list[bool], begun: int, tries: set[int]) -> None:
    block = file.blocks[-1]
    if mark == "}":
        file.blocks.pop()
        if not gone.pop() and not any(gone) and file.on:
            file.out.append("}")
        return
    name = statement[0]
    kept = file.on and not any(gone) and (name in KEPT.get(block, {name}) or name == "try_files" and bool(tries) and block in ("server", "location"))
    if mark == "{":
        file.blocks.append(name)
        gone.append(not kept)
        if kept:
            file.out.append(" ".join(statement) + " {" + _told(name, f"{file.path}:{begun}", begun in tries))
        return
    if name == "include" and len(statement) > 1:
        file.included.append((_nginx_tokens.unquote(statement[1]), block if file.on and not any(gone) else "gone"))
    if not kept or name == "include" and not file.there(_nginx_tokens.unquote(statement[-1])):
        return
    if name == "listen":
        statement = [word for number, word in enumerate(statement) if number < 2 or word in OPTIONS]
    file.out.append("proxy_pass http://127.0.0.1:1;" if name in PASSES else " ".join(statement) + ";")


def _told(name: str, place: str, goes_on: bool) -> str:
    """What makes a block tell its place."""
    if name == "server":
        return f'set $webstack_server "{place}"; root /run/empty; add_header X-Place "$webstack_server -" always;'
    if name != "location":
        return ""
    return f'add_header X-Place "$webstack_server {place}" always;' + ("" if goes_on else " return 204;")
