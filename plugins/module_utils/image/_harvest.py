# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an image is harvested from: the system a service stands on, what it needs beyond that, and its own files, as layer entries."""

from __future__ import annotations

import os
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.image import _accounts, _commands
from ansible_collections.gantry.webstack.plugins.module_utils.image._app_tree import AppTree, environment
from ansible_collections.gantry.webstack.plugins.module_utils.image._closure import Closure, Host, is_program, which
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import ADMIN_DIR
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Stat
from ansible_collections.gantry.webstack.plugins.module_utils.image._layers import Entry, hardlinked
from ansible_collections.gantry.webstack.plugins.module_utils.image._ldso import CACHE_FILE, render_cache
from ansible_collections.gantry.webstack.plugins.module_utils.move import _container_config

LOCALE_ARCHIVE = "/usr/lib/locale/locale-archive"
SMALL_ARCHIVE = 16 * 1024 * 1024
"""A locale archive up to this size (bytes) holds what an administrator chose, and goes into every image."""

UWSGI_PLUGIN_DIR = "/usr/lib/uwsgi/plugins"
PLACES = (_container_config.CONFIG, _container_config.SECRETS)
"""Files that are mounted into the container; the image has them empty."""

_BASE_PACKAGES = ("libc-bin", "tzdata", "media-types", "mime-support", "netbase")
_BASE_FILES = ("/etc/os-release", "/etc/debian_version", "/etc/host.conf", "/etc/localtime", "/etc/timezone", "/etc/ssl/openssl.cnf",
               "/usr/lib/ssl/openssl.cnf", "/usr/lib/ssl/certs", "/usr/lib/ssl/cert.pem", "/usr/share/doc/base-files/copyright")
_EMPTY_DIRS = {"/dev": 0o755, "/etc": 0o755, "/proc": 0o555, "/run": 0o755, "/sys": 0o555, "/tmp": 0o1777, "/var": 0o755,
               "/var/log": 0o755, "/var/tmp": 0o1777}
_TOP_LINKS = ("/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/var/run", "/var/lock")
_NSSWITCH = b"passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\nprotocols: files\nservices: files\n"
_ROUTERS = ("http", "fastrouter", "rawrouter", "sslrouter")
_PLUGIN_OPTIONS = ("plugin", "plugins", "need-plugin", "need-plugins")
_COMMAND_OPTIONS = re.compile(r"(smart-)?attach-daemon.*|smart-daemon.*|exec-.*|(unique-)?cron2?|hook-.*")
_ON_DEMAND = {
    "_dbm": re.compile(rb"dbm|shelve"), **dict.fromkeys(("_curses", "_curses_panel"), re.compile(rb"curses")),
    "readline": re.compile(rb"(?m)^\s*(import|from)\s.*\breadline\b|[\"']readline[\"']|\brlcompleter\b"),
}
"""Modules of the packaged Python that bring large libraries, and how Python code names them; a file's method readline() is no name."""
_TREE_SKIP = re.compile(r".*/lib(64)?/python3\.\d+/(test|idlelib|turtledemo|ensurepip|site-packages|dist-packages)|.*\.(a|o)|.*\.opt-[12]\.pyc")


class System(NamedTuple):
    """What services can share a system layer by: a Python, and on top of it (``uwsgi`` not empty) a uWSGI with its Python plugins."""

    interpreter: str
    version: str
    uwsgi: Tuple[str, ...] = ()


def _as_list(value: Any) -> List[str]:
    return [str(item) for item in (value if isinstance(value, list) else [value])] if value is not None else []


def plugin_names(options: Mapping[str, Any], binary: str) -> List[str]:
    """Names of the uWSGI plugins an instance loads: by option, or by the program's own name (uWSGI: core/plugins.c, core/uwsgi.c)."""
    names = [part for key in _PLUGIN_OPTIONS for value in _as_list(options.get(key)) for part in value.split(",")]
    base = os.path.basename(binary)
    if base.startswith("uwsgi_"):
        names.append(base[len("uwsgi_"):])
    names = [name.split(":", 1)[-1].strip() for name in names]
    names += ["corerouter" for name in names if name in _ROUTERS]  # which these load themselves (uWSGI: REQUIRES in uwsgiplugin.py)
    return list(dict.fromkeys(name for name in names if name))


