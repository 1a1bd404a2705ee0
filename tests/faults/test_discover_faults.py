"""discover on a host that holds what nobody likes to read (hurt.py): each thing is handled, none hides the rest of the host.

A million files and 2 GB logs, links in circles, names with newlines and such that are not UTF-8, FIFOs, processes that end meanwhile, and
configurations of uWSGI, systemd and cron that cannot be read. Two services are compared with what was found of them before.

Alone: eval "$(./scripts/bench env)"; pytest --import-mode=prepend tests/faults/test_discover_faults.py
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _bench import ROOT, hosts
from host import Host

HERE = Path(__file__).parent
PEAK = ROOT / "scripts/_bench/discover-bench/peak.py"
NAME = "hurt"
SECONDS, MEGABYTES = 60, 150
"""Generous in time, since the machine may be busy: a part that walks a million files or reads 2 GB takes longer by far."""


def service(name: str) -> dict[str, Any]:
    return {"name": name, "code": {"path": f"/srv/{name}/current", "source": str(HERE / "apps/hello")}, "python": {"venv": "/usr"},
            "uwsgi": {"options": {"module": "wsgi:application", "processes": 1}}, "environment": {"GREETING": name},
            "state": [{"path": f"/var/lib/{name}/data"}, {"path": f"/var/lib/{name}/many"}],
            "schedule": [{"when": "@yearly", "command": "true"}], "nginx": {"sites": [{"server_names": [f"{name}.test"]}]}}


class Look(Host):
    """The host, its plan before, and what the run afterwards took."""

    before: dict[str, Any]
    after: dict[str, Any]
    seconds: float
    megabytes: float

    def discover(self) -> dict[str, Any]:
        self.play("discover")
        plan: dict[str, Any] = self.plan()
        (self.plans / f"{self.name}.yml").unlink()
        return plan

    def watched(self) -> None:
        """Discover while somebody watches its memory on the host."""
        with PEAK.open(encoding="utf-8") as program:
            argv = ["docker", "exec", "-i", self.container, "python3", "-c", program.read()]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as watcher:
            started = time.monotonic()
            self.after = self.discover()
            self.seconds = time.monotonic() - started
            self.megabytes = int(watcher.communicate("")[0]) / 1024


@pytest.fixture(scope="session", autouse=True)
def load() -> None:
    """None of the other host's load here."""


@pytest.fixture(scope="module", name="look")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Look]:
    """A host with two services, looked at before and after it was hurt."""
    found = Look(NAME, tmp_path_factory.mktemp(NAME))
    hosts.remove(found.container)
    hosts.start(found.container, "bookworm")
    found.play("install", webstack_services=[service("hurt"), service("sound")])
    found.before = found.discover()
    found.run("python3", "-", stdin=(HERE / "hurt.py").read_text(encoding="utf-8"))
    found.watched()
    yield found
    if not os.environ.get("WEBSTACK_KEEP"):
        hosts.remove(found.container)


def of(plan: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in plan["services"] if item["name"] == name)


def test_the_sound_service_is_found_as_before(look: Look) -> None:
    assert of(look.after, "sound") == of(look.before, "sound")


def test_the_hurt_service_is_found_with_all_that_it_had(look: Look) -> None:
    before, after = of(look.before, "hurt"), of(look.after, "hurt")
    for key in ("user", "code", "python", "uwsgi", "nginx", "environment", "schedule", "health"):
        assert after[key] == before[key], key
    assert [item for item in before["state"] if item not in after["state"]] == []


def test_it_takes_neither_long_nor_much(look: Look) -> None:
    assert look.seconds < SECONDS
    assert look.megabytes < MEGABYTES


def test_what_lies_beside_it_is_listed_and_what_was_read_in_part_is_said(look: Look) -> None:
    told = {(item["kind"], item["what"]) for item in look.after["unexplained"]}
    assert {("unit", "short-lived.service"), ("unit", "odd-words.service"), ("cron", "*/0 25 * * * nobody x")} <= told
    assert any(kind == "cron" and what.startswith("1 2 3 4 5 root /bin/") for kind, what in told), told
    assert ("blind", "/srv/hurt/current/huge.py was read in part: it is too large") in told


def test_a_configuration_that_was_broken_since_its_start(look: Look) -> None:
    fit = of(look.after, "sick")["fit"]
    assert fit["verdict"] == "blocked"
    assert any("/etc/sick.ini" in reason for reason in fit["reasons"]), fit


def test_a_plan_and_a_page_were_written_that_hold_everything(look: Look) -> None:
    page = (look.plans / f"{NAME}.html").read_text(encoding="utf-8")
    assert all(f">{name}<" in page for name in ("hurt", "sound", "sick"))
    assert "\0" not in page
