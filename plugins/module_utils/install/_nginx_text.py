# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's configuration as text on the host: what depends on its version, and nginx.conf with settings of ours among others'. Pure.

A directive of nginx.conf that ours replaces is set aside in a comment which holds it as it was, and ours stand between two marks; so what
was there comes back to the byte, whoever wrote it and whatever they have changed since.
"""

from __future__ import annotations

import json
import re
from typing import Dict, List, Optional, Sequence, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._nginx_tokens import tokens

HTTP2_LISTEN = " ${webstack_listen_http2}"
HTTP2 = "${webstack_http2};"
HTTP2_DIRECTIVE_SINCE = (1, 25, 1)
"""nginx's changes: before, http2 is a parameter of ``listen``; the parameter is deprecated since."""

_BEGIN, _END = "# gantry.webstack begins\n", "# gantry.webstack ends\n"
_ASIDE = "# gantry.webstack set aside "
_REPEATED = frozenset(("include", "load_module", "env", "debug_connection"))
"""Directives of the main and events level that stand beside others of the same name: ours replace none."""


def parse_version(text: str) -> Tuple[int, ...]:
    """The version in what ``nginx -v`` prints."""
    match = re.search(r"nginx/(\d+(?:\.\d+)+)", text)
    return tuple(int(part) for part in match[1].split(".")) if match else ()


def resolve(content: str, version: Tuple[int, ...]) -> str:
    """The content for an nginx of that version."""
    new = version >= HTTP2_DIRECTIVE_SINCE
    content = content.replace(HTTP2_LISTEN, "" if new else " http2")
    return content.replace(HTTP2, "http2 on;") if new else re.sub(r"^[ \t]*%s\n" % re.escape(HTTP2), "", content, flags=re.MULTILINE)


def needs_version(content: str) -> bool:
    """Whether the content has a placeholder."""
    return "${webstack_" in content


def restored(text: str) -> str:
    """nginx.conf without anything of ours."""
    text = re.sub("%s.*?%s" % (re.escape(_BEGIN), re.escape(_END)), "", text, flags=re.DOTALL)
    return re.sub(r'%s("(?:[^"\\]|\\.)*")\n' % re.escape(_ASIDE), lambda match: json.loads(match[1]), text)


class _Found:
    """Where a configuration file's blocks begin and end, and where its simple directives stand: (block, name, start, end)."""

    def __init__(self, text: str) -> None:
        self.opened: Dict[str, int] = {}
        self.closed: Dict[str, int] = {}
        self.directives: List[Tuple[str, str, int, int]] = []
        blocks: List[str] = []
        position, start = 0, 0
        words: List[str] = []
        for token in tokens(text):
            if token.kind in ("word", "quoted"):
                start = position if not words else start
                words.append(token.text)
            position += len(token.text)
            if token.kind != "mark":
                continue
            if token.text == "{":
                blocks.append(words[0] if words else "")
                if len(blocks) == 1:
                    self.opened.setdefault(blocks[0], position)
            elif token.text == "}" and blocks:
                block = blocks.pop()
                if not blocks:
                    self.closed.setdefault(block, position)
            elif token.text == ";" and words and len(blocks) < 2:
                self.directives.append((blocks[0] if blocks else "", words[0], start, position))
            words = []


def edited(text: str, main: Sequence[str], events: Sequence[str], http_names: Sequence[str], main_extra: str = "", events_extra: str = "") -> Optional[str]:
    """nginx.conf with settings of ours; None when it has no ``events`` block to put them in. Nothing given, nothing of ours in it.

    Raw text of the main level stands after that block: one before it would end the time in which nginx loads modules (ngx_load_module).
    """
    text = restored(text)
    found = _Found(text)
    names = {"": _names(main), "events": _names(events), "http": set(http_names)}
    edits = [(start, end, '%s%s\n' % (_ASIDE, json.dumps(text[start:end]))) for block, name, start, end in found.directives if name in names.get(block, ())]
    inside = [*events, *events_extra.splitlines()]
    if (inside or main_extra) and "events" not in found.closed:
        return None
    if inside:
        edits.append((found.opened["events"], found.opened["events"], _ours(["    " + line if line else "" for line in inside])))
    if main_extra:
        edits.append((found.closed["events"], found.closed["events"], _ours(main_extra.splitlines())))
    if main:
        edits.append((0, 0, _ours(main)))
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _names(lines: Sequence[str]) -> Set[str]:
    """The directives that lines of ours replace."""
    return {line.split()[0].rstrip(";") for line in lines} - _REPEATED


def _ours(lines: Sequence[str]) -> str:
    return _BEGIN + "".join("%s\n" % line for line in lines) + _END


def worker_group(config: str) -> str:
    """The group of nginx's workers: the ``user`` directive's second word or first; empty when it names none."""
    match = re.search(r"^\s*user\s+([^\s;]+)(?:\s+([^\s;]+))?\s*;", config, re.MULTILINE)
    return (match[2] or match[1]) if match else ""
