# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that check, migrate for and prepare a release before it becomes a service's code."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files, _releases, _secret_files

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

KINDS = {"check": "checking its release", "migrate": "its migration", "prepare": "preparing its release"}
"""The kinds of commands in their order, and the words for a message."""


def digest(service: Mapping[str, Any], kind: str, release: str, venv: Optional[str]) -> str:
    """One digest of all that the result of the commands depends on; of a migration, which one host does for all, without what is the host's. Pure."""
    known = [service[kind], service["origin"]] if kind == "migrate" and service["origin"] else \
        [service[kind], service["environment"], service["user"], service["chdir"], release, venv]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def due(service: Mapping[str, Any], release: str, place: str) -> Dict[str, str]:
    """The kinds of commands that have not been run for a release (its directory is ``place``), each with the digest that says so when they have."""
    stamps = _stamps(service["name"])
    own = release or not service["venv"]
    venv = _own_files.look(_paths.venv_stamp(os.path.join(place, _releases.VENV) if own else service["venv"]))
    wanted = {kind: digest(service, kind, release, venv.text if venv else None) for kind in KINDS if service[kind]}
    return {kind: stamp for kind, stamp in wanted.items() if stamps.get(kind) != stamp}


def _stamps(name: str) -> Dict[str, str]:
    there = _own_files.look(_paths.commands_stamp(name))
    try:
        return dict(json.loads(there.text)) if there else {}
    except ValueError:
        return {}


def relocated(service: Mapping[str, Any], place: str, secrets: Mapping[str, str]) -> Dict[str, Any]:
    """``service`` with its commands and environment as the release at ``place`` needs them: code and venv of the release come first. Pure."""
    def moved(text: str) -> str:
        if place == service["chdir"]:
            return text
        text = _releases.relocate(text, service["venv"], os.path.join(place, _releases.VENV)) if service["venv"] else text
        return _releases.relocate(text, service["chdir"], place)

    venv = moved(service["venv"]) if service["venv"] else None
    env = {"PATH": "%s/bin:%s" % (venv, _PATH), "VIRTUAL_ENV": venv} if venv else {"PATH": _PATH}
    env.update({key: moved(value) for key, value in service["environment"].items()})
    commands = {kind: [[moved(word) for word in argv] for argv in service[kind]] for kind in KINDS}
    return {**service, **commands, "environment": {**env, **secrets}, "chdir": place}


def without(text: str, secrets: Mapping[str, str]) -> str:
    """``text`` without the values of secrets. Pure."""
    for value in sorted(secrets.values(), key=len, reverse=True):
        text = text.replace(value, "(secret)") if len(value) > 3 else text
    return text


class WebappCommands(WebstackModule):
    """The module's behaviour; see the documentation of webapp_commands."""

    def run(self) -> None:
        self.result.update({kind: [] for kind in KINDS}, migrated={}, todo=[], output={})
        for service in self.params["services"]:
            if self.params["deploy"] or _journal.load(service["name"]).runtime != _journal.CONTAINER:
                self._service(service)

    def _service(self, service: Mapping[str, Any]) -> None:
        name = service["name"]
        releases = _releases.Releases(name, service["chdir"])
        waiting = due(service, releases.record.get("wanted") or "", releases.staged())
        for kind in KINDS:
            later = kind in service["postponed"]
            if service[kind] and (kind in waiting or self.check_mode and name in self.params["changed"]):
                if later:
                    self.result["todo"] = sorted({*self.result["todo"], name})
                else:
                    self._kind(service, kind, releases.staged(), waiting.get(kind, ""))
            if kind == "migrate" and service[kind] and not later:
                self.result["migrated"][name] = service["origin"] or ""

    def _kind(self, service: Mapping[str, Any], kind: str, place: str, stamp: str) -> None:
        name = service["name"]
        if kind != "migrate" or not service["migrated_by"]:
            self.result[kind].append(name)
            self.add_diff("%s commands of %s" % (kind, name), "", "".join(" ".join(argv) + "\n" for argv in service[kind]))
            if not self.check_mode:
                self._commands(service, kind, place)
        if not self.check_mode:
            _journal.write_private(_paths.commands_stamp(name), json.dumps({**_stamps(name), kind: stamp}) + "\n")

    def _commands(self, service: Mapping[str, Any], kind: str, place: str) -> None:
        there = _own_files.look(_paths.secret_ini(service["name"]))
        secrets = _secret_files.parse_ini(there.text) if there else {}
        moved = relocated(service, place, secrets)
        output: List[str] = self.result["output"].setdefault(service["name"], [])
        for argv in moved[kind]:
            try:
                done = _users.run_as(service["user"], service["group"], argv, moved["environment"], place)
            except (CommandError, WebstackError) as exc:
                details = {key: without(value, secrets) if isinstance(value, str) else value for key, value in exc.details.items()}
                raise WebstackError(without("service %s: %s failed: %s; what runs is as it was" % (service["name"], KINDS[kind], exc), secrets),
                                    service=service["name"], **details) from exc
            output.append(without(done.stdout, secrets))
