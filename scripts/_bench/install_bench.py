"""``./scripts/bench install``: what an install costs, as ratios to something else measured in the same minutes on the same machine.

    ./scripts/bench install                    everything, medians of five; writes .cache/bench/install.json
    ./scripts/bench install --quick            two rounds instead of five
    ./scripts/bench install --only PART...     only these parts: tasks, unchanged, change, first, hosts
    ./scripts/bench install --hosts N          how many hosts "hosts" has beside the one it is compared with (10)
    ./scripts/bench install --services N       how many services the large host has (50)
    ./scripts/bench install --suite SUITE      what the hosts are made of (bookworm)

The hosts have no network when they are installed on: nothing can be downloaded. Their packages lie in apt's cache, the services' one wheel in /opt/wheels.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import time
import zipfile
from collections.abc import Callable
from typing import Any

from . import ROOT, BenchError, control, engine, hosts, logged, output, say, setup_lock
from .figures import Figure, Measured, finish, line
from .timing import Series, measure, peak_memory, rounds

HERE = ROOT / "scripts/_bench/install-bench"
PARTS = ("tasks", "unchanged", "change", "first", "hosts")
PREFIX = os.environ.get("WEBSTACK_HOST_PREFIX", "webstack") + "-bench"
PACKAGES = ("python3", "python3-venv", "uwsgi-core", "uwsgi-plugin-python3", "nginx", "logrotate")
TASKS_BOUND = 15


class Bench(Measured):
    """The hosts, the arguments of the runs, and the figures."""

    prefix, place = PREFIX, "work"

    def __init__(self, options: argparse.Namespace) -> None:
        super().__init__(options)
        self._wheel()

    # The hosts.

    def _wheel(self) -> None:
        """A wheel of one module, and the lock that names it by its hash."""
        files = {"hellolib.py": "VERSION = '1.0'\n", "hellolib-1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: hellolib\nVersion: 1.0\n",
                 "hellolib-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: bench\nRoot-Is-Purelib: true\nTag: py3-none-any\n"}
        files["hellolib-1.0.dist-info/RECORD"] = "".join(f"{name},,\n" for name in [*files, "hellolib-1.0.dist-info/RECORD"])
        path = self.work / "wheels/hellolib-1.0-py3-none-any.whl"
        path.parent.mkdir(exist_ok=True)
        with zipfile.ZipFile(path, "w") as wheel:
            for name, text in files.items():
                wheel.writestr(zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0)), text)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        (self.work / "requirements.txt").write_text(f"hellolib==1.0 --hash=sha256:{digest}\n", encoding="utf-8")
        (self.work / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /opt/wheels\n", encoding="utf-8")

    def host(self, name: str, *flags: str) -> str:
        """A fresh host without a network, with everything local that an install needs."""
        container = self.started(name, *flags)
        self.on(container, "apt-get", "-qq", "install", "--download-only", "--yes", "--no-install-recommends", *PACKAGES)
        logged(["docker", "network", "disconnect", "bridge", container], "bench", hint="")
        copies = [(f"{HERE}/.", "/opt/bench"), (f"{self.work}/wheels", "/opt/wheels"), (f"{self.work}/requirements.txt", "/opt/bench/requirements.txt"),
                  (f"{self.work}/pip.conf", "/etc/pip.conf")]
        for source, target in copies:
            logged(["docker", "cp", source, f"{container}:{target}"], "bench", hint="")
        # Package lists as fresh as on a host that was looked after today.
        self.on(container, "sh", "-c", "touch /var/lib/apt/lists /var/lib/apt/lists/*_*")
        return container

    def clones(self, origin: str, count: int) -> list[str]:
        """Hosts with the same content as ``origin``, booted anew."""
        image = f"{PREFIX}:clone"
        logged(["docker", "commit", origin, image], "bench", hint="")
        names = []
        for number in range(count):
            names.append(self.started(f"clone{number}", "--network", "none", image=image))
        return names

    @staticmethod
    def on(container: str, *argv: str) -> str:
        """What a command on a host prints; it must succeed."""
        return measure(["docker", "exec", container, *argv]).output

    def clean(self) -> None:
        """Remove every host that was made."""
        super().clean()
        output(["docker", "image", "rm", "--force", f"{PREFIX}:clone"])

    # The runs.

    def services(self, count: int, greeting: str = "hello") -> list[dict[str, Any]]:
        """``count`` services alike; the last one has another greeting."""
        lock = str(self.work / "requirements.txt")
        made: list[dict[str, Any]] = [
            {"name": name, "code": {"path": f"/srv/{name}/current", "source": str(self.work / "code")}, "python": {"requirements": lock},
             "uwsgi": {"options": {"module": "wsgi:application", "processes": 1}}, "environment": {"GREETING": "hello"}}
            for name in (f"app{number:02}" for number in range(1, count + 1))]
        made[-1]["environment"] = {"GREETING": greeting}
        return made

    def argv(self, playbook: str, containers: list[str], count: int = 1, greeting: str = "hello") -> list[str]:
        """An ansible-playbook command over hosts with ``count`` services each."""
        inventory = self.work / f"{containers[0]}-{len(containers)}.json"
        each = {name: {"ansible_host": name, "ansible_connection": "community.docker.docker", "ansible_python_interpreter": "/usr/bin/python3"}
                for name in containers}
        inventory.write_text(json.dumps({"all": {"hosts": each}}), encoding="utf-8")
        code = self.work / "code"
        code.mkdir(exist_ok=True)
        (code / "wsgi.py").write_bytes((HERE / "wsgi.py").read_bytes())
        definitions = self.work / f"services-{count}-{greeting}.json"
        definitions.write_text(json.dumps({"webstack_services": self.services(count, greeting)}), encoding="utf-8")
        return [control.tool("ansible-playbook"), "--forks", str(max(1, len(containers))), "-i", str(inventory), playbook, "-e", f"@{definitions}"]

    def install(self, containers: list[str], count: int, greeting: str = "hello", *, changed: bool | None = None) -> tuple[float, float]:
        """Run the playbook; (seconds, seconds of processor time). ``changed`` is what its recap must say."""
        run = measure(self.argv("gantry.webstack.install", containers, count, greeting))
        some = any(int(number) for number in re.findall(r"changed=(\d+)", run.output))
        if changed is not None and some != changed:
            raise BenchError(f"install of {count} services on {containers[0]} {'changed something' if some else 'changed nothing'}:\n{run.output[-2000:]}")
        return run.wall, run.cpu

    def ping(self, containers: list[str]) -> float:
        return measure(self.argv(str(self.work / "ping.yml"), containers)).wall

    def add(self, name: str, value: float, bound: float | None = None, unit: str = "", **samples: Series) -> None:
        """Note a figure and tell it."""
        figure = Figure(name, value, bound, unit, {key: series.samples for key, series in samples.items()})
        self.figures.append(figure)
        say(line(figure))

    # The parts.

    def tasks(self, one: str, many: str) -> None:
        for container, count in ((one, 1), (many, self.options.services)):
            recap = re.search(r"ok=(\d+)", measure(self.argv("gantry.webstack.install", [container], count)).output)
            ran = int(recap[1]) if recap else 0  # changed ones are among them, skipped ones are not
            self.add(f"tasks of a no-change install, {count} service{'s'[:count > 1]}", ran, TASKS_BOUND - 1, "tasks")

    def unchanged(self, one: str, many: str) -> None:
        count = self.options.services
        measured = rounds(self.count, {
            "ping": lambda: self.ping([many]),
            "one": lambda: self.install([one], 1, changed=False)[0],
            "many": lambda: self.install([many], count, changed=False)[0],
        })
        ping, few, lots = (measured[name] for name in ("ping", "one", "many"))
        self.add(f"no change, {count} services : 1 service", lots.median / few.median, 1.5, many=lots, one=few)
        self.add(f"no change, {count} services : one ping task", lots.median / ping.median, 3, many=lots, ping=ping)
        self.add("no change, 1 service : one ping task", few.median / ping.median)

    def change(self, many: str) -> None:
        count = self.options.services
        last, greetings = f"app{count:02}", iter(f"hello{number}" for number in range(100))
        measured = rounds(self.count, {
            "change": lambda: self._change(many, next(greetings)),
            "reload": lambda: float(self.on(many, "python3", "/opt/bench/ask.py", "reload", last)),
            "unchanged": lambda: self.install([many], count, self._greeting, changed=False)[0],
        })
        change, reload, none = (measured[name] for name in ("change", "reload", "unchanged"))
        self.add(f"one changed vassal of {count} : no change + its reload", change.median / (none.median + reload.median), 1.2,
                 change=change, reload=reload, unchanged=none)
        self.install([many], count, changed=True)

    _greeting = "hello"

    def _change(self, many: str, greeting: str) -> float:
        self._greeting = greeting
        return self.install([many], self.options.services, greeting, changed=True)[0]

    def first(self) -> None:
        count = self.options.services
        measured = rounds(self.count, {"playbook": lambda: self._first(self._by_playbook), "script": lambda: self._first(self._by_script)})
        playbook, script = measured["playbook"], measured["script"]
        self.add(f"first install, {count} services : a shell script", playbook.median / script.median, 1.3, playbook=playbook, script=script)

    def _first(self, installer: Callable[[str], float]) -> float:
        host = self.host("first")
        taken = installer(host)
        self.on(host, "python3", "/opt/bench/ask.py", "all", str(self.options.services))
        hosts.remove(host)
        return taken

    def _by_playbook(self, host: str) -> float:
        return self.install([host], self.options.services, changed=True)[0]

    def _by_script(self, host: str) -> float:
        return measure(["docker", "exec", host, "/opt/bench/install.sh", str(self.options.services)]).wall

    def many_hosts(self) -> None:
        count, services = self.options.hosts, 10
        origin = self.host("origin")
        self.install([origin], services)
        clones = self.clones(origin, count)
        self.install(clones, services)  # the first run after a boot may find something to do
        measured = rounds(self.count, {
            "one": lambda: self.install(clones[:1], services, changed=False)[1],
            "all": lambda: self.install(clones, services, changed=False)[1],
        })
        one, several = measured["one"], measured["all"]
        self.add(f"control node's CPU per host, {count} hosts ({services} services each, forks={count}) : 1 host",
                 several.median / count / one.median, 1.0, all=several, one=one)
        for hosts_of_run in (clones[:1], clones):
            peak = peak_memory(self.argv("gantry.webstack.install", hosts_of_run, services))
            self.add(f"control node's peak memory (PSS), {len(hosts_of_run)} host{'s'[:len(hosts_of_run) > 1]}", peak, unit="MiB")


def _options(words: list[str]) -> argparse.Namespace:
    parse = argparse.ArgumentParser(prog="./scripts/bench install", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--quick", action="store_true")
    parse.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parse.add_argument("--hosts", type=int, default=10)
    parse.add_argument("--services", type=int, default=50)
    parse.add_argument("--suite", default="bookworm")
    return parse.parse_args(words)


def _run(bench: Bench, only: set[str]) -> None:
    if only & {"tasks", "unchanged", "change"}:
        count = bench.options.services
        say(f"one host with 1 service, one with {count}")
        one, many = bench.host("one"), bench.host("many")
        bench.install([one], 1, changed=True)
        bench.install([many], count, changed=True)
        if "tasks" in only:
            bench.tasks(one, many)
        if "unchanged" in only:
            bench.unchanged(one, many)
        if "change" in only:
            bench.change(many)
        bench.clean()
    if "first" in only:
        say("first installs, each on a fresh host")
        bench.first()
    if "hosts" in only:
        say(f"{bench.options.hosts} hosts")
        bench.many_hosts()


def main(words: list[str]) -> int:
    """Measure, print, write; the code says whether it could be measured, never how fast it was."""
    options = _options(words)
    with setup_lock():
        control.setup()
        engine.setup()
    started = time.time()
    bench = Bench(options)
    try:
        _run(bench, set(options.only))
    finally:
        bench.clean()
    finish("install", bench.figures, started, bench.count, options.suite)
    return 0
