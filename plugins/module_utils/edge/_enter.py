# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Start nginx with the listening sockets that are offered at a UNIX socket, or with none. A program of its own: the standard library alone.

    run OFFER -- NGINX ARGUMENT...                    become nginx (in the edge's container, at each of its starts)
    start OFFER PIDFILE SECONDS -- NGINX ARGUMENT...  start it beside, and end when it has written its PID file (on the host, by systemd)
    health PIDFILE                                    connect to the first address on which the nginx of this PID file listens

nginx takes listening sockets over by their numbers in the environment variable NGINX, as its own upgrade on the fly does
(src/core/nginx.c, ngx_add_inherited_sockets). With that variable, also an empty one, it does not put itself into the background.
"""

from __future__ import annotations

import array
import contextlib
import ipaddress
import os
import re
import socket
import struct
import subprocess
import sys
import time
from typing import Any, Dict, List, NoReturn, Optional, Tuple

VARIABLE = "NGINX"
MOST = 200
"""Descriptors in one message; the kernel takes 253 (unix(7), SCM_MAX_FD)."""

MORE, END = b"+", b"."
"""A message with descriptors; the one after the last."""


def receive(path: str) -> List[int]:
    """The descriptors that are offered at ``path``; none where nobody offers any. Raises OSError when the offer breaks off."""
    found = array.array("i")
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as link:
        link.settimeout(60)
        try:
            link.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return []
        while True:
            data, ancillary, _flags, _peer = link.recvmsg(1, socket.CMSG_SPACE(MOST * found.itemsize))
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    found.frombytes(content[:len(content) - len(content) % found.itemsize])
            if data == END:
                return list(found)
            if data != MORE:
                raise OSError("the offer of sockets at %s broke off" % path)


def become(offer: str, command: List[str]) -> NoReturn:
    """Replace this process by nginx, with what is offered."""
    sockets = receive(offer)
    if not sockets:
        sweep(command)
    for number in sockets:
        os.set_inheritable(number, True)
    os.umask(0)  # as nginx has it when it goes into the background
    os.environ[VARIABLE] = "".join("%d;" % number for number in sockets)
    os.execv(command[0], command)


def sweep(command: List[str]) -> None:
    """Remove the UNIX sockets that nginx shall bind and at which nobody listens: one that has inherited them does not do so at its end."""
    dump = subprocess.run([*command, "-T", "-q"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout
    for path in re.findall(rb"\blisten\s+[\"']?unix:([^\s;\"']+)", dump):
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as peer:
            try:
                peer.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)


def start(offer: str, pid_file: str, seconds: float, command: List[str]) -> int:
    """Have nginx run as a process that stays when this one ends; the exit code."""
    child = os.fork()
    if not child:
        try:
            os.setsid()
            null = os.open(os.devnull, os.O_RDWR)
            os.dup2(null, 0)
            os.dup2(null, 1)
            become(offer, command)
        except OSError as exc:
            os.write(2, ("%s\n" % exc).encode())
        os._exit(1)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return 1
        if pid_in(pid_file) == child and children(child):
            return 0
        time.sleep(0.02)
    return 1


def pid_in(path: str) -> int:
    """The PID in a file; 0 when there is none."""
    try:
        with open(path, encoding="ascii") as handle:
            return int(handle.read())
    except (OSError, ValueError):
        return 0


def children(pid: int) -> List[int]:
    """The children of a process (proc(5), stat)."""
    found = []
    for name in os.listdir("/proc"):
        try:
            with open("/proc/%d/stat" % int(name), encoding="utf-8", errors="replace") as handle:
                if int(handle.read().rpartition(")")[2].split()[1]) == pid:
                    found.append(int(name))
        except (OSError, ValueError):
            continue
    return found


def listening(pid: int) -> Optional[Tuple[int, Any]]:
    """(family, address) of the first address on which a process listens; TCP before UNIX sockets."""
    inodes = set()
    for name in os.listdir("/proc/%d/fd" % pid):
        try:
            target = os.readlink("/proc/%d/fd/%s" % (pid, name))
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    for kind, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for fields in _table(kind):
            if len(fields) > 9 and fields[3] == "0A" and fields[9] in inodes:
                return family, _address(fields[1], family)
    for fields in _table("unix"):
        if len(fields) > 7 and fields[6] in inodes and int(fields[3], 16) & 0x10000:
            return socket.AF_UNIX, fields[7]
    return None


def _table(kind: str) -> List[List[str]]:
    try:
        with open("/proc/net/" + kind, encoding="utf-8", errors="surrogateescape") as handle:
            return [line.split() for line in handle.readlines()[1:]]
    except OSError:
        return []


def _address(text: str, family: int) -> Tuple[str, int]:
    """An address as the kernel prints it, words in host order; what listens at any address listens at the loopback's."""
    words, port = text.split(":")
    data = b"".join(struct.pack("=I", int(words[index:index + 8], 16)) for index in range(0, len(words), 8))
    found = ipaddress.ip_address(data)
    loopback: Dict[int, str] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
    return loopback[family] if found.is_unspecified else str(found), int(port, 16)


def health(pid_file: str) -> int:
    """0 when nginx has workers and takes a connection."""
    pid = pid_in(pid_file)
    place = listening(pid) if pid and children(pid) else None
    if place is None:
        return 1
    with socket.socket(place[0]) as peer:
        peer.settimeout(10)
        peer.connect(place[1])
    return 0


def main(words: List[str]) -> int:
    """Entry point."""
    command = words[words.index("--") + 1:] if "--" in words else []
    if words[0] == "run":
        become(words[1], command)
    if words[0] == "start":
        return start(words[1], words[2], float(words[3]), command)
    return health(words[1])


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
