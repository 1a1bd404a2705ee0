# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of webapps: reads the sources and locks, and sends the code that differs, by digest."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.gantry.webstack.plugins.module_utils.install import _requirements, _tree, _webapp_releases
from ansible_collections.gantry.webstack.plugins.plugin_utils import code_source, source_pack
from ansible_collections.gantry.webstack.plugins.plugin_utils.phase import PhaseAction


class ActionModule(PhaseAction):
    """One call of the module when nothing differs, two when code has to be sent."""

    MODULE = "webapps"
    sources: dict[str, tuple[Path, _tree.Entries]]

    def arguments(self, args: dict[str, Any]) -> dict[str, Any]:
        """See PhaseAction."""
        self.sources = {}
        services = args.get("services")
        if isinstance(services, list) and all(isinstance(service, dict) for service in services):
            for service in services:
                if not service.get("release"):
                    self._lock(service)
                    if any(service.get(kind) for kind in code_source.KINDS):
                        self.sources[service["name"]] = self._source(service)
        return args

    def act(self, args: dict[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """Run the module, with the code it asks for."""
        result = self.module(args, task_vars)
        there = result.pop("code_there", {})
        if result.get("failed") or not there:
            return result
        if not self._task.check_mode:
            result = self._send(args, {name: self.sources[name] for name in there}, task_vars)
        if not result.get("failed"):
            result.setdefault("diff", [])
            for name, entries in there.items():
                header = f"code of {name}"
                result["diff"].append({"before_header": header, "after_header": header, "before": "",
                                       "after": source_pack.summary(name, self.sources[name][1], entries)})
        return result

    def _lock(self, service: dict[str, Any]) -> None:
        """Note the digest of a service's lock."""
        if service.get("requirements_file"):
            path = source_pack.find(service["requirements_file"], self._loader.get_basedir())
            try:
                service["lock_digest"] = _requirements.parse_lock(path.read_text(encoding="utf-8")).digest
            except OSError as exc:
                raise AnsibleActionFail(f"service {service['name']}: python.requirements {str(path)!r} cannot be read: {exc.strerror}") from exc

    def _source(self, service: dict[str, Any]) -> tuple[Path, _tree.Entries]:
        """Where a service's code stands on the control node and what is in it; notes the digest in ``service``."""
        try:
            found = code_source.get(service, self._loader.get_basedir())
        except code_source.SourceError as exc:
            raise AnsibleActionFail(f"service {service['name']}: {exc}") from exc
        # Static files that the source brings are code; other directories for them are made anew in each release.
        service["static"] = [path for path in service.get("static") or [] if not _brought(path, service["code_path"], found.root)]
        entries = _tree.scan(str(found.root), _skipped(service))
        if not entries:
            raise AnsibleActionFail(f"service {service['name']}: {found.place} is empty")
        service["code_digest"], service["code_note"] = _tree.digest_of(entries), found.note
        return found.root, entries

    def _send(self, args: dict[str, Any], sources: dict[str, tuple[Path, _tree.Entries]], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        remote = self._make_tmp_path()
        files = []
        try:
            with tempfile.TemporaryDirectory(prefix="webstack-") as local:
                for number, (name, (root, entries)) in enumerate(sources.items()):
                    packed = Path(local) / f"code-{number}.tar.gz"
                    source_pack.pack(root, entries, packed)
                    target = self._connection._shell.join_path(remote, packed.name)
                    self._transfer_file(str(packed), target)
                    files.append(target)
                    next(service for service in args["services"] if service["name"] == name)["code_pack"] = target
            self._fixup_perms2((remote, *files))
            result = self.module(args, task_vars)
            result.pop("code_there", None)
            return result
        finally:
            self._remove_tmp_path(remote)


def _skipped(service: dict[str, Any]) -> list[str]:
    """Paths of the source that belong to the running service."""
    full = {"directories": service.get("directories") or [], "static": service.get("static") or [], "venv": service.get("venv")}
    return _webapp_releases.skipped({**service, **full})


def _brought(path: str, code: str, root: Path) -> bool:
    """Whether a path inside the code is a directory of the source."""
    return any((root / within).is_dir() for within in _tree.inside([path], code))
