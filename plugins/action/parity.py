# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of parity: what was compared goes into a file beside the plan, and into the host's report."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.plugin_utils import plan_dir, plan_store, report_parity


class ActionModule(ActionBase):
    """One call of the module."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare; then write what was found, good or bad."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        store, auth = args.pop("store", None), args.pop("store_auth", None) or {}
        folder, host = args.pop("dir", None), args.pop("host", None) or str((task_vars or {}).get("inventory_hostname", "localhost"))
        result = self._execute_module(module_name="gantry.webstack.parity", module_args=args, task_vars=task_vars)
        if folder and result.get("services") and not self._task.check_mode:
            folder = os.path.abspath(os.path.expanduser(folder))
            result["changed"] = self._write(folder, host, result["services"])
            if result.get("failed") and store:  # the run ends here, and what it has found is wanted most
                self._hand_on(folder, plan_dir.file_name(host), store, auth, task_vars or {}, result)
        return result

    def _hand_on(self, folder: str, name: str, wanted: Any, auth: dict[str, Any], task_vars: dict[str, Any], result: dict[str, Any]) -> None:
        """Keep the report where the next run finds it. That it cannot be kept is told beside what was found, not instead of it."""
        try:
            store = plan_store.store(wanted, auth, name, plan_store.asker(self, task_vars))
            try:
                plan_store.Sync(folder, name, store, check=False).keep()
            finally:
                if store is not None:
                    store.close()
        except plan_store.StoreError as exc:
            result.setdefault("warnings", []).append(str(exc))

    @staticmethod
    def _write(folder: str, host: str, services: list[report_parity.Told]) -> bool:
        """Whether a file did not say so before."""
        name = plan_dir.file_name(host)
        path, page = os.path.join(folder, report_parity.file_name(name)), os.path.join(folder, f"{name}.html")
        before, shown = plan_dir.read(path), plan_dir.read(page)
        told = report_parity.merged(report_parity.loads(before), services)
        wanted = {path: (before, report_parity.dumps(host, told))}
        if shown is not None:
            wanted[page] = (shown, report_parity.put(shown, told))
        differing = {file: text for file, (former, text) in wanted.items() if former != text}
        plan_dir.write(differing)
        return bool(differing)
