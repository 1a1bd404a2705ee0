"""On a host under test: what it has of services that move, as JSON.

Arguments: a JSON object of service -> its seam, and the last word of the worker's command, or nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
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


def docker(*words: str) -> str:
    """Raises CalledProcessError when no engine answers."""
    return subprocess.run(["docker", *words], check=True, capture_output=True, text=True).stdout


def listed(label: str) -> list[str]:
    """The ids of all containers that have it."""
    return docker("ps", "--all", "--quiet", "--filter", f"label=gantry.webstack.{label}").split()


def running(last: bytes = b"", first: bytes = b"") -> list[bool]:
    """Whether each process with this last word, or one that begins so, is in a container."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                with open(f"/proc/{entry.name}/cmdline", "rb") as handle:
                    words = handle.read().rstrip(b"\0").split(b"\0")
                if words[-1] == last if last else words[0].startswith(first):
                    with open(f"/proc/{entry.name}/cgroup", encoding="ascii") as handle:
                        found.append(bool(re.search(r"[0-9a-f]{64}", handle.read())))
    return found


def containers() -> list[dict[str, object]]:
    """All containers of services; those of their workers, made of the same images, are apart."""
    ids = sorted(set(listed("service")) - set(listed("worker")))
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
    "workers": running(last=sys.argv[2].encode()) if sys.argv[2] else [], "nginx": running(first=b"nginx: master process"), "edge": listed("edge"),
    "containers": containers(), "journals": journals(list(seams)), "files": files()}))
