# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The configuration reader against what uWSGI itself printed (--show-config) for the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _uwsgi_config as uwsgi

FIXTURES = Path(__file__).parents[2] / "fixtures" / "uwsgi"
CASES: Dict[str, Dict[str, Any]] = json.loads((FIXTURES / "cases.json").read_text(encoding="utf-8"))
RECORDED = sorted(FIXTURES.glob("recorded-*.json"))
CWD = "/tmp/uw/files"


def reader(files: Dict[str, str]) -> Callable[[str], str]:
    def read(path: str) -> str:
        if path not in files:
            if any(name.startswith(path + "/") for name in files):
                raise IsADirectoryError(21, "Is a directory")
            raise FileNotFoundError(2, "No such file or directory")
        return files[path]
    return read


def corpus() -> Dict[str, str]:
    return {f"{CWD}/{path.name}": path.read_text(encoding="utf-8") for path in (FIXTURES / "files").iterdir()}


def read_ini(text: str, **kwargs: Any) -> uwsgi.Config:
    return uwsgi.effective(["uwsgi", "--ini", "x.ini"], "/etc/vassals", kwargs.pop("environ", {}), reader({"/etc/vassals/x.ini": text}), **kwargs)


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda path: path.stem)
@pytest.mark.parametrize("name", sorted(CASES))
def test_agrees_with_uwsgi(recorded: Path, name: str) -> None:
    case = CASES[name]
    argv = ["uwsgi"] + [word.replace("{cwd}", CWD) for word in case["argv"]]
    config = uwsgi.effective(argv, CWD, case.get("environ", {}), reader(corpus()))
    # uWSGI spoils its own copy of an XML file's name when it carries an id
    mine = [f"{option.key} = {uwsgi.text(option)}" for option in config.exported if option.key != "xml"]
    theirs: List[str] = json.loads(recorded.read_text(encoding="utf-8"))[name]
    assert mine == [line for line in theirs if not line.startswith("xml = ")]


def test_there_are_recordings() -> None:
    assert RECORDED and len(CASES) > 20


def test_a_vassal_needs_no_command_line() -> None:
    files = reader({"/etc/vassals/shop.ini": "[uwsgi]\nsocket = /run/%n/s.sock\nchdir = %d\n"})
    config = uwsgi.effective([], "/etc/vassals", {}, files, vassal="shop.ini")
    assert [(o.key, o.value) for o in config.options] == [("socket", "/run/shop/s.sock"), ("chdir", "/etc/vassals/")]
    assert uwsgi.effective(["uwsgi", "--ini", "shop.ini"], "/etc/vassals", {}, files).options == config.options


def test_flags_are_true() -> None:
    config = read_ini("[uwsgi]\nmaster\nvacuum = true\nlazy = off\nmodule = app\n")
    assert [(o.key, o.value) for o in config.options] == [("master", True), ("vacuum", True), ("lazy", "off"), ("module", "app")]
    assert config.flag("master") and not config.flag("lazy") and not config.flag("cheap")


def test_structure_is_no_option() -> None:
    config = read_ini("[uwsgi]\nif-env = A\nharakiri = 3\nendif =\nset-ph = p=1\nset = processes=%(p)\n", environ={"A": "1"})
    assert [(o.key, o.value) for o in config.options if o.key != "p"] == [("harakiri", "3"), ("processes", "1")]


def test_declared_options_are_carried_out() -> None:
    config = read_ini("[uwsgi]\ndeclare-option = app=socket=/run/$1.sock;chdir=/srv/$1/$2\napp = shop code\n")
    assert [(o.key, o.value) for o in config.options] == [("socket", "/run/shop.sock"), ("chdir", "/srv/shop/code")]


@pytest.mark.parametrize(("text", "warning"), [
    ("[uwsgi]\ninclude = nothing.ini\n", "/etc/vassals/nothing.ini: No such file or directory"),
    ("[other]\nmaster = true\n", "/etc/vassals/x.ini: no section [uwsgi]"),
    ("[uwsgi]\ninclude = http://config/x.ini\n", "http://config/x.ini is not a file: not read"),
    ("[uwsgi]\ninclude = conf\n", "/etc/vassals/x.ini: conf has no known configuration format"),
    ("[uwsgi]\na = $(NOWHERE)\n", "/etc/vassals/x.ini: $(NOWHERE) has no value"),
    ("[uwsgi]\na = x%(a)\n", "/etc/vassals/x.ini: %() refers to itself"),
    ("[uwsgi]\nini = x.ini\n", "x.ini: files include each other without an end"),
    ("[uwsgi]\nif-reload =\na = 1\nendif =\n", "a condition on reloads: taken as the first start"),
    ("[uwsgi]\ninject-after = more.txt\n", "/etc/vassals/x.ini: inject-after is not followed"),
])
def test_what_is_not_understood_is_said(text: str, warning: str) -> None:
    assert warning in read_ini(text).warnings


def test_lines_and_matches_are_taken_as_they_are() -> None:
    """As uWSGI 2.0.21 read them: a line keeps its spaces, a match its pattern's directory."""
    host = uwsgi.Host(glob=lambda pattern: [pattern.replace("*", name) for name in "ab"])
    files = reader({"/v/x.ini": "[uwsgi]\nfor-readline = l.txt\nr = %(_)\nendfor =\nfor-glob = *.d\ng = %(_)\nendfor =\nfor-glob = /e/*\nh = %(_)\nendfor =\n",
                    "/v/l.txt": "one \n\ntwo\r\nthree\v"})
    config = uwsgi.effective(["uwsgi", "--ini", "x.ini"], "/v", {}, files, host=host)
    assert [uwsgi.text(option) for option in config.options] == ["one ", "", "two", "three\v", "a.d", "b.d", "/e/a", "/e/b"]


