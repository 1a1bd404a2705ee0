# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The support matrix says what the scenarios and the code say; the badges in the README are true."""

from __future__ import annotations

import re

import pytest
import yaml
from _bench import ROOT, ecosystem, scenarios

PAGE = (ROOT / "docs/support-matrix.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEBIANS = {"bullseye": 11, "bookworm": 12, "trixie": 13}
SCENARIOS = [name for name in scenarios.names() if name != "default"]


def table(heading: str) -> list[list[str]]:
    """The rows of the first table below a heading, the first row (which names the columns) included."""
    rows = re.findall(r"(?m)^\|(.*)\|$", PAGE.split(f"## {heading}", 1)[1].split("\n## ", 1)[0])
    return [[cell.strip() for cell in row.split("|")] for row in rows if not re.fullmatch(r"[-| ]+", row)]


def debians(scenario: str) -> set[int]:
    """The Debians of the hosts that a scenario uses."""
    text = (ROOT / "extensions/molecule/inventory/hosts.yml").read_text(encoding="utf-8")
    bare = yaml.safe_load(text)["all"]["children"]["bare"]
    groups = {name: group["hosts"] for name, group in bare["children"].items()}
    hosts = {name: value for group in [*groups.values(), bare["hosts"]] for name, value in group.items()}
    named = scenarios.hosts(scenario)
    return {DEBIANS[hosts[name]["bare_suite"]] for name in groups.get(named, [named])}


def cells() -> list[tuple[str, int, list[str]]]:
    """(what, Debian, scenarios) for each cell of the table of hosts."""
    found = []
    for what, *columns in table("Hosts")[1:]:
        first: list[str] = []
        for debian, cell in zip((11, 12, 13), columns):
            first = first if cell == "the same" else cell.split(", ")
            found.append((what, debian, first))
    return found


@pytest.mark.parametrize(("what", "debian", "named"), cells())
def test_what_is_said_to_be_tested_is(what: str, debian: int, named: list[str]) -> None:
    for scenario in named:
        assert scenario in SCENARIOS, f"{what} on Debian {debian}: no scenario {scenario!r}"
        assert debian in debians(scenario), f"{what}: {scenario} has no host with Debian {debian}"
        if "convert" in what:
            files = [*(ROOT / "extensions/molecule" / scenario).rglob("*.yml"), *(ROOT / f"tests/{scenario}").glob("*.py")]
            assert any(re.search(r"\bconvert\b", path.read_text(encoding="utf-8")) for path in files), f"{scenario} converts nothing"


def test_the_versions_are_those_of_the_matrix() -> None:
    assert {core: tuple(pythons.split(", ")) for core, pythons, dummy in table("Control node")[1:]} == ecosystem.CORES


def test_the_badges_are_true() -> None:
    oldest = yaml.safe_load((ROOT / "meta/runtime.yml").read_text(encoding="utf-8"))["requires_ansible"].removeprefix(">=").removesuffix(".0")
    assert oldest == min(ecosystem.CORES)
    badges = {path.stem.removeprefix("badge-"): path.read_text(encoding="utf-8") for path in (ROOT / "docs/images").glob("badge-*.svg")}
    assert set(badges) == {"license", "ansible-core", "python"} and all(f"docs/images/badge-{name}.svg" in README for name in badges)
    assert "GPL-3.0-or-later" in badges["license"] and "Version 3, 29 June 2007" in (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert f"{min(ecosystem.CORES)} – {max(ecosystem.CORES)}" in badges["ansible-core"]
    pythons = sorted({name for names in ecosystem.CORES.values() for name in names}, key=lambda name: int(name.split(".")[1]))
    assert f"{pythons[0]} – {pythons[-1]}" in badges["python"]
