# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a host runs beside uWSGI: nginx with its configuration, its sockets, services that were moved already."""

from __future__ import annotations

import glob
import grp
import json
import os
import pwd
import re
import subprocess
from typing import Any, Dict, List, Optional, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process, Sockets
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_files, _evidence_needs, _nginx_text
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_NEVER = ("/run/systemd/", "/run/dbus/", "/var/run/dbus/", "/run/nscd/", "/var/run/nscd/", "/dev/log", "/run/user/")


def user_name(uid: int) -> str:
    """Name of a user; its number when it has none."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def group_name(gid: int) -> str:
    """Name of a group; its number when it has none."""
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)


def home(uid: int) -> str:
    """Home directory of a user; empty when it has none."""
    try:
        return pwd.getpwuid(uid).pw_dir
    except KeyError:
        return ""


def as_owner(argv: List[str], uid: int, gid: int) -> Tuple[int, str, str]:
    """Run a program that may belong to a service as that service's user, never as root: (rc, stdout, stderr); rc 127 when it cannot start."""
    identity: Dict[str, Any] = {}
    if os.geteuid() == 0 and not _trusted(argv[0]):
        identity = {"user": uid, "group": gid, "extra_groups": []}
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={"PATH": _PATH, "LC_ALL": "C"},
                              cwd="/", timeout=20, check=False, **identity)
    except (OSError, subprocess.SubprocessError) as exc:
        return 127, "", str(exc)
    return done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace")


def _trusted(program: str) -> bool:
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


# -- nginx

def nginx(table: Dict[int, Process]) -> Tuple[Optional[Dict[str, Any]], List[str]]:
    """({version, binary, config, user, group, text, error}, what could not be seen); None when no nginx runs.

    ``text`` is free of secrets; ``error`` is what ``nginx -T`` said when it failed: its files were broken after it had started.
    """
    masters = sorted((process for process in table.values() if process.argv and process.argv[0].startswith("nginx: master process")), key=lambda item: item.pid)
    if not masters:
        return None, []
    master = masters[0]
    arguments = _nginx_arguments(" ".join(master.argv))
    binary = master.exe or "/usr/sbin/nginx"
    blind = ["a second nginx (%s) was not looked at" % " ".join(other.argv) for other in masters[1:]]
    _rc, _out, version = as_owner([binary, "-v"], master.uid, master.gid)
    rc, text, errors = as_owner([binary] + arguments + ["-T"], master.uid, master.gid)
    error = ""
    if rc != 0 and os.geteuid() != 0:
        main = next((value for flag, value in zip(arguments[0::2], arguments[1::2]) if flag == "-c"), "/etc/nginx/nginx.conf")
        text = _nginx_text.gather(main, _evidence_files.text, lambda pattern: sorted(glob.glob(pattern)))
        blind.append("nginx -T needs root; nginx's configuration was read from %s and the files that it includes" % main)
    elif rc != 0:
        emergencies = [line for line in errors.splitlines() if "[emerg]" in line] or errors.strip().splitlines() or ["no output"]
        error = redact(re.sub(r"^nginx: \[emerg\] ", "", emergencies[0]))
    workers = [process for process in table.values() if process.parent == master.pid]
    worker = next((process for process in workers if "worker process" in process.argv[0]), master)
    parts = _nginx_text.files(text)
    match = re.search(r"nginx/(\S+)", version)
    return {"version": match.group(1) if match else "", "binary": binary, "config": next(iter(parts), ""), "user": user_name(worker.uid),
            "group": group_name(worker.gid), "text": _nginx_text.clean(text), "error": error}, blind


def _nginx_arguments(title: str) -> List[str]:
    """The arguments in nginx's process title, where the quotes around ``-g`` are lost."""
    found: List[str] = []
    for flag, value in re.findall(r" (-[cpge]) (.*?)(?= -[cpgeqt]\b|$)", title):
        found += [flag, value.strip()]
    return found


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
