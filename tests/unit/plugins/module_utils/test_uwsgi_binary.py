# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is known of a uWSGI program and of the files beside its vassals."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _processes
from ansible_collections.gantry.webstack.plugins.module_utils.install import _emperor, _uwsgi_binary, _uwsgi_values, _uwsgi_wrapper

HELP = """Usage: /usr/bin/uwsgi-core [options...]
    -s|--socket                           bind to the specified UNIX/TCP socket using default protocol
    --http-socket                         bind to the specified UNIX/TCP socket using HTTP protocol
    -p|--processes                        spawn the specified number of workers/processes
"""


def test_options_of_a_help_text() -> None:
    known = _uwsgi_binary.options_in(HELP)
    assert known == {"s", "socket", "http-socket", "p", "processes"}
    assert _uwsgi_binary.unknown_option(["socket", "p"], known) is None
    assert _uwsgi_binary.unknown_option(["procesess"], known) == "'procesess', did you mean processes?"
    assert _uwsgi_binary.unknown_option(["zzz"], known) == "'zzz'"


@pytest.mark.parametrize(("options", "wrong"), [
    ({"processes": 2, "harakiri": "30", "cheaper": False, "threads": "@(exec://nproc)", "reload-on-rss": "1.5", "module": "wsgi"}, None),
    ({"processes": "many"}, "processes is 'many', but uWSGI reads a number there"),
    ({"harakiri": "30s"}, "harakiri is '30s', but uWSGI reads a number there"),
    ({"py-autoreload": True}, "py-autoreload is true, but uWSGI reads a number there"),
    ({"reload-mercy": [5, ""]}, "reload-mercy is '', but uWSGI reads a number there"),
])
def test_numbers(options: Dict[str, Any], wrong: Optional[str]) -> None:
    assert _uwsgi_values.not_a_number(options) == wrong


def test_flags() -> None:
    options = {"master": "maybe", "vacuum": "yes", "need-app": True, "so-send-timeout": 5, "uid": "www-data", "stop": "/run/x.pid", "pythonpath": ["/a", "/b"]}
    assert _uwsgi_values.texts(options) == ["master", "pythonpath", "uid"]  # nothing that uWSGI would do at once
    said = "/usr/bin/uwsgi: option '--master' doesn't allow an argument\ngetopt_long() error\n"
    assert _uwsgi_values.flag_with_text(said, options) == "master is 'maybe', but it takes no value; write true or false"
    assert _uwsgi_values.flag_with_text(said, {"uid": "x"}) is None  # another service's
    assert _uwsgi_values.flag_with_text("", options) is None


def test_uwsgi_is_asked_once_about_flags_and_options(tmp_path: Path) -> None:
    program = tmp_path / "uwsgi"
    program.write_text("""#!/bin/sh
echo "$@" >> %s/asked
case "$*" in *--master=-*) echo "uwsgi: option '--master' doesn't allow an argument" >&2; exit 1;; esac
echo '    -M|--master   enable master process'
""" % tmp_path)
    program.chmod(0o755)
    assert _uwsgi_binary.known_options(str(program), (), ("uid",)) == ({"M", "master"}, "")
    names, said = _uwsgi_binary.known_options(str(program), ("python3",), ("master", "uid"))
    assert (names, "'--master'" in said) == ({"M", "master"}, True)
    assert (tmp_path / "asked").read_text().splitlines() == ["--uid=- --help", "--plugin python3 --master=- --uid=- --help", "--plugin python3 --help"]


@pytest.mark.parametrize(("value", "names"), [
    (None, []), ("python3", ["python3"]), ("python3, router_http", ["python3", "router_http"]), (["0:python3", "x"], ["python3", "x"]),
])
def test_plugins(value: Any, names: List[str]) -> None:
    assert _uwsgi_binary.plugin_names(value) == names


def test_versions(tmp_path: Path) -> None:
    assert _uwsgi_binary.python_of_libraries(["libc.so.6", "libpython3.11.so.1.0"]) == "3.11"
    assert _uwsgi_binary.python_of_libraries(["libc.so.6"]) == ""
    assert _uwsgi_binary.minor("3.11.2") == "3.11"
    assert _uwsgi_binary.venv_python(str(tmp_path)) == ""
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\nversion_info = 3.12.4.final.0\n")
    assert _uwsgi_binary.venv_python(str(tmp_path)) == "3.12"


def test_the_program_of_a_vassal() -> None:
    text = "; Managed\n; Program: /srv/x/.venv/bin/uwsgi\n[uwsgi]\nplugins = python3\nplugins = router_http\n"
    assert _uwsgi_wrapper.program_of(text) == "/srv/x/.venv/bin/uwsgi"
    assert _uwsgi_wrapper.program_of("[uwsgi]\n") == ""
    assert "plugins = python3" not in _uwsgi_wrapper.fitting(text, "/usr/bin/uwsgi")
    assert _uwsgi_wrapper.fitting("[uwsgi]\nplugin = python\nenv = A=1\n", "/opt/x/bin/uwsgi") == "[uwsgi]\nreload-os-env = true\nenv = A=1\n"
    assert "plugins = router_http" in _uwsgi_wrapper.fitting(text, "/usr/bin/uwsgi")
    assert _uwsgi_wrapper.fitting("plugins = python3\n", "/usr/bin/uwsgi") == "plugins = python3\n"


def test_vassals_by_the_emperors_stats() -> None:
    seen = {pid: _processes.Process(pid, parent, "S", 1.0, argv) for pid, parent, argv in (
        (10, 1, ["/opt/bin/python", "/opt/bin/uwsgi", "--emperor", "/v"]), (11, 10, ["shop uWSGI master"]), (12, 11, ["shop uWSGI worker 1"]))}
    assert _emperor.program(10, seen) == "/opt/bin/uwsgi"
    assert _emperor.program(9, seen) == ""
    assert _emperor.find_vassal("shop.ini", 10, seen) is None
    named = _emperor.named(seen, {"vassals": [{"id": "shop.ini", "pid": 11}, {"id": "gone.ini", "pid": 99}]})
    assert _emperor.find_vassal("shop.ini", 10, named) == _emperor.Vassal(11, {12: 1.0})
