# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from _demo.table import columns, render, service_rows, switch_times
from records import Record

JOURNAL = {"runtime": "container", "events": [
    {"at": 50.0, "event": "switched"}, {"at": 110.0, "event": "candidate"}, {"at": 120.0, "event": "switched"},
    {"at": 150.0, "event": "rolled back"}, {"at": 180.5, "event": "switched"}]}


def test_only_the_switches_of_this_run_count() -> None:
    assert switch_times(JOURNAL, since=100) == [120.0, 150.0, 180.5]
    assert switch_times({}, since=100) == []


def record(at: float, service: str, ms: float, error: str | None = None) -> Record:
    return Record(at, service, "get", 200, ms, error, kept=True)


def test_rows_and_their_table() -> None:
    records = [record(101, "httpbin", 1), record(121, "httpbin", 2), record(190, "httpbin", 3), record(150, "httpbin", 9, "reset: x"),
               record(101, "static", 4), record(180, "static", 5)]
    rows = service_rows(records, {"httpbin": JOURNAL}, {"httpbin": 85_400_000}, {"httpbin": "host"}, since=100)
    assert [(row["service"], row["before"], row["after"], row["sent"], row["failed"], row["switches"]) for row in rows] == [
        ("httpbin", "host", "container", 4, 1, 3), ("static", "nginx", "nginx", 2, 0, 0)]
    assert [rows[0]["windows"][name]["p99_ms"] for name in ("before", "during", "after")] == [1, 2, 3]
    assert rows[1]["windows"]["during"]["sent"] == 1, "static files are seen around the switches of all services"
    lines = render(rows, [("convert", 12.34)], 1.5).splitlines()
    assert lines[1].split() == ["httpbin", "host", "container", "85", "MB", "4", "1", *"1.0 / 2.0 / 3.0".split(), *"1.0 / 2.0 / 3.0".split()]
    assert lines[3].split() == ["all", "6", "1"]
    assert "late by 1.5 ms" in lines[5]
    assert lines[-1].split() == ["convert", "12.3"]


def test_columns_are_aligned() -> None:
    assert columns([["a", "bb"], ["ccc", "d"]]) == "a    bb\nccc   d"
