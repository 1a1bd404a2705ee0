# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where services run, for people."""

from __future__ import annotations

from ansible_collections.gantry.webstack.plugins.module_utils.move import _status

SHOP = {"service": "shop", "runtime": "container", "phase": "switched", "socket": "/run/shop.sock", "problem": "", "container": "webstack-shop-0123456789ab",
        "state": "running", "health": "healthy", "image": "sha256:6f1d3c0f4b0e7c58a4b3d6", "since": "2026-11-24T10:11:12Z"}


def test_a_table() -> None:
    lines = _status.table([SHOP, {"service": "blog", "runtime": "host", "phase": "returning", "socket": "/b", "problem": "nobody listens at /b"}])
    assert [line.split("  ") for line in lines][0][0] == "service"
    assert lines[1].split() == ["shop", "container", "yes", "webstack-shop-0123456789ab", "healthy", "6f1d3c0f4b0e", "2026-11-24T10:11:12Z"]
    assert "host (returning)" in lines[2] and "nobody listens at /b" in lines[2] and lines[2].endswith("-")


def test_an_empty_host() -> None:
    assert _status.table([]) == ["  ".join(_status.COLUMNS)]


def test_a_container_that_does_not_run_is_told() -> None:
    assert "webstack-shop-0123456789ab exited unhealthy" in _status.table([{**SHOP, "state": "exited", "health": "unhealthy"}])[1]
