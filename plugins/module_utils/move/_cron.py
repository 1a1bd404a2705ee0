# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Scheduled jobs stay with the host's cron; only where their command runs changes.

One clock ticks, before, during and after a switch, and the crontab is replaced by rename(2) between two versions that
differ in nothing but the command: whichever of them cron reads at the full minute, the job runs exactly once.
"""

from __future__ import annotations

import re
import shlex
from typing import Dict, List, NamedTuple, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

_JOB = re.compile(r"^(?P<lead>\s*)(?P<when>@\w+|(?:[^\s#@]\S*\s+){4}\S+)(?P<gap>\s+)(?P<user>\S+)(?P<gap2>\s+)(?P<command>\S.*?)(?P<tail>\s*)$", re.DOTALL)
SETTING = re.compile(r"^\s*(?P<name>[A-Za-z_][A-Za-z0-9_]*)\s*=")
NOT_PASSED = frozenset({"MAILTO", "MAILFROM", "CONTENT_TYPE", "CONTENT_TRANSFER_ENCODING", "SHELL", "LOGNAME", "USER", "HOME", "CRON_TZ", "RANDOM_DELAY"})
"""Settings that speak to cron itself (crontab(5)), or that the container's own user database answers."""


def is_system(path: str) -> bool:
    """Is it a system crontab (cron(8))? A user's own crontab has no user field; see _user_crontabs."""
    return path == "/etc/crontab" or path.startswith("/etc/cron.d/")


class Job(NamedTuple):
    """One line of a system crontab (crontab(5): five fields or @word, user, command)."""

    when: str
    user: str
    command: str


def parse_line(line: str) -> "Job | None":
    """The job in a line of a system crontab, or None for comments, settings and blank lines."""
    if line.lstrip().startswith("#") or SETTING.match(line):
        return None
    match = _JOB.match(line)
    return Job(" ".join(match["when"].split()), match["user"], match["command"]) if match else None


DOCKER = "/usr/bin/docker"
_EXEC = [DOCKER, "exec", "--user"]


def starting(container: str) -> bool:
    """Is there a client of the engine whose command in the container has not ended?"""
    return any(process.argv[:2] == [DOCKER, "exec"] and container in process.argv for process in _processes.processes().values())


def exec_command(container: str, user: str, command: str, settings: Sequence[str]) -> str:
    """The command of a cron line that runs ``command`` in ``container``; variables are passed by name, never by value."""
    if re.search(r"(?<!\\)%", command):
        raise WebstackError("the cron command %r has an unescaped %%, which ends the command for cron; move it into a script first" % command)
    passed = " ".join("--env " + name for name in settings if name not in NOT_PASSED)
    return "%s %s %s%s /bin/sh -c %s" % (" ".join(_EXEC), user, passed + " " if passed else "", container, shlex.quote(command))


def to_container(text: str, jobs: Sequence[Dict[str, str]], container: str) -> str:
    """A system crontab in which the lines of ``jobs`` (when, user, command) run in ``container``; all other text stays.

    Raises WebstackError when a job is not there: the plan is older than the crontab.
    """
    wanted = [Job(" ".join(job["when"].split()), job.get("user", "root"), job["command"].strip()) for job in jobs]
    found: List[Job] = []
    settings: List[str] = []
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        setting = SETTING.match(line)
        if setting:
            settings.append(setting["name"])
        job, match = parse_line(line), _JOB.match(line)
        if match is None or job is None or job not in wanted:
            continue
        found.append(job)
        command = exec_command(container, job.user, job.command, list(dict.fromkeys(settings)))
        lines[index] = match["lead"] + match["when"] + match["gap"] + "root" + match["gap2"] + command + match["tail"]
    missing = [job for job in wanted if job not in found]
    if missing:
        raise WebstackError("the crontab has no line '%s %s %s' any more; run discover again" % missing[0])
    return "".join(lines)


def to_host(text: str, prefix: str) -> str:
    """The inverse of ``to_container``: lines that run a command in a container whose name begins with ``prefix`` run it on the host."""
    lines = text.splitlines(keepends=True)
    for index, line in enumerate(lines):
        match = _JOB.match(line)
        if parse_line(line) is None or match is None or not match["command"].startswith(" ".join(_EXEC)):
            continue
        words = shlex.split(match["command"])
        if len(words) > 7 and words[-3:-1] == ["/bin/sh", "-c"] and words[-4].startswith(prefix):
            lines[index] = match["lead"] + match["when"] + match["gap"] + words[3] + match["gap2"] + words[-1] + match["tail"]
    return "".join(lines)
