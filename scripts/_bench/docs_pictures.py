"""The documentation's pictures, taken of the real thing: report and status page in a browser, the progress on a terminal; and the site, to be looked at."""

from __future__ import annotations

import base64
import io
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from browser import Browser  # tests/report/browser.py
from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

from . import ROOT, BenchError, control, logged, say
from .terminal import on_terminal

IMAGES = ROOT / "docs/images"
COLUMNS, ROWS = 104, 40
WIDTHS = (1280, 390)
LOOKED_AT = ("index.html", "tutorial.html", "guides/your-own-host.html", "guides/progress.html", "guides/exports.html", "reference/playbooks.html",
             "reference/index.html", "reference/switch_module.html", "reference/webapp_role.html", "explanation/socket.html", "explanation/parity.html",
             "architecture.html", "benchmarks.html", "limits.html")

SVG = """<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font-family: ui-monospace, SFMono-Regular, Menlo, "DejaVu Sans Mono", monospace; font-size: {char_height}px;
  line-height: {line_height}px; font-variant-east-asian: full-width; }}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: system-ui, sans-serif; }}
{styles}
</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}" height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g></g>
</svg>
"""
"""rich's own, without the fonts that it loads from a server."""


def recorded(argv: list[str]) -> str:
    """What a command writes to a terminal of COLUMNS and ROWS. Raises BenchError when it fails."""
    code, told = on_terminal(argv, {"TERM": "xterm-256color", "ANSIBLE_STDOUT_CALLBACK": "gantry.webstack.progress", "PYTHONUTF8": "1"}, ROWS, COLUMNS)
    if code:
        raise BenchError(f"{' '.join(argv)} failed:\n{told[-3000:]}")
    return re.sub(r"\r+\n", "\n", told)


def screens(told: str) -> Iterator[tuple[list[str], list[str]]]:
    """What a terminal showed each time before it was cleared below the cursor, and at the end: (the lines that stayed, those below). Pure."""
    rows, row, fresh = [""], 0, True
    for word in re.split(r"(\r|\n|\x1b\[J|\x1b\[\d+A)", told):
        if word == "\r":
            fresh = True
        elif word == "\n":
            row, fresh = row + 1, True
            rows += [""] * (row + 1 - len(rows))
        elif word == "\x1b[J":
            yield rows[:row], rows[row:]
            rows = [*rows[:row], ""]
        elif re.fullmatch(r"\x1b\[\d+A", word):
            row -= int(word[2:-1])
        elif word:
            rows[row] = word if fresh else rows[row] + word
            fresh = False
    yield rows, []


def screen(told: str, mark: str) -> str:
    """What stood on the terminal in the middle of the phase ``mark``: the lines that stayed, and those that moved. Raises BenchError. Pure."""
    found = ["\n".join([*stayed, *moved]) for stayed, moved in screens(told) if any(f" {mark} " in line for line in moved)]
    if not found:
        raise BenchError(f"no moment of the run shows the phase {mark}")
    return found[len(found) // 2]


def lasting(told: str) -> str:
    """What stands on the terminal at the end. Pure."""
    return "\n".join(list(screens(told))[-1][0])


def draw(text: str, title: str, path: Path) -> None:
    """Text with its colours as a drawing of a terminal."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(text.strip("\n")))
    path.write_text(console.export_svg(title=title, theme=MONOKAI, code_format=SVG, unique_id="terminal"), encoding="utf-8")


def _photo(browser: Browser, name: str, path: Path, height: int, scheme: str) -> None:
    browser.open(name, width=1120, height=height, scheme=scheme)
    data = browser.call("Page.captureScreenshot", format="webp", quality=82, clip={"x": 0, "y": 0, "width": 1120, "height": height, "scale": 1})["data"]
    path.write_bytes(base64.b64decode(data))


def take(inventory: Path) -> None:
    """Take all pictures, by a discover, a convert and a status of an inventory's hosts, whose services are on the host or moved back to it first."""
    play = [control.tool("ansible-playbook"), "-i", str(inventory.resolve())]
    with tempfile.TemporaryDirectory(prefix="webstack-pictures-") as top:
        folder = Path(top)
        plans = ["-e", f"webstack_plan_dir={folder}"]
        hint = "Look at the hosts of the inventory, and run again."
        for playbook in ("discover", "rollback", "discover"):  # the report is of the services on the host
            logged([*play, f"gantry.webstack.{playbook}", *plans], "docs-pictures", hint=hint)
        say("a convert on a terminal")
        told = recorded([*play, "gantry.webstack.convert", *plans])
        title = "ansible-playbook -i inventory.yml --become gantry.webstack.convert"
        draw(screen(told, "parity"), title, IMAGES / "progress.svg")
        draw(lasting(told), title, IMAGES / "progress-end.svg")
        logged([*play, "gantry.webstack.status", "-e", f"status_page={folder / 'status.html'}"], "docs-pictures", hint=hint)
        report = next(path for path in sorted(folder.glob("*.html")) if path.name not in ("index.html", "status.html"))
        for path in (folder, *folder.iterdir()):
            path.chmod(0o755)
        browser = Browser(folder)
        try:
            for scheme in ("light", "dark"):
                _photo(browser, report.name, IMAGES / f"report-{scheme}.webp", 1000, scheme)
                _photo(browser, "status.html", IMAGES / f"status-{scheme}.webp", 620, scheme)
        finally:
            browser.close()
    say(f"pictures are in {IMAGES}")


def look(site: Path, folder: Path) -> None:
    """Pictures of the site's pages on wide and narrow screens, light and dark. Raises BenchError when one is wider than its screen."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in (site, *site.rglob("*")):
        path.chmod(0o755)
    browser, wide = Browser(site), []
    try:
        for page in LOOKED_AT:
            for width in WIDTHS:
                for scheme in ("light", "dark"):
                    browser.open(page, width=width, scheme=scheme)
                    browser.picture(folder / f"{page.removesuffix('.html').replace('/', '-')}-{width}-{scheme}.png")
                    if browser.ask("document.documentElement.scrollWidth") > width:
                        wide.append(f"{page} at {width} pixels")
                    wide += [f"{page}: {url}" for url in browser.requests() if not url.startswith(("file:///pages/", "data:"))]
    finally:
        browser.close()
    if wide:
        raise BenchError("pages are wider than their screen, or load what is not theirs:\n" + "\n".join(f"  {line}" for line in dict.fromkeys(wide)))
    say(f"pictures of {len(LOOKED_AT)} pages are in {folder}")
