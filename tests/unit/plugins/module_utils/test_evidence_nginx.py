# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx as it runs and as its files are."""

from __future__ import annotations

import os
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_host, _evidence_nginx, _nginx_text


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_nginx_arguments_from_its_title() -> None:
    parse = _evidence_nginx.arguments
    assert parse("nginx: master process /usr/sbin/nginx -g daemon on; master_process on;") == ["-g", "daemon on; master_process on;"]
    assert parse("nginx: master process nginx -c /etc/n.conf -p /srv/n -g daemon off;") == ["-c", "/etc/n.conf", "-p", "/srv/n", "-g", "daemon off;"]
    assert not parse("nginx: master process nginx")


def test_what_nginx_refuses_is_read_from_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = tmp_path / "nginx.conf"
    write(main, "http { # include never.conf;\n include sites/*; include gone.conf; }")
    write(tmp_path / "sites/a", "server { server_name a; }")
    (tmp_path / "sites/b").symlink_to("../available/b")
    (tmp_path / "sites/c").mkdir()
    master = SimpleNamespace(pid=7, argv=["nginx: master process nginx -c %s" % main], exe="/usr/sbin/nginx", uid=0, gid=0, parent=1)
    worker = SimpleNamespace(pid=8, argv=["nginx: worker process"], uid=33, gid=33, parent=7, started=time.time() + 60)
    table: Dict[int, Any] = {7: master, 8: worker}
    refused = "nginx: [alert] x\n2033/11/24 21:58:27 [emerg] 516#516: open() \"%s/sites/b\" failed (2: No such file or directory)" % tmp_path
    monkeypatch.setattr(_evidence_host, "as_owner", lambda argv, _uid, _gid: (1, "", refused) if "-T" in argv else (0, "", "nginx version: nginx/1.22.1"))
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    found, blind = _evidence_nginx.nginx(table)
    assert found is not None and found["error"].startswith("open() ") and list(_nginx_text.files(found["text"])) == [
        str(main), *(str(tmp_path / "sites" / name) for name in "abc")]
    assert blind[:2] == [f"{tmp_path}/sites/b, which {main}:2 includes, could not be read: No such file or directory",
                         f"{tmp_path}/sites/c, which {main}:2 includes, could not be read: not a regular file"]
    assert "nginx refuses the configuration in" in blind[2] and "changed after" not in blind[2] and len(blind) == 3
    worker.started = time.time() - 60
    assert f"and {main}, {tmp_path}/sites, {tmp_path}/sites/a and 1 more changed after its workers were started" in _evidence_nginx.nginx(table)[1][2]


def test_a_configuration_that_nginx_has_not_loaded_yet(tmp_path: Path) -> None:
    write(tmp_path / "nginx.conf", "x")
    text = "# configuration file %s/nginx.conf:\nhttp { include none/*; }\n" % tmp_path
    assert not _evidence_nginx.changed(text, time.time() + 60) and not _evidence_nginx.changed(text, 0.0)
    assert _evidence_nginx.changed(text, time.time() - 60) == [str(tmp_path / "nginx.conf")]
