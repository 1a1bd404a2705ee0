# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each installing module wants to know, out of completed service definitions. Pure."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.install._requirements import parse_lock
from ansible_collections.gantry.webstack.plugins.module_utils.install._webapp_releases import placed
from ansible_collections.gantry.webstack.plugins.plugin_utils import render_nginx, render_units, render_uwsgi
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service

Secrets = Mapping[str, Mapping[str, str]]

SHARED_DIRS = frozenset(("/", "/run", "/var/run", "/tmp", "/var/tmp", "/run/uwsgi", "/var/run/uwsgi", "/srv", "/var", "/etc", "/opt", "/home"))
"""Directories that cannot be one service's own socket directory."""


def check(services: list[Service]) -> list[Service]:
    """Refuse what the schema allows but ``install`` cannot do. Raises ModelError with one sentence; returns the services."""
    directories: dict[str, str] = {}
    tops: dict[str, str] = {}
    for service in services:
        name = service["name"]
        for secret in service["secrets"]:
            if not secret["source"].startswith(("file:", "code:")) and secret["name"] not in render_uwsgi.secret_environment(service):
                raise ModelError(f"services[{name}].secrets[{secret['name']}].source: install supports file:PATH and, when it is left out, "
                                 f"an environment variable; not {secret['source']!r}")
        _check_code(service, tops)
        if "protocol" in service["uwsgi"]:
            raise ModelError(f"services[{name}].uwsgi.protocol: install has nginx speak the uwsgi protocol; not {service['uwsgi']['protocol']!r}")
        directory = socket_dir(service)
        if directory is not None:
            if directory in SHARED_DIRS:
                raise ModelError(f"services[{name}].uwsgi.socket: {service['uwsgi']['socket']!r} stands in {directory}, which is not the service's "
                                 f"own; give it a directory of its own such as {_paths.host_socket(name)}")
            if directory in directories:
                raise ModelError(f"services {directories[directory]} and {name} have their sockets in one directory {directory!r}")
            directories[directory] = name
        render_uwsgi.vassal(service)
        render_nginx.site_file(service)
    render_units.units(services)
    return services


SOURCES = ("source", "git", "archive")
"""Where code comes from; one of them at most."""


def managed(service: Service) -> bool:
    """Whether the collection brings a service's code or environment, so that it lives in releases."""
    return "requirements" in service["python"] or any(key in service["code"] for key in (*SOURCES, "release"))


def bare(service: Service) -> bool:
    """Whether the collection brings a service's code, and nobody its environment: it gets the interpreter as it is, in an environment without a lock."""
    python, code = service["python"], service["code"]
    named = any(render_uwsgi.ALIASES.get(option, option) == "virtualenv" for option in service["uwsgi"]["options"])
    return "requirements" not in python and not named and any(key in code for key in SOURCES) and _inside(python["venv"], code["path"])


def _check_code(service: Service, tops: dict[str, str]) -> None:
    """Refuse code that cannot live in releases; ``tops`` are the directories of the services before this one."""
    where, code = f"services[{service['name']}].code", service["code"]
    given = [key for key in SOURCES if key in code]
    if len(given) > 1:
        raise ModelError(f"{where}: {' and '.join(given)} are given; code comes from one of them")
    if "archive" in code and ("path" in code["archive"]) == ("url" in code["archive"]):
        raise ModelError(f"{where}.archive: give one of path and url")
    if bare(service) and service["uwsgi"].get("origin") == "venv" and "binary" not in service["uwsgi"]:
        raise ModelError(f"services[{service['name']}].uwsgi.origin: venv takes uWSGI from the service's own lock, and there is none; "
                         "list uwsgi or pyuwsgi in python.requirements")
    if not managed(service):
        return
    path = posixpath.normpath(code["path"])
    top, base = posixpath.split(path)
    if top in SHARED_DIRS or base in ("releases", "venvs", "shared"):
        raise ModelError(f"{where}.path: {code['path']!r} is a link beside the directories releases, venvs and shared; "
                         f"give it a directory of its own such as /srv/{service['name']}/current")
    if top in tops:
        raise ModelError(f"services {tops[top]} and {service['name']} have their code.path in one directory {top!r}; releases need one each")
    tops[top] = service["name"]
    for item in service["state"]:
        if posixpath.normpath(item["path"]) == path:
            raise ModelError(f"services[{service['name']}].state: {item['path']!r} is the code itself; name the directories in it that are written to")


