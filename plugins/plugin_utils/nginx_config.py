# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's whole configuration (``nginx -T``) as sites with their locations, and where those lead. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import MASK
from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_directives
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_directives import Directive, NginxError

__all__ = ["Location", "Nginx", "NginxError", "Route", "Site", "address", "parse", "routes", "static"]

PASSES = ("uwsgi_pass", "proxy_pass", "fastcgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")
"""Directives that hand a request to another server."""


@dataclass
class Location:
    """A location and what becomes of its requests. ``match`` is its text (``/``, ``= /x``, ``~ \\.php$``, ``@app``).

    ``passes`` are (directive, target) pairs; ``served`` is the directory of files, by root or alias, None without one.
    """

    match: str
    file: str
    line: int
    passes: list[tuple[str, str]] = field(default_factory=list)
    served: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    try_files: tuple[str, ...] = ()
    error_pages: tuple[str, ...] = ()
    client_max_body_size: str | None = None
    access_log: str | None = None


@dataclass
class Site:
    """A server block."""

    file: str
    line: int
    listen: list[str]
    server_names: list[str]
    locations: list[Location]

    @property
    def title(self) -> str:
        """How a person calls it."""
        return next((name for name in self.server_names if name != "_"), "") or f"server on {' '.join(self.listen)}"


@dataclass
class Nginx:
    """The whole configuration; ``upstreams`` maps names to server addresses, UNIX ones as plain paths; ``problems`` are places that cannot be read."""

    sites: list[Site]
    upstreams: dict[str, list[str]]
    problems: list[str] = field(default_factory=list)

    def addresses(self, target: str) -> list[str]:
        """The sockets (paths or HOST:PORT) that a pass target leads to, upstreams resolved; empty for one that holds a variable."""
        bare = re.sub(r"^\w+://", "", target) if not target.startswith("unix:") else target
        if "$" in bare:
            return []
        return [address(bare)] if bare.startswith("unix:") else self.upstreams.get(bare.split("/")[0], [bare.split("/")[0]])


def address(target: str) -> str:
    """``unix:///run/x.sock`` and ``unix:/run/x.sock`` as a normalised path, anything else as it is."""
    if target.startswith("unix:"):
        path = target[len("unix:"):].split(":")[0]
        return posixpath.normpath("/" + path.lstrip("/")) if path.startswith("/") else path
    return target


def parse(text: str) -> Nginx:
    """Read the output of ``nginx -T``; what cannot be read of it is in ``problems``. Raises NginxError when nothing can."""
    directives, problems = nginx_directives.read(text)
    model = _model(directives)
    model.problems = problems
    return model


def _model(directives: tuple[Directive, ...]) -> Nginx:
    upstreams: dict[str, list[str]] = {}
    sites: list[Site] = []
    for http in (item for item in directives if item.name == "http"):
        for item in http.block:
            if item.name == "upstream" and item.args:
                upstreams[item.args[0]] = [address(inner.args[0]) for inner in item.block if inner.name == "server" and inner.args]
        sites += [_site(item, http.block) for item in http.block if item.name == "server"]
    return Nginx(sites, upstreams)


def _last(name: str, *levels: tuple[Directive, ...]) -> str | None:
    """A directive's arguments at the innermost level that has it."""
    for level in levels:
        found = [item for item in level if item.name == name]
        if found:
            return " ".join(found[0].args if name == "access_log" else found[-1].args)
    return None


def _site(server: Directive, http: tuple[Directive, ...]) -> Site:
    own = server.block
    listen = [" ".join(item.args) for item in own if item.name == "listen"] or ["80"]
    names = [name for item in own if item.name == "server_name" for name in item.args if name]
    locations = [location for item in own for location in _locations(item, (own, http))]
    if any(item.name in PASSES or item.name in ("root", "try_files") for item in own) and not any(location.match == "/" for location in locations):
        # what no location takes is the server's own to answer
        if _last("root", own) or any(item.name == "try_files" for item in own):
            locations.append(_location("/", server, own, (http,)))
    return Site(server.file, server.line, listen, names, locations)


def _locations(item: Directive, outer: tuple[tuple[Directive, ...], ...]) -> Iterator[Location]:
    if item.name == "location" and item.args:
        yield _location(" ".join(item.args), item, item.block, outer)
        for inner in item.block:
            yield from _locations(inner, (item.block, *outer))


def _location(match: str, place: Directive, own: tuple[Directive, ...], outer: tuple[tuple[Directive, ...], ...]) -> Location:
    levels = (own, *outer)
    # an if inside a location can hand requests on too
    inner = list(own) + [deeper for item in own if item.name in ("if", "limit_except") for deeper in item.block]
    location = Location(match, place.file, place.line, [(item.name, item.args[0]) for item in inner if item.name in PASSES and item.args])
    alias, root = _last("alias", own), _last("root", *levels)
    plain = re.sub(r"^(\^~|=)\s+", "", match)
    if not location.passes and not match.startswith("@"):
        if alias:
            location.served = alias
        elif root:
            location.served = root.rstrip("/") + plain if plain.startswith("/") else root
    location.params = _params(levels)
    location.try_files = tuple(arg for item in own if item.name == "try_files" for arg in item.args)
    location.error_pages = tuple(item.args[-1] for item in own if item.name == "error_page" and item.args)
    location.client_max_body_size = _last("client_max_body_size", *levels)
    location.access_log = _last("access_log", *levels)
    return location


def _params(levels: tuple[tuple[Directive, ...], ...]) -> dict[str, str]:
    """uwsgi_param lines of the innermost level that has any (nginx inherits all or none), without those of the stock file and without secrets."""
    for level in levels:
        found = [item for item in level if item.name == "uwsgi_param" and len(item.args) >= 2]
        if found:
            return {item.args[0]: item.args[1] for item in found if posixpath.basename(item.file) != "uwsgi_params" and item.args[1] != MASK}
    return {}


@dataclass(frozen=True)
class Route:
    """How a location's requests reach a server: ``match`` is what clients ask for, also when a named location does the handing over."""

    site: Site
    location: Location
    match: str
    directive: str
    target: str


def routes(nginx: Nginx) -> list[Route]:
    """Every hand-over in the configuration, in order. A named location is traced back to the locations whose try_files or error_page name it."""
    found: list[Route] = []
    for site in nginx.sites:
        for location in site.locations:
            for directive, target in location.passes:
                matches = [location.match]
                if location.match.startswith("@"):
                    matches = [other.match for other in site.locations if location.match in other.try_files + other.error_pages] or [location.match]
                found += [Route(site, location, match, directive, target) for match in matches]
    return found


def static(site: Site) -> list[dict[str, str]]:
    """{location, path} of the site's locations that serve files from a fixed directory."""
    found = []
    for location in site.locations:
        if location.served and location.served.startswith("/") and "$" not in location.served:
            found.append({"location": location.match, "path": location.served})
    return found
