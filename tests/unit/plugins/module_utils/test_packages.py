"""Packages: what is missing, and which alternative is installed."""

from __future__ import annotations

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install import _packages


@pytest.mark.parametrize(("installed", "available", "needed"), [
    ({}, {"docker.io", "docker-cli"}, ["docker.io", "docker-cli"]),
    ({}, {"docker.io"}, ["docker.io"]),
    ({}, set(), ["docker.io"]),
    ({}, None, ["docker.io", "docker-cli"]),
    ({"docker-ce": "5"}, {"docker.io", "docker-cli"}, ["docker-cli"]),
    ({"docker-ce": "5", "docker-ce-cli": "5"}, {"docker.io"}, []),
])
def test_alternatives(installed: dict[str, str], available: set[str] | None, needed: list[str]) -> None:
    assert _packages.missing(["docker.io | docker-ce", "docker-cli | docker-ce-cli ?"], installed, available) == needed


def test_only_installed_packages_count() -> None:
    output = "hold installed nginx 1.22.1-9\ndeinstall config-files uwsgi-core \ninstall installed libc6:amd64 2.36\n"
    assert _packages.parse_installed(output) == {"nginx": ("1.22.1-9", True), "libc6": ("2.36", False)}


def test_what_was_begun_and_not_ended_is_known() -> None:
    output = "install half-configured nginx 99.1-1\ninstall unpacked nginx-core:amd64 99.1-1\ninstall installed openssl 3\ndeinstall config-files uwsgi 2\n"
    assert _packages.parse_unfinished(output) == ["nginx", "nginx-core"]
