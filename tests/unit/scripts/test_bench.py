# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What ./scripts/test believes of the tools that it runs: a failure must not pass for a success."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from _bench import parts, report, role_readmes, scenarios

RAN = 'Running sanity test "compile" on Python 3.9\nRunning sanity test "pep8"\nRunning sanity test "pylint"\n'


@pytest.mark.parametrize(("code", "text", "counted"), [
    (0, RAN, (3, 0)),
    (1, RAN + "FATAL: The 2 sanity test(s) listed below (out of 3) failed. See error output above for details.\npep8\npylint\n", (1, 2)),
    (1, RAN + "FATAL: Command ... returned exit status 1.\n", (2, 1)),
    (0, "WARNING: All targets skipped.\n", (0, 1)),
    (0, "", (0, 1)),
])
def test_sanity_s_own_words_are_counted(code: int, text: str, counted: tuple[int, int]) -> None:
    assert parts._sanity_count(code, text) == counted


@pytest.mark.parametrize(("code", "xml", "counted"), [
    (0, '<testsuites><testsuite tests="5" failures="0" errors="0" skipped="1"/></testsuites>', (4, 0)),
    (1, '<testsuites><testsuite tests="5" failures="1" errors="1" skipped="0"/></testsuites>', (3, 2)),
    (3, '<testsuites><testsuite tests="5" failures="0" errors="0" skipped="0"/></testsuites>', (5, 1)),
    (0, "", (0, 1)),
])
def test_pytest_s_results_are_counted(tmp_path: Path, code: int, xml: str, counted: tuple[int, int]) -> None:
    (tmp_path / "junit.xml").write_text(xml, encoding="utf-8")
    assert parts.junit(tmp_path / "junit.xml", code) == counted


def test_a_step_without_its_playbook_is_noticed(capsys: pytest.CaptureFixture[str]) -> None:
    steps = scenarios.Steps("nginx")
    for line in ("INFO     [nginx > prepare] Executing", "WARNING  [nginx > prepare] Executed: Missing playbook (Remove from test_sequence to suppress)",
                 "\x1b[36mINFO    \x1b[0m [nginx > verify] \x1b[36mExecuting\x1b[0m", "WARNING  [nginx > verify] Executed: Missing playbook (Remove ...)"):
        steps.line(line)
    assert steps.missing == ["verify"]
    assert [name for name, moment in steps.times] == ["prepare", "verify"]
    assert capsys.readouterr().out == "    nginx: prepare\n    nginx: verify\n"


def test_a_run_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert report.run_logged(["sh", "-c", "sleep 30 & echo $!; wait"], log, timeout=1.5, cwd=tmp_path) == 124
    child = log.read_text(encoding="utf-8").split()[0]
    stat = Path(f"/proc/{child}/stat")
    assert not stat.exists() or stat.read_text(encoding="ascii").split()[2] == "Z"


def test_what_is_interrupted_ends_with_all_that_it_runs(tmp_path: Path) -> None:
    """As ./scripts/test by Ctrl-C: in a process of its own, since nothing runs after it there."""
    jobs = """if True:
        import pathlib, sys
        from _bench import guarded, report
        place = pathlib.Path(sys.argv[1])
        def job(name):
            report.run_logged(["sh", "-c", "echo $$ > $0; sleep 30", name], place / f"{name}.log", cwd=place)  # ends by itself after the test
        sys.exit(guarded(lambda: report.side_by_side([lambda name=name: job(name) for name in "abc"]) or 0))
    """
    with subprocess.Popen([sys.executable, "-c", jobs, str(tmp_path)], cwd=scenarios.ROOT / "scripts", stderr=subprocess.PIPE, text=True) as process:
        end = time.monotonic() + 20
        while time.monotonic() < end and not all((tmp_path / name).exists() and (tmp_path / name).read_text(encoding="ascii") for name in "ab"):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert "interrupted after" in process.communicate(timeout=20)[1]
    assert not (tmp_path / "c").exists()
    assert not any(Path(f"/proc/{(tmp_path / name).read_text(encoding='ascii').strip()}").exists() for name in "ab")


def test_every_scenario_that_is_ordered_is_there() -> None:
    assert set(scenarios.ORDER) | set(scenarios.ALONE) | set(scenarios.DAILY) | set(scenarios.ASIDE) <= set(scenarios.names())
    assert scenarios.names()[0] == "default"


def test_scenarios_that_run_at_the_same_time_share_no_host() -> None:
    names = scenarios.names()
    first, *others = scenarios.groups(names)
    assert first == ["default"] and sorted(sum(others, first)) == sorted(names)
    assert "default" in scenarios.ALONE
    for group in others:
        allowed = {scenarios.hosts(group[0]), "localhost"}
        for path in (path for name in group for path in (scenarios.SCENARIOS / name).glob("*.yml")):
            plays = re.findall(r"^(?:- |  )hosts: ([^\s\"]+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            assert set(plays) <= allowed, path


@pytest.mark.parametrize(("text", "markdown"), [
    ("C(a | b) of O(x_y), V(true)", "`a | b` of `x_y`, `true`"),
    ("the role P(gantry.webstack.nginx#role)", "the role `gantry.webstack.nginx`"),
    ("L(the docs,https://example.org/a) and U(https://example.org)", "[the docs](https://example.org/a) and <https://example.org>"),
    ("B(never) I(ever)", "**never** *ever*"),
    ("C(location = /x(y) {})", "`location = /x(y) {}`"),
    ("nothing (at all)", "nothing (at all)"),
])
def test_markup_becomes_markdown(text: str, markdown: str) -> None:
    assert role_readmes.markup(text) == markdown


def test_options_in_options_are_flattened() -> None:
    rows = list(role_readmes._rows({"a": {"type": "list", "elements": "dict", "required": True, "description": "Outer.",
                                          "options": {"b": {"type": "str", "choices": ["x", "y"], "default": "x", "description": ["In.", "Side."]}}}}))
    assert rows == ["| `a` | list of dict | **required** | Outer. |", "| `a.b` | str | `x` | In. Side. One of `x`, `y`. |"]


def test_a_failed_log_is_told_by_what_went_wrong_first() -> None:
    lines = ["TASK [x]", "[ERROR]: Task failed: no", "fatal: [web]: FAILED! =>", "    msg: because", *(f"line {number}" for number in range(100))]
    told = report.excerpt(lines)
    assert told[:4] == ["[ERROR]: Task failed: no", "fatal: [web]: FAILED! =>", "    msg: because", "…"] and told[-1] == "line 99" and len(told) == 44
    assert report.excerpt(["a", "ERROR b"], "^ERROR") == ["ERROR b"]
