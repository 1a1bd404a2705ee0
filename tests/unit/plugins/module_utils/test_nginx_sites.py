# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sites: what nginx says, and the transaction around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Sequence
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_sites as nginx
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK, Change


@pytest.mark.parametrize(("stderr", "complaint"), [
    # nginx 1.22.1: -t, -T -q, and its error log
    ('nginx: [emerg] unknown directive "lisen" in /etc/nginx/conf.d/zz.conf:1\nnginx: configuration file /etc/nginx/nginx.conf test failed\n',
     ('unknown directive "lisen"', "/etc/nginx/conf.d/zz.conf", "1")),
    ('2026/11/24 07:46:37 [emerg] 3341#3341: unknown directive "lisen" in /etc/nginx/conf.d/zz.conf:1\nnginx: configuration file x test failed\n',
     ('unknown directive "lisen"', "/etc/nginx/conf.d/zz.conf", "1")),
    ("2026/11/24 07:14:36 [emerg] 61#61: bind() to 127.0.0.1:8082 failed (98: Address already in use)\n",
     ("bind() to 127.0.0.1:8082 failed (98: Address already in use)", "", "")),
    ('nginx: [warn] conflicting server name "a" on 0.0.0.0:80, ignored\nnginx: [emerg] host not found in upstream "x" in /e/a.conf:12\n',
     ('host not found in upstream "x"', "/e/a.conf", "12")),
])
def test_complaints(stderr: str, complaint: tuple) -> None:
    assert _nginx.parse_complaint(stderr) == complaint


def test_no_complaint() -> None:
    assert _nginx.parse_complaint("nginx: configuration file /etc/nginx/nginx.conf test is successful\n") is None


def test_files_read() -> None:
    dump = "# configuration file /etc/nginx/nginx.conf:\nuser x;\n\n# configuration file /a b.conf:\n"
    assert _nginx.files_read(dump) == {"/etc/nginx/nginx.conf", "/a b.conf"}


@pytest.mark.parametrize(("starts", "times", "stale"), [
    ([100.0], [99.0, 50.0], False), ([100.0, 10.0], [50.0], True), ([100.0, 99.9], [100.5], False), ([100.0], [102.0], True),
    ([], [5.0], False), ([1.0], [], False),
])
def test_staleness(starts: List[float], times: List[float], stale: bool) -> None:
    assert _nginx.is_stale(starts, times) is stale


class FakeNginx:
    """An nginx that refuses files with ``bad`` in them, and reloads unless one holds ``port``."""

    def __init__(self, directory: Path, running: bool = True) -> None:
        self.directory, self.is_running, self.reloads, self.starts = directory, running, 0, 0

    def container(self) -> str:
        return ""

    def installed(self) -> bool:
        return True

    def running(self) -> bool:
        return self.is_running

    def workers(self) -> Dict[int, Any]:
        return {}

    def version(self) -> tuple:
        return (1, 22, 1)

    def test(self, changes: Sequence[Change] = (), directories: Sequence[str] = (), staged: bool = False) -> str:
        texts = {str(path): path.read_text() for path in self.directory.iterdir()}
        for change in changes:
            texts[change.path] = change.target.text if change.target else ""
        dump = ""
        for shown, text in sorted(texts.items()):
            if "bad" in text:
                raise CommandError("nginx failed", rc=1, stderr=f'nginx: [emerg] unknown directive "bad" in {shown}:2\n', stdout="")
            dump += f"# configuration file {shown}:\n"
        return dump

    def reload(self) -> None:
        self.reloads += 1
        if any("port" in path.read_text() for path in self.directory.iterdir()):
            raise WebstackError("nginx was told to reload but runs no new workers", log="2026/11/24 07:14:36 [emerg] 61#61: bind() failed")

    def start(self) -> None:
        self.starts += 1


def sites(directory: Path, fake: FakeNginx, monkeypatch: pytest.MonkeyPatch, check: bool = False, **contents: str) -> nginx.NginxSites:
    module = MagicMock()
    module.check_mode = check
    monkeypatch.setattr(nginx._paths, "NGINX_DIR", str(directory.parent / "webstack"))
    monkeypatch.setattr(nginx._paths, "NGINX_LOGROTATE", str(directory.parent / "logrotate.d" / "webstack-nginx"))
    listed = [{"name": name, "content": text, "certificates": [], "users": [], "logs": []} for name, text in contents.items()]
    module.params = {"sites": listed, "settings": {"http": "", "http_names": [], "main": [], "events": [], "main_extra": "", "events_extra": ""},
                     "logrotate": {"frequency": "daily", "keep": 14}, "directory": str(directory), "binary": "nginx",
                     "config": str(directory.parent / "nginx.conf"), "unit": "nginx.service", "timeout": 1}
    monkeypatch.setattr(nginx, "Nginx", lambda *args: fake)
    return nginx.NginxSites(module)


