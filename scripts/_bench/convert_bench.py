"""``./scripts/bench convert``: what a container costs beside the host's own process, what the move costs, and what it does to requests.

    ./scripts/bench convert                    everything, medians of five; writes .cache/bench/convert.json
    ./scripts/bench convert --quick            two rounds instead of five
    ./scripts/bench convert --only PART...     only these parts: speed, switch, time, image, hosts
    ./scripts/bench convert --hosts N          how many hosts "hosts" has (10)
    ./scripts/bench convert --suite SUITE      what the hosts are made of (bookworm)

The services are the smallest there is (a greeting of five bytes, the system's Python as environment): whatever a container adds is most visible there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import ROOT, BenchError, apt_install, control, engine, hosts, logged, output, say, setup_lock
from .figures import Figure, Measured, finish, line
from .timing import Series, measure, p99, peak_memory, rounds, spans

HERE = ROOT / "scripts/_bench/convert-bench"
APP = ROOT / "tests/faults/apps/hello"
ASK = ROOT / "scripts/_bench/discover-bench/ask_steadily.py"
PARTS = ("speed", "switch", "time", "image", "hosts")
PREFIX = os.environ.get("WEBSTACK_HOST_PREFIX", "webstack") + "-convert"
RATE, STEADY = 200, 400
"""Requests a second while services move, and while none does."""

TEN = 10
PACKAGES = ("python3", "uwsgi-core", "uwsgi-plugin-python3")
SLIM = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*", "/usr/share/groff/*", "/usr/share/lintian/*", "/usr/share/linda/*")
"""What debian:bookworm-slim leaves out (debuerreotype, .slimify-excludes)."""

UNITS_ALIKE = """cpu=/sys/fs/cgroup/cpu; [ ! -e $cpu/docker ] || {
  systemctl set-property --runtime cron.service CPUWeight=100 && systemctl daemon-reexec && echo 1024 > $cpu/docker/cpu.shares; }"""
"""A group for processors of each unit and one of the containers, all of one weight: what cgroup v2 has on a host whose engine runs a container
(systemd.resource-control(5), CPUWeight=: siblings of a unit that has one get one too). Under cgroup v1 the processes of all units would be in one."""

FORGET = "docker image ls --quiet --filter label=gantry.webstack.service | sort -u | xargs --no-run-if-empty docker image rm --force"


class Bench(Measured):
    """The hosts, the runs, and the figures."""

    prefix, place = PREFIX, "convert"

    def host(self, name: str, names: list[str], *, venv: bool = False) -> str:
        """A fresh host with these services, an engine and a plan; ``venv``: the services have environments of their own, with nothing in them."""
        container = self.started(name)
        self.on(container, "sh", "-c", UNITS_ALIKE)
        self.install([container], names, venv=venv)
        self.run("discover", [container])
        return container

    def install(self, containers: list[str], names: list[str], *, venv: bool = False) -> None:
        """Services alike, and an engine."""
        (self.work / "requirements.txt").write_text("", encoding="utf-8")
        options = {"module": "wsgi:application", "processes": 2, "threads": 4, "listen": 1000, **({} if venv else {"virtualenv": "/usr"})}
        services = [{"name": name, "code": {"path": f"/srv/{name}/current", "source": str(APP)}, "environment": {"GREETING": "hello"},
                     "uwsgi": {"options": options}, **({"python": {"requirements": str(self.work / "requirements.txt")}} if venv else {})} for name in names]
        path = self.work / f"services-{len(names)}.json"
        path.write_text(json.dumps({"webstack_services": services}), encoding="utf-8")
        (self.work / "engine.yml").write_text("- {hosts: all, gather_facts: false, roles: [{role: gantry.webstack.engine}]}\n", encoding="utf-8")
        measure(self.argv("install", containers, "-e", f"@{path}"))
        measure(self.argv(str(self.work / "engine.yml"), containers))

    def argv(self, playbook: str, containers: list[str], *words: str) -> list[str]:
        """An ansible-playbook command."""
        each = {name: {"ansible_host": name, "ansible_connection": "community.docker.docker", "ansible_python_interpreter": "/usr/bin/python3"}
                for name in containers}
        inventory = self.work / f"{containers[0]}-{len(containers)}.json"
        inventory.write_text(json.dumps({"all": {"hosts": each}}), encoding="utf-8")
        name = playbook if playbook.endswith(".yml") else f"gantry.webstack.{playbook}"
        plans = f"webstack_plan_dir={self.work}/plans"
        return [control.tool("ansible-playbook"), "--forks", str(len(containers)), "-i", str(inventory), name, "-e", plans, *words]

    def run(self, playbook: str, containers: list[str], *words: str) -> float:
        """Seconds of a run that must succeed."""
        return measure(self.argv(playbook, containers, *words)).wall

    @staticmethod
    def on(container: str, *argv: str) -> str:
        """What a command on a host prints; it must succeed."""
        return measure(["docker", "exec", container, *argv]).output

    def add(self, name: str, value: float, bound: float | None = None, unit: str = "", samples: Mapping[str, Series] | None = None, *,
            least: bool = False) -> None:
        """Note a figure and tell it."""
        figure = Figure(name, value, bound, unit, {key: series.samples for key, series in (samples or {}).items()}, least)
        self.figures.append(figure)
        say(line(figure))

    # The parts.

    def speed(self) -> None:
        """Two services alike on one host, one of them in a container: as many requests as go through, one side after the other."""
        pair = self.host("pair", ["bare", "boxed"])
        self.run("convert", [pair], "-e", "webstack_select=boxed")
        loads: dict[str, list[tuple[float, float]]] = {"bare": [], "boxed": []}

        def load(name: str) -> float:
            loads[name].append(saturate(hosts.address(pair), name))
            return loads[name][-1][0]

        for name in loads:
            saturate(hosts.address(pair), name)  # warm
        found = rounds(4 * self.count, {"bare": lambda: load("bare"), "boxed": lambda: load("boxed")})
        tails = {name: Series([tail for dummy, tail in some]) for name, some in loads.items()}
        self.add("requests/s at saturation, container : bare", found["boxed"].median / found["bare"].median, 0.97, samples=found, least=True)
        self.add("p99 at saturation, container : bare", tails["boxed"].median / tails["bare"].median, 1.1, samples=tails)

        steady = {name: Series() for name in loads}
        for dummy in range(2 * self.count):
            asked = self.asked(pair, 10, ",".join(steady), STEADY)  # in turn, so that whatever slows the machine meets both sides
            for name, series in steady.items():
                series.samples.append(p99([item[1] for item in asked if item[2] == name]))
        self.add(f"p99 at {STEADY}/s, container : bare", steady["boxed"].median / steady["bare"].median, 1.1, samples=steady)
        memory = {name: Series([size / 1024]) for name, size in self.memory(pair, ["bare", "boxed"]).items()}
        self.add("memory of one service alone in a container (PSS, shim included) - bare", memory["boxed"].median - memory["bare"].median, unit="MiB",
                 samples=memory)
        self.clean()

    def memory(self, container: str, names: list[str]) -> dict[str, float]:
        """KiB of each service on a host."""
        return dict(json.loads(self.on(container, "python3", "-c", (HERE / "pss.py").read_text(encoding="utf-8"), *names)))

    def switch(self) -> None:
        """Latencies of the requests that are sent while the seam changes hands, there and back, and while the control node does something else."""
        one = self.host("moved", ["app01"])
        during: list[float] = []
        before: list[float] = []
        for dummy in range(2 * self.count):
            for playbook, first, last in (("convert", "switching", "host stopped"), ("rollback", "returning", "host")):
                asked = self.asked(one, self.argv(playbook, [one]))
                begin, end = self.moments(one, first, last)
                during += [latency for sent, latency, name in asked if begin - 0.1 <= sent <= end + 0.1]
                before += [item[1] for item in self.asked(one, self.argv(str(self.work / "ping.yml"), [one]))]
        if max(during) >= 30:
            raise BenchError("requests failed while the service moved")
        self.add(f"p99 during the switch ({len(during)} requests at {RATE}/s) : before", p99(during) / p99(before), 2,
                 samples={"during": Series([p99(during)]), "before": Series([p99(before)])})
        self.clean()

    def asked(self, container: str, meanwhile: Sequence[str] | float, name: str = "app01", rate: float = RATE) -> list[tuple[float, float, str]]:
        """[sent, latency, name] of the requests while a command runs that must succeed, or for some seconds."""
        argv = [sys.executable, str(ASK), hosts.address(container), str(rate), name]
        with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
            time.sleep(0.5)
            if isinstance(meanwhile, float | int):
                time.sleep(meanwhile)
            else:
                measure(meanwhile)
            return list(map(tuple, json.loads(client.communicate("")[0])))

    def moments(self, container: str, first: str, last: str) -> tuple[float, float]:
        """When two events were last noted in the journal."""
        events = json.loads(self.on(container, "cat", "/var/lib/webstack/app01/journal.json"))["events"]
        when = {item["event"]: item["at"] for item in events}
        return when[first], when[last]

    def time(self) -> None:
        """A move of one service and of ten, with the engine there and the image not; and the memory of ten on either side."""
        names = [f"app{number:02}" for number in range(1, TEN + 1)]
        one, ten = self.host("one", names[:1]), self.host("ten", names)
        builds, backs = Series(), Series()
        memory = {"bare": Series(), "boxed": Series()}

        def weigh(side: str) -> None:
            for name in names:
                self.asked(ten, 0.5, name, 20)
            memory[side].samples.append(sum(self.memory(ten, names).values()) / TEN / 1024)

        def move(container: str) -> float:
            self.on(container, "sh", "-c", FORGET)
            if container == ten:
                weigh("bare")
            wall, tasks, dummy = spans(self.argv("convert", [container]))
            if container == ten:
                weigh("boxed")
            back = self.run("rollback", [container])
            if container == one:
                builds.samples.append(next(seconds for task, seconds in tasks.items() if task.startswith("Harvest ")))
                backs.samples.append(back)
            return wall

        found = rounds(self.count, {"one": lambda: move(one), "ten": lambda: move(ten)})
        self.add("convert, one small service, warm", found["one"].median, 20, "s", {"one": found["one"]})
        self.add("of it the image", builds.median, 5, "s", {"image": builds})
        self.add("convert, ten services on one host : one", found["ten"].median / found["one"].median, 3, samples=found)
        self.add("rollback, one service", backs.median, 5, "s", {"rollback": backs})
        self.add("memory of one of ten services in a container (PSS, shim included) - bare", memory["boxed"].median - memory["bare"].median, 5, "MiB", memory)
        self.clean()

    def image(self) -> None:
        """The size of what is not the application's own, and of the same packages on a slim base, both as unpacked files."""
        host = self.host("image", ["app01"], venv=True)
        text = measure([*self.argv("convert", [host]), "-e", "webstack_until=image", "-vv"]).output
        layers = dict.fromkeys(re.findall(r'"kind": "system",\s+"size": (\d+),\s+"title": "([^"]+)"', text))
        if not layers:
            raise BenchError("convert told no layers")
        say(", ".join(f"{title}: {int(size) / 1e6:.1f} MB" for size, title in layers))
        ours = sum(int(size) for size, dummy in layers) / 1e6
        slim = slim_size(self.options.suite) / 1e6
        self.add("image, uWSGI and Python without the application", ours, 90, "MB")
        self.add(f"the same : a slim base with the same packages ({slim:.0f} MB)", ours / slim, 0.7)
        self.clean()

    def hosts(self) -> None:
        """Some hosts in one run; then again with one whose plan says what cannot be."""
        count = self.options.hosts
        names = [self.started(f"host{number}") for number in range(count)]
        self.install(names, ["app01"])
        self.run("discover", names)
        for playbook in ("convert", "rollback"):
            self.add(f"control node's peak memory (PSS), {playbook} of {count} hosts", peak_memory(self.argv(playbook, names)), unit="MiB")
        self.add("control node's peak memory (PSS), convert of one host", peak_memory(self.argv("convert", names[:1])), unit="MiB")
        self.run("rollback", names[:1])
        bad = self.work / "plans" / f"{names[-1]}.yml"
        text = bad.read_text(encoding="utf-8")
        bad.write_text(re.sub(r"(?m)^( +)status: 200$", r"\1status: 418", text, count=1), encoding="utf-8")
        done = subprocess.run([*self.argv("convert", names), "-e", "convert_timeout=5"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        failed = set(re.findall(r"(?m)^(\S+) +: .*failed=[1-9]", done.stdout))
        if failed != {names[-1]}:
            raise BenchError(f"{sorted(failed)} failed, not {names[-1]} alone:\n{done.stdout[-3000:]}")
        moved = sum("containers=1" in self.on(name, "sh", "-c", "echo containers=$(docker ps --quiet | wc -l)") for name in names)
        self.add(f"hosts of {count} that moved, beside one that failed", moved, count - 1, "hosts", least=True)
        bad.write_text(text, encoding="utf-8")
        self.clean()


def saturate(address: str, name: str) -> tuple[float, float]:
    """Requests a second and p99 in seconds of wrk with 32 connections for 5 s. Raises BenchError when a request failed."""
    text = measure(["wrk", "-t", "1", "-c", "32", "-d", "5s", "--latency", "-H", f"Host: {name}.test", f"http://{address}/"]).output
    if "Non-2xx" in text or "Socket errors" in text:
        raise BenchError(f"requests to {name} failed:\n{text}")
    found, tail = re.search(r"Requests/sec: +([\d.]+)", text), re.search(r"99% +([\d.]+)(us|ms|s)", text)
    if found is None or tail is None:
        raise BenchError(f"wrk said:\n{text}")
    return float(found[1]), float(tail[1]) * {"us": 1e-6, "ms": 1e-3, "s": 1.0}[tail[2]]


def slim_size(suite: str) -> float:
    """Bytes in the files of a minimal Debian with the packages, less what debian:SUITE-slim leaves out."""
    excludes = [f"--dpkgopt=path-exclude={path}" for path in SLIM]
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "slim.tar"
        logged(["mmdebstrap", "--variant=minbase", *excludes, f"--include={','.join(PACKAGES)}", suite, str(path)], "bench",
               hint="Look whether this machine reaches Debian's package mirrors, and run again.")
        with tarfile.open(path) as tar:
            return sum(member.size for member in tar if member.isfile() and not member.name.startswith(("./var/lib/apt/lists", "./var/cache/apt")))


def _options(words: list[str]) -> argparse.Namespace:
    parse = argparse.ArgumentParser(prog="./scripts/bench convert", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--quick", action="store_true")
    parse.add_argument("--only", nargs="+", choices=PARTS, default=PARTS)
    parse.add_argument("--hosts", type=int, default=10)
    parse.add_argument("--suite", default="bookworm")
    return parse.parse_args(words)


def main(words: list[str]) -> int:
    """Measure, print, write; the code says whether it could be measured, never how fast it was."""
    options = _options(words)
    with setup_lock():
        control.setup()
        engine.setup()
    missing = [name for name in ("wrk", "mmdebstrap") if output(["sh", "-c", f"command -v {name}"]) is None]
    if missing:
        apt_install(*missing)
    started = time.time()
    bench = Bench(options)
    parts: dict[str, Any] = {name: getattr(bench, name) for name in PARTS}
    try:
        for name in PARTS:
            if name in options.only:
                say(name)
                parts[name]()
    finally:
        bench.clean()
    finish("convert", bench.figures, started, bench.count, options.suite)
    return 0
