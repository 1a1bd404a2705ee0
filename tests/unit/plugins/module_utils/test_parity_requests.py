"""What the parity gate asks for."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._ask import variables
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response
from ansible_collections.gantry.webstack.plugins.module_utils.move import _parity_module, _requests
from ansible_collections.gantry.webstack.plugins.module_utils.move._parity import OWN, Request

LINES = [
    '10.0.0.1 - - [24/Nov/2026:07:00:00 +0000] "GET /a?token=s3cret&x=1 HTTP/1.1" 200 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:01 +0000] "GET /a?token=other&x=2 HTTP/1.1" 200 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:02 +0000] "POST /a HTTP/1.1" 200 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:02 +0000] "POST /buy HTTP/1.1" 302 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:03 +0000] "GET /item/1 HTTP/1.1" 404 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:04 +0000] "GET /item/2 HTTP/1.1" 404 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:04 +0000] "GET /item/3 HTTP/1.1" 200 5 "-" "curl"',
    '10.0.0.1 - - [24/Nov/2026:07:00:05 +0000] "GET /broken HTTP/1.1" 502 5 "-" "curl"',
    "not a log line",
]
EMPTY: dict[str, Any] = {"name": "shop"}


def told(requests: list[Request]) -> list[str]:
    return [f"{request.method} {request.target}" for request in requests]


def test_the_access_log_gives_distinct_safe_requests_and_what_is_only_posted_to() -> None:
    log = _requests.Log(LINES)
    assert told(_requests.from_logs(EMPTY, [log], 10)) == ["GET /a?token=other&x=2", "GET /item/2", "GET /item/3", "GET /buy"]
    assert told(_requests.from_logs(EMPTY, [log], 1)) == ["GET /item/3", "GET /buy"]


@pytest.mark.parametrize(("text", "line", "found"), [
    ("$status $request", "404 GET /x HTTP/2.0", ("GET", "/x", "404")),
    ("$host $request_method $request_uri $status ${request_time}s", "a.test HEAD /x?y=1 200 0.001s", ("HEAD", "/x?y=1", "200")),
    ('$remote_addr "$request_method" "$uri" "$args"', '1.2.3.4 "GET" "/x y" "a=b"', ("GET", "/x y?a=b", "")),
    ('$remote_addr "$request_method" "$uri" "$args"', '1.2.3.4 "GET" "/x" "-"', ("GET", "/x", "")),
    ('{"t":"$time_iso8601","request":"$request","status":$status}', r'{"t":"x","request":"GET /a\"b\u0026c HTTP/1.1","status":404}', ("GET", '/a"b&c', "404")),
    ("$request_time\t$request\t$status", "0.1\tGET /\\x22 HTTP/1.1\t200", ("GET", '/"', "200")),
    ("$remote_addr $unknown", 'x "GET /a HTTP/1.1" 200 1', ("GET", "/a", "200")),
    ("", "127.0.0.1 GET /a HTTP/1.1", ("GET", "/a", "")),
])
def test_logs_of_other_formats_are_read(text: str, line: str, found: tuple[str, str, str]) -> None:
    assert list(_requests.logged(_requests.Log([line], text))) == [found]


def test_formats_are_those_of_the_configuration() -> None:
    text = """http { log_format short '$status ' "$request";
    log_format json escape=json '{"request":"$request",' # a comment
        '"agent":"it\\'s $http_user_agent"}'; server { access_log /x short; } }"""
    assert _parity_module.log_formats(text) == {
        "combined": _requests.COMBINED, "short": "$status $request", "json": '{"request":"$request","agent":"it\'s $http_user_agent"}'}


def test_logs_are_those_of_the_sites() -> None:
    sites = [{"access_log": "/var/log/a.log json buffer=32k"}, {"access_log": "/var/log/b.log buffer=32k"}, {"access_log": False}, {},
             {"access_log": "syslog:server=unix:/dev/log"}, {"access_log": "/var/log/$host.log"}, {}]
    assert _parity_module.log_places({"nginx": {"sites": sites}}) == [
        ("/var/log/a.log", "json"), ("/var/log/b.log", "combined"), ("/var/log/nginx/access.log", "combined")]
    assert _parity_module.log_places({}) == [("/var/log/nginx/access.log", "combined")]


@pytest.mark.parametrize(("target", "here"), [("/shop/a", True), ("/shop/static/a", False), ("/other", False), ("/shop/static/up/a", True)])
def test_what_nginx_hands_to_another_is_not_asked(target: str, here: bool) -> None:
    nginx = {"sites": [{"location": "/shop/"}, {"location": "^~ /shop/static/up/"}], "static": [{"location": "/shop/static/", "path": "/srv"}]}
    assert _requests.leads_here({"nginx": nginx}, target) is here


SITES = [{"location": "/shop/", "server_names": ["a.test", "b.test", "*.c.test", "~^x"]}, {"location": "~ ^/x"}, {"location": "~ ^/y.z", "path": "/yxz"},
         {"location": "= /exact", "server_names": ["_"]}]


def test_the_first_requests_of_a_service() -> None:
    service = {"name": "shop", "health": {"path": "/up"}, "nginx": {"sites": SITES}}
    wanted = _requests.choose(service, [_requests.Log(LINES)], ["/about", "POST /search", "!/ite*"], 2, ["/static/a.css", "/up"])
    assert [request.shown() for request in wanted] == [
        "GET /up", "HEAD /up", "GET /shop/", "GET /shop/webstack-no-such-page", "GET /yxz", "GET /exact", "GET /shop/ (Host: b.test)",
        "GET /shop/ (Host: www.c.test)", "GET /static/a.css", "GET /about", "POST /search", "GET /buy"]


def page(body: bytes = b"", status: int = 200, **headers: str) -> Response:
    return Response(status, "", [("Content-Type", "text/html"), *((name.replace("_", "-"), value) for name, value in headers.items())], body)


def test_what_may_change_is_not_compared() -> None:
    requests = [Request("GET", target) for target in ("/", "/prices?of=1", "/static/a/b.css", "/pricesheet", "/")]
    assert [request.target for request in _requests.distinct(requests, ["/prices", "/static/*"])] == ["/", "/pricesheet"]
    assert _requests.distinct(requests) == requests[:-1]


HTML = b"""<link rel=stylesheet href="/static/a.css?v=1&amp;w=2"><link href='/static/b.css'><script src="app.js"></script><a href="/logout">x</a>
<img src="https://elsewhere.test/x.png"><img src="//a.test/y.png"><img src="data:image/png;base64,AAAA"><p style="background: url('/img/z.svg')">"""


def test_pages_lead_to_what_a_browser_loads_and_not_to_what_people_click() -> None:
    found = _requests.further(EMPTY, [(Request("GET", "/docs/", "a.test"), page(HTML))], "a.test")
    assert told([request for request in found if request.kind == "resource"]) == [
        "GET /static/a.css?v=1&w=2", "GET /docs/app.js", "GET /y.png", "GET /img/z.svg"]


def test_answers_lead_to_redirects_ranges_conditions_and_variants() -> None:
    answers = [
        (Request("GET", "/old"), page(status=302, Location="http://a.test/new?x=1")),
        (Request("GET", "/away"), page(status=302, Location="https://elsewhere.test/")),
        (Request("GET", "/big"), page(b"x" * 100, Accept_Ranges="bytes", ETag='"1"', Last_Modified="Tue, 24 Nov 2026 07:00:00 GMT")),
        (Request("GET", "/small"), page(b"x" * 10, Accept_Ranges="bytes", ETag='"2"', Vary="Accept-Encoding, Cookie")),
        (Request("GET", "/none"), page(b"no", 404, Vary="Accept-Language")),
    ]
    found = _requests.further(EMPTY, answers, "a.test")
    assert [(request.kind, request.shown()) for request in found] == [
        ("HEAD", "HEAD /big"),
        ("range", "GET /big (Range: bytes=50-99)"),
        ("conditional", "GET /big (If-None-Match)"),
        ("conditional", "GET /big (If-Modified-Since)"),
        ("variant", "GET /small (Accept-Encoding: gzip)"),
        ("HEAD", "HEAD /none"),
        ("redirect", "GET /new?x=..."),
        ("HEAD", "HEAD /old"),
    ]
    assert found[2].headers == (("If-None-Match", OWN),)


def test_each_kind_is_bounded_over_all_rounds() -> None:
    many = [Request("GET", f"/{number}", kind="resource") for number in range(30)]
    first = _requests.bounded(many, [])
    assert len(first) == _requests.MOST["resource"]
    assert _requests.bounded(_requests.distinct(many, (), first), first) == []


def test_a_request_comes_under_its_own_host_name_with_its_headers() -> None:
    sites = [{"server_names": ["a.test"], "params": {"WHO": "$host"}}, {"server_names": ["b.test"], "listen": ["443 ssl"]}]
    params = variables({"name": "shop", "nginx": {"sites": sites}}, "/", "GET", "b.test", [("Accept-Language", "de"), ("Accept", "text/css")])
    assert params["HTTP_HOST"] == "b.test"
    assert params["HTTPS"] == "on"
    assert (params["HTTP_ACCEPT_LANGUAGE"], params["HTTP_ACCEPT"]) == ("de", "text/css")
    assert "WHO" not in params
