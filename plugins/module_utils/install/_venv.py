# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""One virtual environment on disk: what it is, and how it is built anew beside what is there."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import pwd
import re
import shutil
import tempfile
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _relocate, _requirements

_FULL = 1 << 20
"""Bytes free below which a file system counts as full."""


class Stamp(NamedTuple):
    """What the last run left in a virtual environment; ``interpreter`` is empty in one from before it was noted."""

    digest: str
    distributions: Dict[str, str]
    interpreter: str = ""


class Sources(NamedTuple):
    """Where distributions come from."""

    index_url: Optional[str] = None
    extra_index_urls: Sequence[str] = ()
    wheel_dir: Optional[str] = None
    no_index: bool = False


def is_right(lock: _requirements.Lock, stamp: Optional[Stamp], installed: Mapping[str, str], interpreter: str = "") -> bool:
    """Whether nothing is to be done: the same lock and interpreter as last time, and nobody changed the distributions since. Pure."""
    return (stamp is not None and stamp.digest == lock.digest and stamp.distributions == dict(installed)
            and (not stamp.interpreter or not interpreter or stamp.interpreter == interpreter))


def installer(python: str, path: str, lock: _requirements.Lock, uv: Optional[str], system_site_packages: bool = False) -> List[str]:
    """The command that installs a requirements file. Pure.

    uv does not compile unless told, and a service's user cannot write what root owns.
    """
    if uv:
        argv = [uv, "pip", "install", "--python", python, "--compile-bytecode"] + (["--reinstall"] if system_site_packages else [])
    else:
        argv = [python, "-m", "pip", "install", "--quiet"] + (["--ignore-installed"] if system_site_packages else [])
    return argv + (["--require-hashes"] if lock.hashed else []) + ["--requirement", path]


def environment(sources: Sources) -> Dict[str, str]:
    """pip's and uv's settings as environment variables, for a command line is everybody's to read (ps). Pure.

    An index that is named here replaces what the host's pip.conf names; what is not named stays the host's.
    """
    env = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "UV_NO_PROGRESS": "1", "UV_PYTHON_DOWNLOADS": "never",
           "UV_NATIVE_TLS": "1", "UV_SYSTEM_CERTS": "1"}  # uv trusts what the host trusts, as pip does; the second is the newer name
    if sources.index_url:
        env.update(PIP_INDEX_URL=sources.index_url, UV_INDEX_URL=sources.index_url, UV_DEFAULT_INDEX=sources.index_url)
    if sources.extra_index_urls:
        # the older of uv's names is read by all versions; pip's and uv's lists are separated by spaces
        env.update(PIP_EXTRA_INDEX_URL=" ".join(sources.extra_index_urls), UV_EXTRA_INDEX_URL=" ".join(sources.extra_index_urls))
    if sources.wheel_dir:
        env.update(PIP_FIND_LINKS=sources.wheel_dir, UV_FIND_LINKS=sources.wheel_dir)
    if sources.no_index:
        env.update(PIP_NO_INDEX="1", UV_NO_INDEX="1")
    return env


def without_credentials(text: str) -> str:
    """A text with ``USER:PASSWORD@`` out of its URLs. Pure."""
    return re.sub(r"(\w://)[^/@\s]+@", r"\1****@", text)


def why(exc: Exception) -> str:
    """What pip or uv complained about, rather than their last line. Pure."""
    said = exc.details.get("stderr", "") if isinstance(exc, WebstackError) else ""
    errors = [line[len("ERROR: "):] for line in said.splitlines() if line.startswith("ERROR: ")]
    if not errors and re.search(r"(?m)^error: | × ", said):
        errors = [" ".join(line.strip(" ×╰─▶├│") for line in said.splitlines() if line.strip() and not re.match(r"Using |Resolved |Audited ", line))]
    return without_credentials(errors[0] if errors else str(exc))


