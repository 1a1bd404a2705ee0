# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which server and location nginx chooses. Each expectation was given by nginx; extensions/molecule/nginx_choice asks it for many more."""

from __future__ import annotations

import sys

import pytest

from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_choice, nginx_config, nginx_routes

SERVERS = r"""
server { listen 80; server_name first.test; }
server { listen 80 default_server; listen [::]:80; server_name exact.test www.exact.test; }
server { listen 80; server_name *.wild.test wild.*; }
server { listen 80; server_name *.deep.wild.test; }
server { listen 80; server_name .both.test; }
server { listen 80; server_name ~^(?<sub>\w+)\.regex\.test$ ~^[[:digit:]]+$; }
server { listen 80; server_name ""; }
server { listen 127.0.0.2:80; server_name there.test; }
server { listen 8080; server_name exact.test; }
server { listen 8080; server_name exact.test; }
server { listen [::]:8081 ipv6only=off; server_name six.test; }
server { listen 9000-9002; server_name ports.test; }
"""

LOCATIONS = r"""
server { listen 80; server_name a.test;
  location / { location /in { } location ~ ^/in/.*\.x$ { } }
  location = / { }
  location ^~ /static/ { }
  location ~* \.(png|jpe?g)$ { }
  location ~ ^/a(/|$) { location /a/b { } }
  location /app/ { uwsgi_pass unix:/app; }
  location /app2/ { if ($arg_x) { uwsgi_pass unix:/app; } }
  location /hidden { internal; }
  location @named { }
}
server { listen 80; server_name b.test; location /x { } }
"""


def parse(body: str) -> nginx_config.Nginx:
    return nginx_config.parse("# configuration file /etc/nginx/nginx.conf:\n\nevents {}\nhttp {\n" + body + "\n}\n")


@pytest.mark.parametrize(("host", "port", "address", "line"), [
    ("first.test", 80, "", 5), ("EXACT.test.", 80, "", 6), ("www.exact.test:80", 80, "", 6), ("nobody.test", 80, "", 6), ("a.wild.test", 80, "", 7),
    ("wild.test", 80, "", 7), ("wild.a.b", 80, "", 7), ("x.deep.wild.test", 80, "", 8), ("deep.wild.test", 80, "", 7), ("both.test", 80, "", 9),
    ("a.b.both.test", 80, "", 9), ("abc.regex.test", 80, "", 10), ("a.b.regex.test", 80, "", 6), ("42", 80, "", 10), ("", 80, "", 11),
    ("first.test", 80, "127.0.0.2", 12), ("first.test", 80, "[::1]", 6), ("x", 8080, "", 13), ("exact.test", 8080, "", 13), ("x", 8081, "127.0.0.1", 15),
    ("x", 8081, "[::1]", 15), ("x", 9001, "", 16), ("x", 9003, "", None), ("x", 8080, "[::1]", None),
])
def test_servers(host: str, port: int, address: str, line: int | None) -> None:
    site = nginx_choice.Servers(parse(SERVERS).sites).server(host, port, address)
    assert (site.line if site else None) == line


def test_a_server_whose_names_others_have_is_hidden() -> None:
    nginx = parse(SERVERS)
    servers = nginx_choice.Servers(nginx.sites)
    assert {site.line: servers.hidden(site) for site in nginx.sites if servers.hidden(site)} == {
        14: "exact.test at 8080 is the server's at /etc/nginx/nginx.conf:13"}
    late = parse("server { server_name b.test; } server { server_name .a.test; } server { server_name a.test; location / { uwsgi_pass unix:/a; } }")
    assert nginx_choice.Servers(late.sites).hidden(late.sites[2]).startswith("a.test at 80 is the server's at ")
    assert not nginx_routes.routes(late)


@pytest.mark.parametrize(("path", "match"), [
    ("/", "= /"), ("/x", "/"), ("/?q=/static/", "= /"), ("/static/a.png", "^~ /static/"), ("/a.PNG", r"~* \.(png|jpe?g)$"), ("/a", "~ ^/a(/|$)"),
    ("/a/b", "/a/b"), ("/a/c", "~ ^/a(/|$)"), ("/in/x", "/in"), ("/in/y.x", r"~ ^/in/.*\.x$"), ("//static//x", "^~ /static/"), ("/z/../static/", "^~ /static/"),
    ("/%73tatic/", "^~ /static/"), ("/app/x", "/app/"), ("/app", "301 /app/"), ("/app2", "/"), ("/hidden", "/hidden"), ("/../x", None), ("/@named", "/"),
])
def test_locations(path: str, match: str | None) -> None:
    chosen = nginx_choice.Locations(parse(LOCATIONS).sites[0]).choose(path)
    found = chosen.location and chosen.location.match
    assert (f"301 {found}" if chosen.redirects else found) == match


def test_what_no_location_takes() -> None:
    assert nginx_choice.Locations(parse(LOCATIONS).sites[1]).choose("/y").location is None


def test_slashes_are_kept_where_they_are_not_merged() -> None:
    tree = nginx_choice.Locations(parse("server { merge_slashes off; location /a { } location //b { } }").sites[0])
    assert [getattr(tree.choose(path).location, "match", None) for path in ("//a", "//b", "/x//../a")] == [None, "//b", None]


