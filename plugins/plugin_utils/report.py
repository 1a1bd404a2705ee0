# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as one HTML page that opens from disk: nothing is loaded, nothing runs. Everything from the plan is escaped."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Plan, Service
from ansible_collections.gantry.webstack.plugins.plugin_utils.report_drawing import drawing

VERDICTS = {"ready": "ready", "remarks": "ready, with remarks", "blocked": "blocked"}

STYLE = """
:root { --ink: #1d2733; --soft: #5b6776; --paper: #f6f7f9; --card: #ffffff; --line: #d9dee5; --ready: #1f7a4d; --remarks: #9a6700; --blocked: #b3261e;
  --nginx: #2f6f4f; --socket: #6b7280; --service: #2456a6; --state: #7a4b9d; --tint: #eef2f7; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --soft: #9aa6b5; --paper: #12161c; --card: #1a2029; --line: #303a47; --ready: #58c08c;
  --remarks: #e0b04a; --blocked: #f2887f; --nginx: #58c08c; --socket: #9aa6b5; --service: #7aaaf0; --state: #c39be0; --tint: #222a35; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; }
main { max-width: 1120px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 26px; margin: 0; letter-spacing: -.01em; } h2 { font-size: 18px; margin: 40px 0 12px; } h3 { font-size: 17px; margin: 0; }
p { margin: 4px 0; } .soft { color: var(--soft); }
code { font: 13px/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, monospace; overflow-wrap: anywhere; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 14px 0; overflow-x: auto; }
.numbers { display: flex; gap: 12px; flex-wrap: wrap; margin: 20px 0 8px; }
.numbers div { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 10px 18px; min-width: 120px; }
.numbers b { display: block; font-size: 24px; line-height: 1.2; }
.badge { display: inline-block; border-radius: 999px; padding: 1px 10px; font-size: 12.5px; font-weight: 600; border: 1px solid currentColor;
  white-space: nowrap; }
.ready { color: var(--ready); } .remarks { color: var(--remarks); } .blocked { color: var(--blocked); }
.head { display: flex; align-items: baseline; gap: 12px; flex-wrap: wrap; margin-bottom: 8px; }
table { border-collapse: collapse; width: 100%; } th, td { text-align: left; vertical-align: top; padding: 6px 12px 6px 0; border-top: 1px solid var(--line); }
tr:first-child > th, tr:first-child > td { border-top: 0; } th { width: 150px; font-weight: 600; color: var(--soft); white-space: nowrap; }
thead th { border-bottom: 1px solid var(--line); width: auto; } ul { margin: 0; padding-left: 18px; } .plain { list-style: none; padding: 0; }
details summary { cursor: pointer; color: var(--soft); } details[open] summary { margin-bottom: 4px; } nav a { color: var(--service); margin-right: 14px; }
svg { display: block; max-width: 100%; height: auto; } svg text { font: 12.5px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .small { font-size: 11px; fill: var(--soft); } svg .title { font-weight: 600; } svg .column { font-size: 11px; fill: var(--soft); letter-spacing: .06em; }
svg rect { fill: var(--card); stroke-width: 1.4; } svg path { fill: none; stroke: var(--line); stroke-width: 1.6; }
@media print { body { background: #fff; } .card, .numbers div { break-inside: avoid; } details > * { display: block; } }
"""


def page(plan: Plan) -> str:
    """The whole page. The same plan always gives the same text."""
    services = plan["services"]
    external, unexplained = plan.get("external", []), plan.get("unexplained", [])
    host = escape(plan["host"])
    verdicts = [service.get("fit", {}).get("verdict") for service in services]
    edge = plan.get("edge", {})
    movable = sum(verdict in ("ready", "remarks") for verdict in verdicts)
    numbers = [(len(services), "service" if len(services) == 1 else "services"), (movable, "can be converted"),
               (verdicts.count("blocked"), "blocked"), (len(external), "external"), (len(unexplained), "unexplained")]
    links = " ".join(f'<a href="#service-{escape(service["name"])}">{escape(service["name"])}</a>' for service in services)
    parts = [
        f"<header><h1>{host}</h1>",
        f'<p class="soft">nginx {escape(edge.get("version", ""))}, {_code(edge.get("config", ""))}, workers run as {escape(edge.get("user", ""))}</p></header>',
        '<div class="numbers">' + "".join(f"<div><b>{number}</b>{label}</div>" for number, label in numbers) + "</div>",
        f'<section><h2>How requests travel</h2><div class="card">{drawing(plan)}</div></section>',
        f"<section><h2>Services</h2><nav>{links}</nav>" + "".join(_service(service) for service in services) + "</section>",
        _findings("External", "Served or needed, and not moved.", external),
        _findings("Unexplained", "Nobody could say what these belong to; a strict run stops here.", unexplained),
    ]
    body = "\n".join(part for part in parts if part)
    return (f'<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; style-src \'unsafe-inline\'">\n'
            f"<title>{host}: web services</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n")


def _code(text: Any) -> str:
    return f"<code>{escape(str(text))}</code>"


def _items(items: list[str]) -> str:
    """A list of ready-made HTML; long ones fold."""
    if len(items) == 1:
        return items[0]
    body = "<ul class=plain>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"
    return body if len(items) <= 8 else f"<details><summary>{len(items)} entries</summary>{body}</details>"


def _with(text: str, evidence: str | None) -> str:
    return _code(text) + (f' <span class="soft">{escape(evidence)}</span>' if evidence else "")


