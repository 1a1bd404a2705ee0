# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All virtual environments of a host, each exactly what its lock says."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tarfile
import tempfile
from typing import Any, Dict, Mapping, NamedTuple, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, host_lock
from ansible_collections.gantry.webstack.plugins.module_utils.install import _interpreters, _python_trees, _requirements
from ansible_collections.gantry.webstack.plugins.module_utils.install._venv import Sources, Venv, failure, is_right

SOURCES = ("index_url", "extra_index_urls", "wheel_dir", "no_index")


class Step(NamedTuple):
    """A virtual environment that is to be built; ``before``: the distributions that it replaces."""

    entry: Dict[str, Any]
    venv: Venv
    lock: _requirements.Lock
    interpreter: str
    version: str
    before: Dict[str, str]


def sources(entry: Mapping[str, Any], common: Mapping[str, Any], sent: Optional[str]) -> Sources:
    """Where the distributions of one environment come from: its own settings, those of the module otherwise. Pure.

    ``sent`` is where the wheels that the control node sent lie, below one directory per source directory's number.
    """
    told = {key: entry.get(key) if entry.get(key) is not None else common.get(key) for key in SOURCES}
    number = entry.get("wheel_pack_dir")
    wheels = os.path.join(sent, number) if sent and number is not None else told["wheel_dir"]
    return Sources(told["index_url"], tuple(told["extra_index_urls"] or ()), wheels, bool(told["no_index"]))


_SOURCES = {
    "index_url": {"type": "str", "no_log": True},
    "extra_index_urls": {"type": "list", "elements": "str", "no_log": True},
    "wheel_dir": {"type": "str"},
    "no_index": {"type": "bool"},
}
_VENV = {
    "name": {"type": "str", "required": True},
    "path": {"type": "path", "required": True},
    "base": {"type": "path"},
    "requirements": {"type": "str"},
    "requirements_file": {"type": "str"},
    "interpreter": {"type": "path"},
    "version": {"type": "str"},
    "origin": {"type": "str", "choices": ["package", "tree"]},
    "system_site_packages": {"type": "bool", "default": False},
    "wheel_pack_dir": {"type": "str"},
    **_SOURCES,
    "owner": {"type": "str", "default": "root"},
}
_ONE_LOCK = {"mutually_exclusive": [("requirements", "requirements_file")], "required_one_of": [("requirements", "requirements_file")]}
SPEC = {
    "venvs": {"type": "list", "elements": "dict", "required": True, "options": _VENV, **_ONE_LOCK},
    "installer": {"type": "str", "choices": ["auto", "pip", "uv"], "default": "auto"},
    "uv": {"type": "path"},
    "trees": {"type": "list", "elements": "dict", "default": []},
    "wheel_dir_on_target": {"type": "bool", "default": False},
    "wheel_pack": {"type": "path"},
    "deploy": {"type": "bool", "default": False},
    **_SOURCES,
}
"""argument_spec of the module python_venvs."""


