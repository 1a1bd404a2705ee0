# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applications that run as their distribution packages them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Dict, List
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.discover import (
    _evidence_code,
    _evidence_host,
    _evidence_paths,
    _evidence_service,
    _evidence_shared,
    _evidence_site,
    _evidence_uwsgi,
    _uwsgi_config,
)
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg, Stanza

DEFAULTS, APP = "/usr/share/uwsgi/conf/default.ini", "/etc/uwsgi/apps-enabled/radicale.ini"


def instance(argv: List[str], files: Dict[str, str], vassal: str = "", rewritten: bool = False) -> _evidence_uwsgi.Instance:
    def read(path: str) -> str:
        if path not in files:
            raise FileNotFoundError(path)
        return files[path]
    config = _uwsgi_config.effective(argv, "/", {}, read)
    return _evidence_uwsgi.Instance(MagicMock(argv=argv, rewritten=rewritten), [], config, "/", vassal=vassal)


@pytest.mark.parametrize(("words", "name", "file"), [
    (["--ini", DEFAULTS, "--ini", APP, "--daemonize", "/var/log/x.log"], "radicale", APP),
    (["--ini", APP], "radicale", APP),
    (["etc/uwsgi/apps-enabled/radicale.ini"], "radicale", APP),
    (["--ini", APP, "--include", DEFAULTS], "radicale", APP),
    (["--ini", APP + ":uwsgi", "--ini", "/etc/missing.ini"], "radicale", APP),
    (["--master"], "uwsgi-root", None),
])
def test_the_file_of_its_own_names_an_instance(words: List[str], name: str, file: "str | None") -> None:
    found = instance(["uwsgi", *words], {DEFAULTS: "[uwsgi]\nmaster = true\n", APP: "[uwsgi]\nworkers = 2\n"})
    assert (found.config_file, found.name) == (file, name)


def test_a_vassal_is_its_own_file() -> None:
    files = {APP: "[uwsgi]\nmaster = true\n", DEFAULTS: "[uwsgi]\n"}
    assert instance(["uwsgi", "--ini", APP, "--ini", DEFAULTS], files, vassal=APP).config_file == APP


