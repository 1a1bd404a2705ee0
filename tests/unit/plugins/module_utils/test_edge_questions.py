"""What an nginx that moves is asked, by its configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.edge import _proof, _questions

DUMP = """# configuration file /etc/nginx/nginx.conf:
http {
    root %(top)s;
    include /etc/nginx/conf.d/*.conf; # include /etc/nginx/other/*;
}
# configuration file /etc/nginx/conf.d/shop.conf:
upstream app { server 127.0.0.1:9000; }
server {
    listen 443 ssl; listen [::]:443 ssl; listen 8080 proxy_protocol; listen unix:/run/x/y.sock;
    server_name *.shop.test shop.test;
    location = /exact { return 204; }
    location ^~ /files/ { alias %(top)s/files/; location /files/inner { deny all; } }
    location ~ \\.php$ { fastcgi_pass backend.test:9001; }
    location /moving { proxy_pass https://$host; }
    location @named { uwsgi_pass app; }
}
server { server_name ~^x; include snippets/locations; }
# configuration file /etc/nginx/snippets/locations:
location /from-a-snippet { return 200; }
# configuration file /etc/nginx/other/unread:
server { listen 1; }
"""


@pytest.fixture
def dump(tmp_path: Path) -> str:
    for name in ("index.html", "files/a.css", "files/deep/b.js", ".hidden"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    return DUMP % {"top": tmp_path}


def test_servers_are_read_through_includes(dump: str) -> None:
    one, two = _questions.servers(dump, "/usr/share/nginx")
    assert one.targets == ["/", "/exact", "/files/", "/files/inner"] and one.variable
    assert two.targets == ["/", "/from-a-snippet"] and two.listens == [["80"]] and not two.variable


def test_questions_name_servers_locations_and_files(dump: str) -> None:
    asked = _questions.questions(_questions.servers(dump, "/usr/share/nginx"), ["/logged?a=1"])
    secure = [item.request.target for item in asked if item.place == _questions.Place("127.0.0.1", 443, True)]
    assert secure == ["/", "/exact", "/files/", "/files/inner", "/index.html", "/files/a.css", "/files/deep/b.js", "/webstack-is-not-there"]
    assert {(item.place.port, item.request.host) for item in asked} == {(443, "www.shop.test"), (80, "localhost")}
    assert "/logged?a=1" in [item.request.target for item in asked if item.place.port == 80]


@pytest.mark.parametrize(("words", "place"), [
    (["80"], ("127.0.0.1", 80, False)), (["*:81", "ssl"], ("127.0.0.1", 81, True)), (["[::]:443", "ssl", "http2"], ("::1", 443, True)),
    (["10.0.0.5:8080"], ("10.0.0.5", 8080, False)), (["10.0.0.5"], ("10.0.0.5", 80, False)), (["unix:/run/a"], None), (["443", "quic"], None)])
def test_where_a_server_is_asked(words: list, place: object) -> None:
    found = _questions.place(words)
    assert found == (None if place is None else _questions.Place(*place))  # type: ignore[misc]


def test_what_is_connected_to_over_tcp(dump: str) -> None:
    assert _questions.upstreams(dump) == {("127.0.0.1", 9000), ("backend.test", 9001), ("app", 80)}


def test_recent_targets_of_a_log() -> None:
    lines = ['1 - - [x] "GET /a HTTP/1.1" 200', '1 - - [x] "POST /b HTTP/1.1" 200', '1 - - [x] "GET /c?d=e HTTP/2.0" 200', '1 - - [x] "GET /a HTTP/1.1" 200']
    assert _questions.logged(lines) == ["/a", "/c?d=e"]


def test_names_are_resolved_and_groups_left_out() -> None:
    assert _proof._resolved({("127.0.0.1", 9000), ("an-upstream-group.invalid", 80)}) == [("127.0.0.1", "127.0.0.1", 9000)]


def test_people_add_targets_and_take_others_out(dump: str) -> None:
    asked = _questions.questions(_questions.servers(dump, "/usr/share/nginx"), ["/status/now"], ["/about", "!/status/*"])
    targets = [item.request.target for item in asked]
    assert "/about" in targets and "/status/now" not in targets
