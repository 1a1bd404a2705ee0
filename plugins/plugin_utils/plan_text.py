# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan as YAML, with comments: discover's own, which are made anew each time, and those of people, which stay with what they stand at.

PyYAML drops comments, and a reader that keeps them is one more library for each control node and execution environment, and too slow for
a plan of a hundred services. A plan is plain data and always written in one style, so all that is needed is to know where each line leads to.
"""

from __future__ import annotations

import bisect
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from ansible_collections.gantry.webstack.plugins.plugin_utils.plan_merge import MISSING, Difference, Path, shown, steps

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SCHEMA = "plan.schema.json"
"""Name of the schema, which is written beside the plans: editors find it there without a network."""

OURS = "# discover: "
_PLAIN = re.compile(r"[A-Za-z0-9/_.$^(+\\<;=~][^\x00-\x1f\x7f-\xa0\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]*")
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff\ud800-\udfff]")
"""Characters that YAML does not take as they are, or that an editor may change."""


@dataclass
class Comments:
    """Comments by the path of what they stand at: on lines above it, and beside it; and those behind everything."""

    above: dict[Path, list[str]] = field(default_factory=dict)
    beside: dict[Path, str] = field(default_factory=dict)
    end: list[str] = field(default_factory=list)


def read(text: str) -> Comments:
    """People's comments in a plan's text, which is valid YAML."""
    lines = text.split("\n")
    if "#" not in text:
        return Comments()
    leads, inside, ends = _lines(yaml.compose(text, Loader=LOADER))
    starts = sorted(leads)
    found = Comments()
    for number, line in enumerate(lines):
        if number in inside:
            continue
        rest = line[ends.get(number, 0):]
        mark = re.search(r"(?:^|(?<=\s))#.*", rest)
        if mark is None or mark[0].startswith(OURS.rstrip()) or mark[0].startswith("# yaml-language-server:"):
            continue
        comment = mark[0].rstrip()
        if number not in ends and line.lstrip().startswith("#"):
            at = bisect.bisect_right(starts, number)
            if at < len(starts):
                found.above.setdefault(leads[starts[at]], []).append(comment)
            else:
                found.end.append(comment)
        elif at := bisect.bisect_right(starts, number):
            path = leads[starts[at - 1]]
            found.beside[path] = f"{found.beside[path]} {comment}" if path in found.beside else comment
    return found


def _lines(top: Any) -> tuple[dict[int, Path], set[int], dict[int, int]]:
    """(what begins on a line, lines that continue a text, where the last text of a line ends)."""
    leads: dict[int, Path] = {}
    inside: set[int] = set()
    ends: dict[int, int] = {}

    def walk(node: Any, path: Path) -> None:
        start, end = node.start_mark, node.end_mark
        if isinstance(node, yaml.ScalarNode):
            block = node.style in ("|", ">")
            inside.update(range(start.line + 1, end.line + (1 if block and end.column else 0)))
            if block:
                return
            if end.line != start.line:
                inside.discard(end.line)
            ends[end.line] = max(ends.get(end.line, 0), end.column)
        elif isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                below = (*path, key.value)
                leads.setdefault(key.start_mark.line, below)
                walk(key, below)
                walk(value, below)
        else:
            for step, value in zip(steps([_data(item) for item in node.value]), node.value):
                leads.setdefault(value.start_mark.line, (*path, step))
                walk(value, (*path, step))

    if top is not None:
        walk(top, ())
    return leads, inside, ends


def _data(node: Any) -> Any:
    """What a node holds, as far as items are known by it."""
    if isinstance(node, yaml.MappingNode):
        return {key.value: _data(value) for key, value in node.value}
    if isinstance(node, yaml.SequenceNode):
        return [_data(item) for item in node.value]
    return _resolver().construct_object(node)


@functools.cache
def _resolver() -> Any:
    return LOADER("")


def write(plan: Any, notes: dict[Path, list[str]] | None = None, comments: Comments | None = None, head: str = "") -> str:
    """The plan as YAML; the same input always gives the same text."""
    writer = _Writer(notes or {}, comments or Comments())
    return "\n".join([*([head] if head else []), "---", *writer.mapping(plan, (), ""), *writer.comments.end]) + "\n"


class _Writer:
    def __init__(self, notes: dict[Path, list[str]], comments: Comments) -> None:
        self.notes, self.comments = notes, comments

    def above(self, path: Path, indent: str) -> list[str]:
        return [indent + line for line in [OURS + note for note in self.notes.get(path, [])] + self.comments.above.get(path, [])]

    def beside(self, path: Path) -> str:
        return "  " + self.comments.beside[path] if path in self.comments.beside else ""

    def mapping(self, value: dict[str, Any], path: Path, indent: str) -> list[str]:
        lines: list[str] = []
        for key, item in value.items():
            below = (*path, key)
            lines += self.above(below, indent)
            lines += self.entry(f"{indent}{_scalar(key)}:", item, below, indent)
        return lines

    def entry(self, start: str, value: Any, path: Path, indent: str) -> list[str]:
        """A key with its value."""
        if isinstance(value, dict) and value:
            return [start + self.beside(path), *self.mapping(value, path, indent + "  ")]
        if isinstance(value, list) and value:
            return [start + self.beside(path), *self.items(value, path, indent + "  ")]
        block = _block(value, indent + "  ")
        if block:
            return [f"{start} {block[0]}{self.beside(path)}", *block[1:]]
        return [f"{start} {_flow(value)}{self.beside(path)}"]

    def items(self, value: list[Any], path: Path, indent: str) -> list[str]:
        lines: list[str] = []
        for step, item in zip(steps(value), value):
            below = (*path, step)
            lines += self.above(below, indent)
            if isinstance(item, dict) and item:
                first = next(iter(item))
                lines += self.above((*below, first), indent)
                whole = self.mapping(item, below, indent + "  ")
                whole = whole[len(self.above((*below, first), indent)):]
                lines += [f"{indent}- {whole[0][len(indent) + 2:]}{self.beside(below)}", *whole[1:]]
            else:
                block = _block(item, indent + "  ")
                lines += [f"{indent}- {block[0] if block else _flow(item)}{self.beside(below)}", *block[1:]]
        return lines


def _flow(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_quoted(str(key))}: {_flow_item(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_flow_item, value)) + "]"
    return _scalar(value)


def _flow_item(value: Any) -> str:
    return _quoted(value) if isinstance(value, str) else _flow(value)


def _scalar(value: Any) -> str:
    if not isinstance(value, str):
        return "null" if value is None else str(value).lower() if isinstance(value, bool) else repr(value)
    plain = _PLAIN.fullmatch(value) and not value.endswith((":", " ")) and ": " not in value and " #" not in value
    return value if plain and not _resolves(value) else _quoted(value)


def _resolves(text: str) -> bool:
    """Whether YAML 1.1 or 1.2 would take it for something else than text."""
    if any(pattern.match(text) for dummy, pattern in yaml.SafeLoader.yaml_implicit_resolvers.get(text[0], [])):
        return True
    return re.fullmatch(r"[-+]?(\.?[0-9][0-9_]*(\.[0-9_]*)?([eE][-+]?[0-9]+)?|0o[0-7]+|0x[0-9A-Fa-f]+)", text) is not None


def _quoted(text: str) -> str:
    if not _ODD.search(text):
        return "'" + text.replace("'", "''") + "'"
    return '"' + _ODD.sub(_escaped, text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escaped(match: re.Match[str]) -> str:
    return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}.get(match[0], f"\\u{ord(match[0]):04x}")


def _block(value: Any, indent: str) -> list[str]:
    """Lines of a text with several lines, when YAML can have them as they are."""
    if not isinstance(value, str) or "\n" not in value:
        return []
    lines = value.removesuffix("\n").split("\n")
    if any(_ODD.search(line.replace("\t", " ")) or line != line.rstrip() for line in lines) or not lines[-1] or lines[0] != lines[0].lstrip() or not lines[0]:
        return []
    return ["|" if value.endswith("\n") else "|-", *(indent + line if line else "" for line in lines)]


def text(plan: Any, edits: list[Difference], comments: Comments | None = None) -> str:
    """The plan's file as discover writes it."""
    return write(plan, _notes(plan, edits), comments, _head(plan))


