# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's whole configuration (``nginx -T``) as sites with their locations, and where those lead. Pure."""

from __future__ import annotations

import dataclasses
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import MASK
from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_directives, nginx_secrets
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_directives import Directive, NginxError

__all__ = ["Location", "Nginx", "NginxError", "Site", "address", "parse", "static"]

PASSES = ("uwsgi_pass", "proxy_pass", "fastcgi_pass", "scgi_pass", "grpc_pass", "memcached_pass")
"""Directives that hand a request to another server."""


@dataclass
class Location:
    """A location and what becomes of its requests. ``match`` is its text (``/``, ``= /x``, ``~ \\.php$``, ``@app``).

    ``modifier`` and ``text`` are the two parts of it, ``outer`` the location that it stands in. ``implied``: it is none, but what the server
    block itself does with what no location takes. ``passes`` are (directive, target) pairs, ``hands_on`` says that one is not below an ``if``;
    ``served`` is the directory of files, by root or alias, None without one. ``fallbacks`` are the names and URIs that nginx goes on to by
    try_files and rewrite, ``error_pages`` those of errors.
    """

    match: str
    file: str
    line: int
    modifier: str = ""
    text: str = ""
    outer: "Location | None" = None
    internal: bool = False
    implied: bool = False
    hands_on: bool = False
    fallbacks: tuple[str, ...] = ()
    error_pages: tuple[str, ...] = ()
    passes: list[tuple[str, str]] = field(default_factory=list)
    served: str | None = None
    params: dict[str, str] = field(default_factory=dict)
    proxy_headers: dict[str, str] = field(default_factory=dict)
    client_max_body_size: str | None = None
    access_log: str | None = None


@dataclass
class Site:
    """A server block. ``names`` are its names as nginx has them: an empty one where it has none. ``protocol`` is http, stream or mail."""

    file: str
    line: int
    listen: list[str]
    server_names: list[str]
    locations: list[Location]
    names: tuple[str, ...] = ("",)
    merge_slashes: bool = True
    protocol: str = "http"

    @property
    def title(self) -> str:
        """How a person calls it: by its name, else by where it listens."""
        return self.name or f"server on {', '.join(self.listen)}"

    @property
    def name(self) -> str:
        """The first of its names that is one; empty without any."""
        return next((name for name in self.server_names if name != "_"), "")


@dataclass
class Nginx:
    """The whole configuration; ``upstreams`` maps names to server addresses, UNIX ones as plain paths; ``problems`` are places that cannot be read.

    ``secrets`` are {name, source}, as a plan has them.
    """

    sites: list[Site]
    upstreams: dict[str, list[str]]
    problems: list[str] = field(default_factory=list)
    streams: list[Site] = field(default_factory=list)
    secrets: list[dict[str, str]] = field(default_factory=list)

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
    model.secrets = nginx_secrets.find(directives)
    return model


def _model(directives: tuple[Directive, ...]) -> Nginx:
    model = Nginx([], {})
    for context in (item for item in directives if item.name in ("http", "stream", "mail")):
        kind = "" if context.name == "http" else context.name + " "
        for item in context.block:
            if item.name == "upstream" and item.args:
                model.upstreams[kind + item.args[0]] = [address(inner.args[0]) for inner in item.block if inner.name == "server" and inner.args]
        servers = [item for item in context.block if item.name == "server"]
        if kind:
            model.streams += [_stream(item, context.name, model.upstreams) for item in servers]
        else:
            around = _level(context.block)
            model.sites += [_site(item, around) for item in servers]
    return model


Level = dict[str, list[Directive]]
"""A block's directives by name: looked at once, since each location asks the blocks around it, and http may hold thousands of servers."""


def _level(block: tuple[Directive, ...]) -> Level:
    found: Level = {}
    for item in block:
        found.setdefault(item.name, []).append(item)
    return found


def _stream(server: Directive, protocol: str, upstreams: dict[str, list[str]]) -> Site:
    """A server of TCP, UDP or mail: it has no locations, so one stands for all that it takes. Its upstreams are no names of http's."""
    listen = [" ".join(item.args) for item in server.block if item.name == "listen"]
    names = [name for item in server.block if item.name == "server_name" for name in item.args if name]
    targets = [item.args[0] for item in server.block if item.name == "proxy_pass" and item.args]
    passes = [("proxy_pass", place) for target in targets for place in upstreams.get(f"{protocol} {target}", [target])]
    location = Location("*", server.file, server.line, implied=True, passes=passes)
    return Site(server.file, server.line, listen, names, [location], tuple(names) or ("",), protocol=protocol)