@pytest.mark.parametrize("pattern", ["(a", "(?P>name)", "a{2}{3}"])
def test_an_expression_that_python_cannot_read_is_said(pattern: str) -> None:
    with pytest.raises(nginx_choice.Unclear, match=r"\(a|\(\?P|a\{2"):
        nginx_choice.regex(pattern)


@pytest.mark.parametrize("pattern", [
    r"\.php$", r"^/(?:a|b)/\d{2,}", r"^/api/v[0-9]+/(users|posts)(/.*)?$", r"(^|/)\.", "[[:alpha:]]{3}x+", r"^/x(?=y)y", "^/(?<id>[^/]+)/edit$",
    r"\.(?i:JPE?G)$", "a|b"])
def test_examples_match(pattern: str) -> None:
    assert any(nginx_choice.regex(pattern).search("/" + text.lstrip("/")) for text in nginx_choice.example(pattern)), list(nginx_choice.example(pattern))


def test_urls_lead_where_they_say() -> None:
    nginx = parse(LOCATIONS + "server { listen 8443 ssl; server_name *.w.test; location ~ ^/v(\\d+)/ { } location /v1/ { } }")
    requests = nginx_choice.Requests(nginx.sites)
    first = nginx.sites[0]
    assert {location.match: requests.url(first, location) for location in first.locations} == {
        "/": "http://a.test/x", "/in": "http://a.test/in", r"~ ^/in/.*\.x$": "http://a.test/in/.x", "= /": "http://a.test/",
        "^~ /static/": "http://a.test/static/", r"~* \.(png|jpe?g)$": "http://a.test/.png", "~ ^/a(/|$)": "http://a.test/a/",
        "/a/b": "http://a.test/a/b", "/app/": "http://a.test/app/",
        "/app2/": "http://a.test/app2/", "/hidden": "", "@named": ""}
    assert [requests.url(nginx.sites[2], location) for location in nginx.sites[2].locations] == ["https://www.w.test:8443/v1/", ""]


@pytest.mark.parametrize(("body", "matches"), [
    (r"location / { try_files $uri /index.php?$args; } location ~ \.php$ { fastcgi_pass x; }", [r"~ \.php$", "/"]),
    ("location / { error_page 404 = /app/404; root /srv; } location /app/ { internal; uwsgi_pass x; }", ["/"]),
    ("error_page 404 = @app; location / { root /srv; } location /own { error_page 404 /x; } location @app { uwsgi_pass x; }", ["/"]),
    ("location / { rewrite ^/(.*)$ /app/$1 last; } location /b { rewrite ^ /app/b; } location /c { rewrite ^ /app/ redirect; } "
     "location /app/ { uwsgi_pass x; }",
     ["/app/", "/b"]),
    ("location / { try_files $uri @a; } location @a { try_files /m.html @b; } location @b { uwsgi_pass x; }", ["/"]),
    ("try_files $uri @app; root /srv; location @app { uwsgi_pass x; }", ["/"]),
    ("location / { try_files $uri /a; } location /a { try_files $uri /; } location /b { uwsgi_pass x; }", ["/b"]),
])
def test_which_locations_lead_to_a_server(body: str, matches: list[str]) -> None:
    assert [route.match for route in nginx_routes.routes(parse(f"server {{ {body} }}"))] == matches


def test_streams_are_no_sites() -> None:
    nginx = nginx_config.parse("# configuration file /n:\nstream { upstream db { server 10.0.0.1:5432; } server { listen 5433; proxy_pass db; } }\n"
                               "http { upstream db { server unix:/db; } server { location / { proxy_pass http://db; } } }\n")
    assert [(route.site.protocol, nginx.addresses(route.target)) for route in nginx_routes.routes(nginx)] == [("http", ["/db"]), ("stream", ["10.0.0.1:5432"])]


def test_reading_grows_with_the_sites_only() -> None:
    def calls(count: int) -> int:
        text = "# configuration file /etc/nginx/nginx.conf:\nhttp { include sites/*; }\n" + "".join(
            f"# configuration file /etc/nginx/sites/{n}:\nserver {{ listen 80; server_name s{n}.test *.s{n}.test; include uwsgi_params; "
            f"location / {{ try_files $uri @app; }} location ~ \\.s{n}$ {{ }} location @app {{ uwsgi_pass unix:/{n}; }} }}\n" for n in range(count)) + (
            "# configuration file /etc/nginx/uwsgi_params:\n" + "uwsgi_param A $a;\n" * 16)
        counted = 0

        def note(_frame: object, event: str, _arg: object) -> None:
            nonlocal counted
            counted += event in ("call", "c_call")

        sys.setprofile(note)
        try:
            nginx = nginx_config.parse(text)
            requests = nginx_choice.Requests(nginx.sites)
            assert len(nginx_routes.routes(nginx)) == count and all(requests.url(site, site.locations[0]) for site in nginx.sites)
        finally:
            sys.setprofile(None)
        return counted
    assert calls(400) < 5 * calls(100)


def test_a_server_for_everything_else_is_asked_by_no_name() -> None:
    nginx = parse('server { listen 80; server_name b.test; } server { listen 80 default_server; server_name _ ""; } '
                  "server { listen 81; server_name _ c.test; }")
    requests = nginx_choice.Requests(nginx.sites)
    assert [requests.url(site) for site in nginx.sites] == ["http://b.test/", "http://localhost/", "http://c.test:81/"]
