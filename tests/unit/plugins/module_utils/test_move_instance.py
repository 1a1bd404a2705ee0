# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A switch reads a running instance's configuration as discover does."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _proc
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_service, _evidence_uwsgi
from ansible_collections.gantry.webstack.plugins.module_utils.move import _instance

SERVICE: Dict[str, Any] = {"name": "news", "uwsgi": {"manager": {"kind": "emperor"}}}


def process(top: Path, pid: int, parent: int, argv: List[str]) -> _proc.Process:
    base = top / str(pid)
    base.mkdir()
    (base / "status").write_text(f"Name:\tuwsgi\nPPid:\t{parent}\nUid:\t0 0 0 0\nGid:\t0 0 0 0\n")
    (base / "cmdline").write_bytes("\0".join(argv).encode() + b"\0")
    (base / "environ").write_bytes(f"UWSGI_EMPEROR_FD={pid}\0".encode() if parent > 1 else b"")
    return _proc.Process(pid, str(top))


def test_a_socket_that_an_emperors_template_defines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf, table = tmp_path / "conf", tmp_path / "proc"
    for directory in (conf / "news", table):
        directory.mkdir(parents=True)
    (conf / "emperor.ini").write_text(f"[uwsgi]\nemperor = {conf}/*/vassal.ini\n")
    (conf / "common.ini").write_text("[uwsgi]\nsocket = /run/%(name).sock\n")
    (conf / "news/vassal.ini").write_text("[uwsgi]\nname = news\nmodule = app\n")
    running = [process(table, 10, 1, ["uwsgi", "--ini", f"{conf}/emperor.ini"]),
               process(table, 20, 10, ["uwsgi", "--ini", f"{conf}/news/vassal.ini", "--include", f"{conf}/common.ini"])]
    monkeypatch.setattr(_proc, "processes", lambda: {item.pid: item for item in running})
    monkeypatch.setattr(_evidence_uwsgi, "unit_properties", lambda units: {})
    monkeypatch.setattr(_instance, "listener", lambda paths: running[1])
    assert _instance.socket_definition(SERVICE, "/run/news.sock") == (f"{conf}/common.ini", "/run/%(name).sock", 2)

    serving, _emperors = _evidence_uwsgi.instances({item.pid: item for item in running}, {}, "host", _proc.Sockets(str(table)))
    assert _evidence_service.sockets(serving[0]) == [{"address": "/run/news.sock", "problem": ""}]
    running.append(process(table, 30, 10, ["uwsgi", "--ini", f"{conf}/shop/vassal.ini", "--include", f"{conf}/common.ini"]))
    (conf / "shop").mkdir()
    (conf / "shop/vassal.ini").write_text("[uwsgi]\nname = shop\n")
    serving, _emperors = _evidence_uwsgi.instances({item.pid: item for item in running}, {}, "host", _proc.Sockets(str(table)))
    problem = f"it is written in {conf}/common.ini, which other instances read too; write it in the service's own file"
    assert [_evidence_service.sockets(item) for item in serving] == [[{"address": f"/run/{name}.sock", "problem": problem}] for name in ("news", "shop")]

    monkeypatch.setattr(_proc, "processes", lambda: {10: running[0]})
    with pytest.raises(WebstackError, match="service news: the uWSGI that listens at /run/news.sock ended while it was looked at; run again"):
        _instance.read_config(SERVICE, "/run/news.sock")
