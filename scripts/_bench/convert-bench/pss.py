"""On a host: ``pss.py USER...``: the memory of each user's uWSGI processes in KiB (proportional set size), with the shim of their container, as JSON."""

from __future__ import annotations

import json
import os
import pwd
import sys


def read(pid: str, name: str) -> bytes:
    """A file of a process; nothing when it has ended."""
    try:
        with open(f"/proc/{pid}/{name}", "rb") as handle:
            return handle.read()
    except OSError:
        return b""


def field(pid: str, name: str, key: bytes) -> int:
    """The number behind a key."""
    return next((int(line.split()[1]) for line in read(pid, name).splitlines() if line.startswith(key)), 0)


def main(users: list[str]) -> None:
    """Sum up."""
    names = {pid: read(pid, "comm").strip() for pid in os.listdir("/proc") if pid.isdigit()}
    found = {}
    for user in users:
        uid = pwd.getpwnam(user).pw_uid
        own = {pid for pid, name in names.items() if name.startswith(b"uwsgi") and field(pid, "status", b"Uid:") == uid}
        parents = {str(field(pid, "status", b"PPid:")) for pid in own}
        found[user] = sum(field(pid, "smaps_rollup", b"Pss:") for pid in own | {pid for pid in parents if names.get(pid, b"").startswith(b"containerd-shim")})
    print(json.dumps(found))


main(sys.argv[1:])
