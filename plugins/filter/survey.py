# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Filter: the options of roles as an AWX survey."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ansible_collections.gantry.webstack.plugins.plugin_utils import survey as made


def survey(specs: Mapping[str, Any] | Sequence[Mapping[str, Any]], defaults: Mapping[str, Any] | None = None, entry_point: str = "main",
           without: Iterable[str] = (), prefill: bool = True, name: str = "", description: str = "") -> dict[str, Any]:
    """Argument specs of a role, or of several, as ``survey_spec``."""
    try:
        return made.survey([specs] if isinstance(specs, Mapping) else list(specs), defaults or {}, entry_point=entry_point, without=without, prefill=prefill,
                           name=name, description=description)
    except made.SurveyError as exc:
        raise AnsibleFilterError(str(exc)) from exc


class FilterModule:
    """Entry point."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters of this file."""
        return {"survey": survey}
