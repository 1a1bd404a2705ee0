# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What uWSGI runs beside its web workers: mules, spoolers, attached daemons and its own cron. How each is held back in a container. Pure.

All of it stays in the instance whose workers talk to it (mules, caches and signals need the same master), and waits for files in one directory that the
host alone writes to:

- a mule waits in a hook before its code begins (uWSGI: core/mule.c, core/hooks.c); what it is told meanwhile waits in its socket;
- a spooler imports a module that waits before its loop begins (core/spooler.c);
- a daemon's command waits before it becomes the daemon (core/daemons.c);
- a cron's command runs when it makes the file of its minute, which only one can (open(2), O_EXCL): whoever makes it owns the tick.
"""

from __future__ import annotations

import hashlib
import re
import shlex
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

DIRECTORY = "/etc/webstack/beside"
"""Where a container finds the scripts and the files that they wait for."""

ALL, MULES = "all", "mules"
"""Files there: everything may work; mules may."""

MULE_KEYS = ("mule", "mules", "farm")
SPOOLER_KEYS = ("spooler", "spooler-external", "Q")
CRON_KEYS = ("cron", "cron2", "unique-cron")
DAEMON_KEYS = ("attach-daemon", "attach-daemon2", "attach-control-daemon")

KINDS = ("mule", "mules", "farm", "spooler", "cron", "attach-daemon", "command")
"""The kinds of a plan's workers that are options of its uWSGI."""

SCRIPTS = {
    "hold.py": """\
import os, time
os.chdir("%s")  # shows that it waits
while not os.path.exists("%s"):
    time.sleep(0.2)
""" % (DIRECTORY, ALL),
    "tick.py": """\
import os, signal, sys, time
ticks, name, command = sys.argv[1:]
minute = int(time.time() // 60)
os.makedirs(ticks, exist_ok=True)
while True:
    if os.path.exists("%s/%s"):
        try:
            os.close(os.open("%%s/%%s-%%d" %% (ticks, name, minute), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
            break
        except FileExistsError:
            sys.exit(0)
    if time.time() // 60 != minute:
        sys.exit(0)
    time.sleep(0.2)
for old in os.listdir(ticks):
    if old.startswith(name + "-") and int(old[len(name) + 1:]) < minute - 60:
        os.unlink(os.path.join(ticks, old))
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
os.execv("/bin/sh", ["sh", "-c", command])
""" % (DIRECTORY, ALL),
}
"""What a container's uWSGI runs in front of what it holds back, by file name."""


class Cron(NamedTuple):
    """One entry of uWSGI's cron: ``when`` are minute, hour, day, month, weekday as uWSGI has them, ``head`` what stands before the command."""

    name: str
    when: Tuple[int, int, int, int, int]
    head: str
    command: str

    def matches(self, at: float) -> bool:
        """Is the minute of ``at`` (epoch seconds) one of its own, by local time (core/master_utils.c)?"""
        now = time.localtime(at)
        there = (now.tm_min, now.tm_hour, now.tm_mday, now.tm_mon, (now.tm_wday + 1) % 7)
        wanted = (*self.when[:4], 0 if self.when[4] == 7 else self.when[4])
        fits = [value % -want == 0 if want < 0 else value == want for value, want in zip(there, wanted)]
        if wanted[2] >= 0 and wanted[4] >= 0:
            return fits[0] and fits[1] and fits[3] and (fits[2] or fits[4])
        return all(fits)

    def due(self, now: float, last: int, within: float) -> bool:
        """Will a master that ran it at ``last`` (0: never) run it again before ``now + within``?"""
        moments = [now + second for second in range(int(within) + 1)]
        return any(at - last >= 59 and self.matches(at) for at in moments)


def values(options: Mapping[str, Any], keys: Sequence[str]) -> List[Tuple[str, str]]:
    """(key, value) of the options with one of these keys."""
    found = []
    for key in keys:
        value = options.get(key, [])
        found += [(key, {True: "true", False: "false"}.get(item, str(item)) if isinstance(item, bool) else str(item))
                  for item in (value if isinstance(value, list) else [value])]
    return found


def _keyed(text: str) -> Dict[str, str]:
    """key=value pairs with commas between them; a backslash keeps a comma (core/utils.c, uwsgi_kvlist_parse)."""
    return dict(item.partition("=")[::2] for item in re.split(r"(?<!\\),", text))


