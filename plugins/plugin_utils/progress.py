# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run has come to, host by host: events in, lines out. Pure: the time is an argument, and nothing is printed here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ansible_collections.gantry.webstack.plugins.plugin_utils import progress_text as text
from ansible_collections.gantry.webstack.plugins.plugin_utils.progress_channel import News

COLLECTION = "gantry.webstack."

PHASES = {"evidence_info": "discover", "image_harvest": "image", "python_trees": "python", "python_venvs": "python", "uwsgi_check": "uwsgi",
          "uwsgi_vassals": "uwsgi", "nginx_sites": "nginx", "engine_daemon": "engine", "webapps": "code", "webapp_commands": "commands",
          "systemd_units": "units", "status_info": "status", "definitions": "check", "lookahead": "look ahead"}
"""Phases of our modules whose own names are not what a person would call them."""

BESIDE = {"add_host", "assert", "debug", "fail", "gather_facts", "group_by", "import_role", "import_tasks", "include_role", "include_tasks", "include_vars",
          "meta", "pause", "set_fact", "set_stats", "setup", "validate_argument_spec"}
"""Actions that are no work on a host: they neither begin nor end a phase."""


def phase_of(action: str, role: str = "") -> str:
    """The phase to which a task belongs, or nothing. ``action``: a module's full name; ``role``: a role's, or nothing."""
    name = action.rpartition(".")[2]
    if action.startswith(COLLECTION):
        return PHASES.get(name, name.replace("_", " "))
    return "" if name in BESIDE else role.rpartition(".")[2] or "other tasks"


class Line(NamedTuple):
    """A line that stays, and what kind it is: ok, changed, failed, soft or nothing."""

    text: str
    kind: str = ""


@dataclass
class Service:
    """What is known of one service."""

    runtime: str = ""
    image_bytes: int | None = None
    compared: int | None = None
    failed: int | None = None
    problem: str = ""


@dataclass
class Host:
    """What is known of one host; times in seconds of the clock that the caller has."""

    name: str
    phase: str = ""
    spent: float = 0.0
    worked: bool = False
    changed: bool = False
    notes: list[str] = field(default_factory=list)
    began: float | None = None
    at: int = 0
    step: str = ""
    news: News | None = None
    told: float = 0.0
    phases: dict[str, float] = field(default_factory=dict)
    services: dict[str, Service] = field(default_factory=dict)
    failure: str = ""

    def elapsed(self, now: float) -> float:
        """Seconds in the phase at which it is."""
        return self.spent + (now - self.began if self.began is not None else 0.0)

    def forget(self) -> None:
        """Leave the phase at which it is."""
        self.phase, self.spent, self.worked, self.changed, self.notes, self.began = "", 0.0, False, False, [], None


