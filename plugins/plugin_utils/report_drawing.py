# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report's picture as inline SVG: clients, nginx sites, sockets, services, and what the services write and need.

Twice, from the same boxes: from left to right for wide windows and paper, and one below the other for telephones; the style sheet shows one.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, field
from html import escape
from urllib.parse import quote

from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Plan, Service
from ansible_collections.gantry.webstack.plugins.plugin_utils.report_text import Sizes, listen_text, size_of

_COLUMNS = {"client": (0, 84), "site": (116, 216), "socket": (370, 214), "service": (622, 172), "data": (836, 224)}
_HEADS = {"client": "CLIENTS", "site": "NGINX", "socket": "SOCKETS", "service": "SERVICES", "data": "STATE AND NEEDS"}
_WIDTH, _HEIGHT, _GAP = 1060, 44, 12
_ROWS = 14
"""Rows of one picture: it stays whole on a sheet of A4."""
_SHOWN = 6
"""Data boxes of one service; the rest is told by number."""
_NARROW, _INDENT = 342, 16


@dataclass
class _Box:
    column: str
    title: str
    text: str
    colour: str
    service: str = ""
    y: float = 0.0
    to: list["_Box"] = field(default_factory=list)


@dataclass
class _Group:
    """A service with its boxes; those of sites are made anew for each, and equal ones are drawn once."""

    service: _Box
    socket: _Box
    sites: list[_Box]
    data: list[_Box]


def drawing(plan: Plan, sizes: Sizes | None = None) -> str:
    """Both pictures. Long texts are cut in the middle, and whole in the box's tooltip."""
    if not plan["services"]:
        return '<p class="soft">No service was found, so there is nothing to draw.</p>'
    groups = [_group(service, sizes or {}) for service in plan["services"]]
    label = escape(f"Drawing of {plan['host']}: clients ask nginx, its sites lead over sockets to services, services to their state and needs", quote=True)
    wide = "".join(_wide(part, number == 0) for number, part in enumerate(_sheets(_neighbours(groups))))
    narrow = "".join(_narrow(group) for group in groups)
    return f'<div class="wide" role="img" aria-label="{label}">{wide}</div><div class="narrow" role="img" aria-label="{label}">{narrow}</div>'


def _group(service: Service, sizes: Sizes) -> _Group:
    verdict, contained = service.get("fit", {}).get("verdict", ""), service.get("runtime") == "container"
    words = "in a container" if contained else {"ready": "ready", "remarks": "ready, with remarks", "blocked": "blocked"}.get(verdict, "on the host")
    box = _Box("service", service["name"], words, "ready" if contained else verdict or "service", service["name"])
    socket = service.get("uwsgi", {}).get("socket")
    sites = {(" ".join(site.get("server_names", [])) or "any name", " ".join(map(listen_text, site.get("listen", [])))): None
             for site in service.get("nginx", {}).get("sites", [])}
    data = [_Box("data", item["path"], " · ".join(filter(None, ("state", item.get("kind", ""), size_of(sizes, item["path"])))), "state")
            for item in service.get("state", [])]
    needs = [_Box("data", item["address"], item["kind"], "need") for item in service.get("needs", [])]
    if len(data) > _SHOWN:
        more = len(data) - _SHOWN + 1
        data = [*data[:_SHOWN - 1], _Box("data", f"and {more} more", f"state of {service['name']}", "state")]
    return _Group(box, _Box("socket", socket or "no socket", "UNIX socket" if str(socket).startswith("/") else "TCP" if socket else "", "socket"),
                  [_Box("site", names, listen, "nginx") for names, listen in sites], data + needs)


def _neighbours(groups: list[_Group]) -> list[_Group]:
    """Services of one site side by side, so that lines are short; else in the plan's order."""
    first: dict[str, int] = {}
    place: list[int] = []
    for number, group in enumerate(groups):
        keys = [site.title + "\0" + site.text for site in group.sites]
        place.append(min([first[key] for key in keys if key in first] or [number]))
        for key in keys:
            first.setdefault(key, place[number])
    return [group for dummy, group in sorted(zip(place, groups), key=lambda pair: pair[0])]


def _sheets(groups: list[_Group]) -> list[list[_Group]]:
    found: list[list[_Group]] = [[]]
    rows = 0
    for group in groups:
        wanted = max(1, len(group.sites), len(group.data))
        if rows and rows + wanted > _ROWS:
            found.append([])
            rows = 0
        found[-1].append(group)
        rows += wanted
    return found


