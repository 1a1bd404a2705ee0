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
from ansible_collections.gantry.webstack.plugins.module_utils.install import _tree
from ansible_collections.gantry.webstack.plugins.module_utils.install import _webapps as webapps
from ansible_collections.gantry.webstack.plugins.plugin_utils import source_pack


@pytest.fixture(name="host")
def a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host below tmp_path on which the tests' own user is everybody."""
    ids = (os.getuid(), os.getgid())
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_paths, "cron_file", lambda name: str(tmp_path / "cron.d" / f"webstack-{name}"))
    monkeypatch.setattr(_paths, "tmpfiles_conf", lambda name, kind: str(tmp_path / "tmpfiles.d" / f"webstack-{kind}-{name}.conf"))
    monkeypatch.setattr(webapps, "CRON_DIR", str(tmp_path / "cron.d"))
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
        "name": "shop", "user": {"name": "shop", "uid": None, "group": "shop", "gid": None}, "code_path": str(host / "srv" / "code"), "venv": None,
        "code_source": None, "code_digest": _tree.digest_of(entries) if code else None, "code_pack": str(pack) if code and sent else None,
        "directories": [{"path": str(host / "srv" / "data"), "mode": "0750"}],
        "secret_files": [{"name": "key", "path": str(host / "etc" / "key")}], "environment": {"A": "b"},
        "schedule": [{"when": "@daily", "user": "shop", "command": "/bin/true"}], "socket_dir": str(host / "run" / "shop"), **more,
    }


def run(services: List[Dict[str, Any]], check: bool = False, secrets: Optional[Dict[str, Any]] = None) -> webapps.Webapps:
    module = MagicMock()
    module.check_mode = check
    module.params = {"services": services, "secrets": {"shop": {"key": "hidden"}} if secrets is None else secrets, "socket_group": "www-data"}
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
    assert [diff["after_header"] for diff in real.diffs] == [diff["after_header"] for diff in checked.diffs]
    for check in (True, False):
        assert not run([service(host)], check=check).changed
    assert (host / "srv/code/wsgi.py").read_text() == "1"
    assert (host / "etc/key").read_text() == "hidden" and (host / "etc/key").stat().st_mode & 0o7777 == 0o400
    assert (host / "srv/data").stat().st_mode & 0o7777 == 0o750
    assert (host / "run/shop").stat().st_mode & 0o7777 == 0o2750
    assert "@daily shop /bin/true" in (host / "cron.d/webstack-shop").read_text()
    assert "hidden" not in str(real.diffs) + str(real.result) + str(checked.diffs)


def test_nothing_is_touched_before_the_code_is_there(host: Path) -> None:
    before = everything(host)
    shell = run([service(host, sent=False)])
    assert shell.result["code_there"] == {"shop": {}} and not shell.changed
    assert everything(host) == before


def test_new_code_is_stamped_and_old_code_goes(host: Path) -> None:
    run([service(host)])
    stamp = (host / "state/shop/code.json").read_text()
    (host / "source" / "wsgi.py").rename(host / "source" / "main.py")
    assert run([service(host)]).result["code"] == ["shop"]
    assert [path.name for path in (host / "srv/code").iterdir()] == ["main.py"]
    assert (host / "state/shop/code.json").read_text() != stamp


def test_a_removed_service_keeps_its_data(host: Path) -> None:
    run([service(host)])
    (host / "cron.d/theirs").write_text("# theirs\n")
    assert run([]).changed
    assert not (host / "cron.d/webstack-shop").exists() and not (host / "tmpfiles.d/webstack-host-shop.conf").exists()
    assert (host / "cron.d/theirs").exists() and (host / "srv/data").exists() and (host / "srv/code/wsgi.py").exists() and (host / "etc/key").exists()
    assert not (host / "state/shop").exists()
    assert not run([]).changed


def test_a_service_in_a_container_is_left_alone(host: Path) -> None:
    run([service(host)])
    _journal.Journal("shop").record("moved", runtime="container")
    (host / "cron.d/webstack-shop").write_text((host / "cron.d/webstack-shop").read_text().replace("shop /bin", "root docker exec shop /bin"))
    (host / "run/shop").rmdir()
    (host / "source" / "wsgi.py").write_text("2")
    before = everything(host)
    shell = run([service(host)])
    assert not shell.changed and shell.result["contained"] == ["shop"] and everything(host) == before


@pytest.mark.parametrize("value", ["other", 42])
def test_a_changed_secret_is_written(host: Path, value: Any) -> None:
    run([service(host)])
    shell = run([service(host)], secrets={"shop": {"key": value}})
    assert [diff["after_header"] for diff in shell.diffs] == [str(host / "etc/key")]
    assert (host / "etc/key").read_text() == str(value)


def test_a_secret_without_a_value(host: Path) -> None:
    with pytest.raises(WebstackError, match="^service shop: webstack_secrets has no value for its secret key, and .*/etc/key is not there$"):
        run([service(host)], secrets={})
    run([service(host)])
    assert not run([service(host)], secrets={}).changed


def test_a_file_in_place_of_a_state_directory_is_the_services_own(host: Path) -> None:
    (host / "srv").mkdir()
    (host / "srv/data").write_text("db")
    run([service(host)])
    assert (host / "srv/data").read_text() == "db"
