# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Words, directives and blocks of nginx's configuration (nginx src/core/ngx_conf_file.c). Pure."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError

_MODIFIER = re.compile(r"(=|~\*|~|\^~)\s+")


def token(text: str, where: str) -> str:
    """One argument of a directive, quoted when it must be; variables in it stay variables."""
    if re.search(r"[\n\r\0]", text):
        raise ModelError(f"{where}: {text!r} has a line break")
    if text and not re.search(r"""[\s;{}"'\\#]""", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def arguments(text: str, where: str) -> str:
    """Several arguments as the user wrote them, such as ``[::]:80 default_server``; refuses what would end the directive."""
    if not text.strip() or re.search(r"[;{}\n\r\0#]", text):
        raise ModelError(f"{where}: {text!r} is not what one nginx directive can take")
    return text.strip()


def location_match(text: str, where: str) -> str:
    """What follows ``location``: a modifier and a path, a regular expression, or a name."""
    match = _MODIFIER.match(text)
    return f"{match[1]} {token(text[match.end():], where)}" if match else token(text, where)


def block(head: str, body: list[str]) -> list[str]:
    """A block of lines."""
    return [f"{head} {{", *(f"    {line}" if line else "" for line in body), "}"]


def raw(text: str) -> list[str]:
    """The user's own lines, set off by an empty one."""
    return ["", *text.rstrip("\n").split("\n")] if text.strip() else []


def switch(value: bool) -> str:
    """``on`` or ``off``."""
    return "on" if value else "off"


def directives(settings: dict[str, Any], where: str) -> list[str]:
    """Directives by name; a list repeats one, a boolean is on or off."""
    lines = []
    for name, value in settings.items():
        for item in value if isinstance(value, list) else [value]:
            lines.append(f"{name} {switch(item) if isinstance(item, bool) else arguments(str(item), f'{where}.{name}')};")
    return lines


def uwsgi_address(socket: str) -> str:
    """The address of a uwsgi or fastcgi server as nginx spells it."""
    return f"unix:{socket}" if socket.startswith("/") else socket
