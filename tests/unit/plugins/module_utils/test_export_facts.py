# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an export asks the host: which image is a service's, the time zone, the distribution; and what is asked of static trees."""

from __future__ import annotations

import os
import resource
from pathlib import Path
from typing import Any, Dict

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs
from ansible_collections.gantry.webstack.plugins.module_utils.move import _compare_answers, _export_facts


@pytest.mark.parametrize(("data", "tags", "found"), [
    ({}, {}, ""),
    ({}, {"shop": ["webstack/shop:1"]}, "webstack/shop:1"),
    ({}, {"shop": ["webstack/shop:1", "webstack/shop:2"]}, ""),  # which of them, nobody can tell
    ({"candidate": {"image": "sha256:2"}}, {"sha256:2": ["webstack/shop:2"], "shop": ["webstack/shop:1", "webstack/shop:2"]}, "webstack/shop:2"),
    ({"candidate": {"image": "sha256:3"}, "images": [{"id": "sha256:3", "tag": "webstack/shop:3"}]}, {}, "webstack/shop:3"),
])
def test_the_image_of_a_service(data: Dict[str, Any], tags: Dict[str, Any], found: str) -> None:
    journal = _journal.Journal("shop", {"runtime": "host", "phase": "host", **data})
    assert _export_facts.image_of(journal, tags) == found


def test_the_zone_is_what_the_link_leads_to(tmp_path: Path) -> None:
    link = tmp_path / "localtime"
    link.write_text("TZif", encoding="ascii")
    assert _export_facts.zone(str(link)) == ""
    link.unlink()
    link.symlink_to("/usr/share/zoneinfo/Nowhere/Town")
    assert _export_facts.zone(str(link)) == "Nowhere/Town"


@pytest.mark.parametrize(("text", "found"), [
    ('NAME="Debian"\nVERSION_CODENAME=bookworm\n', "bookworm"), ('VERSION_CODENAME="noble"\n', "noble"), ("ID=arch\n", ""), ("VERSION_CODENAME=\n", ""),
])
def test_the_name_of_the_version(text: str, found: str) -> None:
    assert _export_facts.codename(text) == found


def test_the_limit_of_open_files_is_of_the_containers_process_where_no_process_of_the_host_serves() -> None:
    service = {"uwsgi": {"socket": "/run/webstack-none/nobody.sock"}}
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert _export_facts.open_files(service) == []
    assert _export_facts.open_files(service, os.getpid()) == [soft, hard]


def test_static_trees_are_asked_for_at_their_locations(tmp_path: Path) -> None:
    (tmp_path / "css").mkdir()
    for name in ("a b.css", ".hidden", "css/x.css", "y.js"):
        (tmp_path / name).write_text("x", encoding="ascii")
    service = {"nginx": {"static": [{"location": "/static/", "path": str(tmp_path) + "/"}, {"location": "~ \\.png$", "path": str(tmp_path)}]}}
    assert set(_compare_answers.served(service, HostFs())) == {"/static/a%20b.css", "/static/css/x.css", "/static/y.js"}
