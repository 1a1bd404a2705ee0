# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a service's socket as its nginx site would."""

from __future__ import annotations

import re
import time
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import (
    Response,
    UwsgiError,
    http_packet,
    http_request,
    pack,
    request,
    wsgi_params,
)


def first_site(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first nginx site that leads to the service; empty when none is known."""
    sites = service.get("nginx", {}).get("sites") or [{}]
    return sites[0]


def site_of(service: Mapping[str, Any], target: str, host: str = "") -> Mapping[str, Any]:
    """The site with the longest prefix location that holds ``target`` (nginx: location); the first one when there is none.

    With a ``host``, one that has it among its names if there is any.
    """
    sites = service.get("nginx", {}).get("sites", [])
    named = [site for site in sites if host and host in site.get("server_names", [])]
    fitting = [site for site in named or sites if target.startswith(site.get("location", "/").split()[-1])]
    return max(fitting, key=lambda site: len(site.get("location", "/")), default=first_site(service))


def host_header(service: Mapping[str, Any]) -> str:
    """The Host header that reaches the service: health.host, or the first plain server name."""
    names = [name for name in first_site(service).get("server_names", []) if name not in ("", "_") and not name.startswith(("~", "*", "."))]
    return service.get("health", {}).get("host") or (names[0] if names else "localhost")


def variables(service: Mapping[str, Any], target: str, method: str = "GET", host: str = "", headers: Iterable[Tuple[str, str]] = ()) -> Dict[str, str]:
    """The uwsgi variables of one request without a body, its site's own uwsgi_param lines among them. ``headers`` come beside ours. Pure."""
    site = site_of(service, target, host)
    host = host or host_header(service)
    scheme = "https" if any(re.search(r"\bssl\b", listen) for listen in site.get("listen", [])) else "http"
    params = wsgi_params(method, target, host, {"User-Agent": "gantry.webstack", "Accept": "*/*", **dict(headers)}, scheme=scheme)
    known = {"$host": host, "$http_host": host, "$server_name": host, "$scheme": scheme, "$request_scheme": scheme, "$remote_addr": "127.0.0.1",
             "$proxy_add_x_forwarded_for": "127.0.0.1", "$request_uri": target, "$server_port": params["SERVER_PORT"]}
    for key, value in site.get("params", {}).items():
        value = known.get(value, value)
        if "$" not in value:
            params[key] = value
    return params


def speaks_http(service: Mapping[str, Any]) -> bool:
    """Does nginx speak HTTP to it, and not the uwsgi protocol?"""
    return service.get("uwsgi", {}).get("protocol") == "http"


def http_question(service: Mapping[str, Any], target: str, host: str = "", more: Iterable[Tuple[str, str]] = ()) -> Tuple[str, Dict[str, str]]:
    """(request target, headers) as a ``proxy_pass`` makes them of a request: the location's part of the path may be replaced, and its headers added. Pure."""
    site = site_of(service, target, host)
    host = host or host_header(service)
    headers = {"Host": host, "User-Agent": "gantry.webstack", "Accept": "*/*", **dict(more)}
    known = variables(service, target, host=host)
    for name, value in site.get("params", {}).items():
        for variable in re.findall(r"\$\{?(\w+)\}?", value):
            given = {"host": host, "http_host": host, "server_name": host, "scheme": known["REQUEST_SCHEME"], "remote_addr": "127.0.0.1",
                     "proxy_add_x_forwarded_for": "127.0.0.1", "request_uri": target, "server_port": known["SERVER_PORT"]}.get(variable, "")
            value = re.sub(r"\$(\{%s\}|%s\b)" % (variable, variable), given.replace("\\", r"\\"), value)
        headers = {key: text for key, text in headers.items() if key.lower() != name.lower()}
        headers[name] = value
    location = site.get("location", "/").split()[-1]
    if "uri" in site and target.startswith(location):
        target = site["uri"] + target[len(location):]
    return target, headers


def packet(service: Mapping[str, Any], target: str) -> bytes:
    """What one GET of the service is on the wire."""
    return http_packet("GET", *http_question(service, target)) if speaks_http(service) else pack(variables(service, target))


def ask(service: Mapping[str, Any], socket: str, target: str, method: str = "GET", timeout: float = 30.0,
        host: str = "", headers: Iterable[Tuple[str, str]] = (), limit: Optional[int] = None) -> Response:
    """One request without a body to the service at ``socket``; ``limit`` is the most bytes of the answer that are read. Raises UwsgiError."""
    if speaks_http(service):
        asked, all_headers = http_question(service, target, host, headers)
        return http_request(socket, method, asked, all_headers, timeout=timeout, limit=limit)
    return request(socket, variables(service, target, method, host, headers), timeout=timeout, limit=limit)


def health_problem(service: Mapping[str, Any], socket: str, timeout: float = 10.0) -> Optional[str]:
    """None when the service answers its health path at ``socket`` as it should, else what is wrong."""
    health = service.get("health", {})
    path, wanted = health.get("path", "/"), health.get("status", 200)
    try:
        answer = ask(service, socket, path, timeout=timeout)
    except UwsgiError as exc:
        return str(exc)
    return None if answer.status == wanted else "GET %s answered %d, expected %d" % (path, answer.status, wanted)


def await_health(service: Mapping[str, Any], socket: str, timeout: float, failed: Callable[[], Optional[str]] = lambda: None) -> None:
    """Ask until the service is healthy at ``socket``; ``timeout`` in seconds. ``failed`` may tell that waiting is in vain.

    Raises WebstackError naming the service and the last problem.
    """
    deadline = time.monotonic() + timeout
    while True:
        problem = health_problem(service, socket, timeout=min(10.0, timeout))
        if problem is None:
            return
        reason = failed()
        if reason is None and time.monotonic() > deadline:
            reason = "not healthy within %d s" % timeout
        if reason is not None:
            raise WebstackError("service %s: %s (%s)" % (service["name"], reason, problem))
        time.sleep(0.1)
