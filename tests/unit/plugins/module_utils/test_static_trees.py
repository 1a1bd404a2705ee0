"""Static trees: what a service serves of them, and whether a container has the same."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs
from ansible_collections.gantry.webstack.plugins.module_utils.move import _static_trees


def service(**options: object) -> dict[str, object]:
    return {"name": "shop", "code": {"path": "/srv/shop/current"}, "uwsgi": {"options": options},
            "files": [{"path": "/srv/pictures"}], "nginx": {"static": [{"location": "/pictures/", "path": "/srv/pictures/"},
                                                                       {"location": "/js/", "path": "/usr/share/javascript"}]}}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    for name in ("srv/shop/releases/1/app/static/app/a.css", "srv/shop/releases/1/app/static/app/b.css", "srv/shop/releases/1/app/static/x/c.js",
                 "srv/shop/releases/1/node_modules/x/dist/no.js", "srv/shop/releases/1/public/robots.txt", "srv/files/deep/er/d.woff2",
                 "srv/files/e f.pdf", "srv/files/.htaccess", "srv/pictures/p.png", "usr/share/javascript/j.js"):
        path = tmp_path / "host" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(name)
    (tmp_path / "host/srv/shop/current").symlink_to("/srv/shop/releases/1")
    return tmp_path / "host"


def test_trees_that_uwsgi_maps() -> None:
    options = {"static-map": ["/static=/srv/files", "/favicon.ico=/srv/f.ico"], "static-map2": "/m=/srv", "check-static": "/srv/public"}
    assert _static_trees.mapped(service(**options)) == [
        ("/static", "/srv/files"), ("/favicon.ico", "/srv/f.ico"), ("/m", "/srv/m"), ("/", "/srv/public")]
    assert _static_trees.mapped({"name": "shop"}) == []


def test_files_are_asked_for_once_for_each_directory_and_extension(host: Path) -> None:
    found = _static_trees.targets(service(**{"static-map": "/files=/srv/files"}), HostFs(str(host)))
    assert found == ["/files/e%20f.pdf", "/files/deep/er/d.woff2", "/static/app/a.css", "/static/x/c.js", "/robots.txt"]
    assert _static_trees.targets(service(), HostFs(str(host)), 2) == ["/static/app/a.css", "/static/x/c.js"]
    assert _static_trees.sample(["a/1.css", "a/2.css", "b/3.css", "b/4.js"], 9) == ["a/1.css", "b/4.js"]


def test_trees_that_the_container_has_to_have(host: Path) -> None:
    assert _static_trees.belonging(service(**{"static-map": "/f=/srv/files"}), HostFs(str(host))) == ["/srv/files", "/srv/pictures/"]


@pytest.fixture
def container(host: Path) -> Path:
    shutil.copytree(host, host.parent / "container", symlinks=True)
    return host.parent / "container"


def compared(host: Path, container: Path, path: str = "/srv/shop/current") -> list[str]:
    return _static_trees.compare(HostFs(str(host)), HostFs(str(container)), path).found


def test_the_same_trees_are_the_same(host: Path, container: Path) -> None:
    assert _static_trees.compare(HostFs(str(host)), HostFs(str(container)), "/srv/shop/current") == (5, [])
    assert _static_trees.compare(HostFs(str(host)), HostFs(str(host)), "/srv/files") == (0, [])
    assert compared(host, container, "/srv/files/e f.pdf") == []
    assert compared(host, container, "/not/there") == []


@pytest.mark.parametrize(("path", "content", "said"), [
    ("app/static/x/c.js", None, "/srv/shop/current/app/static/x/c.js is missing in the container"),
    ("app/static/x/c.js", "x" * 34, "/srv/shop/current/app/static/x/c.js has 34 bytes in the container, on the host 37"),
    ("app/static/x/c.js", "x" * 37, "/srv/shop/current/app/static/x/c.js has another content in the container"),
    ("app/static/x/new.js", "", "/srv/shop/current/app/static/x/new.js is in the container only"),
])
def test_a_difference_is_named(host: Path, container: Path, path: str, content: str | None, said: str) -> None:
    place = container / "srv/shop/releases/1" / path
    if content is None:
        place.unlink()
    else:
        place.write_text(content)
    assert compared(host, container) == [said]


def test_a_tree_that_was_left_out(host: Path, container: Path) -> None:
    shutil.rmtree(container / "srv/files")
    assert compared(host, container, "/srv/files") == ["/srv/files is missing in the container"]
    shutil.rmtree(container / "srv/shop/releases")
    assert compared(host, container) == ["/srv/shop/current is missing in the container"]
