# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a watch takes for worse, and what it lets pass."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.move import _watch

LIMITS = _watch.Limits(errors=1.0, p99=2.0)
LINE = '10.0.0.9 - - [25/Nov/2026:02:00:00 +0000] "POST /sign HTTP/1.1" %d 12 "-" "curl/8"\n'


def tally(total: int = 0, errors: int = 0, times: "list[float] | None" = None) -> _watch.Tally:
    found = _watch.Tally()
    found.total, found.errors, found.times = total, errors, [_watch.Time(0, seconds, -9.0) for seconds in times or []]
    return found


@pytest.mark.parametrize(("host", "container", "before", "now", "told"), [
    (tally(100), tally(100), tally(1000, 2), tally(100), None),
    (tally(100), tally(100, 2), tally(), tally(), None),  # few
    (tally(100), tally(100, 5), tally(), tally(), "5 of 100 test requests failed in the container, 0 of 100 on the host"),
    (tally(100, 5), tally(100, 5), tally(), tally(), None),  # as bad as it was
    (tally(100), tally(100), tally(1000, 50), tally(200, 11), None),  # 5 % before, 5.5 % now
    (tally(100), tally(100), tally(1000, 0), tally(200, 5), "2.5 % of 200 requests failed, 0.0 % before"),
    (tally(99, 0, [0.010] * 99), tally(99, 0, [0.010] * 94 + [0.2] * 5), tally(), tally(),
     "5 of 99 answers of the container took more than 30 ms, the host's p99 is 10 ms"),
    (tally(99, 0, [0.010] * 99), tally(99, 0, [0.010] * 95 + [0.2] * 4), tally(), tally(), None),  # chance
    (tally(999, 0, [0.010] * 999), tally(999, 0, [0.010] * 970 + [0.2] * 29), tally(), tally(),
     "29 of 999 answers of the container took more than 30 ms, the host's p99 is 10 ms"),
    (tally(99, 0, [0.010] * 99), tally(99, 0, [0.029] * 99), tally(), tally(), None),  # less than scheduling may cost
    (tally(99, 0, [0.1] * 99), tally(99, 0, [0.15] * 99), tally(), tally(), None),  # less than the factor
    (tally(9, 0, [0.01] * 9), tally(9, 0, [0.9] * 9), tally(), tally(), None),  # too few to tell
])
def test_what_got_worse(host: _watch.Tally, container: _watch.Tally, before: _watch.Tally, now: _watch.Tally, told: "str | None") -> None:
    assert _watch.verdict(host, container, before, now, LIMITS) == told


def test_a_container_that_hangs_is_seen_before_it_has_answered() -> None:
    host, container = tally(30, 0, [0.01] * 30), tally(20, 0, [0.01] * 20)
    container.asked = dict.fromkeys(range(6), (0, 5.0))
    assert _watch.hangs(host, container, LIMITS, 5.2) is None
    assert str(_watch.hangs(host, container, LIMITS, 5.5)).startswith("6 of the last 6 answers of the container took more than 2 times")
    container.times += [_watch.Time(0, 0.01, 5.4)] * 6
    assert _watch.hangs(host, container, LIMITS, 5.5) is None  # a moment
    assert _watch.hangs(host, container, LIMITS, 8.5) is not None
    host.asked = {9: (0, 5.0)}  # slow too
    assert _watch.hangs(host, container, LIMITS, 8.5) is None


def test_slow_pages_hide_no_container_that_hangs() -> None:
    host = tally(30, 0, [0.01] * 30)
    host.times += [_watch.Time(1, 2.0, 4.0), _watch.Time(1, 2.01, 5.0)]
    container = tally()
    container.times = [_watch.Time(0, 0.3, 5.0)] * 6 + [_watch.Time(1, 2.3, 5.0), _watch.Time(2, 9.0, 5.0)]  # the host has not answered the last one yet
    assert str(_watch.hangs(host, container, LIMITS, 5.5)).startswith("6 of the last 7 answers")


@pytest.mark.parametrize(("late", "told"), [
    ([True] * 20, "6 of the last 6"),
    ([True] * 12, None),  # not long enough
    ([True] * 12 + [False] + [True] * 12, None),
])
def test_a_container_hangs_when_its_answers_stay_late(monkeypatch: pytest.MonkeyPatch, late: "list[bool]", told: "str | None") -> None:
    """A look each fifth of a second."""
    times = iter(0.2 * look for look in range(99))
    monkeypatch.setattr(_watch.time, "monotonic", lambda: next(times))
    service = {"name": "shop", "uwsgi": {}, "nginx": {"sites": [{"access_log": False}]}}
    watched = _watch.Watch(service, "", "", [], lambda: None)
    said = []
    for waits in late:
        monkeypatch.setattr(_watch, "hangs", lambda *dummy, waits=waits: "6 of the last 6" if waits else None)
        said.append(watched.problem(LIMITS))
    assert said[-1] == told
    assert said[0] is None


@pytest.mark.parametrize(("waiting", "told"), [
    ([], None),
    ([90] * 9, None),  # a moment
    ([10] * 19, None),
    ([90, 90, 90, 0, 90, 90, 90], None),
    ([0, *range(11, 40), 50], "for 2 s more than 10 requests waited for a free worker of the container, 50 at last"),
])
def test_a_queue_that_fills(waiting: "list[int]", told: "str | None") -> None:
    assert _watch.queue_problem([(0.2 * at, number) for at, number in enumerate(waiting)], 10) == told


@pytest.mark.parametrize(("options", "most"), [
    ({}, 10), ({"processes": 4}, 20), ({"workers": "2", "threads": 8}, 50), ({"processes": 4, "threads": 8, "listen": 1024}, 160), ({"processes": "%k"}, 10),
])
def test_how_many_may_wait(options: "dict[str, object]", most: int) -> None:
    assert _watch.may_wait(options) == most


class Watched:
    """A service that is worse or not, and nobody to ask."""

    sockets: "dict[str, str]" = {}

    def __init__(self, name: str, problem: "str | None") -> None:
        self.service, self.found, self.looks = {"name": name}, problem, 0

    def look(self) -> None:
        self.looks += 1

    def problem(self, limits: _watch.Limits) -> "str | None":
        return self.found


def test_who_got_worse_goes_back_while_the_others_are_watched_on() -> None:
    bad, good = Watched("bad", "it hangs"), Watched("good", None)
    gone: "list[tuple[str, int]]" = []
    found = _watch.watch([bad, good], 1.2, LIMITS, lambda watched: gone.append((watched.service["name"], good.looks)))  # type: ignore[list-item]
    assert (found, gone, bad.looks) == ({"bad": "it hangs"}, [("bad", 0)], 1)
    assert good.looks > 1


def test_a_log_is_followed_through_its_rotation(tmp_path: Path) -> None:
    path = tmp_path / "access.log"
    path.write_text(LINE % 200)
    log = _watch.Log(str(path), [LINE % 200, LINE % 500, "nothing that is known"])
    assert (log.before.total, log.before.errors) == (2, 1)
    with path.open("a") as handle:
        handle.write((LINE % 502) + (LINE % 200)[:30])
    log.read()
    assert (log.now.total, log.now.errors) == (1, 1)
    with path.open("a") as handle:
        handle.write((LINE % 200)[30:])
    log.read()
    path.rename(tmp_path / "access.log.1")
    log.read()
    path.write_text(LINE % 503)
    log.read()
    assert (log.now.total, log.now.errors) == (3, 2)


def test_a_service_without_a_log_is_watched_all_the_same() -> None:
    log = _watch.Log(None, [])
    log.read()
    assert log.now.total == 0
