# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What nginx's configuration names of the host's files: what it reads, serves, writes, and which UNIX sockets it uses. Pure."""

from __future__ import annotations

import os
import re
from typing import Dict, NamedTuple, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common._nginx_tokens import MARKER
from ansible_collections.gantry.webstack.plugins.module_utils.install._nginx_files import statements

_FILE = re.compile(r"(\w+_)?ssl_(certificate|certificate_key|client_certificate|trusted_certificate|crl|dhparam|password_file|stapling_file|"
                   r"session_ticket_key)$|auth_basic_user_file$|auth_jwt_key_file$|geoip_(country|city|org)$|geoip2$|xslt_stylesheet$|xml_entities$|"
                   r"\w+_by_lua_file$|modsecurity_rules_file$|js_include$|include$")
"""Directives whose first argument is a file that is read, by the configuration's directory when it is relative."""

_TREE = re.compile(r"(root|alias|js_path|perl_modules)$")
_LOG = re.compile(r"(access_log|error_log)$")
_WRITTEN = re.compile(r"\w+_(temp_path|cache_path)$|\w+_store$")
_NO_PATH = re.compile(r"(off|on|stderr|syslog:.*|memory:.*|data:.*|engine:.*|store:.*)$")
_UNIX = re.compile(r"unix:(/[^\s:;,]+)")


class Build(NamedTuple):
    """What was decided when an nginx was built (``nginx -V``): ``prefix`` of relative paths, default places, and the user of its workers."""

    prefix: str
    pid: str
    user: str
    group: str
    written: Set[str]


class Uses(NamedTuple):
    """Absolute paths. ``files`` may hold patterns; ``trees`` and ``written`` are directories; ``sockets`` are UNIX sockets, ``bound`` those it listens at."""

    files: Set[str]
    trees: Set[str]
    written: Set[str]
    sockets: Set[str]
    bound: Set[str]
    modules: Set[str]
    pid: str
    user: str
    group: str
    dav: bool
    transparent: bool
    descriptors: int


def build_of(text: str) -> Build:
    """Read what ``nginx -V`` printed."""
    options: Dict[str, str] = dict(re.findall(r"--([\w-]+)=('[^']*'|\S*)", text))
    prefix = options.get("prefix", "/usr/local/nginx")

    def place(name: str, default: str) -> str:
        return os.path.join(prefix, options.get(name, default))

    logs = [options.get("error-log-path", "logs/error.log"), options.get("http-log-path", "logs/access.log")]
    written = {os.path.dirname(os.path.join(prefix, path)) for path in logs if not _NO_PATH.match(path)}
    written |= {place("http-%s-temp-path" % name, default + "_temp") for name, default in (
        ("client-body", "client_body"), ("proxy", "proxy"), ("fastcgi", "fastcgi"), ("uwsgi", "uwsgi"), ("scgi", "scgi"))}
    user = options.get("user", "nobody")
    return Build(prefix, place("pid-path", "logs/nginx.pid"), user, options.get("group", user), written)


def _fixed(path: str) -> str:
    """The directory above the first variable in a path, or the path itself."""
    return os.path.dirname(path[:path.index("$")] + "x") if "$" in path else path


def uses(dump: str, build: Build) -> Uses:
    """What a whole configuration, as ``nginx -T`` prints it, names."""
    parts = [match.group(1) for match in map(MARKER.match, dump.splitlines()) if match]
    conf = os.path.dirname(parts[0]) if parts else "/etc/nginx"
    found: Dict[str, Set[str]] = {"files": set(parts), "trees": {os.path.join(build.prefix, "html")}, "written": set(build.written), "sockets": set(),
                                  "bound": set(), "modules": set()}
    pid, user, group, dav, transparent, descriptors = build.pid, build.user, "", False, False, 0
    for name, *arguments in statements(dump):
        found["bound" if name == "listen" else "sockets"].update(_fixed(path) for argument in arguments for path in _UNIX.findall(argument))
        first = arguments[0] if arguments else ""
        if name == "load_module":
            found["modules"].add(os.path.join(build.prefix, first))
        elif name == "pid":
            pid = os.path.join(build.prefix, first)
        elif name == "user" and first:
            user, group = first, (arguments[1:] or [first])[0]
        elif name == "worker_rlimit_nofile" and first.isdigit():
            descriptors = int(first)
        elif name in ("dav_methods", "dav_ext_methods"):
            dav = dav or first != "off"
        elif name in ("proxy_bind", "uwsgi_bind", "fastcgi_bind", "grpc_bind") or name == "listen":
            transparent = transparent or "transparent" in arguments
        elif not first or _NO_PATH.match(first):
            continue
        elif _FILE.match(name) and _fixed(first) == first:
            found["files"].add(os.path.join(conf, first))
        elif _FILE.match(name):
            found["trees"].add(os.path.join(conf, _fixed(first)))
        elif name == "js_import":
            found["files"].add(os.path.join(conf, arguments[-1]))
        elif _TREE.match(name):
            found["trees"].add(os.path.join(build.prefix, _fixed(first)))
        elif _LOG.match(name):
            found["written"].add(os.path.join(build.prefix, os.path.dirname(_fixed(first) if "$" not in first else _fixed(first) + "/x")))
        elif _WRITTEN.match(name):
            found["written"].add(os.path.join(build.prefix, _fixed(first)))
    cleaned = {key: {os.path.normpath(path) for path in paths} for key, paths in found.items()}
    return Uses(pid=os.path.normpath(pid), user=user, group=group or build.group, dav=dav, transparent=transparent, descriptors=descriptors, **cleaned)
