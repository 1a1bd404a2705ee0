# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a scheduled command runs: crontab(5)'s five fields as systemd.time(7)'s calendar expressions. Pure.

Rules of Debian's cron (crontab(5), and what its ``entry.c`` takes): lists of numbers, ranges and stepped ranges or stars; names of months
and days; Sunday is 0 and 7. A command whose day of month and day of week are both restricted runs when either is met; a field that
begins with a star, such as ``*/2``, does not count as restricted, and then both must be met.
"""

from __future__ import annotations

import datetime
import re
from typing import Dict, FrozenSet, List, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

REBOOT = "@reboot"
"""Once after each boot; there is no timer for it."""

MACROS = {"@yearly": "0 0 1 1 *", "@annually": "0 0 1 1 *", "@monthly": "0 0 1 * *", "@weekly": "0 0 * * 0", "@daily": "0 0 * * *",
          "@midnight": "0 0 * * *", "@hourly": "0 * * * *"}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_WEEK = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_ITEM = re.compile(r"(?:(?P<star>\*)|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?\Z")
_MONOTONIC = re.compile(r"On[A-Za-z]+Sec=\S.*\Z")


class Cron(NamedTuple):
    """The five fields as sets of numbers (Sunday is 0); ``either`` when one of the two day fields is enough."""

    minute: FrozenSet[int]
    hour: FrozenSet[int]
    day: FrozenSet[int]
    month: FrozenSet[int]
    weekday: FrozenSet[int]
    either: bool


class _Field(NamedTuple):
    name: str
    low: int
    high: int
    names: Dict[str, int]


_FIELDS = (_Field("minute", 0, 59, {}), _Field("hour", 0, 23, {}), _Field("day of month", 1, 31, {}),
           _Field("month", 1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
           _Field("day of week", 0, 7, {name: number for number, name in enumerate(_DAYS)}))


def _number(word: str, field: _Field, text: str) -> int:
    number = int(word) if word.isdigit() else field.names.get(word.lower(), -1)
    if not field.low <= number <= field.high:
        raise WebstackError("%r is no time that cron knows: its %s %r is not within %d to %d" % (text, field.name, word, field.low, field.high))
    return number


def _numbers(word: str, field: _Field, text: str) -> FrozenSet[int]:
    found: List[int] = []
    for item in word.split(","):
        match = _ITEM.match(item)
        if match is None or match["step"] and (int(match["step"]) == 0 or match["first"] and not match["last"]):
            raise WebstackError("%r is no time that cron knows: %r in its %s; write a number, FIRST-LAST, FIRST-LAST/STEP, * or */STEP"
                                % (text, item, field.name))
        first = field.low if match["star"] else _number(match["first"], field, text)
        last = field.high if match["star"] else _number(match["last"], field, text) if match["last"] else first
        if last < first:
            raise WebstackError("%r is no time that cron knows: the range %r in its %s runs backwards" % (text, item, field.name))
        found += range(first, last + 1, int(match["step"] or 1))
    return frozenset(found)


def parse(text: str) -> Cron:
    """Five cron fields, or @daily and the like. Raises WebstackError with the field that is wrong."""
    words = MACROS.get(text.strip(), text).split()
    if len(words) != len(_FIELDS):
        raise WebstackError("%r is no time that cron knows: there are five fields, or one of %s and %s" % (text, ", ".join(MACROS), REBOOT))
    minute, hour, day, month, week = (_numbers(word, field, text) for word, field in zip(words, _FIELDS))
    return Cron(minute, hour, day, month, frozenset(number % 7 for number in week), not words[2].startswith("*") and not words[4].startswith("*"))


def _spell(numbers: FrozenSet[int], low: int, high: int) -> str:
    """A component of systemd.time(7): ``*``, ``FIRST/STEP`` up to the end, or a list with ranges."""
    ordered = sorted(numbers)
    if len(ordered) == high - low + 1:
        return "*"
    step = ordered[1] - ordered[0] if len(ordered) > 1 else 0
    if len(ordered) > 2 and step > 1 and ordered == list(range(ordered[0], high + 1, step)):
        return "%02d/%d" % (ordered[0], step)
    return ",".join("%02d" % run[0] if len(run) == 1 else "%02d..%02d" % (run[0], run[-1]) for run in _runs(ordered))


def _runs(ordered: Sequence[int]) -> List[List[int]]:
    runs: List[List[int]] = []
    for number in ordered:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return runs


def _week(days: FrozenSet[int]) -> str:
    """Days of the week, Monday first as systemd has them; empty for all."""
    if len(days) == 7:
        return ""
    runs = _runs(sorted((day - 1) % 7 for day in days))
    return ",".join(_WEEK[run[0]] if len(run) == 1 else "%s..%s" % (_WEEK[run[0]], _WEEK[run[-1]]) for run in runs) + " "


def from_cron(text: str) -> List[str]:
    """Five cron fields, or @daily and the like, as calendar expressions of which each tick meets at least one."""
    cron = parse(text)
    clock = "%s:%s:00" % (_spell(cron.hour, 0, 23), _spell(cron.minute, 0, 59))
    month, day = _spell(cron.month, 1, 12), _spell(cron.day, 1, 31)
    if cron.either:
        return ["*-%s-%s %s" % (month, day, clock), "%s*-%s-* %s" % (_week(cron.weekday), month, clock)]
    return ["%s*-%s-%s %s" % (_week(cron.weekday), month, day, clock)]


def following(text: str, after: datetime.datetime) -> Optional[datetime.datetime]:
    """The first tick of five cron fields, or @daily and the like, after a moment; None when there is none within the four years that follow."""
    cron = parse(text)
    for days in range(4 * 366 + 1):
        day = after.date() + datetime.timedelta(days=days)
        in_month, in_week = day.day in cron.day, day.isoweekday() % 7 in cron.weekday
        if day.month in cron.month and (in_month or in_week if cron.either else in_month and in_week):
            for hour in sorted(cron.hour):
                for minute in sorted(cron.minute):
                    tick = datetime.datetime(day.year, day.month, day.day, hour, minute)
                    if tick > after:
                        return tick
    return None


def is_cron(text: str) -> bool:
    """Whether a ``when`` is written as cron has it, rather than as systemd does."""
    return text.strip() in MACROS or len(text.split()) == len(_FIELDS) and not _MONOTONIC.match(text.strip())


def timer_lines(when: str) -> List[str]:
    """The lines of a [Timer] section that stand for ``when``; several expressions of systemd's are separated by ``;``.

    Raises WebstackError for what cannot be meant. Whether systemd understands a calendar expression of its own kind is systemd's to say.
    """
    if "\n" in when or not when.strip() or when.strip().startswith("@") and when.strip() not in MACROS:
        raise WebstackError("%r is no time: write five cron fields, one of %s and %s, or an OnCalendar= expression" % (when, ", ".join(MACROS), REBOOT))
    if is_cron(when):
        return ["OnCalendar=" + item for item in from_cron(when)]
    items = [item.strip() for item in when.split(";") if item.strip()]
    return [item if _MONOTONIC.match(item) else "OnCalendar=" + item for item in items]
