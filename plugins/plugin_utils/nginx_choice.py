# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which server and which location nginx chooses for a request. Pure.

Sources: nginx's documentation "How nginx processes a request", "Server names" and the directive ``location``; for nested locations
ngx_http_core_find_location (src/http/ngx_http_core_module.c).
"""

from __future__ import annotations

import re
import urllib.parse
from collections.abc import Iterable

from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_config import Location, Site


class Unclear(ValueError):
    """A regular expression that Python's ``re`` and PCRE do not read alike; the message has it."""


def _regex(pattern: str, flags: int = 0) -> re.Pattern[str]:
    python = re.sub(r"\(\?<(?![=!])", "(?P<", pattern)  # PCRE's spelling of a named group
    try:
        return re.compile(python, flags)
    except re.error as exc:
        raise Unclear(f"{pattern!r}: {exc}") from exc


def normalized(path: str) -> str:
    """A request's path as nginx compares it: without the query, decoded, dots resolved, slashes merged (``merge_slashes on``)."""
    text = urllib.parse.unquote(path.partition("?")[0].partition("#")[0])
    parts: list[str] = []
    for part in text.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    tail = "/" if parts and text.endswith(("/", "/.", "/..")) else ""
    return "/" + "/".join(parts) + tail


def _endpoint(listen: str) -> tuple[str, str, bool]:
    """(address, port, whether it is the default server) of a listen directive's arguments; address ``*`` for any IPv4, ``[::]`` for any IPv6."""
    first, *options = listen.split()
    default = "default_server" in options or "default" in options
    if first.startswith("unix:"):
        return first, "", default
    if first.isdigit():
        return "*", first, default
    match = re.fullmatch(r"(\[[^\]]*\]|[^:]+)(?::(\d+))?", first)
    address, port = (match[1], match[2] or "80") if match else (first, "80")
    return ("*" if address == "0.0.0.0" else address), port, default


def server(sites: list[Site], host: str, port: int | str = 80, address: str = "") -> Site | None:
    """The server block for a request to ``address`` and ``port`` with this Host header; None when nobody listens there.

    ``address`` empty means any IPv4 address that has no listen directive of its own.
    """
    asked = [(site, *_endpoint(listen)) for site in sites for listen in site.listen]
    here = [item for item in asked if item[2] == str(port)]
    exact = [item for item in here if item[1] == address]
    candidates = exact or [item for item in here if item[1] == ("[::]" if address.startswith("[") else "*")]
    if not candidates:
        return None
    default = next((site for site, _address, _port, is_default in candidates if is_default), candidates[0][0])
    return _named([item[0] for item in candidates], re.sub(r":\d+\Z", "", host).lower().rstrip(".")) or default


def _named(sites: Iterable[Site], host: str) -> Site | None:
    """By name: exact, longest wildcard in front, longest wildcard behind, first regular expression."""
    pairs = [(name, site) for site in sites for name in site.server_names]
    front: list[tuple[int, int, Site]] = []
    behind: list[tuple[int, int, Site]] = []
    for number, (name, site) in enumerate(pairs):
        plain = name.lower()
        if not plain.startswith("~") and (plain == host or plain == "." + host):
            return site
        if plain.startswith(("*.", ".")) and host.endswith(plain.lstrip("*")):
            front.append((-len(plain), number, site))
        elif plain.endswith(".*") and host.startswith(plain[:-1]):
            behind.append((-len(plain), number, site))
    for found in (front, behind):
        if found:
            return min(found, key=lambda item: item[:2])[2]
    return next((site for name, site in pairs if name.startswith("~") and _regex(name[1:]).search(host)), None)


def _split(match: str) -> tuple[str, str]:
    """(modifier, text) of a location: ``=``, ``^~``, ``~``, ``~*``, ``@`` or an empty modifier."""
    found = re.match(r"(=|\^~|~\*|~)\s*", match)
    if found:
        return found[1], match[found.end():]
    return ("@", match[1:]) if match.startswith("@") else ("", match)


def location(site: Site, path: str) -> Location | None:
    """The location for a request's path, nested ones included; None when none takes it and the server block itself answers.

    ``internal`` is not looked at: nginx chooses such a location too, and answers 404.
    """
    return _find([item for item in site.locations if item.outer is None], site.locations, normalized(path))[0]


def _find(level: list[Location], every: list[Location], path: str) -> tuple[Location | None, bool]:
    """The location of one level or below it, and whether the choice is final (an exact match, or a regular expression)."""
    best: Location | None = None
    length, modifier = -1, ""
    for item in level:
        kind, text = _split(item.match)
        if kind == "=" and text == path:
            return item, True
        if kind in ("", "^~") and path.startswith(text) and len(text) > length:
            best, length, modifier = item, len(text), kind
    if best is not None:
        deeper, final = _find([item for item in every if item.outer is best], every, path)
        if final:
            return deeper, True
        best = deeper or best
    if modifier != "^~":
        for item in level:
            kind, text = _split(item.match)
            if kind in ("~", "~*") and _regex(text, re.IGNORECASE if kind == "~*" else 0).search(path):
                return _find([inner for inner in every if inner.outer is item], every, path)[0] or item, True
    return best, False
