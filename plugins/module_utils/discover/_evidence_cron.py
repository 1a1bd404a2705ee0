# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What cron, anacron and at run (crontab(5), cron(8), anacrontab(5), atd(8))."""

from __future__ import annotations

import glob
import hashlib
import os
import pwd
import re
import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg

_PERIODS = ("hourly", "daily", "weekly", "monthly", "yearly")
_SCRIPT = 256 * 1024


class CronLine(NamedTuple):
    """One command that runs by the clock; ``command`` is redacted, ``text`` (what ties it to a service) is never returned."""

    source: str
    when: str
    user: str
    command: str
    package: str = ""
    kind: str = "cron"
    text: str = ""

    def facts(self) -> Dict[str, str]:
        """What leaves the target."""
        return {"kind": self.kind, "source": self.source, "when": self.when, "user": self.user, "command": self.command, "package": self.package}


class Files:
    """Who a file belongs to: ``package`` for one that is as its package brought it, ``changed`` for a conffile that was edited here."""

    def __init__(self, owner: Callable[[str], Optional[str]], dpkg: Optional[Dpkg] = None) -> None:
        self._owner, self._dpkg = owner, dpkg

    def owner(self, path: str) -> str:
        """The package that owns a path, whether edited or not."""
        return self._owner(path) or ""

    def package(self, path: str, data: bytes) -> str:
        """The package whose file this is, unless it was edited."""
        key = self._owner(path)
        if not key or self._dpkg is None or key not in self._dpkg.stanzas:
            return key or ""
        match = re.search(r"^ %s ([0-9a-f]{32})\b" % re.escape(path), self._dpkg.stanzas[key].text, re.MULTILINE)
        return "" if match and match.group(1) != hashlib.md5(data, usedforsecurity=False).hexdigest() else key


def read(files: Files, blind: List[str]) -> List[CronLine]:
    """Every line of the crontabs and every script of the periodic directories, those of packages with their package."""
    found: List[CronLine] = []
    for path in ["/etc/crontab"] + sorted(glob.glob("/etc/cron.d/*")):
        if os.path.isfile(path) and re.fullmatch(r"[\w-]+", os.path.basename(path)):
            found += _crontab(path, None, files, blind)
    for top in ("/var/spool/cron/crontabs", "/var/spool/cron"):
        for path in sorted(glob.glob(top + "/*")):
            if os.path.isfile(path) and not os.path.basename(path).startswith((".", "tmp.")):
                found += _crontab(path, os.path.basename(path), files, blind)
        if os.path.isdir(top) and not os.access(top, os.R_OK | os.X_OK):
            blind.append("%s: Permission denied" % top)
    for period in _PERIODS:
        for path in sorted(glob.glob("/etc/cron.%s/*" % period)):
            if os.path.isfile(path) and re.fullmatch(r"[A-Za-z0-9_-]+", os.path.basename(path)) and os.access(path, os.X_OK):
                data = _read(path, blind)
                found.append(CronLine(path, period, "root", path, files.package(path, data) or files.owner(path), "cron", data.decode("utf-8", "replace")))
    return found + _anacron(files, blind) + _at(blind)


def _read(path: str, blind: List[str]) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read(_SCRIPT)
    except OSError as exc:
        blind.append("%s: %s" % (path, exc.strerror))
        return b""


def _crontab(path: str, user: Optional[str], files: Files, blind: List[str]) -> List[CronLine]:
    data = _read(path, blind)
    package = files.package(path, data)
    owner = files.owner(path)
    found = []
    for line in data.decode("utf-8", "replace").splitlines():
        line = line.strip()
        if not line or line[0] == "#" or re.match(r"\w+\s*=", line):
            continue
        match = re.match(r"(@\w+|(?:\S+\s+){4}\S+)\s+(.*)$", line)
        if match is None:
            continue
        when, rest = " ".join(match.group(1).split()), match.group(2)
        account = user
        if account is None:
            account, _space, rest = rest.partition(" ")
        rest = rest.strip()
        if not rest:
            continue
        # in a package's file that was edited, the lines that start only what packages brought are still theirs
        theirs = package or (owner if owner and _stock(path, rest, files) else "")
        found.append(CronLine(path, when, account, redact(rest), theirs, "cron", rest))
    return found


def _stock(path: str, command: str, files: Files) -> bool:
    """A line that only starts the directories of scripts, or programs that packages own."""
    if path == "/etc/crontab":
        return "run-parts" in command and re.search(r"/etc/cron\.(hourly|daily|weekly|monthly|yearly)\b", command) is not None
    programs = [word for word in re.findall(r"(?<![\w.=-])/[\w./@+-]+", command) if os.path.isfile(word)]
    return bool(programs) and all(files.owner(word) for word in programs)


def _anacron(files: Files, blind: List[str]) -> List[CronLine]:
    """Jobs of /etc/anacrontab: period in days, delay, name, command."""
    path = "/etc/anacrontab"
    if not os.path.isfile(path):
        return []
    data = _read(path, blind)
    package = files.package(path, data)
    found = []
    for line in data.decode("utf-8", "replace").splitlines():
        match = re.match(r"\s*(@\w+|\d+)\s+\d+\s+\S+\s+(.+)$", line)
        if match and not line.strip().startswith("#"):
            period, command = match.group(1), match.group(2).strip()
            when = period if period.startswith("@") else "@daily" if period == "1" else "every %s days" % period
            stock = re.search(r"run-parts .*/etc/cron\.", command) is not None
            theirs = package or (files.owner(path) if stock else "")
            found.append(CronLine(path, when, "root", redact(command), theirs, "cron", command))
    return found


def _at(blind: List[str]) -> List[CronLine]:
    """Jobs of at: a script whose first lines bring the environment back; what comes after is the command."""
    found = []
    for top in ("/var/spool/cron/atjobs", "/var/spool/at"):
        if os.path.isdir(top) and not os.access(top, os.R_OK | os.X_OK):
            blind.append("%s: Permission denied" % top)
        for path in sorted(glob.glob(top + "/[a-zA-Z]*")):
            name = os.path.basename(path)
            if not re.fullmatch(r"[a-zA-Z][0-9a-f]{13}", name) or not os.path.isfile(path):
                continue
            text = _read(path, blind).decode("utf-8", "replace")
            match = re.search(r"^# atrun uid=(\d+)", text, re.MULTILINE)
            body = re.split(r"^cd .*\|\| *\{.*?^\}\n", text, maxsplit=1, flags=re.MULTILINE | re.DOTALL)[-1]
            command = "; ".join(line.strip() for line in body.splitlines() if line.strip() and not line.startswith(("#", "umask ")) and "export " not in line)
            when = time.strftime("at %Y-%m-%d %H:%M", time.localtime(int(name[6:], 16) * 60))  # queue, job number, minutes since the epoch
            found.append(CronLine(path, when, _name(int(match.group(1))) if match else "root", redact(command)[:200], "", "at", command))
    return found


def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def facts(lines: List[CronLine], owners: Dict[int, Any]) -> List[Dict[str, Any]]:
    """The lines as plain data, each with who it was given to (by its place in the list)."""
    return [{**line.facts(), **({"of": owners[index]} if index in owners else {})} for index, line in enumerate(lines)]
