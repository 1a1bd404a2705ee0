# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""cron's times as systemd's: the same ticks, seen by an evaluator of each that knows nothing of the other."""

from __future__ import annotations

import datetime
import re
import shutil
import subprocess
from typing import List, Set

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common import _calendar
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


# cron, as crontab(5) has it, written down a second time and differently: bit by bit, one moment at a time.

def cron_field(word: str, value: int, low: int, high: int) -> bool:
    for item in word.split(","):
        span, _slash, step = item.partition("/")
        first, _dash, last = (str(low), "-", str(high)) if span == "*" else span.partition("-")
        if int(first) <= value <= int(last or first) and (value - int(first)) % int(step or 1) == 0:
            return True
    return False


def cron_ticks(text: str, moment: datetime.datetime) -> bool:
    minute, hour, day, month, week = text.split()
    sunday0 = moment.isoweekday() % 7
    in_day = cron_field(day, moment.day, 1, 31)
    in_week = cron_field(week, sunday0, 0, 7) or (sunday0 == 0 and cron_field(week, 7, 0, 7))
    restricted = day[0] != "*" and week[0] != "*"
    return (cron_field(minute, moment.minute, 0, 59) and cron_field(hour, moment.hour, 0, 23) and cron_field(month, moment.month, 1, 12)
            and (in_day or in_week if restricted else in_day and in_week))


# systemd.time(7), the part that is written.

def component(text: str, value: int) -> bool:
    for item in text.split(","):
        first, _slash, step = item.partition("/")
        begin, _dots, end = first.partition("..")
        if item == "*" or (step and value >= int(begin) and (value - int(begin)) % int(step) == 0):
            return True
        if not step and int(begin) <= value <= int(end or begin):
            return True
    return False


def week_days(text: str) -> Set[int]:
    names = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
    found: Set[int] = set()
    for item in text.split(","):
        first, _dots, last = item.partition("..")
        found |= set(range(names.index(first), names.index(last or first) + 1))
    return found


def calendar_ticks(text: str, moment: datetime.datetime) -> bool:
    words = text.split()
    week = words.pop(0) if len(words) == 3 else "Mon..Sun"
    (_year, month, day), (hour, minute, second) = words[0].split("-"), words[1].split(":")
    assert second == "00"
    return (moment.weekday() in week_days(week) and component(month, moment.month) and component(day, moment.day)
            and component(hour, moment.hour) and component(minute, moment.minute))


def field(low: int, high: int) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    step = st.sampled_from(["", "/1", "/2", "/3", "/7", "/20"])
    span = st.tuples(number, number, step).map(lambda item: "%d-%d%s" % (min(item[:2]), max(item[:2]), item[2]))
    return st.one_of(st.just("*"), st.lists(st.one_of(number.map(str), span, step.map("*{0}".format)), min_size=1, max_size=3).map(",".join))


CRON = st.tuples(*(field(low, high) for low, high in LIMITS)).map(" ".join)
MOMENT = st.datetimes(datetime.datetime(2024, 1, 1), datetime.datetime(2031, 12, 31, 23, 59))


@settings(max_examples=400)
@given(CRON, st.lists(MOMENT, min_size=5, max_size=40))
def test_same_ticks(text: str, moments: List[datetime.datetime]) -> None:
    expressions = _calendar.from_cron(text)
    for moment in moments:
        assert any(calendar_ticks(item, moment) for item in expressions) == cron_ticks(text, moment), (text, expressions, moment)


@settings(max_examples=60)
@given(CRON, MOMENT)
def test_same_ticks_around_a_day(text: str, moment: datetime.datetime) -> None:
    expressions = _calendar.from_cron(text)
    for minutes in range(0, 1440, 7):
        then = moment + datetime.timedelta(minutes=minutes)
        assert any(calendar_ticks(item, then) for item in expressions) == cron_ticks(text, then)


@pytest.mark.parametrize(("when", "lines"), [
    ("* * * * *", ["OnCalendar=*-*-* *:*:00"]),
    ("@daily", ["OnCalendar=*-*-* 00:00:00"]),
    ("@hourly", ["OnCalendar=*-*-* *:00:00"]),
    ("@weekly", ["OnCalendar=Sun *-*-* 00:00:00"]),
    ("*/5 2-4 * * mon-fri", ["OnCalendar=Mon..Fri *-*-* 02..04:00/5:00"]),
    ("0 4 1,15 * 5-7", ["OnCalendar=*-*-01,15 04:00:00", "OnCalendar=Fri..Sun *-*-* 04:00:00"]),
    ("0 4 */2 * 1", ["OnCalendar=Mon *-*-01/2 04:00:00"]),
    ("30 6 * JAN,mar 0", ["OnCalendar=Sun *-01,03-* 06:30:00"]),
    ("Mon *-*-* 03:00 UTC", ["OnCalendar=Mon *-*-* 03:00 UTC"]),
    ("minutely", ["OnCalendar=minutely"]),
    ("03:00; Sat 12:00", ["OnCalendar=03:00", "OnCalendar=Sat 12:00"]),
    ("OnBootSec=5min; OnUnitActiveSec=1h 2 min", ["OnBootSec=5min", "OnUnitActiveSec=1h 2 min"]),
])
def test_timer_lines(when: str, lines: List[str]) -> None:
    assert _calendar.timer_lines(when) == lines


@pytest.mark.parametrize(("when", "says"), [
    ("60 * * * *", "its minute '60' is not within 0 to 59"),
    ("* * 0 * *", "its day of month '0' is not within 1 to 31"),
    ("* * * foo *", "its month 'foo' is not within 1 to 12"),
    ("5/15 * * * *", "'5/15' in its minute"),
    ("*/0 * * * *", "'*/0' in its minute"),
    ("9-3 * * * *", "the range '9-3' in its minute runs backwards"),
    ("@fortnightly", "is no time"),
    ("  ", "is no time"),
])
def test_refused(when: str, says: str) -> None:
    with pytest.raises(WebstackError, match=re.escape(says)):
        _calendar.timer_lines(when)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze")
@settings(max_examples=20, deadline=None)
@given(CRON)
def test_systemd_understands(text: str) -> None:
    for item in _calendar.from_cron(text):
        done = subprocess.run(["systemd-analyze", "calendar", item], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (text, item, done.stderr)
