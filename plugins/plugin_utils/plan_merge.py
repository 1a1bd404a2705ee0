# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Three ways to one plan: what discover wrote last, what a person made of it, and what discover finds now. Pure.

Mappings are merged key by key, lists item by item, an item being known by its name, its path and the like. A person's value stays
wherever it is one; where discover found a new value for the same place meanwhile, that is a conflict, and told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_KNOWN_BY = (("name",), ("server_names", "location"), ("location",), ("path",), ("kind", "what"), ("kind", "address"), ("what",), ("command",))
"""What makes an item of a list the same item in another version of the list; the first that the item has."""
_LABELS = ("name", "path", "what", "address", "command", "location")
_HIDDEN = frozenset(("auth", "users", "password", "hash"))
"""Keys of a definition below which a person may have written a secret."""


class Item(NamedTuple):
    """A step of a path into a list: what an item is known by, and which of several such it is."""

    known_by: str
    number: int
    label: str


Path = tuple[Any, ...]
"""Steps from the plan to a value: keys of mappings, and Items."""


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


MISSING: Any = _Missing()


@dataclass(frozen=True)
class Difference:
    """A place where the plan has a person's value: what discover found there, and what it had found before."""

    path: Path
    plan: Any
    found: Any
    before: Any

    def told(self) -> dict[str, str]:
        """As text for people."""
        return {"place": place(self.path), "plan": self._shown(self.plan), "found": self._shown(self.found), "before": self._shown(self.before)}

    def _shown(self, value: Any) -> str:
        return "(not shown)" if _HIDDEN & {step for step in self.path if isinstance(step, str)} else shown(_masked(value))


@dataclass
class Merged:
    """The plan, where it is a person's, and where discover found something else meanwhile (which is among the former, too)."""

    plan: Any
    edits: list[Difference] = field(default_factory=list)
    conflicts: list[Difference] = field(default_factory=list)


def steps(items: Sequence[Any]) -> list[Item]:
    """The steps that lead to the items of a list."""
    seen: dict[str, int] = {}
    found = []
    for item in items:
        keys = next((keys for keys in _KNOWN_BY if isinstance(item, dict) and all(key in item for key in keys)), None)
        text = json.dumps([item[key] for key in keys] if keys else item, sort_keys=True, ensure_ascii=False)
        seen[text] = seen.get(text, 0) + 1
        label = next((item[key] for key in _LABELS if key in item), text) if isinstance(item, dict) else item
        found.append(Item(f"{keys} {text}", seen[text], label if isinstance(label, str) else json.dumps(label)))
    return found


def place(path: Path) -> str:
    """A path as people write it: services[shop].uwsgi.options.processes."""
    text = ""
    for step in path:
        text += f"[{step.label}]" if isinstance(step, Item) else f".{step}" if text else str(step)
    return text or "the plan"


def _masked(value: Any) -> Any:
    """The value without what may be secret in it."""
    if isinstance(value, dict):
        return {key: "(not shown)" if key in _HIDDEN else _masked(item) for key, item in value.items()}
    return [_masked(item) for item in value] if isinstance(value, list) else value


def shown(value: Any, most: int = 70) -> str:
    """A value in a few words."""
    if value is MISSING:
        return "nothing"
    text = value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)
    text = " ".join(text.split())
    return text if len(text) <= most else text[:most - 1] + "…"


def merge(base: Any, mine: Any, new: Any) -> Merged:
    """The plan of a person's (``mine``) with what discover finds now (``new``); ``base`` is what it wrote last, {} when that is not known."""
    merged = Merged(None)
    merged.plan = _merge(base, mine, new, (), merged)
    for found in (merged.edits, merged.conflicts):
        found.sort(key=lambda item: place(item.path))  # the next run may meet them in another order
    return merged


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and (one is MISSING or json.dumps(one, sort_keys=True) == json.dumps(other, sort_keys=True))  # 1 is not true


def _merge(base: Any, mine: Any, new: Any, path: Path, merged: Merged) -> Any:
    if isinstance(mine, dict) and isinstance(new, dict):
        return _mappings(base if isinstance(base, dict) else {}, mine, new, path, merged)
    if isinstance(mine, list) and isinstance(new, list):
        if _same(mine, base):
            return new
        was, has, finds = (dict(zip(steps(version), version)) for version in (base if isinstance(base, list) else [], mine, new))
        found = list(_mappings(was, has, finds, path, merged).values())
        return mine if _same(new, base) else found  # where items are alike, the order of who changed it counts
    if _same(mine, new) or _same(mine, base):
        return new
    if base is MISSING and path[-1:] == ("runtime",):
        return new  # where a service runs is seen, and nobody's wish; version 0.1.0 left nothing to compare a plan with
    difference = Difference(path, mine, new, base)
    merged.edits.append(difference)
    if not _same(new, base):
        merged.conflicts.append(difference)
    return mine


def _mappings(base: dict[Any, Any], mine: dict[Any, Any], new: dict[Any, Any], path: Path, merged: Merged) -> dict[Any, Any]:
    found = {}
    for key in _order(base, mine, new):
        value = _merge(base.get(key, MISSING), mine.get(key, MISSING), new.get(key, MISSING), (*path, key), merged)
        if value is not MISSING:
            found[key] = value
    return found


def _order(base: Iterable[Any], mine: dict[Any, Any], new: dict[Any, Any]) -> list[Any]:
    """Keys of both: in discover's order, unless a person has changed the order of what was there."""
    was = [key for key in base if key in mine]
    first, second = (new, mine) if was == [key for key in mine if key in set(was)] else (mine, new)
    keys = list(first)
    known = set(keys)
    after = -1
    for key in second:  # each one that is missing comes behind the one that it stands behind there
        if key in known:
            after = keys.index(key)
        else:
            after += 1
            keys.insert(after, key)
            known.add(key)
    alike: dict[str, list[int]] = {}
    for at, key in enumerate(keys):
        if isinstance(key, Item):
            alike.setdefault(key.known_by, []).append(at)
    for places in alike.values():  # the second of two that are known by the same stays the second
        for at, key in zip(places, sorted((keys[at] for at in places), key=lambda item: item.number)):
            keys[at] = key
    return keys
