"""Molecule scenarios, one after the other on the same hosts."""

from __future__ import annotations

import re
import shutil
import time

from . import CACHE, LOGS, ROOT, BenchError, control, engine, images, say, setup_lock
from .report import Outcome, Report, run_logged

SCENARIOS = ROOT / "extensions/molecule"
STATE = CACHE / "molecule"
SUITES = ("bullseye", "bookworm", "trixie")
"""What the hosts in extensions/molecule/inventory/hosts.yml are made of."""

ORDER = ("default", "engine", "python", "uwsgi", "nginx", "repository", "webapp", "vassals", "units", "matrix", "discover", "convert", "rollback")
"""Scenarios that run first, in this order; the others follow by name."""

TIMEOUT = 1800
"""Seconds for one scenario."""


def names() -> list[str]:
    """Every scenario in the order in which they run."""
    found = {path.parent.name for path in SCENARIOS.glob("*/molecule.yml")}
    return [name for name in ORDER if name in found] + sorted(found - set(ORDER))


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


def _molecule(*words: str, scenario: str, log: str, steps: Steps | None = None, timeout: float = TIMEOUT) -> int:
    # A state directory for each scenario: with one for all, Molecule would run prepare.yml for the first scenario only.
    env = {"MOLECULE_EPHEMERAL_DIRECTORY": str(STATE / scenario), "NO_COLOR": "1", "ANSIBLE_NOCOLOR": "1"}
    return run_logged([control.tool("molecule"), *words], LOGS / f"{log}.log", env=env, timeout=timeout, on_line=steps.line if steps else None)


def _stop_loads() -> None:
    """Stop the loads that failed scenarios left behind (extensions/molecule/shared/load_starts.yml); each ends by writing its summary."""
    for place in STATE.glob("load-*"):
        if (place / "load.jsonl").exists() and not (place / "load.json").exists():
            (place / "stop").touch()
            end = time.monotonic() + 30
            while time.monotonic() < end and not (place / "load.json").exists():
                time.sleep(0.5)


def destroy() -> None:
    """Remove the hosts and forget what Molecule noted about them."""
    say("removing the scenarios' hosts")
    _stop_loads()
    if _molecule("destroy", "-s", "default", scenario="default", log="molecule-destroy") != 0:
        raise BenchError(f"the scenarios' hosts could not be removed; see {LOGS}/molecule-destroy.log, then: docker rm -fv webstack-molecule-...")
    shutil.rmtree(STATE, ignore_errors=True)


def run(report: Report, wanted: list[str], *, keep: bool) -> None:
    """Run scenarios and add an outcome for each. ``keep`` leaves the hosts running, and reuses the ones that run."""
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        raise BenchError(f"no Molecule scenario {', '.join(unknown)}; there are {', '.join(names())}")
    with setup_lock():
        engine.setup()
        for suite in SUITES:
            images.ensure(suite)
    if keep:
        shutil.rmtree(STATE, ignore_errors=True)
    else:
        destroy()
    for name in [name for name in names() if not wanted or name in wanted]:
        say(f"molecule {name}")
        steps = Steps(name)
        log = f"molecule-{name}"
        started = time.monotonic()
        code = _molecule("test", "-s", name, "--destroy=never", "--no-command-borders", scenario=name, log=log, steps=steps)
        note = steps.note()
        if steps.missing:
            note += f"; no playbook for {', '.join(steps.missing)}"
        failed = code != 0 or bool(steps.missing)
        report.add(Outcome(f"molecule {name}", int(not failed), int(failed), time.monotonic() - started, note), LOGS / f"{log}.log")
        if failed and not keep:
            destroy()  # the next scenario shall not meet what this one broke
    if keep:
        say("the hosts are still there: docker ps --filter label=webstack.bench=molecule; remove them with ./scripts/test --down")
    else:
        destroy()
