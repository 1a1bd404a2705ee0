# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Typed sites: what they become, what is refused, and that crossplane reads the same structure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import crossplane
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_text
from ansible_collections.gantry.webstack.plugins.plugin_utils import model, render_nginx


def content(**site: Any) -> str:
    return _nginx_text.resolve(render_nginx.role_sites([{"name": "a", **site}])[0]["content"], (1, 26, 0))


def one(**location: Any) -> str:
    return content(locations=[{"location": "/", **location}])


@pytest.mark.parametrize(("location", "expected"), [
    ({"kind": "uwsgi", "pass": "/run/x.sock", "params": {"A": "b c"}}, ['uwsgi_param A "b c";', "uwsgi_pass unix:/run/x.sock;"]),
    ({"kind": "uwsgi", "pass": "127.0.0.1:3031", "timeouts": {"read": "9s"}}, ["uwsgi_read_timeout 9s;", "uwsgi_pass 127.0.0.1:3031;"]),
    ({"kind": "proxy", "pass": "http://pool"}, ["proxy_http_version 1.1;", "proxy_set_header Host $host;", 'proxy_set_header Connection "";']),
    ({"kind": "proxy", "pass": "http://pool", "websocket": True}, ["proxy_set_header Upgrade $http_upgrade;", "proxy_set_header Connection upgrade;"]),
    ({"kind": "fastcgi", "pass": "pool"}, ["include fastcgi_params;", "fastcgi_param SCRIPT_FILENAME $document_root$fastcgi_script_name;"]),
    ({"kind": "static", "alias": "/srv/x", "expires": "1h"}, ["alias /srv/x/;", "expires 1h;"]),
    ({"kind": "static", "root": "/srv/x", "try_files": ["$uri", "=404"]}, ["root /srv/x;", "try_files $uri =404;"]),
    ({"kind": "return", "return": {"code": 301, "to": "https://$host/"}}, ['return 301 "https://$host/";']),
    ({"kind": "return", "return": {"body": 'a "b"\nc'}}, [r'return 200 "a \"b\"\nc";']),
    ({"kind": "return", "return": {"code": 204}, "internal": True}, ["internal;", "return 204;"]),
    ({"kind": "raw", "extra": "deny all;"}, ["deny all;"]),
    ({"kind": "raw", "extra": "x;", "access": [{"allow": "10.0.0.0/8"}, {"deny": "all"}]}, ["allow 10.0.0.0/8;", "deny all;"]),
    ({"kind": "raw", "extra": "x;", "rate_limits": [{"zone": "z", "burst": 2, "nodelay": True, "status": 429}]},
     ["limit_req zone=z burst=2 nodelay;", "limit_req_status 429;"]),
    ({"kind": "raw", "extra": "x;", "gzip": {"types": ["a/b"], "vary": True}}, ["gzip on;", "gzip_types a/b;", "gzip_vary on;"]),
    ({"kind": "raw", "extra": "x;", "auth": False}, ["auth_basic off;"]),
])
def test_locations(location: dict[str, Any], expected: list[str]) -> None:
    found = [line.strip() for line in one(**location).splitlines()]
    assert [line for line in expected if line not in found] == []


def test_tls_and_redirects() -> None:
    text = content(server_names=["a.test"], redirect_from=["www.a.test"], headers={"X": "y"},
                   tls={"certificate": "/c", "key": "/k", "redirect": True, "hsts": {"max_age": 5, "preload": True}},
                   locations=[{"location": "/", "kind": "static", "root": "/srv", "headers": {"Z": "1"}}])
    assert text.count("server {") == 3
    assert "listen [::]:443 ssl;\n    http2 on;\n" in text
    assert "return 301 $scheme://a.test$request_uri;" in text and "return 301 https://a.test$request_uri;" in text
    assert text.count('add_header Strict-Transport-Security "max-age=5; preload" always;') == 2 == text.count("add_header X y always;")


def test_what_is_made_beside() -> None:
    [site] = render_nginx.role_sites([{"name": "a", "server_names": ["a.test"], "tls": {"self_signed": True}, "access_log": "/srv/log/a.log main",
                                       "error_log": "/var/log/nginx/a.err", "auth": {"users": [{"name": "ann", "password": "pw"}]}}])
    assert site["certificates"] == [{"name": "a-0", "names": ["a.test"]}]
    assert site["users"] == [{"file": "/etc/nginx/webstack/a-0.htpasswd", "name": "ann", "password": "pw"}]
    assert site["logs"] == ["/srv/log/a.log"] and "pw" not in site["content"]