@pytest.fixture(name="conf")
def conf_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "nginx" / "conf.d"
    directory.mkdir(parents=True)
    (directory / "theirs.conf").write_text("# theirs\n")
    return directory


def names(directory: Path) -> List[str]:
    return sorted(path.name for path in directory.iterdir())


def test_check_real_check_real_and_removal(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNginx(conf)
    outcomes = []
    for check in (True, False, True, False):
        run = sites(conf, fake, monkeypatch, check, a="server {}\n", b="server {}\n")
        run.run()
        outcomes.append((run.changed, [diff["after_header"].rpartition("/")[2] for diff in run.diffs]))
        if check and len(outcomes) == 1:
            assert names(conf) == ["theirs.conf"]
    both = ["webstack-a.conf", "webstack-b.conf"]
    assert outcomes == [(True, both), (True, both), (False, []), (False, [])]
    assert fake.reloads == 1
    assert (conf / "webstack-a.conf").read_text() == f"# {MARK}\nserver {{}}\n"
    run = sites(conf, fake, monkeypatch, a="server {}\n")
    run.run()
    assert (run.result["sites"], run.result["removed"], run.result["reloaded"]) == ([], ["b"], True)
    assert names(conf) == ["theirs.conf", "webstack-a.conf"]


def test_a_refused_site_changes_nothing(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNginx(conf)
    sites(conf, fake, monkeypatch, a="server {}\n").run()
    with pytest.raises(WebstackError) as caught:
        sites(conf, fake, monkeypatch, a="server { new }\n", b="bad\n").run()
    assert str(caught.value) == f'nginx refuses the site b: unknown directive "bad" in {conf}/webstack-b.conf:2; nothing was changed'
    assert names(conf) == ["theirs.conf", "webstack-a.conf"]
    assert "new" not in (conf / "webstack-a.conf").read_text()
    assert names(conf.parent) == ["conf.d"]
    assert fake.reloads == 1


def test_a_failed_reload_is_put_back_new_files_included(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNginx(conf)
    sites(conf, fake, monkeypatch, a="server {}\n").run()
    with pytest.raises(WebstackError, match=r"^with the changed sites a, b nginx was told to reload .* \(bind\(\) failed\); everything was put back$"):
        sites(conf, fake, monkeypatch, a="server { new }\n", b="port\n").run()
    assert names(conf) == ["theirs.conf", "webstack-a.conf"]
    assert "new" not in (conf / "webstack-a.conf").read_text()
    assert fake.reloads == 3  # the first, the refused one, and the one back


def test_without_a_mount_namespace_it_is_tested_in_place_and_put_back(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNginx(conf)
    in_place = fake.test

    def test(*args: Any, staged: bool = False) -> str:
        if staged:
            raise CommandError("unshare failed", rc=1, stderr="unshare: unshare failed: Operation not permitted\n")
        return in_place()

    monkeypatch.setattr(fake, "test", test)
    with pytest.raises(WebstackError, match="^nginx refuses the site b: .*; everything was put back$"):
        sites(conf, fake, monkeypatch, b="bad\n").run()
    assert names(conf) == ["theirs.conf"]


def test_a_broken_file_of_others_is_named(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (conf / "theirs.conf").write_text("bad\n")
    sentence = r"^nginx refuses its configuration: .*theirs.conf:2 \(not a file of gantry.webstack: correct it .*\); nothing was changed$"
    with pytest.raises(WebstackError, match=sentence):
        sites(conf, FakeNginx(conf), monkeypatch, a="server {}\n").run()


def test_a_directory_that_nginx_does_not_read(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNginx(conf)
    monkeypatch.setattr(fake, "test", lambda *args, **more: "")
    with pytest.raises(WebstackError, match=r"^nginx does not read .*webstack-a.conf: .* includes no"):
        sites(conf, fake, monkeypatch, a="server {}\n").run()


def test_a_stopped_nginx_is_started(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeNginx(conf, running=False)
    run = sites(conf, fake, monkeypatch)
    run.run()
    assert (run.changed, fake.starts, fake.reloads) == (True, 1, 0)
