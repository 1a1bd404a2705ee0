# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report's picture as inline SVG: nginx sites, sockets, services, and what the services write and need, from left to right."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape

from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Plan

_WIDTH = 1060
_COLUMNS = {"site": (0, 230), "socket": (278, 238), "service": (564, 190), "data": (802, 258)}
_HEIGHT, _GAP, _TOP = 44, 14, 34
_COLOURS = {"site": "nginx", "socket": "socket", "service": "service", "data": "state"}


@dataclass
class _Box:
    column: str
    title: str
    text: str
    colour: str
    y: float = 0.0
    to: list["_Box"] = field(default_factory=list)


def drawing(plan: Plan) -> str:
    """The picture. Boxes of a service stand beside it; long texts are cut in the middle and whole in the box's tooltip."""
    sites: dict[tuple[str, str], _Box] = {}
    columns: dict[str, list[_Box]] = {name: [] for name in _COLUMNS}
    y = float(_TOP)
    needs: dict[str, _Box] = {}
    for service in plan["services"]:
        uwsgi, verdict = service.get("uwsgi", {}), service.get("fit", {}).get("verdict", "")
        where = "container" if service.get("runtime") == "container" else "host"
        box = _Box("service", service["name"], f"{where}, {verdict}" if verdict else where, verdict or "service")
        data = [_Box("data", item["path"], "state", "state") for item in service.get("state", [])]
        known = [needs[item["address"]] for item in service.get("needs", []) if item["address"] in needs]
        for item in service.get("needs", []):
            if item["address"] not in needs:
                needs[item["address"]] = _Box("data", item["address"], item["kind"], "nginx")
                data.append(needs[item["address"]])
        fresh = []
        for site in service.get("nginx", {}).get("sites", []):
            key = (" ".join(site.get("server_names", [])) or "any name", " ".join(site.get("listen", [])))
            if key not in sites:
                sites[key] = _Box("site", key[0], f"nginx, {key[1]}", "nginx")
                fresh.append(sites[key])
        socket = _Box("socket", uwsgi.get("socket", "no socket"), "socket", "socket")
        rows = max(1, len(data), len(fresh))
        for name, boxes in (("site", fresh), ("socket", [socket]), ("service", [box]), ("data", data)):
            start = y + (rows - len(boxes)) * (_HEIGHT + _GAP) / 2
            for number, item in enumerate(boxes):
                item.y = start + number * (_HEIGHT + _GAP)
            columns[name] += boxes
        socket.to, box.to = [box], data + known
        for site in service.get("nginx", {}).get("sites", []):
            source = sites[(" ".join(site.get("server_names", [])) or "any name", " ".join(site.get("listen", [])))]
            if socket not in source.to:
                source.to.append(socket)
        y += rows * (_HEIGHT + _GAP) + 8
    return _svg(columns, y, plan["host"])


def _svg(columns: dict[str, list[_Box]], height: float, host: str) -> str:
    heads = {"site": "NGINX SITES", "socket": "SOCKETS", "service": "SERVICES", "data": "STATE AND NEEDS"}
    parts = [f'<text class="column" x="{_COLUMNS[name][0] + 2}" y="14">{head}</text>' for name, head in heads.items()]
    boxes = [box for name in columns for box in columns[name]]
    parts += [_line(box, other) for box in boxes for other in box.to]
    parts += [_rect(box) for box in boxes]
    label = escape(f"Drawing of {host}: nginx sites lead over sockets to services, services to their state and needs", quote=True)
    return f'<svg viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" role="img" aria-label="{label}">{"".join(parts)}</svg>'


def _line(left: _Box, right: _Box) -> str:
    x1, x2 = sum(_COLUMNS[left.column]), _COLUMNS[right.column][0]
    y1, y2 = left.y + _HEIGHT / 2, right.y + _HEIGHT / 2
    middle = (x1 + x2) / 2
    return f'<path d="M{x1} {y1:.0f} C{middle:.0f} {y1:.0f} {middle:.0f} {y2:.0f} {x2} {y2:.0f}"/>'


def _rect(box: _Box) -> str:
    x, width = _COLUMNS[box.column]
    frame = f'x="{x + 1}" y="{box.y:.0f}" width="{width - 2}" height="{_HEIGHT}" rx="7"'
    return (f'<g><title>{escape(box.title)}</title><rect {frame} style="stroke: var(--{escape(box.colour)})"/>'
            f'<text class="title" x="{x + 12}" y="{box.y + 18:.0f}">{escape(_cut(box.title, width))}</text>'
            f'<text class="small" x="{x + 12}" y="{box.y + 34:.0f}">{escape(_cut(box.text, width))}</text></g>')


def _cut(text: str, width: int) -> str:
    """Text that fits the box: the middle makes room, for names differ at their ends."""
    room = (width - 22) // 8
    return text if len(text) <= room else text[:room // 2 - 1] + "…" + text[-(room - room // 2):]
