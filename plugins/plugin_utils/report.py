# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host as one HTML page that opens from disk: nothing is loaded. Everything from the plan, the ledger and the evidence is escaped."""

from __future__ import annotations

from html import escape
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils import report_parity
from ansible_collections.gantry.webstack.plugins.plugin_utils.convert_steps import steps
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Plan, Service
from ansible_collections.gantry.webstack.plugins.plugin_utils.report_drawing import drawing
from ansible_collections.gantry.webstack.plugins.plugin_utils.report_text import (
    VERDICTS,
    Sizes,
    badge,
    code,
    count,
    each,
    frame,
    human,
    items,
    link,
    listen_text,
    size_of,
    tiles,
)

Ledger = list[dict[str, Any]]

STATUSES = ("unexplained", "external", "kept", "converted")
"""In the order in which somebody has to look at them."""


def page(plan: Plan, ledger: Ledger | None = None, sizes: Sizes | None = None, edits: list[dict[str, str]] | None = None, file: str = "",
         parity: list[report_parity.Told] | None = None) -> str:
    """The whole page. The same input always gives the same text.

    :param ledger: everything on the host, each {kind, what, status, service?, app_server?, evidence}; what the plan says of it unless given.
    :param sizes: {path: {bytes, complete}} of state, code and virtual environments, from the evidence.
    :param edits: where a person's plan differs from what was found, each {place, plan, found}.
    :param file: the plan's file, beside the page.
    :param parity: what the parity gate told of the host's services when they were converted last.
    """
    sizes = sizes or {}
    rows = from_plan(plan) if ledger is None else ledger
    services = plan["services"]
    parts = [
        _header(plan, rows),
        f'<section id="drawing"><h2>How requests travel</h2><div class="card drawing">{drawing(plan, sizes)}</div></section>',
        _verdicts(services, sizes),
        _edits(edits or []),
        '<section id="services"><h2>Services</h2>' + "".join(_service(service, sizes) for service in services) + "</section>" if services else "",
        report_parity.section([told for told in parity or [] if told["service"] in {service["name"] for service in services}]),
        _ledger(rows, whole=ledger is not None),
        f'<footer>{link(file, file) + ", which this page shows · " if file else ""}{link("index.html", "all hosts")}</footer>',
    ]
    return frame(f"{plan['host']}: web services", "\n".join(part for part in parts if part))


def from_plan(plan: Plan) -> Ledger:
    """The ledger as far as a plan alone tells it."""
    return [{**finding, "status": status} for status in ("unexplained", "external", "kept") for finding in plan.get(status, [])]


def _header(plan: Plan, rows: Ledger) -> str:
    edge, services = plan.get("edge", {}), plan["services"]
    verdicts = [service.get("fit", {}).get("verdict") for service in services if service.get("runtime") != "container"]
    moved = len(services) - len(verdicts)
    movable = sum(verdict in ("ready", "remarks") for verdict in verdicts)
    numbers = [(len(services), "service" if len(services) == 1 else "services", ""), (movable, "can be converted", "ready"),
               (verdicts.count("blocked"), "blocked", "blocked")]
    numbers += [(moved, "in containers", "")] if moved else []
    numbers += [(sum(row["status"] == status for row in rows), status, "blocked" if status == "unexplained" else "")
                for status in ("kept", "external", "unexplained")]
    told = [f"nginx {escape(edge['version'])}" if edge.get("version") else "", code(edge["config"]) if edge.get("config") else "",
            f"workers run as {escape(edge['user'])}" if edge.get("user") else ""]
    jumps = [("drawing", "Drawing")] + ([("verdicts", "Verdicts"), ("services", "Services")] if services else []) + [("ledger", "Ledger")]
    return (f'<header><p class="eyebrow">Web services on</p><h1>{escape(plan["host"])}</h1><p class="soft">{", ".join(filter(None, told))}</p></header>'
            f'{tiles(numbers)}<nav class="jump">{"".join(link("#" + name, text) for name, text in jumps)}</nav>')


def verdict_badge(service: Service) -> str:
    """A service's verdict, or that it has moved."""
    if service.get("runtime") == "container":
        return badge("in a container", "ready")
    verdict = service.get("fit", {}).get("verdict", "")
    return badge(VERDICTS.get(verdict, verdict), verdict) if verdict else ""


def _verdicts(services: list[Service], sizes: Sizes) -> str:
    if not services:
        return ""
    body = ""
    for service in services:
        reasons = service.get("fit", {}).get("reasons", [])
        why = "<br>".join(escape(reason) for reason in reasons[:2]) + (f'<br><span class="soft">and {len(reasons) - 2} more</span>' if len(reasons) > 2 else "")
        known = [size_of(sizes, item["path"]) for item in service.get("state", [])]
        total = sum(sizes[item["path"]]["bytes"] for item in service.get("state", []) if size_of(sizes, item["path"]))
        size = f'<td class="number" data-label="State">{human(total)}</td>' if any(known) else '<td class="number"></td>'
        body += f'<tr><td>{link("#service-" + service["name"], service["name"])}</td><td>{verdict_badge(service)}</td>{size}<td>{why}</td></tr>'
    head = '<thead><tr><th>Service</th><th>Convert</th><th class="number">State</th><th>Why</th></tr></thead>'
    return _table("verdicts", "Verdicts", "", f'<table class="stack">{head}<tbody>{body}</tbody></table>')


