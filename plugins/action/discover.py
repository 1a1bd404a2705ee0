# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""discover: evidence on the target, plan and report on the control node."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.plugin_utils import model, plan_dir, plan_file, plan_store, plan_text, planner, report, report_parity, strict


class ActionModule(ActionBase):
    """The action plugin behind M(gantry.webstack.discover)."""

    TRANSFERS_FILES = False
    _requires_connection = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Make the plan, or take the one that is there; write what changed."""
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        del tmp
        _validation, options = self.validate_argument_spec({
            "dir": {"type": "str", "default": "./webstack-plans"},
            "host": {"type": "str", "default": str(task_vars.get("inventory_hostname", "localhost"))},
            "reuse": {"type": "bool", "default": False},
            "kept": {"type": "list", "elements": "dict", "default": [], "options": {
                "what": {"type": "str", "required": True}, "reason": {"type": "str", "required": True}, "kind": {"type": "str"}}},
            **plan_store.OPTIONS,
        })
        folder, name = os.path.abspath(os.path.expanduser(options["dir"])), plan_dir.file_name(options["host"])
        result.update({key: os.path.join(folder, file) for key, file in (("path", f"{name}.yml"), ("report", f"{name}.html"), ("index", "index.html"))})
        try:
            store = plan_store.store(options["store"], options["store_auth"], name, plan_store.asker(self, task_vars))
            sync = plan_store.Sync(folder, name, store, self._task.check_mode)
            try:
                sync.take()
                found = (self._reused if options["reuse"] else self._made)(sync, options, task_vars, result)
                found["changed"] |= sync.keep(found.pop("handed"))
            finally:
                if store is not None:
                    store.close()
        except (model.ModelError, planner.PlanError, plan_store.StoreError) as exc:
            raise AnsibleActionFail(str(exc)) from exc
        plan = found["plan"]
        verdicts = {service["name"]: str(service.get("fit", {}).get("verdict", "")) for service in plan["services"]}
        return {**result, **found, "where": sync.where, "verdicts": verdicts,
                "refusal": strict.refusal(options["host"], plan.get("unexplained", []), result["report"])}

    def _reused(self, sync: plan_store.Sync, options: dict[str, Any], task_vars: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """The plan that is there, as it is; a new one when none is. ``handed`` is what goes into a store, by name."""
        text = sync.read(f"{sync.host}.yml")
        if text is None:
            return self._made(sync, options, task_vars, result)
        plan = model.loads(text, result["path"])
        return {"changed": False, "plan": plan, "reused": True, "ledger": [], "edits": [], "conflicts": [], "summary": planner.summary(plan),
                "handed": sync.files or {}}

    def _made(self, sync: plan_store.Sync, options: dict[str, Any], task_vars: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        """The plan of the host as it is now, with the edits of the plan that is there."""
        folder, name, path = sync.folder, sync.host, result["path"]
        last = os.path.join(plan_file.DISCOVERED, f"{name}.yml")
        kept = [{key: value for key, value in item.items() if value is not None} for item in options["kept"]]
        evidence = self._evidence(task_vars, result)
        found, entries = planner.explain(options["host"], evidence, kept)
        before, base = sync.read(f"{name}.yml"), sync.read(last)
        update = plan_file.update(found, before, base, path, os.path.join(folder, last))
        lasting = [{key: value for key, value in entry.items() if key != "next"} for entry in entries]  # the page stays the same from run to run
        parity = sync.read(report_parity.file_name(name))
        shown = report.page(update.plan, lasting, evidence.get("sizes"), update.edits, f"{name}.yml", report_parity.loads(parity))
        own = {f"{name}.yml": update.text, last: update.base, f"{name}.html": shown}
        wanted = {**{os.path.join(folder, file): text for file, text in own.items()}, os.path.join(folder, plan_text.SCHEMA): _schema()}
        with _alone(folder, write=not self._task.check_mode):
            wanted[result["index"]] = plan_file.index({**_plans(folder), f"{name}.yml": update.text}, plan_dir.read(result["index"]),
                                                      {f"{name}.yml": update.plan})
            differing = [file for file, text in wanted.items() if plan_dir.read(file) != text]
            if not self._task.check_mode:
                plan_dir.write({file: wanted[file] for file in differing})
        if sync.store is not None:  # the directory may be new in each run: a change is one of what lasts
            differing = [os.path.join(folder, file) for file, text in own.items() if sync.read(file) != text]
        result.setdefault("warnings", []).extend(plan_file.warnings(update.conflicts, path, base is not None))
        if differing:
            result["diff"] = _diff(path, before or "", update.text, [file for file in differing if file != path])
        return {"changed": bool(differing), "plan": update.plan, "reused": False, "ledger": entries, "edits": update.edits, "conflicts": update.conflicts,
                "summary": [*planner.summary(update.plan, entries), *plan_file.summary(update)],
                "handed": {**(sync.files or {}), **own}}

    def _evidence(self, task_vars: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        found = self._execute_module(module_name="gantry.webstack.evidence_info", module_args={}, task_vars=task_vars)
        for warning in found.get("warnings", []):
            result.setdefault("warnings", []).append(warning)
        if found.get("failed") or "evidence" not in found:
            raise AnsibleActionFail(str(found.get("msg") or "the host's evidence could not be collected"), result={
                key: found[key] for key in ("exception", "module_stderr", "module_stdout", "rc") if key in found})
        return found["evidence"]


def _schema() -> str:
    """The schema's file, for the editors that the plan's first line tells of it."""
    return Path(model.__file__).with_name(plan_text.SCHEMA).read_text(encoding="utf-8")


def _plans(folder: str) -> dict[str, str]:
    """{file name: text} of what may be plans; what cannot be read is somebody else's."""
    found = {}
    for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
        if name.endswith(".yml") and not name.startswith("."):
            with suppress(OSError, UnicodeDecodeError):
                found[name] = Path(folder, name).read_text(encoding="utf-8")
    return found


@contextmanager
def _alone(folder: str, write: bool) -> Iterator[None]:
    """Hosts are looked at side by side, and each writes the index of all: one after the other."""
    if not write:
        yield
        return
    try:
        os.makedirs(folder, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
    except OSError as exc:
        raise AnsibleActionFail(f"{folder} cannot be written on the control node: {exc.strerror}") from exc
    try:
        with suppress(OSError):  # not every file system has locks; then an index may lack a line until the next run
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _diff(path: str, before: str, after: str, others: list[str]) -> list[dict[str, str]]:
    """How the plan changes; of the files that are made from it, that they change."""
    found = [{"before_header": path, "after_header": path, "before": before, "after": after}] if before != after else []
    return found + ([{"prepared": "".join(f"changes, too: {name}\n" for name in others)}] if others else [])
