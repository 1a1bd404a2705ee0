# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a killed process has left under a temporary name goes; what is being written stays."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal


def test_only_files_of_dead_processes_go(tmp_path: Path) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    dead = [".webstack-%d-17" % ended.pid, "app.sock.webstack-%d" % ended.pid]
    alive = os.path.basename(_journal.temporary_in(str(tmp_path)))
    for name in [*dead, alive, ".webstack-release.json", "journal.json"]:
        (tmp_path / name).write_text("")
    _journal.sweep([str(tmp_path), str(tmp_path / "none")])
    assert sorted(os.listdir(tmp_path)) == sorted([alive, ".webstack-release.json", "journal.json"])


def test_a_replaced_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    _journal.replace_file(str(tmp_path / "a"), "text", 0o640, os.getuid(), os.getgid())
    assert [(path.name, path.read_text(), path.stat().st_mode & 0o777) for path in tmp_path.iterdir()] == [("a", "text", 0o640)]
