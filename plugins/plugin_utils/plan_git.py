# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans in a git repository: read from the tip of a branch, and pushed to it with a commit for each host that changes."""

from __future__ import annotations

import os
import random
import re
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _plan_files

TRIES = 12
"""How often a push is tried: other hosts' plans are pushed at the same time."""

PROTOCOLS = "file:git:http:https:ssh"
AUTHOR = re.compile(r"^([^<>]+) <([^<>\s]+)>$")

_HELPER = "!f() { printf 'username=%s\\npassword=%s\\n' \"$WEBSTACK_GIT_USERNAME\" \"$WEBSTACK_GIT_PASSWORD\"; }; f"
"""A credential helper of git that tells what is in its environment, which only the same user can read."""


class StoreError(Exception):
    """The store cannot be used, or holds something else than was expected; the message says what to do."""


@dataclass(frozen=True)
class Place:
    """Where in a repository the plans are."""

    repo: str
    branch: str = "main"
    path: str = ""
    author: str = "gantry.webstack <webstack@localhost>"

    def __post_init__(self) -> None:
        if urlsplit(self.repo).password is not None:
            raise StoreError(f"the plan store's URL {_masked(self.repo)!r} holds a password; give it in webstack_plan_store_auth instead")
        if not self.repo or self.repo.startswith("-"):
            raise StoreError(f"the plan store's repository {self.repo!r} is no URL or path")
        if not re.fullmatch(r"[\w][\w./-]*", self.branch) or ".." in self.branch:
            raise StoreError(f"the plan store's branch {self.branch!r} is no name of a branch")
        if os.path.isabs(self.path) or ".." in Path(self.path).parts or ".git" in Path(self.path).parts:
            raise StoreError(f"the plan store's path {self.path!r} must be a directory inside the repository")
        if not AUTHOR.match(self.author):
            raise StoreError(f"the plan store's author {self.author!r} is not of the form NAME <MAIL>")


def _masked(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url)


def environment(place: Place, auth: Mapping[str, Any]) -> dict[str, str]:
    """What git needs in its environment. Raises StoreError for what is unknown in ``auth``."""
    unknown = sorted(set(auth) - {"key_file", "known_hosts_file", "username", "password"})
    if unknown:
        raise StoreError(f"webstack_plan_store_auth: unknown key {', '.join(unknown)}; known keys are key_file, known_hosts_file, username, password")
    found = AUTHOR.match(place.author)
    name, mail = found.groups() if found else ("", "")
    env = {**os.environ, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": PROTOCOLS,
           "GIT_AUTHOR_NAME": name, "GIT_AUTHOR_EMAIL": mail, "GIT_COMMITTER_NAME": name, "GIT_COMMITTER_EMAIL": mail}
    ssh = ["ssh", "-o", "BatchMode=yes"]
    if auth.get("key_file"):
        ssh += ["-i", str(auth["key_file"]), "-o", "IdentitiesOnly=yes"]
    ssh += ["-o", f"UserKnownHostsFile={auth['known_hosts_file']}"] if auth.get("known_hosts_file") else ["-o", "StrictHostKeyChecking=accept-new"]
    if auth.get("key_file") or auth.get("known_hosts_file") or "GIT_SSH_COMMAND" not in env:
        env["GIT_SSH_COMMAND"] = shlex.join(ssh)
    if auth.get("password"):
        env.update(WEBSTACK_GIT_USERNAME=str(auth.get("username") or ""), WEBSTACK_GIT_PASSWORD=str(auth["password"]),
                   GIT_CONFIG_COUNT="2", GIT_CONFIG_KEY_0="credential.helper", GIT_CONFIG_VALUE_0="",
                   GIT_CONFIG_KEY_1="credential.helper", GIT_CONFIG_VALUE_1=_HELPER)
    return env


