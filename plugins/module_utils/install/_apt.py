# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""apt as it is, or as it would be with other sources and pins: what those offer is known before a file of the host is touched."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from typing import Dict, Iterator, List, Mapping, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _apt_sources as sources
from ansible_collections.gantry.webstack.plugins.module_utils.install._apt_policy import Policy, parse_policy
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import Change, Target

LISTS = "/var/lib/apt/lists"
ENVIRONMENT = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}


def said(exc: WebstackError) -> str:
    """The first thing that apt complained about, without its letter."""
    lines = [line for line in exc.details.get("stderr", "").splitlines() if line.startswith("E: ")]
    return lines[0][3:] if lines else str(exc)


class Apt:
    """apt with options of ours: none for the host's own view."""

    def __init__(self, options: Sequence[str] = (), lock_timeout: int = 120) -> None:
        self.options = list(options)
        self.lock = ["-o", "DPkg::Lock::Timeout=%d" % lock_timeout]

    def policies(self, names: Sequence[str]) -> Dict[str, Policy]:
        """What apt knows of the packages, from its lists alone."""
        return parse_policy(run(["apt-cache"] + self.options + ["policy"] + list(names), check=False).stdout) if names else {}

    def get(self, arguments: Sequence[str], env: Optional[Mapping[str, str]] = None) -> str:
        """``apt-get`` without questions. Raises CommandError."""
        return run(["apt-get", "--quiet"] + self.options + self.lock + list(arguments), env={**ENVIRONMENT, **(env or {})}).stdout

    def removals(self, arguments: Sequence[str]) -> List[str]:
        """The packages that ``apt-get install`` with these arguments would remove. Raises CommandError when it could not be done."""
        return re.findall(r"^Remv (\S+)", self.get(["--simulate"] + list(arguments)), re.MULTILINE)


class Stage(Apt):
    """The host's apt, as it would be with changed files of ours."""

    def __init__(self, directory: str, options: Sequence[str], lock_timeout: int, own_sources: str) -> None:
        super().__init__(options, lock_timeout)
        self.directory, self.own_sources = directory, own_sources

    def update(self) -> None:
        """Fetch the lists of the repositories of ours. Raises WebstackError when one cannot be had or has no valid signature."""
        only = ["-o", "Dir::Etc::sourcelist=/dev/null", "-o", "Dir::Etc::sourceparts=" + self.own_sources, "-o", "APT::Get::List-Cleanup=0",
                "-o", "Acquire::Retries=1", "-o", "APT::Update::Post-Invoke-Success=", "-o", "APT::Update::Post-Invoke="]
        try:
            self.get(["update", "--error-on=any"] + only)
        except CommandError as exc:
            reasons = [line for line in exc.details.get("stderr", "").splitlines() if re.match(r"[EW]: ", line)]
            reason = next((line for word in ("signature", "GPG error", "OpenPGP", "not signed", "E: ") for line in reasons if word in line), str(exc))
            raise WebstackError("a package repository cannot be used: %s; its files were not written, and nothing was changed: see to its address, suite "
                                "and key, and run again" % reason.partition(": ")[2].rstrip("."), **exc.details) from exc


@contextlib.contextmanager
def stage(changes: Sequence[Change], desired: Mapping[str, Target], lock_timeout: int, keep_lists: bool) -> Iterator[Stage]:
    """A view of apt in which the changes are made. ``keep_lists``: what is fetched stays with the host's lists; otherwise it goes with the view."""
    directory = tempfile.mkdtemp(prefix="webstack-apt-")
    try:
        os.chmod(directory, 0o755)
        for name, place in (("sources.list.d", sources.SOURCES_DIR), ("preferences.d", sources.PREFERENCES_DIR), ("keyrings", ""), ("own.d", "")):
            os.mkdir(os.path.join(directory, name), 0o755)
            for entry in os.listdir(place) if place and os.path.isdir(place) else []:
                path = os.path.join(place, entry)
                if path not in desired and path not in [change.path for change in changes]:
                    os.symlink(path, os.path.join(directory, name, entry))
        for path, target in desired.items():
            _put(directory, path, target)
        options = ["Dir::Etc::sourceparts=%s/sources.list.d" % directory, "Dir::Etc::preferencesparts=%s/preferences.d" % directory,
                   "Dir::Cache::pkgcache=%s/pkgcache.bin" % directory, "Dir::Cache::srcpkgcache=%s/srcpkgcache.bin" % directory]
        if not keep_lists:
            os.makedirs(directory + "/lists/partial")
            for entry in os.listdir(LISTS) if os.path.isdir(LISTS) else []:
                if os.path.isfile(os.path.join(LISTS, entry)) and entry != "lock":
                    os.symlink(os.path.join(LISTS, entry), os.path.join(directory, "lists", entry))
            options.append("Dir::State::lists=%s/lists" % directory)
        yield Stage(directory, [word for option in options for word in ("-o", option)], lock_timeout, directory + "/own.d")
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _put(directory: str, path: str, target: Target) -> None:
    name = os.path.basename(path)
    text = target.text
    if path.startswith(sources.SOURCES_DIR + "/"):
        text = text.replace("Signed-By: %s/webstack-" % sources.KEYRINGS_DIR, "Signed-By: %s/keyrings/webstack-" % directory)
    for part in [os.path.basename(os.path.dirname(path))] + (["own.d"] if path.startswith(sources.SOURCES_DIR + "/") else []):
        with open(os.path.join(directory, part, name), "w", encoding="utf-8", errors="surrogateescape", newline="") as handle:
            handle.write(text)
