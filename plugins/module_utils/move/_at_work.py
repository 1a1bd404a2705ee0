# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the mules, spoolers, daemons and crons of a running uWSGI are doing at this moment, seen from outside (proc(5)).

uWSGI ends its mules and spoolers where they stand (core/uwsgi.c, uwsgi_destroy_processes), so an instance is ended when they have nothing in hand:

- a mule that waits for being told sleeps in poll(2) or epoll_wait(2), without a time limit, on a socket of the kind that uWSGI makes for messages: its queue is
  empty then. One with a loop of its own has nothing in hand while it sleeps;
- a spooler holds a lock on the file of its task; it is stopped (SIGSTOP) while it holds none, so that it begins no other one;
- when a cron ran last stands in the master's memory (uwsgi.h, struct uwsgi_cron).
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import signal
import struct
import time
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _proc, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.move import _beside

_CALLS = {"x86_64": {7: "poll", 271: "ppoll", 232: "epoll", 281: "epoll", 35: "sleep", 230: "sleep", 23: "select", 270: "select"},
          "aarch64": {73: "ppoll", 22: "epoll", 101: "sleep", 115: "sleep", 72: "select"}}
"""Numbers of the system calls in which a process waits."""

_SEQPACKET = "0005"
_MOST = 256 * 1024 * 1024
"""Bytes of a master's memory that are looked through at a time."""


class Call(NamedTuple):
    """The system call in which a process sleeps: its kind and arguments."""

    kind: str
    arguments: List[int]


def call(pid: int) -> Optional[Call]:
    """The call in which a process sleeps; None for one that runs or has ended."""
    try:
        with open("/proc/%d/syscall" % pid, encoding="ascii") as handle:
            words = handle.read().split()
    except OSError:
        return None
    if len(words) < 7:
        return None
    return Call(_CALLS.get(platform.machine(), {}).get(int(words[0]), ""), [int(word, 16) for word in words[1:7]])


def is_told(pid: int) -> bool:
    """Does a process wait, without a limit, for a message of its uWSGI?"""
    now = call(pid)
    if now is None or now.kind not in ("poll", "ppoll", "epoll"):
        return False
    limit = now.arguments[2] if now.kind in ("poll", "ppoll") else now.arguments[3]
    if (limit if now.kind == "ppoll" else limit & 0xffffffff ^ 0xffffffff) != 0:  # ppoll(2) has an address, NULL without a limit; the others -1
        return False
    with contextlib.suppress(OSError):
        return any(os.readlink("/proc/%d/fd/%d" % (pid, number)) in _message_sockets(pid) for number in _polled(pid, now))
    return False


def _message_sockets(pid: int) -> Set[str]:
    """``socket:[INODE]`` of what uWSGI may hand messages over by."""
    with open("/proc/%d/net/unix" % pid, encoding="utf-8", errors="replace") as handle:
        return {"socket:[%s]" % words[6] for words in (line.split() for line in handle) if len(words) == 7 and words[4] == _SEQPACKET}


def _polled(pid: int, now: Call) -> List[int]:
    """The file descriptors that a process waits for."""
    with contextlib.suppress(OSError, ValueError):
        if now.kind == "epoll":
            with open("/proc/%d/fdinfo/%d" % (pid, now.arguments[0]), encoding="ascii") as handle:
                return [int(line.split()[1]) for line in handle if line.startswith("tfd:")]
        with open("/proc/%d/mem" % pid, "rb") as memory:
            memory.seek(now.arguments[0])
            data = memory.read(8 * min(now.arguments[1], 64))
        return [struct.unpack_from("ihh", data, at)[0] for at in range(0, len(data) - 7, 8)]
    return []


def sleeps(pid: int) -> bool:
    """Does a process wait for time to pass, and for nothing else?"""
    now = call(pid)
    return now is not None and (now.kind == "sleep" or now.kind == "select" and now.arguments[0] == 0)


