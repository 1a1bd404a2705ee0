# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of python_venvs: reads the requirements files, and sends the wheels that are needed."""

from __future__ import annotations

import tarfile
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean

from ansible_collections.gantry.webstack.plugins.module_utils.install import _requirements
from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack
from ansible_collections.gantry.webstack.plugins.plugin_utils.phase import PhaseAction


class ActionModule(PhaseAction):
    """One call of the module; two where an environment changes and its wheels lie on the control node."""

    MODULE = "python_venvs"
    directories: list[Path]

    def arguments(self, args: dict[str, Any]) -> dict[str, Any]:
        """See PhaseAction."""
        venvs = [venv for venv in args["venvs"] if isinstance(venv, dict)] if isinstance(args.get("venvs"), list) else []
        for venv in venvs:
            if venv.get("requirements_file"):
                venv["requirements"] = self._text(venv)
        self.directories = self._wheel_dirs(args, venvs)
        return args

    def act(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the module, with the wheels it asks for."""
        result = self.module(args, task_vars)
        needed = result.pop("wheels_needed", [])
        if result.get("failed") or not needed:
            return result
        return self._send(args, [venv for venv in args["venvs"] if venv.get("name") in needed], task_vars)

    def _text(self, venv: dict[str, Any]) -> str:
        path = source_pack.find(venv.pop("requirements_file"), self._loader.get_basedir())
        try:
            return path.read_text(encoding="utf-8")
        except OSError as exc:
            raise AnsibleActionFail(f"service {venv.get('name')}: python.requirements {str(path)!r} cannot be read: {exc.strerror}") from exc

    def _wheel_dirs(self, args: dict[str, Any], venvs: list[dict[str, Any]]) -> list[Path]:
        """The directories with wheels on the control node; each environment that uses one gets its number as ``wheel_pack_dir``."""
        if boolean(args.get("wheel_dir_on_target") or False):
            return []
        found: list[Path] = []
        for venv in venvs:
            given = venv.pop("wheel_dir", None) or args.get("wheel_dir")
            if not given:
                continue
            path = source_pack.find(str(given), self._loader.get_basedir())
            if not path.is_dir():
                raise AnsibleActionFail(f"service {venv.get('name')}: wheel_dir {str(path)!r} is not a directory on the control node; "
                                        "set wheel_dir_on_target where it is one of the hosts")
            if path not in found:
                found.append(path)
            venv["wheel_pack_dir"] = str(found.index(path))
        args.pop("wheel_dir", None)
        return found

    def _send(self, args: dict[str, Any], venvs: list[dict[str, Any]], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        remote = self._make_tmp_path()
        try:
            with tempfile.TemporaryDirectory(prefix="webstack-") as local:
                pack = Path(local) / "wheels.tar"
                with tarfile.open(pack, "w") as archive:
                    for number, directory in enumerate(self.directories):
                        locks = [_requirements.parse_lock(venv["requirements"]) for venv in venvs if venv.get("wheel_pack_dir") == str(number)]
                        for path in sorted(directory.iterdir()):
                            if path.is_file() and any(_requirements.may_need(lock, path.name) for lock in locks):
                                archive.add(path, f"{number}/{path.name}", recursive=False)
                args["wheel_pack"] = self._connection._shell.join_path(remote, pack.name)
                self._transfer_file(str(pack), args["wheel_pack"])
            self._fixup_perms2((remote, args["wheel_pack"]))
            return self.module(args, task_vars)
        finally:
            self._remove_tmp_path(remote)
