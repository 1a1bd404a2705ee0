"""Injects faults into runs of convert and rollback, under a load, unattended: ``./scripts/test faults``.

    eval "$(./scripts/bench env)"; python tests/faults/inject.py [--only WORD...] [--suite SUITE] [--share PART] [--volumes] [--edge] [--keep]

One host with two services: ``one``, installed by the collection under its emperor with a scheduled command and a worker; ``two``, set up by hand
as a unit of its own with a line in cron.d. A third one, by hand too, has nothing but things that go away.
``one`` notes in its state what it is asked; with --volumes that goes to a volume and back. With --edge nginx itself
moves too, and it is its moves that the faults are injected into. First convert and rollback run once undisturbed and the
interpreter that Ansible uses on the host (interpreter.py) writes down all that the modules do, step by step. Then, for each injection: a run with a
fault; the next run of the same playbook or of the other one, which has to end well; and a look at the host: who listens, which containers
there are, the journals, leftovers, and, when the services are on the host, every file of it. The load asks both services at 40/s.
The last line tells the count.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from host import PREFIX, ROOT
from injections import Injection, Missed, chosen, chosen_for_edge, hosts
from lab import ENDS, OTHER, Lab, Wrong
from steady import Load

HERE = Path(__file__).parent
OUT = ROOT / ".cache/faults"
NAME = "faulty"
SITES = {name: (f"{name}.test", "/") for name in ("one", "two")}
STATE = "/srv/one-state"
IDLE = "import time; time.sleep(1e6)"
"""What the worker of ``one`` runs."""

PATIENCE = 55
"""Seconds; requests wait while state moves, and until the next run when that one is killed."""
PAGES = [("one.test", "/?"), ("two.test", "/")]

UNIT = """[Unit]
Description={name}
[Service]
ExecStart=/usr/bin/uwsgi --plugins python3 --master --processes 1 --need-app --virtualenv /usr --chdir /srv/{name} --wsgi-file wsgi.py \\
  --socket /run/{name}/{name}.sock --chmod-socket=666 --vacuum
