"""Molecule scenarios: those that share hosts one after the other, and two groups of hosts at a time; some before all others."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Mapping
from functools import partial

from . import CACHE, LOGS, ROOT, BenchError, control, engine, images, output, say, setup_lock
from .report import Outcome, Report, run_logged, side_by_side

SCENARIOS = ROOT / "extensions/molecule"
STATE = CACHE / "molecule"
SUITES = ("bullseye", "bookworm", "trixie")
"""What the hosts in extensions/molecule/inventory/hosts.yml are made of."""

ORDER = ("default", "discover", "convert", "engine", "python", "uwsgi", "nginx", "repository", "webapp", "vassals", "units", "matrix", "deploy", "rollback",
         "edge")
"""Scenarios that run first, in this order; the others follow by name."""

ALONE = ("default", "discover", "convert")
"""What runs before the others, with the machine to itself: the first makes all hosts, the last keeps 220 requests/s on one, the middle comes before it."""

DAILY = ("default", "discover", "convert", "python", "uwsgi", "nginx", "webapp", "deploy", "rollback")
"""What a plain ./scripts/test has, on the hosts with Debian 12 alone: it has to end within an hour and a half on a machine a third as fast as most."""

ASIDE = ("export", "faults", "letters", "nginx_choice", "suites")
"""What runs only when it is named: each takes many minutes."""

DAILY_SUITE, DAILY_HOSTS = "bookworm", "*12"
"""What the hosts of ``DAILY`` are made of, and a pattern of their names."""

TIMEOUT = 5400
"""Seconds for one scenario."""


def names() -> list[str]:
    """Every scenario in the order in which they run."""
    found = {path.parent.name for path in SCENARIOS.glob("*/molecule.yml")}
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


def hosts(name: str) -> str:
    """The pattern of the hosts that a scenario uses: WEBSTACK_HOSTS of its molecule.yml, else of config.yml."""
    texts = [(SCENARIOS / path).read_text(encoding="utf-8") for path in (f"{name}/molecule.yml", "config.yml")]
    return next(found[1] for text in texts if (found := re.search(r"^\s+WEBSTACK_HOSTS: (\S+)", text, re.MULTILINE)))


def groups(wanted: list[str]) -> list[list[str]]:
    """Scenarios by the hosts that they share, in the order in which they run."""
    shared: dict[str, list[str]] = {}
    for name in wanted:
        shared.setdefault(hosts(name), []).append(name)
    return list(shared.values())


class Steps:
    """Follows Molecule's output, tells each step and measures how long it takes."""

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.times: list[tuple[str, float]] = []
        self.missing: list[str] = []

    def line(self, text: str) -> None:
        text = re.sub(r"\x1b\[[0-9;]*m", "", text)
        started = re.search(r"(\w+)\W+Executing$", text.rstrip())
        if started:
            self.times.append((started.group(1), time.monotonic()))
            print(f"    {self.scenario}: {started.group(1)}", flush=True)
        missing = re.search(r"(\w+)\W+Executed: Missing playbook", text)
        if missing and missing.group(1) != "prepare":
            self.missing.append(missing.group(1))

    def note(self) -> str:
        """``create 4, converge 21, ...``: seconds per step."""
        ends = [moment for _name, moment in self.times[1:]] + [time.monotonic()]
        spans = [(name, end - begin) for (name, begin), end in zip(self.times, ends)]
        return ", ".join(f"{name} {span:.0f}" for name, span in spans if span >= 0.5)


def _molecule(*words: str, scenario: str, log: str, steps: Steps | None = None, env: Mapping[str, str] | None = None) -> int:
    # A state directory for each scenario: with one for all, Molecule would run prepare.yml for the first scenario only.
    # WEBSTACK_BARE: create and destroy are the scenario default's, which would take all hosts.
    env = {"MOLECULE_EPHEMERAL_DIRECTORY": str(STATE / scenario), "WEBSTACK_BARE": hosts(scenario), "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1", **(env or {})}
    # A control node is another machine, which takes no processor time from its hosts; they go first here.
    argv = ["nice", "-n", "10", control.tool("molecule"), *words]
    return run_logged(argv, LOGS / f"{log}.log", env=env, timeout=TIMEOUT, on_line=steps.line if steps else None)


