# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The files that belong to one host's plan: named alike in the directory of plans, on the managed host and in a git repository."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import hashlib
import os
import re
import tempfile
from typing import Dict, Iterator, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule

Files = Dict[str, str]
"""{name relative to the directory: text}"""

_NAME = re.compile(r"^(?:\.discovered/|sbom/[^/]+/)?[^/]+$")


def plan(host: str) -> str:
    """The name of the plan itself."""
    return host + ".yml"


def digest(text: Optional[str]) -> str:
    """What a plan is known by; empty when there is none."""
    return hashlib.sha256(text.encode()).hexdigest() if text is not None else ""


def read(root: str, host: str) -> Files:
    """The files of a host that are there: plan, what discover found last, report, what parity compared, bills of materials.

    Raises WebstackError when one of them is not UTF-8.
    """
    names = [plan(host), os.path.join(".discovered", plan(host)), host + ".html", host + ".parity.json"]
    names += sorted(os.path.relpath(path, root) for path in glob.glob(os.path.join(glob.escape(root), "sbom", glob.escape(host), "*.cdx.json")))
    found = {}
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            try:
                with open(os.path.join(root, name), encoding="utf-8") as handle:
                    found[name] = handle.read()
            except UnicodeDecodeError as exc:
                raise WebstackError("%s cannot be read: it is not UTF-8" % os.path.join(root, name)) from exc
    return found


def write(root: str, files: Files, mode: int) -> None:
    """Write each file whole or not at all. Raises WebstackError for a name that leads elsewhere, before anything is written."""
    for name in files:
        if not _NAME.match(name) or ".." in name.split("/"):
            raise WebstackError("%r is no name of a plan's file" % name)
    for name, text in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        handle, part = tempfile.mkstemp(dir=os.path.dirname(path), prefix=".webstack-")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                stream.write(text)
            os.chmod(part, mode)
            os.replace(part, path)
        except BaseException:
            os.unlink(part)
            raise


@contextlib.contextmanager
def alone(root: str) -> Iterator[None]:
    """One writer at a time."""
    fd = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def changed_meanwhile(host: str, now: Files, wanted: Files, before: str) -> bool:
    """Whether somebody else has changed the plan that is to be replaced. Pure.

    :param before: digest of the plan that this run has read.
    """
    current = now.get(plan(host))
    return current is not None and digest(current) != before and current != wanted.get(plan(host), current)


class PlanFiles(WebstackModule):
    """The module's behaviour; see the documentation of plan_files."""

    def run(self) -> None:
        root, host, wanted = _paths.PLANS_DIR, self.params["host"], self.params["files"]
        if wanted is None:
            self.result["files"] = read(root, host)
            return
        if self.check_mode:
            self._compare(root, host, wanted)
            return
        _journal.private_dir(root)
        with alone(root):
            fresh = self._compare(root, host, wanted)
            write(root, fresh, 0o600)

    def _compare(self, root: str, host: str, wanted: Files) -> Files:
        """What has to be written. Raises WebstackError when the plan there is not the one that the run has read."""
        now = read(root, host)
        if changed_meanwhile(host, now, wanted, self.params["before"]):
            raise WebstackError("%s was changed by somebody else since this run has read it; run again, so that the change is taken up"
                                % os.path.join(root, plan(host)))
        fresh = {name: text for name, text in wanted.items() if now.get(name) != text}
        for name in sorted(fresh):
            self.add_diff(os.path.join(root, name), "as it was\n" if name in now else "", "as this run has written it\n")
        return fresh
