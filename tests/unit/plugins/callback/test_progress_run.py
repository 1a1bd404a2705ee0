"""The progress callback in real runs of ansible-playbook, with a terminal and without."""

from __future__ import annotations

import json
import re
import stat
import subprocess
from pathlib import Path

import pytest
from _bench.terminal import on_terminal

PLAYBOOK = """
- name: A play of two hosts
  hosts: all
  gather_facts: false
  tasks:
    - name: Wait a little
      ansible.builtin.command: sleep 1
      changed_when: true

    - name: Say something
      ansible.builtin.debug:
        msg: [first line, "of {{ inventory_hostname }}"]

    - name: Not now
      ansible.builtin.command: "false"
      when: false

    - name: Go wrong
      ansible.builtin.fail:
        msg: "the disk of {{ inventory_hostname }} is full; make room and run again"
      when: inventory_hostname == 'two'

    - name: Keep a secret
      ansible.builtin.command: echo hunter2
      no_log: true
      failed_when: hidden | default(false) | bool
"""


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """ansible-playbook over two hosts that are this machine."""
    (tmp_path / "play.yml").write_text(PLAYBOOK, encoding="utf-8")
    hosts = {name: {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"} for name in ("one", "two")}
    (tmp_path / "hosts.json").write_text(json.dumps({"all": {"hosts": hosts}}), encoding="utf-8")
    for name, value in {"ANSIBLE_STDOUT_CALLBACK": "gantry.webstack.progress", "WEBSTACK_PROGRESS_FAILURES": str(tmp_path / "failures"), "TERM": "xterm",
                        "ANSIBLE_HOME": str(tmp_path / "home"), "LC_ALL": "C.UTF-8", "PYTHONUTF8": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("NO_COLOR", "ANSIBLE_NOCOLOR", "ANSIBLE_FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    return ["ansible-playbook", "-i", str(tmp_path / "hosts.json"), str(tmp_path / "play.yml")]


def without_terminal(argv: list[str]) -> subprocess.CompletedProcess[str]:
    """A command as CI runs it."""
    return subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False, timeout=300)


def test_without_a_terminal_there_are_plain_lines(command: list[str], tmp_path: Path) -> None:
    done = without_terminal(command)
    assert done.returncode == 2 and "\x1b" not in done.stdout and "\r" not in done.stdout, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "A play of two hosts (2 hosts)"
    assert [line.split()[0] for line in lines if re.fullmatch(r"(one|two)  other tasks +\d+\.\d s  changed", line)].count("one") == 2
    assert "one  first line" in lines and "two  of two" in lines
    assert "two  FAILED in the task 'Go wrong'" in lines and "  the disk of two is full; make room and run again" in lines
    assert lines[-2] == "two  FAILED: the disk of two is full; make room and run again" and lines[-1].startswith("1 host done, 1 failed, in ")
    assert "TASK" not in done.stdout and "hunter2" not in done.stdout
    kept = tmp_path / "failures/two.json"
    assert f"  the whole result is in {kept}" in lines and stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert json.loads(kept.read_text(encoding="utf-8"))["result"]["msg"].startswith("the disk of two is full")
    assert [path.name for path in kept.parent.iterdir()] == ["two.json"]


def test_on_a_terminal_there_is_a_line_for_each_host_at_work_and_none_is_left(command: list[str]) -> None:
    code, told = on_terminal(command, {})
    assert code == 2
    drawn = re.findall(r"\r\x1b\[J([^\r]*) one  other tasks +\d+ s  (\S*)  step 1 of 5\r+\n", told)
    assert len(drawn) >= 2 and len({mark for mark, dummy in drawn}) >= 2 and {len(signs) for dummy, signs in drawn} == {16}
    assert "\x1b[0;31m" in told
    assert told.rindex("\x1b[J") < told.index("1 host done, 1 failed"), "nothing is drawn after the end"


def test_colour_and_the_moving_lines_can_be_refused(command: list[str]) -> None:
    code, told = on_terminal(command, {"NO_COLOR": "1", "WEBSTACK_PROGRESS_PLAIN": "1"})
    assert code == 2 and "\x1b" not in told and "1 host done, 1 failed" in told


def test_verbose_names_each_task_and_check_says_so(command: list[str]) -> None:
    done = without_terminal([*command, "-v", "--check", "--limit", "one"])
    assert done.returncode == 0, done.stdout
    assert "A play of two hosts (1 host, check mode: nothing is written)" in done.stdout and "one  skipped: Not now" in done.stdout


def test_what_nobody_may_see_is_not_in_a_failure(command: list[str], tmp_path: Path) -> None:
    done = without_terminal([*command, "-vv", "-e", "hidden=true", "--limit", "one"])
    assert done.returncode == 2 and "hunter2" not in done.stdout + done.stderr
    assert "hunter2" not in (tmp_path / "failures/one.json").read_text(encoding="utf-8")


def test_without_a_place_the_whole_result_is_printed(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WEBSTACK_PROGRESS_FAILURES", "/proc/none/of/it")
    done = without_terminal(command)
    assert re.search(r'  the whole result: \{\s+"changed": false,\s+"msg": "the disk of two', done.stdout), done.stdout
