# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""discover: evidence on the target, plan and report on the control node."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.plugin_utils import model, plan_file, plan_text, planner, report, strict


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
        folder, name = os.path.abspath(os.path.expanduser(options["dir"])), _file_name(options["host"])
        path, page, index, last = (os.path.join(folder, *parts) for parts in (
            (f"{name}.yml",), (f"{name}.html",), ("index.html",), (plan_file.DISCOVERED, f"{name}.yml")))
        result.update(path=path, report=page, index=index)
        try:
            if options["reuse"] and os.path.exists(path):
                plan = model.loads(_read(path) or "", path)
                return {**result, "changed": False, "plan": plan, "reused": True, "ledger": [], "edits": [], "conflicts": [],
                        "summary": planner.summary(plan), "refusal": strict.refusal(options["host"], plan.get("unexplained", []), page)}
            kept = [{key: value for key, value in item.items() if value is not None} for item in options["kept"]]
            evidence = self._evidence(task_vars, result)
            found, entries = planner.explain(options["host"], evidence, kept)
            before, base = _read(path), _read(last)
            update = plan_file.update(found, before, base, path, last)
        except (model.ModelError, planner.PlanError) as exc:
            raise AnsibleActionFail(str(exc)) from exc
        plan = update.plan
        lasting = [{key: value for key, value in entry.items() if key != "next"} for entry in entries]  # the page stays the same from run to run
        shown = report.page(plan, lasting, evidence.get("sizes"), update.edits, f"{name}.yml")
        wanted = {path: update.text, last: update.base, page: shown, os.path.join(folder, plan_text.SCHEMA): _schema()}
        with _alone(folder, write=not self._task.check_mode):
            wanted[index] = plan_file.index({**_plans(folder), f"{name}.yml": update.text}, _read(index), {f"{name}.yml": plan})
            differing = [file for file, text in wanted.items() if _read(file) != text]
            if not self._task.check_mode:
                _write({file: wanted[file] for file in differing})
        result.setdefault("warnings", []).extend(plan_file.warnings(update.conflicts, path, base is not None))
        result.update(changed=bool(differing), plan=plan, reused=False, ledger=entries, edits=update.edits, conflicts=update.conflicts,
                      summary=[*planner.summary(plan, entries), *plan_file.summary(update)],
                      refusal=strict.refusal(options["host"], plan.get("unexplained", []), page))
        if differing:
            result["diff"] = _diff(path, before or "", update.text, [file for file in differing if file != path])
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
    """A host's name as a file name: an inventory name may hold a slash, and one page is everybody's."""
    name = host.replace(os.sep, "_").lstrip(".") or "host"
    return f"{name}_" if name == "index" else name


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


def _read(path: str) -> str | None:
    try:
        with open(path, encoding="utf-8") as handle:
            return handle.read()
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise AnsibleActionFail(f"{path} cannot be read: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise AnsibleActionFail(f"{path} cannot be read: it is not UTF-8") from exc


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