def _service(service: Service) -> str:
    fit = service.get("fit", {})
    verdict = fit.get("verdict", "")
    badge = f'<span class="badge {escape(verdict)}">{escape(VERDICTS.get(verdict, verdict))}</span>' if verdict else ""
    rows = "".join(f"<tr><th>{label}</th><td>{value}</td></tr>" for label, value in _rows(service) if value)
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in fit.get("reasons", []))
    why = f'<ul class="{escape(verdict)}">{reasons}</ul>' if reasons else ""
    where = "in a container" if service.get("runtime") == "container" else "on the host"
    return (f'<article class="card" id="service-{escape(service["name"])}"><div class="head"><h3>{escape(service["name"])}</h3>{badge}'
            f'<span class="soft">{where}</span></div>{why}<table>{rows}</table></article>')


def _rows(service: Service) -> list[tuple[str, str]]:
    uwsgi, python, nginx, user = (service.get(key, {}) for key in ("uwsgi", "python", "nginx", "user"))
    health = service.get("health", {})
    return [
        ("Asked for at", _each(nginx.get("sites"), _site)),
        ("Static files", _each(nginx.get("static"), lambda item: f"{_code(item['location'])} from {_code(item['path'])}")),
        ("Socket", _code(uwsgi["socket"]) if uwsgi.get("socket") else ""),
        ("uWSGI", f"{escape(uwsgi.get('version', ''))} ({escape(uwsgi.get('origin', ''))}), {_code(uwsgi.get('config', ''))}" if uwsgi.get("binary") else ""),
        ("Kept by", _manager(uwsgi.get("manager", {}))),
        ("User", _user(user) if user else ""),
        ("Code", _code(service["code"]["path"]) if service.get("code") else ""),
        ("Python", _python(python)),
        ("State", _each(service.get("state"), lambda item: _with(item["path"], item.get("evidence")))),
        ("Files", _each(service.get("files"), lambda item: _with(item["path"], item.get("evidence")))),
        ("Secrets", _each(service.get("secrets"), lambda item: _with(item["name"], item["source"]))),
        ("Environment", _each(list(service.get("environment", {}).items()), lambda item: _code("=".join(item)))),
        ("Needs", _each(service.get("needs"), lambda item: f"{escape(item['kind'])} {_code(item['address'])}")),
        ("Workers", _each(service.get("workers"), lambda item: f"{escape(item['kind'])} {_with(item['what'], item.get('evidence'))}")),
        ("Schedule", _each(service.get("schedule"), _line)),
        ("Tools", _each(service.get("tools"), _code)),
        ("Health", f"GET {_code(health['path'])} answers {health.get('status', 'nothing')}" if health.get("path") else ""),
        ("Options", _options(uwsgi.get("options", {}))),
        ("Distributions", _each(python.get("distributions"), _named)),
        ("Packages", _each(service.get("system_packages"), _named)),
    ]


def _each(items: list[Any] | None, shown: Callable[[Any], str]) -> str:
    return _items([shown(item) for item in items]) if items else ""


def _named(item: dict[str, str]) -> str:
    return f"{escape(item['name'])} {escape(item.get('version', ''))}"


def _line(item: dict[str, str]) -> str:
    return f"{_code(item['when'])} {escape(item.get('user', ''))} {_with(item['command'], item.get('source'))}"


def _user(user: dict[str, Any]) -> str:
    return f"{escape(user['name'])} ({user.get('uid', '-')}), group {escape(str(user.get('group', '')))} ({user.get('gid', '-')})"


def _site(site: dict[str, Any]) -> str:
    names = " ".join(site.get("server_names", [])) or "any name"
    return f"{_code(names)} on {_code(' '.join(site.get('listen', [])))}, location {_code(site.get('location', '/'))}" + (
        f' <span class="soft">{escape(site["file"])}</span>' if site.get("file") else "")


def _manager(manager: dict[str, str]) -> str:
    if manager.get("kind") == "emperor":
        return f"an emperor ({escape(manager.get('unit', ''))}), vassal {_code(manager.get('vassal', ''))}"
    return f"the systemd unit {_code(manager.get('unit', ''))}" if manager else ""


def _python(python: dict[str, Any]) -> str:
    if not python:
        return ""
    venv = f", venv {_code(python['venv'])}" if python.get("venv") else ""
    return f"{escape(python.get('version', ''))} {_code(python.get('interpreter', ''))} ({escape(python.get('origin', ''))}){venv}"


def _options(options: dict[str, Any]) -> str:
    lines = [f"{key} = {'true' if value is True else value}" for key, values in options.items() for value in (values if isinstance(values, list) else [values])]
    return f"<details><summary>{len(lines)} options</summary>{'<br>'.join(_code(line) for line in lines)}</details>" if lines else ""


def _findings(title: str, explanation: str, findings: list[dict[str, str]]) -> str:
    if not findings:
        return ""
    rows = "".join(f"<tr><td>{escape(item['kind'])}</td><td>{_code(item['what'])}</td><td class=soft>{escape(item.get('evidence', ''))}</td></tr>"
                   for item in findings)
    head = "<thead><tr><th>Kind</th><th>What</th><th>Evidence</th></tr></thead>"
    return (f'<section><h2>{title}</h2><p class="soft">{explanation}</p><div class="card"><table>{head}<tbody>{rows}</tbody></table></div></section>')
