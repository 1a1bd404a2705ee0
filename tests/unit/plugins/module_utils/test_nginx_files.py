# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which files nginx has loaded, and when they changed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_files as files


@pytest.fixture(name="root")
def tree(tmp_path: Path) -> Path:
    """A configuration as Debian has it, with a certificate of certbot's elsewhere."""
    for name in ("nginx/conf.d", "nginx/sites-enabled", "nginx/sites-available", "live/a", "archive/a"):
        (tmp_path / name).mkdir(parents=True)
    live = tmp_path / "live/a"
    for name, text in {
        "nginx/nginx.conf": 'events { }\nhttp { include mime.types; include "conf.d/*.conf"; include sites-enabled/*; # include not.conf;\n'
                            "content_by_lua_block { include lua.conf; } }\n",
        "nginx/mime.types": "types { text/html html; include nginx.conf; }\n",
        "nginx/conf.d/a.conf": f"server {{ ssl_certificate {live}/fullchain.pem; ssl_certificate_key '{live}/privkey.pem'; auth_basic_user_file users;\n"
                               "  ssl_certificate /live/$host.pem; ssl_certificate_key data:$key; ssl_certificate_key engine:x:y; }\n",
        "nginx/sites-available/b": "server { proxy_ssl_trusted_certificate ca.pem; include missing.conf; ssl_dhparam dh.pem; ssl_protocols TLSv1.3; }\n",
        "archive/a/fullchain1.pem": "1", "archive/a/fullchain2.pem": "2", "archive/a/privkey1.pem": "k",
    }.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "nginx/sites-enabled/b").symlink_to("../sites-available/b")
    (live / "fullchain.pem").symlink_to("../../archive/a/fullchain2.pem")
    (live / "privkey.pem").symlink_to("../../archive/a/privkey1.pem")
    return tmp_path


def test_loaded(root: Path) -> None:
    found = {os.path.relpath(path, root) for path in files.loaded(str(root / "nginx/nginx.conf"))}
    assert found == {"nginx/nginx.conf", "nginx/mime.types", "nginx/conf.d", "nginx/sites-enabled", "nginx/conf.d/a.conf", "nginx/sites-enabled/b",
                     "nginx/ca.pem", "nginx/dh.pem", "live/a/fullchain.pem", "live/a/privkey.pem"}


def test_nothing_there(tmp_path: Path) -> None:
    assert files.changed(files.loaded(str(tmp_path / "nginx.conf"))) == []


def test_a_link_that_leads_elsewhere_counts_and_so_does_a_name_that_went(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.lstat

    def moved(path: str) -> os.stat_result:
        """As if the link had been made much later than the file that it leads to."""
        fields = list(real(path))
        fields[9] += 1000 if path.endswith("fullchain.pem") else 0
        return os.stat_result(fields)

    paths = files.loaded(str(root / "nginx/nginx.conf"))
    latest = max(files.changed(paths))
    monkeypatch.setattr(files.os, "lstat", moved)
    assert max(files.changed(paths)) > latest + 900
    monkeypatch.undo()
    os.utime(root / "nginx/sites-enabled", (latest + 5, latest + 5))
    assert max(files.changed(paths)) == latest + 5
