# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a container has come near its memory limit, by its control group.

The files: the kernel's admin-guide, cgroup-v2 (memory) and cgroup-v1/memory.
"""

from __future__ import annotations

import os
from typing import Dict, NamedTuple, Optional

NEAR = 0.9
"""The share of its limit that a container may have in use before it has a load."""


class Usage(NamedTuple):
    """Bytes that are its processes' own (without the cache of files, which the kernel takes back), the limit, and processes killed for want of memory."""

    used: int
    limit: int
    killed: int


def usage(pid: int, root: str = "/") -> Optional[Usage]:
    """The use of memory where a process belongs; None without a limit, or when it cannot be read."""
    try:
        with open(os.path.join(root, "proc/%d/cgroup" % pid), encoding="utf-8") as handle:
            groups = {controllers: path for dummy, controllers, path in (line.rstrip("\n").split(":", 2) for line in handle)}
        base = os.path.join(root, "sys/fs/cgroup")
        if "memory" in groups:
            return _v1(os.path.join(base, "memory", groups["memory"].lstrip("/")))
        return _v2(os.path.join(base, groups[""].lstrip("/")))
    except (OSError, ValueError, KeyError):
        return None


def _v1(group: str) -> Optional[Usage]:
    limit, stat = int(_text(group, "memory.limit_in_bytes")), _table(group, "memory.stat")
    if limit >= 1 << 62:
        return None
    used = int(_text(group, "memory.usage_in_bytes")) - stat["total_cache"] + stat.get("total_shmem", 0)
    return Usage(used, limit, _table(group, "memory.oom_control").get("oom_kill", 0))


def _v2(group: str) -> Optional[Usage]:
    limit, stat = _text(group, "memory.max").strip(), _table(group, "memory.stat")
    if limit == "max":
        return None
    used = int(_text(group, "memory.current")) - stat["file"] + stat.get("shmem", 0)
    return Usage(used, int(limit), _table(group, "memory.events").get("oom_kill", 0))


def _text(group: str, name: str) -> str:
    with open(os.path.join(group, name), encoding="ascii") as handle:
        return handle.read()


def _table(group: str, name: str) -> Dict[str, int]:
    return {key: int(value) for key, dummy, value in (line.partition(" ") for line in _text(group, name).splitlines())}


def shortage(found: Optional[Usage]) -> str:
    """What is wrong, or an empty text. Pure."""
    if found is None:
        return ""
    if found.killed:
        return "has run out of memory (processes killed: %d)" % found.killed
    if found.used > NEAR * found.limit:
        return "has %.1f of %.1f MB of memory in use, and will run out of it under a load" % (found.used / 1e6, found.limit / 1e6)
    return ""
