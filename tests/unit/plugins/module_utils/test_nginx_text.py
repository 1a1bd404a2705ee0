# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's configuration on the host: versions, settings in nginx.conf that can be taken back, password files, pairs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_extras as extras
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_text as text
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK

VENDOR = """\
user  nginx;
worker_processes  auto;   # as many as cores
error_log "/var/log/a b.log" warn;
events { worker_connections 512; use epoll; }
http {
    gzip on; sendfile on; # both
    log_format main '$remote_addr {';
    server { gzip off; }
}
"""


@pytest.mark.parametrize(("said", "version"), [
    ("nginx version: nginx/1.18.0\n", (1, 18, 0)), ("nginx version: nginx/1.26.3 (Debian)\n", (1, 26, 3)), ("x", ()),
])
def test_version(said: str, version: tuple) -> None:
    assert text.parse_version(said) == version


@pytest.mark.parametrize(("version", "expected"), [
    ((1, 18, 0), "server {\n    listen 443 ssl http2;\n    root /x;\n}\n"),
    ((1, 25, 0), "server {\n    listen 443 ssl http2;\n    root /x;\n}\n"),
    ((1, 25, 1), "server {\n    listen 443 ssl;\n    http2 on;\n    root /x;\n}\n"),
])
def test_http2_in_the_form_of_the_version(version: tuple, expected: str) -> None:
    content = "server {\n    listen 443 ssl%s;\n    %s\n    root /x;\n}\n" % (text.HTTP2_LISTEN, text.HTTP2)
    assert text.needs_version(content)
    assert text.resolve(content, version) == expected


def test_settings_stand_in_place_of_the_file_s_own_and_go_without_a_trace() -> None:
    done = text.edited(VENDOR, ["worker_processes 2;", "pcre_jit on;"], ["worker_connections 99;"], ["gzip"])
    assert done is not None
    assert done.startswith("# gantry.webstack begins\nworker_processes 2;\npcre_jit on;\n# gantry.webstack ends\nuser  nginx;\n")
    assert 'set aside "worker_processes  auto;"\n   # as many' in done
    assert 'set aside "gzip on;"\n sendfile on;' in done
    assert "server { gzip off; }" in done
    assert text.restored(done) == VENDOR
    assert text.edited(done, [], [], []) == VENDOR
    assert text.edited(done, ["worker_processes 2;", "pcre_jit on;"], ["worker_connections 99;"], ["gzip"]) == done


def test_no_events_block() -> None:
    assert text.edited("http {}\n", [], ["worker_connections 1;"], []) is None
    assert text.edited("http {}\n", [], [], [], "env X;") is None


def test_raw_text_stands_after_what_loads_modules_and_goes_without_a_trace() -> None:
    done = text.edited(VENDOR, [], [], [], "stream {\n\n}", "debug_connection ::1;")
    assert done is not None
    assert "use epoll; }# gantry.webstack begins\nstream {\n\n}\n# gantry.webstack ends\n\nhttp {" in done
    assert "events {# gantry.webstack begins\n    debug_connection ::1;\n# gantry.webstack ends\n worker" in done
    assert text.edited(done, [], [], []) == VENDOR


def test_what_may_be_repeated_replaces_nothing() -> None:
    vendor = "include /etc/nginx/modules-enabled/*.conf;\nload_module a.so;\nenv A;\nevents { debug_connection ::1; }\n"
    done = text.edited(vendor, ["include x;", "load_module b.so;", "env B;"], ["debug_connection ::2;"], [])
    assert done is not None and "set aside" not in done


@pytest.mark.parametrize(("config", "group"), [("user www-data;\n", "www-data"), ("user a b;", "b"), ("# user x;\n", "")])
def test_worker_group(config: str, group: str) -> None:
    assert text.worker_group(config) == group


def test_a_password_s_hash_is_kept_while_it_fits() -> None:
    first = extras.password_line({"name": "ann", "password": "secret"}, {})
    name, line = first.split(":", 1)
    assert line.startswith("$6$") and "secret" not in line
    assert extras.password_line({"name": "ann", "password": "secret"}, {"ann": line}) == first
    assert extras.password_line({"name": "ann", "password": "other"}, {"ann": line}) != first
    assert extras.password_line({"name": "ann", "hash": "$1$x"}, {"ann": line}) == "ann:$1$x"


def test_a_group_that_is_not_there() -> None:
    with pytest.raises(WebstackError, match="workers have the group 'no-such-group'"):
        extras.password_files([{"file": "/x", "name": "a", "hash": "b"}], "no-such-group", {})


def test_a_pair_is_kept_until_its_names_change_or_its_time_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted: list[dict[str, Any]] = [{"name": "a-0", "names": ["a.test", "10.0.0.1"]}]
    first = extras.pairs(wanted, {})
    key = next(target for path, target in first.items() if path.endswith(".key"))
    assert key.mode == 0o600 and MARK in key.text and "PRIVATE KEY" in key.text
    assert extras.pairs(wanted, first) == first
    assert extras.pairs([{"name": "a-0", "names": ["b.test"]}], first) != first
    assert extras.pairs(wanted, first, today="2999-01-01") != first


def test_logrotate() -> None:
    assert extras.logrotate([], "nginx.service", "daily", 1) == {}
    found = extras.logrotate(["/b", "/a", "/b"], "nginx.service", "weekly", 4)
    assert len(found) == 1
    path = next(iter(found))
    target = found[path]
    assert Path(path).name == "webstack-nginx" and '"/a"\n"/b"\n{\n    weekly\n    rotate 4\n' in target.text
