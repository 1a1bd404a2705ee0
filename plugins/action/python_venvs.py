# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of python_venvs: reads the requirements files."""

from __future__ import annotations

import copy
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack


class ActionModule(ActionBase):
    """The module with the text of each file in place of its path."""

    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module."""
        super().run(tmp, task_vars)
        args = copy.deepcopy(dict(self._task.args))
        for venv in args["venvs"] if isinstance(args.get("venvs"), list) else []:
            if isinstance(venv, dict) and venv.get("requirements_file"):
                path = source_pack.find(venv.pop("requirements_file"), self._loader.get_basedir())
                try:
                    venv["requirements"] = path.read_text(encoding="utf-8")
                except OSError as exc:
                    raise AnsibleActionFail(f"service {venv.get('name')}: python.requirements {str(path)!r} cannot be read: {exc.strerror}") from exc
        return self._execute_module(module_name="gantry.webstack.python_venvs", module_args=args, task_vars=task_vars)
