"""On a host: everything that a host of ten years may hold and nobody likes to read. Run as ``hurt.py make`` once two services are installed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from pathlib import Path

CODE = Path("/srv/hurt/current").resolve()
MANY = Path("/var/lib/hurt/many")
MILLION = 1_000_000

SICK = """[Service]
ExecStart=/usr/bin/uwsgi --ini /etc/sick.ini
"""
FLAPPING = """[Service]
ExecStart=/usr/bin/uwsgi --plugins python3 --socket /run/flapping.sock --master --workers 1 --virtualenv /usr
RuntimeMaxSec=1
Restart=always
RestartSec=0
StartLimitIntervalSec=0
"""
ODD_WORDS = """[Service]
ExecStart=/bin/bash -c 'exec -a "$(printf "odd\\\\nname\\\\377 \\\\033[31m")" /bin/sleep 100000'
"""
SHORT_LIVED = """[Service]
ExecStart=/bin/sh -c 'while :; do for n in 1 2 3 4 5 6 7 8; do /bin/sleep 0.0$n & done; wait; done'
CPUQuota=20%
"""


def write(path: str | bytes, content: bytes) -> None:
    """A file whatever it is called."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as handle:
        handle.write(content)


def sparse(path: str, size: int) -> None:
    """A file of a size without blocks."""
    with open(path, "ab") as handle:
        handle.truncate(size)


def million_files() -> None:
    """A million files in one directory of the state, on a file system of their own."""
    MANY.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=1100k,mode=755", "none", str(MANY)], check=True)
    handle = os.open(MANY, os.O_RDONLY)
    for number in range(MILLION):
        os.mknod(f"f{number}", 0o100644, dir_fd=handle)
    os.close(handle)


def loops() -> None:
    """Links to themselves, to each other and to what holds them."""
    for path in (CODE / "loop.py", CODE / "settings.ini", Path("/etc/cron.d/loop"), Path("/etc/systemd/system/loop.service"),
                 Path("/etc/webstack/vassals/loop.ini"), Path("/etc/cron.daily/loop")):
        with contextlib.suppress(FileExistsError):
            path.symlink_to(path.name)
    (CODE / "round").mkdir(exist_ok=True)
    for link, target in ((CODE / "round/there", "back"), (CODE / "round/back", "there"), (CODE / "round/up", "..")):
        with contextlib.suppress(FileExistsError):
            link.symlink_to(target)


def odd_names() -> None:
    """Names that are no text or break a line, and a tree that is deeper than a path may be long."""
    top, state = os.fsencode(CODE), b"/var/lib/hurt/data"
    for directory in (top, state, b"/etc/cron.d", b"/etc/webstack/vassals", b"/etc/nginx/conf.d", b"/etc/systemd/system"):
        for name in (b"new\nline", b"\xff\xfe", b"tab\tbell\x07 and spaces "):
            write(directory + b"/" + name, b"\xe9 not UTF-8\n")
    write(top + b"/new\nline.py", b"PATH = '/var/lib/hurt/data/x\\ny'\n")
    write(top + b"/\xff.py", b"# -*- coding: latin-1 -*-\nNAME = '\xe9'\n")
    write(top + b"/no_coding.py", b"NAME = '\xe9'\n")
    os.chdir(top)
    for dummy in range(1200):
        with contextlib.suppress(FileExistsError):
            os.mkdir("deeper")
        os.chdir("deeper")
    os.chdir("/")


def broken() -> None:
    """Configurations that nobody can read, of what runs and of what does not."""
    write("/etc/cron.d/broken", b"\x00\xff* * *\n* * * * *\nA=\n*/0 25 * * * nobody x\n1 2 3 4 5 root /bin/\xe9\n")
    write("/etc/systemd/system/broken.service", b"[Service\nExecStart\n=\n\xff\x00[[[\n")
    write("/etc/webstack/vassals/half.ini", b"[uwsgi\nsocket /run/half\n")
    for name in ("/srv/hurt/current/fifo.py", "/srv/hurt/current/.env", "/etc/cron.d/fifo"):
        with contextlib.suppress(FileExistsError):
            os.mkfifo(name)
    write("/etc/sick.ini", b"[uwsgi]\nplugins = python3\nvirtualenv = /usr\nsocket = /run/sick.sock\nmaster = true\nprocesses = 1\n")
    for name, text in (("sick", SICK), ("flapping", FLAPPING), ("short-lived", SHORT_LIVED), ("odd-words", ODD_WORDS)):
        write(f"/etc/systemd/system/{name}.service", text.encode())
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "start", "sick", "flapping", "short-lived", "odd-words"], check=True)
    while not os.path.exists("/run/sick.sock"):  # it has read its configuration
        time.sleep(0.1)
    write("/etc/sick.ini", b"\x00\xff[uwsgi\nini = /etc/sick.ini\nfor = a b\n")


def main() -> None:
    """All of it."""
    million_files()
    loops()
    odd_names()
    sparse("/var/log/webstack/hurt.log", 2 << 30)
    sparse("/var/log/nginx/access.log", 2 << 30)
    sparse("/var/lib/hurt/data/app.log", 2 << 30)
    sparse(str(CODE / "huge.json"), 2 << 30)
    sparse(str(CODE / "huge.py"), 2 << 30)
    broken()


main()
