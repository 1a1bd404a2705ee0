# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Data with comments as YAML that people read, in the one style in which plans are written. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils import plan_text

Keys = tuple[str, ...]


@dataclass
class Document:
    """Mappings and lists, and comments above the keys that lead to them."""

    data: dict[str, Any]
    comments: dict[Keys, list[str]] = field(default_factory=dict)
    head: list[str] = field(default_factory=list)

    def note(self, keys: Keys, *lines: str) -> None:
        """Add a comment above a key."""
        self.comments.setdefault(keys, []).extend(lines)

    def text(self) -> str:
        """YAML; the same document always gives the same text."""
        above: dict[Any, list[str]] = {keys: [_comment(line) for line in lines] for keys, lines in self.comments.items()}
        return plan_text.write(self.data, comments=plan_text.Comments(above=above), head="\n".join(map(_comment, self.head)))


def _comment(line: str) -> str:
    return "# " + " ".join(line.split())


def without(data: dict[str, Any]) -> dict[str, Any]:
    """A mapping without what is empty or None; 0 and false stay."""
    return {key: value for key, value in data.items() if value is not None and value not in ("", [], {}, ())}
