# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Processes, their files and their sockets, from /proc; a process that ends meanwhile is simply not there.

Sources: proc(5), sock_diag(7).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import socket
import struct
import time
from typing import Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

_LISTEN_TCP = "0A"
_ESTABLISHED = "01"


class OpenFile(NamedTuple):
    """A file descriptor: its number, what it leads to, whether it was opened for writing."""

    number: int
    target: str
    writing: bool


class Process:
    """One process; everything beyond the basics is read when asked for. Attributes are empty when /proc does not tell."""

    def __init__(self, pid: int, root: str = "/proc") -> None:
        self.pid, self.base = pid, "%s/%d" % (root, pid)
        status = self._text("status")
        self.name = _field(status, "Name")
        self.parent = int(_field(status, "PPid") or 0)
        self.uid = int((_field(status, "Uid").split() or ["-1"])[0])
        self.gid = int((_field(status, "Gid").split() or ["-1"])[0])
        self.groups = {int(word) for word in _field(status, "Groups").split()} | {self.gid}
        self.argv = self._text("cmdline").split("\0")
        while self.argv and not self.argv[-1]:
            self.argv.pop()
        self.exe = self._link("exe").replace(" (deleted)", "")
        self._environ: Optional[Dict[str, str]] = None
        self._files: Optional[List[OpenFile]] = None

    def _text(self, name: str) -> str:
        try:
            with open("%s/%s" % (self.base, name), "rb") as handle:
                return os.fsdecode(handle.read())
        except OSError:
            return ""

    def _link(self, name: str) -> str:
        try:
            return os.readlink("%s/%s" % (self.base, name))
        except OSError:
            return ""

    @property
    def cwd(self) -> str:
        """Its directory now."""
        return self._link("cwd")

    @property
    def rewritten(self) -> bool:
        """Has it replaced its command line by a title (and with it, perhaps, the environment that stands behind it)?"""
        return len(self.argv) == 1 and " " in self.argv[0]

    @property
    def ended(self) -> bool:
        """Is it gone by now, or a zombie?"""
        return not self._text("cmdline")

    @property
    def started(self) -> float:
        """When it was started, in seconds since the epoch; 0 when /proc does not tell."""
        fields = self._text("stat").rpartition(")")[2].split()
        if len(fields) < 20:
            return 0.0
        return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + int(fields[19]) / os.sysconf("SC_CLK_TCK")

    @property
    def namespace(self) -> str:
        """Its PID namespace: another one means a container."""
        return self._link("ns/pid")

    @property
    def environ(self) -> Dict[str, str]:
        """The environment that it was started with; secrets included."""
        if self._environ is None:
            self._environ = dict(item.split("=", 1) for item in self._text("environ").split("\0") if "=" in item)
        return self._environ

    @property
    def unit(self) -> str:
        """Its systemd service, by its control group (v1 name=systemd or v2)."""
        for line in self._text("cgroup").splitlines():
            number, controllers, path = (line.split(":", 2) + ["", ""])[:3]
            if controllers == "name=systemd" or (number == "0" and not controllers):
                services = [part for part in path.split("/") if part.endswith(".service")]
                if services:
                    return services[-1]
        return ""

    @property
    def user_manager(self) -> str:
        """The user (by number) whose own systemd keeps it, by its control group; empty for the system's."""
        match = re.search(r"/user@(\d+)\.service/", self._text("cgroup"))
        return match.group(1) if match else ""

    @property
    def terminal(self) -> bool:
        """Has it a controlling terminal (proc(5), stat, tty_nr)?"""
        fields = self._text("stat").rpartition(")")[2].split()
        return len(fields) > 4 and fields[4] != "0"

    @property
    def maps(self) -> List[str]:
        """Files mapped into its memory, without repetition."""
        found: Dict[str, None] = {}
        for line in self._text("maps").split("\n"):
            fields = line.split(None, 5)
            if len(fields) == 6 and fields[5].startswith("/"):
                found[fields[5].replace(" (deleted)", "").replace("\\012", "\n")] = None  # proc_pid_maps(5)
        return list(found)

    @property
    def files(self) -> List[OpenFile]:
        """Its open file descriptors."""
        if self._files is None:
            self._files = []
            try:
                numbers = sorted(int(name) for name in os.listdir(self.base + "/fd"))
            except OSError:
                numbers = []
            for number in numbers:
                target = self._link("fd/%d" % number)
                writing = False
                if target.startswith("/"):
                    flags = re.search(r"^flags:\s*([0-7]+)", self._text("fdinfo/%d" % number), re.MULTILINE)
                    writing = bool(flags and int(flags.group(1), 8) & os.O_ACCMODE)
                self._files.append(OpenFile(number, target, writing))
        return self._files

    @property
    def inodes(self) -> List[int]:
        """Inodes of its sockets."""
        return [int(item.target[8:-1]) for item in self.files if item.target.startswith("socket:[")]


def _field(status: str, name: str) -> str:
    match = re.search(r"^%s:\t(.*)$" % name, status, re.MULTILINE)
    return match.group(1) if match else ""


def processes(root: str = "/proc") -> Dict[int, Process]:
    """All processes of this PID namespace; those of containers are left out."""
    own = ""
    with contextlib.suppress(OSError):
        own = os.readlink(root + "/self/ns/pid")
    found: Dict[int, Process] = {}
    for name in os.listdir(root):
        if name.isdigit():
            process = Process(int(name), root)
            if process.name and process.argv and process.namespace in ("", own):
                found[process.pid] = process
    return found


