# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role nginx's argument_specs says what the schema says, option by option, and its validation lets pass what can be rendered."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator

from ansible_collections.gantry.webstack.plugins.plugin_utils import render_nginx
from ansible_collections.gantry.webstack.tests.unit.argument_specs import differences, options

OPTIONS = options("nginx")
SERVICES_ONLY = {"nginx_sites.location", "nginx_sites.params"}
"""What render_nginx.role_sites refuses though the schema of a site, which services share, has it."""


@pytest.mark.parametrize("name", ["sites", "main", "events", "http", "upstreams", "maps", "status"])
def test_specs_and_schema_agree(name: str) -> None:
    schema = {"type": "array", "items": {"$ref": "#/$defs/nginx_named_site"}} if name == "sites" else {"$ref": f"#/$defs/nginx_settings/properties/{name}"}
    assert differences(f"nginx_{name}", OPTIONS[f"nginx_{name}"], schema, left_out=SERVICES_ONLY) == []


def test_a_difference_is_seen() -> None:
    [site] = [OPTIONS["nginx_sites"]]
    kind = {**site["options"]["locations"]["options"]["kind"], "choices": ["uwsgi"]}
    locations = {**site["options"]["locations"], "options": {**site["options"]["locations"]["options"], "kind": kind, "more": {}}}
    found = differences("nginx_sites", {**site, "options": {**site["options"], "locations": locations}}, {
        "type": "array", "items": {"$ref": "#/$defs/nginx_named_site"}}, left_out=SERVICES_ONLY)
    assert len(found) == 2 and "['more'] stand only on one side" in found[0] and "nginx_sites.locations.kind" in found[1]


RENDERED: list[dict[str, Any]] = [
    {"name": "a", "content": "server { }", "certificates": [{"name": "a-0", "names": ["a"]}], "users": [{"file": "/x", "name": "u", "hash": "h"}],
     "logs": ["/var/log/a/a.log"]},
    {"name": "b", "file": "/etc/nginx/b", "server_names": ["b"],
     "listen": ["[::]:80 default_server", {"address": "::", "port": 81, "default": True, "extra": "x"}],
     "http2": False, "gzip": True, "auth": {"file": "/x", "realm": "r"}, "access_log": False, "error_log": "/x info", "error_pages": {"500 502": "=200 /x"},
     "access": [{"allow": "127.0.0.1"}, {"deny": "all"}], "return": {"code": 301, "to": "https://x/"}, "index": ["a"], "try_files": ["$uri", "=404"],
     "timeouts": {"client_header": "1s", "send": "2s"}, "headers": {"X": "y"}, "extra": "x;", "locations": []},
    {"name": "c", "server_names": ["c"], "tls": {"certificate": "/c", "key": "/k", "protocols": ["TLSv1.3"], "ciphers": "A:B", "redirect": True,
                                                 "hsts": {"max_age": 1, "preload": False}, "extra": "x;"}, "redirect_from": ["d"],
     "locations": [{"location": "/", "kind": "proxy", "pass": "http://x", "websocket": True, "buffering": False, "params": {"A": "b"}, "auth": False,
                    "gzip": {"types": ["a/b"], "min_length": 1, "comp_level": 2, "vary": True, "proxied": ["any"]}, "timeouts": {"read": "1s"}},
                   {"location": "/s", "kind": "static", "alias": "/s", "expires": "max", "auth": {"users": [{"name": "u", "password": "p"}]}},
                   {"location": "@x", "kind": "return", "internal": True, "return": {"body": "x"},
                    "rate_limits": [{"zone": "z", "burst": 1, "nodelay": True, "status": 429}]}]},
]
SETTINGS: dict[str, Any] = {
    "main": {"worker_processes": 2, "env": ["A", "B"]},
    "events": {"worker_connections": 9, "multi_accept": True},
    "http": {"gzip": {"vary": True}, "headers": {"X": "y"}, "client_max_body_size": "1m", "timeouts": {"keepalive": "1s"}, "extra": "x;",
             "rate_zones": [{"name": "z", "rate": "1r/s", "key": "$uri", "size": "1m"}], "log_formats": {"f": "$uri"}, "settings": {"a": [1, "b", True]}},
    "upstreams": [{"name": "u", "balancing": "hash $uri consistent", "keepalive": 1, "extra": "x;", "servers": [
        {"address": "/run/x", "weight": 2, "max_conns": 1, "max_fails": 0, "fail_timeout": "1s", "down": True}]}],
    "maps": [{"source": "$a", "variable": "$b", "default": "", "hostnames": True, "values": {"x": "y"}}],
    "status": {"port": 80, "location": "/s"},
}


def test_role_validation_accepts_what_can_be_rendered() -> None:
    assert len(render_nginx.role_sites(RENDERED)) == len(RENDERED) and render_nginx.settings(SETTINGS)["http"]
    given = {"nginx_sites": RENDERED, **{f"nginx_{name}": value for name, value in SETTINGS.items()}}
    result = ArgumentSpecValidator(OPTIONS).validate(given)
    assert result.error_messages == []
