# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What each installing module wants to know, out of completed service definitions. Pure."""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.plugin_utils import render_nginx, render_uwsgi
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service

Secrets = Mapping[str, Mapping[str, str]]

SHARED_DIRS = frozenset(("/", "/run", "/var/run", "/tmp", "/var/tmp", "/run/uwsgi", "/var/run/uwsgi", "/srv", "/var", "/etc", "/opt", "/home"))
"""Directories that cannot be one service's own socket directory."""


def check(services: list[Service]) -> list[Service]:
    """Refuse what the schema allows but ``install`` cannot do. Raises ModelError with one sentence; returns the services."""
    directories: dict[str, str] = {}
    for service in services:
        name = service["name"]
        for secret in service["secrets"]:
            if not secret["source"].startswith("file:") and secret["name"] not in render_uwsgi.secret_environment(service):
                raise ModelError(f"services[{name}].secrets[{secret['name']}].source: install supports file:PATH and "
                                 f"uwsgi:{render_uwsgi.vassal_path(name)}, not {secret['source']!r}")
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
    return services


def socket_dir(service: Service) -> str | None:
    """The directory of a service's UNIX socket, or None for TCP."""
    socket = service["uwsgi"]["socket"]
    return posixpath.dirname(posixpath.normpath(socket)) if render_uwsgi.unix_socket(socket) else None


def vassals(services: list[Service], secrets: Secrets) -> list[dict[str, Any]]:
    """``vassals`` of the module uwsgi_vassals."""
    return [_vassal(service, secrets.get(service["name"], {})) for service in services]


def _vassal(service: Service, values: Mapping[str, str]) -> dict[str, Any]:
    name, venv = service["name"], service["python"]["venv"]
    files = [secret["source"].removeprefix("file:") for secret in service["secrets"] if secret["source"].startswith("file:")]
    names = service["nginx"]["sites"][0]["server_names"] if service["nginx"]["sites"] else []
    env = {}
    for key in render_uwsgi.secret_environment(service):
        if key not in values:
            raise ModelError(f"service {name}: webstack_secrets has no value for its secret {key}")
        env[key] = render_uwsgi.env_line(key, str(values[key]), f"webstack_secrets.{name}")
    return {
        "name": name,
        "content": render_uwsgi.vassal(service),
        "secret_lines": env,
        "socket": service["uwsgi"]["socket"],
        "user": service["user"]["name"],
        "group": service["user"]["group"],
        "watch": [_paths.code_stamp(name), _paths.venv_stamp(venv), *files],
        "health_path": service["health"]["path"],
        "health_host": service["health"].get("host") or next((item for item in names if item[:1] not in "~*._"), "localhost"),
    }


def sites(services: list[Service]) -> list[dict[str, str]]:
    """``sites`` of the module nginx_sites; a service without a site has none."""
    return [{"name": service["name"], "content": render_nginx.site_file(service)} for service in services if service["nginx"]["sites"]]


def venvs(services: list[Service]) -> list[dict[str, Any]]:
    """``venvs`` of the module python_venvs: services that say what belongs into their virtual environment."""
    found = []
    for service in services:
        python = service["python"]
        if "requirements" in python:
            wanted = {key: python[key] for key in ("version", "interpreter") if key in python}
            found.append({"name": service["name"], "path": python["venv"], "requirements_file": python["requirements"], **wanted})
    return found


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
    made = [path for path in statics if not any(_inside(path, other) for other in (code["path"], *state))]
    app: dict[str, Any] = {
        "name": service["name"],
        "user": {key: user[key] for key in ("name", "uid", "group", "gid") if key in user},
        "code_path": code["path"],
        "venv": service["python"]["venv"],
        "directories": [{"path": path, "mode": "0755" if path in public else "0750"} for path in state]
        + [{"path": path, "mode": "0755"} for path in dict.fromkeys(made)],
        "secret_files": [{"name": secret["name"], "path": secret["source"].removeprefix("file:")}
                         for secret in service["secrets"] if secret["source"].startswith("file:")],
        "environment": service["environment"],
        "schedule": [{"when": " ".join(item["when"].split()), "user": item.get("user", user["name"]), "command": item["command"]}
                     for item in service["schedule"]],
    }
    if "source" in code:
        app["code_source"] = code["source"]
    if socket_dir(service) is not None:
        app["socket_dir"] = socket_dir(service)
    return app


def commands(services: list[Service]) -> list[dict[str, Any]]:
    """``services`` of the module webapp_commands: those with something to prepare."""
    return [
        {
            "name": service["name"],
            "user": service["user"]["name"],
            "group": service["user"]["group"],
            "chdir": service["code"]["path"],
            "venv": service["python"]["venv"],
            "environment": service["environment"],
            "commands": service["code"]["prepare"],
        }
        for service in services
        if service["code"].get("prepare")
    ]
