# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx -T to sites and routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_config, nginx_routes

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "evidence" / "bookworm.json").read_text(encoding="utf-8"))["nginx"]["text"]

HEAD = "# configuration file /etc/nginx/nginx.conf:\nevents {}\nhttp {\naccess_log /var/log/nginx/access.log;\nclient_max_body_size 3m;\n"


def parse(body: str, **files: str) -> nginx_config.Nginx:
    return nginx_config.parse(HEAD + body + "\n}\n" + "".join(f"# configuration file {path}:\n{text}\n" for path, text in files.items()))


def test_a_recorded_host() -> None:
    nginx = nginx_config.parse(RECORDED)
    assert [(site.title, site.listen, site.file) for site in nginx.sites] == [
        ("blog.test", ["80", "[::]:80"], "/etc/nginx/sites-enabled/all.conf"), ("wiki.test", ["8081"], "/etc/nginx/sites-enabled/all.conf")]
    routes = [(route.match, route.directive, nginx.addresses(route.target)) for route in nginx_routes.routes(nginx)]
    assert routes == [
        ("/blog/", "uwsgi_pass", ["/run/uwsgi-emp/blog.sock"]), ("/", "uwsgi_pass", ["/run/uwsgi-emp/blog.sock"]),
        ("= /calc", "uwsgi_pass", ["/run/uwsgi-emp/calc.sock"]),
        (r"~ \.php$", "fastcgi_pass", ["/run/php.sock"]), ("/api/", "proxy_pass", ["127.0.0.1:9999"]), ("/", "uwsgi_pass", ["/run/wiki/uwsgi.sock"])]
    assert nginx_config.static(nginx.sites[1]) == [{"location": "/static/", "path": "/opt/wiki/static/"}]
    snippet = nginx_routes.routes(nginx)[-1].location
    assert (snippet.file, snippet.access_log) == ("/etc/nginx/snippets/wiki.conf", "/var/log/nginx/wiki.log")


def test_inherited_settings() -> None:
    nginx = parse("server { server_name a; location / { uwsgi_pass unix:/a; } "
                  "location /big/ { client_max_body_size 9m; access_log off; uwsgi_pass unix:/a; } }")
    assert [(item.client_max_body_size, item.access_log) for item in nginx.sites[0].locations] == [("3m", "/var/log/nginx/access.log"), ("9m", "off")]


def test_stock_params_are_left_out() -> None:
    nginx = parse("server { location / { include uwsgi_params; uwsgi_param HTTPS on; uwsgi_param KEY ***; uwsgi_pass unix:/a; } }",
                  **{"/etc/nginx/uwsgi_params": "uwsgi_param QUERY_STRING $query_string;"})
    assert nginx.sites[0].locations[0].params == {"HTTPS": "on"}
    assert nginx.sites[0].listen == ["80"] and nginx.sites[0].title == "server on 80"


def test_named_locations_are_traced_back() -> None:
    nginx = parse("server { root /srv/www; location / { try_files $uri @app; } location @app { uwsgi_pass unix:/a; } }")
    assert [route.match for route in nginx_routes.routes(nginx)] == ["/"]
    assert nginx_config.static(nginx.sites[0]) == [{"location": "/", "path": "/srv/www/"}]


def test_try_files_of_the_server() -> None:
    nginx = parse("server { root /srv/www; try_files $uri @app; location @app { uwsgi_pass unix:/a; } }")
    assert [route.match for route in nginx_routes.routes(nginx)] == ["/"]


def test_nested_locations_and_ifs() -> None:
    nginx = parse("server { location /a/ { location /a/b/ { uwsgi_pass unix:/b; } if ($arg_x) { uwsgi_pass unix:/x; } } }")
    assert [(route.match, route.target) for route in nginx_routes.routes(nginx)] == [("/a/", "unix:/x"), ("/a/b/", "unix:/b")]


@pytest.mark.parametrize(("target", "addresses"), [
    ("unix:/run/a.sock", ["/run/a.sock"]), ("unix:///run/a.sock", ["/run/a.sock"]),
    ("app", ["/run/u.sock", "127.0.0.1:9000"]), ("127.0.0.1:9", ["127.0.0.1:9"]),
    ("unix:/run/$host.sock", []), ("$backend", []), ("http://app/path", ["/run/u.sock", "127.0.0.1:9000"]), ("suwsgi://app", ["/run/u.sock", "127.0.0.1:9000"]),
])
def test_addresses(target: str, addresses: list[str]) -> None:
    nginx = parse("upstream app { server unix:/run/u.sock; server 127.0.0.1:9000 backup; keepalive 2; }")
    assert nginx.addresses(target) == addresses


