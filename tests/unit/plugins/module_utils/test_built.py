# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images on a base: what the Dockerfile says, and that a secret in any layer is found."""

from __future__ import annotations

import io
import json
import tarfile
from typing import Any, Dict, Iterator

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.image import _built, _dockerfile

SHOP: Dict[str, Any] = {
    "name": "shop", "user": {"name": "shop", "group": "web"}, "python": {"version": "3.11.2", "venv": "/srv/shop/venv"},
    "system_packages": [{"name": "python3.11-minimal", "version": "3.11.2-6"}, {"name": "libpq5"}], "environment": {"LANG": "de_DE.UTF-8"},
}
SETTINGS = {"User": "2001:2002", "Env": ["PATH=/srv/shop/venv/bin:/usr/bin"], "Cmd": ["/usr/bin/uwsgi", "--ini", "/x.ini"],
            "WorkingDir": "/srv/shop", "Labels": {"a.b": "c"}}
VALUE = "s3cr3t-of-the-shop"
NEEDLES = {"the value of its secret KEY": VALUE.encode()}


def test_a_dockerfile_has_the_packages_that_the_plan_adds_once() -> None:
    shop = {**SHOP, "system_packages": [{"name": "libfoo1", "version": "2"}], "container": {"packages": ["aspell-fr", "libfoo1"]}}
    assert _dockerfile.pins(shop) == ["libfoo1=2", "aspell-fr"]


def test_a_dockerfile_pins_what_the_host_has() -> None:
    text = _dockerfile.dockerfile(SHOP, "debian:bookworm-slim", SETTINGS, "/srv/shop/venv", zone="Europe/Berlin")
    stages = text.split("FROM ${BASE}")
    assert len(stages) == 3 and text.startswith("# shop, ") and "ARG BASE=debian:bookworm-slim\n" in stages[0]
    assert "        python3.11-venv=3.11.2-6 \\\n" in stages[1] and "--require-hashes -r /build/requirements.txt" in stages[1] and "wheels" not in text
    assert "        python3.11-minimal=3.11.2-6 \\\n        libpq5 \\\n        locales \\\n" in stages[2]
    for line in ("RUN localedef -i de_DE -f UTF-8 de_DE.UTF-8", "COPY --chown=2001:2002 root/ /", 'COPY --from=build ["/srv/shop/venv", "/srv/shop/venv"]',
                 "USER 2001:2002", 'CMD ["/usr/bin/uwsgi", "--ini", "/x.ini"]'):
        assert line in stages[2].splitlines(), line
    assert "-venv" not in stages[2] and "/usr/share/zoneinfo/Europe/Berlin" in stages[2]


def test_without_hashes_versions_have_to_do_and_a_base_may_bring_its_own_python() -> None:
    text = _dockerfile.dockerfile(SHOP, "python:3.11.2-slim", SETTINGS, "/srv/shop/venv", hashes=False, packaged=False)
    assert "--require-hashes" not in text and "pip install --no-cache-dir --disable-pip-version-check -r /build/requirements.txt" in text
    assert "python3.11-venv" not in text and "RUN python3.11 -m venv /srv/shop/venv" in text


def test_a_service_without_an_environment_needs_no_build_stage() -> None:
    text = _dockerfile.dockerfile(dict(SHOP, python={"version": "3.11"}), "b", SETTINGS)
    assert text.count("FROM ${BASE}") == 1 and "pip" not in text


def test_wheels_keep_pip_from_asking_an_index() -> None:
    text = _dockerfile.dockerfile(SHOP, "b", SETTINGS, "/srv/shop/venv", wheels=True)
    assert "COPY wheels /build/wheels" in text and "--no-index --find-links /build/wheels " in text


@pytest.mark.parametrize(("environment", "found"), [
    ({"LANG": "C.UTF-8", "LC_ALL": "POSIX"}, []), ({"LANG": "de_DE.UTF-8", "LC_TIME": "en_GB.UTF-8"}, ["de_DE.UTF-8", "en_GB.UTF-8"]),
    ({"PATH": "a_B.C"}, []), ({"LANG": "de_DE.UTF-8; rm -rf /"}, []),
])
def test_locales_that_must_be_made(environment: Dict[str, str], found: "list[str]") -> None:
    assert _dockerfile.locales(environment) == found


def tar(**files: bytes) -> bytes:
    """A tar archive; ``_`` in names stands for ``/``."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            info = tarfile.TarInfo(name.replace("_", "/"))
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def saved(layer: bytes, config: Dict[str, Any]) -> Iterator[bytes]:
    """A docker save archive in small chunks."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in (("abc/layer.tar", layer), ("blobs/sha256/feed", b'{"no": "tar"}'), ("abc.json", json.dumps(config).encode())):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    data = buffer.getvalue()
    return (data[at:at + 700] for at in range(0, len(data), 700))


@pytest.mark.parametrize(("layer", "config", "place"), [
    (tar(etc_motd=b"hello"), {"Env": ["A=b"]}, None),
    (tar(etc_motd=b"hello", opt_app_conf=b"key = " + VALUE.encode()), {}, "/opt/app/conf"),
    (tar(etc_motd=b"x" * 5000), {"history": ["RUN login " + VALUE]}, "abc.json"),
])
def test_a_secret_is_found_wherever_a_build_left_it(layer: bytes, config: Dict[str, Any], place: "str | None") -> None:
    found = _built.search(saved(layer, config), NEEDLES)
    assert found == (("the value of its secret KEY", place) if place else None)


def test_a_build_that_fails_says_what_apt_or_pip_complained_of() -> None:
    lines = ["Step 3/9 : RUN apt-get update", "E: Version '1.2' for 'libpq5' was not found", "The command returned 100"]
    assert _built.last_words(lines) == "E: Version '1.2' for 'libpq5' was not found"
    assert _built.last_words(["\x1b[0mStep 1/9 : FROM x", " "]) == "Step 1/9 : FROM x"
    assert _built.last_words([]) == "nothing was said"


def test_a_service_whose_plan_does_not_say_the_pythons_version_has_the_one_of_its_base() -> None:
    service = {"name": "shop", "user": {"name": "shop", "group": "shop"}, "python": {"origin": "package"}}
    assert "RUN python3 -m venv /srv/shop/venv" in _dockerfile._build_stage(service, "/srv/shop/venv", False, False, True)
