"""The report's pages as a browser shows them: on wide and narrow screens, in light and dark, and on paper."""

from __future__ import annotations

import re
from itertools import combinations
from pathlib import Path
from typing import Any

import plans
import pytest
from browser import Browser
from conftest import SIZES

PAGES = [*(f"web{number}.html" for number in SIZES), "alone.html", "index.html", "status.html"]
A4 = 703
"""Width of a sheet between its margins, in CSS pixels."""

LOOK = Path(__file__).with_name("look.js").read_text(encoding="utf-8")


def look(browser: Browser, what: str) -> Any:
    """The answer of one of the functions in look.js."""
    return browser.ask(f"{LOOK}.{what}()")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("page", PAGES)
def test_a_page(browser: Browser, pictures: Path, page: str, width: int, scheme: str) -> None:
    browser.open(page, width=width, scheme=scheme)
    browser.picture(pictures / f"{page.removesuffix('.html')}-{width}-{scheme}.png")
    assert browser.complaints() == []
    assert browser.requests() == [f"file:///pages/{page}"]
    assert browser.ask("document.documentElement.scrollWidth") <= width
    assert look(browser, "wider") == [] and look(browser, "faint") == []
    paper = browser.ask("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == (scheme == "dark")


@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("number", SIZES)
def test_the_drawing(browser: Browser, number: int, width: int) -> None:
    browser.open(f"web{number}.html", width=width)
    boxes: list[dict[str, Any]] = look(browser, "boxes")
    assert sorted(box["service"] for box in boxes if box["service"]) == sorted(map(plans.name, range(number)))
    assert [box["title"] for box in boxes if box["spill"] > 0.5] == []
    for one, other in combinations(boxes, 2):
        apart = one["right"] <= other["x"] or other["right"] <= one["x"] or one["bottom"] <= other["y"] or other["bottom"] <= one["y"]
        assert apart, (one, other)
    for box in boxes:
        assert box["x"] >= 0 and box["right"] <= width
    if number:
        assert browser.ask("document.querySelector(document.querySelector('.drawing a').getAttribute('href')).tagName") == "ARTICLE"


def choose(browser: Browser, status: str = "", kind: str = "", text: str = "") -> list[str]:
    """Use the ledger's filters as a person does, and return what is shown."""
    browser.ask(f"document.querySelector('#ledger button[value=\"{status}\"]').click()")
    browser.ask(f"(() => {{ const box = document.querySelector('#ledger select'); box.value = '{kind}'; box.dispatchEvent(new Event('change')); }})()")
    browser.ask("document.querySelector('#ledger input').focus(), document.querySelector('#ledger input').select()")
    browser.call("Input.dispatchKeyEvent", type="keyDown", key="Backspace", code="Backspace", windowsVirtualKeyCode=8)
    if text:
        browser.call("Input.insertText", text=text)
    return look(browser, "shown")


def test_filters(browser: Browser) -> None:
    browser.open("web5.html")
    ledger = plans.ledger(5)
    everything = choose(browser)
    assert sorted(everything) == sorted(f"{row['status']} {row['kind']}" for row in ledger) and everything[0] == "unexplained cron"
    for status in ("converted", "kept", "external", "unexplained"):
        assert choose(browser, status) == [row for row in everything if row.startswith(status)]
    assert choose(browser, kind="listener") == [row for row in everything if row.endswith("listener")]
    assert choose(browser, "converted", "listener", "run SHOP") == ["converted listener"]
    assert choose(browser, text="no such thing") == []
    assert browser.ask("document.querySelector('#ledger output').textContent") == f"0 of {len(ledger)}"
    assert choose(browser) == everything and browser.complaints() == []


def test_the_index_finds_a_host_by_its_service(browser: Browser) -> None:
    browser.open("index.html")
    browser.ask("document.querySelector('#hosts input').focus()")
    browser.call("Input.insertText", text="service-39")
    rows = "[...document.querySelectorAll('#hosts tbody tr')].filter(row => row.offsetParent)"
    assert browser.ask(f"{rows}.map(row => row.querySelector('a').getAttribute('href'))") == ["web40.html"]


def test_the_status_page_shows_what_has_a_problem(browser: Browser) -> None:
    browser.open("status.html")
    rows = "[...document.querySelectorAll('#services tbody tr')].filter(row => row.offsetParent)"
    every = browser.ask(f"{rows}.length")
    browser.ask("document.querySelector('#services button[value=problem]').click()")
    wrong = browser.ask(f"{rows}.map(row => row.textContent)")
    assert 0 < len(wrong) < every and all("502" in text or "not looked at" in text for text in wrong)
    browser.ask("document.querySelector('#services input').focus()")
    browser.call("Input.insertText", text="gone.example")
    assert len(browser.ask(f"{rows}.map(row => row.textContent)")) == 1


def test_nothing_that_gets_in_can_work_or_get_out(browser: Browser) -> None:
    browser.open("web5.html")
    browser.ask("(() => { const made = document.createElement('script'); made.textContent = 'window.broken = 1'; document.body.append(made); })()")
    browser.ask("(() => { const made = document.createElement('img'); made.src = 'http://192.0.2.1/x.png'; document.body.append(made); })()")
    assert browser.ask("fetch('http://192.0.2.1/').then(() => 'sent', () => 'refused')") == "refused"
    assert browser.ask("window.broken === undefined && document.querySelector('main script') === null")
    assert len(browser.complaints()) >= 3


def test_without_a_script(browser: Browser) -> None:
    browser.open("web5.html", script=False)
    assert browser.complaints() == []
    browser.call("DOM.enable")
    document = browser.call("DOM.getDocument")["root"]["nodeId"]
    row = browser.call("DOM.querySelector", nodeId=document, selector=".rows tbody tr")["nodeId"]
    filters = browser.call("DOM.querySelector", nodeId=document, selector=".filters")["nodeId"]
    assert browser.call("DOM.getBoxModel", nodeId=row)["model"]["height"] > 0
    with pytest.raises(RuntimeError, match="box model"):
        browser.call("DOM.getBoxModel", nodeId=filters)


@pytest.mark.parametrize("page", PAGES)
def test_on_paper(browser: Browser, pictures: Path, page: str) -> None:
    browser.open(page, width=A4, scheme="dark", media="print")
    assert browser.ask("document.documentElement.scrollWidth") <= A4
    assert browser.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert all(box["right"] <= A4 for box in look(browser, "boxes"))
    tall = browser.ask("Math.max(0, ...[...document.querySelectorAll('.wide svg')].map(one => one.getBoundingClientRect().height))")
    assert tall < 1017, "a drawing is higher than a sheet"
    browser.picture(pictures / f"{page.removesuffix('.html')}-print.png")
    browser.open(page, media="print")
    data = browser.paper()
    (pictures / page.replace(".html", ".pdf")).write_bytes(data)
    sheets = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data)
    assert sheets and {(round(float(width)), round(float(height))) for width, height in sheets} == {(595, 842)}
    assert browser.ask("document.querySelectorAll('details[open]').length") == 0, "what was opened for the paper is closed again"
