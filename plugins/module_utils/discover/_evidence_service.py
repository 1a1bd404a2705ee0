# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One uWSGI instance and everything that is known of it, as plain data without secrets."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, Callable, Dict, List, Optional, Tuple, TypeVar

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths, _uwsgi_client
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import (
    _evidence_code,
    _evidence_files,
    _evidence_host,
    _evidence_native,
    _evidence_needs,
    _evidence_notes,
    _evidence_paths,
    _evidence_python,
    _evidence_running,
    _evidence_settings,
    _evidence_shared,
    _evidence_site,
    _evidence_uwsgi,
    _nginx_text,
    _uwsgi_config,
    _uwsgi_running,
)
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import is_secret, redact
from ansible_collections.gantry.webstack.plugins.module_utils.install._secret_files import DOLLAR
from ansible_collections.gantry.webstack.plugins.module_utils.move import _instance, _nginx_places

Found = TypeVar("Found")

_TOO_BROAD = frozenset(("/", "/bin", "/boot", "/dev", "/etc", "/home", "/lib", "/media", "/mnt", "/proc", "/root", "/run", "/sbin", "/sys", "/tmp", "/usr",
                        "/usr/bin", "/usr/lib", "/usr/local", "/usr/share", "/var", "/var/lib", "/var/log"))
_VENV_KEYS = ("virtualenv", "venv", "home", "pyhome")
_PATH_KEYS = ("pythonpath", "python-path", "pp")
_WORKER_KEYS = {"mule": "mule", "mules": "mules", "farm": "farm", "spooler": "spooler", "spooler-external": "spooler", "Q": "spooler",
                "cron": "cron", "cron2": "cron", "unique-cron": "cron", "legion-cron": "cron", "unique-legion-cron": "cron", "attach-daemon": "attach-daemon",
                "attach-daemon2": "attach-daemon", "smart-attach-daemon": "attach-daemon", "smart-attach-daemon2": "attach-daemon",
                "legion-attach-daemon": "attach-daemon", "attach-control-daemon": "attach-daemon", "exec-as-user": "command"}
_LOG_KEYS = ("logto", "logto2", "daemonize", "daemonize2", "logger", "req-logger", "log-master", "pidfile", "pidfile2", "safe-pidfile", "stats", "touch-reload",
             "touch-logreopen", "master-fifo")
# Set by systemd, uWSGI or the login, not by the service's people (systemd.exec(5), Environment Variables Set or Propagated).
_NOT_OURS = frozenset("""
    PATH HOME LOGNAME USER SHELL PWD OLDPWD SHLVL _ TERM INVOCATION_ID JOURNAL_STREAM SYSTEMD_EXEC_PID MANAGERPID NOTIFY_SOCKET
    LISTEN_FDS LISTEN_PID LISTEN_FDNAMES MAINPID RUNTIME_DIRECTORY STATE_DIRECTORY CACHE_DIRECTORY LOGS_DIRECTORY
    CONFIGURATION_DIRECTORY CREDENTIALS_DIRECTORY MEMORY_PRESSURE_WATCH MEMORY_PRESSURE_WRITE WATCHDOG_PID WATCHDOG_USEC container
    SUPERVISOR_ENABLED SUPERVISOR_PROCESS_NAME SUPERVISOR_GROUP_NAME SUPERVISOR_SERVER_URL
""".split())


_UNNAMED = "the running process listens there, but its configuration does not name it; reload the service, or put its files back"


