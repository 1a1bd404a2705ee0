# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The text of ``nginx -T`` as directives, read with crossplane. Pure but for a temporary directory.

crossplane reads files, so those of ``nginx -T`` are laid out below a temporary root, with the paths of their includes moved there. It gives up
a file at the first error, so a broken file is mended first: what is left out or closed is a problem with its place, and all else is read.
"""

from __future__ import annotations

import posixpath
import re
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common import _nginx_tokens
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _nginx_text

try:
    import crossplane
except ImportError as exc:  # ansible-doc reads plugins on machines without it
    IMPORT_ERROR: ImportError | None = exc
else:
    IMPORT_ERROR = None

_TOP = ("http", "stream", "mail", "events")
_IN_HTTP = ("server", "upstream", "map", "geo", "split_clients", "types")
_BLOCKS = (*_TOP, *_IN_HTTP, "location", "if", "limit_except")


class NginxError(ValueError):
    """A configuration that cannot be read."""


@dataclass(frozen=True)
class Directive:
    """One directive with the place it stands at; includes are already replaced by what they name."""

    name: str
    args: tuple[str, ...]
    file: str
    line: int
    block: tuple["Directive", ...] = ()


def read(text: str) -> tuple[tuple[Directive, ...], list[str]]:
    """(directives, problems) of the output of ``nginx -T``. A problem is a sentence that begins with its place.

    Raises NginxError when crossplane is not there or the text holds no configuration.
    """
    if IMPORT_ERROR is not None:
        raise NginxError("the control node's Python lacks crossplane; pip install -r requirements.txt of gantry.webstack")
    files = _nginx_text.files(text)
    if not files:
        raise NginxError("nginx -T gave no configuration")
    main = next(iter(files))
    problems: list[str] = []
    with tempfile.TemporaryDirectory(prefix="webstack-nginx-") as directory:
        for path, body in files.items():
            mended = Mended(body)
            problems += [f"{path}:{line}: {what}" for line, what in mended.problems]
            place = Path(directory + path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(_moved(mended.tokens, directory, posixpath.dirname(main)), encoding="utf-8")
        payload = crossplane.parse(directory + main, check_ctx=False, check_args=False, strict=False)
        problems += [_problem(error, directory) for error in payload["errors"]]
        flat = _Flat(payload, directory)
        return tuple(flat.block(0, payload["config"][0]["parsed"], (0,))), problems + flat.problems


def _problem(error: dict[str, Any], root: str) -> str:
    place = f"{error['file'].removeprefix(root)}:{error['line']}"
    what = error["error"].replace(root, "")
    missing = re.match(r"\[Errno 2\] No such file or directory: '(.*)'", what)
    return f"{place}: it includes {missing[1]}, which is not there" if missing else f"{place}: {re.sub(r' in /.*', '', what)}"


def _moved(tokens: list[_nginx_tokens.Token], root: str, prefix: str) -> str:
    """The text with the paths of its includes below ``root``; relative ones are relative to the main file's directory."""
    done: list[str] = []
    statement: list[str] = []
    for token in tokens:
        piece = token.text
        if token.kind in ("word", "quoted"):
            if statement == ["include"]:
                piece = '"' + root + posixpath.join(prefix, _nginx_tokens.unquote(piece)) + '"'
            statement.append(token.text)
        elif token.kind == "mark":
            statement = []
        done.append(piece)
    return "".join(done)


class _Flat:
    """crossplane's payload as directives, with includes in place."""

    def __init__(self, payload: dict[str, Any], root: str) -> None:
        self.payload, self.root, self.left = payload, root, _nginx_text.MOST_INCLUDED
        self.problems: list[str] = []

    def block(self, index: int, block: list[dict[str, Any]], above: tuple[int, ...]) -> Iterator[Directive]:
        """The directives of a block in the file with this number; ``above`` are the files that include it."""
        file = self.payload["config"][index]["file"].removeprefix(self.root)
        for item in block:
            if item["directive"] == "include":
                for included in item.get("includes", []):
                    self.left -= 1
                    if included in above or self.left < 0:
                        self._left_out(file, item["line"], included)
                    else:
                        yield from self.block(included, self.payload["config"][included]["parsed"], (*above, included))
            else:
                yield Directive(item["directive"], tuple(item["args"]), file, item["line"], tuple(self.block(index, item.get("block", []), above)))

    def _left_out(self, file: str, line: int, included: int) -> None:
        name = self.payload["config"][included]["file"].removeprefix(self.root)
        problem = f"{file}:{line}: it includes {name}, which is being read already"
        if self.left >= 0 and problem not in self.problems:
            self.problems.append(problem)


@dataclass
class _Open:
    """A block that is not closed yet."""

    words: list[str]
    line: int


