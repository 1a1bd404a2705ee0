# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nginx in front of exported services: the plan's sites as one configuration that needs no root and no file of the host. Pure.

TLS ends before it: what the host served over TLS alone is told to the application as https.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import UWSGI_PORT, Container, Mount, Settings, within
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx import common, server, syntax

PORT = 8080
"""Where it listens for what the host served on ports 80 and 443: it does not run as root."""

UID = 101
"""Of its user: the one of nginx's own images."""

COMMAND = ("nginx", "-g", "daemon off;")
CONFIG = "/etc/nginx/nginx.conf"

_TYPED = ("client_max_body_size", "headers", "gzip", "timeouts", "error_pages", "access", "root", "index", "try_files")
_HEAD = """\
# {title}
# Made from the plan's sites by gantry.webstack. TLS ends before this nginx.
worker_processes auto;
pid /tmp/nginx.pid;
error_log /dev/stderr warn;

events {{
    worker_connections 1024;
}}

http {{
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    sendfile on;
    tcp_nopush on;
    gzip on;
    server_tokens off;
    server_names_hash_bucket_size 128;
    client_body_temp_path /tmp/client_body;
    proxy_temp_path /tmp/proxy;
    uwsgi_temp_path /tmp/uwsgi;
    fastcgi_temp_path /tmp/fastcgi;
    scgi_temp_path /tmp/scgi;
"""
_RESOLVER = """
    # A service is looked up again and again: its container comes back with another address.
    resolver 127.0.0.11 valid=5s ipv6=off;
"""


def listens(site: Mapping[str, Any]) -> list[tuple[int, bool, bool]]:
    """(port, TLS, default) of each ``listen`` of a site."""
    found = []
    for item in server.listens(dict(site)):
        if isinstance(item, str):
            words = item.split()
            port = words[0].rpartition(":")[2] if ":" in words[0] and not words[0].endswith("]") else words[0]
            found.append((int(port) if port.isdigit() else 80, "ssl" in words, "default_server" in words or "default" in words))
        else:
            found.append((int(item["port"]), bool(item.get("tls")), bool(item.get("default"))))
    return found


def inner_port(port: int) -> int:
    """Where it listens for a port of the host."""
    return PORT if port < 1024 else port


def ports(containers: Iterable[Container]) -> list[int]:
    """Where it listens; the ordinary port first, and always among them."""
    found = {inner_port(port) for container in containers for site in sites(container) for port, _tls, _default in listens(site)}
    return [PORT, *sorted(found - {PORT})]


def sites(container: Container) -> list[dict[str, Any]]:
    """The sites of a service; one that nginx does not lead to is given every name."""
    return container.service.get("nginx", {}).get("sites") or [{"location": "/", "server_names": ["_"]}]


def static(container: Container) -> list[dict[str, str]]:
    """{location, path} of what nginx serves of a service by itself."""
    return container.service.get("nginx", {}).get("static", [])


def mounts(container: Container) -> list[Mount]:
    """What nginx has to see of the host for a service's static trees, each once: the mounts that they lie in, else the trees themselves."""
    found: dict[str, Mount] = {}
    for item in static(container):
        mount = container.static(item["path"]) or Mount(item["path"].rstrip("/") or "/", True)
        found[mount.path] = Mount(mount.path, True)
    return [mount for path, mount in sorted(found.items()) if not any(path != other and within(path, other) for other in found)]


def config(containers: Iterable[Container], title: str, network: bool = False) -> str:
    """The whole of nginx.conf. With ``network`` uWSGI is reached over the network by its service's name, else at its UNIX socket.

    Raises ModelError for what nginx's syntax cannot say.
    """
    blocks: dict[tuple[Any, ...], list[tuple[Container, dict[str, Any]]]] = {}
    for container in containers:
        for site in sites(container):
            key = (tuple(sorted({inner_port(port) for port, _tls, _default in listens(site)})), tuple(site.get("server_names", [])))
            blocks.setdefault(key, []).append((container, site))
    text = _HEAD.format(title=title) + (_RESOLVER if network else "")
    chosen: set[int] = set()
    for (found, names), members in blocks.items():
        lines = [""] + syntax.block("server", _server(found, names, members, network, chosen))
        text += "".join(f"    {line}\n" if line else "\n" for line in lines)
    return text + "}\n"


def _server(found: tuple[int, ...], names: tuple[str, ...], members: list[tuple[Container, dict[str, Any]]], network: bool, chosen: set[int]) -> list[str]:
    wanted = {inner_port(port) for _container, site in members for port, _tls, default in listens(site) if default}
    body = []
    for port in found:
        default = port in wanted and port not in chosen
        chosen |= {port} if default else set()
        body.append(f"listen {port}{' default_server' if default else ''};")
    if names:
        body.append("server_name " + " ".join(syntax.token(name, "server_names") for name in names) + ";")
    done: dict[str, list[str]] = {}
    for container, site in members:
        where = f"services[{container.service['name']}].nginx"
        for item in static(container):
            tree = {"location": item["location"], "kind": "static", "alias": item["path"]}
            done.setdefault(item["location"], server.location(tree, where, common.Parts(container.name), {}))
        for item in site.get("locations", []):
            done.setdefault(item["location"], server.location(item, where, common.Parts(container.name), {}))
        done.setdefault(site.get("location", "/"), _main(container, site, where, network))
    for lines in done.values():
        body += ["", *lines]
    return body


def _main(container: Container, site: dict[str, Any], where: str, network: bool) -> list[str]:
    """The location that leads to the application."""
    typed = {key: site[key] for key in _TYPED if key in site}
    body = common.lines(typed, where, common.Parts(container.name), {}, "uwsgi")
    secure = bool(listens(site)) and all(tls for _port, tls, _default in listens(site))
    params = site.get("params", {})
    if container.service["uwsgi"].get("protocol") == "http":
        if secure:
            params = {key: re.sub(r"\$(scheme\b|\{scheme\})", "https", value) for key, value in params.items()}
        body += [f"proxy_set_header {syntax.token(key, where)} {syntax.token(value, where)};" for key, value in params.items()]
        # with a variable a part of the path could not be replaced
        return syntax.block(f"location {syntax.location_match(site.get('location', '/'), where)}",
                            body + [f"proxy_pass http://{_address(container, network)}{':' if not network and 'uri' in site else ''}{site.get('uri', '')};"])
    body.append("include /etc/nginx/uwsgi_params;")
    if secure:
        params = {"REQUEST_SCHEME": "https", "HTTPS": "on", **params}
    body += [f"uwsgi_param {syntax.token(key, where)} {syntax.token(value, where)};" for key, value in params.items()]
    if network:
        variable = "$uwsgi_" + container.name.replace("-", "_")
        body += [f"set {variable} {_address(container, network)};", f"uwsgi_pass {variable};"]
    else:
        body.append(f"uwsgi_pass {_address(container, network)};")
    return syntax.block(f"location {syntax.location_match(site.get('location', '/'), where)}", body)


def _address(container: Container, network: bool) -> str:
    return f"{container.name}:{UWSGI_PORT}" if network else f"unix:{container.socket}"


def title(settings: Settings) -> str:
    """The first line of the configuration for a whole host."""
    return f"The nginx in front of the services of {' '.join(settings.host.split())}."
