"""The faults: each is a run of a playbook that something happens to, and returns what was seen. What must be so afterwards is the lab's business."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from _bench import hosts
from host import sentence
from lab import ENDS, OTHER, Lab, Step, Steps, Wrong, spread, step_of

STATE, ENGINE = "/var/lib/webstack", "/var/lib/docker"
DAY = 86400


@dataclass(frozen=True)
class Injection:
    """``act`` does the run; ``down``: the engine or the host itself is down meanwhile, so requests may fail; ``anew``: the image has to be built."""

    kind: str
    where: str
    playbook: str
    act: Callable[[Lab], str]
    down: bool = False
    anew: bool = False
    after: str = ""
    """The playbook that runs next, when it is not for the program to choose."""


class Missed(Exception):
    """The run never came to the step: nothing was injected."""


def ordered(lab: Lab, playbook: str, order: dict[str, Any]) -> tuple[int, str]:
    """A run with an order for the interpreter; its code and output. Raises Missed."""
    lab.order(**order)
    code, text = lab.begin(playbook).wait()
    if lab.done() is None:
        lab.state = ENDS[playbook] if code == 0 else lab.state
        raise Missed(f"{order}: the run ended with code {code}: {text[-300:]}")
    return code, text


def module_killed(playbook: str, module: str, step: Step, after: float = 0) -> Callable[[Lab], str]:
    """SIGKILL for the module on the host."""
    def act(lab: Lab) -> str:
        code, text = ordered(lab, playbook, {"module": module, "step": step, "do": "kill", "after": after})
        if code == 0:
            raise Wrong("the module was killed and the run ended well")
        return sentence(text)
    return act


def control_killed(playbook: str, task: int, delay: float, *, target: bool) -> Callable[[Lab], str]:
    """SIGKILL for ansible-playbook, and with ``target`` for the module that runs on the host too; without, what it began goes on."""
    def act(lab: Lab) -> str:
        name = lab.begin(playbook).kill_at_task(task, delay, target=target)
        if name is None:
            raise Missed(f"{playbook} has no task {task}")
        return name
    return act


def connection_cut(playbook: str, module: str, step: Step) -> Callable[[Lab], str]:
    """The module's connection is lost; the module itself goes on."""
    def act(lab: Lab) -> str:
        lab.order(module, step, "hold")
        play = lab.begin(playbook)
        pid = lab.held(play)
        lab.cut(play)
        code, text = play.wait()  # in the words of Ansible's connection: the module cannot tell any more
        lab.run("kill", "-CONT", str(pid))
        lab.await_modules()
        if code == 0:
            raise Wrong("the run lost its connection and ended well")
        return sentence(text)
    return act


def engine_stopped(playbook: str, module: str, step: Step, how: str) -> Callable[[Lab], str]:
    """The engine goes away at a step. A run that does not need it any more may end well."""
    def act(lab: Lab) -> str:
        code, text = ordered(lab, playbook, {"module": module, "step": step, "do": how})
        lab.run("sh", "-c", "systemctl reset-failed docker.service docker.socket; systemctl start docker.socket docker.service")
        if code == 0:
            return "ended well"
        return plainly(text)
    return act


def plainly(text: str) -> str:
    """What a failed run said. Raises Wrong when it is Python's words."""
    said = sentence(text)
    if "Traceback" in said or "MODULE FAILURE" in said:
        raise Wrong(f"no sentence: {said[:600]}")
    return said


def host_restarted(playbook: str, module: str, step: Step, *, power: bool) -> Callable[[Lab], str]:
    """The host goes down at a step, in order or as by a power cut, and comes up again."""
    def act(lab: Lab) -> str:
        lab.order(module, step, "hold")
        play = lab.begin(playbook)
        lab.held(play)
        restart(lab, power=power)
        play.wait()
        return "up again"
    return act


def restart(lab: Lab, *, power: bool) -> None:
    """``docker restart``: /run is empty afterwards, as after a boot."""
    hosts.output(["docker", "kill" if power else "restart", lab.container], timeout=90)
    hosts.start(lab.container, "")


@contextmanager
def small_state(lab: Lab) -> Iterator[None]:
    """The state directory on a file system of its own that can be filled."""
    lab.run("sh", "-c", f"mkdir -p /mnt/state && mount -t tmpfs -o size=2m,mode=700 none /mnt/state && cp -a {STATE}/. /mnt/state "
                        f"&& mount --bind /mnt/state {STATE} && umount /mnt/state")
    try:
        yield
    finally:
        lab.run("sh", "-c", f"cp -a {STATE}/. /mnt/state && umount -l {STATE} && find {STATE} -mindepth 1 -delete && cp -a /mnt/state/. {STATE} "
                            "&& find /mnt/state -mindepth 1 -delete")


