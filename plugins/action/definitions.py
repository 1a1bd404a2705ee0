# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""definitions: service definitions checked on the control node, before any host is asked.

Ansible imports an action plugin in its main process, before it forks a worker for each task and host: what is imported here (the schema's
validator costs most) is there in all of them. A filter alone is imported anew in every worker.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.module_utils.common.yaml import yaml_load
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.filter.install import complaint

ROLES = Path(__file__).parents[2] / "roles"


class ActionModule(ActionBase):
    """Fails with the first complaint."""

    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Check; never changes anything."""
        result = super().run(tmp, task_vars)
        found = complaint(self._task.args.get("services") or [], self._task.args.get("secrets") or {})
        if found:
            raise AnsibleActionFail(found)
        for role in self._task.args.get("roles") or []:
            self._check_role(str(role), task_vars or {})
        return {**result, "changed": False}

    def _check_role(self, role: str, task_vars: dict[str, Any]) -> None:
        """What Ansible does in a task of its own before each role: its variables against its argument_specs."""
        try:
            spec = yaml_load((ROLES / role / "meta/argument_specs.yml").read_text(encoding="utf-8"))["argument_specs"]["main"]["options"]
        except OSError as exc:
            raise AnsibleActionFail(f"definitions: there is no role {role!r} in this collection") from exc
        given = {name: self._templar.template(task_vars[name]) for name in spec if name in task_vars}
        wrong = ArgumentSpecValidator(spec).validate(given).error_messages
        if wrong:
            raise AnsibleActionFail(f"role {role}: {'; '.join(wrong)}")