def cron(key: str, value: str) -> Cron:
    """An entry as uWSGI reads it (core/cron.c). Raises WebstackError for one that it would not take."""
    name = hashlib.sha256(("%s %s" % (key, value)).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    if key != "cron2":
        match = re.match(r"((?:-?\d+\s+){5})(?=\S)", value)
        if match is None:
            raise WebstackError("%s = %s is not understood" % (key, value))
        when = [int(word) for word in match.group(1).split()]
        return Cron(name, (when[0], when[1], when[2], when[3], when[4]), match.group(1), value[match.end():])
    head, space, command = value.partition(" ")
    if "=" not in head:
        head, space, command = "", "", value
    pairs = _keyed(head) if head else {}
    try:
        whens = [int(pairs.get(word, "-1")) for word in ("minute", "hour", "day", "month", "week")]
    except ValueError as exc:
        raise WebstackError("cron2 = %s is not understood" % value) from exc
    return Cron(name, (whens[0], whens[1], whens[2], whens[3], whens[4]), head + space, command)


def crons(service: Mapping[str, Any]) -> List[Cron]:
    """The entries of a service; two that are the same to the letter have names of their own."""
    found: List[Cron] = []
    for key, value in values(service.get("uwsgi", {}).get("options", {}), CRON_KEYS):
        entry = cron(key, value)
        same = sum(other.name.partition(".")[0] == entry.name for other in found)
        found.append(entry._replace(name="%s.%d" % (entry.name, same)) if same else entry)
    return found


def spools(service: Mapping[str, Any]) -> List[str]:
    """Directories of its spoolers."""
    return [value for dummy, value in values(service.get("uwsgi", {}).get("options", {}), SPOOLER_KEYS)]


def has_mules(service: Mapping[str, Any]) -> bool:
    """Has its instance mules?"""
    return bool(values(service.get("uwsgi", {}).get("options", {}), MULE_KEYS))


def has_any(service: Mapping[str, Any]) -> bool:
    """Does its uWSGI run anything beside web requests that is held back?"""
    return bool(values(service.get("uwsgi", {}).get("options", {}), (*MULE_KEYS, *SPOOLER_KEYS, *CRON_KEYS, *DAEMON_KEYS)))


def daemon_commands(service: Mapping[str, Any]) -> Dict[str, int]:
    """Command -> the signal that ends it, of the attached daemons."""
    found = {}
    for key, value in values(service.get("uwsgi", {}).get("options", {}), DAEMON_KEYS):
        pairs = _keyed(value) if key == "attach-daemon2" else {"cmd": value}
        text = next((pairs[word] for word in ("cmd", "command", "exec") if word in pairs), "")
        number = pairs.get("stopsignal", pairs.get("stop_signal", "15"))
        found[text.replace("\\,", ",")] = int(number) if number.isdigit() else 15
    return found


def problem(key: str, value: str) -> str:
    """Why what an option starts cannot be held back and moved; empty when it can. Pure."""
    if key in SPOOLER_KEYS and not value.startswith("/"):
        return "its directory is not absolute"
    if key in CRON_KEYS:
        try:
            entry = cron(key, value)
        except WebstackError:
            return "it is not understood"
        return "it belongs to a legion" if "legion" in _keyed(entry.head.strip()) else ""
    if key in DAEMON_KEYS:
        pairs = _keyed(value) if key == "attach-daemon2" else {}
        odd = next((word for word in ("pidfile", "daemonize", "daemon", "legion", "uid", "gid", "ns_pid") if word in pairs), "")
        return "its %s outlives or leaves its uWSGI" % odd if odd else ""
    return "" if key in MULE_KEYS or key in SPOOLER_KEYS else "it goes on without its uWSGI, or runs before its application"


def held_back(options: Sequence[Tuple[str, str]], service: Mapping[str, Any], python: str, ticks: str) -> List[Tuple[str, str]]:
    """A container's options with all that waits: ``python`` is an interpreter in the image, ``ticks`` the directory of the minutes. Pure."""
    if not has_any(service):
        return list(options)
    run = "%s -I -S %s/" % (python, DIRECTORY)
    first: List[Tuple[str, str]] = []
    if has_mules(service):
        first += [("hook-as-mule", "wait_for_file:%s/%s" % (DIRECTORY, MULES))]
        first += [] if any(key == "wait-for-fs-timeout" for key, dummy in options) else [("wait-for-fs-timeout", "2147483647")]
    if spools(service):
        first += [("spooler-python-import", DIRECTORY + "/hold.py")]
    entries = crons(service)
    found = []
    for key, value in options:
        if key in CRON_KEYS:
            entry = entries.pop(next(index for index, item in enumerate(entries) if item.head + item.command == value))
            value = "%s%stick.py %s %s %s" % (entry.head, run, ticks, entry.name, shlex.quote(entry.command))
        elif key == "attach-daemon2":
            value = re.sub(r"(^|,)(cmd|command|exec)=", lambda match: match.group() + run + "hold.py && ", value, count=1)
        elif key in DAEMON_KEYS:
            value = run + "hold.py && " + value
        found.append((key, value))
    return first + found