@contextmanager
def small_engine(lab: Lab, megabytes: int) -> Iterator[None]:
    """An engine without anything, on a small disk."""
    lab.run("sh", "-c", f"systemctl stop docker.socket docker && mount -t tmpfs -o size={megabytes}m none {ENGINE} && systemctl start docker.socket docker")
    try:
        yield
    finally:
        if lab.state == "container":
            lab.through("rollback")
        lab.run("sh", "-c", f"systemctl stop docker.socket docker; umount {ENGINE}; systemctl reset-failed docker; systemctl start docker.socket docker")


def disk_full(playbook: str, module: str, step: Step, place: str, lasting: str) -> Callable[[Lab], str]:
    """A disk fills at a step, and is emptied after the run."""
    def act(lab: Lab) -> str:
        code, text = ordered(lab, playbook, {"module": module, "step": step, "do": f"cat /dev/zero > {place}/fill"})
        lab.run("rm", "-f", f"{place}/fill")
        return "ended well" if code == 0 else plainly(text)

    def within(lab: Lab) -> str:
        with ExitStack() as stack:
            stack.enter_context(small_state(lab) if place == STATE else small_engine(lab, 700))
            said = act(lab)
            lab.serves(5)
            lab.through(lasting)
            lab.rest(lasting)
        return said
    return within


def small_disk(megabytes: int) -> Callable[[Lab], str]:
    """The image does not fit on the engine's disk."""
    def act(lab: Lab) -> str:
        with small_engine(lab, megabytes):
            return lab.failing(lab.begin("convert"))
    return act


def no_memory(limit: str) -> Callable[[Lab], str]:
    """The candidate may have less memory than it needs."""
    def act(lab: Lab) -> str:
        with edited(lab) as plan:
            for service in plan["services"]:
                service["container"] = {"memory": limit}
            lab.write_plan(plan)
            said = lab.failing(lab.begin("convert"))
        if "memory" not in said:
            raise Wrong(f"it does not say that memory was the matter: {said[:300]}")
        return said
    return act


@contextmanager
def edited(lab: Lab) -> Iterator[dict[str, Any]]:
    """The plan, to be changed; put back afterwards."""
    path = lab.plans / f"{lab.name}.yml"
    text = path.read_text(encoding="utf-8")
    try:
        yield lab.plan()
    finally:
        path.write_text(text, encoding="utf-8")


def two_at_once(first: str, second: str, delay: float) -> Callable[[Lab], str]:
    """A second run while one is at work; each may wait for the other or refuse, in a sentence."""
    def act(lab: Lab) -> str:
        plays = [lab.begin(first)]
        time.sleep(delay)
        plays.append(lab.begin(second))
        ends = [play.wait() for play in plays]
        return "; ".join("well" if code == 0 else plainly(text)[:150] for code, text in ends)
    return act


def clock_stepped(playbook: str, module: str, step: Step, by: float) -> Callable[[Lab], str]:
    """The wall clock that the module sees is another one from a step on."""
    def act(lab: Lab) -> str:
        code, text = ordered(lab, playbook, {"module": module, "step": step, "do": "clock", "by": by})
        if code != 0:
            raise Wrong(f"the run failed: {sentence(text)[:300]}")
        lab.rest(playbook)
        return "ended well"
    return act


def no_longer_fits(service: str, change: str, back: str) -> Callable[[Lab], str]:
    """Something of a service that is chosen too went away after discover."""
    def act(lab: Lab) -> str:
        lab.run("sh", "-c", change)
        try:
            said = lab.failing(lab.begin("convert", webstack_select=[*lab.sites, service]))
        finally:
            lab.run("sh", "-c", back)
        if service not in said:
            raise Wrong(f"it does not name {service}: {said[:300]}")
        # The other injections know nothing of it: its candidate may stand there proven, and it had no journal.
        lab.begin("rollback", webstack_select=[service]).wait()
        lab.run("rm", "-rf", f"{STATE}/{service}")
        return said
    return act


# Which of them, given what the modules do.

STOP = "systemctl stop docker.socket docker.service"
CRASH = "systemctl kill --signal=KILL docker.service; sleep 1"
SHARE = {"image_harvest": 6, "candidate": 14, "parity": 5, "switch": 18}
"""Kills inside a module, at the most; of one that is not named, two."""


