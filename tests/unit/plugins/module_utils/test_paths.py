"""Paths that more than one part of the collection must agree on."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths


@pytest.mark.parametrize("form", ["{}", "--socket={}", "-s{}"])
def test_a_command_line_is_seen_as_its_unit_has_it(tmp_path: Path, form: str) -> None:
    seam = tmp_path / "app.sock"
    seam.touch()
    started = ["uwsgi", "--master", form.format(_paths.beside(str(seam))), "--chdir", "/srv/app.host"]
    assert _paths.as_configured(started) == ["uwsgi", "--master", form.format(seam), "--chdir", "/srv/app.host"]
    Path(_paths.beside(str(seam))).touch()  # it has not left that path: it is what was asked for
    assert _paths.as_configured(started) == started
