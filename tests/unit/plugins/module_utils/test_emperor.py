# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Vassals as they run, and what their logs say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common._processes import Process
from ansible_collections.gantry.webstack.plugins.module_utils.install import _emperor, _vassal_watch

FIXTURES = Path(__file__).parents[2] / "fixtures" / "install"


def process(pid: int, parent: int, argv: str, started: float = 1.0) -> Process:
    return Process(pid, parent, "S", started, argv.split())


# What an emperor and three vassals show (uWSGI 2.0.21), and a uwsgi of somebody else
SEEN = {item.pid: item for item in (
    process(10, 1, "/usr/bin/uwsgi --emperor /etc/webstack/vassals"),
    process(11, 10, "/usr/bin/uwsgi-core --ini shop.ini"), process(12, 11, "/usr/bin/uwsgi-core --ini shop.ini", 5.0),
    process(13, 11, "/usr/bin/uwsgi-core --ini shop.ini", 6.0),
    process(14, 10, "/usr/bin/uwsgi-core --ini single.ini", 7.0),
    process(20, 1, "/usr/bin/uwsgi-core --ini other.ini"),
)}


def test_find_vassal() -> None:
    assert _emperor.find_vassal("shop.ini", 10, SEEN) == _emperor.Vassal(11, {12: 5.0, 13: 6.0})
    assert _emperor.find_vassal("single.ini", 10, SEEN) == _emperor.Vassal(14, {14: 7.0})
    assert _emperor.find_vassal("other.ini", 10, SEEN) is None


def test_a_recorded_import_error() -> None:
    problem = _vassal_watch.explain((FIXTURES / "uwsgi-import-error.log").read_text(encoding="utf-8"))
    assert problem.reason == "its application does not load: ModuleNotFoundError: No module named 'nothing_of_that_name'"
    assert problem.details.splitlines()[0] == "Traceback (most recent call last):"
    assert "import nothing_of_that_name" in problem.details


@pytest.mark.parametrize(("log", "reason"), [
    ("x\nModuleNotFoundError: No module named 'a'\nunable to load app 0 (mountpoint='') (callable not found or import error)\n",
     "its application does not load: ModuleNotFoundError: No module named 'a'"),
    ("unlink(): No such file or directory [core/uwsgi.c line 1675]\nbind(): Permission denied [core/socket.c line 230]\n",
     "uWSGI says: bind(): Permission denied [core/socket.c line 230]"),
    ("!!! UNABLE to load uWSGI plugin: ./python9_plugin.so: cannot open shared object file !!!\n",
     "uWSGI says: !!! UNABLE to load uWSGI plugin: ./python9_plugin.so: cannot open shared object file !!!"),
    ("", "it said nothing about why"),
])
def test_explanations(log: str, reason: str) -> None:
    assert _vassal_watch.explain(log).reason == reason


def test_the_last_traceback_counts() -> None:
    log = "Traceback (most recent call last):\n  a\nA: 1\nx\nTraceback (most recent call last):\n  b\n\n  c\nB: 2\ny\n"
    assert _vassal_watch.traceback_in(log) == "Traceback (most recent call last):\n  b\n\n  c\nB: 2"
    assert _vassal_watch.traceback_in("no\n") == ""


def test_an_interpreter_that_ends_is_no_reason() -> None:
    first = "Traceback (most recent call last):\n  File \"a.py\", line 1, in <module>\nModuleNotFoundError: No module named 'x'"
    ends = ("Exception ignored in: <function f at 0x7f>\nTraceback (most recent call last):\n  File \"b.py\", line 2, in f\nTypeError: no\n"
            "Traceback (most recent call last):\n  File \"/usr/lib/python3.13/threading.py\", line 1526, in _shutdown\n    if x:\nSystemError: set\n")
    assert _vassal_watch.traceback_in(f"{first}\n{ends}") == first
    assert _vassal_watch.traceback_in(ends).endswith("SystemError: set")


def test_two_workers_that_write_their_tracebacks_at_once() -> None:
    log = "Traceback (most recent call last):\n  a\n  b\nTraceback (most recent call last):\nE: 1\n  a\n  b\nE: 1\n"
    assert _vassal_watch.traceback_in(log) == "Traceback (most recent call last):\n  a\n  b\nE: 1"


def test_a_trial_loads_and_serves_nothing() -> None:
    content = ("; head\n[uwsgi]\nwebstack-dollar = $\nsocket = /run/s\n"
               "plugins = python3\nuid = shop\nmaster = true\nlogto = /l\nmodule = wsgi\n"
               "processes = 4\n"
               "stats = /s\nattach-daemon = celery\nmule = x.py\nspooler = /q\nlazy-apps = true\nhttp-socket = :80\nenv = A=b\n"
               "cron = 1 1 1 1 1 x\nvacuum = true\n")
    assert _vassal_watch.trial_text(content) == ("; head\n[uwsgi]\nwebstack-dollar = $\nplugins = python3\nuid = shop\nmodule = wsgi\nenv = A=b\n"
                                                 "need-app = true\nsocket = 127.0.0.1:0\n")


@pytest.mark.parametrize(("took", "seconds"), [(-0.3, 0.2), (0.05, 0.2), (0.3, 0.3), (20.0, 0.5)])
def test_what_answers_late_is_watched_longer(took: float, seconds: float) -> None:
    assert _vassal_watch.steady(took) == seconds


@given(st.text(max_size=300))
def test_any_log_is_explained(log: str) -> None:
    problem = _vassal_watch.explain(log)
    assert problem.reason and "\n" not in problem.reason


def test_a_request_that_another_worker_logs_into_a_traceback_is_no_part_of_it() -> None:
    log = "\n".join(["Traceback (most recent call last):", '  File "/srv/shop/wsgi.py", line 1, in <module>',
                     "[pid: 1698|app: 0|req: 553/1009] 172.30.170.1 () {30 vars in 330 bytes} GET / => generated 11 bytes", "    import nothing",
                     "*** Operational MODE ***", "ModuleNotFoundError: No module named 'nothing'", "unable to load app 0 (mountpoint='')"])
    assert _vassal_watch.explain(log).reason == "its application does not load: ModuleNotFoundError: No module named 'nothing'"
    assert "req: 553" not in _vassal_watch.traceback_in(log)


def test_what_a_trial_adds_is_in_uwsgi_s_own_section() -> None:
    text = _vassal_watch.trial_text("[uwsgi]\nmodule = shop\n\n[x-webstack]\nstate = /srv/shop/data\n")
    assert "x-webstack" not in text and text.index("need-app = true") > text.index("module = shop")
