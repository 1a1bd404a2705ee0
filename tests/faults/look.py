"""On a host under test: what it has of services that move, as JSON. Argument: a JSON object of service -> its seam."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
from typing import Any

TREES = ("/etc", "/var/lib/webstack", "/run/webstack", "/run/uwsgi", "/srv")
PASSING = {"/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/etc/mtab"}
"""The engine that runs the host writes them when it starts it."""


def listeners(pid: str) -> list[str]:
    """Paths that the UNIX listeners of a network namespace were bound to."""
    with open(f"/proc/{pid}/net/unix", encoding="utf-8", errors="replace") as handle:
        rows = [line.split() for line in handle.readlines()[1:]]
    return [row[7] for row in rows if len(row) > 7 and int(row[3], 16) & 0x10000]  # SO_ACCEPTCON


def containers() -> list[dict[str, object]]:
    """All containers of ours; raises CalledProcessError when no engine answers."""
    def docker(*words: str) -> str:
        return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout

    ids = docker("ps", "--all", "--quiet", "--filter", "label=gantry.webstack.service").split()
    return [container(item) for item in (json.loads(docker("inspect", *ids)) if ids else [])]


def container(item: dict[str, Any]) -> dict[str, object]:
    """One of them; its listeners when it has a network namespace of its own."""
    own = item["State"]["Running"] and item["HostConfig"]["NetworkMode"] != "host"
    return {"service": item["Config"]["Labels"]["gantry.webstack.service"], "name": item["Name"].strip("/"), "running": item["State"]["Running"],
            "restarts": item["HostConfig"]["RestartPolicy"]["Name"], "listens": listeners(str(item["State"]["Pid"])) if own else None}


def files() -> dict[str, str]:
    """Each file: its kind, mode, owners and content, and of vassals its time, at which an emperor looks; journals hold times and so are none of it."""
    found = {}
    for tree in TREES:
        for top, directories, names in os.walk(tree):
            for path in (os.path.join(top, name) for name in directories + names):
                if path not in PASSING and not path.endswith(("/journal.json", "/__pycache__", ".pyc")):
                    found[path] = told(path)
    return found


def told(path: str) -> str:
    try:
        info = os.lstat(path)
        if stat.S_ISLNK(info.st_mode):
            what = "-> " + os.readlink(path)
        elif stat.S_ISREG(info.st_mode):
            with open(path, "rb") as handle:
                what = hashlib.sha256(handle.read()).hexdigest()[:16] + (f" of {info.st_mtime_ns}" if path.startswith("/etc/webstack/") else "")
        else:
            what = ""
    except FileNotFoundError:
        return "gone meanwhile"
    return f"{info.st_mode:o} {info.st_uid}:{info.st_gid} {what}"


def journals(names: list[str]) -> dict[str, list[str]]:
    """[runtime, phase] of each service."""
    found = {}
    for name in names:
        try:
            with open(f"/var/lib/webstack/{name}/journal.json", encoding="utf-8") as handle:
                journal = json.load(handle)
            found[name] = [journal["runtime"], journal["phase"]]
        except FileNotFoundError:
            found[name] = ["host", "host"]
    return found


seams = json.loads(sys.argv[1])
everybody = listeners("self")
print(json.dumps({
    "listeners": {name: sum(everybody.count(path) for path in (seam, seam + ".host")) for name, seam in seams.items()},
    "links": {name: os.path.islink(seam) for name, seam in seams.items()},
    "containers": containers(), "journals": journals(list(seams)), "files": files()}))
