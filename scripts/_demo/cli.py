"""Three real services on a bare host, moved into containers, back, and into containers again, under load.

Sets up what it needs (the control node's tools, a Docker Engine, the image of a bare host), installs httpbin, pypiserver
and a Django guestbook with the collection, puts about 220 requests/s on them, runs discover, convert, rollback and convert,
and prints a table. Ends with 0 only if no request failed and nothing that was acknowledged is missing. The host is left
running. A second run uses it again. A machine that is slow or has other work can not do 220 requests/s, and requests fail by its own
lateness: give it fewer.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
import time

from _bench import CACHE, LOGS, ROOT, BenchError, control, engine, guarded, hosts, images, output, say, setup_lock
from check import TICK_GRACE
from records import read_records

from .host import HOME, PLANS, Host, Load, check, task_of
from .progress import Step
from .table import render, service_rows

NAME = "webstack-demo"
SERVICES = {"httpbin": "httpbin.test", "pypiserver": "pypi.test", "guestbook": "guestbook.test"}
SUITES = ("bookworm", "trixie")
STEADY = 15.0
"""Seconds of load before the first phase and after each switch."""


def parser() -> argparse.ArgumentParser:
    parse = argparse.ArgumentParser(prog="./scripts/demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--down", action="store_true", help="remove the host, its images, and the results; stop the engine if the demo started it")
    parse.add_argument("--suite", choices=SUITES, help=f"the bare host's Debian (default {SUITES[0]}, or that of the host that is there)")
    parse.add_argument("--rate", type=float, default=os.environ.get("WEBSTACK_DEMO_RATE", "220"),
                       help="requests per second (default %(default)s; the variable WEBSTACK_DEMO_RATE sets it too)")
    return parse


def stop_engine() -> None:
    """End the engine that the demo or the tests started on this machine, and remove what it kept."""
    engine.stop()
    for dummy in range(60):
        if not engine.PIDFILE.exists():
            shutil.rmtree(engine.HOME, ignore_errors=True)
            output(["ip", "link", "delete", engine.BRIDGE])
            return
        time.sleep(0.5)


def down() -> int:
    """Remove all that the demo made, but for the tools in .cache that ./scripts/test uses too."""
    shutil.rmtree(HOME, ignore_errors=True)
    if output(["docker", "--version"]) is None:
        say("there is no docker command, and so no host to remove")
        return 0
    with setup_lock():
        engine.setup()
        say(f"removing the host {NAME}")
        hosts.remove(NAME)
        for suite in images.SUITES:
            if not output(["docker", "ps", "--all", "--quiet", "--filter", f"ancestor={images.name(suite)}"]):
                for image in (images.name(suite), f"webstack-debian:{suite}"):
                    if output(["docker", "image", "rm", image]) is not None:
                        say(f"removed the image {image}")
        if engine.PIDFILE.exists() and not output(["docker", "ps", "--all", "--quiet"]):
            stop_engine()
    say(f"removed; what is left are tools and logs in {CACHE.relative_to(ROOT)}/, which may be deleted")
    return 0


def setup(suite: str | None) -> Host:
    """Everything that the demo stands on, up to a running bare host."""
    with setup_lock():
        control.setup()
        engine.setup()
        image = output(["docker", "inspect", "--format", "{{.Config.Image}}", NAME])
        if image and suite and image != images.name(suite):
            raise BenchError(f"the host {NAME} of an earlier run is made from {image}; remove it first with ./scripts/demo --down")
        say(f"using the host {NAME} of an earlier run again" if image else f"starting the bare host {NAME} (Debian {suite or SUITES[0]}, systemd)")
        hosts.start(NAME, suite or SUITES[0])
    host = Host(NAME)
    host.write_inventory()
    return host


class Demo:
    """The run on one host; ``phases`` collects what took how long."""

    def __init__(self, host: Host, rate: float) -> None:
        self.host = host
        self.rate = rate
        self.phases: list[tuple[str, float]] = []
        self.load: Load | None = None

    def play(self, playbook: str, text: str) -> None:
        """Run a playbook as one phase."""
        def detail() -> str:
            return "  ".join(filter(None, (self.load.state() if self.load else "", task_of(f"demo-{playbook}"))))

        with Step(f"{playbook}: {text}", detail) as step:
            self.host.play(playbook)
        again = any(name == playbook for name, dummy in self.phases)
        self.phases.append((f"{playbook} again" if again else playbook, step.seconds))
        if self.load:
            self.load.require_running()

    def steady(self, seconds: float, text: str) -> None:
        """Let the load run for a while."""
        assert self.load is not None
        with Step(text, self.load.state):
            time.sleep(seconds)
        self.load.require_running()

    def prepare(self) -> None:
        """The three services on the bare host, whatever an earlier run left."""
        self.play("install", "Python, uWSGI, nginx and three services on the bare host")
        if any(journal.get("runtime") == "container" for journal in self.host.journals(list(SERVICES)).values()):
            self.play("rollback", "the containers of an earlier run back to the host, to begin with bare services")
        self.phases = self.phases[:1]

    def move(self) -> None:
        """Everything that happens under load."""
        self.steady(STEADY, f"load: {self.rate:g} requests/s over new and kept connections, with slow answers and uploads")
        self.play("discover", "find the services by evidence and write the plan; changes nothing")
        self.play("convert", "images from the host, candidates, parity, switch")
        self.steady(STEADY, "load on the containers")
        self.play("rollback", "back to the host's own processes")
        self.steady(STEADY, "load on the bare host again")
        self.play("convert", "into containers again")
        self.steady(max(STEADY, 60 - time.time() % 60 + TICK_GRACE + 1), "load on the containers, until the scheduled job has had a full minute there")

    def run(self) -> bool:
        """The whole demo; whether no request failed and nothing is missing."""
        self.prepare()
        names = list(SERVICES)
        before = {name: journal.get("runtime", "host") for name, journal in self.host.journals(names).items()}
        since = time.time()
        self.load = Load(self.host.address, self.rate)
        try:
            self.move()
            until = time.time()
        finally:
            self.load.stop()
            print(f"  load: {self.load.state()}", flush=True)
        with Step("check that every entry, package and tick is there, once"):
            complete, told = check(self.host.address, self.load.ledger, self.host.ticks(), since, until)
        print(f"  {told}")
        journals = self.host.journals(names)
        sizes = {name: size for name in names if (size := self.host.image_size(journals[name])) is not None}
        rows = service_rows(read_records(self.load.records), journals, sizes, before, since)
        result = {"rows": rows, "phases": self.phases, "complete": complete}
        (HOME / "result.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
        late = json.loads(self.load.summary.read_text(encoding="utf-8"))["generator_late_ms"]["p99"]
        print(f"\n{render(rows, self.phases, late)}\n")
        faults = [f"{row['failed']} requests to {row['service']} failed; see {self.load.summary}" for row in rows if row["failed"]]
        faults += [f"{name} was not switched three times" for name in names if next(r["switches"] for r in rows if r["service"] == name) != 3]
        faults += [] if complete else ["something that was acknowledged is missing or there twice, as told above"]
        for fault in faults:
            print(f"FAILED: {fault}")
        return not faults


def how_to_look(host: Host) -> str:
    """Where everything is."""
    docker = f"DOCKER_HOST={shlex.quote(os.environ['DOCKER_HOST'])} docker" if "DOCKER_HOST" in os.environ else "docker"
    lines = ["The host is left running. To look at it:"]
    lines += [f"  curl -H 'Host: {name}' http://{host.address}{path}"
              for name, path in zip(SERVICES.values(), ("/get", "/simple/", "/"), strict=True)]
    lines.append(f"  in a browser, with this line in /etc/hosts: {host.address} {' '.join(SERVICES.values())}")
    lines += [f"  {docker} exec -it {NAME} {command}" for command in ("docker ps", "bash")]
    places = {"plan": PLANS / f"{NAME}.yml", "report": PLANS / f"{NAME}.html", "load": HOME / "load.json", "logs": LOGS}
    lines += [f"  {kind.ljust(7)} {path}" for kind, path in places.items() if path.exists()]
    lines.append("To remove it: ./scripts/demo --down")
    return "\n".join(lines)


def main() -> int:
    options = parser().parse_args()
    if options.down:
        return down()
    host = setup(options.suite)
    good = Demo(host, options.rate).run()
    print(how_to_look(host), flush=True)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(guarded(main))
