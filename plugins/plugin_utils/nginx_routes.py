# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which locations lead to which server behind nginx, and by which requests. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ansible_collections.gantry.webstack.plugins.plugin_utils import nginx_choice
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx_config import Location, Nginx, Site


@dataclass(frozen=True)
class Route:
    """How a location's requests reach a server: ``entry`` is the one that clients ask for, ``location`` the one that hands over, mostly the same."""

    site: Site
    location: Location
    entry: Location
    directive: str
    target: str

    @property
    def match(self) -> str:
        """The text of the location that clients ask for."""
        return self.entry.match


def routes(nginx: Nginx) -> list[Route]:
    """Every hand-over that a request can reach, in order. A location that hands over is traced back to those whose try_files, error_page or rewrite
    goes on to it; a URI there finds its location as a request's does. A server that nginx never chooses leads nowhere.
    """
    servers = nginx_choice.Servers(nginx.sites)
    found: list[Route] = []
    for site in nginx.sites:
        if servers.hidden(site):
            continue
        entries = _entries(site)
        for location in site.locations:
            for directive, target in location.passes:
                found += [Route(site, location, entry, directive, target) for entry in entries.get(id(location), [location])]
    for site in nginx.streams:
        found += [Route(site, location, location, directive, target) for location in site.locations for directive, target in location.passes]
    return found


def _entries(site: Site) -> dict[int, list[Location]]:
    """For each location that requests reach: those that clients ask for, itself first."""
    tree = nginx_choice.Locations(site)
    found: dict[int, list[Location]] = {}
    asked = [item for item in site.locations if item.modifier != "@" and not item.internal]
    for item in asked:
        found.setdefault(id(item), []).append(item)
    for item in asked:
        for end in _beyond(site, tree, item):
            found.setdefault(id(end), []).append(item)
    return found


def _beyond(site: Site, tree: nginx_choice.Locations, start: Location) -> Iterator[Location]:
    """The locations that nginx may go on to from one, each once and without itself."""
    seen = {id(start)}
    todo = [start]
    while todo:
        for target in todo.pop().fallbacks:
            location = _named(site, target) if target.startswith("@") else _by_path(site, tree, target)
            if location is not None and id(location) not in seen:
                seen.add(id(location))
                todo.append(location)
                yield location


def _named(site: Site, name: str) -> Location | None:
    return next((item for item in site.locations if item.match == name), None)


def _by_path(site: Site, tree: nginx_choice.Locations, target: str) -> Location | None:
    """The location for a URI of the configuration; variables of the request's own path stand for some path, others are not known."""
    path = re.sub(r"\$\{?(is_args|args|query_string)\b\}?", "", target.partition("?")[0])
    path = re.sub(r"\$\{?(uri|request_uri|document_uri)\b\}?", "/x", path)
    if "$" in path:
        return None
    try:
        chosen = tree.choose(path)
    except nginx_choice.Unclear:
        return None
    return chosen.location or next((item for item in site.locations if item.implied), None)
