# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bounded looking: sizes, huge directories, names that UTF-8 cannot carry; state told apart; native needs of a real program."""

from __future__ import annotations

import json
import os
import sys
import time
import tracemalloc
from pathlib import Path
from typing import Any, Dict

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_code, _evidence_files, _evidence_native, _evidence_paths
from ansible_collections.gantry.webstack.plugins.module_utils.image import _closure
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs

SQLITE = b"SQLite format 3\0" + b"\0" * 84


def test_sizes(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/x").write_bytes(b"x" * 8192)
    os.link(tmp_path / "a/b/x", tmp_path / "a/y")
    (tmp_path / "a/loop").symlink_to(tmp_path)
    with open(tmp_path / "a/sparse.log", "wb") as sparse:
        sparse.truncate(2 << 30)
    found = _evidence_files.sizes([str(tmp_path / "a"), str(tmp_path / "a/b/x"), str(tmp_path / "gone")])
    assert [item["complete"] for item in found.values()] == [True, True, False]
    assert found[str(tmp_path / "a")]["files"] == 3 and 8192 <= found[str(tmp_path / "a")]["bytes"] < 1 << 20


def test_many_small_files_cost_a_bounded_memory(tmp_path: Path) -> None:
    """30 000 files here; what is looked at does not grow with more."""
    for number in range(30000):
        (tmp_path / str(number)).touch()
    tracemalloc.start()
    size = _evidence_files.sizes([str(tmp_path)], each=10000, seconds=600)[str(tmp_path)]
    _newer, has_code = _evidence_paths._content(str(tmp_path), 0)
    tree = _evidence_code.scan(str(tmp_path), set())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size["files"] == 10000 and not size["complete"] and not has_code
    assert tree.crowded == [str(tmp_path)] and len(tree.data) == 1
    assert peak < 40 << 20


def test_texts_that_utf8_cannot_carry() -> None:
    data = {"path": os.fsdecode(b"/srv/caf\xe9"), os.fsdecode(b"k\xff"): ["\ud800", ("a", 1, None)]}
    shown = _evidence_files.printable(data)
    assert shown == {"path": "/srv/caf\\xe9", "k\\xff": ["\\ud800", ["a", 1, None]]}
    json.dumps(shown, ensure_ascii=False).encode("utf-8")
    assert _evidence_files.is_printable("/srv/a\nb") and not _evidence_files.is_printable(os.fsdecode(b"/srv/\xff"))


def paths(code: Path, **changes: Any) -> _evidence_paths.Paths:
    given: Dict[str, Any] = {
        "subject": _evidence_paths.Subject(4242, {4242}), "code": str(code), "venv": None, "named": {}, "tree": _evidence_code.scan(str(code), set()),
        "written": [], "unit_state": {}, "static_roots": set(), "ignored": set(), "owned": {}}
    given.update(changes)
    return _evidence_paths.classify(_evidence_paths.Facts(**given))


@pytest.fixture(name="code")
def _code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(_evidence_paths, "SYSTEM", ("/usr", "/proc"))
    monkeypatch.setattr(_evidence_paths, "_NO_STATE", ("/proc", "/run"))
    code = tmp_path / "srv/app"
    code.mkdir(parents=True)
    (code / "app.py").write_text("x = 1\n")
    return code


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_what_the_service_wrote_into_its_code(code: Path) -> None:
    for name in ("uploads/2024", "templates", "pkg/data", "static/img", "cache"):
        (code / name).mkdir(parents=True)
    (code / "pkg/mod.py").touch()
    for name in ("uploads/2024/a.bin", "pkg/data/x.blob", "cache/page"):
        (code / name).write_text("x")
        for path in (code / name, (code / name).parent, code / name.split("/", maxsplit=1)[0]):
            os.chown(path, 4242, 4242)
    (code / "templates/a.bin").write_text("x")
    found = paths(code)
    assert sorted(found.state) == [str(code / "cache"), str(code / "pkg/data"), str(code / "uploads")]
    kinds = {path: _evidence_paths.state_kind(path, why) for path, why in found.state.items()}
    assert kinds == {str(code / "cache"): "cache", str(code / "pkg/data"): "data", str(code / "uploads"): "uploads"}


@pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user")
def test_what_changed_since_the_start(code: Path) -> None:
    os.chown(code, 4242, 4242)
    (code / "counter").mkdir()
    os.chown(code / "counter", 4242, 4242)
    (code / "counter/now").write_text("1")
    os.chown(code / "counter/now", 4242, 4242)
    assert not paths(code, started=time.time() + 60).state
    found = paths(code, started=time.time() - 60)
    assert found.state == {str(code / "counter"): "holds files that were changed since the service was started"}


@pytest.mark.parametrize(("name", "evidence", "kind"), [
    ("/var/log/shop", "", "logs"), ("/srv/logs", "", "logs"), ("/srv/x", "log /srv/x/a.log is open for writing", "logs"), ("/var/cache/shop", "", "cache"),
    ("/srv/tmp", "", "cache"), ("/srv/django_sessions", "", "sessions"), ("/srv/media", "", "uploads"), ("/srv/x", "", "data"),
    ("/srv/x", "X names the SQLite database /srv/x/a", "database"),
])
def test_kinds_of_state(name: str, evidence: str, kind: str) -> None:
    assert _evidence_paths.state_kind(name, evidence) == kind


def test_a_directory_with_a_database(tmp_path: Path) -> None:
    (tmp_path / "app.db").write_bytes(SQLITE)
    (tmp_path / "app.db-wal").touch()
    assert _evidence_paths.state_kind(str(tmp_path)) == "database"


@pytest.mark.skipif(os.geteuid() != 0, reason="files of a user with a home")
def test_logins_at_home_and_settings_beside_the_code(code: Path, tmp_path: Path) -> None:
    home, etc = tmp_path / "home", tmp_path / "etc/shop"
    for path, text in [(home / ".pgpass", "*:*:*:*:CANARY"), (home / ".docker/config.json", '{"auths": {"r": {"auth": "CANARY1"}}}'),
                       (home / ".config/pip/pip.conf", "[global]\nindex-url = https://u:CANARY@h/\n"), (etc / "shop.ini", "password = CANARY\n"),
                       (etc / "plain.ini", "a = b\n"), (code / "conf/app.yaml", "secret: CANARY\n")]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = paths(code, home=str(home), named={str(etc): "environment variable CONF"}, tree=_evidence_code.scan(str(code), set()))
    assert {os.path.relpath(path, tmp_path): found.names.get(path) for path in found.secrets} == {
        "home/.pgpass": None, "home/.docker/config.json": ["auth"], "home/.config/pip/pip.conf": ["index-url"], "etc/shop/shop.ini": ["password"],
        "srv/app/conf/app.yaml": ["secret"]}
    assert list(found.files) == [str(etc)] and "CANARY" not in str(found)


def test_libraries_of_this_python() -> None:
    fs = HostFs()
    host = _closure.Host(fs, Dpkg.load(fs))
    found = _evidence_native.libraries(host, [sys.executable])
    names = {os.path.basename(path).split(".so")[0].split("-")[0] for path in found.found}
    assert "libc" in names and "ld" in names and not found.missing
    assert _evidence_native.named_libraries(host, ["c", "libc.so.6", "no-such-library"]).keys() == {"c", "libc.so.6"}


def test_locales(tmp_path: Path) -> None:
    (tmp_path / "de_DE.utf8").mkdir()
    found, remarks = _evidence_native.locales({"LANG": "de_DE.UTF-8", "LC_TIME": "C", "LC_ALL": "fr_FR.UTF-8"}, ["C.UTF-8"], str(tmp_path), lambda name: False)
    assert found == {str(tmp_path / "de_DE.utf8"): "environment variable LANG asks for the locale de_DE.UTF-8"}
    assert remarks == ["environment variable LC_ALL asks for the locale fr_FR.UTF-8, which this host does not have"]
