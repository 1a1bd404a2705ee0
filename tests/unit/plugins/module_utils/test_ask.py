"""Asking a service as its site would."""

from __future__ import annotations

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _ask

SERVICE = {"name": "shop", "nginx": {"sites": [
    {"location": "/api/", "server_names": ["_", "~^x", "shop.test"]}, {"location": "/"}, {"location": "^~ /api/v2/"}, {"location": r"~ \\.php$"}]}}


@pytest.mark.parametrize(("target", "location"), [("/", "/"), ("/apix", "/"), ("/api/a?b", "/api/"), ("/api/v2/a", "^~ /api/v2/")])
def test_the_longest_prefix_wins(target: str, location: str) -> None:
    assert _ask.site_of(SERVICE, target)["location"] == location


def test_without_a_fitting_location_the_first_site_is_meant() -> None:
    assert _ask.site_of({"nginx": {"sites": [{"location": "/a/"}]}}, "/b") == {"location": "/a/"}
    assert _ask.site_of({}, "/") == {}


def test_the_host_is_a_plain_server_name() -> None:
    assert _ask.host_header(SERVICE) == "shop.test"
    assert _ask.host_header({**SERVICE, "health": {"host": "other.test"}}) == "other.test"
    assert _ask.host_header({}) == "localhost"


def test_a_proxied_service_is_asked_as_its_nginx_asks_it() -> None:
    service = {"name": "shop", "uwsgi": {"protocol": "http", "socket": ":8000"}, "nginx": {"sites": [
        {"listen": ["443 ssl"], "server_names": ["shop.test"], "location": "/app/", "uri": "/in/",
         "params": {"Host": "127.0.0.1:8000", "X-Forwarded-Proto": "$scheme",
                    "X-Real-IP": "${remote_addr}", "X-From": "$host/$scheme", "X-Id": "$request_id"}}]}}
    target, headers = _ask.http_question(service, "/app/a?b=/app/")
    assert target == "/in/a?b=/app/"
    assert headers == {"User-Agent": "gantry.webstack", "Accept": "*/*", "Host": "127.0.0.1:8000", "X-Forwarded-Proto": "https", "X-Real-IP": "127.0.0.1",
                       "X-From": "shop.test/https", "X-Id": ""}
    assert _ask.packet(service, "/app/").startswith(b"GET /in/ HTTP/1.0\r\n") and b"X-Id" not in _ask.packet(service, "/app/")
