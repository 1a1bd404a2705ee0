"""The parts of ./scripts/test beside Molecule: each adds its outcomes to the report."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from . import CACHE, LOGS, ROOT, BenchError, control, ee, engine, images, logged, output, say, scenarios, setup_lock
from .report import Outcome, Report

LEFTOVERS = ("extensions/molecule", "tests", "scripts", ".ci", ".cache", ".git", ".gitignore", ".ansible-lint", "pyproject.toml", "requirements-dev",
             ".pre-commit", "noxfile.py", "antsibull-nox.toml", "requirements-nox")
"""What a release must not carry."""


def sources() -> list[str]:
    """Files of the working tree that git knows or would add."""
    listed = subprocess.run(["git", "-c", f"safe.directory={ROOT}", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                            cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def junit(path: Path, code: int) -> tuple[int, int]:
    """(passed, failed) of a JUnit file that a command ending with ``code`` wrote."""
    try:
        suites = list(ET.parse(path).getroot().iter("testsuite"))
    except (OSError, ET.ParseError):
        return 0, 1
    total, bad, skipped = (sum(sum(int(suite.get(key, 0)) for key in keys) for suite in suites) for keys in (("tests",), ("failures", "errors"), ("skipped",)))
    return total - bad - skipped, bad or int(code != 0)


def _pytest(report: Report, name: str, argv: list[str], env: dict[str, str] | None = None, timeout: float = 300) -> None:
    path = LOGS / f"{name.replace(' ', '-')}.xml"
    path.unlink(missing_ok=True)
    report.check(name, [*argv, f"--junit-xml={path}"], count=lambda code, text: junit(path, code), env=env, timeout=timeout)


def unit(report: Report) -> None:
    """pytest with the control node's Python, and what runs on targets with the oldest Python there, if this machine has it."""
    _pytest(report, "unit", [control.tool("python"), "-m", "pytest", "-q"])
    oldest = control.python_versions().get("3.9")
    paths = [path for path in ("tests/unit/plugins/module_utils", "tests/unit/plugins/modules") if (ROOT / path).is_dir()]
    if oldest is None or not paths:
        say("unit 3.9: left out, this machine has no Python 3.9")
        return
    python = _target_venv(oldest)
    _pytest(report, "unit 3.9", [str(python), "-m", "pytest", "-q", "-o", "cache_dir=.cache/pytest39", *paths],
            env={"PYTHONPATH": f"{CACHE / 'target'}:{control.TREE}", "VIRTUAL_ENV": ""})


