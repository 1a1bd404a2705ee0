# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The package's welcome page yields to a default server of ours, and comes back."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_text, _own_files
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_welcome as welcome

CONFIG = "events { }\nhttp { }\n"


@pytest.mark.parametrize(("content", "claims"), [
    ("server { listen 80 default_server; }", True), ("server {\n    listen [::]:80 reuseport default_server;\n}", True),
    ("listen *:80 default_server;", True), ("listen 80; # x\nlisten 81 default_server;", False), ("listen 10.0.0.1:80 default_server;", False),
    ("listen 8080 default_server;", False), ("listen 443 ssl default_server;", False), ("listen 80;", False),
])
def test_claims(content: str, claims: bool) -> None:
    assert welcome.claimed(["x", content]) is claims


@pytest.fixture(name="link")
def enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    page = tmp_path / "sites-available/default"
    page.parent.mkdir()
    page.write_text("server { listen 80 default_server; }\n")
    (tmp_path / "sites-enabled").mkdir()
    link = tmp_path / "sites-enabled/default"
    link.symlink_to("../sites-available/default")
    said = "\n /etc/nginx/x abc\n %s %s\n" % (os.path.realpath(page), hashlib.md5(page.read_bytes()).hexdigest())

    def run(argv: Any) -> SimpleNamespace:
        return SimpleNamespace(stdout=said)

    monkeypatch.setattr(welcome, "run", run)
    return link


def test_there_and_back(link: Path) -> None:
    away = welcome.decide(str(link), CONFIG, True)
    assert away.change is not None and away.change.target is None
    transaction = _own_files.Transaction()
    transaction.apply(away.change)
    assert not link.is_symlink()
    transaction.put_back()
    assert os.readlink(link) == "../sites-available/default"
    transaction.apply(away.change)
    noted = _nginx_text.edited(CONFIG, away.note, [], [])
    assert noted is not None and welcome.decide(str(link), noted, True) == welcome.Welcome(None, away.note)
    back = welcome.decide(str(link), noted, False)
    assert back.change is not None and list(back.note) == []
    transaction.apply(back.change)
    assert link.read_text().startswith("server") and welcome.decide(str(link), CONFIG, False) == welcome.Welcome(None, [])


def test_an_edited_page_is_left_alone(link: Path) -> None:
    link.write_text("server { listen 80 default_server; root /srv; }\n")
    assert welcome.decide(str(link), CONFIG, True) == welcome.Welcome(None, [])


def test_what_somebody_else_took_away_does_not_come_back(link: Path) -> None:
    link.unlink()
    assert welcome.decide(str(link), CONFIG, True) == welcome.Welcome(None, []) == welcome.decide(str(link), CONFIG, False)