class Instance:
    """A running uWSGI by its master's pid; the host's own, or a container's as the host sees it."""

    def __init__(self, service: Mapping[str, Any], master: int) -> None:
        self.service, self.master = service, master
        self.spools = _beside.spools(service)

    def _listeners(self) -> Set[str]:
        """``socket:[INODE]`` of every listener that it may have."""
        name = str(self.master)
        inodes = [item.inode for item in _proc.unix_sockets(name) if item.listening] + [item.inode for item in _proc.tcp_states(name) if item.listening]
        return {"socket:[%d]" % inode for inode in inodes}

    def parts(self) -> Dict[str, List[int]]:
        """PIDs of its own program: ``spoolers`` (each stands in its directory), web ``workers`` (they hold the listener), ``held`` (what waits), ``mules``."""
        found: Dict[str, List[int]] = {"spoolers": [], "mules": [], "workers": [], "held": []}
        with contextlib.suppress(OSError):
            program, listening = os.stat("/proc/%d/exe" % self.master), self._listeners()
            for child in _processes.children(self.master, _processes.processes()):
                with contextlib.suppress(OSError):
                    if not os.path.samestat(os.stat("/proc/%d/exe" % child.pid), program):
                        continue
                    place = os.readlink("/proc/%d/cwd" % child.pid)
                    open_files = {os.readlink("/proc/%d/fd/%s" % (child.pid, number)) for number in os.listdir("/proc/%d/fd" % child.pid)}
                    kind = "workers" if open_files & listening else "held" if place.endswith(_beside.DIRECTORY) else "mules"
                    found["spoolers" if place in self.spools else kind].append(child.pid)
        return found

    def everything(self) -> Set[int]:
        """PIDs of the master and of what it must not outlive: its own program's processes, and its daemons."""
        return {self.master, *(pid for pids in self.parts().values() for pid in pids), *self.daemons()}

    def crons_at_work(self) -> List[int]:
        """PIDs of commands that its cron has started and that go on."""
        commands = [entry.command for entry in _beside.crons(self.service)]
        table = _processes.processes()
        return [pid for pid in _below(self.master, table) if any(table[pid].argv[-2:] == ["-c", text] or table[pid].argv == _split(text) for text in commands)]

    def daemons(self) -> Dict[int, int]:
        """PID -> stop signal of the attached daemons that run; each leads a session. One that is held back waits, and is none."""
        signals = _beside.daemon_commands(self.service)
        table = _processes.processes()
        found = {}
        for child in _processes.children(self.master, table):
            last = child.argv[-1] if child.argv else ""
            number = next((number for text, number in signals.items()
                           if last == text or last.endswith("hold.py && " + text) or child.argv == _split(text)), None)
            waits = any(word.endswith("/hold.py") for pid in [child.pid, *_below(child.pid, table)] for word in table[pid].argv)
            if number is not None and not waits:
                found[child.pid] = number
        return found

    def mules_told(self, seconds: float) -> bool:
        """Do its mules do nothing but what they are told? Each is seen to wait for that at some moment within ``seconds``."""
        deadline = time.monotonic() + seconds
        waited: Set[int] = set()
        while True:
            mules = set(self.parts()["mules"])
            waited |= {pid for pid in mules if is_told(pid)}
            if mules <= waited or time.monotonic() > deadline:
                return mules <= waited
            time.sleep(0.005)

    def mules_idle(self, told: bool) -> bool:
        """Has no mule anything in hand? ``told`` as of ``mules_told``."""
        return all(is_told(pid) or not told and sleeps(pid) for pid in self.parts()["mules"])

    def stop_spoolers(self) -> bool:
        """Stop those that have no task in hand; False when one has, and all go on."""
        pids = self.parts()["spoolers"]
        for pid in pids:
            send(pid, signal.SIGSTOP)
        if not self._locked(pids):
            return True
        for pid in pids:
            send(pid, signal.SIGCONT)
        return False

    def continue_spoolers(self) -> None:
        """They go on."""
        for pid in self.parts()["spoolers"]:
            send(pid, signal.SIGCONT)

    def _locked(self, pids: List[int]) -> bool:
        """Has one of these a task in hand?"""
        with open("/proc/locks", encoding="ascii", errors="replace") as handle:
            lines = [line.split() for line in handle]
        return any(len(words) > 5 and words[1] == "POSIX" and int(words[4]) in pids for words in lines)

    def last_runs(self) -> Dict[str, Optional[int]]:
        """Cron's name -> when its master ran it last (epoch seconds, 0: never); None where that cannot be seen."""
        return {entry.name: _last_job(self.master, entry) for entry in _beside.crons(self.service)}


def _split(text: str) -> List[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return []


def _below(pid: int, table: Dict[int, _processes.Process]) -> List[int]:
    """PIDs of all that a process has started, and what these have."""
    found: List[int] = []
    for child in _processes.children(pid, table):
        found += [child.pid, *_below(child.pid, table)]
    return found


def send(pid: int, number: int) -> None:
    """Send a signal to a process, or a group of them when ``pid`` is negative, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _last_job(pid: int, entry: _beside.Cron) -> Optional[int]:
    """``last_job`` of the struct whose five numbers and whose command are the entry's; the field is followed by a signal's number and the command's address."""
    pattern, command = struct.pack("5i", *entry.when), entry.command.encode("utf-8", "surrogateescape") + b"\0"
    with contextlib.suppress(OSError):
        with open("/proc/%d/maps" % pid, encoding="utf-8", errors="replace") as handle:
            areas = [line.split() for line in handle]
        with open("/proc/%d/mem" % pid, "rb", buffering=0) as memory:
            for words in sorted((item for item in areas if item[1].startswith("rw") and item[4] == "0"), key=lambda item: item[5:] != ["[heap]"]):
                begin, end = (int(word, 16) for word in words[0].split("-"))
                with contextlib.suppress(OSError, ValueError, OverflowError):
                    memory.seek(begin)
                    data = memory.read(min(end - begin, _MOST))
                    at = data.find(pattern)
                    while at >= 0:
                        if at % 8 == 0 and len(data) >= at + 48:
                            last, dummy, address = struct.unpack_from("qqQ", data, at + 24)
                            if _text_at(memory, address, len(command)) == command:
                                return int(last)
                        at = data.find(pattern, at + 1)
    return None


def _text_at(memory: Any, address: int, length: int) -> bytes:
    with contextlib.suppress(OSError, ValueError, OverflowError):
        memory.seek(address)
        return memory.read(length)
    return b""
