# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from _demo import host


@pytest.mark.parametrize(("printed", "task"), [
    ("", ""),
    ("$ ansible-playbook x\n\nPLAY [p] ***\n", ""),
    ("$ ansible-playbook x\nTASK [gantry.webstack.convert : Switch] ****\nok: [h]\n", "Switch"),
    ("TASK [Know the host] **\nTASK [gantry.webstack.nginx : Serve [all] sites] **\n", "Serve [all] sites"),
    ("TASK [Old] ***\n$ ansible-playbook again\n", ""),
])
def test_the_task_that_a_playbook_is_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, printed: Any, task: Any) -> None:
    monkeypatch.setattr(host, "LOGS", tmp_path)
    (tmp_path / "demo-x.log").write_text(printed)
    assert host.task_of("demo-x") == task


def test_without_a_log_there_is_no_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "LOGS", tmp_path)
    assert host.task_of("demo-x") == ""
