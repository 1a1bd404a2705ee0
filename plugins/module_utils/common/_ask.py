# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Ask a service's socket as its nginx site would."""

from __future__ import annotations

import re
import time
from typing import Any, Callable, Dict, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response, UwsgiError, request, wsgi_params


def first_site(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first nginx site that leads to the service; empty when none is known."""
    sites = service.get("nginx", {}).get("sites") or [{}]
    return sites[0]


def site_of(service: Mapping[str, Any], target: str) -> Mapping[str, Any]:
    """The site with the longest prefix location that holds ``target`` (nginx: location); the first one when there is none."""
    fitting = [site for site in service.get("nginx", {}).get("sites", []) if target.startswith(site.get("location", "/").split()[-1])]
    return max(fitting, key=lambda site: len(site.get("location", "/")), default=first_site(service))


def host_header(service: Mapping[str, Any]) -> str:
    """The Host header that reaches the service: health.host, or the first plain server name."""
    names = [name for name in first_site(service).get("server_names", []) if name not in ("", "_") and not name.startswith(("~", "*", "."))]
    return service.get("health", {}).get("host") or (names[0] if names else "localhost")


def variables(service: Mapping[str, Any], target: str, method: str = "GET") -> Dict[str, str]:
    """The uwsgi variables of one request without a body, its site's own uwsgi_param lines among them. Pure."""
    site = site_of(service, target)
    host = host_header(service)
    scheme = "https" if any(re.search(r"\bssl\b", listen) for listen in site.get("listen", [])) else "http"
    params = wsgi_params(method, target, host, {"User-Agent": "gantry.webstack", "Accept": "*/*"}, scheme=scheme)
    known = {"$host": host, "$http_host": host, "$server_name": host, "$scheme": scheme, "$request_scheme": scheme, "$remote_addr": "127.0.0.1",
             "$proxy_add_x_forwarded_for": "127.0.0.1", "$request_uri": target, "$server_port": params["SERVER_PORT"]}
    for key, value in site.get("params", {}).items():
        value = known.get(value, value)
        if "$" not in value:
            params[key] = value
    return params


def ask(service: Mapping[str, Any], socket: str, target: str, method: str = "GET", timeout: float = 30.0) -> Response:
    """One request without a body to the service at ``socket``. Raises UwsgiError."""
    return request(socket, variables(service, target, method), timeout=timeout)


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
