"""Units that would remove a seam's directory when they stop, and how they keep it."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.move import _runtime_dirs

SHOWN = """RuntimeDirectoryPreserve=no
RuntimeDirectory=uwsgi
Id=uwsgi-emperor.service

RuntimeDirectoryPreserve=yes
RuntimeDirectory=uwsgi/kept
Id=kept.service

RuntimeDirectoryPreserve=restart
RuntimeDirectory=other uwsgi/shop:shop
Id=shop.service

RuntimeDirectoryPreserve=no
Id=cron.service
"""


@pytest.mark.parametrize("path, units", [
    ("/run/uwsgi/shop/uwsgi.sock", ["shop.service", "uwsgi-emperor.service"]),
    ("/run/uwsgi/kept/uwsgi.sock", ["uwsgi-emperor.service"]),
    ("/run/uwsgi.sock", []),
    ("/run/uwsgi-shop/uwsgi.sock", []),
])
def test_units_whose_stop_removes_a_path(path: str, units: list[str]) -> None:
    assert _runtime_dirs.owners_in(SHOWN, path) == units


def test_they_keep_it_until_it_is_let_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def run(argv: list[str]) -> SimpleNamespace:
        told.append(argv[1])
        return SimpleNamespace(stdout=SHOWN)

    monkeypatch.setattr(_runtime_dirs, "UNITS", str(tmp_path))
    monkeypatch.setattr(_runtime_dirs, "run", run)
    _runtime_dirs.keep("shop", "/run/uwsgi/shop/uwsgi.sock", "shop.service")
    assert "RuntimeDirectoryPreserve=yes" in (tmp_path / "uwsgi-emperor.service.d" / "50-webstack-shop.conf").read_text()
    assert os.listdir(tmp_path) == ["uwsgi-emperor.service.d"] and told == ["show", "daemon-reload"]
    _runtime_dirs.keep("shop", "/srv/shop/uwsgi.sock", "")
    assert len(told) == 2
    _runtime_dirs.let_go("shop")
    _runtime_dirs.let_go("shop")
    assert os.listdir(tmp_path) == [] and told[2:] == ["daemon-reload"]