def _last(name: str, *levels: Level) -> str | None:
    """A directive's arguments at the innermost level that has it."""
    for level in levels:
        if name in level:
            return " ".join(level[name][0 if name == "access_log" else -1].args)
    return None


def _site(server: Directive, http: Level) -> Site:
    own = _level(server.block)
    listen = [" ".join(item.args) for item in own.get("listen", [])] or ["80"]
    names = [name for item in own.get("server_name", []) for name in item.args]
    locations = [location for item in own.get("location", []) for location in _locations(item, (own, http), None)]
    if not any(location.match == "/" for location in locations) and (_last("root", own) or "try_files" in own):
        # what no location takes is the server's own to answer
        locations.append(dataclasses.replace(_location("/", server, (own, http)), implied=True))
    return Site(server.file, server.line, listen, [name for name in names if name], locations, tuple(names) or ("",),
                merge_slashes=_last("merge_slashes", own, http) != "off")


def _locations(item: Directive, outside: tuple[Level, ...], outer: Location | None) -> Iterator[Location]:
    if item.args:
        levels = (_level(item.block), *outside)
        location = _location(" ".join(item.args), item, levels)
        location.modifier, location.text = nginx_directives.location_words(item.args)
        location.outer = outer
        yield location
        for inner in levels[0].get("location", []):
            yield from _locations(inner, levels, location)


def _location(match: str, place: Directive, levels: tuple[Level, ...]) -> Location:
    """A location, or the server block as one. ``levels`` are its own directives and those of the blocks around it."""
    own = levels[0]
    # an if inside a location can hand requests on too
    inner = list(place.block) + [deeper for item in place.block if item.name in ("if", "limit_except") for deeper in item.block]
    location = Location(match, place.file, place.line, passes=[(item.name, item.args[0]) for item in inner if item.name in PASSES and item.args])
    location.hands_on = any(name in own for name in PASSES)
    location.internal = "internal" in own
    alias, root = _last("alias", own), _last("root", *levels)
    plain = re.sub(r"^(\^~|=)\s+", "", match)
    if not location.passes and not match.startswith("@"):
        if alias:
            location.served = alias
        elif root:
            location.served = root.rstrip("/") + plain if plain.startswith("/") else root
    location.params = _params("uwsgi_param", levels)
    location.proxy_headers = _params("proxy_set_header", levels)
    rewrites = (item for item in inner if item.name == "rewrite" and len(item.args) >= 2 and item.args[-1] not in ("break", "redirect", "permanent"))
    location.fallbacks = _inside([*(item.args[-1] for item in inner if item.name == "try_files" and item.args), *(item.args[1] for item in rewrites)])
    pages: list[Directive] = next((level["error_page"] for level in levels if "error_page" in level), [])
    location.error_pages = _inside([item.args[-1] for item in pages if item.args])
    location.client_max_body_size = _last("client_max_body_size", *levels)
    location.access_log = _last("access_log", *levels)
    return location


def _inside(targets: list[str]) -> tuple[str, ...]:
    """Those of them that nginx answers itself: names and URIs."""
    return tuple(target for target in dict.fromkeys(targets) if target.startswith(("/", "@")))


def _params(name: str, levels: tuple[Level, ...]) -> dict[str, str]:
    """The lines of such a directive at the innermost level that has any (nginx inherits all or none), without the stock file's and without secrets."""
    for level in levels:
        found = [item for item in level.get(name, []) if len(item.args) >= 2]
        if found:
            return {item.args[0]: item.args[1] for item in found if posixpath.basename(item.file) != "uwsgi_params" and item.args[1] != MASK}
    return {}


def static(site: Site) -> list[dict[str, str]]:
    """{location, path} of the site's locations that serve files from a fixed directory."""
    found = []
    for location in site.locations:
        if location.served and location.served.startswith("/") and "$" not in location.served:
            found.append({"location": location.match, "path": location.served})
    return found
