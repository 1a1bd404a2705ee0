# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Who keeps an instance, and what runs otherwise than it is written now."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_keepers as keepers
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_uwsgi, _uwsgi_config
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _uwsgi_running as running

MAIN = """\
[supervisord]
; nothing
[include]
files = conf.d/*.conf  ; more
"""
SHOP = """\
[program:shop]
command=/usr/bin/uwsgi --ini "%(here)s/shop one.ini" --set name=%(program_name)s ; of the shop
directory=/srv/%(ENV_TOP)s
environment=NAME="the shop, here",MODE=live
[fcgi-program:wiki]
command=uwsgi --ini wiki.ini
socket=tcp://*:9001
[eventlistener:mail]
command=crashmail
"""


def read_file(files: Dict[str, str]) -> Any:
    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]
    return read


def test_programs_of_supervisor() -> None:
    files = {"/etc/supervisor/supervisord.conf": MAIN, "/etc/supervisor/conf.d/shop.conf": SHOP}
    shop, wiki = keepers.programs("/etc/supervisor/supervisord.conf", {"TOP": "shop"}, read_file(files),
                                  lambda pattern: [path for path in files if path.startswith(pattern[:-6])])
    assert shop.command == ["/usr/bin/uwsgi", "--ini", "/etc/supervisor/conf.d/shop one.ini", "--set", "name=shop"]
    assert (shop.name, shop.directory, shop.environment, shop.socket) == ("shop", "/srv/shop", {"NAME": "the shop, here", "MODE": "live"}, "")
    assert (wiki.file, wiki.address) == ("/etc/supervisor/conf.d/shop.conf", "0.0.0.0:9001")
    assert keepers.kept_by("supervisor", wiki) == "supervisor keeps it and opens its socket tcp://*:9001 (program wiki in /etc/supervisor/conf.d/shop.conf)"


@pytest.mark.parametrize("text", ["[program:x", "command=x\n", "\0"])
def test_a_broken_supervisor_file_has_no_programs(text: str) -> None:
    assert keepers.programs("/s.conf", {}, read_file({"/s.conf": text})) == []


def process(top: Path, pid: int, parent: int, argv: List[str], environ: str = "") -> Process:
    base = top / str(pid)
    base.mkdir()
    (base / "status").write_text(f"Name:\tx\nPPid:\t{parent}\nUid:\t0 0 0 0\nGid:\t0 0 0 0\n")
    (base / "cmdline").write_bytes("\0".join(argv).encode() + b"\0")
    (base / "environ").write_bytes(environ.encode())
    return Process(pid, str(top))


def test_the_program_by_name_by_command_or_any(tmp_path: Path) -> None:
    config = tmp_path / "s.conf"
    config.write_text("[program:a]\ncommand=uwsgi --ini a.ini\n[program:b]\ncommand=uwsgi --ini b.ini\n[program:c]\ncommand=top\n")
    above = process(tmp_path, 2, 1, ["/usr/bin/python3", "/usr/bin/supervisord", "-c", str(config)])
    named = process(tmp_path, 3, 2, ["uwsgi", "--ini", "old.ini"], "SUPERVISOR_PROCESS_NAME=b_00\0SUPERVISOR_GROUP_NAME=b\0")
    told = process(tmp_path, 4, 2, ["uwsgi", "--ini", "a.ini"])
    titled = process(tmp_path, 5, 2, ["uWSGI master"])
    table = {item.pid: item for item in (above, named, told, titled)}

    def names(item: Process) -> List[str]:
        supervisor = keepers.supervisor_of(table, item)
        assert supervisor == ("supervisor", above)
        return [found.name for found in keepers.candidates(above, item, lambda path: Path(path).read_text())]

    assert (names(named), names(told), names(titled)) == (["b"], ["a"], ["a", "b"])
    assert keepers.supervisor_of(table, above) is None


def config_of(text: str) -> _uwsgi_config.Config:
    return _uwsgi_config.effective(["uwsgi", "--ini", "x.ini"], "/srv/x", {}, read_file({"/srv/x/x.ini": "[uwsgi]\n" + text}))


CONFIG = "master = true\nprocesses = 4\nsocket = x.sock\nchdir = app\nuid = shop\n"


