# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import asyncio
import io
import random
import tarfile
from typing import Any

import pytest
from http11 import Client, RequestError, Response
from mix import KINDS, Kind, Mix, digest, length, lines, png, rates, sdist, send_forever, session_kept
from records import Log, Promise, Record


def planned(plan: list[tuple[Kind, float]]) -> float:
    return sum(rate * kind.requests for kind, rate in plan)


@pytest.mark.parametrize("total", [200, 50, 5])
def test_rates_come_to_the_total(total: Any) -> None:
    assert planned(rates(KINDS, total)) == pytest.approx(total)


def test_fixed_rates_stay_fixed() -> None:
    assert {rate for kind, rate in rates(KINDS, 300) if kind.action is Mix.delay} == {2}
    assert {rate for kind, rate in rates(KINDS, 600) if kind.action is Mix.sign} == {1}


@pytest.mark.parametrize(("check", "good", "bad"), [
    (length(3), b"abc", b"ab"),
    (lines(2), b"a\nb\n", b"a\n"),
    (digest("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), b"abc", b"abd"),
    (session_kept, b"You have been here 2 times.", b"You have been here 1 time."),
    (session_kept, b"You have been here 12 times.", b"Bad Gateway"),
])
def test_answers_are_judged_by_their_body(check: Any, good: Any, bad: Any) -> None:
    assert check(Response(200, [], good)) is None
    assert check(Response(200, [], bad))


def test_generated_files_differ_and_are_what_they_claim() -> None:
    rng = random.Random(1)
    assert png(rng) != png(rng)
    with tarfile.open(fileobj=io.BytesIO(sdist(rng, "load_x", "1.2"))) as archive:
        assert archive.getnames() == ["load_x-1.2/PKG-INFO", "load_x-1.2/noise"]


class Kept(Log):
    """A log that keeps what it is given."""

    def __init__(self) -> None:
        self.items: list[Record | Promise] = []

    def write(self, item: Record | Promise) -> None:
        self.items.append(item)


class Answers(Client):
    """A client that gives one answer to everything."""

    def __init__(self, answer: Response | RequestError) -> None:
        self.answer = answer

    async def request(self, *args: Any, **kwargs: Any) -> Response:
        if isinstance(self.answer, RequestError):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(("answer", "status", "error"), [
    (Response(200, [], b""), 200, None),
    (Response(502, [], b""), 502, "status 502 instead of 200"),
    (RequestError("reset", "by peer"), None, "reset: by peer"),
])
def test_each_request_is_one_record(answer: Any, status: Any, error: Any) -> None:
    log = Kept()
    mix = Mix(Answers(answer), log, Kept(), seed=1)
    asyncio.run(mix.status())
    assert [(r.service, r.kind, r.status, r.error) for r in log.items if isinstance(r, Record)] == [("httpbin", "status", status, error)]
    assert (mix.sent, mix.failed) == (1, int(error is not None))


def test_only_acknowledged_uploads_are_in_the_ledger() -> None:
    for answer, promised in ((Response(200, [], b""), 1), (Response(500, [], b""), 0), (RequestError("closed", "early"), 0)):
        ledger = Kept()
        asyncio.run(Mix(Answers(answer), Kept(), ledger, seed=1).upload())
        assert len(ledger.items) == promised


def test_the_load_goes_on_at_its_pace_while_answers_are_slow_and_all_are_awaited() -> None:
    ended = 0

    async def slow(mix: Mix) -> None:
        nonlocal ended
        await asyncio.sleep(0.3)
        ended += 1

    async def go() -> int:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop.set)
        late = await send_forever(Mix(Answers(Response(200, [])), Kept(), Kept(), seed=3), [(Kind("x", slow), 100.0)], stop)
        return len(late)

    started = asyncio.run(go())
    assert 10 < started < 60
    assert ended == started


def test_a_fault_of_the_generator_ends_the_run() -> None:
    async def broken(mix: Mix) -> None:
        raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        asyncio.run(send_forever(Mix(Answers(Response(200, [])), Kept(), Kept(), seed=1), [(Kind("x", broken), 100.0)], asyncio.Event()))
