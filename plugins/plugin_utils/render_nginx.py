# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service definition as nginx server blocks. Pure."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service
from ansible_collections.gantry.webstack.plugins.plugin_utils.render_uwsgi import unix_socket

_MODIFIER = re.compile(r"(=|~\*|~|\^~)\s+")


def token(text: str, where: str) -> str:
    """One argument of a directive, quoted when it must be (nginx's core/ngx_conf_file.c); variables in it stay variables."""
    if re.search(r"[\n\r\0]", text):
        raise ModelError(f"{where}: {text!r} has a line break")
    if text and not re.search(r"""[\s;{}"'\\#]""", text):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def arguments(text: str, where: str) -> str:
    """Several arguments as the user wrote them, such as ``[::]:80 default_server``; refuses what would end the directive."""
    if not text.strip() or re.search(r"[;{}\n\r\0]", text):
        raise ModelError(f"{where}: {text!r} is not what one nginx directive can take")
    return text.strip()


def _location(text: str, where: str) -> str:
    match = _MODIFIER.match(text)
    return f"{match[1]} {token(text[match.end():], where)}" if match else token(text, where)


def uwsgi_pass(socket: str) -> str:
    """The address of a uWSGI socket as nginx spells it."""
    return f"unix:{socket}" if unix_socket(socket) else socket


def _block(head: str, body: list[str]) -> list[str]:
    return [f"{head} {{", *(f"    {line}" if line else "" for line in body), "}"]


def _static(static: dict[str, str], where: str) -> list[str]:
    location, path = static["location"], static["path"]
    if location.endswith("/") and not path.endswith("/"):
        path += "/"  # alias replaces exactly what the location matched
    return _block(f"location {_location(location, where)}", [f"alias {token(path, where)};"])


def server(service: Service, site: dict[str, Any]) -> list[str]:
    """The lines of one server block of a completed service."""
    where = f"services[{service['name']}].nginx"
    body = [f"listen {arguments(listen, f'{where}.sites.listen')};" for listen in site["listen"]]
    body.append("server_name " + " ".join(token(name, f"{where}.sites.server_names") for name in site["server_names"]) + ";")
    for key in ("access_log", "client_max_body_size"):
        if key in site:
            body.append(f"{key} {arguments(site[key], f'{where}.sites.{key}')};")
    if "extra" in site:
        body += ["", *site["extra"].rstrip("\n").split("\n")]
    for static in service["nginx"]["static"]:
        body += ["", *_static(static, f"{where}.static")]
    passing = ["include uwsgi_params;"]
    passing += [f"uwsgi_param {token(key, where)} {token(value, f'{where}.sites.params.{key}')};" for key, value in site.get("params", {}).items()]
    passing.append(f"uwsgi_pass {token(uwsgi_pass(service['uwsgi']['socket']), where)};")
    body += ["", *_block(f"location {_location(site['location'], f'{where}.sites.location')}", passing)]
    return _block("server", body)


def site_file(service: Service) -> str:
    """The text of the file with all server blocks of a completed service. Raises ModelError for what nginx's syntax cannot say."""
    lines = [f"# {MARK} Service {service['name']}."]
    for site in service["nginx"]["sites"]:
        lines += ["", *server(service, site)]
    return "\n".join(line.rstrip() for line in lines) + "\n"
