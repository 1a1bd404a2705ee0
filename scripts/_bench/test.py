"""Runs the tests, all or a part.

    ./scripts/test                            the parts, and the main scenarios on Debian 12 alone (20 to 60 minutes on 2 cores)
    ./scripts/test all                        the parts, and each scenario on all of its hosts (about an hour), but for what runs when it is named
    ./scripts/test unit                       pytest over tests/unit
    ./scripts/test types                      mypy
    ./scripts/test lint                       ruff, ansible-lint, the roles' READMEs, changelog and documentation
    ./scripts/test package                    the collection's tarball
    ./scripts/test galaxy                     Galaxy's importer over the tarball, and its signature
    ./scripts/test sanity                     ansible-test sanity, over every Python of this machine (a plain run: the oldest and the control node's)
    ./scripts/test report                     the report's pages in a headless browser (about a minute)
    ./scripts/test awx                        the role awx against a stand-in for AWX's API (about a minute)
    ./scripts/test docs                       the documentation's site is built, and each link in it leads somewhere (about a minute)
    ./scripts/test docs-commands              each command of the tutorial and the guides on fresh hosts (about half an hour; not in "everything")
    ./scripts/test property                   generated service lists, without and with a real host (about 3 minutes)
    ./scripts/test faults                     faults injected into convert, rollback and nginx's moves (hours; not in "everything"; a sample: molecule faults)
    ./scripts/test ee                         the execution environment, and jobs in it as AWX runs them (about 8 minutes; not in "everything")
    ./scripts/test upgrade                    a host that the last release converted, taken over by what is here (about 8 minutes; not in "everything")
    ./scripts/test galaxy-server              a Galaxy server: release, installation from there, upgrade (about 5 minutes; not in "everything")
    ./scripts/test matrix                     unit tests, syntax and documentation on each supported ansible-core and Python (not in "everything")
    ./scripts/test molecule [SCENARIO...]     the Molecule scenarios, or the named ones, each on all of its hosts; export, faults, letters, nginx_choice and
                                              suites run only when they are named
    ./scripts/test --keep molecule SCENARIO   the same, leaving the hosts running (and using the ones that run)
    ./scripts/test --down                     remove the scenarios' hosts

Several parts may be named, molecule last; two run at a time, and Molecule after them. Logs are in .cache/logs. Ends with code 0 when nothing failed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial

from . import LOGS, BenchError, control, ecosystem, engine, galaxy_server, guarded, parts, say, scenarios, setup_lock
from .report import Outcome, Report, side_by_side

PARTS = {"sanity": parts.sanity, "property": parts.properties, "unit": parts.unit, "types": parts.types, "lint": parts.lint, "package": parts.package,
         "galaxy": ecosystem.galaxy, "awx": parts.awx, "report": parts.reports, "docs": parts.documentation}
"""In the order in which they begin; the longest first."""

BRIEF: dict[str, Callable[[Report], None]] = {"sanity": partial(parts.sanity, brief=True)}
"""What is shorter in a plain run; see also ``scenarios.DAILY``."""

LONG = {"upgrade": ecosystem.upgrade, "matrix": ecosystem.matrix, "faults": parts.faults, "ee": parts.execution_environment,
        "docs-commands": parts.documented_commands, "galaxy-server": galaxy_server.galaxy_server}
"""What runs only when it is named."""


def _plan(words: list[str]) -> tuple[list[str], list[str] | None]:
    """Words of the command line as (parts, scenarios); scenarios is None when Molecule is not asked for, and empty for all or the daily ones."""
    if not words or words == ["all"]:
        return list(PARTS), []
    if "molecule" in words:
        at = words.index("molecule")
        return _plan_parts(words[:at]), words[at + 1:]
    return _plan_parts(words), None


def _plan_parts(words: list[str]) -> list[str]:
    unknown = [word for word in words if word not in {**PARTS, **LONG}]
    if unknown:
        raise BenchError(f"no part {', '.join(unknown)}; there are {', '.join([*PARTS, *LONG])}, molecule and all")
    return words


def _run(part: str, report: Report, daily: bool) -> None:
    """One part; what keeps it from being run is an outcome like any other."""
    try:
        {**PARTS, **LONG, **(BRIEF if daily else {})}[part](report)
    except BenchError as exc:
        print(f"error: {exc}", file=sys.stderr, flush=True)
        report.add(Outcome(part, 0, 1, 0, "could not be run"))


def main() -> int:
    words = sys.argv[1:]
    if {"-h", "--help", "help"} & set(words):
        print((__doc__ or "").strip())
        return 0
    keep = "--keep" in words
    named = [word for word in words if word not in ("--keep", "--down")]
    wanted, molecule = _plan(named)
    with setup_lock():
        control.setup()
    if "--down" in words:
        engine.setup()
        scenarios.destroy()
        return 0
    say(f"{parts.versions()}; logs in {LOGS}")
    report = Report()
    side_by_side([partial(_run, part, report, daily=not named) for part in wanted])
    if molecule is not None:
        try:
            scenarios.run(report, molecule, keep=keep, daily=not named)
        except BenchError as exc:
            print(f"error: {exc}", file=sys.stderr, flush=True)
            report.add(Outcome("molecule", 0, 1, 0, "could not be run"))
        if os.environ.get("CI") and not keep:
            engine.stop()
    return report.finish()


if __name__ == "__main__":
    sys.exit(guarded(main))