def pinned(services: list[Service], releases: Mapping[str, str]) -> list[Service]:
    """The services, with ``code.release`` as ``webapp_release`` (service -> ID or previous) says."""
    unknown = sorted(set(releases) - {service["name"] for service in services})
    if unknown:
        known = ", ".join(service["name"] for service in services)
        raise ModelError(f"webapp_release: no service {', '.join(map(repr, unknown))}; there are {known or 'none'}")
    for name, release in releases.items():
        if not re.fullmatch(r"[A-Za-z0-9-]+", str(release)):
            raise ModelError(f"webapp_release.{name}: {release!r} is not the ID of a release, nor previous")
    return [{**service, "code": {**service["code"], "release": str(releases[service["name"]])}} if service["name"] in releases else service
            for service in services]


def socket_dir(service: Service) -> str | None:
    """The directory of a service's UNIX socket, or None for TCP."""
    socket = service["uwsgi"]["socket"]
    return posixpath.dirname(posixpath.normpath(socket)) if render_uwsgi.unix_socket(socket) else None


def check_secrets(services: list[Service], secrets: Secrets) -> None:
    """Refuse secrets that have no value, or one that no environment variable in a file can have."""
    for service in services:
        name = service["name"]
        values = secrets.get(name) or {}
        for key in render_uwsgi.secret_environment(service):
            if key not in values:
                raise ModelError(f"service {name}: webstack_secrets has no value for its secret {key}")
            render_uwsgi.env_line(key, str(values[key]), f"webstack_secrets.{name}")


def vassals(services: list[Service]) -> list[dict[str, Any]]:
    """``vassals`` of the module uwsgi_vassals."""
    return [_vassal(service) for service in services]


def _vassal(service: Service) -> dict[str, Any]:
    name, venv = service["name"], service["python"]["venv"]
    files = [secret["source"].removeprefix("file:") for secret in service["secrets"] if secret["source"].startswith("file:")]
    files += [_paths.secret_ini(name)] if render_uwsgi.secret_environment(service) else []
    names = service["nginx"]["sites"][0]["server_names"] if service["nginx"]["sites"] else []
    return {
        "name": name,
        "content": render_uwsgi.vassal(service),
        "socket": service["uwsgi"]["socket"],
        "user": service["user"]["name"],
        "group": service["user"]["group"],
        "code_path": service["code"]["path"],
        "venv": venv,
        "watch": [_paths.code_stamp(name), _paths.venv_stamp(venv), *files],
        "health_path": service["health"]["path"],
        "health_status": service["health"]["status"],
        "health_timeout": service["health"]["timeout"],
        "health_host": service["health"].get("host") or next((item for item in names if item[:1] not in "~*._"), "localhost"),
    }


def uwsgi_checks(services: list[Service]) -> list[dict[str, Any]]:
    """``services`` of the module uwsgi_check."""
    found = []
    for service in services:
        python = service["python"]
        check = {"name": service["name"], "options": render_uwsgi.options(service), "venv": python["venv"]}
        wanted = {"python_version": python.get("version"), "interpreter": python.get("interpreter"), "binary": render_uwsgi.program(service)}
        found.append({**check, **{key: value for key, value in wanted.items() if value}})
    return found


def sites(services: list[Service]) -> list[dict[str, Any]]:
    """``sites`` of the module nginx_sites; a service without a site has none."""
    return [render_nginx.service_site(service) for service in services if service["nginx"]["sites"]]


_PYTHON = ("version", "interpreter", "origin")
_VENV = ("system_site_packages", "index_url", "extra_index_urls", "wheel_dir", "no_index")


def _wanted_python(python: Mapping[str, Any]) -> dict[str, Any]:
    """The interpreter that is asked for; what pyenv, uv or conda has built is a tree like any other."""
    found = {key: python[key] for key in _PYTHON if python.get(key)}
    return {**found, "origin": "tree"} if found.get("origin", "package") != "package" else found


