# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""export: facts on the target, files on the control node."""

from __future__ import annotations

import os
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

from ansible_collections.gantry.webstack.plugins.plugin_utils import model, plan_dir, source_pack
from ansible_collections.gantry.webstack.plugins.plugin_utils.export import container, settings, tree


class ActionModule(ActionBase):
    """The action plugin behind M(gantry.webstack.export)."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Render; write what differs."""
        result = super().run(tmp, task_vars)
        del tmp
        _validation, options = self.validate_argument_spec({
            "plan": {"type": "dict", "required": True},
            "select": {"type": "raw"},
            "dir": {"type": "str", "required": True},
            "formats": {"type": "list", "elements": "str", "default": list(tree.FORMATS)},
            "look": {"type": "bool", "default": True},
            "images": {"type": "dict", "default": {}},
            "nginx_image": {"type": "str", "default": ""},
            "base": {"type": "str", "default": ""},
            "state": {"type": "str", "choices": list(settings.STATES), "default": "host"},
            "port": {"type": "int", "default": 8080},
            "registry": {"type": "str"},
            "registry_auth": {"type": "dict", "no_log": True},
        })
        folder = os.path.abspath(os.path.expanduser(options["dir"]))
        try:
            plan = dict(options["plan"])
            formats = tree.checked(options["formats"])
            plan["services"] = model.select(plan.get("services", []), options["select"])
            given = {key: options[key] for key in ("images", "nginx_image", "base", "state", "port")}
            settings.read(plan, given)  # what is wrong is said before the host is asked
            given["locks"] = self._locks(plan["services"])
            given["facts"] = self._facts(plan["services"], options, task_vars) if options["look"] else {}
            services, found = settings.read(plan, given)
            left_out: list[str] = []
            if not options["select"]:
                services, left_out = container.possible(services, found)
            if not services:
                raise AnsibleActionFail("; ".join(left_out) or f"the plan of {plan.get('host')} has no service to export")
            wanted = tree.files(services, found, formats)
        except model.ModelError as exc:
            raise AnsibleActionFail(str(exc)) from exc
        before = {path: plan_dir.read(os.path.join(folder, path)) for path in wanted}
        differing = {path: text for path, text in wanted.items() if before[path] != text}
        if not self._task.check_mode:
            plan_dir.write({os.path.join(folder, path): text for path, text in differing.items()})
        result.setdefault("warnings", []).extend(left_out)
        result.update(changed=bool(differing), dir=folder, files=list(wanted))
        if differing:
            result["diff"] = [{"before_header": path, "after_header": path, "before": before[path] or "", "after": text} for path, text in differing.items()]
        return result

    def _facts(self, services: list[model.Service], options: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        args = {"services": services, **{key: options[key] for key in ("registry", "registry_auth") if options[key]}}
        found = self._execute_module(module_name="gantry.webstack.export_info", module_args=args, task_vars=task_vars)
        if found.get("failed") or "services" not in found:
            raise AnsibleActionFail(str(found.get("msg") or "the host could not be looked at; export_look=false makes an export of the plan alone"))
        return {key: found[key] for key in ("services", "zone", "codename")}

    def _locks(self, services: list[model.Service]) -> dict[str, str]:
        """The locks that the plan names, by service."""
        found = {}
        for service in services:
            lock = service.get("python", {}).get("requirements")
            if lock:
                path = source_pack.find(lock, self._loader.get_basedir())
                try:
                    found[service["name"]] = path.read_text(encoding="utf-8")
                except (OSError, UnicodeDecodeError) as exc:
                    raise AnsibleActionFail(f"service {service['name']}: python.requirements {str(path)!r} cannot be read: {exc}") from exc
        return found
