# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts that a web application needs on its host: its crontab, its socket directory at boot."""

from __future__ import annotations

import contextlib
import os
from typing import Any, Iterable, Mapping

from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def crontab(name: str, schedule: Iterable[Mapping[str, str]], environment: Mapping[str, str]) -> str:
    """A service's system crontab (crontab(5)): its environment, then one line per job. Pure."""
    settings = {"SHELL": "/bin/sh", "PATH": _PATH, **environment}
    lines = ["# %s Service %s." % (_own_files.MARK, name)]
    lines += ["%s=%s" % (key, _cron_value(value)) for key, value in settings.items()]
    lines += ["%s %s %s" % (job["when"], job["user"], job["command"]) for job in schedule]
    return "\n".join(lines) + "\n"


def _cron_value(value: str) -> str:
    """cron strips white space around a value, and one pair of quotes around that."""
    if value == value.strip() and value[:1] not in "\"'":
        return value
    return "'%s'" % value if '"' in value else '"%s"' % value


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


def jobs(service: Mapping[str, Any]) -> str:
    """The crontab of one entry of the module's ``services``."""
    return crontab(service["name"], service["schedule"], service["environment"])
