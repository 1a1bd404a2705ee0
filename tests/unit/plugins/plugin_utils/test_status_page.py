"""The page of where services run."""

from __future__ import annotations

import re
from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils import status_page

IMAGES = [{"id": "sha256:a", "tag": "webstack/shop:aaa", "since": "2026-11-01T00:00:00Z", "current": False},
          {"id": "sha256:b", "tag": "webstack/shop:bbb", "since": "2026-11-02T00:00:00Z", "current": True}]
SHOP: dict[str, Any] = {"service": "shop", "runtime": "container", "phase": "switched", "problem": "", "container": "webstack-shop-1", "image": "sha256:b",
                        "images": IMAGES, "state": "running", "health": "healthy", "restarts": 2, "host_stack": "decommissioned",
                        "since": "2026-11-02T00:00:00Z"}
WIKI: dict[str, Any] = {"service": "wiki", "runtime": "host", "phase": "returning", "problem": "nobody listens at <socket>"}


def lines(page: str) -> list[str]:
    """The table's rows as words."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    return [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in body.split("</tr>")[:-1]]


def test_what_has_a_problem_comes_first() -> None:
    page = status_page.page({"web1": [SHOP, WIKI], "web2": [], "web3": None}, "noon & later")
    assert lines(page) == [
        "web3 not looked at it was not reached, or the look failed; the run's own output says why",
        "wiki web1 host returning no nobody listens at &lt;socket&gt;",
        "shop web1 container host decommissioned yes webstack-shop-1 restarted 2 times webstack/shop:bbb 1 image to go back to webstack/shop:aaa "
        "2026-11-01 00:00 UTC 2026-11-02 00:00 UTC"]
    assert re.findall(r'<tr data-status="(\w+)"', page) == ["problem", "problem", "container"]
    assert re.findall(r'<button type="button" value="(\w*)"[^>]*>\w+<i>(\d+)</i>', page) == [("", "3"), ("problem", "2"), ("container", "1")]
    assert "As seen at noon &amp; later" in page and "<b>1</b> in containers" in page and "<b>1</b> not looked at" in page


def test_hosts_without_services() -> None:
    page = status_page.page({"web1": []}, "noon")
    assert "<table" not in page and "have no service" in page and "1 host<" in page
