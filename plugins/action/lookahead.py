# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of lookahead: the arguments of each module, as its own action plugin makes them."""

from __future__ import annotations

import copy
import gc
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.filter.install import FilterModule
from ansible_collections.gantry.webstack.plugins.module_utils.install._webapp_releases import placed
from ansible_collections.gantry.webstack.plugins.plugin_utils import phase


class ActionModule(ActionBase):
    """One round trip for all."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Look, and keep the answers of the modules that have nothing to do, by what their calls are known by."""
        result = super().run(tmp, task_vars)
        gc.freeze()  # see PhaseAction.module
        calls = self._calls(self._task.args)
        found = self._execute_module(module_name="gantry.webstack.lookahead", task_vars=task_vars, module_args={
            "calls": [{**call, "args": self._arguments(call["module"], call["args"])} for call in calls]})
        if "answers" not in found:
            return found
        answers: dict[str, Any] = {}
        staged: dict[str, Any] = {}
        for call, answer in zip(calls, found["answers"]):
            args = {**call["args"], "venvs": placed(call["args"]["venvs"], staged)} if call["staged"] else call["args"]
            staged = answer.get("staged", staged)
            answers[phase.digest(call["module"], args)] = answer
        remaining = calls[len(found["answers"]):]
        return {**result, "changed": False, "play": phase.play_of(self._task), "unchanged": answers,
                "begins_with": remaining[0]["module"] if remaining else ""}

    @staticmethod
    def _calls(given: dict[str, Any]) -> list[dict[str, Any]]:
        """The calls that are to be made, {module, args, staged}."""
        filters = FilterModule().filters()
        services = filters["complete"](given.get("services") or [], given.get("releases") or {})
        return [{"module": str(call["module"]), "staged": bool(call.get("staged")),
                 "args": {**call["args"], **{name: filters[made](services) for name, made in (call.get("made") or {}).items()}}}
                for call in given.get("calls") or [] if call.get("only", True)]

    def _arguments(self, module: str, args: dict[str, Any]) -> dict[str, Any]:
        """The arguments that the module's own action plugin would hand to it."""
        action = self._shared_loader_obj.action_loader.get(f"gantry.webstack.{module}", task=self._task, connection=self._connection,
                                                           play_context=self._play_context, loader=self._loader, templar=self._templar,
                                                           shared_loader_obj=self._shared_loader_obj)
        if not isinstance(action, phase.PhaseAction):
            raise AnsibleActionFail(f"lookahead: {module!r} is no module that can be looked at ahead of its run")
        return action.arguments(copy.deepcopy(args))
