"""The parity gate: noise is taken out, everything else counts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response
from ansible_collections.gantry.webstack.plugins.module_utils.move import _parity


def answer(body: bytes = b"hello", status: int = 200, headers: list[tuple[str, str]] | None = None) -> Response:
    return Response(status, "", headers if headers is not None else [("Content-Type", "text/html; charset=utf-8")], body)


def test_equal_answers_are_equal() -> None:
    assert _parity.differences(answer(), answer(), answer()) == []


@given(st.binary(), st.binary())
def test_a_deterministic_host_lets_no_other_body_through(host: bytes, candidate: bytes) -> None:
    found = _parity.differences(answer(host), answer(candidate), answer(host))
    assert bool(found) == (host != candidate)


@given(st.binary(), st.integers(100, 599))
def test_no_false_alarm_when_both_sides_are_the_same_program(body: bytes, status: int) -> None:
    assert _parity.differences(answer(body, status), answer(body, status), answer(body, status)) == []


@given(st.lists(st.uuids(), min_size=3, max_size=3, unique=True))
def test_a_token_that_is_new_in_each_answer_is_noise(tokens: list[object]) -> None:
    pages = [f'<input name="csrf" value="{token}"><p>Price 1.00</p>'.encode() for token in tokens]
    assert _parity.differences(*map(answer, pages)) == []
    assert _parity.differences(answer(pages[0]), answer(pages[1].replace(b"1.00", b"1,00")), answer(pages[2]))


@pytest.mark.parametrize(("candidate", "said"), [
    (answer(status=500), "status 500, the host's 200"),
    (answer(headers=[("Content-Type", "text/plain")]), "header content-type is ['text/plain'], the host's ['text/html; charset=utf-8']"),
    (answer(headers=[]), "header content-type is missing, the host's ['text/html; charset=utf-8']"),
    (answer(headers=[("Content-Type", "text/html; charset=utf-8"), ("X-New", "1")]), "header x-new is ['1'], the host's missing"),
    (answer(b"hallo"), "body says 'hallo' where the host says 'hello'"),
])
def test_a_seeded_defect_is_named(candidate: Response, said: str) -> None:
    assert _parity.differences(answer(), candidate, answer()) == [said]


def cookie(value: str) -> Response:
    return answer(headers=[("Set-Cookie", value)])


def test_cookies_are_compared_by_name_and_attributes() -> None:
    host = cookie("sessionid=aaa; HttpOnly; expires=Tue, 08 Dec 2026 07:00:00 GMT; Path=/")
    assert _parity.differences(host, cookie("sessionid=bbb; HttpOnly; expires=Tue, 08 Dec 2026 07:00:01 GMT; Path=/"), host) == []
    assert _parity.differences(host, cookie("sessionid=bbb; expires=Tue, 08 Dec 2026 07:00:01 GMT; Path=/"), host)


def test_data_that_changes_meanwhile_is_asked_again() -> None:
    counter = itertools.count()

    def host(dummy: _parity.Request) -> Response:
        return answer(b"entries: %d" % (next(counter) // 3))  # an entry comes in now and then

    assert _parity.compare(host, host, _parity.Request("GET", "/")) == []


def test_a_defect_stays_a_defect_however_often_it_is_asked() -> None:
    found = _parity.compare(lambda dummy: answer(), lambda dummy: answer(b"hallo"), _parity.Request("GET", "/"), tries=5)
    assert found == ["body says 'hallo' where the host says 'hello'"]


LOG = [
    '10.0.0.1 - - [24/Nov/2026:07:00:00 +0000] "GET /a?token=s3cret&x=1 HTTP/1.1" 200 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:01 +0000] "GET /a?token=other&x=2 HTTP/1.1" 200 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:02 +0000] "POST /a HTTP/1.1" 200 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:03 +0000] "GET /item/1 HTTP/1.1" 200 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:04 +0000] "GET /item/2 HTTP/1.1" 404 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:05 +0000] "GET /broken HTTP/1.1" 502 5 "-" "curl"',
    "not a log line",
]


def test_the_access_log_gives_distinct_safe_requests() -> None:
    assert _parity.from_access_log(LOG, 10) == [_parity.Request("GET", "/a?token=other&x=2"), _parity.Request("GET", "/item/2")]
    assert _parity.from_access_log(LOG, 1) == [_parity.Request("GET", "/item/2")]


def test_query_values_are_not_shown() -> None:
    assert _parity.Request("GET", "/a?token=s3cret&x=1").shown() == "GET /a?token=...&x=..."


def test_the_users_list_may_name_other_methods() -> None:
    sites = [{"location": "/shop/"}, {"location": "~ ^/x"}, {"location": "~ ^/y.z", "path": "/yxz"}]
    service = {"name": "shop", "health": {"path": "/up"}, "nginx": {"sites": sites}}
    wanted = _parity.choose(service, LOG, ["/about", "POST /search"], 1)
    assert [f"{request.method} {request.target}" for request in wanted] == [
        "GET /up", "HEAD /up", "GET /shop/", "GET /shop/webstack-no-such-page", "GET /yxz", "GET /about", "POST /search", "GET /item/2"]
