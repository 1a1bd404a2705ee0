# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the parity gate compared, as a file beside the plan and as a section of the host's page. Pure."""

from __future__ import annotations

import json
from html import escape
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.report_text import badge, code, count, items, link

Told = dict[str, Any]
"""One service's part of the result of M(gantry.webstack.parity)."""

_BEGIN, _END = "<!-- parity -->", "<!-- end of parity -->"
"""What stands around the section, so that convert can renew it in a page that discover wrote. Texts from hosts are escaped and never hold these."""


def file_name(name: str) -> str:
    """The file beside the plan of the host whose files have this name."""
    return f"{name}.parity.json"


def loads(text: str | None) -> list[Told]:
    """What the file tells; nothing when there is none, or when it is not ours."""
    try:
        found = json.loads(text or "{}")["services"]
        return [told for told in found if isinstance(told["service"], str) and isinstance(told["differences"], list)]
    except (ValueError, KeyError, TypeError):
        return []


def dumps(host: str, services: list[Told]) -> str:
    """The file's text."""
    return json.dumps({"host": host, "services": services}, indent=1, ensure_ascii=False) + "\n"


def merged(known: list[Told], fresh: list[Told]) -> list[Told]:
    """What is known now: each service as it was compared last."""
    by_name = {told["service"]: told for told in [*known, *fresh]}
    return [by_name[name] for name in sorted(by_name)]


def put(page: str, services: list[Told]) -> str:
    """A page with this section in place of its own; one without a place for it stays as it is."""
    before, begin, rest = page.partition(_BEGIN)
    dummy, end, after = rest.partition(_END)
    return before + section(services) + after if begin and end else page


def section(services: list[Told]) -> str:
    """The section, and the marks around it; empty between them before the first comparison."""
    if not services:
        return _BEGIN + _END
    head = "<thead><tr><th>Service</th><th>Answers</th><th>Compared</th></tr></thead>"
    body = "".join(f'<tr><td>{link("#service-" + told["service"], told["service"])}</td><td>{_verdict(told)}</td><td>{_compared(told)}</td></tr>'
                   for told in services)
    found = "".join(_differences(told) for told in services if told["differences"])
    lead = ("What convert asked host, container and host again when it last compared them. What differs between the host's own answers is noise; "
            "every other difference stops it.")
    return (f'{_BEGIN}<section id="parity"><h2>Parity</h2><p class="lead">{lead}</p><div class="card"><table class="stack">{head}<tbody>{body}</tbody></table>'
            f"</div>{found}</section>{_END}")


def _verdict(told: Told) -> str:
    number = len(told["differences"])
    return badge(count(number, "difference"), "blocked") if number else badge("the same", "ready")


def _compared(told: Told) -> str:
    kinds = ", ".join(f"{kind} {number}" for kind, number in told.get("kinds", {}).items())
    text = escape(f"{count(told.get('requests', 0), 'request')}: {kinds}")
    if told.get("trees"):
        text += escape(f"; {count(told['trees'], 'static tree')} with {count(told.get('files', 0), 'file')} of the image")
    silent = told.get("unanswered", [])
    return text + (f"; not answered by the host itself: {items([code(request) for request in silent], fold=4)}" if silent else "")


def _differences(told: Told) -> str:
    parts = "".join(_difference(item) for item in told["differences"])
    return f'<article class="card"><div class="head"><h3>{escape(told["service"])}</h3>{_verdict(told)}</div>{parts}</article>'


def _difference(item: dict[str, Any]) -> str:
    what = "".join(f"<li>{escape(text)}</li>" for text in item["what"])
    return f'<h4>{code(item["request"])} ({escape(item.get("kind", ""))})</h4><ul class="why blocked">{what}</ul>{_diff(item.get("diff", []))}'


def _diff(lines: list[str]) -> str:
    """Both answers; which line is whose is told by its first sign, as in any diff, and by colour."""
    if not lines:
        return ""
    names = {"-": ' class="host"', "+": ' class="container"'}
    return '<div class="diff">' + "".join(f"<span{names.get(line[:1], '')}>{escape(line)}</span>" for line in lines) + "</div>"
