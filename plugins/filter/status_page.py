# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: where services run, as a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def status_page(found: Mapping[str, Any], at: str) -> str:
    """The page of {host: services of status_info}, with nothing for a host that was not looked at."""
    # Imported when it is asked for: one use of any filter loads the files of all.
    from ansible_collections.gantry.webstack.plugins.plugin_utils import status_page as pages

    if not isinstance(found, Mapping):
        raise AnsibleFilterError(f"status_page: hosts with their services are a mapping, and not {type(found).__name__}")
    return pages.page({str(host): None if services in (None, False) else services for host, services in found.items()}, str(at))


class FilterModule:
    """What Ansible asks for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file by name."""
        return {"status_page": status_page}
