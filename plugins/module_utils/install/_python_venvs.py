# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All virtual environments of a host, each exactly what its lock says."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import pwd
import re
import shutil
import tempfile
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _requirements

_LOOKED_IN = ("/usr/bin", "/usr/local/bin", "/opt/*/bin")


class Stamp(NamedTuple):
    """What the last run left in a virtual environment."""

    digest: str
    distributions: Dict[str, str]


def fits(wanted: str, version: str) -> bool:
    """Whether ``version`` (3.11.2) is what ``wanted`` (3.11, or 3.11.2) asks for. Pure."""
    return version.split(".")[:len(wanted.split("."))] == wanted.split(".")


def choose(service: str, interpreter: Optional[str], wanted: Optional[str], available: Mapping[str, str]) -> str:
    """The interpreter for a virtual environment. Pure. Raises WebstackError, with what is available, when there is none.

    ``available``: path -> version.
    """
    there = ", ".join("%s (%s)" % item for item in sorted(available.items())) or "none"
    if interpreter is not None:
        if interpreter not in available:
            raise WebstackError("service %s: there is no Python interpreter %s on this host; there are %s" % (service, interpreter, there))
        if wanted is not None and not fits(wanted, available[interpreter]):
            raise WebstackError("service %s: %s is Python %s, not the wanted %s" % (service, interpreter, available[interpreter], wanted))
        return interpreter
    candidates = [path for path, version in available.items() if wanted is None or fits(wanted, version)]
    if not candidates:
        raise WebstackError("service %s: Python %s is not on this host; there are %s" % (service, wanted or "3", there))
    return min(candidates, key=lambda path: (path != "/usr/bin/python3", len(path), path))


def is_right(lock: _requirements.Lock, stamp: Optional[Stamp], installed: Mapping[str, str]) -> bool:
    """Whether nothing is to be done: the same lock as last time, and nobody changed the distributions since. Pure."""
    return stamp is not None and stamp.digest == lock.digest and stamp.distributions == dict(installed)