@pytest.mark.parametrize(("changes", "sentence"), [
    ({}, None),
    ({"listening": {"/srv/x/old.sock"}}, "its configuration says socket /srv/x/x.sock, but the running process listens at /srv/x/old.sock"),
    ({"children": 2}, "its configuration says processes = 4, but 2 run"),
    ({"children": 2, "stats": {"workers": [{}, {}, {}, {}]}}, None),
    ({"stats": {"workers": [{}]}}, "its configuration says processes = 4, but 1 runs"),
    ({"directory": "/srv/y"}, "its configuration says chdir = /srv/x/app, but it runs in /srv/y"),
    ({"uid": 9}, "its configuration says uid = shop, but it runs as user 9"),
    ({"changed": {"/srv/x/x.ini": 101.0}}, None),
    ({"changed": {"/srv/x/x.ini": 103.0}}, "/srv/x/x.ini changed after the service had read it: the plan has what stands there now; reload the service, or put "
     "back what it runs with"),
    ({"changed": {"/srv/x/x.ini": 103.0}, "loaded": 0.0}, None),
])
def test_what_runs_otherwise(changes: Dict[str, Any], sentence: Any) -> None:
    facts: Dict[str, Any] = {"listening": {"/srv/x/x.sock"}, "directory": "/srv/x/app", "uid": 7, "children": 4, "loaded": 100.0,
                             "changed": {"/srv/x/x.ini": 50.0}, "users": {"shop": 7}, **changes}
    assert running.differences(config_of(CONFIG), "/srv/x", running.Running(**facts)) == ([sentence] if sentence else [])


@pytest.mark.parametrize("text", ["processes = 4\ncheaper = 1\nmaster = true\n", "processes = @(exec://nproc)\nmaster = true\n", "processes = 1\n"])
def test_a_number_of_processes_that_says_nothing(text: str) -> None:
    assert not running.differences(config_of(text), "/srv/x", running.Running(set(), children=0))


def test_what_a_command_gives_is_told_by_the_process_or_stays_a_warning() -> None:
    config = config_of("chdir = @(exec:///bin/where)\nprocesses = @(http://conf/n)\nmodule = @(exec:///bin/what)\nenv = A=@(exec:///bin/where)\n")
    running.tell(config, {"chdir": "/srv/x", "processes": "3", "env": ""})
    assert [(option.key, option.value) for option in config.options] == [
        ("chdir", "/srv/x"), ("processes", "3"), ("module", "@(exec:///bin/what)"), ("env", "A=@(exec:///bin/where)")]
    assert config.warnings == ["exec:///bin/where is not a file: not read", "exec:///bin/what is not a file: not read"]


def test_a_file_that_is_none_stays_a_warning() -> None:
    config = config_of("include = http://conf/x.ini\n")
    running.tell(config, {})
    assert config.warnings == ["http://conf/x.ini is not a file: not read"]


@pytest.mark.parametrize(("one", "other", "expected"), [
    ("127.0.0.1:3031", ":3031", True), ("localhost:3031", "127.0.0.1:3031", True), ("10.0.0.1:3031", "127.0.0.1:3031", False), ("/a:1", "/b:1", False),
    ("0.0.0.0:3031", "10.0.0.1:3031", True), ("0.0.0.0:3031", "10.0.0.1:3032", False),
])
def test_addresses(one: str, other: str, expected: bool) -> None:
    assert [running.same(*pair) for pair in ((one, other), (other, one))] == [expected, expected]


def test_sockets_that_no_option_names() -> None:
    config = config_of("socket = =0\nshared-socket = a.sock\nstats = 127.0.0.1:1717\nhttp-socket = :8080\nif-env = NOWHERE\nsocket = b.sock\nendif =\n")
    listening = {"/srv/x/a.sock", "127.0.0.1:1717", "0.0.0.0:8080", "/srv/x/b.sock"}
    assert running.inherited(config, "/srv/x", listening) == ["/srv/x/b.sock"]
    assert running.resolved(config, "=0") == "a.sock" and running.resolved(config, "=1") == "=1"


@pytest.mark.parametrize(("configured", "now", "expected"), [
    ("/usr/bin/uwsgi --ini a.ini", "/usr/bin/uwsgi --ini a.ini", False), ("/usr/bin/uwsgi --ini a.ini", "/usr/bin/uwsgi --ini b.ini", True),
    ("/usr/bin/uwsgi --ini $FILE", "/usr/bin/uwsgi --ini b.ini", False), ("/bin/sh -c x", "/usr/bin/uwsgi --ini b.ini", False),
    ("/usr/bin/uwsgi_python3 --ini a.ini", "uwsgi --ini a.ini", False), ("", "uwsgi", False),
])
def test_a_command_that_changed(configured: str, now: str, expected: bool) -> None:
    assert running.command_differs(configured.split(), now.split()) is expected


def test_variables_that_changed_are_named() -> None:
    assert running.variables_differ({"A": "1", "B": "2", "C": "3"}, {"A": "1", "B": "x", "D": "4"}) == ["B", "C"]


def test_the_command_line_of_a_vassal() -> None:
    emperor = config_of("vassals-include-before = a.ini\nvassals-inherit-before = b.ini\nvassal-set = x=1\nvassals-set = y=2\nvassals-include = c.ini\n")
    assert _evidence_uwsgi.vassal_command(emperor, "shop.yml") == [
        "uwsgi", "--inherit", "b.ini", "--include", "a.ini", "--set", "x=1", "--set", "y=2", "--yaml", "shop.yml", "--include", "c.ini"]
