# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import hashlib
import json
from typing import Any

import pytest
from check import Fetch, entry_faults, expected_minutes, package_faults, tick_faults
from records import Promise

MINUTE = 1_700_000_040.0  # 2023-11-14T22:14:00Z


def fetch_from(pages: dict[str, bytes]) -> Fetch:
    def fetch(host: str, path: str) -> bytes:
        if path not in pages:
            raise LookupError(f"{host}{path}: status 404")
        return pages[path]
    return fetch


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def entries(*pairs: tuple[str, str | None]) -> bytes:
    return json.dumps({"entries": [{"id": i, "text": text, "picture": picture} for i, (text, picture) in enumerate(pairs)]}).encode()


ENTRY = Promise("entry", "one", "", sha(b"png"))
PACKAGE = Promise("package", "load_1-1.0.tar.gz", "load-1", sha(b"tar"))
LINK = b'<a href="/packages/load_1-1.0.tar.gz#sha256=00">load_1-1.0.tar.gz</a>'


@pytest.mark.parametrize(("pages", "fault"), [
    ({"/entries.json": entries(("one", "/m/1"), ("other", None)), "/m/1": b"png"}, None),
    ({"/entries.json": entries()}, "'one' is missing"),
    ({"/entries.json": entries(("one", "/m/1"), ("one", "/m/1")), "/m/1": b"png"}, "'one' is there 2 times"),
    ({"/entries.json": entries(("one", "/m/1"))}, "cannot be had"),
    ({"/entries.json": entries(("one", None))}, "cannot be had"),
    ({"/entries.json": entries(("one", "/m/1")), "/m/1": b"pmg"}, "not what was sent"),
])
def test_entries(pages: Any, fault: Any) -> None:
    faults = entry_faults([ENTRY], fetch_from(pages))
    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]


@pytest.mark.parametrize(("pages", "fault"), [
    ({"/simple/load-1/": LINK, "/packages/load_1-1.0.tar.gz": b"tar"}, None),
    ({"/simple/load-1/": LINK * 2, "/packages/load_1-1.0.tar.gz": b"tar"}, "listed 2 times"),
    ({"/simple/load-1/": b""}, "listed 0 times"),
    ({"/simple/load-1/": LINK}, "cannot be had"),
    ({"/simple/load-1/": LINK, "/packages/load_1-1.0.tar.gz": b"tra"}, "not what was sent"),
])
def test_packages(pages: Any, fault: Any) -> None:
    faults = package_faults([PACKAGE], fetch_from(pages))
    assert len(faults) == (fault is not None)
    assert fault is None or fault in faults[0]


def test_a_lost_project_is_told() -> None:
    assert package_faults([PACKAGE], fetch_from({})) == ["pypi.test/simple/load-1/: status 404", "package load_1-1.0.tar.gz is listed 0 times"]


def test_minutes_that_began_and_had_time_to_run_are_expected() -> None:
    assert expected_minutes(MINUTE, MINUTE + 75) == ["2023-11-14T22:14Z", "2023-11-14T22:15Z"]
    assert expected_minutes(MINUTE + 1, MINUTE + 74) == []
    assert expected_minutes(MINUTE - 59, MINUTE + 15) == ["2023-11-14T22:14Z"]


def test_missed_and_doubled_ticks_are_faults() -> None:
    log = "2023-11-14T22:13Z\n2023-11-14T22:14Z\n2023-11-14T22:15Z\n2023-11-14T22:16Z\n"
    assert tick_faults(log, MINUTE, MINUTE + 140) == []
    assert tick_faults(log.replace("2023-11-14T22:15Z\n", ""), MINUTE, MINUTE + 140) == ["no tick at 2023-11-14T22:15Z"]
    assert tick_faults(log + "2023-11-14T22:15Z\n", MINUTE, MINUTE + 140) == ["2 ticks at 2023-11-14T22:15Z"]