class GitStore:
    """The plans' repository as one host's run sees it. A clone is made where it is needed first, and goes with the object."""

    def __init__(self, place: Place, auth: Mapping[str, Any], host: str) -> None:
        self.place, self.host, self._env = place, host, environment(place, auth)
        self._clone: tempfile.TemporaryDirectory[str] | None = None

    @property
    def where(self) -> str:
        """The plan's place, for people."""
        return f"{self.place.repo}#{self.place.branch}:{os.path.join(self.place.path, _plan_files.plan(self.host))}"

    def close(self) -> None:
        """Remove the clone."""
        if self._clone is not None:
            self._clone.cleanup()
            self._clone = None

    def load(self) -> _plan_files.Files:
        """The host's files at the branch's tip. Raises StoreError."""
        if self._clone is None:
            self._clone = tempfile.TemporaryDirectory(prefix="webstack-plans-")
            self._git("init", "--quiet", ".")
            self._git("remote", "add", "origin", self.place.repo)
            self._tip()
        return _plan_files.read(self._folder, self.host)

    def save(self, files: _plan_files.Files, before: str, check: bool) -> bool:
        """Commit and push; whether anything was new. Raises StoreError when somebody else has changed the host's plan."""
        for dummy in range(TRIES):
            now = self.load()
            if _plan_files.changed_meanwhile(self.host, now, files, before):
                raise StoreError(f"{self.where} was changed by somebody else since this run has read it; run again, so that the change is taken up")
            fresh = {name: text for name, text in files.items() if now.get(name) != text}
            if not fresh or check:
                return bool(fresh)
            _plan_files.write(self._folder, fresh, 0o644)
            self._git("add", "--all", "--force", ".")
            self._git("commit", "--quiet", "--no-verify", "--message", f"Plan of {self.host}")
            if self._push():
                return True
            time.sleep(random.uniform(0.1, 1.0))
            self._tip()
        raise StoreError(f"{self.where}: others pushed to the branch each time that this run tried to ({TRIES} times); run again")

    @property
    def _folder(self) -> str:
        return os.path.join(self._clone.name if self._clone else "", self.place.path)

    def _tip(self) -> None:
        """Have the files of the branch's tip; none when there is no such branch yet."""
        if self._git("ls-remote", "--exit-code", "--heads", "origin", self.place.branch, missing=2):
            self._git("fetch", "--quiet", "--depth", "1", "origin", self.place.branch)
            self._git("checkout", "--quiet", "--force", "--detach", "FETCH_HEAD")
        else:
            self._git("symbolic-ref", "HEAD", f"refs/heads/{self.place.branch}")

    def _push(self) -> bool:
        """False when others were faster."""
        done = self._run("push", "--porcelain", "origin", f"HEAD:refs/heads/{self.place.branch}")
        if done.returncode == 0:
            return True
        if re.search(r"fetch first|non-fast-forward|cannot lock ref|failed to update ref|incorrect old value|stale info", done.stdout + done.stderr):
            return False
        raise self._error("push", done)

    def _git(self, *words: str, missing: int = 0) -> bool:
        """Run git; False when it ends with the code ``missing``. Raises StoreError for other codes."""
        done = self._run(*words)
        if done.returncode and done.returncode != missing:
            raise self._error(words[0], done)
        return done.returncode == 0

    def _run(self, *words: str) -> subprocess.CompletedProcess[str]:
        try:
            return subprocess.run(["git", *words], cwd=self._clone.name if self._clone else None, env=self._env, stdin=subprocess.DEVNULL,
                                  capture_output=True, text=True, errors="replace", check=False)
        except OSError as exc:
            raise StoreError(f"git cannot be run on the control node, and the plan store {self.where} needs it: {exc.strerror}") from exc

    def _error(self, what: str, done: subprocess.CompletedProcess[str]) -> StoreError:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        telling = [line for line in said if re.match(r"fatal|error|!|remote:", line)] or said[-1:] or ["no output"]
        return StoreError(f"the plan store {self.where} cannot be used: git {what}: {' '.join(_masked(telling[0]).split())}")
