# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from records import Log, Promise, Record, read_ledger, read_records
from summary import by_window, percentile, summarise, window_of


def record(at: float, ms: float = 1.0, error: str | None = None, kind: str = "get", service: str = "httpbin") -> Record:
    return Record(at, service, kind, 200, ms, error, kept=False)


def test_percentiles_are_nearest_rank() -> None:
    values = [15, 20, 35, 40, 50]
    assert [percentile(values, p) for p in (5, 30, 40, 50, 100)] == [15, 20, 20, 35, 50]
    assert percentile(list(range(1, 101)), 99) == 99
    assert percentile([7], 1) == 7
    assert percentile([], 50) is None


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 100))
def test_a_percentile_is_a_value_that_enough_others_do_not_exceed(values: Any, percent: Any) -> None:
    found = percentile(values, percent)
    assert found in values
    assert sum(v <= found for v in values) * 100 >= percent * len(values)
    assert sum(v < found for v in values) * 100 < percent * len(values)


@pytest.mark.parametrize(("at", "window"), [
    (0, "before"), (94.9, "before"), (95, "during"), (105, "during"), (105.1, None), (150, None), (196, "during"), (205.1, "after"),
])
def test_windows_around_two_switches(at: Any, window: Any) -> None:
    assert window_of(at, [200, 100]) == window


def test_without_a_switch_everything_is_before() -> None:
    assert window_of(5, []) == "before"


def test_windows_count_failures_and_leave_slow_answers_out_of_percentiles() -> None:
    records = [record(0, 1), record(1, 3), record(2, 2000, kind="delay"), record(50, 9), record(51, 0, "reset"), record(99, 2)]
    windows = by_window(records, [50])
    assert windows["before"] == {"sent": 3, "failed": 0, "kept": 0, "p50_ms": 1, "p99_ms": 3, "max_ms": 3}
    assert windows["during"] == {"sent": 2, "failed": 1, "kept": 0, "p50_ms": 9, "p99_ms": 9, "max_ms": 9}
    assert windows["after"]["p99_ms"] == 2


def test_summary_tells_totals_and_failures_by_kind() -> None:
    result = summarise([record(0), record(1, error="reset: x"), record(2, error="reset: x"), record(4, service="guestbook")], [3])
    assert (result["sent"], result["failed"], result["rate"]) == (4, 2, 1.0)
    assert result["failures"] == {"httpbin get: reset: x": 2}
    assert result["services"]["httpbin"]["kinds"]["get"]["failed"] == 2
    assert result["services"]["guestbook"]["windows"]["during"]["sent"] == 1
    json.dumps(result)


def test_the_summary_of_nothing() -> None:
    assert summarise([])["sent"] == 0


def test_records_and_ledger_survive_the_way_through_a_file(tmp_path: Path) -> None:
    records = [record(1.5), Record(2.0, "guestbook", "sign", None, 3.2, 'closed: "x"', kept=True)]
    path = tmp_path / "run.jsonl"
    log = Log(path)
    for item in records:
        log.write(item)
    log.close()
    assert read_records(path) == records
    path.write_text(path.read_text()[:-5])
    assert read_records(path) == records[:1], "half a line of a killed run is left out"
    ledger = Log(path, flush_each=True)
    promise = Promise("entry", "text", "", "00")
    ledger.write(promise)
    assert read_ledger(path) == [promise]
