# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of python_trees: finds or fetches the archives that a host lacks, and sends them."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.gantry.webstack.plugins.plugin_utils import archives
from ansible_collections.gantry.webstack.plugins.plugin_utils.phase import PhaseAction


class ActionModule(PhaseAction):
    """One call of the module when nothing is to be sent, two otherwise."""

    MODULE = "python_trees"

    def act(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the module, with the archives it asks for."""
        result = self.module(args, task_vars)
        needed = result.pop("archives_needed", [])
        if result.get("failed") or not needed:
            return result
        trees = {str(tree["sha256"]).lower(): tree for tree in args["trees"]}
        try:
            files = {sha256: archives.find(trees[sha256], sha256, self._loader.get_basedir()) for sha256 in needed}
        except archives.ArchiveError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        remote = self._make_tmp_path()
        try:
            packs = []
            for number, (sha256, path) in enumerate(files.items()):
                target = self._connection._shell.join_path(remote, f"archive-{number}")
                self._transfer_file(str(path), target)
                packs.append({"sha256": sha256, "path": target})
            self._fixup_perms2((remote, *[pack["path"] for pack in packs]))
            return self.module({**args, "packs": packs}, task_vars)
        finally:
            self._remove_tmp_path(remote)
