# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service definition as an emperor's vassal in uWSGI's INI dialect. Pure.

What uWSGI does to the text (core/ini.c, core/config.c; tried with 2.0.21): the whole file first goes through magic variables
(``%n``, ``%%``, and a ``%`` at the end of a line eats the newline), then ``$(NAME)`` is replaced in values, then ``%(name)``, again and
again, where ``name`` is an option that is set; any other ``%(name)`` stands for itself.
"""

from __future__ import annotations

import posixpath
import re
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_notes
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK
from ansible_collections.gantry.webstack.plugins.module_utils.install._secret_files import DOLLAR, escape
from ansible_collections.gantry.webstack.plugins.module_utils.install._uwsgi_wrapper import PROGRAM_LINE
from ansible_collections.gantry.webstack.plugins.plugin_utils import model
from ansible_collections.gantry.webstack.plugins.plugin_utils.model import ModelError, Service

LISTEN = 1024
"""Connections that wait while no worker accepts: uWSGI's own 100 is half a second of 200 requests/s. Linux allows 4096 since 5.4."""

ALIASES = {
    "plugin": "plugins", "venv": "virtualenv", "home": "virtualenv", "pyhome": "virtualenv", "logto2": "logto", "daemonize": "logto",
    "H": "virtualenv", "M": "master", "l": "listen", "C": "chmod-socket", "d": "logto",
}
"""Other spellings of options that a default stands for, as uWSGI knows them: a service that uses one gets no default beside it."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


def unix_socket(address: str) -> bool:
    """Whether an address is a UNIX socket's path rather than HOST:PORT."""
    return address.startswith("/")


def program(service: Service) -> str:
    """The uWSGI program that runs a completed service; empty for the emperor's own."""
    uwsgi = service["uwsgi"]
    return uwsgi.get("binary") or (f"{service['python']['venv']}/bin/uwsgi" if uwsgi.get("origin") == "venv" else "")


def stats(service: Service) -> str:
    """The address of a completed service's stats socket: given, or beside its UNIX socket. Raises ModelError for neither."""
    given, socket = service["uwsgi"]["stats"], service["uwsgi"]["socket"]
    if given is True and not unix_socket(socket):
        raise ModelError(f"services[{service['name']}].uwsgi.stats: true puts the stats socket beside a UNIX socket, and {socket!r} is none; write its address")
    return str(posixpath.join(posixpath.dirname(socket), "stats.sock")) if given is True else str(given)


def options(service: Service) -> dict[str, Any]:
    """The options of a completed service's vassal in order: what the collection assumes, then what the definition says over it.

    Values are literal: what looks like one of uWSGI's substitutions stands for itself.
    """
    uwsgi, user = service["uwsgi"], service["user"]
    assumed: dict[str, Any] = {
        "plugins": "python3",
        "uid": user["name"],
        "gid": user["group"],
        "chdir": service["code"]["path"],
        "virtualenv": service["python"]["venv"],
        "master": True,
        "lazy-apps": True,
        "listen": LISTEN,
        "need-app": True,
        "vacuum": True,
        "die-on-term": True,
        "chmod-socket": 660,
        "log-master": True,
        **({"log-prefix": service["name"]} if uwsgi.get("log") == "journal" else
           {"logto": _paths.vassal_log(service["name"]), "touch-logreopen": _paths.LOG_REOPEN}),
    }
    if program(service):
        del assumed["plugins"]
        assumed["reload-os-env"] = True  # see _uwsgi_wrapper.fitting
    if uwsgi.get("stats"):
        assumed["stats"] = stats(service)
    if not unix_socket(uwsgi["socket"]):
        del assumed["chmod-socket"]
    given = uwsgi.get("options", {})
    for name in given:
        if name in ALIASES:
            assumed.pop(ALIASES[name], None)
    chosen = {**assumed, **given}
    if chosen.get("master") is True and chosen["lazy-apps"] is True:
        _chain(chosen, _paths.chain_file(service["name"]))
    return {key: value for key, value in chosen.items() if key != DOLLAR}