def _wide(groups: list[_Group], first: bool) -> str:
    """One picture: each service's boxes beside it, boxes that several services share beside the first of them."""
    top = 28.0 if first else 4.0
    y = top
    drawn: dict[tuple[str, str, str], _Box] = {}
    boxes: list[_Box] = []
    for group in groups:
        fresh: dict[str, list[_Box]] = {"site": [], "data": []}
        for box in group.sites + group.data:
            key = (box.column, box.title, box.text)
            if key not in drawn:
                drawn[key] = box
                fresh[box.column].append(box)
        rows = max(1, len(fresh["site"]), len(fresh["data"]))
        for some in (fresh["site"], [group.socket], [group.service], fresh["data"]):
            start = y + (rows - len(some)) * (_HEIGHT + _GAP) / 2
            for number, box in enumerate(some):
                box.y = start + number * (_HEIGHT + _GAP)
            boxes += some
        for site in group.sites:
            drawn[(site.column, site.title, site.text)].to.append(group.socket)
        group.socket.to = [group.service]
        group.service.to = [drawn[(box.column, box.title, box.text)] for box in group.data]
        y += rows * (_HEIGHT + _GAP) + 6
    sites = [box for box in boxes if box.column == "site"]
    parts = [f'<text class="column" x="{_COLUMNS[name][0] + 2}" y="12">{head}</text>' for name, head in _HEADS.items()] if first else []
    lines = [_curve(box, other) for box in boxes for other in box.to]
    if sites:
        upper, lower = min(box.y for box in sites), max(box.y for box in sites) + _HEIGHT
        x, width = _COLUMNS["client"]
        lines += [f'<path d="M{x + width} {box.y + _HEIGHT / 2:.0f}H{_COLUMNS["site"][0]}"/>' for box in sites]
        parts.append(_rect("client", x, upper, width, lower - upper, "clients", _ports(sites)))
    parts += lines + [_rect(box.colour, _COLUMNS[box.column][0], box.y, _COLUMNS[box.column][1], _HEIGHT, box.title, box.text, box.service) for box in boxes]
    return f'<svg viewBox="0 0 {_WIDTH} {y - 4:.0f}" width="{_WIDTH}" height="{y - 4:.0f}" aria-hidden="true">{"".join(parts)}</svg>'


def _ports(sites: Iterable[_Box]) -> str:
    words = {word.rpartition(":")[2] for site in sites for word in site.text.split()}
    ports = sorted((word for word in words if word.isdigit()), key=int)
    return "" if not ports else "port " + ports[0] if len(ports) == 1 else "ports " + ", ".join(ports)


def _curve(left: _Box, right: _Box) -> str:
    x1, x2 = sum(_COLUMNS[left.column]), _COLUMNS[right.column][0]
    y1, y2 = left.y + _HEIGHT / 2, right.y + _HEIGHT / 2
    middle = (x1 + x2) / 2
    return f'<path d="M{x1} {y1:.0f}C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2} {y2:.0f}"/>'


def _narrow(group: _Group) -> str:
    """One service as a tree: its sites, below them the socket, the service, and what it writes and needs."""
    rows: list[tuple[int, _Box]] = [(0, box) for box in group.sites]
    rows.append((1 if group.sites else 0, group.socket))
    rows.append((rows[-1][0] + 1, group.service))
    rows += [(rows[len(group.sites)][0] + 2, box) for box in group.data]
    step = _HEIGHT + 8
    lines, boxes = [], []
    for number, (depth, box) in enumerate(rows):
        y = number * step
        if depth:
            parent = max(index for index in range(number) if rows[index][0] == depth - 1)
            x = (depth - 1) * _INDENT + 8
            lines.append(f'<path d="M{x} {parent * step + _HEIGHT}V{y + _HEIGHT / 2:.0f}H{depth * _INDENT}"/>')
        boxes.append(_rect(box.colour, depth * _INDENT, y, _NARROW - depth * _INDENT, _HEIGHT, box.title, box.text, box.service))
    height = len(rows) * step - 8
    return f'<svg viewBox="0 0 {_NARROW} {height}" width="{_NARROW}" height="{height}" aria-hidden="true">{"".join(lines)}{"".join(boxes)}</svg>'


def _rect(colour: str, x: float, y: float, width: float, height: float, title: str, text: str, service: str = "") -> str:
    """A box. What is in it is an SVG of its own, which clips: no text leaves its box, whatever font a machine has."""
    room = width - 20
    whole = escape(f"{title}\n{text}" if text else title)
    second = f'<text class="small" x="0" y="{height / 2 + 13:.1f}">{escape(_cut(text, room, 11))}</text>' if text else ""
    first = f'<text class="title" x="0" y="{height / 2 + (-3 if text else 4.5):.1f}">{escape(_cut(title, room, 13))}</text>'
    box = (f'<g class="box {escape(colour)}"{f""" data-service="{escape(service)}" """.rstrip() if service else ""}><title>{whole}</title>'
           f'<rect x="{x + .75}" y="{y + .75:.2f}" width="{width - 1.5}" height="{height - 1.5:.2f}" rx="7"/>'
           f'<svg x="{x + 11}" y="{y:.2f}" width="{room}" height="{height:.2f}">{first}{second}</svg></g>')
    return f'<a href="#service-{quote(service)}">{box}</a>' if service else box


def _em(char: str) -> float:
    """A character's width in em, at least as wide as usual bold fonts have it."""
    if unicodedata.combining(char):
        return 0.0
    if unicodedata.east_asian_width(char) in "WF":
        return 1.05
    if char in "iljftrI.,:;!|'()[]{}/\\- ":
        return 0.46
    return 1.12 if char in "Wm" else 1.02 if char in "wM@%—…" else 0.8 if char.isupper() else 0.69


def _cut(text: str, room: float, size: float) -> str:
    """Text that fits: the middle makes room, for names differ at their ends."""
    text = " ".join(text.split())
    if sum(map(_em, text)) * size <= room:
        return text
    left = right = 0
    used = _em("…") * size
    while True:
        char = text[left] if left <= right else text[-1 - right]
        used += _em(char) * size
        if used > room:
            return text[:left] + "…" + (text[-right:] if right else "")
        if left <= right:
            left += 1
        else:
            right += 1
