"""A host under test, and runs of playbooks on it that may be killed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts"))

from _bench.timing import tree

APPS = ROOT / "tests/apps"
PREFIX = os.environ.get("WEBSTACK_HOST_PREFIX", "webstack-molecule")
SITES = {"httpbin": ("httpbin.test", "/get"), "pypiserver": ("pypi.test", "/simple/"), "guestbook": ("guestbook.test", "/")}
"""The services of tests/apps: the name of each one's site and a page of it."""


class Play:
    """An ansible-playbook run that is under way."""

    def __init__(self, host: Host, playbook: str, extra: dict[str, Any], *flags: str) -> None:
        self.host = host
        words = ["ansible-playbook", "-i", str(host.inventory), f"gantry.webstack.{playbook}", *flags,
                 "-e", json.dumps({"webstack_plan_dir": str(host.plans), **extra})]
        self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                        start_new_session=True, env={**os.environ, "ANSIBLE_NOCOLOR": "1"})

    def kill(self, *, target: bool) -> None:
        """SIGKILL for ansible-playbook and its children; with ``target`` also for the module that runs on the host."""
        for pid in tree(self.process.pid):  # workers have sessions of their own
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.communicate()
        if target:
            self.host.run("pkill", "-KILL", "--full", self.host.module, check=False)

    def kill_at_task(self, number: int, delay: float, *, target: bool) -> str | None:
        """Kill it some seconds after its task of this number began; the task's name, None when the run has no such task and is over."""
        assert self.process.stdout is not None
        seen = 0
        for line in self.process.stdout:
            seen += line.startswith("TASK [")
            if seen == number:
                time.sleep(delay)
                self.kill(target=target)
                return line[line.find("[") + 1:line.rfind("]")]
        self.process.wait()
        return None

    def wait(self) -> tuple[int, str]:
        """Exit code and output of a run that may end by itself."""
        text = self.process.communicate(timeout=600)[0]
        return self.process.returncode, text


class Host:
    """The host under test, looked at from outside."""

    python = "/usr/bin/python3"
    """What Ansible runs modules with."""

    module = "^/usr/bin/python3$"
    """The command line of a module that runs: a pipelined one is read from standard input."""

    def __init__(self, name: str, directory: Path, sites: Mapping[str, tuple[str, str]] | None = None) -> None:
        self.container, self.plans, self.inventory = f"{PREFIX}-{name}", directory / "plans", directory / "inventory.json"
        variables = {"ansible_connection": "community.docker.docker", "ansible_host": self.container, "ansible_python_interpreter": self.python}
        self.name, self.sites = name, SITES if sites is None else sites
        self.inventory.write_text(json.dumps({"all": {"hosts": {name: variables}}}), encoding="utf-8")

    def run(self, *argv: str, check: bool = True, stdin: str | None = None) -> str:
        """What a command on the host prints."""
        done = subprocess.run(["docker", "exec", "-i", self.container, *argv], input=stdin or "", capture_output=True, text=True, check=False)
        assert not check or done.returncode == 0, f"{argv}: {done.stderr}"
        return done.stdout.strip()

    def play(self, playbook: str, *flags: str, **extra: Any) -> str:
        """Run a playbook to its good end; its output."""
        code, text = Play(self, playbook, extra, *flags).wait()
        assert code == 0, text
        return text

    def refusal(self, playbook: str, *flags: str, **extra: Any) -> str:
        """Run a playbook that must fail; the one message it fails with."""
        code, text = Play(self, playbook, extra, *flags).wait()
        assert code != 0, text
        return sentence(text)

    def begin(self, playbook: str, **extra: Any) -> Play:
        """Start a playbook and do not wait."""
        return Play(self, playbook, extra)

    def journals(self) -> dict[str, dict[str, Any]]:
        """The journal of each service; empty before its first move."""
        lines = self.run("sh", "-c", "cd /var/lib/webstack && for file in */journal.json; do echo; tr -d '\\n' < $file; done", check=False).splitlines()
        found = {journal["service"]["name"]: journal for journal in map(json.loads, filter(None, lines)) if "service" in journal}
        return {name: found.get(name, {"runtime": "host", "phase": "host"}) for name in self.sites}

    def runtimes(self) -> dict[str, str]:
        """Where each service runs, by its journal."""
        return {name: journal["runtime"] for name, journal in self.journals().items()}

    def phases(self) -> set[str]:
        """How far the services have come, by their journals."""
        return {journal["phase"] for journal in self.journals().values()}

    def at_work(self) -> bool:
        """Does a module hold the host's lock?"""
        return self.run("sh", "-c", "flock --nonblock /run/lock/webstack.lock true || echo held", check=False) == "held"

    def containers(self) -> list[str]:
        """The services that have a container, by the engine; running or not."""
        return sorted(self.run("docker", "ps", "--all", "--format", '{{.Label "gantry.webstack.service"}}').split())

    def vassals(self) -> list[str]:
        """The services whose host process is wanted."""
        found = self.run("find", "/etc/webstack/vassals", "-maxdepth", "1", "-not", "-type", "d", "-name", "*.ini", "-printf", "%f\n")
        return sorted(name[:-4] for name in found.split())

    def answers(self) -> dict[str, str]:
        """The status of one page of each service, asked through nginx on the host."""
        return {name: self.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {host}", f"http://127.0.0.1{path}")
                for name, (host, path) in self.sites.items()}

    def until(self, play: Play, condition: Callable[[], bool], what: str) -> None:
        """Poll while the playbook runs; fails the test when it ends before."""
        while not condition():
            assert play.process.poll() is None, f"the playbook ended before {what}: {play.wait()[1]}"

    def plan(self) -> dict[str, Any]:
        """The plan on the control node."""
        return yaml.safe_load((self.plans / f"{self.name}.yml").read_text(encoding="utf-8"))

    def write_plan(self, plan: Any) -> None:
        """Edit the plan, as a person may."""
        (self.plans / f"{self.name}.yml").write_text(yaml.safe_dump(plan, sort_keys=False), encoding="utf-8")

    def on_the_host(self) -> None:
        """Everything is where it was before the test."""
        assert self.answers() == dict.fromkeys(self.sites, "200")
        assert self.runtimes() == dict.fromkeys(self.sites, "host")
        assert self.containers() == []
        assert self.vassals() == sorted(self.sites)


def sentence(text: str) -> str:
    """The messages that a failed run ended with. Raises AssertionError when there is none."""
    found = re.findall(r"(?:\"msg\": \"|^\s*msg: |\[ERROR\]: )(.*?)\"?,?$", text, re.MULTILINE)
    assert found, text
    return " | ".join(found)