def _table(name: str, title: str, lead: str, table: str) -> str:
    lead = f'<p class="lead">{lead}</p>' if lead else ""
    return f'<section id="{name}"><h2>{title}</h2>{lead}<div class="card">{table}</div></section>'


def _edits(edits: list[dict[str, str]]) -> str:
    if not edits:
        return ""
    body = "".join(f'<tr><td>{code(edit["place"])}</td><td data-label="plan:">{escape(edit["plan"])}</td>'
                   f'<td data-label="found:">{escape(edit["found"])}</td></tr>' for edit in edits)
    head = "<thead><tr><th>Place</th><th>The plan says</th><th>Found</th></tr></thead>"
    return _table("edits", "Edited by hand", "The plan says something else here than was found on the host; convert does what the plan says.",
                  f'<table class="stack">{head}<tbody>{body}</tbody></table>')


def _service(service: Service, sizes: Sizes) -> str:
    verdict = service.get("fit", {}).get("verdict", "")
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in service.get("fit", {}).get("reasons", []))
    why = f'<ul class="why {escape(verdict)}">{reasons}</ul>' if reasons else ""
    rows = "".join(f"<tr><th>{label}</th><td>{value}</td></tr>" for label, value in _rows(service, sizes) if value)
    return (f'<article class="card" id="service-{escape(service["name"])}"><div class="head"><h3>{escape(service["name"])}</h3>{verdict_badge(service)}</div>'
            f'{why}<table class="facts">{rows}</table>{_steps(service)}</article>')


def _steps(service: Service) -> str:
    told = steps(service)
    if told:
        body = "".join(f"<li><b>{escape(what)}.</b> {escape(how)}</li>" for what, how in told)
        return f'<details class="fold"><summary>What convert will do, in {count(len(told), "step")}</summary><ol class="steps">{body}</ol></details>'
    if service.get("runtime") == "container":
        return '<h4>Convert has nothing to do here; rollback lets the host\'s own process take the socket again.</h4>'
    return "<h4>Convert refuses this service, for the reasons above, and touches nothing of it.</h4>" if service.get("fit") else ""


def _rows(service: Service, sizes: Sizes) -> list[tuple[str, str]]:
    uwsgi, python, nginx, user = (service.get(key, {}) for key in ("uwsgi", "python", "nginx", "user"))
    health = service.get("health", {})

    def sized(path: str) -> str:
        return code(path) + (f' <span class="soft">{size_of(sizes, path)}</span>' if size_of(sizes, path) else "")

    return [
        ("Asked for at", each(nginx.get("sites"), _site)),
        ("Static files", each(nginx.get("static"), lambda item: f"{code(item['location'])} from {code(item['path'])}")),
        ("Socket", code(uwsgi["socket"]) if uwsgi.get("socket") else ""),
        ("uWSGI", f"{escape(uwsgi.get('version', ''))} ({escape(uwsgi.get('origin', ''))}), {code(uwsgi.get('config', ''))}" if uwsgi.get("binary") else ""),
        ("Kept by", _manager(uwsgi.get("manager", {}))),
        ("User", _user(user) if user else ""),
        ("Code", sized(service["code"]["path"]) if service.get("code", {}).get("path") else ""),
        ("Python", _python(python) + (f", venv {sized(python['venv'])}" if python.get("venv") else "")),
        ("State", each(service.get("state"), lambda item: f"{sized(item['path'])}{_soft(', '.join(filter(None, (item.get('kind'), item.get('evidence')))))}")),
        ("Files", each(service.get("files"), lambda item: f"{sized(item['path'])}{_soft(item.get('evidence'))}")),
        ("Secrets", each(service.get("secrets"), lambda item: f"{code(item['name'])}{_soft(item.get('source'))}")),
        ("Environment", each(list(service.get("environment", {}).items()), lambda item: code("=".join(item)))),
        ("Needs", each(service.get("needs"), lambda item: f"{escape(item['kind'])} {code(item['address'])}{_soft(item.get('unit') or item.get('process'))}")),
        ("Workers", each(service.get("workers"), _worker)),
        ("Schedule", each(service.get("schedule"), _line)),
        ("Tools", each(service.get("tools"), code)),
        ("Health", f"GET {code(health['path'])} answers {health.get('status', 'nothing')}" if health.get("path") else ""),
        ("Patched files", each(python.get("patched"), code)),
        ("Added files", each(python.get("added"), code)),
        ("Without metadata", each(python.get("unowned"), code)),
        ("Without a file list", each(python.get("unverified"), code)),
        ("Editable", each(python.get("editable"), code)),
        ("Installed from", each(python.get("direct_urls"), code)),
        ("Path files", each(python.get("pth"), code)),
        ("Options", _options(uwsgi.get("options", {}))),
        ("Distributions", each(python.get("distributions"), _named, fold=0, noun="distributions", long=True)),
        ("Of the system", each(python.get("shared_distributions"), _named, fold=0, noun="distributions", long=True)),
        ("Packages", each(service.get("system_packages"), _named, fold=0, noun="packages", long=True)),
    ]