class Run:
    """One run of ansible-playbook."""

    def __init__(self, check: bool = False) -> None:
        self.check = check
        self.hosts: dict[str, Host] = {}
        self.steps: dict[str, int] = {}
        self.started: float | None = None
        self.width = 0

    def play(self, name: str, hosts: Iterable[str], steps: Iterable[str], now: float) -> list[Line]:
        """A play begins. ``steps``: the ids of its tasks that are known by now, in their order."""
        lines = self.finish(now)
        self.started = now if self.started is None else self.started
        self.steps = {step: number for number, step in enumerate(dict.fromkeys(steps), 1)}
        for host in self.hosts.values():
            host.at = 0
        names = list(hosts)
        self.width = max(self.width, *map(len, names), 0)
        count = text.count(len(names), "host")
        return [*lines, Line(f"{name} ({', '.join([count, *(['check mode: nothing is written'] if self.check else [])])})")]

    def starting(self, host: str, phase: str, step: str, now: float) -> list[Line]:
        """A task begins on a host; ``phase`` as of phase_of."""
        known = self.hosts.setdefault(host, Host(host))
        self.width = max(self.width, len(host))
        known.at, known.step, known.news = self.steps.get(step, known.at), step, None
        lines = []
        if phase != known.phase:
            lines = self._leave(known)
            known.phase, known.told = phase, now
        known.began = now if phase else None
        return lines

    def ended(self, host: str, action: str, result: Mapping[str, Any], now: float) -> None:
        """A task has ended well on a host, or was skipped, which is told by an empty result."""
        known = self.hosts.setdefault(host, Host(host))
        if known.began is not None:
            known.spent, known.began = known.elapsed(now), None
        known.changed = known.changed or bool(result.get("changed"))
        known.worked = known.worked or bool(result)
        if action.startswith(COLLECTION) and result:
            learn(known.services, action[len(COLLECTION):], result)
            note = text.note(action[len(COLLECTION):], result)
            known.notes += [note] if note and note not in known.notes else []

    def heard(self, news: News) -> None:
        """A task that is at work on a host has told how far it is; what comes late is of another task."""
        known = self.hosts.get(news.host)
        if known is not None and known.step == news.step:
            known.news = news if news.what else None

    def failed(self, host: str, task: str, result: Mapping[str, Any], now: float, ignored: bool = False, action: str = "") -> list[Line]:
        """A task has failed on a host, or the host could not be reached."""
        self.ended(host, action, {key: value for key, value in result.items() if key != "changed"}, now)
        known = self.hosts[host]
        phase, seconds, sentence = known.phase, known.spent, text.sentence(result)
        known.forget()
        if phase:
            known.phases[phase] = known.phases.get(phase, 0.0) + seconds
        if ignored:
            return [Line(f"{host}  {sentence} (ignored, as the task {task!r} says)", "soft")]
        known.failure = f"FAILED{f' at {phase}' if phase else ''}: {sentence}"
        where = f" at {phase} after {seconds:.1f} s," if phase else ""
        return [Line(f"{host}  FAILED{where} in the task {task!r}", "failed"), Line(f"  {sentence}", "failed"),
                *(Line(f"  {detail}") for detail in text.details(result))]

    def finish(self, now: float) -> list[Line]:
        """Every host leaves the phase at which it is."""
        del now
        return [line for host in self.hosts.values() for line in self._leave(host)]

    def _leave(self, host: Host) -> list[Line]:
        if not host.phase:
            return []
        phase, spent, changed, notes, worked = host.phase, host.spent, host.changed, host.notes, host.worked
        host.forget()
        if not worked:
            return []  # all of its tasks were skipped
        host.phases[phase] = host.phases.get(phase, 0.0) + spent
        told = ("would change" if self.check else "changed") if changed else "as it is"
        return [Line(f"{host.name.ljust(self.width)}  {phase.ljust(text.PHASE_WIDTH)} {spent:6.1f} s  {'; '.join([*notes, told])}",
                     "changed" if changed else "ok")]

    def waiting(self, now: float, every: float) -> list[Line]:
        """Where no terminal shows it: hosts that have been at a phase for another ``every`` seconds."""
        lines = []
        for host in self.hosts.values():
            if host.began is not None and now - host.told >= every:
                host.told = now
                lines.append(Line(f"{host.name.ljust(self.width)}  {host.phase.ljust(text.PHASE_WIDTH)} {host.elapsed(now):6.0f} s so far", "soft"))
        return lines

    def live(self, now: float, turn: int, columns: int, rows: int, fancy: bool = True) -> list[str]:
        """What a terminal shows while hosts work: a line for each, the longest at work first, no longer than ``columns``, no more than ``rows``."""
        working = sorted((host for host in self.hosts.values() if host.began is not None), key=lambda host: host.began or 0.0)
        shown = working if len(working) <= rows else working[:max(1, rows - 1)]
        mark = text.spinner(turn, fancy)
        lines = [f"{mark} {host.name.ljust(self.width)}  {host.phase.ljust(text.PHASE_WIDTH)} {host.elapsed(now):6.0f} s  "
                 f"{self._far(host, fancy)}" for host in shown]
        if len(working) > len(shown):
            lines.append(f"  and {text.count(len(working) - len(shown), 'more host')}")
        return [line[:columns - 1] for line in lines]

    def _far(self, host: Host, fancy: bool) -> str:
        if host.news is None:
            return text.meter(host.at - 1, len(self.steps), fancy) + self._of(host)
        dummy, dummy, what, done, total = host.news
        amount = f"{min(done, total) / 1e6:.0f} of {text.size(total)}  " if total else ""  # before the words, which a narrow terminal cuts
        return f"{text.meter(done, total, fancy) or ' ' * text.BAR_WIDTH}  {amount}{text.clean(what)}"

    def _of(self, host: Host) -> str:
        step = f"  step {host.at} of {len(self.steps)}" if self.steps and host.at else ""
        return step + (f"  {text.count(len(host.services), 'service')}" if host.services else "")

    def tables(self, now: float) -> list[Line]:
        """The end: what runs where, the seconds of each phase, and what has failed."""
        lines = [Line("")]
        if any(host.services for host in self.hosts.values()):
            lines += [Line(row) for row in text.columns(self._services(), left=3)] + [Line("")]
        phases = list(dict.fromkeys(phase for host in self.hosts.values() for phase in host.phases))
        if phases:
            head = ["seconds", *phases, "all"]
            body = [[host.name, *(f"{host.phases[phase]:.1f}" if phase in host.phases else "-" for phase in phases), f"{sum(host.phases.values()):.1f}"]
                    for host in self.hosts.values()]
            lines += [Line(row) for row in text.columns([head, *body], left=1)] + [Line("")]
        bad = [host for host in self.hosts.values() if host.failure]
        took = now - self.started if self.started is not None else 0.0
        lines += [Line(f"{host.name}  {host.failure}", "failed") for host in bad]
        good = f"{text.count(len(self.hosts) - len(bad), 'host')} done" + (f", {len(bad)} failed" if bad else "")
        return [*lines, Line(f"{good}, in {took:.1f} s", "failed" if bad else "ok")]

    def _services(self) -> list[list[str]]:
        """Rows with a head; a column that nothing is known of is left out."""
        items = [(host.name, name, service) for host in self.hosts.values() for name, service in sorted(host.services.items())]
        cells: list[tuple[str, list[str]]] = [
            ("host", [host for host, dummy, item in items]), ("service", [name for dummy, name, item in items]),
            ("runs in", [item.runtime or "?" for *dummy, item in items]),
            ("image", [text.size(item.image_bytes) for *dummy, item in items]),
            ("compared", [text.number(item.compared) for *dummy, item in items]),
            ("failed", [text.number(item.failed) for *dummy, item in items]),
            ("answers", [item.problem for *dummy, item in items])]
        kept = [(head, column) for head, column in cells if any(cell not in ("", "-") for cell in column)]
        return [[head for head, dummy in kept], *(list(row) for row in zip(*(column for dummy, column in kept), strict=True))]


def learn(services: dict[str, Service], module: str, result: Mapping[str, Any]) -> None:
    """Take from a module's result what it tells of services."""
    plan = result.get("plan")
    for item in plan.get("services", []) if isinstance(plan, Mapping) else []:
        services.setdefault(item["name"], Service()).runtime = item.get("runtime", "host")
    for item in text.dicts(result.get("images")):
        if "service" in item and module == "image_harvest":
            services.setdefault(item["service"], Service()).image_bytes = item.get("size_bytes")
    for item in text.dicts(result.get("services")):
        if isinstance(item.get("service"), str):
            service = services.setdefault(item["service"], Service())
            service.runtime = item.get("runtime", service.runtime)
            service.problem = item.get("problem") or ("yes" if "problem" in item else service.problem)
            if module == "parity":
                service.compared = item.get("requests", 0) + item.get("files", 0)
    for item in text.dicts(result.get("watched")):
        if "errors" in item:
            service = services.setdefault(item["service"], Service())
            service.failed = (service.failed or 0) + item["errors"]
