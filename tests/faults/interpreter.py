"""The Python that Ansible uses on a host under test: it runs what it reads, and does something at a step of one module.

Python tells each step before it takes it (audit events, PEP 578): a file written, renamed, removed, a command started, a request to the engine, a
connection. So a module can be stopped before and after everything that it does, and no code for tests is in it.
ORDER (JSON): ``module`` (* is any), ``step`` (what Python tells of it), ``nth`` (of those that are told alike, from 1; without it all steps are only
written down, with the time), ``after`` (seconds), and ``do``: kill | hold | clock | a command of the shell.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Callable, Dict, Optional

PLACE = "/run/faults"
ORDER, STEPS, DONE = PLACE + "/order.json", PLACE + "/steps", PLACE + "/done"
WRITES = os.O_WRONLY | os.O_RDWR
OWN = re.compile(r"/(dev|proc)/|/tmp/|/root/\.ansible|" + PLACE)
READS = re.compile(r"(\S*/)?(systemctl (show|cat|is-)|dpkg|ldconfig|uname|id |getent|systemd-analyze|docker (version|info))")
TEMPORARY = re.compile(r"\.webstack-[\w-]+")
ID = re.compile(r"\b[0-9a-f]{12,64}\b")
CHUNK = 16 << 20
"""Bytes of an image sent to the engine that count as a step."""


class Fault:
    """Looks for one step of the process in which it is armed."""

    def __init__(self, order: Dict[str, Any]) -> None:
        self.order, self.module, self.count, self.sent = order, "", 0, 0
        self.pid, self.lock, self.inside = os.getpid(), threading.RLock(), threading.local()

    def audit(self, event: str, args: Any) -> None:
        """sys.addaudithook(): called before each thing that Python tells."""
        namer = NAMERS.get(event)
        if namer is None or getattr(self.inside, "on", False) or os.getpid() != self.pid or not self.wanted():
            return
        label = self.chunk(args) or namer(args) if event == "http.client.send" else namer(args)
        if label is None or OWN.search(label):
            return
        with self.lock:
            self.inside.on = True
            try:
                self.step(ID.sub("*", TEMPORARY.sub(".webstack-*", label)))
            finally:
                self.inside.on = False

    def wanted(self) -> bool:
        main = sys.modules["__main__"]
        name = getattr(main, "_module_fqn", None) or getattr(getattr(main, "__spec__", None), "name", "") or ""
        self.module = name.rpartition(".")[2]
        return self.order["module"] in ("*", self.module) and ".webstack." in name

    def chunk(self, args: Any) -> Optional[str]:
        """A part of an image on its way to the engine."""
        before = self.sent // CHUNK
        self.sent += len(args[1]) if isinstance(args[1], bytes) else 0
        return "send %d MB" % (self.sent >> 20) if self.sent // CHUNK > before else None

    def step(self, label: str) -> None:
        if "nth" not in self.order:
            with open(STEPS, "a") as handle:
                handle.write("%s\t%s\t%.3f\n" % (self.module, label, time.monotonic()))
            return
        if label != self.order["step"]:
            return
        self.count += 1
        if self.count == self.order["nth"]:
            os.unlink(ORDER)
            if self.order.get("after"):
                threading.Timer(self.order["after"], self.act, [label]).start()
            else:
                self.act(label)

    def act(self, label: str) -> None:
        self.inside.on = True
        with open(DONE + ".part", "w") as handle:
            json.dump({"pid": self.pid, "label": label}, handle)
        os.rename(DONE + ".part", DONE)
        do = self.order["do"]
        if do == "clock":
            real, by = time.time, self.order["by"]
            time.time = lambda: real() + by
        elif do in ("kill", "hold"):
            os.kill(self.pid, signal.SIGKILL if do == "kill" else signal.SIGSTOP)
        else:
            subprocess.run(["/bin/sh", "-c", do], check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _opened(args: Any) -> Optional[str]:
    path, dummy, flags = args
    return "write %s" % path if isinstance(path, str) and isinstance(flags, int) and flags & WRITES else None


def _started(args: Any) -> Optional[str]:
    words = " ".join(str(word) for word in args[1][:4]) if isinstance(args[1], (list, tuple)) else str(args[1])
    return None if READS.match(words) else "run " + words


def _asked(args: Any) -> Optional[str]:
    line = bytes(args[1][:200]).split(b"\r\n")[0].decode("ascii", "replace") if isinstance(args[1], bytes) else ""
    return "engine: " + line if line.startswith(("POST ", "DELETE ", "PUT ")) else None


def _connected(args: Any) -> Optional[str]:
    return "connect %s" % args[1] if isinstance(args[1], str) and "docker" not in args[1] else None


def _named(word: str, count: int = 1) -> Callable[[Any], str]:
    # A descriptor's number is another one in each run.
    return lambda args: " ".join([word, *("fd" if isinstance(item, int) else "%s" % item for item in args[:count])])


NAMERS: Dict[str, Callable[[Any], Optional[str]]] = {
    "open": _opened, "subprocess.Popen": _started, "http.client.send": _asked, "socket.connect": _connected,
    "os.rename": _named("rename", 2), "os.symlink": _named("link", 2), "os.link": _named("link", 2), "os.remove": _named("remove"), "os.mkdir": _named("mkdir"),
    "os.rmdir": _named("rmdir"), "os.chmod": _named("chmod"), "os.chown": _named("chown"), "os.utime": _named("utime"), "os.truncate": _named("truncate"),
}


def main() -> None:
    """Run a program from standard input, as Ansible's pipelining sends one, or from the file that is named."""
    sys.argv = sys.argv[1:] or [""]
    if sys.argv[0] in ("", "-"):
        text = sys.stdin.read()
    else:
        with open(sys.argv[0], encoding="utf-8") as handle:
            text = handle.read()
    program = compile(text, sys.argv[0] or "<stdin>", "exec")
    if os.path.exists(ORDER):
        with open(ORDER) as handle:
            sys.addaudithook(Fault(json.load(handle)).audit)
    exec(program, {"__name__": "__main__"})  # a scope of its own: what is above is still needed


if __name__ == "__main__":
    main()
