# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Pieces that the report's pages share: the frame with its style and script, sizes, escaped words. Everything from a host is escaped."""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

Sizes = Mapping[str, Mapping[str, Any]]
"""{path: {bytes, complete}} of the evidence; complete is false where counting stopped."""

VERDICTS = {"ready": "ready", "remarks": "ready, with remarks", "blocked": "blocked"}


@functools.cache
def _asset(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def _allowed(text: str) -> str:
    """The one inline style or script that a Content-Security-Policy allows."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def frame(title: str, body: str) -> str:
    """A whole page. It loads nothing, and of styles and scripts only its own are allowed to work."""
    style, script = _asset("report.css"), _asset("report.js")
    policy = f"default-src 'none'; style-src {_allowed(style)}; script-src {_allowed(script)}; base-uri 'none'; form-action 'none'"
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<meta name="color-scheme" content="light dark">\n'
            f"<title>{escape(title)}</title>\n<style>{style}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n<script>{script}</script>\n</body>\n</html>\n")


def human(count: int) -> str:
    """A size in two digits, so that a page changes when a size does, and not with each byte."""
    if count < 1_000_000:
        return "under 1 MB"
    value, unit = float(count), 0
    while value >= 999.5:
        value, unit = value / 1000, unit + 1
    text = f"{value:.1f}" if value < 9.95 else f"{round(value, -1 if value >= 100 else 0):.0f}"
    return f"{text.removesuffix('.0')} {('B', 'kB', 'MB', 'GB', 'TB', 'PB', 'EB')[unit]}"


def size_of(known: Sizes, path: str) -> str:
    """The size of what lies at a path, or nothing."""
    item = known.get(path)
    if item is None or not isinstance(item.get("bytes"), int):
        return ""
    return ("" if item.get("complete", True) else "at least ") + human(item["bytes"])


def listen_text(listen: Any) -> str:
    """A listen line as nginx has it, also when the plan has it typed."""
    if not isinstance(listen, dict):
        return str(listen)
    address = listen.get("address", "")
    port = f"{f'[{address}]' if ':' in address else address}:{listen['port']}" if address else str(listen["port"])
    words = [port, "ssl" if listen.get("tls") else "", "default_server" if listen.get("default") else "", listen.get("extra", "")]
    return " ".join(filter(None, words))


def count(number: int, one: str, many: str = "") -> str:
    """A number with its noun."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def code(text: Any) -> str:
    """A name of the host's."""
    return f"<code>{escape(str(text))}</code>"


def badge(word: str, colour: str) -> str:
    """A word in a coloured frame."""
    return f'<span class="badge {escape(colour)}">{escape(word)}</span>'


def link(target: str, text: str) -> str:
    """A link to a place on the page or a file beside it."""
    return f'<a href="{escape(quote(target, safe="#/"))}">{escape(text)}</a>'


def tiles(numbers: list[tuple[int, str, str]]) -> str:
    """Numbers in large type: (number, label, colour)."""
    body = "".join(f'<div class="tile {colour if number else ""}"><b>{number}</b> {escape(label)}</div>' for number, label, colour in numbers)
    return f'<div class="tiles">{body}</div>'


def items(ready: list[str], fold: int = 8, noun: str = "entries", long: bool = False) -> str:
    """A list of ready-made HTML; one with more than ``fold`` entries opens at a click. A ``long`` one stays closed on paper."""
    if len(ready) == 1 and not long:
        return ready[0]
    body = '<ul class="plain">' + "".join(f"<li>{item}</li>" for item in ready) + "</ul>"
    return body if len(ready) <= fold else f'<details{" class=long" if long else ""}><summary>{len(ready)} {noun}</summary>{body}</details>'


def each(values: list[Any] | None, shown: Callable[[Any], str], **how: Any) -> str:
    """``items`` of values."""
    return items([shown(value) for value in values], **how) if values else ""
