"""A host on which faults are injected into runs of the playbooks: what is ordered, what is looked at, what must be so at rest."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from _bench.timing import tree
from host import Host, Play, sentence

HERE = Path(__file__).parent
PLACE = "/run/faults"
INTERPRETER = "/opt/faults/python3"
OTHER = {"convert": "rollback", "rollback": "convert"}
ENDS = {"convert": "container", "rollback": "host"}
PHASES = {"convert": "switched", "rollback": "host"}

TEMPORARY = re.compile(r"\.webstack-\w+$|\.part$")
"""Names under which files of ours are written before they are moved to their places."""


class Seen(NamedTuple):
    """A step as a run without a fault took it, and the seconds until the next one of its module."""

    label: str
    pause: float


Steps = dict[str, list[Seen]]
"""Module -> what it does in one run, in order."""


class Wrong(Exception):
    """Something is not as it must be after a fault."""


class Lab(Host):
    """A host whose services go back and forth while faults are injected."""

    python = INTERPRETER
    module = f"^/usr/bin/python3 {INTERPRETER}$"

    def __init__(self, name: str, directory: Path, sites: Mapping[str, tuple[str, str]], *, worker: str = "", edge: bool = False, **extra: Any) -> None:
        super().__init__(name, directory, sites)
        self.worker, self.edge = worker, edge
        self.extra, self.runs, self.state, self.pristine = extra, 0, "host", dict[str, str]()
        self.seams: dict[str, str] = {}
        self.live: list[str] = []

    def equip(self) -> None:
        """Put the interpreter there."""
        program = "#!/usr/bin/python3\n" + (HERE / "interpreter.py").read_text(encoding="utf-8")
        self.run("sh", "-c", f"mkdir -p /opt/faults && cat > {INTERPRETER} && chmod 755 {INTERPRETER}", stdin=program)

    def ready(self) -> None:
        """Know the services."""
        self.play("discover")
        self.seams = {item["name"]: item["uwsgi"]["socket"] for item in self.plan()["services"] if item["name"] in self.sites}
        self.live = [state["path"] + "/" for item in self.plan()["services"] for state in item.get("state", [])]  # they write to it themselves
        assert set(self.seams) == set(self.sites), f"discover found {sorted(self.seams)}"

    # Runs.

    def begin(self, playbook: str, **extra: Any) -> Play:
        self.runs += 1
        edge = {"webstack_edge": ENDS[playbook]} if self.edge else {}
        return Play(self, playbook, {**self.extra, **edge, **extra})

    def through(self, playbook: str, **extra: Any) -> str:
        """A run that must end well, and what must be so then."""
        code, text = self.begin(playbook, **extra).wait()
        if code != 0:
            raise Wrong(f"{playbook} ended with code {code}: {sentence(text)[:600]}")
        self.state = ENDS[playbook]
        return text

    def failing(self, play: Play) -> str:
        """A run that must fail, and say why in a sentence. Raises Wrong when it goes well or shows Python's own words."""
        code, text = play.wait()
        if code == 0:
            raise Wrong("the run did not notice and ended well")
        said = sentence(text)
        if "Traceback" in said or "MODULE FAILURE" in said or "Module result deserialization failed" in said:
            raise Wrong(f"no sentence: {said[:600]}")
        return said

    # Orders for the interpreter.

    def order(self, module: str, step: Step | None, do: str, **more: Any) -> None:
        """What shall happen at a step of the next run; without one, its steps are written down."""
        which = {"step": step.label, "nth": step.nth} if step else {}
        text = json.dumps({"module": module, "do": do, **which, **more})
        self.run("sh", "-c", f"mkdir -p {PLACE} && rm -f {PLACE}/* && cat > {PLACE}/order.json", stdin=text)

    def done(self) -> dict[str, Any] | None:
        """The process and the step at which it happened; None when it did not."""
        text = self.run("sh", "-c", f"cat {PLACE}/done; rm -f {PLACE}/order.json", check=False)
        return json.loads(text) if text else None

    def held(self, play: Play) -> int:
        """Wait until a module is held; its process. Raises Wrong when the run ends before."""
        while True:
            text = self.run("cat", f"{PLACE}/done", check=False)
            if text:
                return int(json.loads(text)["pid"])
            if play.process.poll() is not None:
                raise Wrong(f"the run ended before: {play.wait()[1][-600:]}")
            time.sleep(0.05)

    def learn(self) -> dict[str, Steps]:
        """Convert and go back, undisturbed: the steps of each module, and what the host is like before and after."""
        before, learnt = self.look()["files"], {}
        for playbook in ("convert", "rollback"):
            self.forget_images() if playbook == "convert" else None
            self.order("*", None, "record")
            self.through(playbook)
            learnt[playbook] = seen_in(self.run("cat", f"{PLACE}/steps"))
            self.run("sh", "-c", f"rm -f {PLACE}/*")
            self.rest(playbook)
        after = self.look()["files"]
        own = {path for path in set(before) ^ set(after) if path.startswith("/var/lib/webstack")}  # journals have a directory from now on
        self.same({path: what for path, what in before.items() if path not in own}, {path: what for path, what in after.items() if path not in own})
        self.pristine = after
        return learnt

    # What is looked at.

    def look(self) -> dict[str, Any]:
        """See look.py."""
        seen = json.loads(self.run("python3", "-", json.dumps(self.seams), self.worker, stdin=(HERE / "look.py").read_text(encoding="utf-8")))
        seen["files"] = {path: what for path, what in seen["files"].items() if not path.startswith(tuple(self.live))}
        return seen

    def serves(self, seconds: float = 60) -> None:
        """Every service answers, at once or in some seconds."""
        end = time.monotonic() + seconds
        while (found := self.answers()) != dict.fromkeys(self.sites, "200"):
            if time.monotonic() > end:
                raise Wrong(f"after {seconds:.0f} s: {found}")
            time.sleep(0.3)

    def rest(self, playbook: str) -> None:
        """What a good end of a playbook leaves. Raises Wrong for the first thing that is otherwise."""
        self.state = ENDS[playbook]
        seen, contained = self.look(), self.state == "container"
        self.expect("journals", seen["journals"], dict.fromkeys(self.sites, [self.state, PHASES[playbook]]))
        self.expect("listeners on the host", seen["listeners"], dict.fromkeys(self.sites, 0 if contained else 1))
        self.expect("seams that lead to a container", seen["links"], dict.fromkeys(self.sites, contained))
        self.expect("containers", sorted(item["service"] for item in seen["containers"]), sorted(self.sites) if contained else [])
        for item in seen["containers"]:
            self.expect(f"container {item['name']}", (item["running"], item["restarts"]), (True, "unless-stopped"))
            if item["listens"] is not None:
                self.expect(f"listeners in {item['name']}", len(item["listens"]), 1)
        if self.worker:
            self.expect("workers, each in a container or not", seen["workers"], [contained])
        self.expect("masters of nginx, each in a container or not", seen["nginx"], [contained and self.edge])
        self.expect("containers of nginx", len(seen["edge"]), int(contained and self.edge))
        if not contained and self.pristine:
            self.same(self.pristine, seen["files"])
        stray = [path for path in seen["files"] if TEMPORARY.search(path)]
        self.expect("files of a run that was killed", stray, [])
        self.serves(5)

    @staticmethod
    def expect(what: str, found: object, wanted: object) -> None:
        if found != wanted:
            raise Wrong(f"{what}: {found}, not {wanted}")

    @staticmethod
    def same(before: Mapping[str, str], now: Mapping[str, str]) -> None:
        """The host's files are as they were."""
        other = {path: (before.get(path), now.get(path)) for path in sorted(set(before) | set(now)) if before.get(path) != now.get(path)}
        if other:
            raise Wrong(f"{len(other)} files are not as they were: {dict(list(other.items())[:6])}")

    def forget_images(self) -> None:
        """The next convert has to build."""
        self.run("sh", "-c", "docker image ls --quiet --filter label=gantry.webstack.service | sort -u | xargs --no-run-if-empty docker image rm --force")

    # Ways to harm.

    def cut(self, play: Play) -> None:
        """Kill what connects a run with its host: the clients of docker exec that it has started."""
        for pid in tree(play.process.pid):
            with contextlib.suppress(OSError):
                if b"\0exec\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    def await_modules(self) -> None:
        """Until no module runs any more."""
        end = time.monotonic() + 200
        while self.run("pgrep", "--full", self.module, check=False):
            if time.monotonic() > end:
                raise Wrong("a module goes on for ever")
            time.sleep(0.2)


