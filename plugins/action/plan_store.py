# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""plan_store: what a run has written beside the plan is handed on."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.plugin_utils import plan_dir, plan_store


class ActionModule(ActionBase):
    """The action plugin behind M(gantry.webstack.plan_store)."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Hand on what is in the directory of plans."""
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        _validation, options = self.validate_argument_spec({
            "dir": {"type": "str", "default": "./webstack-plans"},
            "host": {"type": "str", "default": str(task_vars.get("inventory_hostname", "localhost"))},
            **plan_store.OPTIONS,
        })
        folder, name = os.path.abspath(os.path.expanduser(options["dir"])), plan_dir.file_name(options["host"])
        try:
            store = plan_store.store(options["store"], options["store_auth"], name, plan_store.asker(self, task_vars))
            sync = plan_store.Sync(folder, name, store, self._task.check_mode)
            try:
                return {**result, "changed": sync.keep(), "where": sync.where}
            finally:
                if store is not None:
                    store.close()
        except plan_store.StoreError as exc:
            raise AnsibleActionFail(str(exc)) from exc