def _target_venv(oldest: Path) -> Path:
    """An environment like a target's: ansible-core as Ansible ships it there (module_utils), pytest, and nothing of the control node's."""
    python = control.side_venv("venv39", oldest, ROOT / "tests/unit/requirements-py39.txt")
    link = CACHE / "target/ansible"
    link.parent.mkdir(exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(next(control.VENV.glob("lib/python3.*/site-packages/ansible")))
    return python


def properties(report: Report) -> None:
    """Generated service lists: completed and rendered in thousands, and a few of them installed on a real host."""
    with setup_lock():
        engine.setup()
        images.ensure("bookworm")
    _pytest(report, "property", [control.tool("python"), "-m", "pytest", "-q", "--import-mode=prepend", "-o", "addopts=-ra", "tests/property"], timeout=1200)


def _injected(code: int, text: str) -> tuple[int, int]:
    """(passed, failed) of the last line of tests/faults/inject.py; the ones that were not reached count as failed."""
    found = re.search(r"(\d+) ended as they should, (\d+) did not; (\d+) not reached", text)
    passed, *failed = (int(word) for word in found.groups()) if found else (0, 1)
    return passed, sum(failed) or int(code != 0)


def faults(report: Report) -> None:
    """Faults injected into runs of convert and rollback under a load, then into the moves of nginx itself; what came out of each is in .cache/faults.

    Then the scenario faults with all that it makes a sample of otherwise: an install killed at each of its steps, and a hundred clean runs of the parity
    gate.
    """
    with setup_lock():
        engine.setup()
        images.ensure("bookworm")
    for name, words in (("faults", []), ("faults-edge", ["--edge"])):
        report.check(name, [control.tool("python"), str(ROOT / "tests/faults/inject.py"), *words], timeout=7200, count=_injected,
                     show="^FAILED|^missed|injections in")
        log = (LOGS / f"test-{name}.log").read_text(encoding="utf-8", errors="replace").splitlines()
        print(f"  {log[-1] if log else 'it said nothing'}")
    scenarios.run(report, ["faults"], keep=False, env={"WEBSTACK_EVERY_STEP": "1", "WEBSTACK_PARITY_RUNS": "100"})


def reports(report: Report) -> None:
    """The report's pages in a headless Chromium in a container without a network; it leaves pictures of them in .cache/report."""
    with setup_lock():
        engine.setup()
        images.browser()
    _pytest(report, "report", [control.tool("python"), "-m", "pytest", "-q", "--import-mode=prepend", "-o", "addopts=-ra", "tests/report"], timeout=600)


def awx(report: Report) -> None:
    """The role awx, with the modules of awx.awx, against a stand-in for AWX's API."""
    _pytest(report, "awx", [control.tool("python"), "-m", "pytest", "-q", "--import-mode=prepend", "-o", "addopts=-ra", "tests/awx"], timeout=900)


def execution_environment(report: Report) -> None:
    """The execution environment's image, and jobs in it as AWX runs them, against a host over SSH."""
    with setup_lock():
        engine.setup()
        images.ensure("bookworm")
    image = ee.build("", "webstack-ee:test")
    _pytest(report, "ee", [control.tool("python"), "-m", "pytest", "-q", "--import-mode=prepend", "-o", "addopts=-ra", "tests/ee"],
            env={"WEBSTACK_EE_IMAGE": image}, timeout=3600)


def documentation(report: Report) -> None:
    """The documentation's site, without a warning and with no link that leads nowhere; it is left in .cache/docs/html."""
    report.check("docs", [str(ROOT / "scripts/docs")], timeout=3600)


def _ran_pages(code: int, text: str) -> tuple[int, int]:
    found = re.search(r"(\d+) pages ran, (\d+) failed", text)
    return (int(found[1]), int(found[2])) if found else (0, int(code != 0) or 1)


def documented_commands(report: Report) -> None:
    """Each command of the tutorial and the guides, on fresh hosts."""
    with setup_lock():
        engine.setup()
    report.check("docs-commands", [str(ROOT / "scripts/docs"), "commands"], timeout=14400, count=_ran_pages)


def types(report: Report) -> None:
    """mypy over everything written in Python, under the names by which the code imports itself."""
    config = ["--config-file", str(ROOT / "pyproject.toml")]
    report.check("mypy plugins", [control.tool("mypy"), *config, "ansible_collections/gantry/webstack/plugins"], cwd=control.TREE,
                 env={"MYPYPATH": str(control.TREE)})
    ours = [path for path in ("scripts/_bench", "scripts/_demo", "tests/unit", "tests/load", "tests/faults", "tests/upgrade") if (ROOT / path).is_dir()]
    report.check("mypy scripts and tests", [control.tool("mypy"), *config, *ours],
                 env={"MYPYPATH": f"{control.TREE}:{ROOT}/scripts:{ROOT}/tests/load:{ROOT}/tests/faults:{ROOT}/tests/report"})
    for name in ("report", "property", "nginx"):  # by themselves: their conftest has the name of another one
        report.check(f"mypy tests/{name}", [control.tool("mypy"), *config, f"tests/{name}"],
                     env={"MYPYPATH": f"{control.TREE}:{ROOT}/scripts:{ROOT}/tests/{name}:{ROOT}/tests/faults"})


def lint(report: Report) -> None:
    """Style and documentation: everything that reads the sources without running them."""
    report.check("ruff", [control.tool("ruff"), "check", "."])
    report.check("ansible-lint", [control.tool("ansible-lint"), "--offline", "--strict", "-q"])
    for schema, path in (("workflows", ".github/workflows/ci.yml"), ("issue-forms", ".github/ISSUE_TEMPLATE/bug.yml"),
                         ("issue-config", ".github/ISSUE_TEMPLATE/config.yml")):
        report.check(f"github-{schema}", [control.tool("check-jsonschema"), "--builtin-schema", f"vendor.github-{schema}", path])
    report.check("role-readmes", [str(ROOT / "scripts/role-readmes"), "--check"])
    report.check("antsibull-changelog", [control.tool("antsibull-changelog"), "lint"])
    with _copy() as root:  # it copies the whole folder, and .cache may hold an engine's data
        report.check("antsibull-docs", [control.tool("antsibull-docs"), "lint-collection-docs", "--plugin-docs", "--skip-rstcheck", str(root)],
                     env={"ANSIBLE_COLLECTIONS_PATH": str(root.parents[2]), "PYTHONPATH": ""})


@contextmanager
def _copy() -> Iterator[Path]:
    """A real copy of the sources, outside of every git work tree (ansible-test passes over symlinks and ignored folders) and without .cache."""
    with tempfile.TemporaryDirectory(prefix="webstack-sanity-") as top:
        root = Path(top) / "ansible_collections/gantry/webstack"
        for name in sources():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name, follow_symlinks=False)
        yield root


