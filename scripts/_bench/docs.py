"""The documentation's site: pages of docs/, and a reference that is made from the sources.

    ./scripts/docs                     build it into .cache/docs/html, and look for links that lead nowhere
    ./scripts/docs look                the same, and pictures of pages in a headless browser into .cache/docs/look
    ./scripts/docs pictures INVENTORY  take the pictures in docs/images anew, by a convert of the hosts of an inventory
    ./scripts/docs commands [--keep] [PAGE...]
                                       run every command of the tutorial and the guides, or of the named pages, on fresh hosts. With --keep the
                                       guides' host is left, and the next --keep goes on with it: guides/secrets alone, after those before it
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from . import CACHE, LOGS, ROOT, BenchError, control, engine, guarded, images, logged, say, setup_lock

PAGES = ROOT / "docs"
SETTINGS = Path(__file__).with_name("docs-site")
SITE = CACHE / "docs"
SOURCE, HTML, DOCTREES = SITE / "source", SITE / "html", SITE / "doctrees"
HINT = "Mend what it names, and run again."


def limits(readme: str) -> str:
    """The page of limits: the README's section, as it stands there. Pure."""
    found = re.search(r"^## Limits\n\n((?:- .*\n(?:  .*\n)*)+)", readme, re.MULTILINE)
    if found is None:
        raise BenchError("README.md has no section 'Limits', of which a page of the documentation is made")
    end = "A service that meets one of them is found, shown with the reason, and left as it is: discover tells before anything is moved."
    return f"# Limits\n\n{found[1]}\n{end}\n"


def with_all(index: str, guides: list[str]) -> str:
    """The index in which ``guides/*`` stands for the guides that it does not name itself. Pure."""
    others = [name for name in guides if not re.search(rf"^{re.escape(name)}$", index, re.MULTILINE)]
    return index.replace("guides/*\n", "".join(f"{name}\n" for name in others))


def _assemble() -> None:
    """The pages, the settings and what is made from the sources, in one directory."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    shutil.copytree(PAGES, SOURCE)
    shutil.copytree(SETTINGS / "static", SOURCE / "_static")
    shutil.copy2(SETTINGS / "conf.py", SOURCE / "conf.py")
    index = (PAGES / "index.md").read_text(encoding="utf-8")
    (SOURCE / "index.md").write_text(with_all(index, [f"guides/{path.stem}" for path in sorted((PAGES / "guides").glob("*.md"))]), encoding="utf-8")
    (SOURCE / "limits.md").write_text(limits((ROOT / "README.md").read_text(encoding="utf-8")), encoding="utf-8")
    reference = SOURCE / "reference"
    reference.mkdir(mode=0o700)  # antsibull-docs wants it to be nobody else's
    logged([control.tool("antsibull-docs"), "collection", "--use-current", "--fail-on-error", "--squash-hierarchy", "--no-add-antsibull-docs-version",
            "--dest-dir", str(reference), "gantry.webstack"], "docs-reference", hint=HINT, timeout=1800)
    for path in reference.glob("*.rst"):  # the theme has a table of contents of its own, and says so in red where there is another
        path.write_text(re.sub(r"\n\.\. contents::\n(?: +:.*\n)*", "\n", path.read_text(encoding="utf-8")), encoding="utf-8")
    from . import docs_playbooks

    (reference / "playbooks.md").write_text(docs_playbooks.page(), encoding="utf-8")


def build() -> int:
    """Build the site; the number of its pages. Raises BenchError for any warning, and for a link that leads nowhere."""
    _assemble()
    shutil.rmtree(HTML, ignore_errors=True)
    shutil.rmtree(DOCTREES, ignore_errors=True)
    (LOGS / "docs-sphinx.log").unlink(missing_ok=True)
    logged([control.tool("sphinx-build"), "-b", "html", "-W", "--keep-going", "-n", "-q", "-d", str(DOCTREES), str(SOURCE), str(HTML)],
           "docs-sphinx", hint=HINT, timeout=1800)
    red = [str(path.relative_to(HTML)) for path in HTML.rglob("*.html") if '<nav class="contents' in path.read_text(encoding="utf-8")]
    if red:
        raise BenchError(f"the theme complains about a table of contents in {', '.join(red)}")
    dead = list(dead_links(HTML))
    if dead:
        raise BenchError("\n".join(["links of the documentation lead nowhere:", *dead, HINT]))
    return len(list(HTML.rglob("*.html")))


class _Links(HTMLParser):
    """What a page links to and loads, and the places that it has."""

    def __init__(self) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.places: set[str] = {""}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("id", "name") and value:
                self.places.add(value)
            elif name in ("href", "src") and value and tag != "base":
                self.targets.append(value)


def dead_links(folder: Path) -> Iterator[str]:
    """Links between pages whose file or place is not there, as ``PAGE: TARGET``. What is on other servers is not asked for."""
    seen: dict[Path, _Links] = {}
    for path in sorted(folder.rglob("*.html")):
        seen[path] = _Links()
        seen[path].feed(path.read_text(encoding="utf-8"))
    for path, links in seen.items():
        for target in dict.fromkeys(links.targets):
            url = urlsplit(target)
            if url.scheme or url.netloc:
                continue
            there = (path.parent / unquote(url.path)).resolve() if url.path else path
            there = there / "index.html" if there.is_dir() else there
            if not there.is_file() or (there in seen and unquote(url.fragment) not in seen[there].places):
                yield f"  {path.relative_to(folder)}: {target}"


def main() -> int:
    command, *words = sys.argv[1:] or ["build"]
    if command not in ("build", "look", "pictures", "commands") or (words and command in ("build", "look")) or (command == "pictures" and len(words) != 1):
        print((__doc__ or "").strip())
        return 0 if command in ("help", "--help", "-h") else 2
    if os.environ.get("WEBSTACK_DOCS") != str(os.getpid()):  # not yet the control node's Python with its paths, which takes this process over
        with setup_lock():
            control.setup()
            if command != "build":
                engine.setup()
            if command in ("look", "pictures"):
                images.browser()
        os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "scripts"), str(control.TREE), str(ROOT / "tests/report"), str(ROOT / "tests/load")])
        os.environ["WEBSTACK_DOCS"] = str(os.getpid())
        os.execv(control.tool("python"), [control.tool("python"), "-m", "_bench.docs", *sys.argv[1:]])
    if command == "commands":
        from . import docs_commands

        return docs_commands.main(words)
    if command == "pictures":
        from . import docs_pictures

        docs_pictures.take(Path(words[0]))
        return 0
    say(f"{build()} pages in {HTML}")
    if command == "look":
        from . import docs_pictures

        docs_pictures.look(HTML, SITE / "look")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
