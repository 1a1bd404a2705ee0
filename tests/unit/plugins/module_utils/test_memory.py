# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A container's memory by its control group, in both versions."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.move import _memory

V1 = {"proc/7/cgroup": "12:cpu,cpuacct:/docker/ab\n4:memory:/docker/ab\n0::/docker/ab\n",
      "sys/fs/cgroup/memory/docker/ab/memory.usage_in_bytes": "9000000\n", "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes": "9437184\n",
      "sys/fs/cgroup/memory/docker/ab/memory.stat": "cache 1\ntotal_cache 300000\ntotal_shmem 100000\n",
      "sys/fs/cgroup/memory/docker/ab/memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"}
V2 = {"proc/7/cgroup": "0::/system.slice/docker-ab.scope\n",
      "sys/fs/cgroup/system.slice/docker-ab.scope/memory.current": "5000000\n", "sys/fs/cgroup/system.slice/docker-ab.scope/memory.max": "9437184\n",
      "sys/fs/cgroup/system.slice/docker-ab.scope/memory.stat": "anon 3\nfile 1000000\nshmem 0\n",
      "sys/fs/cgroup/system.slice/docker-ab.scope/memory.events": "low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\n"}


def written(root: Path, files: Dict[str, str]) -> str:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="ascii")
    return str(root)


@pytest.mark.parametrize(("files", "found"), [
    (V1, _memory.Usage(8800000, 9437184, 0)),
    (V2, _memory.Usage(4000000, 9437184, 2)),
    ({**V2, "sys/fs/cgroup/system.slice/docker-ab.scope/memory.max": "max\n"}, None),
    ({**V1, "sys/fs/cgroup/memory/docker/ab/memory.limit_in_bytes": "9223372036854771712\n"}, None),
    ({"proc/7/cgroup": "0::/\n"}, None),
    ({}, None),
])
def test_the_use_of_memory(tmp_path: Path, files: Dict[str, str], found: Optional[_memory.Usage]) -> None:
    assert _memory.usage(7, written(tmp_path, files)) == found


@pytest.mark.parametrize(("found", "said"), [
    (None, ""), (_memory.Usage(4000000, 9437184, 0), ""),
    (_memory.Usage(8800000, 9437184, 0), "has 8.8 of 9.4 MB of memory in use, and will run out of it under a load"),
    (_memory.Usage(4000000, 9437184, 2), "has run out of memory (processes killed: 2)"),
])
def test_what_is_too_little(found: Optional[_memory.Usage], said: str) -> None:
    assert _memory.shortage(found) == said