def sockets(instance: _evidence_uwsgi.Instance) -> List[Dict[str, str]]:
    """{address, problem}, of HTTP sockets {protocol: http} too: where it listens, and why the place that defines a path could not be changed."""
    found: List[Dict[str, str]] = []
    http = _uwsgi_config.http_sockets(instance.config)
    for option in _uwsgi_config.sockets(instance.config) + http:
        value = _uwsgi_config.text(option)
        address = _uwsgi_running.resolved(instance.config, value)
        if address.startswith("fd://"):
            continue
        place = _uwsgi_config.locate_value(instance.config, option.key, value)
        # the command line is a place too, as long as it names the socket itself
        fixed = place.problem if place.file is None and place.raw != value or place.file is not None and place.line == 0 else ""
        if place.file in instance.shared:
            fixed = "it is written in %s, which other instances read too; write it in the service's own file" % place.file
        if _uwsgi_running.foreign(option.raw):
            fixed = "%s gives its address, which only uWSGI asks; write the address itself there" % option.raw
        if not address.startswith(("/", "@")) and ":" not in address:
            address = os.path.normpath(os.path.join(instance.start, address))
        if not address.startswith(("/", "@")):
            fixed = ""  # it stays where it is: nginx is led elsewhere
        found.append({"address": address, "problem": fixed or "", **({"protocol": "http"} if option in http else {})})
    for address in sorted(instance.inherited):
        found.append({"address": address, "problem": instance.given or ("" if instance.kind and instance.activated else _UNNAMED)})
    return found


def ask(host: _evidence_shared.Host, instance: _evidence_uwsgi.Instance) -> Dict[str, Any]:
    """GET of the location that leads here, asked of the application itself: {path, status}, or {path, problem} without an answer."""
    spoken = {item["address"]: item.get("protocol", "uwsgi") for item in sockets(instance)}
    paths = list(spoken)
    paths.sort(key=lambda path: not any(_uwsgi_running.same(path, other) for other in instance.listening))  # where it listens comes first
    mine = [item for item in host.passes if any(_leads(item, path, spoken[path]) for path in paths)]
    paths.sort(key=lambda path: not any(_leads(item, path, spoken[path]) for item in mine))  # where nginx asks it, before all
    location = min([item.location for item in mine if item.location.startswith("/")] or ["/"], key=len)
    said = _evidence_notes.of_vassal(instance.vassal)["health"]
    location = str(said.get("path", location))
    names = [item.server_name for item in mine
             if item.server_name and item.server_name not in ("_", "default") and not re.match(r"[~*.]", item.server_name)]
    names = [str(said["host"])] if "host" in said else names
    more = {key: said[key] for key in ("host", "timeout") if key in said}
    if not paths:
        return {"path": location, **more}
    host_name = names[0] if names else "localhost"
    uri = next((item.uri for item in mine if item.location == location and item.uri), location)
    try:
        if spoken[paths[0]] == "http":
            answer = _uwsgi_client.http_request(paths[0], "GET", uri, {"Host": host_name}, timeout=10, limit=65536)
        else:
            answer = _uwsgi_client.request(paths[0], _uwsgi_client.wsgi_params("GET", location, host_name), timeout=10, limit=65536)
        return {"path": location, **more, "status": answer.status}
    except WebstackError as exc:
        return {"path": location, **more, "problem": "GET %s of the application had no answer: %s" % (location, exc)}


def _leads(item: _nginx_text.Pass, address: str, protocol: str) -> bool:
    """Does nginx reach an instance's socket there, in its protocol?"""
    return item.http == (protocol == "http") and (item.target == address or _nginx_places.leads_to(item.target, address))


