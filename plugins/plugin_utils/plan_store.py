# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where plans go on from one run to the next when the control node's disk does not: the managed host itself, or a git repository.

The directory of plans stays what every run works in. A run takes over what the store has before it reads there, and hands on what it has written.
Which of two plans that differ is newer is told by the one that both had last, whose digest is noted in ``.stored``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _plan_files
from ansible_collections.gantry.webstack.plugins.plugin_utils import plan_dir, plan_git
from ansible_collections.gantry.webstack.plugins.plugin_utils.plan_git import StoreError

OPTIONS: dict[str, dict[str, Any]] = {"store": {"type": "raw", "default": ""}, "store_auth": {"type": "dict", "default": {}, "no_log": True}}
"""The options of every action plugin that has to do with a store."""

STORED = ".stored"

Ask = Callable[[dict[str, Any]], dict[str, Any]]
"""Runs M(gantry.webstack.plan_files) on the host: arguments to result."""


def asker(plugin: ActionBase, task_vars: dict[str, Any]) -> Ask:
    """How an action plugin reaches the files that are kept on its host."""
    return lambda args: plugin._execute_module(module_name="gantry.webstack.plan_files", module_args=args, task_vars=task_vars)


class Store(Protocol):
    """What keeps the files of one host."""

    @property
    def where(self) -> str:
        """The plan's place, for people."""

    def load(self) -> _plan_files.Files:
        """What is kept; empty when nothing is."""

    def save(self, files: _plan_files.Files, before: str, check: bool) -> bool:
        """Keep these; whether one of them was new."""

    def close(self) -> None:
        """Leave nothing behind on the control node."""


class HostStore:
    """The managed host."""

    def __init__(self, ask: Ask, host: str) -> None:
        self.host, self._ask = host, ask

    @property
    def where(self) -> str:
        """The plan's place, for people."""
        return f"host:{os.path.join(_paths.PLANS_DIR, _plan_files.plan(self.host))}"

    def load(self) -> _plan_files.Files:
        """One round trip. Raises StoreError."""
        return dict(self._answer({"host": self.host}).get("files") or {})

    def save(self, files: _plan_files.Files, before: str, check: bool) -> bool:
        """One round trip; check mode is the task's. Raises StoreError."""
        return bool(self._answer({"host": self.host, "files": files, "before": before}).get("changed"))

    def close(self) -> None:
        """Nothing is left."""

    def _answer(self, args: dict[str, Any]) -> dict[str, Any]:
        found = self._ask(args)
        if found.get("failed") or found.get("unreachable"):
            raise StoreError(f"the plan store on the host cannot be used: {found.get('msg') or 'the module failed'}")
        return found


def store(wanted: Any, auth: Mapping[str, Any], host: str, ask: Ask) -> Store | None:
    """The store that ``webstack_plan_store`` names; None without one. Raises StoreError.

    :param wanted: "", "host", ``URL[#BRANCH]`` of a git repository, or a mapping with repo, branch, path and author.
    """
    if not wanted:
        return None
    if wanted == "host":
        return HostStore(ask, host)
    if isinstance(wanted, str) and (":" in wanted or "/" in wanted):
        repo, _mark, branch = wanted.partition("#")
        wanted = {"repo": repo, **({"branch": branch} if branch else {})}
    if not isinstance(wanted, Mapping):
        raise StoreError(f"webstack_plan_store is {wanted!r}; it has to be host, the URL of a git repository, or a mapping with repo, branch, path and author")
    known = {"repo", "branch", "path", "author"}
    wrong = [f"unknown key {key}" for key in sorted(map(str, wanted)) if key not in known] + ([] if wanted.get("repo") else ["repo is missing"])
    if wrong:
        raise StoreError(f"webstack_plan_store: {', '.join(wrong)}; known keys are {', '.join(sorted(known))}")
    return plan_git.GitStore(plan_git.Place(**{key: str(value) for key, value in wanted.items() if value}), auth, host)


class Sync:
    """The files of one host, in the directory of plans and in the store."""

    def __init__(self, folder: str, host: str, kept: Store | None, check: bool) -> None:
        self.folder, self.host, self.store, self._check = folder, host, kept, check
        self.files: _plan_files.Files | None = None  # what this run goes by; without a store it reads the directory
        self._stored: _plan_files.Files = {}

    @property
    def where(self) -> str:
        """Where the next run finds the plan."""
        return self.store.where if self.store else os.path.join(self.folder, _plan_files.plan(self.host))

    def read(self, name: str) -> str | None:
        """The text of a file of the host, by its name below the directory."""
        return plan_dir.read(os.path.join(self.folder, name)) if self.files is None else self.files.get(name)

    def take(self) -> None:
        """Take over what the store has, unless the plan was edited here. Raises StoreError when it was edited on both sides."""
        if self.store is None:
            return
        plan = _plan_files.plan(self.host)
        here, self._stored = self._here(), self.store.load()
        mine, theirs, last = here.get(plan), self._stored.get(plan), plan_dir.read(self._note)
        if theirs is not None and mine not in (None, theirs) and last not in (_plan_files.digest(mine), _plan_files.digest(theirs)):
            raise StoreError(f"{os.path.join(self.folder, plan)} and {self.where} are different plans, and both were changed since they were the same; "
                             "make one of them like the other, or remove the file here to go on with what is stored")
        edited_here = mine is not None and theirs is not None and mine != theirs and last == _plan_files.digest(theirs)
        self.files = {**self._stored, **here} if edited_here else {**here, **self._stored}
        if not self._check:
            plan_dir.write({os.path.join(self.folder, name): text for name, text in self.files.items() if here.get(name) != text})
            self._remember(theirs)

    def keep(self, files: Mapping[str, str] | None = None) -> bool:
        """Hand on files of this run, or all that are in the directory; whether one of them was new to the store. Raises StoreError."""
        if self.store is None:
            return False
        wanted = dict(files) if files is not None else self._here()
        if files is not None and all(self._stored.get(name) == text for name, text in wanted.items()):
            return False
        plan = _plan_files.plan(self.host)
        before = _plan_files.digest(self._stored.get(plan)) if files is not None else plan_dir.read(self._note) or ""
        changed = bool(wanted) and self.store.save(wanted, before, self._check)
        if not self._check:
            self._remember(wanted.get(plan))
        return changed

    @property
    def _note(self) -> str:
        return os.path.join(self.folder, STORED, self.host)

    def _here(self) -> _plan_files.Files:
        try:
            return _plan_files.read(self.folder, self.host)
        except (OSError, WebstackError) as exc:
            raise StoreError(str(exc)) from exc

    def _remember(self, text: str | None) -> None:
        if text is not None and plan_dir.read(self._note) != _plan_files.digest(text):
            plan_dir.write({self._note: _plan_files.digest(text)})
