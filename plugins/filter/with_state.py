# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: where the state of services shall be, where their definitions do not say it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError

Service = dict[str, Any]
PLACES = {"place": False, "volume": True}


def with_state(services: list[Service], state: str) -> list[Service]:
    """``services`` with state in volumes, or in its place (``state``: volume, place); an entry that says so itself is left as it is."""
    if state not in PLACES:
        raise AnsibleFilterError(f"webstack_state is {state!r}; it is one of {', '.join(PLACES)}")
    if not PLACES[state]:
        return services
    return [{**service, "state": [{"volume": True, **item} for item in service["state"]]} if service.get("state") else service for service in services]


class FilterModule:
    """Entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"with_state": with_state}
