"""The documentation's own machinery: what a page asks for, what the site links to, and what is made from the sources."""

from __future__ import annotations

from pathlib import Path

import pytest
from _bench import BenchError, docs, docs_commands, docs_playbooks

ROOT = Path(__file__).resolve().parents[3]

PAGE = """
# A page

```yaml
# inventory.yml
all: {}
```

```yaml
# group/one.yml
a: 1
```

```yaml
b: an example
```

```console
$ cat group/one.yml
$ test -f "group/one.yml" && echo 'it is there'
```
"""


def test_a_page_is_files_and_commands_in_their_order() -> None:
    assert list(docs_commands.steps(PAGE)) == [
        ("write", "group/one.yml\na: 1\n"), ("run", "cat group/one.yml"), ("run", "test -f \"group/one.yml\" && echo 'it is there'")]


def test_a_page_runs_and_stops_at_the_first_command_that_fails(tmp_path: Path) -> None:
    import subprocess

    def run(page: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["bash", "-c", docs_commands.script(page)], cwd=tmp_path, capture_output=True, text=True, check=False)

    good = run(PAGE)
    assert good.returncode == 0 and "$ cat group/one.yml\na: 1\n" in good.stdout and good.stdout.endswith("it is there\n")
    bad = run("```console\n$ cd /\n$ false\n$ echo never\n```\n")
    assert bad.returncode == 1 and bad.stdout == "$ cd /\n$ false\n"


@pytest.mark.parametrize("page", ["```console\nls\n```\n", "```bash\nls\n```\n", "```shell\n$ ls\n```\n"])
def test_a_command_that_would_not_be_run_is_refused(page: str) -> None:
    with pytest.raises(BenchError):
        list(docs_commands.steps(page))


def test_the_pages_with_commands_are_the_tutorial_and_the_guides_in_the_order_of_the_index() -> None:
    order = docs_commands.order()
    assert order[:3] == ["tutorial", "guides/install", "guides/your-own-host"] and len(order) == len(set(order))
    assert all(name == "tutorial" or name.startswith("guides/") for name in order)


def test_the_tutorials_reader_has_none_of_the_checkouts_tools(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{docs_commands.CACHE / 'venv/bin'}:/usr/bin")
    monkeypatch.setenv("ANSIBLE_COLLECTIONS_PATH", "/somewhere")
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    env = docs_commands.reader()
    assert env["PATH"] == "/usr/bin" and not [name for name in env if name.startswith(("ANSIBLE_", "PYTHON"))]


def test_links_that_lead_nowhere(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.html").write_text('<a id="here" href="sub/b.html#there">x</a><a href="#here">x</a><a href="https://example.org/none">x</a>')
    (tmp_path / "sub/b.html").write_text('<p id="there"><img src="none.png"><a href="../a.html#nowhere">x</a><a href="../">x</a></p>')
    (tmp_path / "index.html").write_text("")
    assert list(docs.dead_links(tmp_path)) == ["  sub/b.html: none.png", "  sub/b.html: ../a.html#nowhere"]


def test_the_limits_are_the_readmes() -> None:
    page = docs.limits((ROOT / "README.md").read_text(encoding="utf-8"))
    assert page.startswith("# Limits\n") and "GET and HEAD" in page and "The [tutorial]" not in page
    with pytest.raises(BenchError):
        docs.limits("# no such section\n")


def test_guides_that_the_index_does_not_name_are_in_it() -> None:
    assert docs.with_all("guides/one\nguides/*\n", ["guides/one", "guides/two"]) == "guides/one\nguides/two\n"
    assert docs.with_all("guides/one\nguides/*\n", ["guides/one"]) == "guides/one\n"


def test_each_playbook_is_in_the_reference_with_its_roles_and_variables() -> None:
    page = docs_playbooks.page()
    assert [line[3:] for line in page.splitlines() if line.startswith("## ")] == sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml"))
    convert = page.partition("\n## convert\n")[2].partition("\n## ")[0]
    assert "[convert](./convert_role.rst)" in convert
    assert "| `webstack_canary` | Percent of the requests" in convert and "| `webstack_hosts` |" in convert and "sets it" not in convert
    deploy = page.partition("\n## deploy\n")[2].partition("\n## ")[0]
    assert "[python](./python_role.rst)" in deploy and "[deploy](./deploy_role.rst)" in deploy
