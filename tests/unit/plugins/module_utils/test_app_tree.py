# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is taken of a service's trees, and what must not be."""

from __future__ import annotations

from typing import Any, Dict

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.image._app_tree import AppTree, editable_places, environment
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Stat
from ansible_collections.gantry.webstack.tests.unit.plugins.module_utils.image_helpers import FakeFs, elf

SERVICE: Dict[str, Any] = {"name": "shop", "user": {"name": "shop", "uid": 2001, "gid": 2001}, "code": {"path": "/srv/shop/current"},
                           "python": {"venv": "/srv/shop/venv"}}
NODES: Dict[str, Any] = {
    "/srv/shop/current": "releases/7", "/srv/shop/releases/7/wsgi.py": b"import this", "/srv/shop/releases/6/wsgi.py": b"old",
    "/srv/shop/venv/pyvenv.cfg": b"home = /usr/bin\ninclude-system-site-packages = false\n", "/srv/shop/venv/bin/python": "/usr/bin/python3",
    "/usr/bin/python3": elf(), "/srv/shop/venv/lib/python3.11/site-packages/flask/__pycache__/app.cpython-311.pyc": b"venv",
}


def scan(nodes: Dict[str, Any], **more: Any) -> AppTree:
    return AppTree(FakeFs({**NODES, **nodes}), {**SERVICE, **more}, lambda path: path == "/usr/bin/python3", lambda path: path.startswith("/usr/bin/")).scan()


def files(tree: AppTree) -> set[str]:
    return {path for path, found in tree.files.items() if found.kind != "dir"}


def test_the_venv_as_it_is_and_the_release_that_current_leads_to() -> None:
    tree = scan({})
    assert files(tree) == {
        "/srv/shop/current", "/srv/shop/releases/7/wsgi.py", "/srv/shop/venv/pyvenv.cfg", "/srv/shop/venv/bin/python",
        "/srv/shop/venv/lib/python3.11/site-packages/flask/__pycache__/app.cpython-311.pyc"}
    assert not tree.system_site


def test_pip_stays_out_of_the_venv_and_what_only_looks_like_it_does_not() -> None:
    site = "/srv/shop/venv/lib/python3.11/site-packages/"
    tree = scan({"/srv/shop/venv/bin/pip": b"", "/srv/shop/venv/bin/pip3.11": b"", "/srv/shop/venv/bin/pipeline": b"", site + "pip/__init__.py": b"",
                 site + "pip-23.0.1.dist-info/RECORD": b"", site + "pip_audit/__init__.py": b"", site + "flask/pip/__init__.py": b""})
    kept = files(tree)
    assert not {path for path in kept if path.startswith((site + "pip/", site + "pip-")) or path.endswith(("/bin/pip", "/bin/pip3.11"))}
    assert {"/srv/shop/venv/bin/pipeline", site + "pip_audit/__init__.py", site + "flask/pip/__init__.py"} <= kept
    assert tree.remarks == ["pip of the venv /srv/shop/venv is left out"]


def test_what_a_service_writes_and_what_people_leave_behind_stays_out() -> None:
    top = "/srv/shop/releases/7/"
    tree = scan({top + "__pycache__/wsgi.cpython-311.pyc": b"", top + ".git/config": b"url = https://token@x", top + ".ssh/id": b"",
                 top + "app.sock": Stat("other"), top + "media/a.png": b"upload", top + "db.sqlite3": b"rows", top + "pkg/.git": b"gitdir: x"},
                state=[{"path": "/srv/shop/current/media"}, {"path": top + "db.sqlite3"}, {"path": "/srv/shop/new"}, {"path": "/run/shop"}])
    assert not files(tree) & {path for path in tree.fs.nodes if path.startswith(top) and path != top + "wsgi.py"}  # type: ignore[attr-defined]
    assert {path: (place.kind, place.uid) for path, place in tree.mounts.items()} == {
        top + "media": ("dir", 0), top + "db.sqlite3": ("file", 0), "/srv/shop/new": ("dir", 2001)}
    assert "/srv/shop/releases/7/.git is left out" in tree.remarks


