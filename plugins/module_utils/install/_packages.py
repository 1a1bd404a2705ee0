# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian packages, the whole list in one call, known from dpkg's own database so that check mode needs nothing but dpkg."""

from __future__ import annotations

import os
import shutil
import time
from typing import Container, Dict, List, Mapping, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, run

LISTS = "/var/lib/apt/lists"


def parse_installed(output: str) -> Dict[str, str]:
    """Package -> version out of ``dpkg-query -W -f '${db:Status-Status} ${binary:Package} ${Version}\\n'``; only installed ones."""
    found = {}
    for line in output.splitlines():
        status, package, version = (line.split(" ") + ["", ""])[:3]
        if status == "installed":
            found[package.partition(":")[0]] = version
    return found


def alternatives(item: str) -> List[str]:
    """The names in ``a | b`` (as in Debian's control files) or ``a | b ?``. Pure."""
    return [choice.strip() for choice in item.rstrip("? ").split("|")]


def missing(wanted: Sequence[str], installed: Mapping[str, str], available: Optional[Container[str]] = None) -> List[str]:
    """The packages to install. Pure.

    ``a | b`` is there when one of them is; otherwise the first one that is ``available`` is wanted, ``a`` when none is. With a ``?`` at its
    end it is not wanted when none is available. ``available`` None means not asked.
    """
    needed: List[str] = []
    for item in wanted:
        choices = alternatives(item)
        offered = choices if available is None else [choice for choice in choices if choice in available]
        if any(choice in installed or choice in needed for choice in choices) or (not offered and item.endswith("?")):
            continue
        needed.append((offered or choices)[0])
    return needed


class Packages(WebstackModule):
    """The module's behaviour; see the documentation of packages."""

    def run(self) -> None:
        if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
            raise WebstackError("this host has no dpkg and apt-get; gantry.webstack installs on Debian and its derivatives")
        installed = self._installed([choice for item in self.params["names"] for choice in alternatives(item)])
        needed = missing(self.params["names"], installed)
        if needed:
            needed = missing(self.params["names"], installed, self._available())
        self.result.update(installed=needed)
        self.add_diff("packages", "", "".join(name + "\n" for name in needed))
        if needed and not self.check_mode:
            self._install(needed)

    @staticmethod
    def _installed(names: Sequence[str]) -> Dict[str, str]:
        # dpkg-query ends with 1 when it does not know one of the names, and still tells the others
        argv = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${binary:Package} ${Version}\\n", "--"]
        return parse_installed(run(argv + list(names), check=False).stdout) if names else {}

    @staticmethod
    def _available() -> Container[str]:
        """Names of all packages that apt's lists offer."""
        return set(run(["apt-cache", "pkgnames"], check=False).stdout.split())

    def _install(self, names: List[str]) -> None:
        env = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
        lock = ["-o", "DPkg::Lock::Timeout=%d" % self.params["lock_timeout"]]
        if self._lists_age() > self.params["cache_valid_time"]:
            self._apt(["update"] + lock, names, env)
        argv = ["install", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"] + lock + ["--"] + names
        try:
            self._apt(argv, names, env)
        except WebstackError:
            # The lists may name versions that the mirror no longer has.
            self._apt(["update"] + lock, names, env)
            self._apt(argv, names, env)

    @staticmethod
    def _lists_age() -> float:
        """Seconds since the package lists were fetched; endless when there are none."""
        try:
            lists = [entry.stat().st_mtime for entry in os.scandir(LISTS) if entry.name.endswith(("_Packages", "_Packages.lz4", "_InRelease"))]
            stamp = max(os.stat(LISTS).st_mtime, *lists) if lists else 0.0
        except OSError:
            stamp = 0.0
        return time.time() - stamp

    def _apt(self, arguments: List[str], names: List[str], env: Mapping[str, str]) -> None:
        try:
            run(["apt-get", "--quiet"] + arguments, env=env)
        except CommandError as exc:
            said = [line for line in exc.details.get("stderr", "").splitlines() if line.startswith("E: ")]
            raise WebstackError("%s cannot be installed (%s): apt-get %s says: %s; see to this host's package sources, or install it another way, "
                                "and run again" % (self.params["purpose"], ", ".join(names), arguments[0], said[0][3:] if said else exc),
                                **exc.details) from exc