def test_globs_and_quoted_includes() -> None:
    nginx = parse('include "conf.d/*.conf"; include nothing/*.conf;', **{
        "/etc/nginx/conf.d/b.conf": "server { server_name b; include '/srv/site b/x.conf'; }", "/etc/nginx/conf.d/a.conf": "server { server_name a; }",
        "/srv/site b/x.conf": "location / { uwsgi_pass unix:/b; }"})
    assert [(site.title, len(site.locations)) for site in nginx.sites] == [("a", 0), ("b", 1)]
    assert nginx.sites[1].locations[0].file == "/srv/site b/x.conf"


@pytest.mark.parametrize("text", ["", "nginx: [emerg] broken"])
def test_without_a_configuration(text: str) -> None:
    with pytest.raises(nginx_config.NginxError):
        nginx_config.parse(text)


BROKEN = {
    "missing semicolon": ("server { listen 81; server_name a; location / { uwsgi_pass unix:/a } }", ':6: the directive "uwsgi_pass" is not terminated by ";"'),
    "missing semicolon before a block": ("server { listen 81; server_name a; root /srv\nlocation / { uwsgi_pass unix:/a; } }",
                                         ':6: the directive "root" is not terminated by ";"'),
    "two semicolons": ("server { listen 81; server_name a;; location / { uwsgi_pass unix:/a; } }", ':6: unexpected ";"'),
    "a block too many": ("server { listen 81; server_name a; location / { uwsgi_pass unix:/a; } } }", ':7: unexpected "}"'),
    "a block without a name": ("{ gzip on; } server { listen 81; server_name a; location / { uwsgi_pass unix:/a; } }", ':6: unexpected "{"'),
    "an open location": ("server { listen 81; server_name a; location / { uwsgi_pass unix:/a; }", ':2: the block "http" is not closed at the end of the file'),
    "an open quote": ('server { listen 81; server_name a; location / { uwsgi_pass unix:/a; } add_header X "b; }', ":6: a quote that is not closed"),
    "an open quote closed by the next": ('server { listen 81; server_name a; add_header X "b; add_header Y "c"; location / { uwsgi_pass unix:/a; } }',
                                         ":6: a quote that is not closed"),
    "a missing include": ("include /srv/x.conf; server { listen 81; server_name a; location / { uwsgi_pass unix:/a; } }",
                          ":6: it includes /srv/x.conf, which is not there"),
    "unknown directives": ("brotli on; server { listen 81; server_name a; brotli_static on; location / { uwsgi_pass unix:/a; } }", ""),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_a_broken_file_holds_is_read(name: str) -> None:
    body, problem = BROKEN[name]
    nginx = parse("include conf.d/*;\n" + body, **{"/etc/nginx/conf.d/b": "server { server_name b; location / { uwsgi_pass unix:/b; } }"})
    assert {"a": [("/", "unix:/a")], "b": [("/", "unix:/b")]} == {
        site.title: [(route.match, route.target) for route in nginx_routes.routes(nginx) if route.site is site] for site in nginx.sites}, nginx.problems
    assert [item for item in nginx.problems if problem in item and item.startswith("/etc/nginx/nginx.conf:")] or not problem, nginx.problems
    assert "/tmp/" not in str(nginx.problems)


def test_a_block_that_is_not_closed_ends_where_it_cannot_go_on() -> None:
    nginx = parse("server { server_name a; location /a/ { uwsgi_pass unix:/a;\nlocation = /b { uwsgi_pass unix:/b; }\nserver { server_name c; }")
    assert [(site.title, [(item.match, item.line) for item in site.locations]) for site in nginx.sites] == [("a", [("/a/", 5), ("= /b", 6)]), ("c", [])]
    assert nginx.problems == ['/etc/nginx/nginx.conf:5: the block "location /a/" is not closed before line 6',
                              '/etc/nginx/nginx.conf:5: the block "server" is not closed before line 7']


def test_files_that_include_each_other() -> None:
    loop = {f"/etc/nginx/loop/{name}": f"include loop/*; upstream {name} {{ server unix:/{name}; }}" for name in "abcdefgh"}
    nginx = parse("include loop/*; server { location / { uwsgi_pass a; } }", **loop)
    assert nginx.addresses("a") == ["/a"]
    assert "/etc/nginx/loop/a:1: it includes /etc/nginx/loop/a, which is being read already" in nginx.problems
