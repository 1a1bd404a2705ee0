# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of image_harvest: writes the bills of materials beside the plans."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.gantry.webstack.plugins.plugin_utils import sbom, source_pack
from ansible_collections.gantry.webstack.plugins.plugin_utils.progress_watch import Watched


class ActionModule(Watched):
    """One call of the module."""

    TRANSFERS_FILES = False
    _supports_check_mode = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Harvest; then write what the images are made of."""
        super().run(tmp, task_vars)
        args = dict(self._task.args)
        folder = args.pop("sbom_dir", None)
        args["locks"] = self._locks(args)
        result = self._execute_module(module_name="gantry.webstack.image_harvest", module_args=args, task_vars=task_vars)
        if folder and not result.get("failed"):
            services = {service["name"]: service for service in args["services"]}
            for image in result.get("images", []):
                image["sbom"] = os.path.join(os.path.abspath(os.path.expanduser(folder)), f"{image['service']}.cdx.json")
                if self._write(Path(image["sbom"]), sbom.text(services[image["service"]], image, result["system"])):
                    result["changed"] = True
        return result

    def _locks(self, args: dict[str, Any]) -> dict[str, str]:
        """The locks of services whose images are built on a base or have their virtual environment anew, by service."""
        found = {}
        for service in args.get("services") or []:
            lock = service.get("python", {}).get("requirements")
            container = service.get("container", {})
            if lock and (args.get("base") or container.get("base") or container.get("venv") == "rebuilt"):
                path = source_pack.find(lock, self._loader.get_basedir())
                try:
                    found[service["name"]] = path.read_text(encoding="utf-8")
                except OSError as exc:
                    raise AnsibleActionFail(f"service {service['name']}: python.requirements {str(path)!r} cannot be read: {exc.strerror}") from exc
        return found

    def _write(self, path: Path, text: str) -> bool:
        """Whether the file did not say so before."""
        try:
            if path.is_file() and path.read_text(encoding="utf-8") == text:
                return False
            if not self._task.check_mode:
                path.parent.mkdir(parents=True, exist_ok=True)
                fresh = path.with_name(f".{path.name}.new")
                fresh.write_text(text, encoding="utf-8")
                os.replace(fresh, path)
        except (OSError, UnicodeDecodeError) as exc:
            raise AnsibleActionFail(f"the bill of materials {str(path)!r} could not be written: {exc}") from exc
        return True
