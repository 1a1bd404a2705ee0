# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's files while they are edited to lead it to a container: what is kept of them, and how they are read. Small, since each install needs it."""

from __future__ import annotations

import glob
import json
import os
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files
from ansible_collections.gantry.webstack.plugins.module_utils.move import _nginx_places

MEMORY = "nginx.json"
"""What is kept of nginx's files while they are edited, in a service's directory of state."""


def memory_file(name: str) -> str:
    """Where it is kept for a service."""
    return os.path.join(_paths.service_state(name), MEMORY)


def memory(name: str) -> Dict[str, Any]:
    """What has been edited for a service; empty when nothing has. Its shape: see _seams.NginxSeam."""
    found = _own_files.look(memory_file(name))
    return json.loads(found.text) if found is not None else {}


def read(path: str) -> str:
    """A file's text. Raises OSError."""
    found = _own_files.look(path)
    if found is None:
        raise OSError(0, "is gone", path)
    return found.text


def find(pattern: str) -> List[str]:
    """The files that an include names, links followed to what they lead to, so that a link stays one."""
    return list(dict.fromkeys(os.path.realpath(path) for path in sorted(glob.glob(pattern))))


def by_file(edits: List[_nginx_places.Place], change: Any, texts: Optional[Mapping[str, str]] = None) -> Dict[str, str]:
    """path -> text with its own ``edits`` made."""
    files: Dict[str, List[_nginx_places.Place]] = {}
    for place in edits:
        files.setdefault(place.file, []).append(place)
    return {path: change((texts or {}).get(path) or read(path), mine) for path, mine in files.items()}


def as_led(texts: Mapping[str, str]) -> Dict[str, str]:
    """Of files of nginx's that are about to be written (path -> text), those that name the TCP address of a service in a container, led to it."""
    found: Dict[str, str] = {}
    for path in sorted(glob.glob(os.path.join(glob.escape(_paths.STATE_DIR), "*", MEMORY))):
        name = os.path.basename(os.path.dirname(path))
        kept = memory(name)

        def text_of(file: str) -> str:
            return found.get(file) or texts.get(file) or read(file)

        edits = [place for place in _nginx_places.places(kept["config"], text_of, find, kept["address"], _paths.nginx_socket(name)) if place.file in texts]
        found.update(by_file(edits, _nginx_places.changed, {**texts, **found}))
    return found