def _option_command(key: str, value: str) -> str:
    """The command in an option's value: a smart daemon's starts with a pidfile, a hook's with its kind (uWSGI: core/daemons.c, core/hooks.c)."""
    keyed = re.search(r"(?:^|,)(?:cmd|command|exec)=([^,]*)", value) if key == "attach-daemon2" else None
    if keyed is not None:
        return keyed.group(1)
    if key.endswith(("cron", "cron2")):
        return re.sub(r"^((-?\d+\s+){5}|[^\s=]+=\S* )", "", value)
    return value.partition(" ")[2] if key.startswith("smart") else re.sub(r"^[a-z_]+:", "", value)


class Harvest:
    """Reads one host; every distinct system is closed over once. Errors are WebstackError naming the service."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.fs = host.fs
        self._systems: Dict[System, Closure] = {}

    # Which system a service stands on.

    def systems(self, service: Mapping[str, Any]) -> List[System]:
        """The shared layers that a service stands on, from the bottom. A uWSGI that lies in the venv or the code is not shared."""
        name, python, uwsgi = service["name"], service.get("python", {}), service.get("uwsgi", {})
        venv = self.fs.resolve(python["venv"]).real if environment(python) else None
        interpreter = self.interpreter(name, python, venv)
        match = re.search(r"python(3\.\d+)", os.path.basename(interpreter)) or re.match(r"(3\.\d+)", python.get("version", ""))
        if match is None:
            raise WebstackError("service %s: the version of its Python %s is not known; set python.version" % (name, interpreter))
        binary = self.binary(service)
        real = self.fs.resolve(binary).real
        if real is None:
            raise WebstackError("service %s: its uWSGI %s does not exist on this host" % (name, binary))
        code = self.fs.resolve(service["code"]["path"]).real if service.get("code", {}).get("path") else None
        own = any(real.startswith(top + "/") for top in (venv, code) if top)
        bottom = System(interpreter, match.group(1))
        plugins = sorted(path for path in self.plugins(uwsgi.get("options", {}), binary) if "/python" in path)
        return [bottom] if own else [bottom, bottom._replace(uwsgi=(binary,) + tuple(plugins))]

    def binary(self, service: Mapping[str, Any]) -> str:
        """The path that uWSGI is started by."""
        uwsgi, venv = service.get("uwsgi", {}), service.get("python", {}).get("venv", "")
        default = venv + "/bin/uwsgi" if uwsgi.get("origin") == "venv" else "/usr/bin/uwsgi"
        return uwsgi.get("binary") or default

    def interpreter(self, name: str, python: Mapping[str, Any], venv: Optional[str]) -> str:
        """The real path of the Python that a service runs in."""
        candidates = [python.get("interpreter"), venv and venv + "/bin/python3", venv and venv + "/bin/python"]
        if venv is not None:  # a venv made of copies names its origin only here
            home = re.search(r"^home\s*=\s*(\S+)", self.fs.text(venv + "/pyvenv.cfg"), re.M)
            candidates += [os.path.join(home.group(1), "python" + python.get("version", "3")[:4].rstrip(".")) if home else None,
                           os.path.join(home.group(1), "python3") if home else None]
        if not any(candidates):
            candidates = ["/usr/bin/python3"]
        for candidate in filter(None, candidates):
            real = self.fs.resolve(candidate).real
            if real is not None and not (venv and real.startswith(venv + "/")):
                return real
        raise WebstackError("service %s: its Python %s does not exist on this host" % (name, next(filter(None, candidates))))

    def plugins(self, options: Mapping[str, Any], binary: str) -> List[str]:
        """Paths of the plugins that are files; those built into uWSGI have none."""
        dirs = [value for key in ("plugin-dir", "plugins-dir") for value in _as_list(options.get(key))] + [UWSGI_PLUGIN_DIR]
        found = []
        for name in plugin_names(options, binary):
            paths = [name] if name.startswith("/") else [os.path.join(top, name + "_plugin.so") for top in dirs]
            found += [path for path in paths if self.fs.resolve(path).real][:1]
        return found

    # The shared layer.

    def closure(self, system: System) -> Closure:
        """The closure of a shared layer, on top of the one below."""
        if system not in self._systems:
            if system.uwsgi:
                self._systems[system] = closure = Closure(self.host, self.closure(system._replace(uwsgi=())))
                for path in system.uwsgi:
                    closure.add(path)
            else:
                self._systems[system] = self._bottom(system)
        return self._systems[system]

    def _bottom(self, system: System) -> Closure:
        """libc's tools, a shell, time zones, certificates, MIME types, the interpreter."""
        closure = Closure(self.host)
        for path in _TOP_LINKS:
            found = self.fs.lstat(path)
            if found is not None and found.kind == "link":
                closure.paths[path] = ""
        for key in filter(None, map(self.host.dpkg.find, _BASE_PACKAGES)):
            closure.add_package(key)
        for path in _BASE_FILES + tuple(self._common_licenses()):
            closure.add_file(path)
        closure.packages.update(filter(None, [self.host.dpkg.find("base-files")]))
        closure.add("/bin/sh")
        closure.add_tree("/etc/ssl/certs", lambda path, found: found.kind != "dir" and (found.kind != "file" or bool(found.mode & 0o004)))
        archive = self.fs.lstat(LOCALE_ARCHIVE)
        if archive is not None and archive.size <= SMALL_ARCHIVE:
            closure.add_file(LOCALE_ARCHIVE)
        closure.add(system.interpreter)
        if self.host.dpkg.owner(system.interpreter) is None:
            self._tree(closure, system)
        return closure

    def _common_licenses(self) -> List[str]:
        return ["/usr/share/common-licenses/" + name for name in self.fs.listdir("/usr/share/common-licenses")]

    def _tree(self, closure: Closure, system: System) -> None:
        """A Python that no package owns: its own part of its prefix, be that /opt/python3.12 or /usr/local."""
        prefix = os.path.dirname(os.path.dirname(system.interpreter))
        for name in self.fs.listdir(prefix + "/bin"):
            if re.fullmatch(r"python(3(\.\d+)?)?", name) and self.fs.resolve("%s/bin/%s" % (prefix, name)).real == system.interpreter:
                closure.add("%s/bin/%s" % (prefix, name))
        for path in ("lib/python" + system.version, "lib64/python" + system.version, "ssl", "share/terminfo", "share/zoneinfo"):
            closure.add_tree(os.path.join(prefix, path), lambda path, found: not _TREE_SKIP.fullmatch(path))
        for name in self.fs.listdir(prefix + "/lib"):
            if re.fullmatch(r"libpython3.*\.so.*", name):
                closure.add("%s/lib/%s" % (prefix, name))

    # What one service needs beyond it.

    def app(self, service: Mapping[str, Any], base: Closure) -> AppTree:
        """The service's own files."""
        return AppTree(self.fs, service, base.has, lambda path: self.host.dpkg.owner(path) is not None).scan()

    def extra(self, service: Mapping[str, Any], base: Closure, app: AppTree) -> Tuple[Closure, List[str]]:
        """The closure of what the service has of its own on top of ``base``; and remarks."""
        name, environment = service["name"], service.get("environment", {})
        options = service.get("uwsgi", {}).get("options", {})
        library_path = [path for path in environment.get("LD_LIBRARY_PATH", "").split(":") if path]
        closure = Closure(self.host, base, app.roots, library_path)
        remarks: List[str] = []
        for item in service.get("system_packages", []):
            key = self.host.dpkg.find(item["name"])
            if key is None:
                raise WebstackError("service %s: the package %r of its system_packages is not installed on this host" % (name, item["name"]))
            closure.add_package(key)
        for package in service.get("container", {}).get("packages", []):
            key = self.host.dpkg.find(package)
            if key is None:
                raise WebstackError("service %s: the package %r of its container.packages is not installed on this host; install it, or take it out of the plan"
                                    % (name, package))
            closure.add_package(key, tool=True)
        binary = self.binary(service)
        for path in [binary] + self.plugins(options, binary) + app.outside:
            closure.add(path)
        for path in service.get("container", {}).get("paths", []):
            if not app.inside(self.fs.resolve(path).real or path):
                closure.add(path)
                if self.fs.kind(path) == "dir":
                    closure.add_tree(path)
        for path, found in app.files.items():
            if is_program(path, found):
                closure.follow(path)
        self._tools(service, closure, remarks)
        if app.system_site:
            self._dist_packages(closure)
        self._on_demand(app, closure)
        if closure.iconv:
            closure.add_gconv()
        languages = {environment.get(key, "C").split(".")[0] for key in ("LANG", "LC_ALL", "LC_CTYPE", "LC_TIME", "LC_COLLATE", "LC_NUMERIC")}
        if languages - {"C", "POSIX", ""}:
            closure.add_file(LOCALE_ARCHIVE)
        remarks += ["%s is left out: it belongs to %s, and images have no package manager" % item for item in sorted(closure.denied)]
        remarks += ["%s needs %s, which this host does not have" % item for item in sorted(closure.unresolved)]
        return closure, remarks

    def _tools(self, service: Mapping[str, Any], closure: Closure, remarks: List[str]) -> None:
        """Programs that are started beside uWSGI: named ones, those of the schedule, of daemons and hooks."""
        options = service.get("uwsgi", {}).get("options", {})
        lines = [item["command"] if item.get("source", "").endswith((".timer", ".service")) else _commands.cron_command(item["command"])
                 for item in service.get("schedule", [])]
        lines += [item.get("runs") or item["command"] for item in service.get("workers", []) if "runs" in item or "command" in item]
        lines += [_option_command(key, value) for key, values in options.items() if _COMMAND_OPTIONS.fullmatch(key) for value in _as_list(values)]
        for path in service.get("tools", []):
            if not closure.add(path, tool=True):
                raise WebstackError("service %s: its tool %s does not exist on this host" % (service["name"], path))
        for line in lines:
            for word in _commands.programs(line):
                found = which(self.fs, word)
                if found is not None:
                    closure.add(found, tool=True)
                elif not word.startswith("/") and re.fullmatch(r"[a-z][\w.+-]*", word):
                    remarks.append("the program %r of the command %r is not on this host" % (word, line))

    def _on_demand(self, app: AppTree, closure: Closure) -> None:
        """The packaged Python's modules that a Python file of the service names, with their libraries; all of them for code that is mounted or system-wide."""
        wanted = set(_ON_DEMAND)
        if not app.system_site and (app.code is None or app.code in app.files):
            texts = (self.fs.read(path) or b"" for path, found in app.files.items() if path.endswith(".py") and found.kind == "file")
            wanted = {module for text in texts for module, naming in _ON_DEMAND.items() if naming.search(text)}
        keys = sorted(key for key in self.host.dpkg.stanzas if re.match(r"libpython3\.\d+-stdlib", key) and closure.has_package(key))
        for path in (path for key in keys for path in self.host.dpkg.files(key) if "/lib-dynload/" in path):
            if os.path.basename(path).split(".")[0] in wanted:
                closure.add(path)

    def _dist_packages(self, closure: Closure) -> None:
        """The distribution's Python packages and what was installed beside them by hand."""
        top = "/usr/lib/python3/dist-packages/"
        for key in sorted(self.host.dpkg.stanzas):
            if any(path.startswith(top) for path in self.host.dpkg.files(key)):
                closure.add_package(key)
        for name in self.fs.listdir("/usr/local/lib"):
            if re.fullmatch(r"python3\.\d+", name):
                closure.add_tree("/usr/local/lib/%s/dist-packages" % name)

    # Entries.

    def shared_entries(self, system: System) -> List[Entry]:
        """A shared layer; the bottom one also has what a root file system must have."""
        made: List[Entry] = []
        if not system.uwsgi:
            made = [made_file(path, b"") for path in PLACES] + [made_file("/etc/nsswitch.conf", _NSSWITCH)]
            made += [Entry(path, "dir", mode) for path, mode in _EMPTY_DIRS.items()]
            root = self.fs.lstat("/root")
            made += [directory("/root", root)] if root is not None and root.kind == "dir" else []
        return self._system_entries(self.closure(system), made)

    def extra_entries(self, closure: Closure) -> List[Entry]:
        """The service's further system files; empty when the base has all."""
        return self._system_entries(closure, []) if closure.paths else []

    def app_entries(self, service: Mapping[str, Any], app: AppTree) -> List[Entry]:
        """The service's own layer: its files, empty places for mounts, its accounts."""
        items = dict(app.files)
        made = [Entry(path, place.kind, place.mode, place.uid, place.gid, data=b"" if place.kind == "file" else None)
                for path, place in app.mounts.items()]
        passwd, group = _accounts.render(service, self.fs.text("/etc/passwd"), self.fs.text("/etc/group"))
        made += [made_file("/etc/passwd", passwd.encode("utf-8")), made_file("/etc/group", group.encode("utf-8"))]
        chdir = service.get("uwsgi", {}).get("options", {}).get("chdir")
        place = self.fs.resolve(chdir).real if isinstance(chdir, str) else None
        found = self.fs.lstat(place) if place else None
        if place is not None and found is not None and found.kind == "dir" and place != "/":
            items.setdefault(place, found)
        return self._with_parents(self._entries_of(items) + made)

    def _system_entries(self, closure: Closure, made: List[Entry]) -> List[Entry]:
        items: Dict[str, Stat] = {}
        for path in closure.paths:
            found = self.fs.lstat(path)
            if found is not None and found.kind != "other":
                items[path] = found
        cache = [entry for entry in self.host.cache if not entry.hwcap and closure.has(self.fs.canonical(entry.path) or "")]
        made = made + [made_file(CACHE_FILE, render_cache(cache))] + self._package_entries(closure)
        return self._with_parents(self._entries_of(items) + made)

    def _package_entries(self, closure: Closure) -> List[Entry]:
        """The packages as scanners read them in images without dpkg: status.d/NAME and status.d/NAME.md5sums."""
        made = []
        for key in sorted(closure.packages):
            stanza = self.host.dpkg.stanzas[key]
            path = "%s/status.d/%s" % (ADMIN_DIR, key.replace(":", "_") if self.host.dpkg.find(stanza.name) != key else stanza.name)
            sums = "".join("%s  %s\n" % (md5, name[1:]) for md5, name in self.host.dpkg.md5sums(key) if closure.has(name))
            made += [made_file(path, stanza.text.encode("utf-8")), made_file(path + ".md5sums", sums.encode("utf-8"))]
        return made

    def _entries_of(self, items: Mapping[str, Stat]) -> List[Entry]:
        entries = []
        for path, found in items.items():
            if found.kind == "dir":
                entries.append(directory(path, found))
                continue
            target = self.fs.readlink(path) if found.kind == "link" else ""
            size = found.size if found.kind == "file" else 0
            entries.append(Entry(path, found.kind, found.mode if found.kind == "file" else 0o777, found.uid, found.gid,
                                 found.mtime_ns // 10 ** 9, size, target, None, path, found.mtime_ns))
        return hardlinked(entries, {path: found.inode for path, found in items.items() if found.kind == "file" and found.links > 1})

    def _with_parents(self, entries: List[Entry]) -> List[Entry]:
        """Add the directories above every entry as the host has them."""
        known = {entry.path: entry for entry in entries}
        for path in list(known):
            parent = os.path.dirname(path)
            while parent != "/" and parent not in known:
                found = self.fs.lstat(parent)
                known[parent] = directory(parent, found) if found is not None and found.kind == "dir" else Entry(parent, "dir", 0o755)
                parent = os.path.dirname(parent)
        known.pop("/", None)
        return list(known.values())


def directory(path: str, found: Stat) -> Entry:
    """A directory's entry. Its time says when a name in it changed, not what it holds; all images leave it out."""
    return Entry(path, "dir", found.mode, found.uid, found.gid)


def made_file(path: str, data: bytes) -> Entry:
    """A file that the host does not have in this form."""
    return Entry(path, "file", 0o644, data=data, size=len(data))


def packages(closures: Iterable[Closure], host: Host) -> List[Dict[str, str]]:
    """Name, version and architecture of every package in these closures, sorted."""
    found = {key for closure in closures for key in closure.packages}
    stanzas = sorted(host.dpkg.stanzas[key][:3] for key in found)
    return [{"name": name, "version": version, "architecture": architecture} for name, version, architecture in stanzas]