class Step(NamedTuple):
    """The ``nth`` step (from 1) that is told so. How many steps come before it is not the same in each run: some ask until there is an answer."""

    label: str
    nth: int


def seen_in(text: str) -> Steps:
    """The steps of each module in what the interpreter has written down. Pure."""
    told: dict[str, list[tuple[str, float]]] = {}
    for line in text.splitlines():
        module, label, at = line.split("\t")
        told.setdefault(module, []).append((label, float(at)))
    return {module: [Seen(label, after - at) for (label, at), after in zip(items, [*(at for dummy, at in items[1:]), items[-1][1]])]
            for module, items in told.items()}


def step_of(labels: Sequence[str], number: int) -> Step:
    """The step of that number, from 1. Pure."""
    label = labels[number - 1]
    return Step(label, labels[:number].count(label))


def spread(steps: Sequence[str], most: int) -> list[int]:
    """Numbers (from 1) of at most so many steps: the first, the last, and as even as can be between (one alone: the middle). Pure.

    Of the same step several times in a row, only the first counts.
    """
    numbers = [number for number, step in enumerate(steps, 1) if number == 1 or step != steps[number - 2]]
    count = min(most, len(numbers))
    if count == 1:
        return [numbers[len(numbers) // 2]]
    return sorted({numbers[round(number * (len(numbers) - 1) / (count - 1))] for number in range(count)})