def _at(made: list[Injection], learnt: Mapping[str, Steps], share: float, kind: str, playbook: str, module: str, most: int,
        make: Callable[[str, str, Step], Callable[[Lab], str]], pause: float = 0, **more: Any) -> None:
    """Add what happens at steps of a module that are followed by nothing for so many seconds."""
    steps = learnt[playbook].get(module, [])
    labels = [step.label for step in steps]
    numbers = [number for number, step in enumerate(steps, 1) if step.pause >= pause]
    for index in spread([labels[number - 1] for number in numbers], max(1, round(most * share))):
        number = numbers[index - 1]
        where = f"{playbook}, {module} {number}/{len(steps)}: {labels[number - 1][:70]}"
        made.append(Injection(kind, where, playbook, make(playbook, module, step_of(labels, number)), anew=module == "image_harvest", **more))


def chosen_for_edge(learnt: dict[str, Steps], share: float = 1) -> list[Injection]:
    """All injections into the moves of nginx itself. Pure."""
    made: list[Injection] = []
    at = partial(_at, made, learnt, share)
    for playbook in learnt:
        at("module killed", playbook, "edge", 18, module_killed)
        at("module killed while it waits", playbook, "edge", 4, partial(module_killed, after=0.15), pause=0.2)
        at("connection lost", playbook, "edge", 3, connection_cut)
        at("engine stopped", playbook, "edge", 3, partial(engine_stopped, how=STOP), down=True)
        at("host restarted", playbook, "edge", 3, partial(host_restarted, power=True), down=True)
        at("clock stepped", playbook, "edge", 2, partial(clock_stepped, by=-DAY))
        at("disk full", playbook, "edge", 3, partial(disk_full, place=STATE, lasting=OTHER[playbook]), after=OTHER[playbook])
    return made


def chosen(learnt: dict[str, Steps], gone: list[tuple[str, str, str, str]], share: float = 1) -> list[Injection]:
    """All injections; ``gone`` are things that go away, as (name, service, change, back). ``share`` below 1 takes that part of each kind. Pure."""
    made: list[Injection] = []
    at = partial(_at, made, learnt, share)
    for playbook, steps in learnt.items():
        other = OTHER[playbook]
        for module in steps:
            at("module killed", playbook, module, SHARE.get(module, 2), module_killed)
        at("module killed while it waits", playbook, "switch", 4, partial(module_killed, after=0.15), pause=0.2)
        at("connection lost", playbook, "switch", 4, connection_cut)
        at("engine stopped", playbook, "switch", 3, partial(engine_stopped, how=STOP), down=True)
        at("host restarted", playbook, "switch", 2, partial(host_restarted, power=False), down=True)
        at("host restarted", playbook, "switch", 3, partial(host_restarted, power=True), down=True)
        at("clock stepped", playbook, "switch", 2, partial(clock_stepped, by=-DAY))
        at("disk full", playbook, "switch", 3, partial(disk_full, place=STATE, lasting=other), after=other)
        tasks = {"convert": range(2, 11), "rollback": range(1, 5)}[playbook]
        for number in [number for number in tasks if share >= 1 or number % 4 == 3]:
            made.append(Injection("control node killed", f"{playbook}, task {number}", playbook,
                                  control_killed(playbook, number, 0.1 * (number % 4), target=number % 2 == 0), anew=number == 7))
    at("connection lost", "convert", "candidate", 2, connection_cut)
    at("engine stopped", "convert", "candidate", 2, partial(engine_stopped, how=CRASH), down=True)
    at("engine stopped", "convert", "image_harvest", 2, partial(engine_stopped, how=STOP), down=True)
    at("host restarted", "convert", "candidate", 2, partial(host_restarted, power=True), down=True)
    at("disk full", "convert", "candidate", 3, partial(disk_full, place=STATE, lasting="convert"), after="convert")
    if share >= 1:
        at("disk full", "convert", "image_harvest", 2, partial(disk_full, place=ENGINE, lasting="convert"), after="rollback")
        at("clock stepped", "convert", "candidate", 1, partial(clock_stepped, by=DAY))
        made.append(Injection("disk full", "convert, an engine's disk of 40 MB", "convert", small_disk(40), anew=True))
        for limit in ("6M", "9M"):
            made.append(Injection("out of memory", f"candidates of {limit}", "convert", no_memory(limit)))
    for first, second, delay in (("convert", "convert", 0), ("convert", "rollback", 3), ("rollback", "rollback", 1), ("rollback", "convert", 2)):
        made.append(Injection("a second run", f"{second} {delay} s after {first}", first, two_at_once(first, second, delay)))
    for name, service, change, back in gone:
        made.append(Injection("the plan does not fit", f"{service}: {name}", "convert", no_longer_fits(service, change, back)))
    return made
