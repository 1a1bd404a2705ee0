"""Requests for an nginx configuration, made of its own names and paths by a seeded generator, and what the model says that nginx answers."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_choice, nginx_routes
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_config import Nginx, Site

Request = tuple[str, int, str | None, str]
"""Address, port, Host header (None: HTTP/1.0 without one), request target."""

PATHS = ("/", "/index.html", "/x", "/a/b/c", "/static/x.png", "/x.php", "/x.php/y", "/.well-known/acme-challenge/x", "/.git/config", "/favicon.ico",
         "/robots.txt", "//", "/a/../b", "/a/./b", "/%61", "/a%2fb", "/a%20b", "/a?b=/c", "/A", "/..", "/a/..", "/%2e%2e/x", "/a#b", "/%C3%A9")
HOSTS = ("localhost", "127.0.0.1", "[::1]", "nobody.test", "WWW.NOBODY.TEST", "_", None)


def requests(nginx: Nginx, seed: int, most: int) -> list[Request]:
    """Every listen with every name at the root, then a sample of all combinations."""
    rng = random.Random(seed)
    places = sorted({place for site in nginx.sites for place in _places(site)})
    hosts = list(dict.fromkeys([*HOSTS, *(name for site in nginx.sites for name in _hosts(site))]))
    paths = list(dict.fromkeys([*PATHS, *(path for site in nginx.sites for location in site.locations for path in _paths(location))]))
    first = [(*place, host, "/") for place in places for host in hosts]
    rng.shuffle(first)
    every = [(*rng.choice(places), rng.choice(hosts), rng.choice(paths)) for _number in range(most)] if places else []
    return list(dict.fromkeys([*first[:most // 4], *_own(nginx), *every]))[:most]


def _own(nginx: Nginx) -> Iterator[Request]:
    """For each site its own paths under a name of its own."""
    for site in nginx.sites:
        places, hosts = list(_places(site)), [host for host in nginx_choice.hosts(site) if host]
        if places:
            yield from ((*places[0], hosts[0], path) for location in site.locations for path in _paths(location))


def _places(site: Site) -> Iterator[tuple[str, int]]:
    """Addresses of this machine at which a site listens."""
    for endpoint in (endpoint for listen in site.listen for endpoint in nginx_choice.endpoints(listen) if endpoint.port):
        if endpoint.address == nginx_choice.ANY:
            yield from (("127.0.0.1", int(endpoint.port)), ("127.0.0.77", int(endpoint.port)))
        elif endpoint.address == nginx_choice.ANY6:
            yield "::1", int(endpoint.port)
            if endpoint.both:
                yield "127.0.0.1", int(endpoint.port)
        elif endpoint.address.startswith(("127.", "[::1]")):
            yield endpoint.address.strip("[]"), int(endpoint.port)


def _hosts(site: Site) -> Iterator[str]:
    for host in nginx_choice.hosts(site):
        if host:
            yield from (host, host.upper(), host + ".", host + ":8000", "www." + host, "a.b." + host, host.partition(".")[2] or host, host + ".org")


def _paths(location: Any) -> Iterator[str]:
    for path in nginx_choice.paths(location):
        if path.startswith("/"):
            yield from (path, path + "x", path + "/", path + "/y.php", path.rstrip("/") or "/", path.upper(), path + "?q=/", "/z/.." + path, "/" + path,
                        path + "/../w")


class Model:
    """What the model says. ``unclear`` counts expressions that it cannot read."""

    def __init__(self, nginx: Nginx) -> None:
        self.nginx, self.unclear = nginx, 0
        self.servers = nginx_choice.Servers(nginx.sites)
        self.trees = {id(site): nginx_choice.Locations(site) for site in nginx.sites}

    def expected(self, request: Request, follow: bool = False) -> set[str | None]:
        """The places that may answer: ``SERVER LOCATION`` as FILE:LINE; ``400``; None where nobody listens. One, unless try_files is followed,
        which may end in a cycle: ``500``."""
        address, port, host, target = request
        try:
            here = (port, f"[{address}]" if ":" in address else address)
            site, default = self.servers.server(host or "", *here), self.servers.default(*here)
            if site is None or default is None:
                return {None}
            if nginx_choice.normalized(target, default.merge_slashes) is None:
                return {"400"}
            chosen = self.trees[id(site)].choose(target, default.merge_slashes)
        except nginx_choice.Unclear:
            self.unclear += 1
            return set()
        start = chosen.location or next((item for item in site.locations if item.implied), None)
        places = [start]
        loose: set[str | None] = set()
        if start is not None and start.fallbacks and follow and not chosen.redirects:
            places += nginx_routes.beyond(site, self.trees[id(site)], start)
            loose = {"500"}
            lost = [target for place in places if place for target in place.fallbacks if nginx_routes.goes_to(site, self.trees[id(site)], target) is None]
            places += [None] if lost else []
            places += site.locations if any("$" in target for target in lost) else []  # where it leads depends on variables, which the model does not say
        server = f"{site.file}:{site.line}"
        return loose | {f"{server} -" if place is None or place.implied else f"{server} {place.file}:{place.line}" for place in places}


def told(answer: list[Any] | None) -> str | None:
    """nginx's answer in the same words."""
    if answer is None:
        return None
    return str(answer[0]) if answer[0] in (400, 500) or not answer[1] else str(answer[1])
