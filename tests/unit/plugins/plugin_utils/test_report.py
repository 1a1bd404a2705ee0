# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The report: everything escaped, nothing loaded, the same text twice; what a browser makes of it is looked at in tests/report."""

from __future__ import annotations

import base64
import copy
import hashlib
import json
import random
import re
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.plugin_utils import convert_steps, planner, report, report_index, report_text
from ansible_collections.gantry.webstack.plugins.plugin_utils.report_drawing import drawing

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "evidence" / "bookworm.json").read_text(encoding="utf-8"))
EVIL = "<script>alert(1)</script>\"'&"


def plan() -> dict[str, Any]:
    return copy.deepcopy(planner.plan("web1", RECORDED))


def evil(value: Any) -> Any:
    """The same data with something that must be escaped in each text."""
    if isinstance(value, dict):
        return {key: evil(item) if key not in ("runtime", "verdict", "status") else item for key, item in value.items()}
    if isinstance(value, list):
        return [evil(item) for item in value]
    return value + EVIL if isinstance(value, str) else value


def test_everything_is_escaped_and_nothing_is_loaded() -> None:
    rows = [{"kind": "unit", "what": "x", "status": "kept", "service": "blog", "evidence": "y"}, {"kind": "cron", "what": "z", "status": "unexplained"}]
    for page in (report.page(evil(plan()), evil(rows), edits=[evil({"place": "a", "plan": "b", "found": "c"})], file="a'b.yml"),
                 report_index.index([report_index.summary(EVIL, "d", evil(plan())), report_index.problem(EVIL, "d", EVIL)])):
        assert page.count("<script") == 1 and "alert(1)" in page and EVIL not in page
        for loading in ("src=", 'href="http', "<link", "@import", "url(", "onclick", "style="):
            assert loading not in page
        assert re.findall(r'="[^"]*(?<!&quot;)(?:<script|"\')', page) == []


def test_the_policy_allows_what_is_on_the_page_and_nothing_else() -> None:
    page = report.page(plan())
    found = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert found is not None
    for tag in ("style", "script"):
        inline = re.findall(f"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline[0].encode()).digest()).decode()
        assert len(inline) == 1 and f"{tag}-src 'sha256-{digest}'" in found[1]
    assert found[1].startswith("default-src 'none';") and "unsafe" not in found[1]


def test_the_same_input_gives_the_same_page_whatever_the_order_of_the_ledger() -> None:
    rows = [{"kind": "unit", "what": f"{number}.service", "status": "external", "evidence": ""} for number in range(9)]
    shuffled = rows[:]
    random.Random(1).shuffle(shuffled)
    assert report.page(plan(), rows) == report.page(plan(), shuffled)


def test_every_service_and_entry_is_there() -> None:
    page = report.page(plan(), [{"kind": "timer", "what": "a.timer", "status": "kept", "service": "blog", "evidence": "b"}])
    for name in ("blog", "calc", "wiki"):
        assert f'id="service-{name}"' in page and page.count(f'data-service="{name}"') == 2 and f">{name}</text>" in page
    assert '<tr data-status="kept" data-kind="timer">' in page and '<button type="button" value="kept"' in page
    alone = report.page(plan())
    assert "nobody-knows" in alone and '<tr data-status="unexplained" data-kind="cron">' in alone


def test_a_host_with_no_service() -> None:
    page = report.page({"version": 1, "host": "empty", "services": []})
    assert "No service was found" in page and "Nothing is left to tell" in page and "<svg" not in page


@pytest.mark.parametrize(("count", "shown"), [(0, "under 1 MB"), (999_999, "under 1 MB"), (1_000_000, "1 MB"), (1_249_000, "1.2 MB"), (9_960_000, "10 MB"),
                                              (123_000_000, "120 MB"), (999_400_000, "1000 MB"), (999_600_000, "1 GB"), (2_150_000_000, "2.1 GB")])
def test_sizes(count: int, shown: str) -> None:
    assert report_text.human(count) == shown


def test_the_size_of_a_path() -> None:
    known = {"/a": {"bytes": 5_000_000, "complete": False}, "/b": {"bytes": 7_000_000, "complete": True}}
    assert [report_text.size_of(known, path) for path in ("/a", "/b", "/c")] == ["at least 5 MB", "7 MB", ""]


def test_listen_lines() -> None:
    assert report_text.listen_text("[::]:443 ssl") == "[::]:443 ssl"
    typed = {"address": "::1", "port": 443, "tls": True, "default": True, "extra": "reuseport"}
    assert report_text.listen_text(typed) == "[::1]:443 ssl default_server reuseport"
    assert report_text.listen_text({"port": 80}) == "80"


def test_what_convert_will_do() -> None:
    services = {service["name"]: service for service in plan()["services"]}
    assert convert_steps.steps(services["wiki"]) == []
    assert "in the container until then" in dict(convert_steps.steps(services["calc"]))["Let the rest begin"]
    told = dict(convert_steps.steps(services["blog"]))
    assert list(told)[:4] == ["Harvest the image", "Start a candidate", "Prove it equal", "Switch the socket"]
    assert "/run/uwsgi-emp/blog.sock" in told["Switch the socket"] and "/etc/emperor/blog.ini" in told["Set the host's process aside"]
    assert convert_steps.steps({**services["blog"], "runtime": "container"}) == []
    bare = convert_steps.steps({"name": "a"})
    assert bare and all("None" not in how for dummy, how in bare)


def test_shared_boxes_are_drawn_once_and_a_host_with_many_services_fills_several_sheets() -> None:
    services = [{"name": f"s{number:02d}", "nginx": {"sites": [{"server_names": ["a.test"], "listen": ["80"], "location": f"/{number}/"}]},
                 "uwsgi": {"socket": f"/run/{number}.sock"}, "needs": [{"kind": "redis", "address": "127.0.0.1:6379"}]} for number in range(30)]
    picture = drawing({"version": 1, "host": "h", "services": services})
    wide, narrow = picture.split('<div class="narrow"')
    assert wide.count("<svg viewBox") == 3 and wide.count('class="box nginx"') == 3 and wide.count('class="box need"') == 3
    assert narrow.count("<svg viewBox") == 30 and wide.count("data-service=") == narrow.count("data-service=") == 30


def test_the_index_is_sorted_and_remembers() -> None:
    some = [report_index.summary(f"{host}.yml", f"digest of {host}", {**plan(), "host": host}) for host in ("web2", "web10", "a")]
    some.append(report_index.problem("broken.yml", "x", "not YAML"))
    page = report_index.index(some)
    assert page == report_index.index(some[::-1])
    places = [page.index(f">{host}</a>") for host in ("a", "broken.yml", "web10", "web2")]
    assert places == sorted(places)
    assert report_index.known(page) == {(item["file"], item["digest"]): item for item in some}
    assert report_index.known(page.replace("&quot;form&quot;: 1", "&quot;form&quot;: 0")) == {} and report_index.known('<tr data-summary="x">') == {}
    assert "<h1>0 hosts</h1>" in report_index.index([])
