# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""definitions: service definitions checked on the control node, before any host is asked.

Ansible imports an action plugin in its main process, before it forks a worker for each task and host: what is imported here (the schema's
validator costs most) is there in all of them. A filter alone is imported anew in every worker.
"""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.filter.install import complaint


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
        return {**result, "changed": False}