def pythons(services: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """``wanted`` of the module python_trees, for service definitions or entries of python_venvs: those that ask for a Python of their own."""
    told = [(service.get("name"), service.get("python", service)) for service in services]
    return [{"name": name, **_wanted_python(python)} for name, python in told if any(python.get(key) for key in _PYTHON)]


def venvs(services: list[Service], staged: Mapping[str, Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
    """``venvs`` of the module python_venvs: services that say what belongs into their virtual environment.

    ``staged`` is what the module webapps returned: the release that waits has its own, and a kept one has had its own already.
    """
    found = []
    for service in services:
        python = service["python"]
        if "requirements" in python or bare(service):
            lock = {"requirements": "", "system_site_packages": True} if bare(service) else {"requirements_file": python["requirements"]}
            wanted = {**_wanted_python(python), **{key: python[key] for key in _VENV if key in python}}
            found.append({"name": service["name"], "path": python["venv"], **lock, **wanted})
    return placed(found, staged or {})


def webapps(services: list[Service]) -> list[dict[str, Any]]:
    """``services`` of the module webapps."""
    return [_webapp(service) for service in services]


def _inside(path: str, directory: str) -> bool:
    return posixpath.normpath(path + "/").startswith(posixpath.normpath(directory)) and (
        posixpath.commonpath([posixpath.normpath(path), posixpath.normpath(directory)]) == posixpath.normpath(directory))


def _webapp(service: Service) -> dict[str, Any]:
    code, user = service["code"], service["user"]
    statics = [posixpath.normpath(static["path"]) for static in service["nginx"]["static"]]
    state = [posixpath.normpath(item["path"]) for item in service["state"]]
    public = [path for path in state if any(_inside(static, path) for static in statics)]
    made = [path for path in statics if not any(_inside(path, other) for other in state) and (managed(service) or not _inside(path, code["path"]))]
    app: dict[str, Any] = {
        "name": service["name"],
        "user": {key: user[key] for key in ("name", "uid", "group", "gid") if key in user},
        "code_path": code["path"],
        "venv": service["python"]["venv"],
        "directories": [{"path": path, "mode": "0755" if path in public else "0750"} for path in state],
        "static": list(dict.fromkeys(made)),
        "secret_environment": render_uwsgi.secret_environment(service),
        "secret_units": bool(service["schedule"] or service["workers"]),
        "keep": code["keep"],
        "secret_files": [{"name": secret["name"], "path": secret["source"].removeprefix("file:")}
                         for secret in service["secrets"] if secret["source"].startswith("file:")],
    }
    app["commands"] = next(iter(commands([service])), None)
    app.update({"code_" + key: code[key] for key in SOURCES if key in code})
    if "release" in code:
        app["release"] = code["release"]
    if "requirements" in service["python"] or bare(service):
        app.update({"lock_digest": parse_lock("").digest, "system_site_packages": True} if bare(service) else
                   {"requirements_file": service["python"]["requirements"]})
        app.update(_wanted_python(service["python"]))
        app.update({"system_site_packages": service["python"]["system_site_packages"]} if "system_site_packages" in service["python"] else {})
    if socket_dir(service) is not None:
        app["socket_dir"] = socket_dir(service)
    return app


def commands(services: list[Service], staged: Mapping[str, Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
    """``services`` of the module webapp_commands: those with something to check, migrate or prepare."""
    found = []
    for service in services:
        place = (staged or {}).get(service["name"], {})
        wanted = {kind: service["code"].get(kind, []) for kind in ("check", "migrate", "prepare")}
        if place.get("pinned"):  # there is no way back for a database
            wanted["migrate"] = []
        if any(wanted.values()):
            found.append({
                "name": service["name"],
                "user": service["user"]["name"],
                "group": service["user"]["group"],
                "chdir": service["code"]["path"],
                "venv": service["python"]["venv"],
                "environment": service["environment"],
                "origin": place.get("origin"),
                **wanted,
            })
    return found


Told = Callable[[str], Mapping[str, Any]]
"""What another host of the play has told of its services: its name -> service -> what."""


def before(found: list[dict[str, Any]], host: str, hosts: list[str], staged: Told) -> list[dict[str, Any]]:
    """Checks on each host, and migrations on the first of ``hosts`` (those that have not failed) that gets the same code; without one, everything."""
    wanted = []
    for service in found:
        postponed = []
        if service["migrate"]:
            postponed = ["prepare"]
            first = next((other for other in hosts if other == host or staged(other).get(service["name"], {}).get("origin") == service["origin"]), host)
            postponed += ["migrate"] if first != host else []
        wanted.append({**service, "postponed": postponed})
    return wanted


def after(found: list[dict[str, Any]], host: str, hosts: list[str], migrated: Told) -> list[dict[str, Any]]:
    """What comes after a migration. Raises ModelError when no host has run it: the release must not be taken up then."""
    wanted = []
    for service in found:
        if service["migrate"]:
            name = service["name"]
            by = next((other for other in [host, *hosts] if name in migrated(other) and migrated(other)[name] == (service["origin"] or "")), None)
            if by is None:
                raise ModelError(f"service {name}: its migration did not succeed on the host that runs it for all; what runs here is as it was")
            wanted.append({**service, "check": [], "migrated_by": None if by == host else by})
    return wanted
