# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of every module of an install, and how one look at a host spares their round trips.

The first task of the playbook install asks the host once what all modules of the run would ask one after the other (M(gantry.webstack.lookahead)). A
module whose arguments are the very ones that were looked at, and that would have changed nothing, takes the answer from there. Whatever
differs, and all that comes after the first module that has something to do, asks the host itself.
"""

from __future__ import annotations

import copy
import gc
import hashlib
import json
from typing import Any

from ansible.plugins.action import ActionBase

SEEN = "__webstack_seen"
"""The variable in which the playbook registers what the look has found."""


class PhaseAction(ActionBase):
    """Base of the action plugins; subclasses name their module, and override ``arguments`` and ``act`` where the control node has a part in it."""

    MODULE: str
    TRANSFERS_FILES = False  # it would cost every run two more round trips; a directory for what is sent is made when it is needed
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module, unless its answer is known."""
        super().run(tmp, task_vars)
        known = seen(self._task, task_vars or {}, self.MODULE, self._task.args)
        return known if known is not None else self.act(self.arguments(copy.deepcopy(dict(self._task.args))), task_vars)

    def arguments(self, args: dict[str, Any]) -> dict[str, Any]:
        """The module's arguments, made on the control node without asking the host. Raises AnsibleActionFail."""
        return args

    def act(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the module with these arguments, and send what it asks for."""
        return self.module(args, task_vars)

    def module(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """One round trip."""
        gc.freeze()  # this process ends with its task: what Ansible has loaded need not be looked through while the module's imports are parsed
        return self._execute_module(module_name=f"gantry.webstack.{self.MODULE}", module_args=args, task_vars=task_vars)


def digest(module: str, args: dict[str, Any]) -> str:
    """What a call is known by: the arguments as they stand in its task."""
    given = {key: value for key, value in args.items() if value is not None}
    return hashlib.sha256(json.dumps([module, given], sort_keys=True, default=str).encode()).hexdigest()


def play_of(task: Any) -> str | None:
    """What tells a play from all others of the run: an answer must not outlive the play in which it was given."""
    parent = task
    while parent is not None and getattr(parent, "_play", None) is None:
        parent = getattr(parent, "_parent", None)
    return getattr(getattr(parent, "_play", None), "_uuid", None)


def seen(task: Any, task_vars: dict[str, Any], module: str, args: dict[str, Any]) -> dict[str, Any] | None:
    """The answer to this very call, if the host was looked at in this play and had nothing to do for it."""
    found = task_vars.get(SEEN)
    play = play_of(task)
    if not isinstance(found, dict) or play is None or found.get("play") != play:
        return None
    answer = (found.get("unchanged") or {}).get(digest(module, args))
    return copy.deepcopy(dict(answer)) if answer is not None else None
