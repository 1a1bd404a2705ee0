"""How far a module has got: from its file on a host over the workers' pipe into the line of a terminal."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _progress
from ansible_collections.gantry.webstack.plugins.plugin_utils import progress, progress_channel
from ansible_collections.gantry.webstack.plugins.plugin_utils.progress_channel import News


def test_what_a_module_writes_is_read_and_gone_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now)
    path = tmp_path / "far"
    shown = _progress.Progress(str(path))
    assert shown.wanted and stat.S_IMODE(path.stat().st_mode) == 0o600
    shown.begin("reading image über", 5_000_000)
    assert sum(map(len, shown.counted([b"a" * 1_000_000, b"b" * 500_000]))) == 1_500_000
    told = []
    for later in (0.0, 0.1, 0.3):
        now = 100.0 + later
        shown.add(100)
        told.append(progress_channel.news("web1", "s", path.read_text(encoding="ascii")))
    assert [item.done for item in told if item is not None] == [0, 0, 1_500_300], "no more often than it may be"
    assert told[2] == News("web1", "s", "reading image über", 1_500_300, 5_000_000) and path.stat().st_size == _progress.WIDTH
    now = 200.0
    shown.reach(6_000_000)
    assert json.loads(path.read_text(encoding="ascii"))["done"] == 5_000_000, "a file that grew meanwhile is no more than all"
    shown.begin("x" * 2000, 1)
    assert path.stat().st_size == _progress.WIDTH
    shown.end(str(path))
    assert not path.exists()


def test_a_place_that_cannot_be_had_is_no_failure(tmp_path: Path) -> None:
    link, kept = tmp_path / "link", tmp_path / "kept"
    kept.write_text("kept", encoding="utf-8")
    link.symlink_to(kept)
    for path in ("", str(link), str(kept), "/proc/none/of/it"):
        shown = _progress.Progress(path)
        shown.begin("image", 10)
        assert list(shown.counted([b"12345"])) == [b"12345"] and not shown.wanted
    assert kept.read_text(encoding="utf-8") == "kept"


@pytest.mark.parametrize("line", ["", "{", "[1]", '{"what": 1, "done": 1, "total": 2}', '{"what": "a", "done": -1, "total": 2}', "[" * 100_000,
                                  '{"what": "a", "done": true, "total": 2}', '{"what": "a", "done": 1.5, "total": 2}', '{"what": "a", "done": 1}'])
def test_what_is_no_news_is_passed_over(line: str) -> None:
    assert progress_channel.news("web1", "s", line) is None


def test_workers_tell_in_whole_lines_and_never_wait() -> None:
    channel = progress_channel.Channel()
    assert channel.heard() == []
    items = [News(f"web{number}", "s", "state of shop, pass 1", number, 10) for number in range(8)]
    for item in items:
        child = os.fork()
        if child == 0:
            channel.tell(item)
            os._exit(0)
        os.waitpid(child, 0)
    assert channel.heard() == items and channel.heard() == []
    long = News("web1", "s", "x" * 80, 1, 10)
    for dummy in range(2000):
        channel.tell(long)  # more than a pipe holds
    channel.tell(long._replace(host="h" * 5000))
    found: list[News] = []
    while (more := channel.heard()):
        found += more
    assert 100 < len(found) < 2000 and set(found) == {long}


def test_a_terminal_shows_the_bytes_of_the_task_at_work_and_of_no_other() -> None:
    run = progress.Run()
    run.play("Move", ["web1"], list("abcd"), 0.0)
    run.starting("web1", "image", "c", 1.0)
    run.heard(News("web2", "c", "image of nobody", 1, 2))
    run.heard(News("web1", "b", "of the task before", 1, 2))
    assert run.live(11.0, 0, 80, 10, fancy=False) == ["| web1  image           10 s  ########--------  step 3 of 4"]
    run.heard(News("web1", "c", "loading image \x1b[2Jshop", 61_000_000, 120_000_000))
    assert run.live(11.0, 0, 84, 10, fancy=False) == ["| web1  image           10 s  ########--------  61 of 120 MB  loading image shop"]
    run.heard(News("web1", "c", "building shop, step 3 of 9", 0, 0))
    assert run.live(11.0, 0, 84, 10, fancy=False) == [f"| web1  image           10 s  {' ' * 16}  building shop, step 3 of 9"]
    run.heard(News("web1", "c", "", 0, 0))
    assert run.live(11.0, 0, 84, 10, fancy=False)[0].endswith("step 3 of 4")
    run.heard(News("web1", "c", "state of shop, pass 1", 10**6, 10**6))
    assert run.live(11.0, 0, 84, 10, fancy=False)[0].endswith("################  1 of 1 MB  state of shop, pass 1")
    run.starting("web1", "switch", "d", 12.0)
    assert run.live(12.0, 0, 80, 10, fancy=False)[0].endswith("step 4 of 4")
