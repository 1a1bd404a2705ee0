# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Applications that run as their distribution packages them."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_service, _evidence_uwsgi, _uwsgi_config

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
