"""What of a service definition can be seen on the host that it was installed on, in one form for a definition and for what discover found.

The law: for every list of definitions that ``install`` takes, discover finds the same list. Both sides are completed by the model and
put into the form that ``normal`` makes. The few things that it leaves out are named here, each with its reason; nothing else may differ.

Never comes back, since it is no part of the host (LEFT_OUT):

- ``code.source``, ``git``, ``archive``: a place on the control node or elsewhere. What was brought is on the host, where it came from is not.
- ``code.check``, ``migrate``, ``prepare``: commands of an install, which have run and left no trace that would be theirs alone.
- ``python.requirements``, ``index_url``, ``extra_index_urls``, ``wheel_dir``, ``no_index``: how to install. What is installed comes back as ``distributions``.
- ``nginx.sites[]`` beside listen, server_names, location, params, client_max_body_size and access_log (tls, headers, locations, ...): how nginx answers is no
  part of what is moved, and stays in nginx's own files. Such fields are not generated here either.

Comes back in another word:

- ``uwsgi.stats`` and ``uwsgi.log`` are the options that they stand for.
- ``python.interpreter`` is the file itself, where the definition names a link to it.
- ``nginx.sites[].listen`` in nginx's own words, and a directory with or without a slash at its end.
- An environment variable whose value looks like a secret comes back as a secret, by its name and place.

Comes back though nobody has said it: what the host has chosen (uid, versions, packages, paths of programs, LANG, which systemd gives every process), the
evidence for it, and the verdict. A definition that names one of them must get it back (``told``).
"""

from __future__ import annotations

import json
import posixpath
from typing import Any

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import is_secret
from ansible_collections.gantry.webstack.plugins.plugin_utils import model, render_units, render_uwsgi
from ansible_collections.gantry.webstack.plugins.plugin_utils.nginx import server

Service = dict[str, Any]

LEFT_OUT = {
    "code": ("source", "git", "archive", "check", "migrate", "prepare"),
    "python": ("requirements", "index_url", "extra_index_urls", "wheel_dir", "no_index"),
}
TOLD = {
    "user": ("uid", "gid"),
    "python": ("version", "interpreter", "origin", "distributions", "shared_distributions", "system_site_packages"),
    "uwsgi": ("origin", "version", "binary", "config", "manager"),
}
"""What discover tells of every service; a definition need not."""
SITE_TOLD = ("file",)
HOSTS_OWN = ("LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ")


def definition(service: Service) -> Service:
    """The normal form of a definition as ``install`` takes it."""
    done = model.complete(service)
    vassal = _paths.VASSAL_DIR + f"/{done['name']}.ini"
    shown = {name: value for name, value in done["environment"].items() if not is_secret(name, value)}
    done["secrets"] += [{"name": name, "source": f"uwsgi:{vassal}"} for name in done["environment"] if name not in shown]
    done["environment"] = shown
    done["uwsgi"]["options"] = render_uwsgi.options(done)
    for job in done["schedule"]:
        job.setdefault("name", render_units.job_name(job, done["schedule"]))
    done["uwsgi"].pop("stats", None)
    done["uwsgi"].pop("log", None)
    return _form(done)


def found(service: Service, like: Service) -> Service:
    """The normal form of what discover found; ``like`` is the definition, which says what of the host's own choices is compared."""
    done = model.complete(service)
    for part, keys in TOLD.items():
        for key in keys:
            if key not in like.get(part, {}):
                done[part].pop(key, None)
    if "version" in done["python"]:
        done["python"]["version"] = _same_start(like["python"]["version"], done["python"]["version"])
    if like.get("python", {}).get("system_site_packages") is False:  # which is not said of an environment
        done["python"].setdefault("system_site_packages", False)
    for name in HOSTS_OWN:
        if name not in like.get("environment", {}):
            done["environment"].pop(name, None)
    for key in ("system_packages", "tools", "fit"):
        done.pop(key, None)
    for item in done["state"]:
        if not any(other.get("kind") for other in like.get("state", []) if other["path"] == item["path"]):
            item.pop("kind", None)
    done["workers"] = [item for item in done["workers"] if item.get("evidence") != f"{_paths.VASSAL_DIR}/{done['name']}.ini"]  # an option of uWSGI's
    return _form(done)


def _same_start(wanted: str, seen: str) -> str:
    """3.11.2 is what was meant by 3.11."""
    return wanted if seen == wanted or seen.startswith(wanted + ".") else seen


def _form(done: Service) -> Service:
    for part, keys in LEFT_OUT.items():
        for key in keys:
            done[part].pop(key, None)
    for site in done["nginx"]["sites"]:
        site["listen"] = [_listen(item) for item in server.listens(site)]
        for key in SITE_TOLD:
            site.pop(key, None)
        if site.get("access_log") == "/var/log/nginx/access.log":  # Debian's for every site
            del site["access_log"]
    done["nginx"]["static"] = sorted(({**item, "path": _directory(item["path"])} for item in done["nginx"]["static"]), key=str)
    for worker in done["workers"]:
        _plain(worker)
        worker.setdefault("user", done["user"]["name"])
    for job in done["schedule"]:
        _plain(job)
        job.setdefault("user", done["user"]["name"])
        job["when"] = " ".join(job["when"].split())
    for item in done["state"]:
        item.pop("evidence", None)
        item["path"] = _directory(item["path"])
    done["uwsgi"]["options"] = {key: _texts(value) for key, value in done["uwsgi"]["options"].items()}
    for key in ("secrets", "state", "workers", "schedule"):
        done[key] = sorted(done[key], key=lambda item: json.dumps(item, sort_keys=True))
    return {key: value for key, value in done.items() if value not in ([], {})}


def _plain(entry: dict[str, Any]) -> None:
    """A worker or job without evidence, its lists and defaults as if they had been said."""
    for key in ("source", "evidence", "kind", "what"):
        entry.pop(key, None)
    entry["command"] = entry["command"].strip() if "command" in entry else None
    entry["writable"] = [_directory(path) for path in entry.get("writable", [])]
    entry.setdefault("extra", [])
    entry.setdefault("instances", 1)
    entry.setdefault("stop_timeout", 90)
    entry.setdefault("persistent", False)


def _directory(path: str) -> str:
    return posixpath.normpath(path)


def _listen(item: Any) -> str:
    return item if isinstance(item, str) else server._listen(item, "", False).removeprefix("listen ").rstrip(";")


def _texts(value: Any) -> list[str]:
    """uWSGI's options are texts; one that is given once is a list of one."""
    return [("true" if item else "false") if isinstance(item, bool) else str(item) for item in (value if isinstance(value, list) else [value])]