def test_apps_and_nested_elements_of_xml() -> None:
    """As uWSGI 2.0.21 read its own examples sites.xml and uwsgi.xml."""
    text = ("<uwsgi>\n<app mountpoint='/a'>\n <script>one</script>\n</app>\n<app domain='b.test'>two</app>\n<app><script>no</script></app>\n<app/>\n"
            "<route>\n<x>y</x></route>\n<only id='z'>1</only></uwsgi>\n")
    config = uwsgi.effective(["uwsgi", "--xml", "x.xml"], "/v", {}, reader({"/v/x.xml": text}))
    assert [(option.key, uwsgi.text(option).strip()) for option in config.options] == [
        ("mount", "/a=one"), ("app", ""), ("mount", "b.test|=two"), ("app", ""), ("app", ""), ("route", ""), ("only", "1")]
    assert not config.warnings


def test_placeholders_of_the_start() -> None:
    text = "[uwsgi]\na = %u-%k-%i-%j\n# %T\nb = %%t\nc = %t\n"
    config = read_ini(text, host=uwsgi.Host(magic={"u": "33", "k": "2"}, inode=lambda path: 7))
    assert [option.value for option in config.options] == ["33-2-7-29546091", "%t", ""]
    assert config.warnings == ["/etc/vassals/x.ini: %t is the time of the start, which is not known"] and config.letters == set("ukij%t")


@pytest.mark.parametrize(("protocol", "expected"), [("", 2), ("protocol = uwsgi\n", 2), ("protocol = http\n", 1), ("socket-protocol = fastcgi\n", 1)])
def test_sockets_of_another_protocol(protocol: str, expected: int) -> None:
    assert len(uwsgi.sockets(read_ini("[uwsgi]\nsocket = a.sock\nuwsgi-socket = b.sock\n" + protocol))) == expected


def test_links_keep_their_own_name() -> None:
    host = uwsgi.Host(is_link=lambda path: path.endswith("link.ini"), realpath=lambda path: "/srv/real/" + path.rsplit("/", 1)[1])
    files = reader({"/etc/vassals/link.ini": "[uwsgi]\np = %p\n", "/etc/vassals/plain.ini": "[uwsgi]\np = %p\n"})
    names = [uwsgi.effective(["uwsgi", "--ini", name], "/etc/vassals", {}, files, host=host).options[0].value for name in ("link.ini", "plain.ini")]
    assert names == ["/etc/vassals/link.ini", "/srv/real/plain.ini"]


def test_environment_is_what_env_leaves() -> None:
    config = read_ini("[uwsgi]\nenv = A=1\nenv = B=x=y\nenv = A=2\nenv = GONE=1\nunenv = GONE\n")
    assert uwsgi.environment(config) == {"A": "2", "B": "x=y"}


def test_locate_the_socket() -> None:
    config = read_ini("[uwsgi]\nname = shop\nsocket = /run/%(name)/%n.sock\n")
    assert uwsgi.locate_value(config, "socket") == uwsgi.Location("/etc/vassals/x.ini", "/run/%(name)/%n.sock", 3, None)
    assert uwsgi.locate_value(config, "socket", "/run/shop/x.sock").line == 3


@pytest.mark.parametrize(("text", "problem"), [
    ("[uwsgi]\nmaster = true\n", "the configuration has no option socket"),
    ("[uwsgi]\n# was /run/a.sock\nsocket = /run/a.sock\n", "'/run/a.sock' stands 2 times in /etc/vassals/x.ini"),
])
def test_a_socket_that_cannot_be_replaced(text: str, problem: str) -> None:
    assert uwsgi.locate_value(read_ini(text), "socket").problem == problem


def test_a_socket_on_the_command_line() -> None:
    config = uwsgi.effective(["uwsgi", "-s", "/run/a.sock"], "/", {}, reader({}))
    assert uwsgi.locate_value(config, "socket") == uwsgi.Location(None, "/run/a.sock", 0, "socket /run/a.sock is given by the command line")


KEYS = st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=3, max_size=8).map(lambda word: "x" + word)
VALUES = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="%$@"), max_size=30).map(str.strip)


@given(st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=20))
def test_an_ini_file_comes_back(pairs: List[Any]) -> None:
    body = "".join(f"{key} = {value}\n" for key, value in pairs)
    config = read_ini("; head\n[other]\nx = 1\n[uwsgi]\n" + body)
    assert [(option.key, uwsgi.text(option)) for option in config.exported[1:]] == pairs
    assert [option.line for option in config.exported[1:]] == list(range(5, 5 + len(pairs)))
    assert not config.warnings


def test_yaml_without_libyaml() -> None:
    """As uWSGI 2.0.31 from PyPI read tests/unit/fixtures/uwsgi/files/plain.yaml."""
    config = uwsgi.effective(["uwsgi", "--yaml", "plain.yaml"], CWD, {}, reader(corpus()), host=uwsgi.Host(libyaml=False))
    assert [(option.key, uwsgi.text(option)) for option in config.exported[1:]] == [
        ("master", "true"), ("processes", "4"), ("socket", "/run/plain.sock"), ("chdir", '"/srv/quoted dir"'), ("module", "'it''s'")]


@pytest.mark.parametrize("text", ["a = x%(a)\n", "a = %(a)%(a)\nb = %(a)%(a)%(b)\nc = %(b)%(b)%(c)\n"])
def test_a_value_that_refers_to_itself_ends(text: str) -> None:
    """uWSGI never comes to an end of it."""
    read = uwsgi.effective(["uwsgi", "--ini", "/x.ini"], "/", {}, lambda path: "[uwsgi]\n" + text + "chdir = /srv\n")
    assert any("refers to itself" in warning for warning in read.warnings)
