"""Virtual environments that an image has anew: where they are kept, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.image import _rebuilt
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs

LOCK = "itsdangerous==2.2.0 --hash=sha256:" + "c" * 64 + "\n"
SHOP = _rebuilt.Recipe("shop", "/srv/shop/venv", "/usr/bin/python3.11", "3.11.2", False, LOCK)


def test_what_differs_is_kept_elsewhere() -> None:
    others = [SHOP._replace(service="blog"), SHOP._replace(interpreter="/opt/python3.12"), SHOP._replace(system_site=True), SHOP._replace(lock=LOCK + "#")]
    assert len({recipe.place for recipe in [SHOP, *others]}) == 5 and SHOP.place.startswith("/var/lib/webstack/shop/rebuilt/")


@pytest.mark.parametrize("recipe, sentence", [
    (SHOP._replace(path=""), "service shop: container.venv is rebuilt, but it has no virtual environment; leave container.venv out"),
    (SHOP._replace(lock=""), "service shop: container.venv is rebuilt, which needs the lock of its virtual environment, with hashes"),
    (SHOP._replace(lock="itsdangerous==2.2.0\n"), "service shop: container.venv is rebuilt, which needs the lock of its virtual environment, with hashes"),
])
def test_what_cannot_be_built_is_refused(recipe: _rebuilt.Recipe, sentence: str) -> None:
    _rebuilt.check(SHOP)
    with pytest.raises(WebstackError, match=sentence):
        _rebuilt.check(recipe)


def test_an_environment_that_services_share_is_the_same_in_all_their_images() -> None:
    blog = SHOP._replace(service="blog")
    assert _rebuilt.moved([SHOP], {"shop": SHOP.path, "wiki": "/srv/wiki/venv"}) == {SHOP.path: SHOP.place}
    assert _rebuilt.moved([SHOP, blog], {"shop": SHOP.path, "blog": SHOP.path}) == {SHOP.path: blog.place}
    for recipes in ([SHOP], [SHOP, blog._replace(lock=LOCK + "#")]):
        with pytest.raises(WebstackError, match="services shop and blog share the virtual environment /srv/shop/venv; say container.venv: rebuilt"):
            _rebuilt.moved(recipes, {"shop": SHOP.path, "blog": SHOP.path})


def test_it_says_what_a_rebuilt_environment_loses() -> None:
    python = {"patched": ["flask/app.py"], "added": [], "unowned": ["site_hack"]}
    assert _rebuilt.remark({"python": python}).endswith("what was changed by hand is not in the image: flask/app.py, site_hack")
    assert _rebuilt.remark({"python": {}}) == ""


def test_a_directory_is_read_from_elsewhere(tmp_path: Path) -> None:
    for name, text in (("host/venv/a", "exact"), ("host/venvs/a", "other"), ("kept/a", "rebuilt"), ("kept/b", "new")):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    fs = HostFs(moved={str(tmp_path / "host/venv"): str(tmp_path / "kept")})
    assert fs.text(f"{tmp_path}/host/venv/a") == "rebuilt" and fs.listdir(f"{tmp_path}/host/venv") == ["a", "b"]
    assert fs.resolve(f"{tmp_path}/host/venv/b").real == f"{tmp_path}/host/venv/b" and fs.text(f"{tmp_path}/host/venvs/a") == "other"