class Venv:
    """One virtual environment on disk."""

    def __init__(self, path: str, owner: str) -> None:
        self.path, self.owner = path, owner
        self.python = os.path.join(path, "bin", "python")

    def exists(self) -> bool:
        """Whether it is there and can run."""
        return os.path.exists(self.python) and os.path.exists(os.path.join(self.path, "pyvenv.cfg"))

    def minor(self) -> str:
        """Its Python's minor version, as in 3.11."""
        with contextlib.suppress(OSError), open(os.path.join(self.path, "pyvenv.cfg"), encoding="utf-8") as handle:
            match = re.search(r"(?m)^version(?:_info)? *= *(\d+\.\d+)", handle.read())
            return match.group(1) if match else ""
        return ""

    def stamp(self) -> Optional[Stamp]:
        """What the last run left, or None."""
        try:
            with open(_paths.venv_stamp(self.path), encoding="utf-8") as handle:
                data = json.load(handle)
            return Stamp(data["requirements"], data["distributions"])
        except (OSError, ValueError, KeyError):
            return None

    def run(self, argv: List[str], stdin: Optional[str] = None) -> str:
        """Run a command as its owner and return what it printed."""
        env = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PATH": os.environ.get("PATH", "/usr/bin:/bin")}
        if self.owner == "root" or stdin is not None:
            return run(argv, stdin=stdin, env=env).stdout
        group = _users.known().users.get(self.owner, (0, 0))[1]
        names = {gid: name for name, gid in _users.known().groups.items()}
        return _users.run_as(self.owner, names.get(group, "root"), argv, env, "/").stdout

    def create(self, interpreter: str) -> None:
        """Make it anew."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.makedirs(self.path, mode=0o755)
        if self.owner != "root":
            entry = pwd.getpwnam(self.owner)
            os.chown(self.path, entry.pw_uid, entry.pw_gid)
        self.run([interpreter, "-m", "venv", self.path])

    def install(self, requirements: str, lock: _requirements.Lock, uv: Optional[str]) -> None:
        """Install what the lock says, remove what it does not."""
        fd, path = tempfile.mkstemp(prefix="webstack-requirements-", suffix=".txt")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as handle:
                handle.write(requirements)
            os.chmod(path, 0o644)
            self.run(installer(self.python, path, lock, uv))
        finally:
            os.unlink(path)
        extra = self._extraneous(lock)
        if extra:
            self.run([uv, "pip", "uninstall", "--python", self.python] + extra if uv else [self.python, "-m", "pip", "uninstall", "--yes"] + extra)

    def _extraneous(self, lock: _requirements.Lock) -> List[str]:
        installed = set(_requirements.installed_in(self.path)) - _requirements.TOOLS
        if lock.hashed:
            return sorted(installed - lock.names)
        needed = json.loads(self.run([self.python, "-c", _requirements.NEEDED], stdin=json.dumps(sorted(lock.names))))
        return sorted(installed - set(needed))

    def write_stamp(self, lock: _requirements.Lock) -> None:
        """Note what is there now; written last, so that a run that was killed does its work again."""
        data = {"requirements": lock.digest, "distributions": _requirements.installed_in(self.path)}
        _journal.replace_file(_paths.venv_stamp(self.path), json.dumps(data, indent=1, sort_keys=True) + "\n", 0o644)


def installer(python: str, path: str, lock: _requirements.Lock, uv: Optional[str]) -> List[str]:
    """The command that installs a requirements file. Pure."""
    if uv:
        argv = [uv, "pip", "install", "--python", python]
    else:
        argv = [python, "-m", "pip", "install", "--quiet"]
    return argv + (["--require-hashes"] if lock.hashed else []) + ["--requirement", path]


class PythonVenvs(WebstackModule):
    """The module's behaviour; see the documentation of python_venvs."""

    def run(self) -> None:
        contained = {entry["name"] for entry in self.params["venvs"] if _journal.load(entry["name"]).runtime == _journal.CONTAINER}
        entries = [entry for entry in self.params["venvs"] if entry["name"] not in contained]
        available = _available(entry["interpreter"] for entry in entries if entry["interpreter"])
        todo: List[Callable[[], None]] = []
        names: List[str] = []
        # Every interpreter is looked for before the first environment is touched.
        for entry in entries:
            interpreter = choose(entry["name"], entry["interpreter"], entry["version"], available)
            step = self._plan(entry, interpreter, available[interpreter])
            if step is not None:
                names.append(entry["name"])
                todo.append(step)
        self.result.update(changed_venvs=names, contained=sorted(contained))
        for step in todo:
            step()

    def _plan(self, entry: Dict[str, Any], interpreter: str, version: str) -> Optional[Callable[[], None]]:
        lock, venv = _requirements.parse_lock(entry["requirements"]), Venv(entry["path"], entry["owner"])
        fresh = not venv.exists() or venv.minor() != ".".join(version.split(".")[:2])
        installed = {} if fresh else _requirements.installed_in(venv.path)
        if not fresh and is_right(lock, venv.stamp(), installed):
            return None
        if fresh and os.path.isdir(venv.path) and os.listdir(venv.path) and not os.path.exists(os.path.join(venv.path, "pyvenv.cfg")):
            raise WebstackError("service %s: %s is there and is not a virtual environment" % (entry["name"], venv.path))

        if fresh and entry.get("base"):
            installed = _requirements.installed_in(entry["base"])

        def step() -> None:
            after = _requirements.expected(lock, installed)
            if not self.check_mode:
                self._make(entry, lock, venv, interpreter if fresh else None)
                after = _requirements.installed_in(venv.path)
            self.changed = True
            self.add_diff("%s (Python %s)" % (venv.path, version), _requirements.listing(installed), _requirements.listing(after))

        return step

    def _make(self, entry: Dict[str, Any], lock: _requirements.Lock, venv: Venv, interpreter: Optional[str]) -> None:
        uv = shutil.which("uv") if self.params["installer"] in ("auto", "uv") else None
        if self.params["installer"] == "uv" and uv is None:
            raise WebstackError("there is no uv on this host")
        try:
            if interpreter is not None:
                venv.create(interpreter)
            venv.install(entry["requirements"], lock, uv)
            venv.write_stamp(lock)
        except (CommandError, OSError) as exc:
            if interpreter is not None:
                shutil.rmtree(venv.path, ignore_errors=True)
            details = exc.details if isinstance(exc, CommandError) else {}
            raise WebstackError("service %s: its virtual environment %s could not be made: %s" % (entry["name"], venv.path, _why(exc)), **details) from exc


def _why(exc: Exception) -> str:
    """What pip or uv complained about, rather than their last line."""
    said = exc.details.get("stderr", "") if isinstance(exc, WebstackError) else ""
    errors = [line[len("ERROR: "):] for line in said.splitlines() if line.startswith("ERROR: ")]
    return errors[0] if errors else str(exc)


def _available(named: Any) -> Dict[str, str]:
    """The host's Python interpreters, path -> version; links that lead to the same version count once each."""
    patterns = [os.path.join(directory, name) for directory in _LOOKED_IN for name in ("python3", "python3.[0-9]", "python3.[0-9][0-9]")]
    paths = {path for pattern in patterns for path in glob.glob(pattern)}
    found = {}
    for path in sorted(paths | set(named)):
        with contextlib.suppress(CommandError):
            found[path] = run([path, "-I", "-S", "-c", "import platform; print(platform.python_version())"]).stdout.strip()
    return found
