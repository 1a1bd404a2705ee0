"""The part galaxy-server of ./scripts/test: what scripts/release publishes on a real Galaxy server, and those who use the collection get from there."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import LOGS, ROOT, BenchError, control, ecosystem, parts, pulp, release, say
from .galaxy_client import COLLECTION
from .report import Outcome, Report, run_logged

LOG = LOGS / "test-galaxy-server.log"
NAME = "trial"
"""The server in ansible.cfg, and the repository on it."""

PLAYBOOK = f"{COLLECTION}.discover"


def galaxy_server(report: Report) -> None:
    """Publish, install, verify, refuse the same version again, and upgrade."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="webstack-galaxy-") as top, ecosystem.keyring(), pulp.serving(NAME) as server:
        report.add(Outcome("galaxy-server start", 1, 0, time.monotonic() - started))
        config = Path(top) / "ansible.cfg"
        config.touch(mode=0o600)
        config.write_text(f"[galaxy]\nserver_list = {NAME}\n[galaxy_server.{NAME}]\nurl = {server.url}\nusername = {server.user}\n"
                          f"password = {server.password}\n", encoding="utf-8")
        with contextlib.suppress(Ended):
            _all(_Trial(report, Path(top), {"ANSIBLE_CONFIG": str(config), "PYTHONPATH": "", "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}))


class Ended(Exception):
    """A check has failed and is in the report; what would come now builds upon it."""


def _all(trial: _Trial) -> None:
    checkout = trial.checkout("checkout")
    first = trial.next_version(checkout)
    with trial.check("publish"):
        trial.succeeds(trial.release(checkout, first))
        if release.git(checkout, "tag", "--list", f"v{first}") != f"v{first}" or trial.next_version(checkout) == first:
            raise BenchError("the release left the checkout without its tag or without the next version")
    with trial.check("install by requirements.yml"):
        trial.install()
        trial.installed(first)
    with trial.check("files are verified"):
        trial.changed_file_is_seen()
    with trial.check("playbook is found"):
        trial.succeeds([control.tool("ansible-playbook"), "--syntax-check", "-i", "localhost,", PLAYBOOK])
    with trial.check("same version again"):
        late = trial.checkout("late")  # as it was before the release, as a colleague's may be
        trial.fails(trial.release(late, first), f"the server {NAME} has {COLLECTION} {first} already")
        if release.git(late, "tag", "--list", f"v{first}") or trial.next_version(late) != first:
            raise BenchError("the refused release has changed the checkout")
    with trial.check("wrong password"):
        trial.fails(trial.release(late, first), f"the server {NAME} can not be asked", {f"ANSIBLE_GALAXY_SERVER_{NAME.upper()}_PASSWORD": "wrong"})
    with trial.check("upgrade"):
        second = trial.next_version(checkout)
        trial.change(checkout, "second")
        trial.succeeds(trial.release(checkout, second))
        trial.install()
        trial.installed(first)  # nothing is upgraded that was not asked for
        trial.install("--upgrade")
        trial.installed(second)


@dataclass
class _Trial:
    """One run: where it is, and how its commands reach the server."""

    report: Report
    top: Path
    env: dict[str, str]

    @contextlib.contextmanager
    def check(self, name: str) -> Iterator[None]:
        """An outcome of what is done in it. Raises Ended when that fails."""
        started = time.monotonic()
        say(f"galaxy-server: {name}")
        try:
            yield
        except BenchError as exc:
            self.report.add(Outcome(f"galaxy-server {name}", 0, 1, time.monotonic() - started, str(exc)), LOG)
            raise Ended from exc
        self.report.add(Outcome(f"galaxy-server {name}", 1, 0, time.monotonic() - started))

    @property
    def only(self) -> Path:
        """The one directory on the collections path of who installs."""
        return self.top / "collections"

    def checkout(self, name: str) -> Path:
        """A clone of this repository with what is not committed as one more commit, and with the control node's tools at hand."""
        root = self.top / name
        release.git(ROOT, "clone", "--quiet", "--no-hardlinks", str(ROOT), str(root))
        for key, value in (("user.name", "trial"), ("user.email", ecosystem.KEY), ("commit.gpgsign", "false"), ("tag.gpgsign", "false")):
            release.git(root, "config", key, value)
        for path in release.git(root, "ls-files").split("\n"):
            (root / path).unlink()
        for path in parts.sources():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / path, root / path, follow_symlinks=False)
        self.change(root, "first")
        (root / ".cache").mkdir()
        (root / ".cache/venv").symlink_to(control.VENV)
        shutil.copytree(control.TREE, root / ".cache/tree", symlinks=True)
        return root

    def change(self, root: Path, what: str) -> None:
        """Something to release: a fragment of the changelog, committed with all that differs."""
        (root / f"changelogs/fragments/trial-{what}.yml").write_text(f"---\ntrivial:\n  - The {what} trial.\n", encoding="utf-8")
        release.git(root, "add", "--all")
        release.git(root, "commit", "--quiet", "--message", f"The {what} trial")

    def next_version(self, root: Path) -> str:
        """What galaxy.yml says is worked on."""
        lines = (root / "galaxy.yml").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith("version: ")).removeprefix("version: ").removesuffix(release.DEVELOPMENT)

    def release(self, root: Path, version: str) -> list[str]:
        """The command that releases."""
        return [str(root / "scripts/release"), version, "--key", ecosystem.KEY, "--server", NAME]

    def run(self, argv: Sequence[str], env: dict[str, str] | None = None) -> tuple[int, str]:
        """A command's code and all that it prints, which is in LOG until the next one."""
        code = run_logged(argv, LOG, cwd=self.top, timeout=1800, env={"ANSIBLE_COLLECTIONS_PATH": str(self.only), **self.env, **(env or {})})
        return code, LOG.read_text(encoding="utf-8", errors="replace")

    def succeeds(self, argv: Sequence[str]) -> str:
        """What a command prints. Raises BenchError when it fails."""
        code, text = self.run(argv)
        if code:
            raise BenchError(f"{' '.join(argv[:4])} ended with code {code}")
        return text

    def fails(self, argv: Sequence[str], saying: str, env: dict[str, str] | None = None) -> None:
        """A command that must be refused, with a sentence."""
        code, text = self.run(argv, env)
        if not code or saying not in text:
            raise BenchError(f"{' '.join(argv[:4])} ended with code {code} and does not say {saying!r}")

    def install(self, *options: str) -> None:
        """As people do it, with a requirements file, whose order of servers is ansible.cfg's."""
        wanted = self.top / "requirements.yml"
        wanted.write_text(f"---\ncollections:\n  - name: {COLLECTION}\n", encoding="utf-8")
        self.succeeds([control.tool("ansible-galaxy"), "collection", "install", "--no-cache", *options, "-r", str(wanted), "-p", str(self.only)])

    def installed(self, version: str) -> None:
        """This version is there, and each of its files has the sum that the server names."""
        listed = json.loads(self.succeeds([control.tool("ansible-galaxy"), "collection", "list", "--format", "json", COLLECTION]))
        found = {name: entry["version"] for place in listed.values() for name, entry in place.items()}
        if found != {COLLECTION: version}:
            raise BenchError(f"installed is {found}, not {version}")
        self.succeeds([control.tool("ansible-galaxy"), "collection", "verify", COLLECTION])

    def changed_file_is_seen(self) -> None:
        """A file that is not as published is named."""
        path = next((self.only / "ansible_collections/gantry/webstack/plugins/modules").glob("*.py"))
        before = path.read_bytes()
        path.write_bytes(before + b"# changed\n")
        self.fails([control.tool("ansible-galaxy"), "collection", "verify", COLLECTION], path.name)
        path.write_bytes(before)
        self.succeeds([control.tool("ansible-galaxy"), "collection", "verify", COLLECTION])