def _head(plan: Any) -> str:
    return "\n".join([f"# yaml-language-server: $schema={SCHEMA}",
                      f"{OURS}the plan of {' '.join(str(plan['host']).split())}. Edit it where you know better: edits and comments stay.",
                      f"{OURS}convert does what stands here. Lines that begin like this one are made anew by each run."])


def _notes(plan: Any, edits: list[Difference]) -> dict[Path, list[str]]:
    """What discover has to say, where a person decides."""
    notes: dict[Path, list[str]] = {}
    for path, note in _decisions(plan):
        notes.setdefault(path, []).append(note)
    removed: dict[Path, list[str]] = {}
    for edit in edits:
        if edit.plan is MISSING:
            removed.setdefault(edit.path[:-1], []).append(getattr(edit.path[-1], "label", str(edit.path[-1])))
        elif edit.found is MISSING:
            notes.setdefault(edit.path, []).append("added by an edit; not found on the host")
        else:
            notes.setdefault(edit.path, []).append(f"edited; found was {edit.told()['found']}")
    for path, names in removed.items():
        notes.setdefault(path, []).append("taken out by an edit: " + shown(", ".join(names), 110))
    return notes


def _decisions(plan: Any) -> Iterator[tuple[Path, str]]:
    services = plan.get("services", [])
    for step, service in zip(steps(services), services):
        path: Path = ("services", step)
        if service.get("secrets"):
            yield (*path, "secrets"), "names and places, never values; correct a place that is wrong"
        if service.get("state"):
            yield (*path, "state"), "all that the container may write to, at the same path; add what could not be seen, take out what is cache"
        verdict = service.get("fit", {}).get("verdict")
        if verdict == "blocked":
            yield (*path, "fit"), "convert refuses this service; put right what the reasons say, or change the verdict when you know that none holds"
        elif verdict == "remarks":
            yield (*path, "fit"), "read the reasons before you convert"
    if plan.get("unexplained"):
        yield ("unexplained",), "nobody could say what these belong to, and a strict run stops here; explain them on the host, or take out what you know"
