"""A host that the last release has installed and converted, looked at and moved by the collection as it is now, under one load.

The tests follow one another on one host, in this order.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/faults")]

from _bench import former, hosts
from host import PREFIX, Host

NAME = "upgrade"
WHERE = ["guestbook", "httpbin", "pypiserver"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory for all of it, with the last release in ``former`` (sources) and ``tree`` (installed)."""
    top = tmp_path_factory.mktemp("upgrade")
    former.sources(top / "former")
    former.install(top / "former", top / "tree")
    return top


@pytest.fixture(scope="module")
def host(place: Path) -> Iterator[Host]:
    """The host as the last release leaves it: three services, converted, and a plan that it wrote."""
    name = f"{PREFIX}-{NAME}"
    hosts.remove(name)
    hosts.start(name, "bookworm")
    found = Host(NAME, place)
    apps = place / "former/tests/apps"
    env = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(place / "tree"), "PYTHONPATH": "", "ANSIBLE_NOCOLOR": "1"}
    for playbook in ("install", "discover", "convert"):
        words = ["ansible-playbook", "-i", str(found.inventory), f"gantry.webstack.{playbook}", "-e", f"webstack_plan_dir={found.plans}",
                 "-e", f"@{apps}/services.yml", "-e", f"@{ROOT}/tests/apps/secrets.yml", "-e", f"webstack_apps_dir={apps}"]
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=env, check=False)
        assert done.returncode == 0, done.stdout
    assert found.runtimes() == dict.fromkeys(WHERE, "container")
    yield found
    hosts.remove(name)


@pytest.fixture(scope="module", autouse=True)
def load(host: Host, place: Path) -> Iterator[None]:
    """A load from the first test to the last; not one of its requests may fail."""
    words = [sys.executable, str(ROOT / "tests/load/load.py"), "--address", f"{hosts.address(host.container)}:80", "--rate", "30",
             "--out", str(place / "load.jsonl"), "--summary", str(place / "load.json")]
    process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    yield
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=120)[0]
    assert process.returncode == 0, said
    print(said)


def test_status_knows_its_containers(host: Host) -> None:
    said = host.play("status")
    assert len(re.findall(r"^ +\"(?:guestbook|httpbin|pypiserver) +container +yes ", said, re.MULTILINE)) == 3, said


def test_discover_takes_its_plan_for_nobody_s_edit(host: Host) -> None:
    said = host.play("discover")
    assert "discover found container" not in said, said
    assert {service["name"]: service["runtime"] for service in host.plan()["services"]} == dict.fromkeys(WHERE, "container")


def test_convert_finds_them_where_they_shall_be(host: Host) -> None:
    host.play("convert")  # builds images as it does now, and gives the engine its settings; the services stay where they are
    assert "changed=0" in host.play("convert")


def test_its_journal_leads_back_and_there_again(host: Host) -> None:
    host.play("rollback")
    assert host.runtimes() == dict.fromkeys(WHERE, "host")
    host.play("convert")
    assert host.runtimes() == dict.fromkeys(WHERE, "container")


def test_a_new_version_is_deployed(host: Host, place: Path) -> None:
    """With its definitions, less what the porting guide says, and one lock that has changed."""
    apps = place / "former/tests/apps"
    click = re.search(r"(?m)^click==(?:.*\\\n)+.*$", (apps / "httpbin/requirements.txt").read_text(encoding="utf-8"))
    assert click
    with (apps / "pypiserver/requirements.txt").open("a", encoding="utf-8") as lock:
        lock.write(click[0] + "\n")
    services: list[dict[str, Any]] = yaml.safe_load((apps / "services.yml").read_text(encoding="utf-8"))["webstack_services"]
    for secret in (secret for service in services for secret in service.get("secrets", [])):
        if secret.get("source", "").startswith("uwsgi:"):
            del secret["source"]
    secrets = yaml.safe_load((ROOT / "tests/apps/secrets.yml").read_text(encoding="utf-8"))
    told = {**secrets, "webstack_services": services, "webstack_apps_dir": str(apps)}
    host.play("deploy", **told)
    assert "changed=0" in host.play("deploy", **told)
    assert host.answers() == dict.fromkeys(WHERE, "200")
    container = host.run("docker", "ps", "--quiet", "--filter", "label=gantry.webstack.service=pypiserver")
    host.run("docker", "exec", container, "/srv/pypiserver/code/.venv/bin/python", "-c", "import click")


def test_the_way_back_is_still_there(host: Host) -> None:
    host.play("rollback")
    host.on_the_host()
