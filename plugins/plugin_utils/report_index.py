# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fleet's page: a line for each plan in a directory, and sums.

What a plan comes to stands in its line, so that the next run reads only plans that have changed.
"""

from __future__ import annotations

import json
import re
from html import escape, unescape
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Plan
from ansible_collections.gantry.webstack.plugins.plugin_utils.report_text import badge, count, frame, link, tiles

Summary = dict[str, Any]
"""{file, digest, host, services, ready, remarks, blocked, moved, external, kept, unexplained, names}, or {file, digest, problem}."""

_FORM = 1
"""Raised when a summary gets another shape: lines of an older page are not taken over then."""


def summary(file: str, digest: str, plan: Plan) -> Summary:
    """What a plan comes to."""
    services = plan["services"]
    verdicts = ["moved" if service.get("runtime") == "container" else service.get("fit", {}).get("verdict", "") for service in services]
    return {"form": _FORM, "file": file, "digest": digest, "host": plan["host"], "services": len(services),
            **{word: verdicts.count(word) for word in ("ready", "remarks", "blocked", "moved")},
            **{key: len(plan.get(key, [])) for key in ("kept", "external", "unexplained")}, "names": [service["name"] for service in services]}


def problem(file: str, digest: str, why: str) -> Summary:
    """A plan that cannot be read."""
    return {"form": _FORM, "file": file, "digest": digest, "problem": why}


def known(page: str) -> dict[tuple[str, str], Summary]:
    """{(file, digest): summary} of an index that was made before."""
    found = {}
    for text in re.findall(r'<tr data-summary="([^"]*)"', page):
        try:
            item = json.loads(unescape(text))
            if item["form"] == _FORM:
                found[(item["file"], item["digest"])] = item
        except (ValueError, KeyError, TypeError):
            continue
    return found


def index(summaries: list[Summary]) -> str:
    """The page, sorted by host."""
    ordered = sorted(summaries, key=lambda item: (item.get("host", item["file"]), item["file"]))
    good = [item for item in ordered if "problem" not in item]

    def total(key: str) -> int:
        return sum(item[key] for item in good)

    numbers = [(len(ordered), "host" if len(ordered) == 1 else "hosts", ""), (total("services"), "service" if total("services") == 1 else "services", ""),
               (total("ready") + total("remarks"), "can be converted", "ready"), (total("blocked"), "blocked", "blocked")]
    numbers += [(total("moved"), "in containers", "")] if total("moved") else []
    numbers += [(total("kept"), "kept", ""), (total("external"), "external", ""), (total("unexplained"), "unexplained", "blocked")]
    head = ('<thead><tr><th>Host</th><th>Services</th><th>Verdicts</th><th class="number">Kept</th><th class="number">External</th>'
            '<th class="number">Unexplained</th></tr></thead>')
    search = ('<div class="filters" data-rows="hosts"><input type="search" placeholder="Search hosts and services" aria-label="Search hosts and services">'
              "<output></output></div>")
    body = "".join(map(_line, ordered))
    table = (f'<div class="card">{search}<table class="stack hosts">{head}<tbody>{body}</tbody></table></div>' if ordered
             else '<div class="card soft">There is no plan here yet.</div>')
    return frame("Web services of all hosts", f'<header><p class="eyebrow">Web services of</p><h1>{count(len(ordered), "host")}</h1></header>{tiles(numbers)}'
                 f'<section id="hosts">{table}</section>')


def _line(item: Summary) -> str:
    kept = escape(json.dumps(item, sort_keys=True, ensure_ascii=False))
    start = f'<tr data-summary="{kept}">'
    if "problem" in item:
        return f'{start}<td>{link(item["file"], item["file"])}</td><td colspan="5">{badge("cannot be read", "blocked")} {escape(item["problem"])}</td></tr>'
    page = item["file"].rpartition(".")[0] + ".html"
    words = (("ready", "ready", "ready"), ("remarks", "with remarks", "remarks"), ("blocked", "blocked", "blocked"), ("moved", "in containers", "ready"))
    verdicts = [badge(f"{item[key]} {word}", colour) for key, word, colour in words if item[key]]
    counts = "".join(f'<td class="number" data-label="{key}">{item[key]}</td>' for key in ("kept", "external", "unexplained"))
    return (f'{start}<td>{link(page, item["host"])}</td><td>{item["services"]} <span class="soft">{escape(" ".join(item["names"]))}</span></td>'
            f'<td>{" ".join(verdicts)}</td>{counts}</tr>')
