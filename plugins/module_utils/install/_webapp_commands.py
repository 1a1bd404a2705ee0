# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Commands that prepare an application after its code or virtual environment has changed: migrations, collected files."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def digest(service: Mapping[str, Any], code: Optional[str], venv: Optional[str]) -> str:
    """One digest of all that the result of the commands depends on. Pure."""
    known = [service["commands"], service["environment"], service["user"], service["chdir"], code, venv]
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()


def surroundings(service: Mapping[str, Any]) -> Dict[str, str]:
    """The environment of the commands: the service's own, with its virtual environment first on PATH. Pure."""
    env = {"PATH": "%s/bin:%s" % (service["venv"], _PATH), "VIRTUAL_ENV": service["venv"]} if service["venv"] else {"PATH": _PATH}
    return {**env, **service["environment"]}


class WebappCommands(WebstackModule):
    """The module's behaviour; see the documentation of webapp_commands."""

    def run(self) -> None:
        todo = []
        for service in self.params["services"]:
            if _journal.load(service["name"]).runtime == _journal.CONTAINER:
                continue
            stamp = _own_files.look(_paths.prepare_stamp(service["name"]))
            about_to_change = self.check_mode and service["name"] in self.params["changed"]
            if stamp is None or stamp.text.strip() != self._digest(service) or about_to_change:
                todo.append(service)
                self.add_diff("commands of %s" % service["name"], "", "".join(" ".join(argv) + "\n" for argv in service["commands"]))
        self.result.update(prepared=[service["name"] for service in todo])
        if not self.check_mode:
            for service in todo:
                self._prepare(service)

    @staticmethod
    def _digest(service: Mapping[str, Any]) -> str:
        code, venv = _own_files.look(_paths.code_stamp(service["name"])), None
        if service["venv"]:
            venv = _own_files.look(_paths.venv_stamp(service["venv"]))
        return digest(service, code.text if code else None, venv.text if venv else None)

    def _prepare(self, service: Mapping[str, Any]) -> None:
        output: List[str] = []
        for argv in service["commands"]:
            try:
                done = _users.run_as(service["user"], service["group"], argv, surroundings(service), service["chdir"])
            except CommandError as exc:
                raise WebstackError("service %s: preparing it failed: %s" % (service["name"], exc), service=service["name"], **exc.details) from exc
            output.append(done.stdout)
        self.result.setdefault("output", {})[service["name"]] = output
        _journal.write_private(_paths.prepare_stamp(service["name"]), self._digest(service) + "\n")
