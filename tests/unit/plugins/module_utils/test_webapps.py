# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Everything around web applications: check, real, again; removal; containers; secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Dict, List, Optional
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _releases, _secret_files, _tree
from ansible_collections.gantry.webstack.plugins.module_utils.install import _webapps as webapps
from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack


@pytest.fixture(name="host")
def a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host below tmp_path on which the tests' own user is everybody."""
    ids = (os.getuid(), os.getgid())
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_paths, "tmpfiles_conf", lambda name, kind: str(tmp_path / "tmpfiles.d" / f"webstack-{kind}-{name}.conf"))
    monkeypatch.setattr(webapps, "TMPFILES_DIR", str(tmp_path / "tmpfiles.d"))
    monkeypatch.setattr(webapps._webapp_files, "on_tmpfs", lambda path: True)
    monkeypatch.setattr(_users, "known", lambda: _users.Known({"shop": ids}, {"shop": ids[1], "www-data": ids[1]}))
    real = webapps._own_files.Target
    monkeypatch.setattr(webapps._own_files, "Target", lambda text, mode=0o644, uid=0, gid=0: real(text, mode, *ids))
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "wsgi.py").write_text("1")
    return tmp_path


def service(host: Path, code: bool = True, sent: bool = True, **more: Any) -> Dict[str, Any]:
    entries = _tree.scan(str(host / "source"))
    pack = host / "pack.tar.gz"
    source_pack.pack(host / "source", entries, pack)
    return {
        "name": "shop", "user": {"name": "shop", "uid": None, "group": "shop", "gid": None}, "code_path": str(host / "srv" / "current"), "venv": None,
        "lock_digest": None,
        "interpreter": None, "version": None, "system_site_packages": False,
        "release": None, "keep": 3, "static": [], "secret_environment": [], "secret_units": False,
        "code_note": "x", "commands": None,
        "code_source": None, "code_digest": _tree.digest_of(entries) if code else None, "code_pack": str(pack) if code and sent else None,
        "directories": [{"path": str(host / "srv" / "data"), "mode": "0750"}],
        "secret_files": [{"name": "key", "path": str(host / "etc" / "key")}],
        "socket_dir": str(host / "run" / "shop"), **more,
    }


def run(services: List[Dict[str, Any]], check: bool = False, secrets: Optional[Dict[str, Any]] = None) -> webapps.Webapps:
    module = MagicMock()
    module.check_mode = check
    module.params = {"services": services, "secrets": {"shop": {"key": "hidden"}} if secrets is None else secrets, "socket_group": "www-data", "deploy": False}
    shell: Any = webapps.Webapps(module)
    shell.run()
    return shell


def everything(host: Path) -> Dict[str, str]:
    return {str(path.relative_to(host)): path.read_text() if path.is_file() else "" for path in host.rglob("*") if path.name not in ("pack.tar.gz",)}


def test_check_real_check_real(host: Path) -> None:
    before = everything(host)
    checked = run([service(host, sent=False)], check=True)
    assert checked.changed and everything(host) == before
    real = run([service(host)])
    _releases.Releases("shop").flip()
    assert [diff["after_header"] for diff in real.diffs] == [diff["after_header"] for diff in checked.diffs]
    for check in (True, False):
        assert not run([service(host)], check=check).changed
    assert next((host / "srv/releases").glob("*/wsgi.py")).read_text() == "1"
    assert (host / "etc/key").read_text() == "hidden" and (host / "etc/key").stat().st_mode & 0o7777 == 0o400
    assert (host / "srv/data").stat().st_mode & 0o7777 == 0o750
    assert (host / "run/shop").stat().st_mode & 0o7777 == 0o2750
    assert "hidden" not in str(real.diffs) + str(real.result) + str(checked.diffs)


def test_nothing_is_touched_before_the_code_is_there(host: Path) -> None:
    before = everything(host)
    shell = run([service(host, sent=False)])
    assert shell.result["code_there"] == {"shop": {}} and not shell.changed
    assert everything(host) == before


def test_new_code_waits_beside_what_runs(host: Path) -> None:
    first = run([service(host)]).result["staged"]["shop"]["release"]
    _releases.Releases("shop").flip()
    (host / "source" / "wsgi.py").rename(host / "source" / "main.py")
    second = run([service(host)]).result
    assert second["code"] == ["shop"] and second["staged"]["shop"]["former"] == first
    assert sorted(path.name for path in (host / "srv/current").iterdir()) == [".webstack-release.json", "wsgi.py"]
    assert (Path(second["staged"]["shop"]["path"]) / "main.py").exists()
    assert _releases.Releases("shop").pending and run([service(host)]).result["code"] == ["shop"]


