# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The control node's half of packages: reads the keys of repositories, and checks them against their digests."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleActionFail

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _apt_sources
from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack
from ansible_collections.gantry.webstack.plugins.plugin_utils.phase import PhaseAction


class ActionModule(PhaseAction):
    """The module with the text of each key in place of its path."""

    MODULE = "packages"

    def arguments(self, args: dict[str, Any]) -> dict[str, Any]:
        """See PhaseAction."""
        for repository in args["repositories"] if isinstance(args.get("repositories"), list) else []:
            if isinstance(repository, dict) and repository.get("key_file") and repository.get("name"):
                path = source_pack.find(str(repository.pop("key_file")), self._loader.get_basedir())
                try:
                    key = path.read_bytes()
                    _apt_sources.check_key(repository, key, str(path))
                except OSError as exc:
                    raise AnsibleActionFail(f"repository {repository['name']}: the key_file {str(path)!r} cannot be read: {exc.strerror}") from exc
                except WebstackError as exc:
                    raise AnsibleActionFail(str(exc)) from exc
                repository.pop("key_sha256", None)
                if repository.get("key"):
                    raise AnsibleActionFail(f"repository {repository['name']}: give exactly one of key, key_file, key_url and signed_by, not key and key_file")
                repository["key"] = _apt_sources.armored(key)
        return args
