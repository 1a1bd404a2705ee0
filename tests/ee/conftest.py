"""A bare host with one service, reached by SSH with a key of its own, and the execution environment's image."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from job import Controller

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "faults"))
from _bench import hosts
from host import Host

HERE = Path(__file__).resolve().parent

SERVICE = {"name": "hello", "code": {"source": str(HERE.parent / "faults/apps/hello")}, "uwsgi": {"options": {"module": "wsgi:application", "processes": 1}},
           "nginx": {"sites": [{"server_names": ["hello.test"]}]}, "environment": {"GREETING": "hello"}}


@pytest.fixture(scope="session")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """The host, looked at from outside; Ansible's own connection to it is used for the service alone."""
    made = Host("ee", tmp_path_factory.mktemp("ee"), {"hello": ("hello.test", "/")})
    hosts.start(made.container, "bookworm")
    made.run("apt-get", "install", "-y", "--no-install-recommends", "openssh-server", "git")
    made.play("install", webstack_services=[SERVICE])
    yield made
    if not os.environ.get("WEBSTACK_KEEP"):
        hosts.remove(made.container)


@pytest.fixture(scope="session")
def key(host: Host, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A private key that the host lets in."""
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "webstack", "-f", str(path)], check=True)
    host.run("sh", "-c", "mkdir -p -m 700 /root/.ssh && cat > /root/.ssh/authorized_keys", stdin=path.with_suffix(".pub").read_text(encoding="utf-8"))
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def image() -> str:
    """The execution environment, which ./scripts/test has built."""
    return os.environ["WEBSTACK_EE_IMAGE"]


@pytest.fixture(scope="session")
def controller(host: Host, key: str, image: str) -> Controller:
    return Controller(image, key, hosts.address(host.container))