User={name}
RuntimeDirectory={name}
Environment=GREETING={name}
KillSignal=SIGQUIT
Restart=on-failure
[Install]
WantedBy=multi-user.target
"""
SITE = "server {{ listen 80; server_name {name}.test; location / {{ include uwsgi_params; uwsgi_pass unix:/run/{name}/{name}.sock; }} }}\n"
BY_HAND = """set -e
useradd --system --user-group --home-dir /srv/{name} --create-home --shell /usr/sbin/nologin {name}
cat > /srv/{name}/wsgi.py < /srv/one/current/wsgi.py
printf '%s' '{unit}' > /etc/systemd/system/{name}.service
printf '%s' '{site}' > /etc/nginx/conf.d/{name}.conf
printf '0 3 * * * {name} cd /srv/{name} && /usr/bin/python3 -c pass\\n' > /etc/cron.d/{name}
systemctl daemon-reload
systemctl enable --now {name}
systemctl reload nginx
"""
GONE = [
    ("its unit was stopped", "three", "systemctl stop three", "systemctl start three"),
    ("its socket has moved", "three", "sed -i s,three.sock,other.sock, /etc/systemd/system/three.service; systemctl daemon-reload; systemctl restart three",
     "sed -i s,other.sock,three.sock, /etc/systemd/system/three.service; systemctl daemon-reload; systemctl restart three"),
    ("its user is gone", "three", "cp -p /etc/passwd /etc/shadow /root/; sed -i /^three:/d /etc/passwd /etc/shadow",
     "cat /root/passwd > /etc/passwd; cat /root/shadow > /etc/shadow; rm /root/passwd /root/shadow"),
    ("its code is gone", "three", "mv /srv/three /srv/away", "mv /srv/away /srv/three"),
    ("its crontab is gone", "three", "mv /etc/cron.d/three /root/three.cron", "mv /root/three.cron /etc/cron.d/three"),
]


def definition(volumes: bool) -> dict[str, Any]:
    """The installed service, its state in place or, when it is converted, in a volume."""
    return {"name": "one", "code": {"path": "/srv/one/current", "source": str(HERE / "apps/hello")},
            "schedule": [{"when": "@daily", "command": "true"}], "workers": [{"name": "idle", "command": f"/usr/bin/python3 -c '{IDLE}'"}],
            "uwsgi": {"options": {"module": "wsgi:application", "virtualenv": "/usr", "processes": 1}},
            "environment": {"GREETING": "one", "ASKED": STATE + "/asked"}, "state": [{"path": STATE, "volume": volumes}]}


def prepare(directory: Path, suite: str, *, fresh: bool, volumes: bool, edge: bool) -> Lab:
    """The host with its services and an engine."""
    lab = Lab(NAME, directory, SITES, worker=IDLE, edge=edge, webstack_select=sorted(SITES))
    if fresh:
        hosts.remove(lab.container)
    hosts.start(lab.container, suite)
    lab.equip()
    if fresh:
        lab.play("install", webstack_services=[definition(volumes)])
        for name in ("two", "three"):
            lab.run("sh", "-c", BY_HAND.format(name=name, unit=UNIT.format(name=name), site=SITE.format(name=name)))
    lab.ready()
    if fresh:
        lab.play("convert", webstack_until="image")  # installs the engine
    else:
        lab.through("rollback")
    return lab


@dataclass
class Tally:
    """What has come out so far."""

    lab: Lab
    load: Load
    results: list[dict[str, Any]] = field(default_factory=list)
    excused: int = 0
    lost: int = 0
    forgotten: int | None = None
    """Answered requests that the state does not have in the end; None when nobody could look."""

    def inject(self, injection: Injection, after: str) -> None:
        """One injection: the run with the fault, the next run, the look; told on a line."""
        begin, said, wrong = time.monotonic(), "", ""
        try:
            if injection.anew:
                self.lab.forget_images()
            said = injection.act(self.lab)
            if injection.down:
                self.load.address = hosts.address(self.lab.container)
                self.lab.serves()
                self.excused += len(self.load.between(begin, time.monotonic()))
                up = time.monotonic()
            else:
                up = begin
                self.lab.serves(5)
            self.lab.through(after)
            self.lab.rest(after)
        except Missed as exc:
            self.tell(injection, after, begin, missed=str(exc))
            return
        except (Wrong, AssertionError, json.JSONDecodeError, OSError, hosts.BenchError) as exc:
            wrong, up = str(exc) or type(exc).__name__, begin
        time.sleep(0.1)
        lost = self.load.between(up, time.monotonic()) if not (wrong and injection.down) else []
        self.lost += len(lost)
        if lost:
            wrong = f"{wrong}; {len(lost)} failed requests, first {lost[0].what}"
        self.tell(injection, after, begin, said=said, wrong=wrong)
        if wrong:
            self.mend(after)

    def tell(self, injection: Injection, after: str, begin: float, *, said: str = "", wrong: str = "", missed: str = "") -> None:
        word = "missed" if missed else "FAILED" if wrong else "ok    "
        seconds = time.monotonic() - begin
        self.results.append({"kind": injection.kind, "where": injection.where, "next": after, "seconds": round(seconds, 1), "said": said[:300], "wrong": wrong,
                             "missed": missed, "down": injection.down})
        print(f"{word} {injection.kind}: {injection.where} (then {after}, {seconds:.0f} s){'' if not (wrong or missed) else ': ' + (wrong or missed)[:1500]}",
              flush=True)

    def mend(self, after: str) -> None:
        """Go on from a known state, whatever came before."""
        for playbook in (after, OTHER[after], after):
            self.lab.begin(playbook).wait()
        self.load.address = hosts.address(self.lab.container)
        self.lab.state = ENDS[after]
        if self.lab.state == "host":
            self.lab.pristine = self.lab.look()["files"]

    def summary(self, seconds: float) -> str:
        """The last line."""
        done = [item for item in self.results if not item["missed"]]
        bad = sum(bool(item["wrong"]) for item in done)
        down = sum(item["down"] for item in done)
        return (f"{len(done)} injections in {self.lab.runs} runs, {seconds:.0f} s: {self.lost} of {self.load.sent} requests failed "
                f"(and {self.excused} while the engine or the host itself was down, in {down} injections); "
                f"{len(done) - bad} ended as they should, {bad} did not; {len(self.results) - len(done)} not reached; "
                f"{self.forgotten} of {len(self.load.answered)} answers are not in the state")


def by_turns(wanted: list[Injection]) -> list[Injection]:
    """One of each kind, then the second ones, and so on: a run that is cut short has seen every kind. Pure."""
    seen: dict[str, int] = {}
    ranks = []
    for item in wanted:
        seen[item.kind] = seen.get(item.kind, 0) + 1
        ranks.append(seen[item.kind])
    return [item for dummy, item in sorted(zip(ranks, wanted), key=lambda pair: pair[0])]


def run_all(tally: Tally, wanted: list[Injection]) -> None:
    """Go back and forth, so that most injections begin where the one before has ended; every third next run goes the other way."""
    waiting = {playbook: [item for item in wanted if item.playbook == playbook] for playbook in OTHER}
    starts = {"convert": "host", "rollback": "container"}
    count = 0
    while any(waiting.values()):
        playbook = next((name for name, items in waiting.items() if items and starts[name] == tally.lab.state), None)
        if playbook is None:
            tally.lab.through("rollback" if tally.lab.state == "container" else "convert")
            continue
        injection = waiting[playbook].pop(0)
        count += 1
        forth = waiting[OTHER[playbook]] and count % 3
        tally.inject(injection, injection.after or (playbook if forth else OTHER[playbook]))


def main() -> int:
    parse = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parse.add_argument("--suite", default="bookworm")
    parse.add_argument("--only", nargs="+", metavar="WORD", help="only injections in whose kind or place all of these stand")
    parse.add_argument("--share", type=float, default=1, metavar="PART", help="this part of each kind")
    parse.add_argument("--volumes", action="store_true", help="the state of one goes to a volume and back")
    parse.add_argument("--edge", action="store_true", help="nginx itself moves, and the faults are injected into that")
    parse.add_argument("--keep", action="store_true", help="use the host that is there, and leave it there")
    options = parse.parse_args()
    OUT.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the host goes and the last line is told then too
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as directory:
        lab = prepare(Path(directory), options.suite, fresh=not (options.keep and hosts.running(f"{PREFIX}-{NAME}")), volumes=options.volumes,
                      edge=options.edge)
        load = Load(hosts.address(lab.container), PAGES, threads=2, patience=PATIENCE)
        tally = Tally(lab, load)
        try:
            load.start()
            wanted = chosen(lab.learn(), GONE, options.share) if not options.edge else chosen_for_edge(lab.learn(), options.share)
            wanted = [item for item in wanted if all(word in f"{item.kind}: {item.where}" for word in options.only or [])]
            print(f"{len(wanted)} injections; {time.monotonic() - started:.0f} s until here", flush=True)
            run_all(tally, by_turns(wanted))
            if lab.state == "container":
                lab.through("rollback")
            load.stop()
            tally.forgotten = len(load.answered - set(lab.run("cat", STATE + "/asked").split()))
        finally:
            load.stop()
            if not options.keep:
                hosts.remove(lab.container)
            line = tally.summary(time.monotonic() - started)
            told = {"summary": line, "injections": tally.results, "failures": [failure.what for failure in load.failures]}
            (OUT / f"faults{'-edge' if options.edge else ''}.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
            print(line, flush=True)
    return 1 if tally.lost or tally.forgotten != 0 or not tally.results or any(item["wrong"] or item["missed"] for item in tally.results) else 0


if __name__ == "__main__":
    sys.exit(main())