@dataclass
class Mended:
    """A file's tokens with every statement ended and every block closed; ``problems`` are (line, what nginx would not accept).

    Where a ``}`` is missing nginx sees it at the end of the file only. Here it is missed where something follows that cannot stand inside.
    """

    body: str
    tokens: list[_nginx_tokens.Token] = field(default_factory=list)
    problems: list[tuple[int, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.open: list[_Open] = []
        self.statement: list[str] = []
        self.begun: list[tuple[int, int]] = []  # of each word of the statement: number of its token, its line
        self.line = 1
        before = ""
        for token in _nginx_tokens.tokens(self.body):
            if token.kind == "mark":
                {"{": self._opens, "}": self._closes, ";": self._ends}[token.text]()
            else:
                if token.kind in ("word", "quoted"):
                    token = self._word(token, before)
                self.tokens.append(token)
            self.line += token.text.count("\n")
            before = token.kind
        if self.statement:
            self._unfinished()
        for item in reversed(self.open):
            self._close(item, "at the end of the file")

    def _mark(self, text: str) -> None:
        self.tokens.append(_nginx_tokens.Token("mark", text))
        self.statement, self.begun = [], []

    def _word(self, token: _nginx_tokens.Token, before: str) -> _nginx_tokens.Token:
        text = token.text
        if token.kind == "word" and text[0] in _nginx_tokens.QUOTES or before == "quoted" and text[0] != ")":
            self.problems.append((self.line, "a quote that is not closed, or that does not stand at an end of its word"))
            # what is left of it is a word without spaces: crossplane would read on to the next quote
            text = (" " if before == "quoted" else "") + (re.sub(r"[\s{};\"']+", "", text) or "_")
            token = _nginx_tokens.Token("word", text)
        self.statement.append(_nginx_tokens.unquote(token.text.strip()))
        self.begun.append((len(self.tokens), self.line))
        return token

    def _ends(self) -> None:
        if self.statement:
            self._mark(";")
        else:
            self.problems.append((self.line, 'unexpected ";"'))

    def _opens(self) -> None:
        if not self.statement:
            self.problems.append((self.line, 'unexpected "{"'))
            self.begun = [(len(self.tokens), self.line)]
            self.tokens.append(_nginx_tokens.Token("word", "_"))
        self._two_statements()
        position, line = self.begun[0]
        keep = next((depth for depth, item in enumerate(self.open) if _cannot_hold(item.words, self.statement)), len(self.open))
        for item in reversed(self.open[keep:]):
            self._close(item, f"before line {line}", position)
            position += 1
        del self.open[keep:]
        self.open.append(_Open(self.statement, line))
        self._mark("{")

    def _two_statements(self) -> None:
        """``root /srv location / {``: the block begins at its own name, and what stands before has lost its end."""
        second = next((number for number, word in enumerate(self.statement) if number and word in _BLOCKS), 0)
        if not second or self.statement[0] in _BLOCKS or self.begun[0][1] == self.begun[second][1]:
            return
        self._say_unfinished()
        position = self.begun[second][0]
        self.tokens.insert(position, _nginx_tokens.Token("mark", ";"))
        self.statement = self.statement[second:]
        self.begun = [(number + 1, line) for number, line in self.begun[second:]]

    def _closes(self) -> None:
        if self.statement:
            self._unfinished()
        if self.open:
            self.open.pop()
            self._mark("}")
        else:
            self.problems.append((self.line, 'unexpected "}"'))

    def _unfinished(self) -> None:
        self._say_unfinished()
        self._mark(";")

    def _say_unfinished(self) -> None:
        self.problems.append((self.begun[0][1], f'the directive "{self.statement[0]}" is not terminated by ";"'))

    def _close(self, item: _Open, where: str, position: int | None = None) -> None:
        """Close a block, at the place of a token or at the end."""
        self.problems.append((item.line, f'the block "{" ".join(item.words[:3])}" is not closed {where}'))
        token = _nginx_tokens.Token("mark", "}")
        self.tokens.insert(len(self.tokens) if position is None else position, token)


def _cannot_hold(outer: list[str], inner: list[str]) -> bool:
    """Whether nginx would refuse a block inside another one, anywhere: a server in a server, a location in one that it is no part of."""
    kind, name = outer[0] if outer else "", inner[0] if inner else ""
    if name in _TOP or name in _IN_HTTP and kind in ("server", "location", "if", "upstream", "limit_except"):
        return name != "types" or kind == "upstream"  # types may stand in a location
    if (kind, name) != ("location", "location"):
        return False
    (modifier, text), (other, inside) = location_words(outer[1:]), location_words(inner[1:])
    if modifier in ("=", "@") or other == "@":
        return True
    return modifier in ("", "^~") and other in ("", "=", "^~") and not inside.startswith(text)


def location_words(args: list[str] | tuple[str, ...]) -> tuple[str, str]:
    """(modifier, text) of a location's arguments: ``=``, ``^~``, ``~``, ``~*``, ``@`` or an empty modifier (ngx_http_core_location)."""
    if len(args) >= 2:
        return args[0], args[1]
    word = args[0] if args else ""
    found = re.match(r"(=|\^~|~\*|~)", word)
    if found:
        return found[1], word[found.end():]
    return ("@", word[1:]) if word.startswith("@") else ("", word)