@pytest.mark.parametrize(("site", "sentence"), [
    ({"locations": [{"location": "/", "kind": "prox"}]}, r"nginx_sites\[a\].locations\[0\].kind: 'prox' is not one of"),
    ({"locations": [{"location": "/", "kind": "proxy"}]}, r"nginx_sites\[a\].locations\[0\]: a location of kind proxy needs 'pass'"),
    ({"locations": [{"location": "/", "kind": "proxy", "pass": "pool"}]}, r"locations\[0\].pass: 'pool' is no URL"),
    ({"locations": [{"location": "/", "kind": "static", "root": "/x", "pass": "y"}]}, r"locations\[0\].pass: a location of kind static has no 'pass'"),
    ({"locations": [{"location": "/", "kind": "static"}]}, r"locations\[0\]: a location of kind static needs root, alias or try_files"),
    ({"locations": [{"location": "/", "kind": "return", "return": {"code": 200, "to": "/x"}}]}, r"locations\[0\].return: a redirect"),
    ({"lisen": ["80"]}, r"nginx_sites\[a\]: unknown key 'lisen'"),
    ({"listen": [{"port": 70000}]}, r"nginx_sites\[a\].listen\[0\].port: 70000 is greater"),
    ({"listen": ["80; x"]}, r"nginx_sites\[a\].listen\[0\]: '80; x' is not what one nginx directive can take"),
    ({"listen": ["443 ssl"]}, r"nginx_sites\[a\].listen: .* wants TLS"),
    ({"tls": {"self_signed": True}, "listen": ["80"]}, r"nginx_sites\[a\].listen: .* nothing with TLS"),
    ({"tls": {"certificate": "/c"}}, r"nginx_sites\[a\].tls: give both"),
    ({"timeouts": {"read": "5s"}}, r"nginx_sites\[a\].timeouts.read: '5s' does nothing here"),
    ({"content": "server {}", "listen": ["80"]}, r"nginx_sites\[a\]: a site with raw content has no listen"),
    ({"auth": {"users": [{"name": "ann"}]}}, r"auth.users\[0\]: user 'ann' needs either"),
    ({"access_log": True}, r"access_log: true says not where"),
])
def test_refusals(site: dict[str, Any], sentence: str) -> None:
    with pytest.raises(model.ModelError, match=sentence):
        render_nginx.role_sites([{"name": "a", **site}])


@pytest.mark.parametrize("auth", [{"users": [{"name": "a", "password": ["hunter2"]}]}, {"users": {"password": "hunter2"}}, "hunter2"])
def test_a_refusal_shows_no_password(auth: Any) -> None:
    with pytest.raises(model.ModelError) as caught:
        render_nginx.role_sites([{"name": "a", "auth": auth}])
    assert "hunter2" not in str(caught.value)


def test_a_service_s_place_is_named() -> None:
    broken = [{"name": "shop", "nginx": {"sites": [{"locations": [{"location": "/a", "kind": "raw", "extra": "x;"}, {"location": "/b", "kind": "x"}]}]}}]
    with pytest.raises(model.ModelError, match=r"services\[shop\].nginx.sites\[0\].locations\[1\].kind: 'x' is not one of"):
        model.complete_all(broken)


def test_a_service_has_its_uwsgi_location_and_others() -> None:
    [service] = model.complete_all([{"name": "shop", "nginx": {"sites": [{"tls": {"self_signed": True}, "locations": [
        {"location": "/ws/", "kind": "proxy", "pass": "http://127.0.0.1:9", "websocket": True}]}]}}])
    text = render_nginx.site_file(service)
    assert "location / {" in text and "location /ws/ {" in text and "uwsgi_pass unix:/run/uwsgi/shop/uwsgi.sock;" in text and "443 ssl" in text


def test_settings() -> None:
    done = render_nginx.settings({
        "main": {"worker_processes": 2}, "events": {"multi_accept": True}, "status": {"port": 9},
        "http": {"gzip": True, "rate_zones": [{"name": "z", "rate": "1r/s"}], "log_formats": {"l": "$host"}, "settings": {"server_tokens": False}},
        "maps": [{"source": "$a", "variable": "$b", "default": "", "values": {"default": "x", "~^y": "z"}}],
        "upstreams": [{"name": "u", "balancing": "least_conn", "keepalive": 2,
                       "servers": [{"address": "/run/x", "weight": 3}, {"address": "h:1", "backup": True}]}]})
    assert done["main"] == ["worker_processes 2;"] and done["events"] == ["multi_accept on;"] and done["http_names"] == ["gzip", "server_tokens"]
    for line in ("limit_req_zone $binary_remote_addr zone=z:1m rate=1r/s;", "server unix:/run/x weight=3;", "server h:1 backup;", "keepalive 2;",
                 "\\default x;", "stub_status;", 'log_format l "$host";'):
        assert line in done["http"]
    assert done["http"].index("least_conn;") < done["http"].index("keepalive 2;")
    assert render_nginx.settings({}) == {"main": [], "events": [], "main_extra": "", "events_extra": "", "http": "", "http_names": []}