class Service:
    """One instance and everything that is known of it."""

    def __init__(self, host: _evidence_shared.Host, instance: _evidence_uwsgi.Instance, health: Dict[str, Any]) -> None:
        self.host, self.instance, self.config, self.health = host, instance, instance.config, health
        worker = instance.worker
        self.uid, self.gid = worker.uid, worker.gid
        self.subject = _evidence_paths.Subject(worker.uid, set(worker.groups))
        self.maps = sorted({path for process in instance.processes for path in process.maps})
        self.binary = _evidence_uwsgi.program(instance.master)
        self.venv = self._venv()
        self.home = _evidence_host.home(self.uid)
        self.python = _evidence_python.describe(self.maps, self.venv, instance.master.exe, self._import_paths(), self.home)
        self.site = _evidence_site.Site()
        self.shared = _evidence_site.Site()
        self.code = self._code()
        self.remarks: List[str] = []
        self.secrets: Dict[str, str] = {}
        self.environment: Dict[str, str] = {}
        self._environment()
        self.remarks += self._part("processes", lambda: _evidence_running.drift(instance, self.properties, self.told), list)

    def _import_paths(self) -> List[str]:
        return [self._absolute(path) for path in self.config.all(*_PATH_KEYS)] + [
            path for path in self.instance.master.environ.get("PYTHONPATH", "").split(":") if path.startswith("/")]

    def _absolute(self, path: str) -> str:
        base = self.config.last("chdir") or self.instance.start
        return os.path.normpath(os.path.join(self.instance.start, base, path))

    def _venv(self) -> Optional[str]:
        venv = self.config.last(*_VENV_KEYS)
        if venv:
            path = os.path.normpath(os.path.join(self.instance.start, venv))
            return path if os.path.isdir(path) else None
        prefix = os.path.dirname(os.path.dirname(self.binary))
        return prefix if _evidence_python.pyvenv(prefix) else None

    def _code(self) -> Optional[str]:
        """chdir, or where the application's module or file is found. chdir2 says nothing: uWSGI goes there when the application is loaded."""
        chdir = self.config.last("chdir")
        paths = [self._absolute(path) for path in self.config.all(*_PATH_KEYS)]
        script = self.config.last("wsgi-file", "file")
        beside = os.path.dirname(self._absolute(script)) if script else None
        if chdir:
            code = os.path.normpath(os.path.join(self.instance.start, chdir))
            if beside and not _evidence_paths.within(beside, [code]) and not _holds_python(code):
                return beside
            outer = [path for path in paths if _evidence_paths.within(code, [path]) and path.count("/") >= 2]
            return min(outer, key=len) if outer else code
        if beside:
            return beside
        module = (self.config.last("module", "wsgi") or "").split(":")[0].split(".")[0]
        for path in paths + [self.instance.start]:
            if module and (os.path.exists(os.path.join(path, module)) or os.path.exists(os.path.join(path, module + ".py"))):
                return path
        return None

    # -- the environment

    def _environment(self) -> None:
        self.properties = {} if self.instance.master.user_manager or self.instance.program else self.host.units.get(self.instance.unit, {})
        files = [line.split(" (")[0].lstrip("-") for line in self.properties.get("EnvironmentFiles", "").splitlines() if line]
        self.told = self._told(files)
        started = self._started_with()
        self.started = {name: value for name, value in started.items() if name not in _NOT_OURS and not name.startswith("UWSGI_")}
        for name, value in self.started.items():
            self._variable(name, value, self._source(name, files), None)
        main = self.instance.config_file
        for option in self.config.options:
            name, equal, value = _uwsgi_config.text(option).partition("=")
            if option.key == "env" and equal:
                source = "uwsgi:" + option.source_file if option.source_file.startswith("/") else "unit:" + (self.instance.unit or "unknown")
                self._variable(name, value, source, option.source_file if option.source_file != main else None)
            elif option.key in ("unenv", "env"):
                self.environment.pop(name, None)
                self.secrets.pop(name, None)

    def _started_with(self) -> Dict[str, str]:
        """The environment that the master was started with: its own copy, or where that cannot be trusted its emperor's or its unit's.

        A process that has rewritten its title may have overwritten it. One that has reloaded has executed itself with everything
        that it and its application had set meanwhile (UWSGI_RELOADS is there then: core/init.c uwsgi_setup_reload).
        """
        for process in (self.instance.master, self.instance.emperor):
            if process is not None and not process.rewritten and "UWSGI_RELOADS" not in process.environ:
                return process.environ
        return {**self.host.manager_environment, **self.told}

    def _told(self, files: List[str]) -> Dict[str, str]:
        """What its unit, with its environment files, or its supervisor says now."""
        if self.instance.program is not None:
            return self.instance.program.environment
        found = dict(item.split("=", 1) for item in shlex.split(self.properties.get("Environment", "")) if "=" in item)
        for path in files:
            try:
                found.update(_instance.parse_environment_file(_evidence_uwsgi.read_text(path)))
            except OSError as exc:
                self.host.blind.append("%s: %s" % (path, exc.strerror))
        return found

    def _all_variables(self) -> Dict[str, str]:
        """Every variable of the service with its real value."""
        return {**self.started, **_uwsgi_config.environment(self.config)}

    def _source(self, name: str, files: List[str]) -> str:
        for path in reversed(files):
            try:
                if re.search(r"^\s*%s\s*=" % re.escape(name), _evidence_uwsgi.read_text(path), re.MULTILINE):
                    return "envfile:" + path
            except OSError:
                continue
        if self.instance.program is not None and name in self.instance.program.environment:
            return "file:" + self.instance.program.file
        return "unit:" + (self.instance.unit or "unknown")

    def _variable(self, name: str, value: str, source: str, apart: Optional[str]) -> None:
        """A variable is secret by its name or value, or because it stands in a file of its own that not everybody may read."""
        path = apart or (source[len("envfile:"):] if source.startswith("envfile:") else None)
        if is_secret(name, value) or path is not None and _private(path) and not value.startswith("/"):
            self.secrets[name] = source
            self.environment.pop(name, None)
        else:
            self.environment[name] = value
            self.secrets.pop(name, None)

    # -- options

    def _options(self) -> Tuple[List[List[Any]], List[str]]:
        """([key, value] in order without env and sockets, keys of options that hold a secret)."""
        shown: List[List[Any]] = []
        hidden: List[str] = []
        for option in self.config.options:
            value = _uwsgi_config.text(option)
            if option.key in ("env", "unenv") or option.key in _uwsgi_config.SOCKET_KEYS:
                continue
            if option.key in ("binary-path", DOLLAR) and self.instance.vassal.startswith(_paths.VASSAL_DIR + "/"):  # ours, and no part of the definition
                continue
            if is_secret(option.key, value) and option.key not in ("auto-procname", "key"):
                hidden.append(option.key)
            elif redact(value) != value:
                hidden.append(option.key)
            else:
                shown.append([option.key, True if option.value is True else value])
        return shown, sorted(set(hidden))

    # -- paths

    def _named(self) -> Dict[str, str]:
        """Absolute paths in the environment and the options, with what names them."""
        named: Dict[str, str] = {}
        values = [("environment variable %s" % name, value) for name, value in sorted(self._all_variables().items())]
        skipped = set(_VENV_KEYS + _PATH_KEYS + _LOG_KEYS + _uwsgi_config.SOCKET_KEYS + ("plugins", "plugin", "plugins-dir", "plugin-dir", "env"))
        values += [("uWSGI option %s" % option.key, _uwsgi_config.text(option)) for option in self.config.options if option.key not in skipped]
        for place, value in values:
            for word in re.split(r"[\s,;]+|(?<=[^/])=", re.sub(r"^sqlite:///(?=/)", "", value)):
                path = word[7:] if word.startswith("file:///") else word
                if path.startswith("/") and path.strip("/") and len(path) < 4096:
                    named.setdefault(os.path.normpath(path), place)
        return named

    @property
    def _noted_volumes(self) -> Dict[str, Any]:
        return {os.path.normpath(item["path"]): item["volume"] for item in self._noted_state() if "volume" in item}

    def _noted_state(self) -> List[Dict[str, Any]]:
        """What its definition says of its state, as install has left it."""
        return _evidence_notes.of_vassal(self.instance.vassal)["state"]

    def _written(self) -> List[str]:
        found = {item.target for process in self.instance.processes for item in process.files
                 if item.writing and item.number > 2 and item.target.startswith("/") and os.path.isfile(item.target)}
        return sorted(found)

    def _unit_state(self) -> Dict[str, str]:
        if self.instance.kind != "unit":
            return {}
        properties = self.host.units.get(self.instance.unit, {})
        found: Dict[str, str] = {}
        for key, top in (("StateDirectory", "/var/lib"), ("CacheDirectory", "/var/cache"), ("LogsDirectory", "/var/log"), ("ReadWritePaths", "")):
            for word in properties.get(key, "").split():
                path = os.path.join(top, word.lstrip("-+").split(":")[0]) if top else word.lstrip("-+")
                if path.startswith("/") and os.path.isdir(path):
                    found[path] = "%s= of %s" % (key, self.instance.unit)
        return found

    def _paths(self, tree: _evidence_code.Tree, named: Dict[str, str]) -> _evidence_paths.Paths:
        ignored = {_uwsgi_config.text(option) for option in self.config.options if option.key in _LOG_KEYS} | set(self.config.files)
        ignored |= {self.instance.name, _evidence_host.user_name(self.uid)}
        owned = {path: self.host.owner(path) for path in {**named, **tree.absolute, **tree.links} if os.path.lexists(path)}
        facts = _evidence_paths.Facts(
            self.subject, self.code, self.venv, named, tree, self._written(), self._unit_state(), self.host.static_roots, ignored, owned,
            self.home, self.instance.master.started, self.host.users.get(self.uid, 0) < 2,
            {os.path.normpath(item["path"]): item.get("kind", "") for item in self._noted_state()})
        found = _evidence_paths.classify(facts)
        for kind in (found.state, found.files, found.secrets):
            for path in [path for path in kind if not _evidence_files.is_printable(path)]:
                del kind[path]
                self.host.blind.append("%s: its name is not UTF-8, which a plan cannot hold" % _evidence_files.printable(path))
        self.host.blind += [item for item in tree.blind if not (tree.crowded and _evidence_paths.within(item.split(" ", 1)[0], found.state))]
        self.host.blind += ["%s has more entries than are looked at" % path for path in tree.crowded
                            if path != self.code and not _evidence_paths.within(path, found.state)]
        return found

    # -- the rest

    def _needs(self, tree: _evidence_code.Tree) -> List[Dict[str, str]]:
        host = self.host
        live = _evidence_needs.connections(self.instance.processes, host.sockets, host.holders, host.table)
        guessed = [(kind, address) for kind, address, _place in tree.talks]
        guessed += [item for settings in tree.settings.values() for item in _evidence_needs.of_settings(settings)]
        told = _evidence_needs.of_settings(self._all_variables())
        mine = {item["address"] for item in sockets(self.instance)} | {"unix:" + item["address"] for item in sockets(self.instance)}
        found = _evidence_needs.needs(live, told, guessed, host.local)
        return [item for item in found if item["address"] not in mine]

    def _packages(self, tree: _evidence_code.Tree, named: Dict[str, str], tools: List[str]) -> List[Dict[str, str]]:
        """Packages of what is loaded, of what that needs, and of what surrounds it; what is missing or comes from no package becomes a remark."""
        homes = [self.venv, self.code, self.python and self.python.interpreter and os.path.dirname(os.path.dirname(self.python.interpreter))]
        inside = [path for path in homes if path and path not in ("/usr", "/", "/usr/local")]
        inside += [os.path.realpath(path) for path in inside]  # a library is known by its real path, a venv often by that of a link
        host, loaded = self.host.native, [path for path in self.maps if os.path.basename(path) != self.binary]
        roots = {path for path in [*loaded, self.instance.master.exe, *self.site.shared_objects, *self.shared.shared_objects, *tree.shared_objects] if path}
        if self.python and self.python.interpreter:
            roots.add(self.python.interpreter)
        library_path = [path for path in self._all_variables().get("LD_LIBRARY_PATH", "").split(":") if path]
        libs = _evidence_native.libraries(host, sorted(roots), library_path, self.maps)
        by_name = _evidence_native.named_libraries(host, tree.libraries)
        found = libs.found | _evidence_native.libraries(host, by_name.values(), library_path, self.maps).found | set(by_name.values())
        self.remarks += ["%s needs the library %s, which this host does not have" % item for item in sorted(libs.missing)]
        own = {path for path in found if not self.host.owner(path) and not _evidence_paths.within(path, inside)}
        self.remarks += ["it needs the library %s, which no package owns; it goes into the image as it is" % path for path in sorted(own)]
        around = _evidence_native.surroundings(self.host.owner_of_data, self.maps, found, [*named, *tree.absolute], self.host.fonts)
        wanted = found | around | {path for path in roots if not _evidence_paths.within(path, inside)} | set(tools) | set(self.shared.metadata)
        return self.host.packages(wanted)

    def _locales(self, tree: _evidence_code.Tree, paths: _evidence_paths.Paths) -> None:
        found, remarks = _evidence_native.locales(self._all_variables(), tree.locales)
        self.remarks += remarks
        for path, why in found.items():
            paths.files.setdefault(path, why)

    def _tools(self, tree: _evidence_code.Tree, named: Dict[str, str]) -> List[str]:
        found = set(_evidence_native.named_programs({**named, **tree.absolute}))
        for program in tree.programs:
            for directory in [""] if program.startswith("/") else ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]:
                path = os.path.join(directory, program)
                if os.path.isfile(path) and os.access(path, os.X_OK):
                    found.add(path)
                    break
        return sorted(path for path in found if not _evidence_paths.within(path, [self.venv, self.code]))

    def _python_facts(self) -> Dict[str, Any]:
        if self.python is None:
            return {}
        interpreter = self.python.interpreter
        owned = interpreter is not None and self.host.owner(interpreter) is not None
        origin = _evidence_python.origin(interpreter or "", owned)
        # conda writes its prefix into scripts and leaves their RECORD as it was
        self.site = self.host.site(self.python.site, None if origin == "conda" else self.venv)
        self.shared = self.host.site(self.python.shared, None)
        self.host.blind += self.site.blind + self.shared.blind
        version = self.python.full
        if interpreter and version is None:
            _rc, out, _err = _evidence_host.as_owner([interpreter, "-V"], self.uid, self.gid)
            match = re.search(r"Python (\d+\.\d+\.\d+\S*)", out)
            version = match.group(1) if match else None
        own = {_evidence_site.normalized(item["name"]) for item in self.site.distributions}
        facts: Dict[str, Any] = {
            "version": version or self.python.short, "interpreter": interpreter, "origin": origin,
            "venv": self.venv, "system_site_packages": self.python.system_site or None, "distributions": self.site.distributions,
            "shared_distributions": [item for item in self.shared.distributions if _evidence_site.normalized(item["name"]) not in own]}
        for key in ("patched", "added", "editable", "direct_urls", "pth", "unowned", "unverified"):
            facts[key] = sorted(set(getattr(self.site, key)) | set(getattr(self.shared, key)))
        return {key: value for key, value in facts.items() if value not in (None, [])}

    def _version(self) -> str:
        return re.sub(r"-debian$", "", _evidence_uwsgi.version(self.binary, self.uid, self.gid))

    def _settings_files(self, named: Dict[str, str]) -> List[str]:
        """Settings files outside the code that environment, options or the home directory name: what they say counts like the code's."""
        return sorted(path for path in named if _evidence_settings.is_settings_file(os.path.basename(path)) and os.path.isfile(path)
                      and path not in self.config.files and not _evidence_paths.within(path, [self.code, self.venv]) and not self.host.owner(path))

    def _part(self, what: str, look: Callable[[], Found], instead: Callable[[], Found]) -> Found:
        """One part of the facts. Whatever is on a host, a part that cannot be read hides no other one: it becomes a blind spot."""
        try:
            return look()
        except Exception as exc:  # the text of an error may hold what was read, a secret perhaps
            self.host.blind.append("%s: its %s could not be read (%s)" % (self.instance.name, what, _evidence_shared.reason(exc)))
            return instead()

    def _tree(self) -> _evidence_code.Tree:
        if not self.code or not os.path.isdir(self.code):
            return _evidence_code.Tree()
        if os.path.realpath(self.code) in _TOO_BROAD:
            self.host.blind.append("%s: its code directory is %s, which is too broad to be looked through" % (self.instance.name, self.code))
            return _evidence_code.Tree()
        tree = _evidence_code.scan(self.code, {self.venv or ""})
        published = {path for path in {path for _name, path in tree.secrets_in_source} if self.host.is_published(path)}
        tree.secrets_in_source = [item for item in tree.secrets_in_source if item[1] not in published]
        return tree

    def facts(self) -> Dict[str, Any]:
        """The instance as plain data, sorted, without PIDs or times."""
        tree = self._part("code", self._tree, _evidence_code.Tree)
        named = self._named()
        for path in self._settings_files(named):
            _evidence_code.settings(tree, path)
        paths = self._part("paths", lambda: self._paths(tree, named), _evidence_paths.Paths)
        python: Dict[str, Any] = self._part("Python", self._python_facts, dict)
        tools: List[str] = self._part("tools", lambda: self._tools(tree, named), list)
        self._part("locales", lambda: self._locales(tree, paths), lambda: None)
        packages: List[Dict[str, str]] = self._part("libraries", lambda: self._packages(tree, named, tools), list)
        needs: List[Dict[str, str]] = self._part("needs", lambda: self._needs(tree), list)
        options, hidden = self._options()
        instance, exe = self.instance, self.binary
        secrets = [{"name": name, "source": self.secrets[name]} for name in sorted(self.secrets)]
        secrets += [{"name": name, "source": "file:" + path} for path in sorted(paths.secrets)
                    for name in paths.names.get(path) or [os.path.basename(path)]]
        secrets += [{"name": name, "source": "code:" + path} for name, path in sorted(set(tree.secrets_in_source))]
        workers = [{"kind": _WORKER_KEYS[option.key], "what": redact("%s = %s" % (option.key, _uwsgi_config.text(option))), "evidence": option.source_file}
                   for option in self.config.options if option.key in _WORKER_KEYS]
        origin = "package" if self.host.owner(exe) else "venv" if _evidence_paths.within(exe, [self.venv]) else "tree"
        return {
            "name": instance.name, "not_convertible": instance.reason,
            "manager": {"kind": instance.kind, "unit": instance.unit, "vassal": instance.vassal,
                        "socket": instance.activated[0] if instance.kind and instance.activated else ""},
            "user": {"name": _evidence_host.user_name(self.uid), "uid": self.uid, "group": _evidence_host.group_name(self.gid), "gid": self.gid,
                     "dynamic": bool(_evidence_host.dynamic_user(self.uid))},
            "uwsgi": {"binary": exe, "origin": origin, "version": self._version(), "config": instance.config_file or ""},
            "config_files": sorted(self.config.files), "options": options, "hidden_options": hidden,
            "warnings": [redact(item) for item in self.config.warnings],
            "sockets": sockets(instance), "code": self.code, "releases": _evidence_notes.of_releases(instance.name, self.code or "/"), "python": python,
            "environment": {name: self.environment[name] for name in sorted(self.environment)}, "secrets": secrets,
            "secrets_in_source": [{"name": name, "file": path} for name, path in sorted(set(tree.secrets_in_source))],
            "state": [{"path": path, "kind": paths.kinds.get(path) or _evidence_paths.state_kind(path, why), "evidence": why,
                       **({"volume": self._noted_volumes[path]} if path in self._noted_volumes else {})}
                      for path, why in sorted(paths.state.items())],
            "files": [{"path": path, "evidence": paths.files[path]} for path in sorted(paths.files)],
            "tools": tools, "workers": workers, "schedule": [], "needs": needs, "packages": packages,
            "health": {key: self.health[key] for key in ("path", "status", "host", "timeout") if key in self.health},
            "remarks": ([self.health["problem"]] if "problem" in self.health else []) + self.remarks,
        }


def _holds_python(directory: str) -> bool:
    """Has it Python files, or packages of them?"""
    listed, _complete = _evidence_files.entries(directory)
    return any(entry.name.endswith(".py") or os.path.isfile(os.path.join(entry.path, "__init__.py")) for entry in listed)


def _private(path: str) -> bool:
    try:
        return not os.stat(path).st_mode & 0o004
    except OSError:
        return False