class PythonVenvs(WebstackModule):
    """The module's behaviour; see the documentation of python_venvs."""

    def run(self) -> None:
        self._hide_credentials()
        contained = {entry["name"] for entry in self.params["venvs"] if _journal.load(entry["name"]).runtime == _journal.CONTAINER}
        # A deployment makes the next image of the host's files: what the next release needs has to be there, beside what is there now.
        entries = [entry for entry in self.params["venvs"] if self.params["deploy"] or entry["name"] not in contained]
        there = _interpreters.find(entry.get("interpreter") for entry in entries)
        if self.check_mode:
            there = {**_interpreters.to_come(_python_trees.complete(self.params.get("trees") or [])), **there}
        # Every interpreter is looked for before the first environment is touched.
        steps = [step for step in [self._plan(entry, there) for entry in entries] if step is not None]
        uv = self._uv() if steps else None
        self.result.update(changed_venvs=[step.entry["name"] for step in steps], contained=sorted(contained))
        self.changed = bool(steps)
        lacking = [step.entry["name"] for step in steps if step.entry.get("wheel_pack_dir") is not None]
        if lacking and not self.params.get("wheel_pack") and not self.check_mode:
            self.result["wheels_needed"] = lacking
            return
        # Two runs at once would build in one place.
        with contextlib.nullcontext() if self.check_mode or not steps else host_lock(), tempfile.TemporaryDirectory(prefix="webstack-wheels-") as sent:
            if self.params.get("wheel_pack"):
                unpack_wheels(self.params["wheel_pack"], sent)
            for step in steps:
                self._do(step, uv, sources(step.entry, self.params, sent))

    def _plan(self, entry: Dict[str, Any], there: Mapping[str, _interpreters.Found]) -> Optional[Step]:
        wish = _interpreters.wish(entry)
        try:
            interpreter = _interpreters.choose(wish, there, {})
        except WebstackError:
            interpreter = _interpreters.choose(wish, there, _interpreters.offered_packages())
        lock, venv = _requirements.parse_lock(entry["requirements"]), Venv(entry["path"], entry["owner"])
        version = there[interpreter].version
        exists = venv.exists()
        installed = _requirements.installed_in(venv.path)
        same = exists and venv.minor() == ".".join(version.split(".")[:2]) and venv.sees_system() == bool(entry.get("system_site_packages"))
        if same and is_right(lock, venv.stamp(), installed, interpreter):
            return None
        if os.path.isdir(venv.path) and os.listdir(venv.path) and not os.path.exists(os.path.join(venv.path, "pyvenv.cfg")):
            raise WebstackError("service %s: %s is there and is not a virtual environment; give another path, or move it away" % (entry["name"], venv.path))
        if not exists and entry.get("base"):
            installed = _requirements.installed_in(entry["base"])
        return Step(entry, venv, lock, interpreter, version, installed)

    def _do(self, step: Step, uv: Optional[str], told: Sources) -> None:
        after = _requirements.expected(step.lock, step.before)
        if not self.check_mode:
            try:
                step.venv.build(step.interpreter, step.entry["requirements"], step.lock, uv, told, bool(step.entry.get("system_site_packages")))
            except (CommandError, OSError) as exc:
                raise failure(step.entry["name"], step.venv.path, exc) from exc
            after = _requirements.installed_in(step.venv.path)
        before, wanted = ({name: version for name, version in one.items() if name not in _requirements.TOOLS or name in step.lock.names}
                          for one in (step.before, after))
        self.add_diff("%s (Python %s)" % (step.venv.path, step.version), _requirements.listing(before), _requirements.listing(wanted))

    def _uv(self) -> Optional[str]:
        """The uv that installs, or None where pip does."""
        wanted, path = self.params["installer"], self.params.get("uv")
        if wanted == "pip":
            return None
        uv = shutil.which(path or "uv") or (None if path else shutil.which("uv", path="/usr/local/bin"))
        if uv is None and (wanted == "uv" or path):
            raise WebstackError("there is no %s on this host; install uv, name where it is, or let pip install" % (path or "uv"))
        return uv

    def _hide_credentials(self) -> None:
        """Credentials in a requirements file are no option of their own; keep them out of the module's result all the same."""
        for entry in self.params["venvs"]:
            self.module.no_log_values.update(re.findall(r"\w://([^/@\s]+)@", entry["requirements"] or ""))


def unpack_wheels(pack: str, directory: str) -> None:
    """Unpack what the control node's half has packed: ``NUMBER/FILE`` only. Raises WebstackError for anything else."""
    with tarfile.open(pack) as archive:
        for member in archive:
            if not member.isfile() or not re.match(r"^\d+/[^/]+$", member.name):
                raise WebstackError("the wheels that were sent hold %r, which is no distribution" % member.name)
            target = os.path.join(directory, member.name)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            source = archive.extractfile(member)
            if source is not None:
                with source, open(target, "wb") as handle:
                    shutil.copyfileobj(source, handle)
    for path in [directory] + [os.path.join(directory, name) for name in os.listdir(directory)]:
        os.chmod(path, 0o755)
