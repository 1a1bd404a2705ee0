# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A text of nginx's configuration cut into tokens.

The grammar: nginx src/core/ngx_conf_file.c (ngx_conf_read_token).
"""

from __future__ import annotations

import re
from typing import Iterator, NamedTuple

MARKER = re.compile(r"^# configuration file (/.*):$")
"""How ``nginx -T`` heads each file."""

_TOKEN = re.compile(r"""(?P<space>\s+)|(?P<comment>\#[^\n]*)|(?P<mark>[{};])|(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
                        |(?P<word>(?:\\.|\$\{[^}]*\}|[^\s{};\\])+)""", re.VERBOSE | re.DOTALL)


QUOTES = "'\""


class Token(NamedTuple):
    """``kind`` is space, comment, mark, quoted, word or raw (the body of a Lua block)."""

    kind: str
    text: str


def tokens(text: str) -> Iterator[Token]:
    """Cut a configuration into tokens; joined again they are the text."""
    position, statement = 0, ""
    while position < len(text):
        if statement.endswith("_by_lua_block") and text[position] == "{":
            end = _lua_end(text, position)
            yield Token("mark", "{")
            yield Token("raw", text[position + 1:end])
            yield Token("mark", "}")
            position, statement = end + 1, ""
            continue
        match = _TOKEN.match(text, position)
        if match is None:
            yield Token("word", text[position])
            position += 1
            continue
        kind = str(match.lastgroup)
        if kind == "mark":
            statement = ""
        elif kind in ("word", "quoted") and not statement:
            statement = match.group()
        yield Token(kind, match.group())
        position = match.end()


def _lua_end(text: str, start: int) -> int:
    """Where the block ends; braces in Lua's strings and comments do not count."""
    depth = 0
    for match in re.finditer(r"[{}]|--[^\n]*|\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*'|\[\[.*?\]\]", text[start:], re.DOTALL):
        depth += {"{": 1, "}": -1}.get(match.group(), 0)
        if not depth:
            return start + match.start()
    return len(text) - 1


def unquote(token: str) -> str:
    """The value of a word or a quoted string."""
    if len(token) >= 2 and token[0] == token[-1] and token[0] in "'\"":
        return re.sub(r"\\(.)", r"\1", token[1:-1])
    return token
