# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What stands beside the sites: settings of the main, events and http level, upstreams, maps, stub_status. Pure."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx import common, syntax

_REPEATED = frozenset(("add_header", "include", "log_format", "map", "upstream", "limit_req_zone", "limit_conn_zone", "proxy_set_header", "set_real_ip_from",
                       "uwsgi_cache_path", "proxy_cache_path", "fastcgi_cache_path", "geo", "load_module", "env"))
"""Directives that may stand beside others of the same name."""


def upstream(item: dict[str, Any], where: str) -> list[str]:
    """An upstream block; keepalive stands after the balancing method, as nginx wants it."""
    body = []
    balancing = item.get("balancing", "round_robin")
    if balancing != "round_robin":
        body.append(f"{syntax.arguments(balancing, f'{where}.balancing')};")
    for index, server in enumerate(item["servers"]):
        place = f"{where}.servers[{index}]"
        if server.get("backup") and balancing.split()[0] in ("hash", "ip_hash", "random"):
            raise ModelError(f"{place}.backup: nginx knows no backup with balancing {balancing!r}")
        values = [f"{key}={server[key]}" for key in ("weight", "max_conns", "max_fails", "fail_timeout") if key in server]
        flags = [key for key in ("backup", "down") if server.get(key)]
        body.append(" ".join(["server", syntax.token(syntax.uwsgi_address(server["address"]), f"{place}.address"), *values, *flags]) + ";")
    if "keepalive" in item:
        body.append(f"keepalive {item['keepalive']};")
    return syntax.block(f"upstream {item['name']}", body + syntax.raw(item.get("extra", "")))


def map_block(item: dict[str, Any], where: str) -> list[str]:
    """A map block."""
    body = ["hostnames;"] if item.get("hostnames") else []
    if "default" in item:
        body.append(f"default {syntax.token(item['default'], f'{where}.default')};")
    for key, value in item["values"].items():
        # a value that is one of map's own words is escaped, as its documentation says
        word = f"\\{key}" if key in ("default", "hostnames", "include", "volatile") else syntax.token(key, f"{where}.values")
        body.append(f"{word} {syntax.token(value, f'{where}.values.{key}')};")
    return syntax.block(f"map {syntax.token(item['source'], f'{where}.source')} {item['variable']}", body)


def _status(status: dict[str, Any]) -> list[str]:
    port = status["port"]
    return syntax.block("server", [f"listen 127.0.0.1:{port};", "access_log off;",
                                   *syntax.block(f"location = {syntax.token(status.get('location', '/status'), 'nginx_status.location')}", ["stub_status;"])])


def _http(http: dict[str, Any], where: str) -> list[str]:
    done = syntax.directives(http.get("settings", {}), f"{where}.settings")
    if "client_max_body_size" in http:
        done.append(f"client_max_body_size {syntax.arguments(http['client_max_body_size'], f'{where}.client_max_body_size')};")
    done += common.headers(http.get("headers", {}), f"{where}.headers")
    done += common.gzip(http["gzip"], f"{where}.gzip") if "gzip" in http else []
    done += common.timeouts(http.get("timeouts", {}), f"{where}.timeouts")
    for zone in http.get("rate_zones", []):
        key = syntax.token(zone.get("key", "$binary_remote_addr"), f"{where}.rate_zones.{zone['name']}.key")
        done.append(f"limit_req_zone {key} zone={zone['name']}:{zone.get('size', '1m')} rate={zone['rate']};")
    for name, text in http.get("log_formats", {}).items():
        done.append(f"log_format {syntax.token(name, f'{where}.log_formats')} {common.quoted(text, f'{where}.log_formats.{name}')};")
    return done


def settings(found: dict[str, Any]) -> dict[str, Any]:
    """The option ``settings`` of the module nginx_sites, out of {main, events, http, upstreams, maps, status} as the schema has them.

    ``http_names`` are directives that the main configuration file must not have at the http level beside ours.
    """
    lines = _http(found.get("http", {}), "nginx_http")
    names = sorted({line.split()[0].rstrip(";") for line in lines} - _REPEATED)
    for index, item in enumerate(found.get("maps", [])):
        lines += ["", *map_block(item, f"nginx_maps[{index}]")]
    for index, item in enumerate(found.get("upstreams", [])):
        lines += ["", *upstream(item, f"nginx_upstreams[{index}]")]
    if found.get("status"):
        if "port" not in found["status"]:
            raise ModelError("nginx_status: a port is missing")
        lines += ["", *_status(found["status"])]
    lines += syntax.raw(found.get("http", {}).get("extra", ""))
    done = {"http": "\n".join(re.sub(r"\s+$", "", line) for line in [f"# {MARK}", *lines]) + "\n" if lines else "", "http_names": names}
    for level in ("main", "events"):
        wanted = dict(found.get(level, {}))
        done[f"{level}_extra"] = "\n".join(syntax.raw(wanted.pop("extra", ""))).lstrip("\n")
        for name in wanted:
            if name in ("events", "http", "stream", "mail"):
                raise ModelError(f"nginx_{level}.{name}: this is a block; settings are single directives; write it into extra")
        done[level] = syntax.directives(wanted, f"nginx_{level}")
    return done