def _get_pip(home: Path) -> None:
    """ansible-test fetches a script from a server of its own to put pip into its environments; ensurepip does it as well."""
    source = next(control.VENV.glob("lib/python3.*/site-packages/ansible_test/_internal/python_requirements.py")).read_text(encoding="utf-8")
    found = re.search(r"pip=['\"]([0-9.]+)['\"]", source)
    if found is None:
        raise BenchError("cannot see which pip ansible-test wants; look at _get_pip in scripts/_bench/parts.py")
    script = home / f".ansible/test/cache/get_pip_{found.group(1).replace('.', '_')}.py"
    script.parent.mkdir(parents=True, exist_ok=True)
    script.write_text((ROOT / "scripts/_bench/get_pip.py").read_text(encoding="utf-8"), encoding="utf-8")


def _sanity_count(code: int, text: str) -> tuple[int, int]:
    ran = len(re.findall(r'^Running sanity test "', text, re.MULTILINE))
    listed = re.search(r"The (\d+) sanity test\(s\) listed below \(out of (\d+)\) failed", text)
    failed = int(listed.group(1)) if listed else int(code != 0)
    if "All targets skipped" in text or ran == 0:
        return 0, 1
    return ran - failed, failed


def sanity(report: Report, brief: bool = False) -> None:
    """ansible-test sanity without an ignore file, over every Python of this machine that ansible-core supports.

    ``brief``: the oldest one and the control node's.
    """
    if [name for name in sources() if name.startswith("tests/sanity/ignore")]:
        report.add(Outcome("sanity ignore file: there must be none", 0, 1, 0))
    home = CACHE / "home"
    _get_pip(home)
    versions = control.python_versions()
    if brief:
        own = output([control.tool("python"), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        versions = {version: path for version, path in versions.items() if version in (own, next(iter(versions)))}
    say(f"sanity: Python {', '.join(versions)} of this machine")
    # pyenv's shims look like Pythons and may not be any.
    usual = [entry for entry in os.environ["PATH"].split(os.pathsep) if not entry.endswith("/shims")]
    paths = [str(control.VENV / "bin"), *dict.fromkeys(str(path.parent) for path in versions.values()), *usual]
    # ansible-test keeps its environments below HOME; PYTHONPATH and the collections path would show it the checkout beside the copy.
    env = {"HOME": str(home), "PATH": os.pathsep.join(paths), "PYTHONPATH": "", "ANSIBLE_COLLECTIONS_PATH": "", "VIRTUAL_ENV": ""}
    with _copy() as root:
        report.check("sanity", [control.tool("ansible-test"), "sanity", "--venv", "--color", "no"], cwd=root, env=env, count=_sanity_count,
                     show="^(ERROR|FATAL)")


def package(report: Report) -> None:
    """The tarball: nothing but the collection in it, and installed from it everything is found by its full name."""
    say("package: build, look inside, install from the tarball")
    started = time.monotonic()
    dist = CACHE / "dist"
    shutil.rmtree(dist, ignore_errors=True)
    galaxy = control.tool("ansible-galaxy")
    logged([galaxy, "collection", "build", "--output-path", str(dist), str(ROOT)], "test-package", hint="")
    tarball = next(dist.glob("gantry-webstack-*.tar.gz"))
    with tarfile.open(tarball) as tar:
        names = tar.getnames()
    left = [name for name in names if name.startswith(LEFTOVERS) or "__pycache__" in name or name.endswith(".pyc")]
    wanted = [name for name in sources() if name.startswith(("plugins/", "roles/", "playbooks/", "meta/", "docs/"))]
    missing = sorted({*wanted, "README.md", "LICENSE", "CHANGELOG.rst", "requirements.txt", "MANIFEST.json"} - set(names))
    for what, wrong in (("leftovers", left), ("missing", missing)):
        if wrong:
            print(f"  {what}: {', '.join(wrong[:20])}")
    report.add(Outcome("package content", int(not (left or missing)), int(bool(left or missing)), time.monotonic() - started, tarball.name))
    # Only this path: the checkout, which is on the usual one, counts as an installed gantry.webstack.
    only = {"ANSIBLE_COLLECTIONS_PATH": str(dist), "PYTHONPATH": ""}
    logged([galaxy, "collection", "install", "-p", str(dist), str(tarball)], "test-package", hint="", env=only)
    _found_by_name(report, dist, only)


def _found_by_name(report: Report, dist: Path, env: dict[str, str]) -> None:
    """Ask ansible-doc and ansible-playbook, from the installed tarball only, for everything the checkout has."""
    started = time.monotonic()
    log = LOGS / "test-package-names.log"
    found: list[str] = []
    lost: list[str] = []
    with log.open("w", encoding="utf-8") as out:
        def ask(argv: list[str]) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, env={**os.environ, **env}, cwd=dist, check=False)
            out.write(f"$ {' '.join(argv)}\n{done.stderr}\n")
            return done

        for kind, stems in _documented():
            text = ask([control.tool("ansible-doc"), "-t", kind, "--json", *(f"gantry.webstack.{stem}" for stem in stems)]).stdout
            shown = json.loads(text) if text.startswith("{") else {}
            for stem in stems:
                (found if shown.get(f"gantry.webstack.{stem}") else lost).append(f"{kind} {stem}")
        for playbook in sorted(path.stem for path in (ROOT / "playbooks").glob("*.yml")):
            done = ask([control.tool("ansible-playbook"), "--syntax-check", "-i", "localhost,", f"gantry.webstack.{playbook}"])
            (lost if done.returncode else found).append(f"playbook {playbook}")
    report.add(Outcome("package names", len(found), len(lost), time.monotonic() - started, f"not found: {', '.join(lost)}" if lost else ""), log)


def _documented() -> Iterator[tuple[str, list[str]]]:
    """Everything that ansible-doc must show: (kind, names)."""
    for kind, folder in (("module", "modules"), *((kind, kind) for kind in ("callback", "filter", "lookup", "test", "inventory"))):
        paths = [path for path in (ROOT / "plugins" / folder).glob("[!_]*") if path.suffix in (".py", ".yml")]
        described = {path.stem for path in paths if path.suffix == ".yml"}
        # A file of several filters or tests has a YAML file for each of them beside it.
        stems = sorted(described or {path.stem for path in paths})
        if stems:
            yield kind, stems
    roles = sorted(path.name for path in (ROOT / "roles").iterdir() if (path / "tasks").is_dir())
    if roles:
        yield "role", roles


def versions() -> str:
    """What the run runs with, in one line."""
    python = output([control.tool("python"), "--version"]) or "no Python"
    core = (output([control.tool("ansible"), "--version"]) or "no ansible-core").splitlines()[0]
    return f"{python}, {core}"
