"""Which faults are chosen, and what the interpreter under test counts as a step."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from injections import chosen, chosen_for_edge
from lab import Seen, Step, seen_in, spread, step_of

INTERPRETER = Path(__file__).resolve().parents[3] / "tests/faults/interpreter.py"


@pytest.mark.parametrize(("steps", "most", "numbers"), [
    ("abcde", 9, [1, 2, 3, 4, 5]), ("abcde", 3, [1, 3, 5]), ("abcde", 1, [3]), ("aabbb", 9, [1, 3]), ("", 3, [])])
def test_spread_takes_the_ends_and_none_twice(steps: str, most: int, numbers: list[int]) -> None:
    assert spread(steps, most) == numbers


def test_a_step_is_known_by_what_it_is() -> None:
    assert step_of(["a", "b", "a", "a"], 3) == Step("a", 2)


def test_every_kind_is_chosen_and_more_than_a_hundred_in_all() -> None:
    many = [Seen(f"step {number}", number % 4 / 5) for number in range(30)]
    learnt = {"convert": dict.fromkeys(("image_harvest", "candidate", "parity", "switch"), many), "rollback": {"switch": many}}
    found = chosen(learnt, [("gone", "three", "true", "true")])
    assert {item.kind for item in found} == {"module killed", "module killed while it waits", "control node killed", "connection lost", "engine stopped",
                                             "host restarted", "disk full", "out of memory", "a second run", "clock stepped", "the plan does not fit"}
    assert len(found) >= 100
    assert {item.playbook for item in found if item.kind == "module killed"} == {"convert", "rollback"}
    waited = [int(item.where.rpartition(" ")[2]) for item in found if item.kind == "module killed while it waits"]
    assert len(waited) == 8 and all(number % 4 for number in waited)


def test_faults_chosen_for_edge_are_at_its_own_steps_both_ways() -> None:
    many = [Seen(f"step {number}", number % 4 / 5) for number in range(30)]
    found = chosen_for_edge({"convert": {"switch": many, "edge": many}, "rollback": {"edge": many}})
    assert {item.where.split()[1] for item in found} == {"edge"}
    assert {item.playbook for item in found} == {"convert", "rollback"}
    assert len(found) >= 50


def test_a_pause_is_the_time_to_the_next_step_of_the_module() -> None:
    assert seen_in("switch\ta\t1.0\nparity\tx\t1.5\nswitch\tb b\t3.0\n") == {"switch": [Seen("a", 2.0), Seen("b b", 0.0)], "parity": [Seen("x", 0.0)]}


PROGRAM = """
import os, runpy, sys
open("{top}/one", "w").close()
os.rename("{top}/one", "{top}/two")
os.unlink("{top}/two")
open("{top}/three").read() if os.path.exists("{top}/three") else None
"""


@pytest.fixture
def harmed(tmp_path: Path) -> Path:
    """The interpreter with its orders below a directory of the test, for any program."""
    text = INTERPRETER.read_text(encoding="utf-8").replace('"/run/faults"', f'"{tmp_path}/orders"').replace("|/tmp/", "")
    text = text.replace('self.order["module"] in ("*", self.module) and ".webstack." in name', "True")
    (tmp_path / "python").write_text(text, encoding="utf-8")
    (tmp_path / "orders").mkdir()
    return tmp_path


def run(top: Path, **order: object) -> int:
    (top / "orders/order.json").write_text(json.dumps({"module": "*", **order}), encoding="utf-8")
    return subprocess.run([sys.executable, str(top / "python")], input=PROGRAM.format(top=top), text=True, check=False).returncode


def test_steps_are_written_down(harmed: Path) -> None:
    assert run(harmed, do="record") == 0
    labels = [line.split("\t")[1] for line in (harmed / "orders/steps").read_text(encoding="utf-8").splitlines()]
    assert labels == [f"write {harmed}/one", f"rename {harmed}/one {harmed}/two", f"remove {harmed}/two"]


def test_a_kill_comes_before_its_step_and_once(harmed: Path) -> None:
    assert run(harmed, step=f"rename {harmed}/one {harmed}/two", nth=1, do="kill") == -9
    assert (harmed / "one").exists()
    assert json.loads((harmed / "orders/done").read_text(encoding="utf-8"))["label"].startswith("rename")
    assert not (harmed / "orders/order.json").exists()


def test_a_command_runs_before_its_step(harmed: Path) -> None:
    assert run(harmed, step=f"remove {harmed}/two", nth=1, do=f"cp {harmed}/two {harmed}/seen") == 0
    assert (harmed / "seen").exists()
    assert not (harmed / "two").exists()