class Venv:
    """One virtual environment; ``at`` is where its next state is built."""

    def __init__(self, path: str, owner: str) -> None:
        self.path, self.owner, self.at = os.path.normpath(path), owner, _relocate.beside(path)

    def exists(self) -> bool:
        """Whether it is there and can run."""
        return os.path.exists(os.path.join(self.path, "bin", "python")) and os.path.exists(os.path.join(self.path, "pyvenv.cfg"))

    def setting(self, name: str) -> str:
        """A value of its pyvenv.cfg."""
        with contextlib.suppress(OSError), open(os.path.join(self.path, "pyvenv.cfg"), encoding="utf-8") as handle:
            match = re.search(r"(?m)^%s *= *(.*?) *$" % name, handle.read())
            return match.group(1) if match else ""
        return ""

    def minor(self) -> str:
        """Its Python's minor version, as in 3.11."""
        return ".".join((self.setting("version") or self.setting("version_info")).split(".")[:2])

    def sees_system(self) -> bool:
        """Whether its Python sees the distributions of the system."""
        return self.setting("include-system-site-packages").lower() == "true"

    def stamp(self) -> Optional[Stamp]:
        """What the last run left, or None."""
        try:
            with open(_paths.venv_stamp(self.path), encoding="utf-8") as handle:
                data = json.load(handle)
            return Stamp(data["requirements"], data["distributions"], data.get("interpreter", ""))
        except (OSError, ValueError, KeyError):
            return None

    def run(self, argv: List[str], env: Optional[Mapping[str, str]] = None) -> str:
        """Run a command as its owner and return what it printed."""
        full = {"PATH": os.environ.get("PATH", "/usr/bin:/bin"), **(env or {})}
        if os.environ.get("PIP_CERT"):
            full.setdefault("SSL_CERT_FILE", os.environ.get("SSL_CERT_FILE") or os.environ["PIP_CERT"])
        if self.owner == "root":
            return run(argv, env=full).stdout
        group = _users.known().users.get(self.owner, (0, 0))[1]
        names = {gid: name for name, gid in _users.known().groups.items()}
        # a service's user has no home to keep a cache in
        passed = {key: value for key, value in os.environ.items() if key.startswith(("PIP_", "UV_", "SSL_CERT_", "http", "HTTP", "no_proxy", "NO_PROXY"))}
        return _users.run_as(self.owner, names.get(group, "root"), argv, {"LC_ALL": "C.UTF-8", "UV_NO_CACHE": "1", **passed, **full}, "/").stdout

    def build(self, interpreter: str, requirements: str, lock: _requirements.Lock, uv: Optional[str], sources: Sources, system_site_packages: bool) -> None:
        """Build it from nothing at ``at``, and put it in place in one step. What is at ``path`` stays as it is until then."""
        _relocate.recover(self.path)
        os.makedirs(os.path.dirname(self.at), mode=0o755, exist_ok=True)
        os.mkdir(self.at, 0o755)
        try:
            if self.owner != "root":
                entry = pwd.getpwnam(self.owner)
                os.chown(self.at, entry.pw_uid, entry.pw_gid)
            more = (["--system-site-packages"] if system_site_packages else []) + (["--without-pip"] if uv else [])
            self.run([interpreter, "-m", "venv", "--prompt", os.path.basename(self.path)] + more + [self.at])
            self._install(requirements, lock, uv, sources, system_site_packages)
            self._write_stamp(lock, interpreter)
            _relocate.change_paths(self.at, self.path)
            _relocate.put(self.at, self.path)
            os.utime(_paths.venv_stamp(self.path))  # whoever has started from the former one until now is older than this
        except BaseException as exc:
            full = shutil.disk_usage(os.path.dirname(self.at)).free < _FULL
            shutil.rmtree(self.at, ignore_errors=True)
            if full and isinstance(exc, CommandError):  # pip and ensurepip do not always say so
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.at) from exc
            raise

    def _install(self, requirements: str, lock: _requirements.Lock, uv: Optional[str], sources: Sources, system_site_packages: bool) -> None:
        fd, path = tempfile.mkstemp(prefix="webstack-requirements-", suffix=".txt")
        try:
            with os.fdopen(fd, "w", encoding="utf-8") as handle:
                handle.write(requirements)
                # a requirements file may name an index with its password
                if self.owner != "root":
                    os.fchown(handle.fileno(), pwd.getpwnam(self.owner).pw_uid, -1)
            self.run(installer(os.path.join(self.at, "bin", "python"), path, lock, uv, system_site_packages), environment(sources))
        finally:
            os.unlink(path)

    def _write_stamp(self, lock: _requirements.Lock, interpreter: str) -> None:
        """Note what is there now; written last, so that a run that was killed does its work again."""
        data = {"requirements": lock.digest, "distributions": _requirements.installed_in(self.at), "interpreter": interpreter}
        _journal.replace_file(_paths.venv_stamp(self.at), json.dumps(data, indent=1, sort_keys=True) + "\n", 0o644)


def failure(service: str, path: str, exc: Exception) -> WebstackError:
    """The sentence for a virtual environment that could not be made."""
    details: Dict[str, Any] = dict(exc.details) if isinstance(exc, CommandError) else {}
    details = {key: without_credentials(value) if isinstance(value, str) else value for key, value in details.items()}
    return WebstackError("service %s: its virtual environment %s could not be made: %s; what was there is as it was" % (service, path, why(exc)), **details)
