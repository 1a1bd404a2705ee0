# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sites of services, and the role's own, as arguments of the module nginx_sites. Pure."""

from __future__ import annotations

from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK
from ansible_collections.gantry.webstack.plugins.plugin_utils import model
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx import common, http, server, syntax


def uwsgi_pass(socket: str) -> str:
    """The address of a uWSGI socket as nginx spells it."""
    return syntax.uwsgi_address(socket)


def _text(title: str, blocks: list[list[str]]) -> str:
    lines = [f"# {MARK} {title}"]
    for block in blocks:
        lines += ["", *block]
    return "\n".join(line.rstrip() for line in lines) + "\n"


def _argument(parts: common.Parts, content: str) -> dict[str, Any]:
    return {"name": parts.name, "content": content, "certificates": parts.certificates, "users": parts.users, "logs": parts.logs}


def service_site(service: Service) -> dict[str, Any]:
    """One item of the module's ``sites``: the server blocks of a completed service. Raises ModelError for what nginx's syntax cannot say."""
    parts = common.Parts(service["name"])
    blocks: list[list[str]] = []
    where = f"services[{service['name']}].nginx"
    for number, site in enumerate(service["nginx"]["sites"]):
        place = f"{where}.sites[{number}]"
        inherited: dict[str, str] = {}
        found = [{"location": item["location"], "kind": "static", "alias": item["path"]} for item in service["nginx"]["static"]]
        locations = [server.location(item, f"{where}.static[{index}]", parts, inherited) for index, item in enumerate(found)]
        if "return" not in site:
            main = {"location": site["location"], "kind": "uwsgi", "pass": service["uwsgi"]["socket"], "params": site.get("params", {})}
            locations.append(server.location(main, place, parts, inherited))
        for index, item in enumerate(site.get("locations", [])):
            if item["location"] in (site["location"], *(static["location"] for static in found)):
                raise ModelError(f"{place}.locations[{index}].location: {item['location']!r} is the service's own already")
        blocks += server.servers(site, place, parts, locations)
    return _argument(parts, _text(f"Service {service['name']}.", blocks))


def site_file(service: Service) -> str:
    """The text of a completed service's file, http2 still as a placeholder."""
    return service_site(service)["content"]


def role_sites(sites: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The module's ``sites`` out of the role variable ``nginx_sites``. Raises ModelError with place and value."""
    model.hold(sites, {"type": "array", "items": {"$ref": "#/$defs/nginx_named_site"}}, "nginx_sites")
    done: list[dict[str, Any]] = []
    for site in sites:
        where = f"nginx_sites[{site['name']}]"
        if any(item["name"] == site["name"] for item in done):
            raise ModelError(f"{where}: two sites have this name")
        if "content" in site:
            others = set(site) - {"name", "content", "certificates", "users", "logs"}
            if others:
                raise ModelError(f"{where}: a site with raw content has no {', '.join(sorted(others))}")
            done.append(site)
            continue
        for key in ("location", "params"):
            if key in site:
                raise ModelError(f"{where}.{key}: only a service's site has this; write a location of kind uwsgi")
        parts = common.Parts(site["name"])
        done.append(_argument(parts, _text(f"Site {site['name']}.", server.servers(site, where, parts))))
    return done


def settings(found: dict[str, Any]) -> dict[str, Any]:
    """The module's ``settings`` out of the role's other variables."""
    for key in ("main", "events", "http", "upstreams", "maps", "status"):
        if found.get(key):
            model.hold(found[key], {"$ref": f"#/$defs/nginx_settings/properties/{key}"}, f"nginx_{key}")
    return http.settings(found)
