"""Runs every command of the tutorial and the guides, in their order, as a reader would: with the real tools on a real, fresh host.

A page's ``console`` blocks are its commands, one after each ``$``; a block of another language that begins with ``# NAME`` is a file of that
name. The reader's own inventory is the one file that is not taken from a page. The guides are one story on one host; the tutorial brings its own.
With --keep the story's host and files are left, and are what the next run with --keep goes on with: a guide can be run again by itself.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from . import CACHE, LOGS, ROOT, BenchError, hosts, images, output, say
from .docs import PAGES

HOME = CACHE / "docs-commands"
INVENTORY = "inventory.yml"
TUTORIAL = "tutorial"
DEMO_HOST = "webstack-demo"
SUITE = "trixie"
"""Of the guides' host: the tutorial's has Debian 12, and only Debian 13 has a Podman with quadlets and a compose that reads configs."""
PAGE_TIMEOUT = 5400
"""Seconds for one page; the tutorial has the whole demo in it."""

FENCE = re.compile(r"^(?P<fence>`{3,})(?P<language>[\w-]+)\n(?P<body>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)


def steps(text: str) -> Iterator[tuple[str, str]]:
    """What a page asks its reader to do, in its order: ("run", command) or ("write", "NAME\\nTEXT"). Raises BenchError. Pure."""
    for block in FENCE.finditer(text):
        body = block["body"]
        named = re.match(r"# ([\w./-]+\.\w+)\n", body)
        if block["language"] == "console":
            for line in body.splitlines():
                if not line.startswith("$ "):
                    raise BenchError(f"a console block holds {line!r}; it has commands alone, each after '$ '")
                yield "run", line[2:]
        elif block["language"] in ("bash", "sh", "shell"):
            raise BenchError(f"a block of language {block['language']!r} would not be run; write it as console, with '$ ' before each command")
        elif named and named[1] != INVENTORY:
            yield "write", named[1] + "\n" + body[named.end():]


def script(text: str) -> str:
    """A page as a program for bash that tells each command before it runs it, and ends with the first that fails. Pure."""
    lines = ["set -eo pipefail"]
    for kind, what in steps(text):
        if kind == "run":
            lines += [f"printf '%s\\n' {shlex.quote('$ ' + what)}", what]
        else:
            name, dummy, content = what.partition("\n")
            lines += [f"mkdir -p {shlex.quote(os.path.dirname(name) or '.')}", f"cat > {shlex.quote(name)} <<'END-OF-THE-FILE'\n{content}END-OF-THE-FILE"]
    return "\n".join(lines) + "\n"


def order() -> list[str]:
    """The pages that have commands, as the index has them, and then those that it finds by itself."""
    index = (PAGES / "index.md").read_text(encoding="utf-8")
    listed = re.findall(r"^((?:guides/)?[\w-]+)$", index, re.MULTILINE)
    every = {str(path.relative_to(PAGES).with_suffix("")): path for path in sorted(PAGES.rglob("*.md"))}
    with_commands = [name for name, path in every.items() if any(kind == "run" for kind, dummy in steps(path.read_text(encoding="utf-8")))]
    return sorted(with_commands, key=lambda name: (listed.index(name) if name in listed else len(listed), name))


def _run(name: str, folder: Path, env: dict[str, str]) -> str:
    """Run a page; nothing when every command ended well, else what went wrong."""
    log = LOGS / f"docs-{name.replace('/', '-')}.log"
    program = script((PAGES / f"{name}.md").read_text(encoding="utf-8"))
    with log.open("w", encoding="utf-8") as out:
        try:
            done = subprocess.run(["bash", "-c", program], cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=out,
                                  stderr=subprocess.STDOUT, timeout=PAGE_TIMEOUT, check=False)
            why = f"ended with code {done.returncode}" if done.returncode else ""
        except subprocess.TimeoutExpired:
            why = f"took longer than {PAGE_TIMEOUT} s"
    if not why:
        return ""
    told = log.read_text(encoding="utf-8", errors="replace").splitlines()
    last = next((line for line in reversed(told) if line.startswith("$ ")), "$ (nothing)")
    return "\n".join([f"{name}.md: {last[2:]!r} {why}", *(f"  | {line[:300]}" for line in told[-25:]), f"  whole log: {log}"])


def reader() -> dict[str, str]:
    """The environment of somebody who has just come: without this checkout's tools, and with this repository in the place of the published one."""
    ours = str(CACHE / "venv/bin")
    env = {name: value for name, value in os.environ.items() if not name.startswith(("ANSIBLE_", "PYTHON", "VIRTUAL_ENV", "WEBSTACK_DOCS"))}
    return {**env, "PATH": os.pathsep.join(entry for entry in env["PATH"].split(os.pathsep) if entry != ours),
            "GIT_CONFIG_COUNT": "2", "GIT_CONFIG_KEY_0": f"url.{ROOT}.insteadOf", "GIT_CONFIG_VALUE_0": "https://github.com/gantry/webstack",
            "GIT_CONFIG_KEY_1": "safe.directory", "GIT_CONFIG_VALUE_1": "*"}


def _story(host: str, keep: bool) -> Path:
    """The directory that the guides are read in, and the bare host that they tell of."""
    folder = HOME / "guides"
    if not (keep and hosts.running(host) and folder.is_dir()):
        images.ensure(SUITE)
        hosts.remove(host)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        variables = {"ansible_connection": "community.docker.docker", "ansible_host": host, "ansible_python_interpreter": "/usr/bin/python3"}
        (folder / INVENTORY).write_text(json.dumps({"all": {"hosts": {"web1": variables}}}) + "\n", encoding="utf-8")
    hosts.start(host, SUITE)
    return folder


def _newcomer() -> Path:
    """An empty directory for the tutorial. Raises BenchError when the demo's host is there: the tutorial removes it at its end."""
    if output(["docker", "inspect", "--format", "{{.Id}}", DEMO_HOST]):
        raise BenchError(f"the demo's host {DEMO_HOST} is there already, and the tutorial would use and remove it; remove it first: ./scripts/demo --down")
    folder = HOME / TUTORIAL
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


def main(words: list[str]) -> int:
    """Run the named pages, or all; the code to end with."""
    keep, words = "--keep" in words, [word for word in words if word != "--keep"]
    pages = order()
    unknown = [word for word in words if word not in pages]
    if unknown:
        raise BenchError(f"no page {', '.join(unknown)} with commands; there are {', '.join(pages)}")
    wanted = words or pages
    host = f"{os.environ.get('WEBSTACK_HOST_PREFIX', 'webstack')}-docs"
    LOGS.mkdir(parents=True, exist_ok=True)
    failures = []
    try:
        for name in wanted:
            say(f"{name}.md")
            started = time.monotonic()
            if name == TUTORIAL:
                failure = _run(name, _newcomer(), reader())
            else:
                story = _story(host, keep or name != next(page for page in wanted if page != TUTORIAL))
                failure = _run(name, story, dict(os.environ))
            print(f"  {'FAILED' if failure else 'passed'}: {name} ({time.monotonic() - started:.0f} s)", flush=True)
            if failure:
                print(failure, flush=True)
                failures.append(name)
    finally:
        if not keep and wanted != [TUTORIAL]:
            hosts.remove(host)
    print(f"{len(wanted) - len(failures)} pages ran, {len(failures)} failed", flush=True)
    return 1 if failures else 0
