"""Bad input gets one sentence that names the service and the value, and nothing is changed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from _bench import hosts
from host import APPS, PREFIX, Host


def service(plan: dict[str, Any], name: str) -> dict[str, Any]:
    return next(item for item in plan["services"] if item["name"] == name)


def test_an_unknown_service(pristine: Host) -> None:
    assert "webstack_select: no service 'guestbok'; there are guestbook, httpbin, pypiserver" in pristine.refusal("convert", webstack_select="guestbok")


def test_a_misspelt_key(pristine: Host) -> None:
    plan = pristine.plan()
    service(plan, "guestbook")["uwsgi"]["sokcet"] = "/run/x.sock"
    pristine.write_plan(plan)
    assert "services[guestbook].uwsgi: unknown key 'sokcet'" in pristine.refusal("convert")


@pytest.mark.parametrize(("change", "sentence"), [
    ({"name": "httpbin"}, "two services are named 'httpbin'"),
    ({"uwsgi": {"socket": "/run/uwsgi/httpbin/uwsgi.sock"}}, "services httpbin and pypiserver have the same socket '/run/uwsgi/httpbin/uwsgi.sock'"),
    ({"name": "Pypi server"}, "'Pypi server' does not match"),
])
def test_services_that_clash(pristine: Host, tmp_path: Path, change: dict[str, Any], sentence: str) -> None:
    variables = yaml.safe_load((APPS / "services.yml").read_text(encoding="utf-8"))
    variables["webstack_apps_dir"] = str(APPS)
    service({"services": variables["webstack_services"]}, "pypiserver").update(change)
    assert sentence in pristine.refusal("install", **variables)


def test_a_candidate_that_never_becomes_healthy(pristine: Host) -> None:
    plan = pristine.plan()
    service(plan, "guestbook")["health"]["status"] = 418
    pristine.write_plan(plan)
    said = pristine.refusal("convert", convert_timeout=5)
    assert "service guestbook: not healthy within 5 s (GET / answered 200, expected 418); the host serves on unchanged" in said


def test_a_candidate_that_crashes_shows_its_traceback(pristine: Host) -> None:
    plan = pristine.plan()
    service(plan, "guestbook")["uwsgi"]["options"]["module"] = "guestbook.missing:application"
    pristine.write_plan(plan)
    said = pristine.refusal("convert", webstack_select="guestbook")
    assert "service guestbook: its candidate container ended" in said
    assert "ModuleNotFoundError: No module named 'guestbook.missing'" in said


def test_a_parity_difference(pristine: Host) -> None:
    plan = pristine.plan()
    service(plan, "httpbin")["uwsgi"]["options"]["add-header"] = "X-Seeded: defect"
    pristine.write_plan(plan)
    said = pristine.refusal("convert")
    assert "service httpbin: the container answers" in said
    assert "header x-seeded is ['defect'], the host's missing" in said


def test_a_full_disk_during_the_build(pristine: Host) -> None:
    pristine.run("sh", "-c", "systemctl stop docker.socket docker && mount -t tmpfs -o size=40m none /var/lib/docker && systemctl start docker")
    try:
        said = pristine.refusal("convert", webstack_select="guestbook")
        assert "service guestbook: " in said
        assert "MB" in said
    finally:
        pristine.run("sh", "-c", "systemctl stop docker.socket docker; umount /var/lib/docker; systemctl start docker")


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[Host]:
    """A bare host without nginx, uWSGI or an engine, that reaches no package mirror."""
    hosts.start(f"{PREFIX}-empty", "bookworm")
    found = Host("empty", tmp_path)
    found.run("sh", "-c", "rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*; rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb")
    yield found
    hosts.remove(f"{PREFIX}-empty")


def test_a_host_without_nginx(empty: Host) -> None:
    assert "nginx" in empty.refusal("discover")
    assert not empty.plans.exists()


def test_no_engine_and_no_way_to_install_one(empty: Host) -> None:
    empty.plans.mkdir()
    empty.write_plan({"version": 1, "host": "empty", "services": [{"name": "shop"}]})
    said = empty.refusal("convert")
    assert "Docker Engine" in said
    assert "docker.io" in said