def test_a_release_that_somebody_edited_is_replaced_by_another(host: Path) -> None:
    first = run([service(host)]).result["staged"]["shop"]["release"]
    _releases.Releases("shop").flip()
    (host / "srv/current/wsgi.py").write_text("edited")
    assert run([service(host)]).result["staged"]["shop"]["release"] == first + "-2"
    assert not run([service(host)]).plans["shop"].fresh


def test_state_inside_the_code_is_shared(host: Path) -> None:
    inside = [{"path": str(host / "srv/current/var/data"), "mode": "0750"}]
    run([service(host, directories=inside)])
    _releases.Releases("shop").flip()
    (host / "srv/current/var/data/db").write_text("1")
    assert (host / "srv/shared/var/data/db").exists() and not run([service(host, directories=inside)]).changed


def test_a_directory_in_place_of_the_link_is_taken_over(host: Path) -> None:
    code, venv = host / "srv/current", host / "srv/venv"
    for path in (code / "data", venv / "bin"):
        path.mkdir(parents=True)
    (code / "wsgi.py").write_text("by hand")
    (code / "data/db").write_text("1")
    inside = [{"path": str(code / "data"), "mode": "0750"}]
    run([service(host, directories=inside)])
    releases = _releases.Releases("shop")
    assert code.is_symlink() and (code / "wsgi.py").read_text() == "by hand" and (code / "data/db").read_text() == "1"
    assert releases.running().startswith("adopted-") and releases.record["serving"] == releases.running()
    releases.flip()
    assert (code / "wsgi.py").read_text() == "1" and (code / "data/db").read_text() == "1"
    assert releases.flip_back() and (code / "wsgi.py").read_text() == "by hand"


def test_secret_environment(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_paths, "secret_ini", lambda name: str(host / "etc" / "secrets" / (name + ".ini")))
    monkeypatch.setattr(_paths, "secret_env", lambda name: str(host / "etc" / "secrets" / (name + ".env")))
    users = dict.fromkeys(("shop", "root"), (os.getuid(), os.getgid()))
    monkeypatch.setattr(_users, "known", lambda: _users.Known(users, {"shop": os.getgid(), "www-data": os.getgid()}))
    wanted = service(host, secret_environment=["T"], secret_units=True)
    with pytest.raises(WebstackError, match="^service shop: webstack_secrets has no value for its secret T$"):
        run([wanted])
    values = {"shop": {"key": "hidden", "T": "50% of $(X)"}}
    shell = run([wanted], secrets=values)
    assert "50%" not in str(shell.diffs) + str(shell.result)
    text = (host / "etc/secrets/shop.ini").read_text()
    assert _secret_files.parse_ini(text) == {"T": "50% of $(X)"} and (host / "etc/secrets/shop.ini").stat().st_mode & 0o777 == 0o400
    assert 'T="50% of \\$(X)"' in (host / "etc/secrets/shop.env").read_text()
    assert [diff["after_header"] for diff in run([wanted], secrets={"shop": {**values["shop"], "T": "new"}}).diffs if "secrets" in diff["after_header"]] != []


def test_a_removed_service_keeps_its_data(host: Path) -> None:
    run([service(host)])
    assert run([]).changed
    assert not (host / "tmpfiles.d/webstack-host-shop.conf").exists()
    assert (host / "srv/data").exists() and list((host / "srv/releases").glob("*/wsgi.py"))
    assert (host / "etc/key").exists()
    assert not (host / "state/shop").exists()
    assert not run([]).changed


def test_a_service_in_a_container_is_left_alone(host: Path) -> None:
    run([service(host)])
    _journal.Journal("shop").record("moved", runtime="container")
    (host / "run/shop").rmdir()
    (host / "source" / "wsgi.py").write_text("2")
    before = everything(host)
    shell = run([service(host)])
    assert not shell.changed and shell.result["contained"] == ["shop"] and everything(host) == before


@pytest.mark.parametrize("value", ["other", 42])
def test_a_changed_secret_is_written(host: Path, value: Any) -> None:
    run([service(host)])
    _releases.Releases("shop").flip()
    shell = run([service(host)], secrets={"shop": {"key": value}})
    assert [diff["after_header"] for diff in shell.diffs] == [str(host / "etc/key")]
    assert (host / "etc/key").read_text() == str(value)


def test_a_secret_without_a_value(host: Path) -> None:
    with pytest.raises(WebstackError, match="^service shop: webstack_secrets has no value for its secret key, and .*/etc/key is not there$"):
        run([service(host)], secrets={})
    run([service(host)])
    _releases.Releases("shop").flip()
    assert not run([service(host)], secrets={}).changed


def test_a_file_in_place_of_a_state_directory_is_the_services_own(host: Path) -> None:
    (host / "srv").mkdir()
    (host / "srv/data").write_text("db")
    run([service(host)])
    assert (host / "srv/data").read_text() == "db"