@pytest.mark.parametrize("source", ["file:/srv/shop/current/key.txt", "envfile:/srv/shop/releases/7/key.txt", "uwsgi:/srv/shop/current/key.txt",
                                    "file:/srv/shop/current/link.txt"])
def test_files_with_secrets_stay_out(source: str) -> None:
    tree = scan({"/srv/shop/releases/7/key.txt": b"s3cret", "/srv/shop/releases/7/link.txt": "key.txt"}, secrets=[{"name": "KEY", "source": source}])
    assert "/srv/shop/releases/7/key.txt" not in tree.files
    if source.startswith("file:"):
        place = tree.mounts["/srv/shop/releases/7/key.txt"]
        assert (place.kind, place.size) == ("file", 0)
    else:
        assert tree.mounts == {}


def test_links_out_of_the_code_bring_what_they_lead_to_unless_it_is_mounted() -> None:
    tree = scan({"/srv/shop/releases/7/conf.py": "../../shared/conf.py", "/srv/shop/shared/conf.py": b"A = 1", "/srv/shop/releases/7/lib": "/opt/shoplib",
                 "/opt/shoplib/x.py": b"", "/srv/shop/releases/7/media": "/srv/shop/shared/media", "/srv/shop/shared/media/a": b"", "/etc/hosts": b"",
                 "/srv/shop/releases/7/everything": "/srv", "/srv/shop/releases/7/tool": "/usr/bin/tool", "/usr/bin/tool": elf(), "/srv/other": b"",
                 "/srv/shop/releases/7/dangling": "/nowhere"},
                state=[{"path": "/srv/shop/shared/media"}])
    taken = files(tree)
    assert {"/srv/shop/shared/conf.py", "/opt/shoplib/x.py", "/srv/shop/releases/7/media", "/srv/shop/releases/7/dangling"} <= taken
    assert not taken & {"/srv/shop/shared/media/a", "/srv/other", "/usr/bin/tool", "/srv/shop/releases/6/wsgi.py"}
    assert tree.outside == ["/srv/shop/releases/7/tool"]
    assert tree.remarks == ["/srv is left out: too broad to belong to one service"]


def test_editable_installs_and_python_paths_come_along() -> None:
    site = "/srv/shop/venv/lib/python3.11/site-packages/"
    finder = b"import sys\nMAPPING: dict[str, str] = {'api': '/src/api/src/api', 'one': '/src/one/one'}\nNAMESPACES: dict = {}\n"
    tree = scan({site + "old.pth": b"# comment\n/src/old\nimport os; os.x\n", site + "__editable___api_finder.py": finder, "/src/old/o.py": b"",
                 "/src/api/src/api/__init__.py": b"", "/src/one/one.py": b"", "/opt/more/m.py": b"", "/usr/lib/python3/dist-packages/d.py": b"",
                 site + "sys.pth": b"/usr/lib/python3/dist-packages\n"},
                uwsgi={"options": {"pythonpath": ["/opt/more", "relative"]}})
    assert {"/src/old/o.py", "/src/api/src/api/__init__.py", "/src/one/one.py", "/opt/more/m.py"} <= files(tree)
    assert "/usr/lib/python3/dist-packages/d.py" not in tree.files


def test_a_finder_that_cannot_be_read_names_nothing() -> None:
    assert editable_places("MAPPING = dict(a=1)\n") == editable_places("MAPPING = {oops\n}\n") == editable_places("") == []


