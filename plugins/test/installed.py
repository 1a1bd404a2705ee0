# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Test: whether a collection is there, so that a role that needs one can say so before it names a module of it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

from ansible.errors import AnsibleFilterError


def installed(name: Any) -> bool:
    """Whether the collection ``NAMESPACE.NAME`` can be found on the control node."""
    parts = str(name).split(".")
    if len(parts) != 2 or not all(part.isidentifier() for part in parts):
        raise AnsibleFilterError(f"{name!r} is no name of a collection, such as awx.awx")
    try:
        return importlib.util.find_spec(f"ansible_collections.{name}") is not None
    except ModuleNotFoundError:
        return False


class TestModule:
    """Entry point."""

    def tests(self) -> dict[str, Callable[..., bool]]:
        """The tests of this file."""
        return {"installed": installed}