def test_raw_text_of_main_and_events() -> None:
    done = render_nginx.settings({"main": {"pcre_jit": True, "extra": "stream {\n}\n"}, "events": {"extra": "use epoll;"}})
    assert (done["main"], done["main_extra"], done["events"], done["events_extra"]) == (["pcre_jit on;"], "stream {\n}", [], "use epoll;")
    with pytest.raises(model.ModelError, match="nginx_main.extra: 5 is not of type 'string'"):
        render_nginx.settings({"main": {"extra": 5}})


@pytest.mark.parametrize(("found", "sentence"), [
    ({"main": {"http": "x"}}, "nginx_main.http: this is a block"),
    ({"upstreams": [{"name": "u", "servers": []}]}, r"nginx_upstreams\[0\].servers"),
    ({"upstreams": [{"name": "u", "balancing": "ip_hash", "servers": [{"address": "a", "backup": True}]}]}, r"servers\[0\].backup: nginx knows no backup"),
    ({"http": {"gzipp": True}}, "nginx_http: unknown key 'gzipp'"),
    ({"status": {"location": "/x"}}, "nginx_status: a port is missing"),
    ({"main": {"worker_processes": "2; x"}}, "nginx_main.worker_processes: '2; x' is not"),
])
def test_refused_settings(found: dict[str, Any], sentence: str) -> None:
    with pytest.raises(model.ModelError, match=sentence):
        render_nginx.settings(found)


WORD = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\0$\\\x85", categories=("L", "N", "P", "S")), min_size=1, max_size=12)
PATH = st.from_regex(r"/[a-z]{1,8}", fullmatch=True)
LOCATION = st.one_of(
    st.fixed_dictionaries({"kind": st.just("static"), "root": PATH}),
    st.fixed_dictionaries({"kind": st.sampled_from(["uwsgi", "fastcgi"]), "pass": PATH, "params": st.dictionaries(WORD, WORD, max_size=3)}),
    st.fixed_dictionaries({"kind": st.just("proxy"), "pass": st.just("http://u"), "params": st.dictionaries(WORD, WORD, max_size=3)}),
    st.fixed_dictionaries({"kind": st.just("return"), "return": st.fixed_dictionaries({"code": st.just(200), "body": WORD})}))


@settings(max_examples=60, deadline=None)
@given(st.lists(WORD, min_size=1, max_size=3, unique=True), st.lists(LOCATION, max_size=4), st.dictionaries(WORD, WORD, max_size=3))
def test_crossplane_reads_the_same_structure(tmp_path_factory: pytest.TempPathFactory, names: list[str], found: list[dict[str, Any]],
                                             headers: dict[str, str]) -> None:
    locations = [{**item, "location": f"/{index}/"} for index, item in enumerate(found)]
    path: Path = tmp_path_factory.mktemp("nginx") / "x.conf"
    path.write_text(content(server_names=names, locations=locations, headers=headers), encoding="utf-8")
    parsed = crossplane.parse(str(path), single=True, check_ctx=False, check_args=False)
    assert parsed["status"] == "ok", parsed["errors"]
    [server] = [item for item in parsed["config"][0]["parsed"] if item["directive"] == "server"]
    lines = [(item["directive"], item["args"]) for item in server["block"]]
    assert ("server_name", names) in lines
    assert [args for name, args in lines if name == "add_header"] == [[key, value, "always"] for key, value in headers.items()]
    assert [args for name, args in lines if name == "location"] == [[item["location"]] for item in locations]
    for item, block in zip(locations, [entry["block"] for entry in server["block"] if entry["directive"] == "location"], strict=True):
        inner = [(entry["directive"], entry["args"]) for entry in block]
        if "pass" in item:
            assert inner[-1][0] == f"{item['kind']}_pass"
            setter = "proxy_set_header" if item["kind"] == "proxy" else f"{item['kind']}_param"
            assert all((setter, [key, value]) in inner for key, value in item["params"].items())
        elif item["kind"] == "static":
            assert inner == [("root", [item["root"]])]
        else:
            assert inner == [("return", ["200", item["return"]["body"]])]