def test_a_venv_inside_the_code_is_kept_whole_and_code_inside_a_venv_is_code() -> None:
    tree = AppTree(FakeFs({"/srv/a/app.py": b"", "/srv/a/__pycache__/app.cpython-311.pyc": b"", "/srv/a/env/lib/x/__pycache__/x.cpython-311.pyc": b"",
                           "/srv/a/env/src/y.py": b"", "/srv/a/env/src/__pycache__/y.cpython-311.pyc": b""}),
                   {"name": "a", "code": {"path": "/srv/a"}, "python": {"venv": "/srv/a/env"}}, lambda path: False, lambda path: False).scan()
    assert files(tree) == {"/srv/a/app.py", "/srv/a/env/lib/x/__pycache__/x.cpython-311.pyc", "/srv/a/env/src/y.py",
                           "/srv/a/env/src/__pycache__/y.cpython-311.pyc"}
    inner = AppTree(tree.fs, {"name": "a", "code": {"path": "/srv/a/env/src"}, "python": {"venv": "/srv/a/env"}}, lambda path: False, lambda path: False).scan()
    assert "/srv/a/env/src/y.py" in inner.files and "/srv/a/env/src/__pycache__/y.cpython-311.pyc" not in inner.files


def test_system_site_packages() -> None:
    assert scan({"/srv/shop/venv/pyvenv.cfg": b"home = /usr/bin\ninclude-system-site-packages = true\n"}).system_site


@pytest.mark.parametrize(("more", "sentence"), [
    ({"python": {"venv": "/srv/shop/gone"}}, "service shop: its venv /srv/shop/gone does not exist on this host"),
    ({"code": {"path": "/srv/nope"}}, "service shop: its code /srv/nope does not exist on this host"),
])
def test_a_plan_that_does_not_fit_the_host(more: Dict[str, Any], sentence: str) -> None:
    with pytest.raises(WebstackError) as refused:
        scan({}, **more)
    assert str(refused.value) == sentence


@pytest.mark.parametrize(("venv", "found"), [(None, ""), ("/usr", ""), ("/usr/", ""), ("/usr/local", ""), ("/srv/v", "/srv/v"), ("/usr/x", "/usr/x")])
def test_the_distributions_prefix_is_no_environment(venv: "str | None", found: str) -> None:
    assert environment({"venv": venv}) == found


def test_a_path_that_the_plan_adds_comes_to_the_byte_and_with_its_links() -> None:
    tree = scan({"/opt/fonts": "fonts-2", "/opt/fonts-2/a.ttf": b"font", "/opt/fonts-2/__pycache__/x.pyc": b"", "/etc/shop.toml": b"x = 1",
                 "/usr/bin/tool": elf()},
                container={"paths": ["/opt/fonts", "/etc/shop.toml", "/usr/bin/tool", "/srv/shop/current/wsgi.py"]})
    assert {"/opt/fonts", "/opt/fonts-2/a.ttf", "/opt/fonts-2/__pycache__/x.pyc", "/etc/shop.toml", "/srv/shop/releases/7/wsgi.py"} <= files(tree)
    assert "/usr/bin/tool" not in tree.files  # a package's: the system's layers bring it


@pytest.mark.parametrize("path, sentence", [
    ("/opt/nothing", "/opt/nothing of its container.paths does not exist on this host; take it out of the plan, or add the package"),
    ("/srv", "/srv of its container.paths is too broad for one image; name what is needed below it"),
    ("/run/shop", "/run/shop of its container.paths is a directory that a container has of its own"),
    ("/etc/shop/key", r"/etc/shop/key of its container.paths is mounted into the container or secret \(/etc/shop/key\)"),
    ("/srv/media/a.png", r"/srv/media/a.png of its container.paths is mounted into the container or secret"),
])
def test_a_path_that_cannot_be_added_is_refused(path: str, sentence: str) -> None:
    nodes = {"/run/shop/x": b"", "/etc/shop/key": b"s3cret", "/srv/media/a.png": b""}
    with pytest.raises(WebstackError, match="^service shop: " + sentence):
        scan(nodes, container={"paths": [path]}, secrets=[{"name": "KEY", "source": "file:/etc/shop/key"}], state=[{"path": "/srv/media"}])
