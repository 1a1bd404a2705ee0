"""One browser for all tests, with the pages of four hosts and the index of all."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import plans
import pytest
from browser import Browser

from ansible_collections.gantry.webstack.plugins.plugin_utils import report, report_index, status_page

SIZES = (0, 1, 5, 40)


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    folder = tmp_path_factory.mktemp("pages")
    summaries = [report_index.problem("broken.yml", "d", "services[a]: unknown key 'sokcet'; known keys are <many>")]
    for number in SIZES:
        plan = plans.plan(number)
        edits = [{"place": "services[shop].uwsgi.options.processes", "plan": "8", "found": "4"}] if number == 5 else []
        page = report.page(plan, plans.ledger(number), plans.sizes(number), edits, f"web{number}.yml")
        (folder / f"web{number}.html").write_text(page, encoding="utf-8")
        summaries.append(report_index.summary(f"web{number}.yml", "d", plan))
    (folder / "alone.html").write_text(report.page(plans.plan(5)), encoding="utf-8")
    (folder / "index.html").write_text(report_index.index(summaries), encoding="utf-8")
    found = {f"web{number}": plans.status(number) for number in SIZES}
    (folder / "status.html").write_text(status_page.page({**found, "gone.example.org": None}, "2026-11-29 10:11 UTC"), encoding="utf-8")
    for path in (folder, *folder.iterdir()):
        path.chmod(0o755)
    started = Browser(folder)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="session")
def pictures() -> Path:
    """Where pictures of the pages are left for people to look at."""
    folder = Path(__file__).resolve().parents[2] / ".cache/report"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
