# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the services of a plan that a run is about."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.plugin_utils import model
from ansible_collections.gantry.webstack.plugins.plugin_utils.strict import refusal


def selected(plan: model.Plan, select: Any = None, strict: bool = False, fit: bool = True) -> list[model.Service]:
    """Services of ``plan`` chosen by ``select``; with ``fit`` none that is blocked, with ``strict`` no plan that has something unexplained."""
    try:
        services = model.select(plan.get("services", []), select)
    except model.ModelError as exc:
        raise AnsibleFilterError(str(exc)) from exc
    if not services:
        raise AnsibleFilterError(f"the plan of {plan.get('host')} has no service to move")
    for service in services:
        verdict = service.get("fit", {})
        if fit and verdict.get("verdict") == "blocked":
            raise AnsibleFilterError(f"service {service['name']} cannot be converted: {'; '.join(verdict.get('reasons', []))}")
    unexplained = refusal(str(plan.get("host")), plan.get("unexplained", [])) if strict else ""
    if unexplained:
        raise AnsibleFilterError(unexplained)
    return services


class FilterModule:
    """Entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"selected": selected}
