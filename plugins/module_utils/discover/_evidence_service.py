# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One uWSGI instance and everything that is known of it, as plain data without secrets."""

from __future__ import annotations

import os
import re
import shlex
from typing import Any, Dict, List, Optional, Tuple
from urllib.parse import urlsplit

from ansible_collections.gantry.webstack.plugins.module_utils.common import _uwsgi_client
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import (
    _evidence_code,
    _evidence_host,
    _evidence_paths,
    _evidence_python,
    _evidence_shared,
    _evidence_uwsgi,
    _uwsgi_config,
)
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import is_secret, redact
from ansible_collections.gantry.webstack.plugins.module_utils.move import _instance

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
""".split())
_SCHEMES = {"postgres": "postgresql", "postgresql": "postgresql", "postgis": "postgresql", "mysql": "mysql", "mysql2": "mysql", "mariadb": "mysql",
            "redis": "redis", "rediss": "redis", "amqp": "rabbitmq", "amqps": "rabbitmq", "mongodb": "mongodb", "smtp": "smtp", "memcached": "memcached",
            "ldap": "ldap"}
_PORTS = {"postgresql": 5432, "mysql": 3306, "redis": 6379, "rabbitmq": 5672, "mongodb": 27017, "smtp": 25, "memcached": 11211, "ldap": 389}


def sockets(instance: _evidence_uwsgi.Instance) -> List[Dict[str, str]]:
    """{address, problem}: the sockets of the uwsgi protocol, and why the place that defines one could not be changed."""
    found = []
    for option in _uwsgi_config.sockets(instance.config):
        address = _uwsgi_config.text(option)
        place = _uwsgi_config.locate_value(instance.config, option.key, address)
        # the command line is a place too, as long as it names the socket itself
        fixed = place.problem if place.file is None and place.raw != address or place.file is not None and place.line == 0 else ""
        if not address.startswith(("/", "@")) and ":" not in address:
            address = os.path.normpath(os.path.join(instance.start, address))
        found.append({"address": address, "problem": fixed or ""})
    return found


def ask(host: _evidence_shared.Host, instance: _evidence_uwsgi.Instance) -> Dict[str, Any]:
    """GET of the location that leads here, asked of the application itself: {path, status}, or {path, problem} without an answer."""
    paths = [item["address"] for item in sockets(instance)]
    mine = [item for item in host.passes if item.target in paths]
    location = min([item.location for item in mine if item.location.startswith("/")] or ["/"], key=len)
    names = [item.server_name for item in mine if item.server_name and item.server_name not in ("_", "default") and not re.match(r"[~*.]", item.server_name)]
    if not paths:
        return {"path": location}
    params = _uwsgi_client.wsgi_params("GET", location, names[0] if names else "localhost")
    try:
        return {"path": location, "status": _uwsgi_client.request(paths[0], params, timeout=10, limit=65536).status}
    except WebstackError as exc:
        return {"path": location, "problem": "GET %s of the application had no answer: %s" % (location, exc)}


class Service:
    """One instance and everything that is known of it."""

    def __init__(self, host: _evidence_shared.Host, instance: _evidence_uwsgi.Instance, health: Dict[str, Any]) -> None:
        self.host, self.instance, self.config, self.health = host, instance, instance.config, health
        worker = instance.worker
        self.uid, self.gid = worker.uid, worker.gid
        self.subject = _evidence_paths.Subject(worker.uid, set(worker.groups))
        self.maps = sorted({path for process in instance.processes for path in process.maps})
        self.venv = self._venv()
        self.python = _evidence_python.describe(self.maps, self.venv)
        self.code = self._code()
        self.secrets: Dict[str, str] = {}
        self.environment: Dict[str, str] = {}
        self._environment()

    def _absolute(self, path: str) -> str:
        base = self.config.last("chdir") or self.instance.start
        return os.path.normpath(os.path.join(self.instance.start, base, path))

    def _venv(self) -> Optional[str]:
        venv = self.config.last(*_VENV_KEYS)
        if venv:
            path = os.path.normpath(os.path.join(self.instance.start, venv))
            return path if os.path.isdir(path) else None
        prefix = os.path.dirname(os.path.dirname(self.instance.master.exe))
        return prefix if _evidence_python.pyvenv(prefix) else None

    def _code(self) -> Optional[str]:
        """chdir, or where the application's module or file is found."""
        chdir = self.config.last("chdir", "chdir2")
        paths = [self._absolute(path) for path in self.config.all(*_PATH_KEYS)]
        if chdir:
            code = os.path.normpath(os.path.join(self.instance.start, chdir))
            outer = [path for path in paths if _evidence_paths.within(code, [path]) and path.count("/") >= 2]
            return min(outer, key=len) if outer else code
        script = self.config.last("wsgi-file", "file")
        if script:
            return os.path.dirname(self._absolute(script))
        module = (self.config.last("module", "wsgi") or "").split(":")[0].split(".")[0]
        for path in paths + [self.instance.start]:
            if module and (os.path.exists(os.path.join(path, module)) or os.path.exists(os.path.join(path, module + ".py"))):
                return path
        return None

    # -- the environment

    def _environment(self) -> None:
        properties = self.host.units.get(self.instance.unit, {})
        files = [line.split(" (")[0].lstrip("-") for line in properties.get("EnvironmentFiles", "").splitlines() if line]
        started = self._started_with(properties, files)
        self.started = {name: value for name, value in started.items() if name not in _NOT_OURS and not name.startswith("UWSGI_")}
        for name, value in self.started.items():
            self._variable(name, value, self._source(name, files), None)
        main = next(iter(self.config.files), None)
        for option in self.config.options:
            name, equal, value = _uwsgi_config.text(option).partition("=")
            if option.key == "env" and equal:
                source = "uwsgi:" + option.source_file if option.source_file.startswith("/") else "unit:" + (self.instance.unit or "unknown")
                self._variable(name, value, source, option.source_file if option.source_file != main else None)
            elif option.key in ("unenv", "env"):
                self.environment.pop(name, None)
                self.secrets.pop(name, None)

    def _started_with(self, properties: Dict[str, str], files: List[str]) -> Dict[str, str]:
        """The environment that the master was started with: its own copy, or where that cannot be trusted its emperor's or its unit's.

        A process that has rewritten its title may have overwritten it. One that has reloaded has executed itself with everything
        that it and its application had set meanwhile (UWSGI_RELOADS is there then: core/init.c uwsgi_setup_reload).
        """
        for process in (self.instance.master, self.instance.emperor):
            if process is not None and not process.rewritten and "UWSGI_RELOADS" not in process.environ:
                return process.environ
        found: Dict[str, str] = dict(self.host.manager_environment)
        if properties:
            found.update(dict(item.split("=", 1) for item in shlex.split(properties.get("Environment", "")) if "=" in item))
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
        skipped = set(_VENV_KEYS + _PATH_KEYS + _LOG_KEYS + _uwsgi_config.SOCKET_KEYS + ("chdir", "plugins", "plugin", "plugins-dir", "plugin-dir", "env"))
        values += [("uWSGI option %s" % option.key, _uwsgi_config.text(option)) for option in self.config.options if option.key not in skipped]
        for place, value in values:
            for word in re.split(r"[\s,;]+|(?<=[^/])=", re.sub(r"^sqlite:///(?=/)", "", value)):
                path = word[7:] if word.startswith("file:///") else word
                if path.startswith("/") and path.strip("/") and len(path) < 4096:
                    named.setdefault(os.path.normpath(path), place)
        return named

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

    def _paths(self, tree: _evidence_code.Tree) -> _evidence_paths.Paths:
        named = self._named()
        ignored = {_uwsgi_config.text(option) for option in self.config.options if option.key in _LOG_KEYS} | set(self.config.files)
        ignored |= {self.instance.name, _evidence_host.user_name(self.uid)}
        owned = {path: self.host.owner(path) for path in {**named, **tree.absolute} if os.path.lexists(path)}
        return _evidence_paths.classify(_evidence_paths.Facts(
            self.subject, self.code, self.venv, named, tree, self._written(), self._unit_state(), self.host.static_roots, ignored, owned))

    # -- the rest

    def _needs(self, named: Dict[str, str]) -> List[Dict[str, str]]:
        found = _evidence_host.needs(self.instance.processes, self.host.sockets, self.host.holders, self.host.table)
        for value in self._all_variables().values():
            kind = _SCHEMES.get(value.split("://", 1)[0].split("+")[0]) if "://" in value else None
            if kind:
                try:
                    url = urlsplit(value)
                    host, port = url.hostname, url.port or _PORTS.get(kind, 0)
                except ValueError:
                    continue
                if host:
                    found.append({"kind": kind, "address": "%s:%d" % (host, port)})
        known = {(item["kind"], item["address"].replace("localhost", "127.0.0.1")) for item in found}
        return [{"kind": kind, "address": address} for kind, address in sorted(known)]

    def _packages(self, metadata: List[str], tools: List[str]) -> List[Dict[str, str]]:
        wanted = {path for path in self.maps if not _evidence_paths.within(path, [self.venv])} | set(tools) | {self.instance.master.exe}
        if self.python and self.python.interpreter:
            wanted.add(self.python.interpreter)
        return self.host.packages({path for path in wanted | set(metadata) if path})

    def _tools(self, tree: _evidence_code.Tree) -> List[str]:
        found = set()
        for program in tree.programs:
            for directory in [""] if program.startswith("/") else ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"]:
                path = os.path.join(directory, program)
                if os.path.isfile(path) and os.access(path, os.X_OK) and not _evidence_paths.within(path, [self.venv, self.code]):
                    found.add(path)
                    break
        return sorted(found)

    def _python_facts(self) -> Tuple[Dict[str, Any], List[str]]:
        if self.python is None:
            return {}, []
        found, _metadata, editable = _evidence_python.distributions(self.python.site)
        _shared, metadata, _editable = _evidence_python.distributions(self.python.shared)
        patched, blind = _evidence_python.patched(self.python.site)
        self.host.blind += blind
        interpreter = self.python.interpreter
        version = self.python.full
        if interpreter and version is None:
            _rc, out, _err = _evidence_host.as_owner([interpreter, "-V"], self.uid, self.gid)
            match = re.search(r"Python (\d+\.\d+\.\d+\S*)", out)
            version = match.group(1) if match else None
        owned = interpreter is not None and self.host.owner(interpreter) is not None
        facts: Dict[str, Any] = {"version": version or self.python.short, "interpreter": interpreter, "origin": "package" if owned else "tree",
                                 "venv": self.venv, "distributions": found, "patched": patched, "editable": editable}
        return {key: value for key, value in facts.items() if value not in (None, [])}, metadata

    def _version(self) -> str:
        rc, out, _err = _evidence_host.as_owner([self.instance.master.exe, "--version"], self.uid, self.gid)
        match = re.search(r"\d+\.\d+\S*", out) if rc == 0 else None
        return re.sub(r"-debian$", "", match.group()) if match else ""

    def facts(self) -> Dict[str, Any]:
        """The instance as plain data, sorted, without PIDs or times."""
        tree = _evidence_code.scan(self.code, {self.venv or ""}) if self.code and os.path.isdir(self.code) else _evidence_code.Tree()
        self.host.blind += tree.blind
        paths = self._paths(tree)
        python, metadata = self._python_facts()
        tools = self._tools(tree)
        options, hidden = self._options()
        instance, exe = self.instance, self.instance.master.exe
        secrets = [{"name": name, "source": self.secrets[name]} for name in sorted(self.secrets)]
        secrets += [{"name": os.path.basename(path), "source": "file:" + path} for path in sorted(paths.secrets)]
        workers = [{"kind": _WORKER_KEYS[option.key], "what": redact("%s = %s" % (option.key, _uwsgi_config.text(option))), "evidence": option.source_file}
                   for option in self.config.options if option.key in _WORKER_KEYS]
        origin = "package" if self.host.owner(exe) else "venv" if _evidence_paths.within(exe, [self.venv]) else "tree"
        return {
            "name": instance.name, "manager": {"kind": instance.kind, "unit": instance.unit, "vassal": instance.vassal}, "not_convertible": instance.reason,
            "user": {"name": _evidence_host.user_name(self.uid), "uid": self.uid, "group": _evidence_host.group_name(self.gid), "gid": self.gid},
            "uwsgi": {"binary": exe, "origin": origin, "version": self._version(), "config": instance.config_file or ""},
            "config_files": sorted(self.config.files), "options": options, "hidden_options": hidden,
            "warnings": [redact(item) for item in self.config.warnings],
            "sockets": sockets(instance), "code": self.code, "python": python,
            "environment": {name: self.environment[name] for name in sorted(self.environment)}, "secrets": secrets,
            "secrets_in_source": [{"name": name, "file": path} for name, path in sorted(set(tree.secrets_in_source))],
            "state": [{"path": path, "evidence": paths.state[path]} for path in sorted(paths.state)],
            "files": [{"path": path, "evidence": paths.files[path]} for path in sorted(paths.files)],
            "tools": tools, "workers": workers, "schedule": [], "needs": self._needs(self._named()), "packages": self._packages(metadata, tools),
            "health": {key: self.health[key] for key in ("path", "status") if key in self.health},
            "remarks": [self.health["problem"]] if "problem" in self.health else [],
        }


def _private(path: str) -> bool:
    try:
        return not os.stat(path).st_mode & 0o004
    except OSError:
        return False