@pytest.mark.parametrize(("options", "code"), [
    ("chdir2 = {top}/data\nwsgi-file = {top}/share/app.wsgi", "share"),  # uWSGI goes to chdir2 when the application is loaded
    ("chdir = {top}/data\nwsgi-file = {top}/share/app.wsgi", "share"),
    ("chdir = {top}/src\nwsgi-file = {top}/share/app.wsgi", "src"),
    ("chdir = {top}/src\nwsgi-file = conf/app.wsgi", "src"),
    ("chdir = {top}/src/app\npythonpath = {top}/src\nmodule = app", "src"),
    ("pythonpath = {top}/src\nmodule = app", "src"),
])
def test_where_the_code_is(tmp_path: Path, options: str, code: str) -> None:
    for path in ("data/x.txt", "share/app.wsgi", "src/app/__init__.py"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text("")
    service = _evidence_service.Service.__new__(_evidence_service.Service)
    service.instance = instance(["uwsgi", APP], {APP: "[uwsgi]\n" + options.format(top=tmp_path)})
    service.config = service.instance.config
    assert service._code() == str(tmp_path / code)


# -- files of packages


def write(path: Path, text: str = "", mode: int = 0o644) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def test_files_of_packages_are_compared_with_what_dpkg_unpacked(tmp_path: Path) -> None:
    packaged = {write(tmp_path / name, name): md5(name) for name in ("radicale/app.py", "radicale/log.py", "six.py", "zope-nspkg.pth")}
    packaged[write(tmp_path / "Radicale.egg-info", "Name: Radicale\nVersion: 3\n")] = md5("Name: Radicale\nVersion: 3\n")
    packaged[str(tmp_path / "radicale/gone.py")] = md5("")
    packaged[str(tmp_path / "radicale")] = ""
    write(tmp_path / "radicale/log.py", "changed")
    for name in ("radicale/hotfix.py", "radicale/__pycache__/app.pyc", "stray.py", "own.pth"):
        write(tmp_path / name, "/srv\n")
    site = _evidence_site.look([str(tmp_path)], packaged=packaged)
    assert site.patched == [str(tmp_path / "radicale/gone.py"), str(tmp_path / "radicale/log.py")]
    assert (site.added, site.unowned, site.unverified) == ([str(tmp_path / "radicale/hotfix.py")], [str(tmp_path / "stray.py")], [])
    assert [item["name"] for item in site.distributions] == ["Radicale"] and site.pth == ["%s/own.pth adds /srv" % tmp_path] and not site.blind


def test_a_directory_or_link_of_a_package_is_neither_added_nor_editable(tmp_path: Path) -> None:
    write(tmp_path / "share/js/x.py")
    packaged = {write(tmp_path / "site/app/a.py"): md5("")}
    for name in ("site/app/js", "site/js"):
        (tmp_path / name).symlink_to(tmp_path / "share/js")
        packaged[str(tmp_path / name)] = ""
    site = _evidence_site.look([str(tmp_path / "site")], packaged=packaged)
    assert (site.added, site.unowned, site.editable, site.patched) == ([], [], [], [])


def database(lists: Dict[str, List[str]], sums: Dict[str, str]) -> _evidence_shared.Host:
    host = _evidence_shared.Host.__new__(_evidence_shared.Host)
    stanzas = [Stanza(name, "1", "all", "", ()) for name in lists]
    host.dpkg = Dpkg(stanzas, lists, read=lambda path: sums.get(path.split("/")[-1][:-len(".md5sums")], ""))
    return host


def test_what_packages_own_below_a_directory(tmp_path: Path) -> None:
    top = str(tmp_path)
    host = database({"a": [top, top + "/x", top + "/x/a.py", "/usr/bin/a"], "b": ["/usr/bin/b"]}, {"a": "%s  %s/x/a.py\n" % (md5("a"), top[1:])})
    assert host._packaged([top]) == {top + "/x": "", top + "/x/a.py": md5("a")}


def test_a_file_as_its_package_brought_it_is_published(tmp_path: Path) -> None:
    paths = [write(tmp_path / name, "SECRET_KEY = 'change-me'") for name in ("as_it_was.py", "edited.py", "own.py")]
    wanted = "".join("%s  %s\n" % (md5("SECRET_KEY = 'change-me'"), path[1:]) for path in paths[:2])
    write(tmp_path / "edited.py", "SECRET_KEY = 'mine'")
    host = database({"a": paths[:2]}, {"a": wanted})
    assert [host.is_published(path) for path in paths] == [True, False, False]


# -- links out of the code


def facts(tmp_path: Path, **changes: Any) -> _evidence_paths.Facts:
    tree = _evidence_code.scan(str(tmp_path / "code"), {str(tmp_path / "code/venv")})
    return _evidence_paths.Facts(**{
        "subject": _evidence_paths.Subject(4242, {4242}), "code": str(tmp_path / "code"), "venv": str(tmp_path / "code/venv"), "named": {}, "tree": tree,
        "written": [], "unit_state": {}, "static_roots": set(), "ignored": set(), **changes})


@pytest.fixture(name="linked")
def _linked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A code directory with links: to settings in etc, to a writable directory, inside itself, to its venv, to nothing."""
    monkeypatch.setattr(_evidence_paths, "SYSTEM", ("/usr", "/proc"))
    monkeypatch.setattr(_evidence_paths, "_NO_STATE", ("/proc", "/run"))
    databases = "{'default': {'ENGINE': 'postgresql', 'HOST': 'db.corp.internal', 'NAME': 'x'}}"
    write(tmp_path / "etc/web.py", "SECRET_KEY = 'CANARY-9f8e7d6c'\nDATABASES = %s\n" % databases)
    write(tmp_path / "etc/plain.py", "DEBUG = False\n")
    write(tmp_path / "code/app.py")
    write(tmp_path / "venvs/1/pyvenv.cfg")
    (tmp_path / "media").mkdir()
    (tmp_path / "media").chmod(0o777)
    for name, target in (("local_settings.py", "etc/web.py"), ("more.py", "etc/plain.py"), ("media", "media"), ("same.py", "code/app.py"), ("venv", "venvs/1"),
                         ("loop", "code"), ("gone.py", "etc/gone.py")):
        (tmp_path / "code" / name).symlink_to(tmp_path / target)
    return tmp_path


def test_links_out_of_the_code(linked: Path) -> None:
    found = _evidence_paths.classify(facts(linked))
    assert found.secrets == {str(linked / "etc/web.py"): "the link %s/code/local_settings.py names it" % linked}
    assert found.names == {str(linked / "etc/web.py"): ["SECRET_KEY"]}
    assert list(found.files) == [str(linked / "etc/plain.py")] and list(found.state) == [str(linked / "media")]
    tree = _evidence_code.scan(str(linked / "code"), {str(linked / "code/venv")})
    assert sorted(tree.links) == [str(linked / path) for path in ("etc/plain.py", "etc/web.py", "media")]
    assert not tree.secrets_in_source and ("postgresql", "db.corp.internal:5432") in [item[:2] for item in tree.talks]


def test_a_link_s_target_that_is_known_by_another_path_is_told_once(linked: Path) -> None:
    found = _evidence_paths.classify(facts(linked, named={str(linked / "code/media"): "environment variable MEDIA"}))
    assert list(found.state) == [str(linked / "code/media")]


# -- users that systemd makes up


def test_a_dynamic_user_has_its_unit_s_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_evidence_host, "_DYNAMIC", str(tmp_path))
    (tmp_path / "direct:61675").symlink_to("pages")
    names = [(_evidence_host.user_name(number), _evidence_host.group_name(number), _evidence_host.dynamic_user(number)) for number in (61675, 61676, 0)]
    assert names == [("pages", "pages", "pages"), ("61676", "61676", ""), ("root", "root", "")]
