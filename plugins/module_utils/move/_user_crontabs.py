# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lines of users' own crontabs: they stay where they are, and only what they start changes, as in a system crontab (_cron).

A user may not talk to the engine. So the line starts a client that connects to a socket which only this user may open; systemd answers with the one
command that the line had, in the container. What comes over the socket are the line's variables, and they are read in the container alone. The original
command stands behind the client's words, for people and for the way back. One rename(2) of the crontab lies between the two, so each tick meets one of them.
"""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import pwd
import re
import shlex
import sys
import time
from typing import Dict, List, Mapping, NamedTuple, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.common._unit_text import argument
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until
from ansible_collections.gantry.webstack.plugins.module_utils.move._cron import DOCKER, NOT_PASSED, SETTING

SPOOL = "/var/spool/cron/crontabs"
UNITS = "/etc/systemd/system"
SOCKETS = "/run/webstack-ticks"
CLIENT = "/usr/local/lib/webstack/tick"

_JOB = re.compile(r"^(?P<lead>\s*)(?P<when>@\w+|(?:[^\s#@]\S*\s+){4}\S+)(?P<gap>\s+)(?P<command>\S.*?)(?P<tail>\s*)$", re.DOTALL)
_CLIENT = """#!%s -ISs
# Written by gantry.webstack: starts a command of a crontab in its container, and shows what it says.
import os, socket, sys
with socket.socket(socket.AF_UNIX) as peer:
    peer.connect(sys.argv[1])
    peer.sendall(b"\\0".join(os.fsencode("%%s=%%s" %% (name, os.environ[name])) for name in sys.argv[2].split(",") if name in os.environ))
    peer.shutdown(socket.SHUT_WR)
    for part in iter(lambda: peer.recv(65536), b""):
        os.write(1, part)
"""
_TAKE = """import os, signal, sys
os.environb.update(item.split(b"=", 1) for item in sys.stdin.buffer.read().split(b"\\0") if item)
os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
try:
    os.chdir(os.environ.get("HOME", "/"))
except OSError:
    pass
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execv("/bin/sh", ["sh", "-c", sys.argv[1]])
"""
_GRACE = 2
"""Seconds that cron may take from reading a crontab to the client's start."""


class Line(NamedTuple):
    """One line of a user's crontab (crontab(5): five fields or @word, command)."""

    when: str
    command: str


def is_users(source: str) -> bool:
    """Is it a user's own crontab?"""
    return source.startswith(SPOOL + "/")


def is_own(unit: str) -> bool:
    """Is it one of the units by which a converted line starts its command? The crontab's line stands for them."""
    return re.fullmatch(r"webstack-.+-tick-[0-9a-f]{12}(@.*)?\.(socket|service)", unit) is not None


def stays(line: Mapping[str, str]) -> str:
    """Why a line goes on on the host; empty for one that moves. Pure."""
    if re.search(r"(?<!\\)%", line["command"]):
        return "it has an unescaped %, which gives the command its input"
    return ""


def job_id(line: Mapping[str, str]) -> str:
    """What the socket and the units of a line are named by."""
    return hashlib.sha256("\0".join([line["source"], " ".join(line["when"].split()), line["command"].strip()]).encode()).hexdigest()[:12]


def to_container(text: str, lines: Sequence[Mapping[str, str]]) -> str:
    """A crontab in which these lines start the client. Raises WebstackError when one is not there. Pure."""
    wanted = {Line(" ".join(line["when"].split()), line["command"].strip()): job_id(line) for line in lines}
    found, settings = set(), []
    rows = text.splitlines(keepends=True)
    for index, row in enumerate(rows):
        setting = SETTING.match(row)
        if setting:
            settings += [setting["name"]]
        match = None if setting or row.lstrip().startswith("#") else _JOB.match(row)
        line = Line(" ".join(match["when"].split()), match["command"]) if match else None
        if match is not None and line in wanted:
            found.add(line)
            names = ",".join(name for name in dict.fromkeys(settings) if name not in NOT_PASSED) or "-"
            client = "%s %s/%s.sock %s %s" % (CLIENT, SOCKETS, wanted[line], names, shlex.quote(match["command"]))
            rows[index] = match["lead"] + match["when"] + match["gap"] + client + match["tail"]
    missing = [line for line in wanted if line not in found]
    if missing:
        raise WebstackError("the crontab has no line '%s %s' any more; run discover again" % missing[0])
    return "".join(rows)


def to_host(text: str, ids: Sequence[str]) -> str:
    """The inverse of ``to_container`` for the lines with these names. Pure."""
    rows = text.splitlines(keepends=True)
    for index, row in enumerate(rows):
        match = None if row.lstrip().startswith("#") else _JOB.match(row)
        if match is not None and match["command"].startswith(CLIENT + " "):
            words = shlex.split(match["command"])
            if len(words) == 4 and os.path.basename(words[1])[:-len(".sock")] in ids:
                rows[index] = match["lead"] + match["when"] + match["gap"] + words[3] + match["tail"]
    return "".join(rows)


