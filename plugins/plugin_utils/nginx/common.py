# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server and a location have in common, and what beside the configuration comes of a site. Pure."""

from __future__ import annotations

import posixpath
from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx import syntax


@dataclass
class Parts:
    """Files that a site needs beside its configuration, as the module nginx_sites takes them."""

    name: str
    certificates: list[dict[str, Any]] = field(default_factory=list)
    users: list[dict[str, Any]] = field(default_factory=list)
    logs: list[str] = field(default_factory=list)

    def certificate(self, names: list[str]) -> tuple[str, str]:
        """Paths of a self-signed pair for names."""
        base = f"{self.name}-{len(self.certificates)}"
        self.certificates.append({"name": base, "names": names})
        return f"{_paths.NGINX_DIR}/{base}.crt", f"{_paths.NGINX_DIR}/{base}.key"

    def password_file(self, users: list[dict[str, str]]) -> str:
        """Path of a password file for users."""
        path = f"{_paths.NGINX_DIR}/{self.name}-{len({user['file'] for user in self.users})}.htpasswd"
        self.users += [{"file": path, **user} for user in users]
        return path

    def log(self, text: str) -> None:
        """Note a log that nobody else rotates: the packages of Debian and nginx.org rotate /var/log/nginx/*.log."""
        path = text.split()[0].strip("\"'")
        if path.startswith("/") and "$" not in path and not path.startswith("/dev/") and posixpath.dirname(path) != "/var/log/nginx" and path not in self.logs:
            self.logs.append(path)


def headers(found: dict[str, str], where: str) -> list[str]:
    """Lines for headers, on errors too."""
    return [f"add_header {syntax.token(name, where)} {syntax.token(value, f'{where}.{name}')} always;" for name, value in found.items()]


def gzip(found: bool | dict[str, Any], where: str) -> list[str]:
    """Lines for compression; a mapping switches it on."""
    if isinstance(found, bool):
        return [f"gzip {syntax.switch(found)};"]
    lines = ["gzip on;"]
    for key, value in found.items():
        text = " ".join(value) if isinstance(value, list) else syntax.switch(value) if isinstance(value, bool) else str(value)
        lines.append(f"gzip_{key} {syntax.arguments(text, f'{where}.{key}')};")
    return lines


def timeouts(found: dict[str, str], where: str, kind: str = "") -> list[str]:
    """Lines for times; those towards an upstream exist only in a location of a kind that has one."""
    names = {"client_header": "client_header_timeout", "client_body": "client_body_timeout", "send": "send_timeout", "keepalive": "keepalive_timeout"}
    if kind in ("uwsgi", "proxy", "fastcgi"):
        names.update(connect=f"{kind}_connect_timeout", read=f"{kind}_read_timeout", write=f"{kind}_send_timeout")
    if kind:
        del names["client_header"]
    for key in found:
        if key not in names:
            raise ModelError(f"{where}.{key}: {found[key]!r} does nothing here; known here are {', '.join(names)}")
    return [f"{names[key]} {syntax.arguments(value, f'{where}.{key}')};" for key, value in found.items()]


def _auth(found: bool | dict[str, Any], where: str, parts: Parts) -> list[str]:
    if isinstance(found, bool):
        if found:
            raise ModelError(f"{where}: true says not who; give users or a file")
        return ["auth_basic off;"]
    if ("users" in found) == ("file" in found):
        raise ModelError(f"{where}: give either users or a file")
    names = [user["name"] for user in found.get("users", [])]
    for index, user in enumerate(found.get("users", [])):
        if ("password" in user) == ("hash" in user):
            raise ModelError(f"{where}.users[{index}]: user {user['name']!r} needs either a password or a hash")
        if user["name"] in names[:index]:
            raise ModelError(f"{where}.users[{index}]: user {user['name']!r} is there twice")
    path = found["file"] if "file" in found else parts.password_file(found["users"])
    return [f"auth_basic {syntax.token(found.get('realm', 'Restricted'), f'{where}.realm')};", f"auth_basic_user_file {syntax.token(path, where)};"]


def answer(found: dict[str, Any], where: str) -> str:
    """A ``return`` directive."""
    code, redirects = found.get("code", 302 if "to" in found else 200), (301, 302, 303, 307, 308)
    if "to" in found and ("body" in found or code not in redirects):
        raise ModelError(f"{where}: a redirect (to) has one of the codes {', '.join(map(str, redirects))} and no body, not {code}")
    if "to" not in found and code in redirects:
        raise ModelError(f"{where}: code {code} wants a place to go (to)")
    text = found.get("to", found.get("body"))
    return f"return {code}{'' if text is None else ' ' + quoted(text, where)};"


def quoted(text: str, where: str) -> str:
    """A text that may have line breaks, in quotes."""
    if "\0" in text:
        raise ModelError(f"{where}: {text!r} has a zero byte")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r") + '"'


def lines(item: dict[str, Any], where: str, parts: Parts, inherited: dict[str, str], kind: str = "") -> list[str]:
    """The lines of a server (``kind`` empty) or location that both can have, without ``return`` and ``extra``.

    nginx inherits add_header only into a level that has none of its own, so a location's headers are joined with ``inherited`` ones.
    """
    done: list[str] = []
    if "root" in item:
        done.append(f"root {syntax.token(item['root'], f'{where}.root')};")
    for key in ("index", "try_files"):
        if key in item:
            done.append(f"{key} {' '.join(syntax.token(word, f'{where}.{key}') for word in item[key])};")
    if "access_log" in item:
        log = item["access_log"]
        if log is True:
            raise ModelError(f"{where}.access_log: true says not where; give a path, or false for no log")
        done.append(f"access_log {syntax.arguments(log, f'{where}.access_log') if log is not False else 'off'};")
        parts.log(log or "off")
    if "error_log" in item:
        done.append(f"error_log {syntax.arguments(item['error_log'], f'{where}.error_log')};")
        parts.log(item["error_log"])
    if "client_max_body_size" in item:
        done.append(f"client_max_body_size {syntax.arguments(item['client_max_body_size'], f'{where}.client_max_body_size')};")
    if item.get("headers"):
        done += headers({**inherited, **item["headers"]}, f"{where}.headers")
    if "gzip" in item:
        done += gzip(item["gzip"], f"{where}.gzip")
    done += timeouts(item.get("timeouts", {}), f"{where}.timeouts", kind)
    if "auth" in item:
        done += _auth(item["auth"], f"{where}.auth", parts)
    done += _rates(item.get("rate_limits", []), f"{where}.rate_limits")
    for codes, page in item.get("error_pages", {}).items():
        done.append(f"error_page {syntax.arguments(codes, f'{where}.error_pages')} {syntax.arguments(page, f'{where}.error_pages.{codes}')};")
    for index, rule in enumerate(item.get("access", [])):
        [(key, value)] = rule.items()
        done.append(f"{key} {syntax.token(value, f'{where}.access[{index}].{key}')};")
    return done


def _rates(found: list[dict[str, Any]], where: str) -> list[str]:
    done = []
    statuses = {limit["status"] for limit in found if "status" in limit}
    if len(statuses) > 1:
        raise ModelError(f"{where}: one place can have one status, not {', '.join(map(str, sorted(statuses)))}")
    for limit in found:
        burst = f" burst={limit['burst']}" if "burst" in limit else ""
        done.append(f"limit_req zone={limit['zone']}{burst}{' nodelay' if limit.get('nodelay') else ''};")
    return done + [f"limit_req_status {status};" for status in statuses]
