# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The four file formats of uWSGI configurations, read the way uWSGI 2.0 reads them, as (key, value, line, raw value).

Sources of the rules: uWSGI core/ini.c, core/yaml.c, core/json.c, core/xmlconf.c, and ``magic_sub`` of core/utils.c.
"""

from __future__ import annotations

import json
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple
from xml.parsers import expat


class FileError(ValueError):
    """A configuration file that uWSGI itself would refuse, or a form of it that is not understood here."""


class Entry(NamedTuple):
    """One setting of a file. ``raw`` is the value's text in the file, before placeholders; ``line`` counts from 1, 0 is unknown."""

    key: str
    value: str
    line: int
    raw: str


def magic_sub(text: str, table: Mapping[str, str]) -> str:
    """Resolve one-letter placeholders; a letter that is not in the table vanishes together with its ``%``."""
    return re.sub(r"%(.)", lambda match: table.get(match.group(1), ""), text, flags=re.DOTALL)


def split_section(name: str) -> Tuple[str, Optional[str]]:
    """Split ``file:section``; the section is None when there is no colon."""
    if "://" in name:
        scheme, rest = name.split("://", 1)
        head, colon, section = rest.rpartition(":")
        return (scheme + "://" + head, section) if colon and "/" not in section else (name, None)
    head, colon, section = name.rpartition(":")
    return (head, section) if colon else (name, None)


def _pieces(line: str) -> Tuple[str, str]:
    """Key and value of an ini line; without ``=`` the value is empty."""
    key, _equal, value = line.partition("=")
    return key.rstrip(" \t\r"), value.strip(" \t\r")


def read_ini(text: str, section: str, table: Mapping[str, str]) -> List[Entry]:
    """Entries of one section. No continuation lines, no inline comments: what follows ``=`` is the value."""
    entries: List[Entry] = []
    current, found = "", False
    if "%\n" in text:
        # magic_sub swallows the line end after a lone %, so line numbers of the file no longer hold
        text = magic_sub(text, table)
        table = {}
    for number, original in enumerate(text.split("\n"), 1):
        line = (magic_sub(original, table) if table else original).strip(" \t\r")
        if not line or line[0] in ";#":
            continue
        if line[0] == "[":
            current = line[1:-1]
        elif current == section:
            found = True
            key, value = _pieces(line)
            entries.append(Entry(key, value, number, _pieces(original.strip(" \t\r"))[1]))
    if not found:
        raise FileError("no section [%s]" % section)
    return entries


