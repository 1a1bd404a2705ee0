# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts that a web application needs on its host: its socket directory at boot."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files


def tmpfiles(name: str, directory: str, user: str, group: str) -> str:
    """The tmpfiles.d(5) line that makes a service's socket directory at boot; setgid, so that nginx's group gets the socket. Pure."""
    return "# %s Service %s.\nd %s 2750 %s %s -\n" % (_own_files.MARK, name, directory, user, group)


def on_tmpfs(path: str) -> bool:
    """Whether a directory is gone after a reboot."""
    return path.startswith(("/run/", "/var/run/"))


def remove_if_empty(path: str) -> None:
    """Remove an empty directory; one that is not, or not there, stays."""
    with contextlib.suppress(OSError):
        os.rmdir(path)
