"""The demo's bare host: its inventory, the playbooks run on it, its journals and files, and the load put on it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

from _bench import CACHE, LOGS, ROOT, BenchError, control, hosts, logged, output

HOME = CACHE / "demo"
PLANS = HOME / "plans"
APPS = ROOT / "tests/apps"
LOAD = ROOT / "tests/load"
ROOM = {"nginx_events": {"worker_connections": 4096}, "nginx_main": {"worker_rlimit_nofile": 16384}}
"""Debian's 768 connections are 1.7 s of the demo's load, each request having two: a machine that stands still for longer would be seen as failed requests."""


class Host:
    """One bare host by its container's name."""

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def address(self) -> str:
        """Its IP address; another one after a restart, maybe."""
        return hosts.address(self.name)

    def write_inventory(self) -> None:
        """What ansible-playbook needs to reach it."""
        PLANS.mkdir(parents=True, exist_ok=True)
        variables = {
            "ansible_connection": "community.docker.docker",
            "ansible_python_interpreter": "/usr/bin/python3",
            "webstack_plan_dir": str(PLANS),
        }
        inventory = {"all": {"hosts": {self.name: variables}}}
        (HOME / "inventory.json").write_text(json.dumps(inventory, indent=2) + "\n", encoding="utf-8")

    def play_command(self, playbook: str) -> list[str]:
        """The command that runs one of the collection's playbooks on the host."""
        words = [control.tool("ansible-playbook"), "-i", str(HOME / "inventory.json"), f"gantry.webstack.{playbook}"]
        if playbook == "install":
            words += ["-e", f"@{APPS / 'services.yml'}", "-e", f"@{APPS / 'secrets.yml'}", "-e", f"webstack_apps_dir={APPS}", "-e", json.dumps(ROOM)]
        return words

    def play(self, playbook: str) -> None:
        """Run one of the collection's playbooks; its output goes to a log file. Raises BenchError when it fails."""
        logged(self.play_command(playbook), f"demo-{playbook}", timeout=1800,
               hint="The host is left as it is, to be looked at; run the demo again, or remove it with ./scripts/demo --down.")

    def run(self, *argv: str) -> str | None:
        """What a command on the host prints; None when it fails."""
        return output(["docker", "exec", self.name, *argv])

    def journals(self, names: list[str]) -> dict[str, dict[str, Any]]:
        """The journal of each service; empty for one that was never moved."""
        return {name: json.loads(self.run("cat", f"/var/lib/webstack/{name}/journal.json") or "{}") for name in names}

    def image_size(self, journal: dict[str, Any]) -> int | None:
        """Bytes of the image that a journal names."""
        image = journal.get("candidate", {}).get("image")
        size = self.run("docker", "image", "inspect", "--format", "{{.Size}}", image) if image else None
        return int(size) if size else None

    def ticks(self) -> str:
        """The log of the guestbook's scheduled job."""
        return (self.run("cat", "/srv/guestbook/data/ticks.log") or "") + "\n"


def task_of(log: str) -> str:
    """The name of the task that an ansible-playbook is at, from what it has printed so far."""
    path = LOGS / f"{log}.log"
    if not path.is_file():
        return ""
    with path.open("rb") as handle:
        handle.seek(max(path.stat().st_size - 20000, 0))
        text = handle.read().decode("utf-8", errors="replace")
    found = re.findall(r"^(?:TASK|RUNNING HANDLER) \[(?:[\w.]+ : )?(.*)\] \*+$", text.rpartition("\n$ ")[2], re.MULTILINE)
    return found[-1] if found else ""


class Load:
    """The load generator as a process of its own; it also ends when this process does not stop it by ``stop``."""

    def __init__(self, address: str, rate: float) -> None:
        self.records = HOME / "load.jsonl"
        self.ledger = HOME / "load.ledger"
        self.summary = HOME / "load.json"
        self.log = LOGS / "demo-load.log"
        LOGS.mkdir(parents=True, exist_ok=True)
        with self.log.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                [control.tool("python"), str(LOAD / "load.py"), "--address", f"{address}:80", "--rate", str(rate), "--out", str(self.records),
                 "--ledger", str(self.ledger), "--summary", str(self.summary), "--every", "1"],
                stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, start_new_session=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})

    def state(self) -> str:
        """The counts so far, as one line."""
        lines = self.log.read_text(encoding="utf-8").splitlines()
        counts = [line for line in lines if " requests" in line] or lines
        return " ".join(counts[-1].split()) if counts else ""

    def require_running(self) -> None:
        """Raises BenchError when it has ended by itself."""
        if self.process.poll() is not None:
            raise BenchError(f"the load generator has ended (code {self.process.returncode}): {self.state()}\n  whole log: {self.log}")

    def stop(self) -> None:
        """End it and wait until its last requests are answered and its summary is written."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(timeout=60)


def check(address: str, ledger: Path, ticks: str, since: float, until: float) -> tuple[bool, str]:
    """Whether everything that was acknowledged is there and each minute had its tick; and what tests/load/check.py says."""
    path = HOME / "ticks.log"
    path.write_text(ticks, encoding="ascii")
    done = subprocess.run([control.tool("python"), str(LOAD / "check.py"), "--address", f"{address}:80", "--ledger", str(ledger), "--ticks", str(path),
                           "--since", str(since), "--until", str(until)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    return done.returncode == 0, (done.stdout + done.stderr).strip()
