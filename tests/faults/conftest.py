"""One bare host with the three services of tests/apps and a load on it; every test leaves the services on the host, answering."""

from __future__ import annotations

import bisect
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest
from host import ROOT, Host


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Host:
    """The host, with the plan of its services at hand."""
    found = Host(os.environ["WEBSTACK_HOSTS"], tmp_path_factory.mktemp("faults"))
    found.play("discover")
    return found


@pytest.fixture(scope="session")
def begun() -> list[tuple[float, str]]:
    """When each test began (epoch seconds), and its name."""
    return []


@pytest.fixture(autouse=True)
def begins(begun: list[tuple[float, str]], request: pytest.FixtureRequest) -> None:
    """Note this test."""
    begun.append((time.time(), request.node.name))


@pytest.fixture(scope="session", autouse=True)
def load(host: Host, begun: list[tuple[float, str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A steady load from the first test to the last; not one of its requests may fail."""
    directory = tmp_path_factory.mktemp("load")
    address = subprocess.run(["docker", "inspect", "-f", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", host.container],
                             capture_output=True, text=True, check=True).stdout.strip()
    words = [sys.executable, str(ROOT / "tests/load/load.py"), "--address", f"{address}:80", "--rate", "60", "--out", str(directory / "load.jsonl"),
             "--summary", str(directory / "load.json")]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[0]
    records = map(json.loads, (directory / "load.jsonl").read_text(encoding="utf-8").splitlines())
    failed = [f"{record['service']} {record['kind']} in {begun[max(bisect.bisect(begun, (record['at'], '')) - 1, 0)][1]}: {record['error']}"
              for record in records if record["error"]]
    assert process.returncode == 0, "\n".join([said, *failed[:5]])


@pytest.fixture
def pristine(host: Host) -> Iterator[Host]:
    """Services on the host and a fresh plan; afterwards the same."""
    host.on_the_host()
    text = (host.plans / f"{host.name}.yml").read_text(encoding="utf-8")
    yield host
    (host.plans / f"{host.name}.yml").write_text(text, encoding="utf-8")
    if "container" in host.runtimes().values():
        host.play("rollback")
    host.on_the_host()
