"""The progress display: events in, lines out."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.plugin_utils import progress, progress_text

PLAN = {"services": [{"name": "shop", "fit": {"verdict": "ready"}}, {"name": "wiki", "fit": {"verdict": "blocked"}}], "unexplained": [{}]}
IMAGES = {"changed": True, "images": [{"service": "shop", "size_bytes": 117_000_000, "built": True}]}
PARITY = {"services": [{"service": "shop", "requests": 41, "files": 310, "differences": []}]}
SWITCH = {"changed": True, "services": [{"service": "shop", "runtime": "container"}],
          "watched": [{"service": "shop", "percent": 10, "requests": 100, "errors": 0}, {"service": "shop", "percent": 100, "requests": 900, "errors": 2}]}
STEPS: list[tuple[str, dict[str, Any]]] = [("discover", {"plan": PLAN, "changed": False}), ("image_harvest", IMAGES), ("parity", PARITY), ("switch", SWITCH)]


def texts(lines: list[progress.Line]) -> list[str]:
    return [line.text for line in lines]


def moved(check: bool = False) -> tuple[progress.Run, list[str]]:
    """A whole move of one host, each task 10 s long, and what was told meanwhile."""
    run, told = progress.Run(check), []
    told += run.play("Move", ["web1"], ["discover", "fact", "image_harvest", "parity", "switch"], 0.0)
    now = 0.0
    for module, result in STEPS:
        action = f"gantry.webstack.{module}"
        told += run.starting("web1", progress.phase_of(action), module, now)
        now += 10.0
        run.ended("web1", action, result, now)
    return run, texts([*told, *run.finish(now)])


@pytest.mark.parametrize(("action", "role", "phase"), [
    ("gantry.webstack.image_harvest", "", "image"), ("gantry.webstack.parity", "gantry.webstack.convert", "parity"),
    ("gantry.webstack.not_yet_known", "", "not yet known"),
    ("ansible.builtin.set_fact", "gantry.webstack.convert", ""), ("ansible.builtin.apt", "ours.base", "base"), ("ansible.builtin.apt", "", "other tasks")])
def test_a_task_has_a_phase(action: str, role: str, phase: str) -> None:
    assert progress.phase_of(action, role) == phase


def test_each_phase_leaves_a_line_with_what_it_came_to() -> None:
    assert moved()[1] == [
        "Move (1 host)",
        "web1  discover      10.0 s  2 services, 1 blocked, 1 unexplained; as it is",
        "web1  image         10.0 s  1 image, 117 MB, 1 built; changed",
        "web1  parity        10.0 s  41 requests and 310 files compared, no difference; as it is",
        "web1  switch        10.0 s  1 in containers, 1000 requests watched, 2 failed; changed"]


def test_a_check_says_what_would_be() -> None:
    told = moved(check=True)[1]
    assert told[0] == "Move (1 host, check mode: nothing is written)" and told[2].endswith("; would change")


def test_tasks_of_one_phase_are_one_line() -> None:
    run = progress.Run()
    assert run.starting("web1", "packages", "a", 0.0) == []
    run.ended("web1", "gantry.webstack.packages", {"changed": True}, 2.0)
    assert run.starting("web1", "packages", "b", 5.0) == []
    run.ended("web1", "gantry.webstack.packages", {"changed": False}, 6.0)
    assert texts(run.starting("web1", "", "c", 6.0)) == ["web1  packages       3.0 s  changed"]
    assert run.finish(7.0) == []


def test_the_tables_tell_what_is_known_and_nothing_else() -> None:
    assert texts(moved()[0].tables(42.0)) == [
        "",
        "host  service  runs in     image  compared  failed",
        "web1  shop     container  117 MB       351       2",
        "web1  wiki     host            -         -       -",
        "",
        "seconds  discover  image  parity  switch   all",
        "web1         10.0   10.0    10.0    10.0  40.0",
        "",
        "1 host done, in 42.0 s"]


def test_a_failure_is_one_sentence_with_what_helps_at_once() -> None:
    run = progress.Run()
    run.starting("web1", "parity", "p", 0.0)
    result = {"msg": "service shop: the candidate answers otherwise\nand a second line", "failed": True,
              "differences": [{"request": f"GET /{number}", "what": ["body differs"], "diff": ["-1,00", "+1.00"]} for number in range(5)]}
    lines = run.failed("web1", "Prove the candidates equal", result, 7.5, action="gantry.webstack.parity")
    assert texts(lines)[:5] == ["web1  FAILED at parity after 7.5 s, in the task 'Prove the candidates equal'",
                                "  service shop: the candidate answers otherwise", "  GET /0: body differs", "    -1,00", "    +1.00"]
    assert texts(lines)[-1] == "  and 2 more" and lines[0].kind == "failed"
    assert texts(run.tables(8.0))[-2:] == ["web1  FAILED at parity: service shop: the candidate answers otherwise", "0 hosts done, 1 failed, in 0.0 s"]


def test_an_ignored_failure_is_told_and_does_not_count() -> None:
    run = progress.Run()
    run.starting("web1", "engine", "e", 0.0)
    assert texts(run.failed("web1", "Try", {"stderr": "one\nlast\n"}, 1.0, ignored=True)) == ["web1  last (ignored, as the task 'Try' says)"]
    assert texts(run.tables(1.0))[-1] == "1 host done, in 0.0 s"


@pytest.mark.parametrize(("result", "told"), [
    ({"msg": "\n \n it is full \n"}, "it is full"), ({"module_stderr": "Traceback\nOSError: no\n", "msg": ""}, "OSError: no"), ({}, "it gave no reason"),
    ({"msg": "\x1b[31mred\x1b[0m\x07"}, "red"), ({"msg": "x" * 700}, "x" * 599 + "…"), ({"msg": ["no text"]}, "it gave no reason"),
    ({"msg": "Task failed: Module failed: it is full"}, "it is full"), ({"msg": "Action failed: no plan"}, "no plan"),
    ({"msg": "Task failed: Finalization of task args for 'x' failed: Error while resolving value for 'y': The filter plugin 'gantry.webstack.selected' failed: "
             "webstack_select: no service 'a'"}, "webstack_select: no service 'a'")])
def test_a_sentence(result: dict[str, object], told: str) -> None:
    assert progress_text.sentence(result) == told


def test_the_terminal_shows_who_is_at_work_and_how_far() -> None:
    run = progress.Run()
    run.play("Move", ["web1", "web22"], list("abcd"), 0.0)
    run.starting("web22", "image", "c", 1.0)
    run.starting("web1", "image", "c", 3.0)
    run.ended("web1", "gantry.webstack.image_harvest", IMAGES, 4.0)
    assert run.live(11.0, 0, 80, 10, fancy=False) == ["| web22  image           10 s  ########--------  step 3 of 4"]
    run.starting("web1", "switch", "d", 9.0)
    shown = run.live(11.0, 1, 48, 10)
    assert [line[2:7].strip() for line in shown] == ["web22", "web1"] and all(len(line) <= 47 for line in shown)
    assert "1 service" in run.live(11.0, 1, 80, 10)[1]


def test_many_hosts_do_not_fill_the_terminal() -> None:
    run = progress.Run()
    for number in range(1, 51):
        run.starting(f"web{number}", "image", "c", float(number))
    shown = run.live(60.0, 0, 80, 5)
    assert len(shown) == 5 and shown[0].split()[1] == "web1" and shown[-1] == "  and 46 more hosts"


def test_without_a_terminal_a_long_phase_is_told_now_and_then() -> None:
    run = progress.Run()
    run.starting("web1", "image", "c", 0.0)
    assert run.waiting(29.0, 30.0) == []
    assert texts(run.waiting(30.0, 30.0)) == ["web1  image           30 s so far"]
    assert run.waiting(45.0, 30.0) == [] and len(run.waiting(61.0, 30.0)) == 1
    run.ended("web1", "gantry.webstack.image_harvest", {}, 62.0)
    assert run.waiting(200.0, 30.0) == []


def test_a_phase_of_skipped_tasks_is_none() -> None:
    run = progress.Run()
    run.starting("web1", "candidate", "c", 0.0)
    run.ended("web1", "gantry.webstack.candidate", {}, 1.0)
    assert run.finish(1.0) == [] and run.hosts["web1"].phases == {}


def test_what_other_collections_return_is_not_taken_for_services() -> None:
    run = progress.Run()
    run.starting("web1", "other tasks", "x", 0.0)
    run.ended("web1", "community.general.thing", {"services": [{"service": "cron", "runtime": "host"}], "images": ["x"]}, 1.0)
    assert run.hosts["web1"].services == {}
