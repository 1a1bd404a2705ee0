# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What install leaves for discover: facts of a definition that a host does not show by itself.

A vassal of ours may end with a section that uWSGI passes over (core/ini.c reads one section):

    [x-webstack]
    state = [{"path": "/srv/shop/uploads"}]
    health = {"path": "/ping"}

An empty directory tells nobody that it is a service's state, and nothing tells which page its people ask for its health.
"""

from __future__ import annotations

import json
import os
import re
from typing import Any, Callable, Dict, List, Mapping

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_files
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK

SECTION = "x-webstack"
KINDS = ("data", "database", "uploads", "sessions", "cache", "logs")
"""Of state, as the model has them."""
_FITS = {"path": lambda value: isinstance(value, str) and value.startswith("/"), "host": lambda value: isinstance(value, str) and value != "",
         "timeout": lambda value: isinstance(value, int) and not isinstance(value, bool) and value > 0}
_STATE_FITS: Dict[str, Callable[[Any], bool]] = {
    "path": lambda value: True, "kind": lambda value: value in KINDS,
    "volume": lambda value: isinstance(value, bool) or isinstance(value, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]+", value) is not None}
"""What a person may have made of a note must not spoil a plan."""
_LINE = re.compile(r"(?m)^(state|health) = (.+)$")


def lines(state: List[Dict[str, Any]], health: Mapping[str, Any]) -> List[str]:
    """The section's lines; none when there is nothing to say. Pure."""
    said = [("state", state), ("health", health)]
    body = ["%s = %s" % (key, json.dumps(value)) for key, value in said if value]
    return ["[%s]" % SECTION, *body] if body else []


def parse(text: str) -> Dict[str, Any]:
    """{state, health} of a vassal's text; empty ones where it says nothing, or is not ours. Pure."""
    found: Dict[str, Any] = {"state": [], "health": {}}
    dummy, mark, notes = text.partition("\n[%s]\n" % SECTION)
    for key, value in _LINE.findall(notes) if mark and text.startswith("; %s" % MARK) else []:
        try:
            said = json.loads(value)
        except ValueError:
            continue
        if isinstance(said, type(found[key])):
            found[key] = said
    found["state"] = [item for item in found["state"] if isinstance(item, dict) and str(item.get("path", "")).startswith("/")]
    found["state"] = [{key: item[key] for key in ("path", "kind", "volume") if _STATE_FITS[key](item.get(key))} for item in found["state"]]
    found["health"] = {key: value for key, value in found["health"].items() if key in _FITS and _FITS[key](value)}
    return found


def of_vassal(path: str) -> Dict[str, Any]:
    """What a vassal's file says."""
    return parse(_evidence_files.text(path)) if path else parse("")


def of_releases(name: str, code: str) -> Dict[str, Any]:
    """{keep, release}: what the record of a service's releases says beside what is usual, if it is that of this code."""
    try:
        record = json.loads(_evidence_files.text(_paths.release_record(name)) or "{}")
    except ValueError:
        return {}
    if not isinstance(record, dict) or os.path.normpath(str(record.get("path"))) != os.path.normpath(code):
        return {}
    found: Dict[str, Any] = {}
    if isinstance(record.get("keep"), int) and record["keep"] != _paths.KEPT_RELEASES:
        found["keep"] = record["keep"]
    if record.get("pinned") is True and record.get("wanted"):
        found["release"] = str(record["wanted"])
    return found
