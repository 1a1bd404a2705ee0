# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""discover: evidence on the target, plan and report on the control node."""

from __future__ import annotations

import os
import tempfile
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.plugin_utils import ledger, model, planner, report


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
        })
        base = os.path.join(os.path.abspath(os.path.expanduser(options["dir"])), _file_name(options["host"]))
        path, page = base + ".yml", base + ".html"
        try:
            if options["reuse"] and os.path.exists(path):
                plan = model.loads(_read(path) or "", path)
                return {**result, "changed": False, "plan": plan, "path": path, "report": page, "reused": True, "ledger": [],
                        "summary": planner.summary(plan), "refusal": ledger.refusal(options["host"], plan.get("unexplained", []), page)}
            kept = [{key: value for key, value in item.items() if value is not None} for item in options["kept"]]
            evidence = self._evidence(task_vars, result)
            plan, entries = planner.explain(options["host"], evidence, kept)
            lasting = [{key: value for key, value in entry.items() if key != "next"} for entry in entries]  # the page stays the same from run to run
            wanted = {path: model.dumps(plan), page: report.page(plan, lasting, evidence.get("sizes"))}
        except (model.ModelError, planner.PlanError) as exc:
            raise AnsibleActionFail(str(exc)) from exc
        differing = [name for name, text in wanted.items() if _read(name) != text]
        result.update(changed=bool(differing), plan=plan, path=path, report=page, reused=False, ledger=entries,
                      summary=planner.summary(plan, entries), refusal=ledger.refusal(options["host"], plan["unexplained"], page))
        if differing:
            result["diff"] = [{"before_header": path, "after_header": path, "before": _read(path) or "", "after": wanted[path]}] if path in differing else []
            if not self._task.check_mode:
                _write({name: wanted[name] for name in differing})
        return result

    def _evidence(self, task_vars: dict[str, Any], result: dict[str, Any]) -> dict[str, Any]:
        found = self._execute_module(module_name="gantry.webstack.evidence_info", module_args={}, task_vars=task_vars)
        for warning in found.get("warnings", []):
            result.setdefault("warnings", []).append(warning)
        if found.get("failed") or "evidence" not in found:
            raise AnsibleActionFail(str(found.get("msg") or "the host's evidence could not be collected"), result={
                key: found[key] for key in ("exception", "module_stderr", "module_stdout", "rc") if key in found})
        return found["evidence"]


def _file_name(host: str) -> str:
    """A host's name as a file name: an inventory name may hold a slash."""
    return host.replace(os.sep, "_").lstrip(".") or "host"


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise AnsibleActionFail(f"{path} cannot be read: {exc.strerror}") from exc


def _write(files: dict[str, str]) -> None:
    """Write each file whole or not at all."""
    for path, text in files.items():
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            handle, part = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".webstack-")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as stream:
                    stream.write(text)
                os.chmod(part, 0o644)
                os.replace(part, path)
            except BaseException:
                os.unlink(part)
                raise
        except OSError as exc:
            raise AnsibleActionFail(f"{path} cannot be written on the control node: {exc.strerror}") from exc
