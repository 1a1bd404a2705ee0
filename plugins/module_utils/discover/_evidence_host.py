# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host runs beside uWSGI and nginx: its users, its sockets, services that were moved already."""

from __future__ import annotations

import glob
import grp
import json
import os
import pwd
import subprocess
from typing import Any, Dict, List, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process, Sockets
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_needs
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_DYNAMIC = "/run/systemd/dynamic-uid"
_NEVER = ("/run/systemd/", "/run/dbus/", "/var/run/dbus/", "/run/nscd/", "/var/run/nscd/", "/dev/log", "/run/user/")


def user_name(uid: int) -> str:
    """Name of a user; its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return dynamic_user(uid) or str(uid)


def group_name(gid: int) -> str:
    """Name of a group; its number when it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return dynamic_user(gid) or str(gid)


def dynamic_user(number: int) -> str:
    """Name of the user that systemd made up for a unit with DynamicUser=, empty for any other; the group has the same number (src/core/dynamic-user.c)."""
    try:
        return os.readlink("%s/direct:%d" % (_DYNAMIC, number))
    except OSError:
        return ""


def home(uid: int) -> str:
    """Home directory of a user; empty when it has none."""
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""


def as_owner(argv: List[str], uid: int, gid: int) -> Tuple[int, str, str]:
    """Run a program that may belong to a service as that service's user, never as root: (rc, stdout, stderr); rc 127 when it cannot start."""
    identity: Dict[str, Any] = {}
    if os.geteuid() == 0 and not trusted(argv[0]):
        identity = {"user": uid, "group": gid, "extra_groups": []}
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": _PATH, "LC_ALL": "C"},
                              cwd="/", timeout=20, check=False, **identity)
    except (OSError, subprocess.SubprocessError) as exc:
        return 127, "", str(exc)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def trusted(program: str) -> bool:
    """Nobody but root can change the program or a directory above it."""
    path = os.path.realpath(program)
    while True:
        try:
            info = os.stat(path)
        except OSError:
            return False
        if info.st_uid != 0 or info.st_mode & 0o022:
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


# -- services that run in a container already

def converted() -> Tuple[List[Dict[str, Any]], List[str]]:
    """Service definitions from the journals that say runtime=container."""
    found: List[Dict[str, Any]] = []
    blind: List[str] = []
    for path in sorted(glob.glob(os.path.join(_paths.STATE_DIR, "*", "journal.json"))):
        try:
            with open(path, encoding="utf-8") as handle:
                data = json.load(handle)
        except (OSError, ValueError) as exc:
            blind.append("%s: %s" % (path, exc))
            continue
        if data.get("runtime") == "container" and isinstance(data.get("service"), dict):
            found.append(dict(data["service"], runtime="container"))
    return found, blind


# -- sockets

def listeners(sockets: Sockets, holders: Dict[int, Set[int]], table: Dict[int, Process]) -> List[Dict[str, Any]]:
    """{address, process, user, unit, used_by} of every TCP listener and every UNIX listener with a path, sorted; no PIDs.

    ``used_by`` are the local units or processes that are connected, and ``other hosts``.
    """
    used = _evidence_needs.clients(sockets, holders, table)
    found: Dict[str, Dict[str, Any]] = {}
    addresses = [(inode, tcp.local) for inode, tcp in sockets.tcp.items() if tcp.listening]
    addresses += [(inode, "unix:" + path) for inode, path in sockets.unix_listening.items() if path.startswith("/")]
    unknown = {inode for inode, _address in addresses if not holders.get(inode)}
    elsewhere = _in_containers(unknown) if unknown else {}
    for inode, address in addresses:
        processes = [table[pid] for pid in sorted(holders.get(inode, set()), key=lambda pid: (pid == 1, pid)) if pid in table]
        if address[5:].startswith(_NEVER):
            continue
        if processes:
            first = processes[0]
            found[address] = {"address": address, "process": first.name, "user": user_name(first.uid), "unit": first.unit,
                              "pid": first.pid, "command": redact(" ".join(first.argv))[:200], "used_by": used.get(address, [])}
        elif not address.startswith("unix:") or os.geteuid() != 0:
            found[address] = {"address": address, "process": elsewhere.get(inode, ""), "user": "", "unit": "", "pid": 0, "command": "",
                              "used_by": used.get(address, []), "container": inode in elsewhere}
    return [found[address] for address in sorted(found)]


def _in_containers(inodes: Set[int]) -> Dict[int, str]:
    """Names of processes in other PID namespaces that hold these sockets: containers in the host's network."""
    found: Dict[int, str] = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        process = Process(int(name))
        found.update({inode: process.name for inode in process.inodes if inode in inodes})
    return found
