# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the services of all hosts run, as one page in the style of the report. It holds the time of the look, so it differs from run to run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.report_text import badge, code, count, frame, items, tiles

Found = Mapping[str, Sequence[Mapping[str, Any]] | None]
"""By host, the services of status_info; None for a host that was not looked at, since it was not reached or failed."""

_AT_REST = {"host", "switched", "candidate", "proven"}
"""Phases in which nothing is half done."""

_NEVER = "not looked at"


def page(found: Found, at: str) -> str:
    """The whole page. ``at``: when the hosts were looked at, in words."""
    rows = [(host, service) for host, services in found.items() for service in services or []]
    wrong = [host for host, services in found.items() if services is None]
    numbers = [(len(found), "host" if len(found) == 1 else "hosts", ""), (len(rows), "service" if len(rows) == 1 else "services", ""),
               (sum(service["runtime"] == "container" for dummy, service in rows), "in containers", "ready"),
               (sum(service["runtime"] != "container" for dummy, service in rows), "on the host", ""),
               (sum(bool(service["problem"]) for dummy, service in rows), "with a problem", "blocked")]
    numbers += [(len(wrong), _NEVER, "blocked")] if wrong else []
    header = (f'<header><p class="eyebrow">Where the web services run</p><h1>{count(len(found), "host")}</h1>'
              f'<p class="soft">As seen at {escape(at)}</p></header>')
    return frame("Where the web services run", f'{header}{tiles(numbers)}<section id="services">{_table(wrong, rows)}</section>')


def status_of(service: Mapping[str, Any]) -> str:
    """What the filter's buttons call it."""
    return "problem" if service["problem"] else service["runtime"]


def _table(wrong: list[str], rows: list[tuple[str, Mapping[str, Any]]]) -> str:
    if not wrong and not rows:
        return '<div class="card soft">These hosts have no service that was installed or moved by gantry.webstack.</div>'
    statuses = ["problem"] * len(wrong) + [status_of(service) for dummy, service in rows]
    held = [status for status in ("problem", "container", "host") if status in statuses]
    buttons = "".join(f'<button type="button" value="{status}" aria-pressed="{str(not status).lower()}">{status or "all"}'
                      f"<i>{statuses.count(status) if status else len(statuses)}</i></button>" for status in ("", *held))
    filters = (f'<div class="filters" data-rows="services">{buttons}<input type="search" placeholder="Search hosts, services and images" '
               'aria-label="Search hosts, services and images"><output></output></div>')
    ordered = sorted(rows, key=lambda row: (not row[1]["problem"], row[0], row[1]["service"]))
    body = "".join(_unseen(host) for host in sorted(wrong)) + "".join(_line(host, service) for host, service in ordered)
    head = "<thead><tr><th>Service</th><th>Host</th><th>Runs in</th><th>Answers</th><th>Container and image</th><th>Since</th></tr></thead>"
    return f'<div class="card">{filters}<table class="stack">{head}<tbody>{body}</tbody></table></div>'


def _unseen(host: str) -> str:
    return (f'<tr data-status="problem"><td colspan="2">{escape(host)}</td><td colspan="4">{badge(_NEVER, "blocked")} '
            "it was not reached, or the look failed; the run's own output says why</td></tr>")


def _line(host: str, service: Mapping[str, Any]) -> str:
    problem = service["problem"]
    answers = f'{badge("no", "blocked")} {escape(problem)}' if problem else badge("yes", "ready")
    cells = [escape(service["service"]), escape(host), _runs_in(service), answers, _container(service), _when(service.get("since", ""))]
    labels = ["", ' data-label="on"', ' data-label="runs in"', ' data-label="answers:"', "", ' data-label="since"']
    body = "".join(f"<td{label if cell else ''}>{cell}</td>" for label, cell in zip(labels, cells, strict=True))
    return f'<tr data-status="{escape(status_of(service))}">{body}</tr>'


def _when(text: str) -> str:
    """A time of status_info as it fits into a column: 2026-11-24T10:11:12Z as 2026-11-24 10:11 UTC."""
    day, dummy, clock = text.partition("T")
    return escape(f"{day} {clock[:5]} UTC") if clock else escape(text)


def _runs_in(service: Mapping[str, Any]) -> str:
    notes = [service["phase"]] if service["phase"] not in _AT_REST else []
    notes += [f"host {service['host_stack']}"] if service.get("host_stack", "ready") != "ready" else []
    colour = "kept" if service["runtime"] == "container" else ""
    return badge(service["runtime"], colour) + (f' <span class="soft">{escape(", ".join(notes))}</span>' if notes else "")


def _container(service: Mapping[str, Any]) -> str:
    """The container with what is not as usual, its image, and the images that are kept to go back to."""
    lines = []
    if service.get("container"):
        unusual = [word for word in (service.get("state", ""), service.get("health", "")) if word not in ("", "running", "healthy")]
        unusual += [f"restarted {count(service['restarts'], 'time')}"] if service.get("restarts") else []
        lines.append(code(service["container"]) + (f' <span class="soft">{escape(", ".join(unusual))}</span>' if unusual else ""))
    kept = [item for item in service.get("images", []) if not item["current"]]
    running = next((item["tag"] for item in service.get("images", []) if item["current"]), service.get("image", ""))
    if service.get("container") and running:
        lines.append(code(running))
    if kept:
        lines.append(f"<details><summary>{count(len(kept), 'image')} to go back to</summary>"
                     + items([f"{code(item['tag'])} <span class=\"soft\">{_when(item['since'])}</span>" for item in kept], fold=99) + "</details>")
    return "<br>".join(line for line in lines if not line.startswith("<details")) + "".join(line for line in lines if line.startswith("<details"))