def _yaml_scalar(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        inner = text[1:-1]
        if text[0] == "'":
            return inner.replace("''", "'")
        if "\\" in inner:
            raise FileError("an escape in a quoted YAML value")
        return inner
    if text[:1] in ("{", "&", "*", "!", "|", ">", "'", '"'):
        raise FileError("a YAML value that starts with %s" % text[0])
    return re.split(r"\s#", text, maxsplit=1)[0].rstrip()


def read_yaml(text: str, section: str, table: Mapping[str, str]) -> List[Entry]:
    """``section:`` followed by an indented block of ``key: scalar``, ``key: [a, b]`` or ``key:`` and ``- item`` lines."""
    entries: List[Entry] = []
    depth: Optional[int] = None
    inside, key = False, ""
    for number, original in enumerate(text.split("\n"), 1):
        line = magic_sub(original, table).rstrip(" \t\r")
        bare = line.lstrip(" ")
        if not bare or bare[0] == "#" or bare in ("---", "..."):
            continue
        indent = len(line) - len(bare)
        if indent == 0 and not bare.startswith("- "):
            inside, depth, key = bare.split("#")[0].rstrip() == section + ":", None, ""
            continue
        if not inside:
            continue
        if bare.startswith("- "):
            if not key:
                raise FileError("a YAML list without a key on line %d" % number)
            entries.append(Entry(key, _yaml_scalar(bare[2:]), number, original.strip()[2:].strip()))
            continue
        depth = indent if depth is None else depth
        match = re.match(r"([^:\s][^:]*?)\s*:(?:\s+(.*))?$", bare)
        if indent != depth or match is None:
            raise FileError("a YAML form that is not understood on line %d" % number)
        key, value = _yaml_scalar(match.group(1)), match.group(2) or ""
        raw = original.split(":", 1)[1].strip()
        if value.startswith("["):
            if not value.endswith("]"):
                raise FileError("a YAML list over several lines on line %d" % number)
            entries += [Entry(key, _yaml_scalar(item), number, raw) for item in value[1:-1].split(",") if item.strip()]
        elif value and value[0] != "#":
            entries.append(Entry(key, _yaml_scalar(value), number, raw))
    if not entries:
        raise FileError("no mapping named %s" % section)
    return entries


def read_embedded_yaml(text: str, section: str, table: Mapping[str, str]) -> List[Entry]:
    """YAML as a uWSGI without libyaml reads it (builds from PyPI): bare values up to ``#``, and a list ends the section."""
    entries: List[Entry] = []
    inside = False
    for number, original in enumerate(text.split("\n"), 1):
        line = magic_sub(original, table).split("#")[0]
        bare = line.strip(" \t\r")
        if not bare:
            continue
        if line[0] not in " \t":
            if inside:
                break
            inside = bare.split(":")[0] == section and ":" in bare
        elif inside:
            match = re.match(r"(.*?):[ \t]+(.*)$", bare)
            if bare[0] in "-[{" or match is None:
                break
            entries.append(Entry(match.group(1).rstrip(), match.group(2).strip(), number, original.split(":", 1)[1].split("#")[0].strip()))
    if not entries:
        raise FileError("no mapping named %s" % section)
    return entries


def _json_scalar(value: Any) -> Optional[str]:
    if isinstance(value, bool):
        return "1" if value else "0"
    if value is None:
        return "0"
    return value if isinstance(value, (str, _Number)) else None


class _Number(str):
    """A JSON number as it is written."""


def read_json(text: str, section: str, table: Mapping[str, str]) -> List[Entry]:
    """Entries of the object named ``section``; true is 1, false and null are 0, a list is the option several times."""
    try:
        data = json.loads(magic_sub(text, table), object_pairs_hook=_Pairs, parse_int=_Number, parse_float=_Number)
    except ValueError as exc:
        raise FileError("not JSON: %s" % exc) from exc
    block = dict(data).get(section) if isinstance(data, _Pairs) else None
    if not isinstance(block, _Pairs):
        raise FileError("no object named %s" % section)
    entries: List[Entry] = []
    lines = text.split("\n")
    seen: Dict[str, int] = {}
    for key, value in block:
        where = [number for number, line in enumerate(lines, 1) if '"%s"' % key in line]
        line = where[min(seen.get(key, 0), len(where) - 1)] if where else 0
        seen[key] = seen.get(key, 0) + 1
        for item in value if isinstance(value, list) else [value]:
            scalar = _json_scalar(item)
            if scalar is None:
                raise FileError("a nested value of %s" % key)
            entries.append(Entry(key, str(scalar), line, _json_raw(lines, line, str(scalar))))
    return entries


class _Pairs(List[Tuple[str, Any]]):
    """A JSON object with its order and its repeated keys."""


def _json_raw(lines: List[str], line: int, value: str) -> str:
    """The string in that line which holds the value, before placeholders; the value itself when it cannot be told."""
    strings = re.findall(r'"((?:[^"\\]|\\.)*)"', lines[line - 1]) if line else []
    return value if value in strings or len(strings) != 2 else strings[1]


def read_xml(text: str, section: Optional[str], table: Mapping[str, str]) -> List[Entry]:
    """Children of the first ``<uwsgi>`` (with that id, when one is asked for); an empty element is 1, and one with elements inside has the text before them.

    ``<app>`` becomes ``mount`` and ``app`` (core/xmlconf.c uwsgi_xml_config).
    """
    parser = expat.ParserCreate()
    entries: List[Entry] = []
    stack: List[str] = []
    state: Dict[str, Any] = {"inside": False, "done": False, "line": 0, "raw": text.split("\n")}

    def start(name: str, attributes: Dict[str, str]) -> None:
        stack.append(name)
        if name == "uwsgi" and not state["done"] and not state["inside"]:
            state["inside"] = section is None or attributes.get("id", section) == section
            state["depth"] = len(stack)
        elif state["inside"] and len(stack) == state["depth"] + 1:
            state.update(text="", inner=None, line=parser.CurrentLineNumber, attributes=attributes)
        elif state["inside"] and state["inner"] is None:
            state["inner"] = ""

    def characters(data: str) -> None:
        if state["inside"] and len(stack) == state["depth"] + 1 and state["inner"] is None:
            state["text"] += data
        elif state["inside"] and len(stack) == state["depth"] + 2:
            state["inner"] += data

    def end(name: str) -> None:
        if state["inside"] and len(stack) == state["depth"] + 1:
            if section is None or state["attributes"].get("id", section) == section:
                entries.extend(_xml_entries(name, state))
        elif state["inside"] and len(stack) == state["depth"]:
            state.update(inside=False, done=True)
        stack.pop()

    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
    try:
        parser.Parse(magic_sub(text, table), True)
    except expat.ExpatError as exc:
        raise FileError("not XML: %s" % exc) from exc
    if not entries:
        raise FileError("no <uwsgi> element")
    return entries


def _xml_entries(name: str, state: Mapping[str, Any]) -> List[Entry]:
    value, line = state["text"], state["line"]
    if name != "app":
        found = re.search(r"<%s\b[^>]*>([^<]*)<" % re.escape(name), state["raw"][line - 1])
        return [Entry(name, value or "1", line, found.group(1) if found else value)]
    if not value and state["inner"] is None:
        return [Entry("app", "", line, "")]
    if not value:
        return []  # an element without white space before it is not looked at
    value = value if state["inner"] is None else state["inner"]
    for attribute, sign in (("mountpoint", "="), ("domain", "|=")):
        if attribute in state["attributes"]:
            value = state["attributes"][attribute] + sign + value
            break
    return [Entry("mount", value, line, value), Entry("app", "", line, "")]