def units(service: str, line: Mapping[str, str], container: str, python: str) -> Dict[str, str]:
    """Name -> text of the socket that a line's client connects to, and of what answers there. Pure."""
    user, stem = os.path.basename(line["source"]), "webstack-%s-tick-%s" % (service, job_id(line))
    command = [DOCKER, "exec", "--interactive", "--user", user, container, python, "-I", "-S", "-c", _TAKE, line["command"].strip().replace("\\%", "%")]
    head = "# Written by gantry.webstack: a command of %s runs in a container.\n[Unit]\n" % line["source"]
    return {stem + ".socket": head + "[Socket]\nListenStream=%s/%s.sock\nSocketUser=%s\nSocketMode=0600\nAccept=yes\nMaxConnections=64\nRemoveOnStop=yes\n\n"
            "[Install]\nWantedBy=sockets.target\n" % (SOCKETS, job_id(line), user),
            stem + "@.service": head + "CollectMode=inactive-or-failed\nAfter=docker.service\n[Service]\nStandardInput=socket\nStandardOutput=socket\n"
            "StandardError=socket\nExecStart=-%s\n" % " ".join(argument(word) for word in command)}


class UserCrontabs:
    """The lines of users' crontabs of one service on their way to a container and back. Every step looks first."""

    def __init__(self, name: str, schedule: Sequence[Mapping[str, str]]) -> None:
        self.name = name
        self.lines: Dict[str, List[Mapping[str, str]]] = {}
        for line in schedule:
            if is_users(line.get("source", "")) and not stays(line):
                self.lines.setdefault(line["source"], []).append(line)
        self.ids = [job_id(line) for lines in self.lines.values() for line in lines]

    @property
    def places(self) -> List[str]:
        """Directories in which files are replaced."""
        return [SPOOL, UNITS, os.path.dirname(CLIENT)] if self.lines else []

    def texts(self) -> Dict[str, str]:
        """Path -> text of each crontab on the way to a container. Raises WebstackError when a line or a user is gone."""
        for path in self.lines:
            try:
                pwd.getpwnam(os.path.basename(path))
            except KeyError as exc:
                raise WebstackError("service %s: %s belongs to a user who is not on this host; run discover again" % (self.name, path)) from exc
            if not os.path.exists(path):
                raise WebstackError("service %s: the crontab %s of its schedule is gone; run discover again" % (self.name, path))
        return {path: to_container(to_host(_read(path), self.ids), lines) for path, lines in self.lines.items()}

    def to_container(self, container: str, python: str) -> None:
        """From the next tick on the commands run in the container. Idempotent."""
        if not self.lines:
            return
        texts = self.texts()
        os.makedirs(os.path.dirname(CLIENT), exist_ok=True)
        wanted = {CLIENT: _CLIENT % sys.executable}
        for lines in self.lines.values():
            for line in lines:
                wanted.update({os.path.join(UNITS, name): text for name, text in units(self.name, line, container, python).items()})
        changed = [path for path, text in wanted.items() if not os.path.exists(path) or _read(path) != text]
        for path in changed:
            _journal.replace_file(path, wanted[path], 0o755 if path == CLIENT else 0o644)
        run(["systemctl", "daemon-reload"])
        run(["systemctl", "enable", "--now", *self._sockets()])
        self._replace(texts)

    def to_host(self) -> None:
        """From the next tick on the commands run on the host; what has been started goes on in the container. Idempotent."""
        self._replace({path: to_host(_read(path), self.ids) for path in self.lines if os.path.exists(path)})
        there = [os.path.join(UNITS, name + suffix) for name in self._stems() for suffix in (".socket", "@.service")]
        there = [path for path in there if os.path.exists(path)]
        if not there:
            return
        replaced = time.monotonic()
        until(lambda: time.monotonic() > replaced + _GRACE and not self.starting(), 10 * _GRACE)
        run(["systemctl", "disable", "--now", *(os.path.basename(path) for path in there if path.endswith(".socket"))])
        for path in there:
            os.unlink(path)
        run(["systemctl", "daemon-reload"])
        if not glob.glob(os.path.join(UNITS, "webstack-*-tick-*.socket")):
            with contextlib.suppress(OSError):
                os.unlink(CLIENT)
                os.rmdir(os.path.dirname(CLIENT))
            with contextlib.suppress(OSError):
                os.rmdir(SOCKETS)

    def starting(self) -> bool:
        """Is there a client whose command has not ended?"""
        lines = [" ".join(process.argv) for process in _processes.processes().values()]
        return any(CLIENT + " " in line and any("/%s.sock" % name in line for name in self.ids) for line in lines)

    def _stems(self) -> List[str]:
        return ["webstack-%s-tick-%s" % (self.name, name) for name in self.ids]

    def _sockets(self) -> List[str]:
        return [stem + ".socket" for stem in self._stems()]

    @staticmethod
    def _replace(texts: Mapping[str, str]) -> None:
        for path, text in texts.items():
            if text != _read(path):
                info = os.stat(path)
                _journal.replace_file(path, text, info.st_mode & 0o7777, info.st_uid, info.st_gid)


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
        return handle.read()
