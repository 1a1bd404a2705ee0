"""The parity gate: noise is taken out, everything else counts."""

from __future__ import annotations

import gzip
import itertools
import random
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response
from ansible_collections.gantry.webstack.plugins.module_utils.move import _parity

HTML = ("Content-Type", "text/html; charset=utf-8")


def answer(body: bytes = b"hello", status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
    return Response(status, "", headers if headers is not None else [HTML], body)


def differences(before: Response, candidate: Response, after: Response) -> list[str]:
    return _parity.differences([before, after], candidate)


def test_equal_answers_are_equal() -> None:
    assert differences(answer(), answer(), answer()) == []


@given(st.binary(), st.binary())
def test_a_deterministic_host_lets_no_other_body_through(host: bytes, candidate: bytes) -> None:
    found = differences(answer(host), answer(candidate), answer(host))
    assert bool(found) == (host != candidate)


@given(st.binary(), st.integers(100, 599))
def test_no_false_alarm_when_both_sides_are_the_same_program(body: bytes, status: int) -> None:
    assert differences(answer(body, status), answer(body, status), answer(body, status)) == []


@pytest.mark.parametrize(("candidate", "said"), [
    (answer(status=500), "status 500, the host's 200"),
    (answer(headers=[("Content-Type", "text/plain")]), "header content-type is ['text/plain'], the host's ['text/html; charset=utf-8']"),
    (answer(headers=[]), "header content-type is missing, the host's ['text/html; charset=utf-8']"),
    (answer(headers=[HTML, ("X-New", "1")]), "header x-new is ['1'], the host's missing"),
    (answer(b"hallo"), "body says 'hallo' where the host says 'hello'"),
])
def test_a_seeded_defect_is_named(candidate: Response, said: str) -> None:
    assert differences(answer(), candidate, answer()) == [said]


@pytest.mark.parametrize(("host", "candidate", "alike"), [
    (["1", "2"], "3", True),
    (["1", "2"], "one", False),
    (['W/"a1"', 'W/"a1"'], 'W/"b2"', True),
    (['W/"a1"', 'W/"a1"'], '"b2"', False),
])
def test_headers_may_have_what_the_hosts_have(host: list[str], candidate: str, alike: bool) -> None:
    name = "ETag" if "/" in host[0] else "X-Count"
    hosts = [answer(headers=[HTML, (name, value)]) for value in host]
    assert (_parity.differences(hosts, answer(headers=[HTML, (name, candidate)])) == []) == alike
    assert _parity.differences(hosts, answer())


def test_a_header_that_comes_and_goes_is_noise() -> None:
    hosts = [answer(), answer(headers=[HTML, ("X-Cache", "hit")])]
    assert _parity.differences(hosts, answer()) == _parity.differences(hosts, answer(headers=[HTML, ("X-Cache", "hit")])) == []


def test_a_content_length_counts_where_no_body_tells() -> None:
    head, other = (answer(b"", headers=[HTML, ("Content-Length", size)]) for size in ("5", "6"))
    assert _parity.differences([head, head], other)
    full, longer = answer(b"a1", headers=[HTML, ("Content-Length", "2")]), answer(b"a10", headers=[HTML, ("Content-Length", "3")])
    assert _parity.differences([full, answer(b"a2", headers=full.headers)], longer) == []


def test_a_compressed_body_is_compared_by_its_content() -> None:
    coded = [HTML, ("Content-Encoding", "gzip")]
    first, again, other = (answer(gzip.compress(text, mtime=when), headers=coded) for text, when in ((b"hello", 1), (b"hello", 2), (b"hallo", 1)))
    assert _parity.differences([first, first], again) == []
    assert _parity.differences([first, first], other) == ["body says 'hallo' where the host says 'hello'"]


def cookie(value: str) -> Response:
    return answer(headers=[("Set-Cookie", value)])


SESSION = "sessionid=aaa; HttpOnly; expires=Tue, 08 Dec 2026 07:00:00 GMT; Path=/"


@pytest.mark.parametrize(("candidate", "alike"), [
    ("sessionid=ccc; HttpOnly; expires=Tue, 08 Dec 2026 07:00:01 GMT; Path=/", True),
    ("sessionid=ccc; expires=Tue, 08 Dec 2026 07:00:01 GMT; Path=/", False),
    ("sessionid=ccc; HttpOnly; Path=/", False),
    ("session=ccc; HttpOnly; expires=Tue, 08 Dec 2026 07:00:01 GMT; Path=/", False),
])
def test_cookies_are_compared_by_name_and_attributes(candidate: str, alike: bool) -> None:
    hosts = [cookie(SESSION), cookie(SESSION.replace("aaa", "bbb"))]
    assert (_parity.differences(hosts, cookie(candidate)) == []) == alike


def test_a_cookie_that_does_not_change_has_its_value_compared() -> None:
    found = _parity.differences([cookie("lang=de"), cookie("lang=de")], cookie("lang=en"))
    assert found == ["cookie lang has another value, which is the same in all of the host's answers"]


def test_data_that_changes_meanwhile_is_asked_again() -> None:
    counter = itertools.count()

    def host(dummy: _parity.Request) -> Response:
        return answer(b"entries: %d" % (next(counter) // 3))  # an entry comes in now and then

    assert _parity.compare(host, host, _parity.Request("GET", "/"), pause=lambda dummy: None).found == []


def always(one: Response) -> _parity.Ask:
    return lambda dummy: one


def test_a_defect_stays_a_defect_however_often_it_is_asked() -> None:
    found = _parity.compare(always(answer()), always(answer(b"hallo")), _parity.Request("GET", "/"), pause=lambda dummy: None)
    assert found.found == ["body says 'hallo' where the host says 'hello'"]
    assert (found.host.body, found.candidate.body) == (b"hello", b"hallo")


def test_a_defect_of_every_second_answer_is_one() -> None:
    answers = itertools.cycle([answer(b"hallo"), answer()])
    assert _parity.compare(always(answer()), lambda dummy: next(answers), _parity.Request("GET", "/"), pause=lambda dummy: None).found


def test_another_status_needs_no_more_than_three_tries() -> None:
    asked: Iterator[int] = itertools.count()

    def broken(dummy: _parity.Request) -> Response:
        next(asked)
        return answer(status=500)

    assert _parity.compare(always(answer()), broken, _parity.Request("GET", "/"), pause=lambda dummy: None).found == ["status 500, the host's 200"]
    assert next(asked) == 3


def test_switches_that_are_thrown_at_random_are_learned() -> None:
    dice = random.Random(3)

    def host(dummy: _parity.Request) -> Response:
        return answer(b"".join(b'{"n": %s}' % dice.choice([b"true", b"false"]) for dummy in range(6)))

    assert sum(bool(_parity.compare(host, host, _parity.Request("GET", "/"), pause=lambda dummy: None).found) for dummy in range(100)) <= 4


def test_each_side_gets_its_own_validator() -> None:
    def side(tag: str) -> _parity.Ask:
        return lambda asked: answer(status=304 if asked.headers == (("If-None-Match", tag),) else 200, headers=[HTML, ("ETag", tag)])

    request = _parity.Request("GET", "/a.css", headers=(("If-None-Match", _parity.OWN),))
    for tag in ('"1"', '"2"'):
        ask = side(tag)
        assert ask(_parity.with_own(request, ask)).status == 304
    assert _parity.with_own(request, always(answer())).headers == ()


def test_query_values_are_not_shown() -> None:
    assert _parity.Request("GET", "/a?token=s3cret&x=1").shown() == "GET /a?token=...&x=..."
    assert _parity.Request("GET", "/a", "b.test", (("Range", "bytes=0-1"), ("If-None-Match", ""))).shown() == (
        "GET /a (Host: b.test, Range: bytes=0-1, If-None-Match)")


def test_both_answers_are_shown_around_their_first_difference() -> None:
    host = answer("\n".join(f"line {number}" for number in range(50)).encode(), headers=[HTML, ("X-A", "1"), ("Set-Cookie", "a=secret; Path=/")])
    mine = answer(host.body.replace(b"line 20\n", b"line zwanzig\n"), 500, [HTML, ("Set-Cookie", "a=hidden")])
    assert _parity.shown(host, mine, lambda line: line.replace("line 21", "***")) == [
        "-HTTP 200", "+HTTP 500", " content-type: text/html; charset=utf-8", "-set-cookie: a=...; Path=/", "+set-cookie: a=...", "-x-a: 1", " ",
        " line 18", " line 19", "-line 20", "+line zwanzig", " ***", " line 22"]


def test_bodies_that_nobody_can_read_are_shown_by_size_and_digest() -> None:
    lines = _parity.shown(answer(b"\0\1"), answer(b"\0\1\2"), str)
    assert [line[:9] for line in lines[-2:]] == ["-2 bytes,", "+3 bytes,"]