def _soft(text: str | None) -> str:
    return f' <span class="soft">{escape(text)}</span>' if text else ""


def _named(item: dict[str, str]) -> str:
    return f"{escape(item['name'])} {escape(item.get('version', ''))}"


def _worker(item: dict[str, str]) -> str:
    return f"{escape(item.get('kind', 'unit'))} {code(item.get('what') or item.get('name', ''))}{_soft(item.get('evidence') or item.get('command'))}"


def _line(item: dict[str, str]) -> str:
    return f"{code(item['when'])} {escape(item.get('user', ''))} {code(item['command'])}{_soft(item.get('source'))}"


def _user(user: dict[str, Any]) -> str:
    return f"{escape(user['name'])} ({user.get('uid', '-')}), group {escape(str(user.get('group', '')))} ({user.get('gid', '-')})"


def _site(site: dict[str, Any]) -> str:
    names = " ".join(site.get("server_names", [])) or "any name"
    return f"{code(names)} on {code(' '.join(map(listen_text, site.get('listen', []))))}, location {code(site.get('location', '/'))}{_soft(site.get('file'))}"


def _manager(manager: dict[str, str]) -> str:
    if manager.get("kind") == "emperor":
        return f"an emperor ({escape(manager.get('unit', ''))}), vassal {code(manager.get('vassal', ''))}"
    return f"the systemd unit {code(manager.get('unit', ''))}" if manager else ""


def _python(python: dict[str, Any]) -> str:
    if not python:
        return ""
    origin = f" ({escape(python['origin'])})" if python.get("origin") else ""
    return f"{escape(python.get('version', ''))} {code(python.get('interpreter', ''))}{origin}"


def _options(options: dict[str, Any]) -> str:
    lines = [f"{key} = {str(value).lower() if isinstance(value, bool) else value}" for key, values in options.items()
             for value in (values if isinstance(values, list) else [values])]
    return items([code(line) for line in lines], fold=0, noun="options", long=True) if lines else ""


def _ledger(rows: Ledger, whole: bool) -> str:
    lead = ("Every listener, process, unit, location, site, cron line and timer of the host, and what becomes of it." if whole
            else "What the plan says of the host beside its services.")
    lead += (" Converted moves with a service, kept stays as it is, external is served or needed and not ours to move; a strict run stops at what is "
             "unexplained.")
    if not rows:
        return _table("ledger", "Ledger", lead, '<span class="soft">Nothing is left to tell.</span>')
    ordered = sorted(rows, key=lambda row: (STATUSES.index(row["status"]) if row["status"] in STATUSES else len(STATUSES), row["kind"], row["what"]))
    held = list(dict.fromkeys(row["status"] for row in ordered))
    kinds = sorted({row["kind"] for row in rows})
    numbers = [("", len(rows)), *((status, sum(row["status"] == status for row in rows)) for status in held)]
    buttons = "".join(f'<button type="button" value="{escape(status)}" aria-pressed="{str(not status).lower()}">{escape(status or "all")}'
                      f"<i>{number}</i></button>" for status, number in numbers)
    choice = "".join(f'<option value="{escape(kind)}">{escape(kind)}</option>' for kind in kinds)
    filters = (f'<div class="filters" data-rows="ledger">{buttons}<select aria-label="Kind"><option value="">every kind</option>{choice}</select>'
               '<input type="search" placeholder="Search" aria-label="Search the ledger"><output></output></div>')
    body = "".join(_entry(row) for row in ordered)
    head = "<thead><tr><th>Status</th><th>Kind</th><th>What</th><th>Belongs to</th><th>Evidence</th></tr></thead>"
    return _table("ledger", "Ledger", lead, f'{filters}<table class="stack rows">{head}<tbody>{body}</tbody></table>')


def _entry(row: dict[str, Any]) -> str:
    status, kind, service = row["status"], row["kind"], row.get("service", "")
    belongs = link("#service-" + service, service) if service else escape(row.get("app_server", ""))
    evidence = "; ".join(part for part in (row.get("evidence", ""), row.get("url") and f"asked for by {row['url']}") if part)
    return (f'<tr data-status="{escape(status)}" data-kind="{escape(kind)}"><td>{badge(status, status)}</td><td>{escape(kind)}</td><td>{code(row["what"])}</td>'
            f'<td>{belongs}</td><td class="soft">{escape(evidence)}</td></tr>')
