"""The stand-in for AWX's API, served on the loopback, with the machine credential that the role is told of."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from standin import Server

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """One server for the runs of a module, each of which goes on where the former has ended."""
    made = Server([f"playbooks/{path.name}" for path in (ROOT / "playbooks").glob("*.yml")])
    kind = made.awx.create("credential_types", {"name": "Machine of the test", "kind": "net", "inputs": {}, "injectors": {}})
    made.awx.create("credentials", {"name": "web hosts", "credential_type": kind["id"]})
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