def _stop_loads(pattern: str = "all") -> None:
    """Stop the loads that failed scenarios left on these hosts (extensions/molecule/shared/load_starts.yml); each ends by writing its summary."""
    listed = output([control.tool("ansible"), "--inventory", str(SCENARIOS / "inventory"), pattern, "--list-hosts"]) or ""
    left = [place for host in listed.split() for place in STATE.glob(f"load-*{host}")]
    for place in left:
        if (place / "load.jsonl").exists() and not (place / "load.json").exists():
            (place / "stop").touch()
            end = time.monotonic() + 30
            while time.monotonic() < end and not (place / "load.json").exists():
                time.sleep(0.5)


def destroy() -> None:
    """Remove all hosts and forget what Molecule noted about them."""
    say("removing the scenarios' hosts")
    _stop_loads()
    _remove("default")
    shutil.rmtree(STATE, ignore_errors=True)


def _remove(scenario: str) -> None:
    """Remove the hosts of one scenario; all of them for the scenario default."""
    if _molecule("destroy", "-s", scenario, scenario=scenario, log=f"molecule-destroy-{scenario}") != 0:
        raise BenchError(f"the hosts of {scenario} could not be removed; see {LOGS}/molecule-destroy-{scenario}.log, then: docker rm -fv webstack-molecule-...")


def run(report: Report, wanted: list[str], *, keep: bool, daily: bool = False, env: Mapping[str, str] | None = None) -> None:
    """Run scenarios and add an outcome for each: the wanted ones, those of ``DAILY``, or all but those that have to be named.

    ``keep`` leaves the hosts running, and reuses the ones that run; ``env`` is for the scenarios.
    """
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        raise BenchError(f"no Molecule scenario {', '.join(unknown)}; there are {', '.join(names())}")
    with setup_lock():
        engine.setup()
        for suite in (DAILY_SUITE,) if daily else SUITES:
            images.ensure(suite)
    if keep:
        shutil.rmtree(STATE, ignore_errors=True)
    else:
        destroy()
    chosen = [name for name in names() if name in (wanted or DAILY) or not wanted and not daily and name not in ASIDE]
    one = partial(_run_group, report, keep=keep, only=DAILY_HOSTS if daily else "", env=env or {})
    one([name for name in chosen if name in ALONE])
    side_by_side([partial(one, group) for group in groups([name for name in chosen if name not in ALONE])])
    if keep:
        say("the hosts are still there: docker ps --filter label=webstack.bench=molecule; remove them with ./scripts/test --down")
    else:
        destroy()


def _run_group(report: Report, group: list[str], *, keep: bool, only: str, env: Mapping[str, str]) -> None:
    """Scenarios that share hosts, one after the other, on those of their hosts whose names fit a pattern."""
    for name in group:
        say(f"molecule {name}")
        steps = Steps(name)
        log = f"molecule-{name}"
        started = time.monotonic()
        limits = {"WEBSTACK_BARE": f"{hosts(name)}:&{only}", "WEBSTACK_LIMIT": f"{only},localhost"} if only else {}
        code = _molecule("test", "-s", name, "--destroy=never", "--no-command-borders", scenario=name, log=log, steps=steps,
                         env={**env, **limits})
        note = steps.note()
        if steps.missing:
            note += f"; no playbook for {', '.join(steps.missing)}"
        failed = code != 0 or bool(steps.missing)
        report.add(Outcome(f"molecule {name}", int(not failed), int(failed), time.monotonic() - started, note), LOGS / f"{log}.log")
        if failed and not keep:
            _stop_loads(hosts(name))  # the next scenario shall not meet what this one broke
            _remove(name)
