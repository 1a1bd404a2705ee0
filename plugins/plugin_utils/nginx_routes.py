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
        for end in beyond(site, tree, item):
            found.setdefault(id(end), []).append(item)
    return found


def beyond(site: Site, tree: nginx_choice.Locations, start: Location) -> Iterator[Location]:
    """The locations that nginx may go on to from one, each once and without itself. An error on the page of an error leads nowhere."""
    seen = {(id(start), False)}
    given = {id(start)}
    todo = [(start, False)]
    while todo:
        here, failed = todo.pop(0)
        targets = [(target, failed) for target in here.fallbacks] + [(target, True) for target in here.error_pages if not failed]
        for target, then in targets:
            location = goes_to(site, tree, target)
            if location is None or (id(location), then) in seen:
                continue
            seen.add((id(location), then))
            todo.append((location, then))
            if id(location) not in given:
                given.add(id(location))
                yield location


def goes_to(site: Site, tree: nginx_choice.Locations, target: str) -> Location | None:
    """The location that a name or a URI of the configuration leads to; None where it leads to none, or to one that depends on variables.

    A variable of the request's own path stands for some path.
    """
    if target.startswith("@"):
        return next((item for item in site.locations if item.match == target), None)
    path = re.sub(r"\$\{?(is_args|args|query_string)\b\}?", "", target.partition("?")[0])
    path = re.sub(r"\$\{?(uri|request_uri|document_uri)\b\}?", "/x", path)
    if "$" in path:
        return None
    try:
        chosen = tree.choose(path)
    except nginx_choice.Unclear:
        return None
    return chosen.location or next((item for item in site.locations if item.implied), None)
