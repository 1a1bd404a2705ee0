"""The host of all tests here, and the playbooks on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from strategies import secrets_of

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
from _bench import hosts

HOST = os.environ.get("WEBSTACK_HOST_PREFIX", "webstack-molecule") + "-property"


def on(*argv: str) -> str:
    """What a command on the host prints; it must succeed."""
    done = subprocess.run(["docker", "exec", HOST, *argv], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{argv}: {done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def inventory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A fresh host."""
    hosts.remove(HOST)
    hosts.start(HOST, "bookworm")
    path = tmp_path_factory.mktemp("property") / "inventory.json"
    variables = {"ansible_connection": "community.docker.docker", "ansible_host": HOST, "ansible_python_interpreter": "/usr/bin/python3"}
    path.write_text(json.dumps({"all": {"hosts": {"property": variables}}}), encoding="utf-8")
    yield path
    hosts.remove(HOST)


def playbook(inventory: Path, name: str, variables: dict[str, Any]) -> int:
    """Run one to its good end; how many tasks changed something."""
    done = subprocess.run(["ansible-playbook", "-i", str(inventory), f"gantry.webstack.{name}", "-e", json.dumps(variables)], stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, check=False, env={**os.environ, "ANSIBLE_NOCOLOR": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    return int(re.findall(r"changed=(\d+)", done.stdout)[0])


def install(inventory: Path, services: list[dict[str, Any]]) -> int:
    """Install a list of services, and remove what is not in it."""
    return playbook(inventory, "install", {"webstack_services": services, "webstack_secrets": secrets_of(services)})
