# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import time

import pytest
from _demo import progress


def test_a_step_without_a_terminal_tells_its_text_then_its_state_then_its_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.05)
    with progress.Step("convert: images, parity", lambda: "12 sent") as step:
        time.sleep(0.12)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "> convert: images, parity"
    assert lines[1] == "  convert  0 s  12 sent"
    assert lines[-1] == f"  {step.seconds:.1f} s"


def test_a_failed_step_says_so_and_passes_the_error_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyError), progress.Step("convert"):
        raise KeyError
    assert "FAILED after 0.0 s" in capsys.readouterr().out


def test_on_a_terminal_the_line_is_redrawn(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    with progress.Step("convert", lambda: "12 sent"):
        time.sleep(0.3)
    out = capsys.readouterr().out
    assert "\r\x1b[K| convert  0 s  12 sent" in out
    assert out.endswith("\r\x1b[K> convert: 0.3 s\n")