def tree(table: Dict[int, Process], top: int) -> List[Process]:
    """A process and all its descendants, in order of PID."""
    children: Dict[int, List[int]] = {}
    for process in table.values():
        children.setdefault(process.parent, []).append(process.pid)
    found, todo = [], [top]
    while todo:
        pid = todo.pop()
        if pid in table:
            found.append(pid)
            todo += children.get(pid, [])
    return [table[pid] for pid in sorted(found)]


class Tcp(NamedTuple):
    """A TCP socket; addresses are HOST:PORT."""

    local: str
    remote: str
    listening: bool


class TcpState(NamedTuple):
    """One line of /proc/net/tcp or tcp6: addresses as HOST:PORT, the state in two hex digits (linux/net/tcp_states.h)."""

    local: str
    remote: str
    state: str
    inode: int

    @property
    def listening(self) -> bool:
        """Does it take connections?"""
        return self.state == _LISTEN_TCP


def tcp_states(process: str = "self", root: str = "/proc") -> Iterator[TcpState]:
    """The TCP sockets in the network namespace of a process (proc_pid_net(5))."""
    for name, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in _text("%s/%s/net/%s" % (root, process, name)).split("\n")[1:]:
            fields = line.split()
            if len(fields) > 9:
                yield TcpState(_address(fields[1], family), _address(fields[2], family), fields[3], int(fields[9]))


class UnixSocket(NamedTuple):
    """A UNIX socket that has a path. An accepted one has its listener's path."""

    path: str
    listening: bool
    inode: int


def parse_net_unix(text: str) -> List[UnixSocket]:
    """Read /proc/net/unix (proc_pid_net(5)): Num RefCount Protocol Flags Type St Inode Path; sockets without a path are left out."""
    found = []
    for line in text.split("\n")[1:]:
        fields = line.split(None, 7)
        if len(fields) == 8:
            found.append(UnixSocket(fields[7], bool(int(fields[3], 16) & 0x10000), int(fields[6])))  # __SO_ACCEPTCON (linux/net.h)
    return found


def unix_sockets(process: str = "self", root: str = "/proc") -> List[UnixSocket]:
    """The UNIX sockets in the network namespace of a process; none when it is gone."""
    return parse_net_unix(_text("%s/%s/net/unix" % (root, process)))


class Sockets:
    """Every socket of the host by inode."""

    def __init__(self, root: str = "/proc") -> None:
        self.unix: Dict[int, str] = {}
        self.unix_listening: Dict[int, str] = {}
        self.tcp: Dict[int, Tcp] = {}
        self.peers: Dict[int, int] = {}
        for item in unix_sockets(root=root):
            if item.inode:  # a connection that its server has not accepted yet has none, and belongs to nobody
                self.unix[item.inode] = item.path
            if item.listening:
                self.unix_listening[item.inode] = item.path
        for one in tcp_states(root=root):
            if one.state in (_LISTEN_TCP, _ESTABLISHED):
                self.tcp[one.inode] = Tcp(one.local, one.remote, one.listening)
        with contextlib.suppress(OSError, struct.error):
            self.peers = dict(_unix_peers())

    def peer_path(self, inode: int) -> str:
        """The path of the listener that a connected UNIX socket of a client leads to, or nothing."""
        return self.unix.get(self.peers.get(inode, 0), "")


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as handle:
            return handle.read()
    except OSError:
        return ""


def _address(text: str, family: int) -> str:
    """``0100007F:1F90`` as ``127.0.0.1:8080``; the kernel prints the address as 32-bit words in host order."""
    words, port = text.split(":")
    data = b"".join(struct.pack("=I", int(words[index:index + 8], 16)) for index in range(0, len(words), 8))
    host = ipaddress.ip_address(data)
    if family == socket.AF_INET6:
        mapped = host.ipv4_mapped if isinstance(host, ipaddress.IPv6Address) else None
        return "%s:%d" % (mapped or "[%s]" % host, int(port, 16))
    return "%s:%d" % (host, int(port, 16))


def _unix_peers() -> Iterator[Tuple[int, int]]:
    """(inode, inode of its peer) of connected UNIX sockets, from the kernel's socket diagnostics (linux/unix_diag.h)."""
    request = struct.pack("=BBHIIIII", socket.AF_UNIX, 0, 0, 0xFFFFFFFF, 0, 4, 0, 0)  # UDIAG_SHOW_PEER
    header = struct.pack("=IHHII", 16 + len(request), 20, 0x301, 1, 0)  # SOCK_DIAG_BY_FAMILY, NLM_F_REQUEST | NLM_F_DUMP
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 4) as link:  # NETLINK_SOCK_DIAG
        link.settimeout(5)
        link.sendall(header + request)
        while True:
            data = link.recv(1 << 18)
            while len(data) >= 16:
                length, kind = struct.unpack_from("=IH", data)
                if kind in (2, 3) or length < 16:  # NLMSG_ERROR, NLMSG_DONE
                    return
                yield from _peer(data[16:length])
                data = data[(length + 3) & ~3:]


def _peer(message: bytes) -> Iterator[Tuple[int, int]]:
    if len(message) < 16:
        return
    inode = struct.unpack_from("=I", message, 4)[0]
    position = 16
    while position + 4 <= len(message):
        length, kind = struct.unpack_from("=HH", message, position)
        if length < 4:
            return
        if kind == 2:  # UNIX_DIAG_PEER
            yield inode, struct.unpack_from("=I", message, position + 4)[0]
        position += (length + 3) & ~3


def owners(table: Dict[int, Process]) -> Dict[int, Set[int]]:
    """PIDs that hold each socket, by inode."""
    found: Dict[int, Set[int]] = {}
    for process in table.values():
        for inode in process.inodes:
            found.setdefault(inode, set()).add(process.pid)
    return found
