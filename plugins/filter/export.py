# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filters: the services of a plan as data for compose, Swarm, Kubernetes and Podman, and as Dockerfiles."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.filter.install import plain


def _filter(name: str) -> Callable[..., Any]:
    """A filter over a plan or its services; keywords are settings."""

    def render(plan: Any, **given: Any) -> Any:
        # not before it is used: one use of any filter loads the files of all
        from ansible_collections.gantry.webstack.plugins.plugin_utils import model
        from ansible_collections.gantry.webstack.plugins.plugin_utils.export import settings, tree

        try:
            return tree.DATA[name](*settings.described(plain(plan), plain(given)))
        except model.ModelError as exc:
            raise AnsibleFilterError(str(exc)) from exc

    return render


class FilterModule:
    """Entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {name: _filter(name) for name in ("compose", "swarm", "kubernetes", "quadlet", "dockerfile")}