def _chain(chosen: dict[str, Any], trigger: str) -> None:
    """Add what lets workers be replaced one after the other, each in the directory to which the code's link leads then (see _uwsgi_chain)."""
    chosen.setdefault("touch-chain-reload", trigger)
    for key, value in (("hook-post-fork", f"chdir:{chosen['chdir']}"), ("pythonpath", chosen["chdir"])):
        more = chosen.get(key, [])
        more = more if isinstance(more, list) else [more]
        chosen[key] = [value, *(item for item in more if item != value)] if more else value


def env_line(name: str, value: str, where: str) -> str:
    """One ``env`` line that gives a process exactly ``value``. Raises ModelError for what an INI file cannot say."""
    if not _NAME.match(name):
        raise ModelError(f"{where}.{name}: {name!r} is not the name of an environment variable")
    if re.search(r"[\n\r\0]", value):
        raise ModelError(f"{where}.{name}: a value with a line break cannot stand in a uWSGI configuration; put it into a file")
    if value != value.rstrip():
        raise ModelError(f"{where}.{name}: uWSGI drops white space at the end of a value; put it into a file")
    return f"env = {name}={escape(value)}"


def _lines(key: str, value: Any, where: str) -> list[str]:
    if isinstance(value, list):
        return [line for item in value for line in _lines(key, item, where)]
    text = ("true" if value else "false") if isinstance(value, bool) else escape(str(value))
    if re.search(r"[\n\r\0]", text) or not re.fullmatch(r"[A-Za-z0-9_.:-]+", key):
        raise ModelError(f"{where}.{key}: {text!r} cannot stand in a uWSGI configuration")
    return [f"{key} = {text}"]


def _refuse_references(lines: list[str], where: str) -> None:
    """There is no spelling for a literal ``%(socket)`` while the option ``socket`` is set."""
    known = {line.partition(" = ")[0] for line in lines} | {"ini"}
    for line in lines:
        for name in re.findall(r"%\(([^)]+)\)", line):
            if name in known:
                raise ModelError(f"{where}: %({name}) in {line!r} would be replaced by uWSGI's option {name}; write the value itself")


def secret_environment(service: Service) -> list[str]:
    """Names of the secrets that are environment variables, whose file the vassal includes."""
    return [secret["name"] for secret in service.get("secrets", []) if secret["source"] == f"uwsgi:{_paths.secret_ini(service['name'])}"]


def vassal(service: Service) -> str:
    """The text of a completed service's vassal, without its secrets. Raises ModelError for what an INI file cannot say."""
    name = service["name"]
    where = f"services[{name}]"
    env = [env_line(key, value, f"{where}.environment") for key, value in service["environment"].items()]
    lines = [f"socket = {escape(service['uwsgi']['socket'])}"]
    for key, value in options(service).items():
        lines += _lines(key, value, f"{where}.uwsgi.options")
    lines += env
    if secret_environment(service):
        lines.append(f"ini = {_paths.secret_ini(name)}")
    _refuse_references(lines, f"{where}.uwsgi")
    variables = [f"{DOLLAR} = $"] if any(f"%({DOLLAR})" in line for line in lines) else []
    runs = [f"{PROGRAM_LINE}{program(service)}"] if program(service) else []
    return "\n".join([f"; {MARK} Service {name}.", *runs, "[uwsgi]", *variables, *lines, *notes(service)]) + "\n"


def notes(service: Service) -> list[str]:
    """What discover shall find and a host does not show: the state, and how the service's health is asked where that is not the usual way."""
    health, usual = service["health"], model.complete({"name": "x"})["health"]
    said = {key: health[key] for key in ("path", "host", "timeout") if key in health and health[key] != usual.get(key)}
    if any(site["location"] != usual["path"] for site in service["nginx"]["sites"]):
        said["path"] = health["path"]
    return _evidence_notes.lines(service["state"], said)
