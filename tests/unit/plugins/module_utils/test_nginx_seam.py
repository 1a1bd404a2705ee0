# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The seam in nginx's configuration: taken and given back as one transaction, at any point again."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _nginx_led, _seams


class Nginx:
    """Stands for the running nginx: what it would refuse, and how often it was reloaded."""

    def __init__(self) -> None:
        self.reloads, self.refuses = 0, ""
        self.dies = False

    def test(self, changes: Sequence[Any] = (), directories: Sequence[str] = (), staged: bool = False) -> str:
        if self.refuses and not staged:
            raise CommandError("nginx failed", stderr=self.refuses)
        return ""

    def reload(self) -> None:
        if self.dies:
            raise KeyboardInterrupt
        self.reloads += 1

    @staticmethod
    def workers() -> dict[int, Any]:
        return {}


@pytest.fixture
def nginx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Nginx:
    found = Nginx()
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(_paths, "RUN_DIR", str(tmp_path / "run"))
    (tmp_path / "run" / "shop").mkdir(parents=True)
    monkeypatch.setattr(_seams, "_nginx_of", lambda memory: found)
    monkeypatch.setattr(_seams.NginxSeam, "_nginx_now", lambda self: {"address": self.address, "config": str(tmp_path / "nginx.conf")})
    (tmp_path / "nginx.conf").write_text(f"http {{ include {tmp_path}/*.site; }}")
    (tmp_path / "a.site").write_text("server { location / { uwsgi_pass 127.0.0.1:3031; } }\n")
    (tmp_path / "b.real").write_text("server { location / { uwsgi_pass localhost:3031; } }\n")
    (tmp_path / "b.real").chmod(0o640)
    (tmp_path / "b.site").symlink_to("b.real")
    os.utime(tmp_path / "a.site", (1_700_000_000, 1_700_000_000))
    return found


def seam() -> _seams.Seam:
    return _seams.of({"name": "shop"}, "127.0.0.1:3031")


def look(directory: Path) -> list[tuple[str, str, int]]:
    return [(path.name, path.read_text(), path.stat().st_mode) for path in sorted(directory.glob("*.*"))]


def test_there_and_back_leaves_no_trace(nginx: Nginx, tmp_path: Path) -> None:
    before = look(tmp_path)
    assert not seam().lies_on_container()
    seam().take("/run/one.sock")
    assert seam().lies_on("/run/one.sock") and not seam().lies_on("/run/two.sock") and nginx.reloads == 1
    assert seam().entrance == f"{tmp_path}/run/shop/nginx.sock"
    assert (tmp_path / "a.site").read_text() == (tmp_path / "b.real").read_text()
    assert (tmp_path / "a.site").read_text() == f"server {{ location / {{ uwsgi_pass unix:{tmp_path}/run/shop/nginx.sock; }} }}\n"
    assert (tmp_path / "b.site").is_symlink()
    seam().take("/run/one.sock")
    seam().take("/run/two.sock")
    assert seam().lies_on("/run/two.sock") and nginx.reloads == 1, "from one container to another only the link changes"
    seam().give_back()
    assert look(tmp_path) == before and nginx.reloads == 2 and not seam().lies_on_container()
    assert (tmp_path / "a.site").stat().st_mtime == 1_700_000_000
    assert not (tmp_path / "run/shop/nginx.sock").is_symlink()


def test_a_run_that_was_killed_before_the_reload_is_finished(nginx: Nginx, tmp_path: Path) -> None:
    nginx.dies = True
    with pytest.raises(KeyboardInterrupt):
        seam().take("/run/one.sock")
    assert seam().lies_on("/run/one.sock")
    nginx.dies = False
    seam().take("/run/one.sock")
    assert nginx.reloads == 1


def test_a_run_that_was_killed_before_the_reload_is_undone(nginx: Nginx, tmp_path: Path) -> None:
    before = look(tmp_path)
    nginx.dies = True
    with pytest.raises(KeyboardInterrupt):
        seam().take("/run/one.sock")
    with pytest.raises(KeyboardInterrupt):
        seam().give_back()
    assert look(tmp_path) == before and seam().lies_on_container(), "nginx has not gone back yet"
    nginx.dies = False
    seam().give_back()
    assert look(tmp_path) == before and nginx.reloads == 1 and not seam().lies_on_container()


def test_what_nginx_refuses_is_put_back(nginx: Nginx, tmp_path: Path) -> None:
    before = look(tmp_path)
    nginx.refuses = "nginx: [emerg] no such thing in /etc/nginx/x:3\n"
    with pytest.raises(WebstackError, match=r"service shop: nginx refuses .*no such thing in /etc/nginx/x:3.*; its files are as they were"):
        seam().take("/run/one.sock")
    assert look(tmp_path) == before and not seam().lies_on_container() and nginx.reloads == 0


def test_others_may_change_the_files_meanwhile(nginx: Nginx, tmp_path: Path) -> None:
    seam().take("/run/one.sock")
    path = tmp_path / "a.site"
    path.write_text("# theirs\n" + path.read_text().replace("}", "deny all; }", 1) + path.read_text())
    (tmp_path / "b.real").unlink()
    seam().give_back()
    own = "server { location / { uwsgi_pass 127.0.0.1:3031; } }\n"
    assert path.read_text() == "# theirs\n" + own.replace("}", "deny all; }", 1) + own


def test_files_that_install_writes_meanwhile_lead_to_the_container(nginx: Nginx, tmp_path: Path) -> None:
    wanted = {str(tmp_path / "a.site"): "server { location / { uwsgi_pass 127.0.0.1:3031; deny all; } }\n", str(tmp_path / "other"): "x"}
    assert _nginx_led.as_led(wanted) == {}
    seam().take("/run/one.sock")
    assert _nginx_led.as_led(wanted) == {str(tmp_path / "a.site"): f"server {{ location / {{ uwsgi_pass unix:{tmp_path}/run/shop/nginx.sock; deny all; }} }}\n"}


def test_a_plan_that_does_not_fit_any_more_is_said(nginx: Nginx, tmp_path: Path) -> None:
    (tmp_path / "a.site").unlink()
    (tmp_path / "b.real").unlink()
    with pytest.raises(WebstackError, match=r"service shop: nothing in nginx's configuration leads to 127\.0\.0\.1:3031"):
        seam().definition({})
    with pytest.raises(WebstackError, match="leads to 127.0.0.1:3031 any more"):
        seam().take("/run/one.sock")
