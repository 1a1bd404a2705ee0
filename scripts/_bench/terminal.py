"""What a program shows on a terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import termios
from collections.abc import Mapping, Sequence


def on_terminal(argv: Sequence[str], env: Mapping[str, str], rows: int = 24, columns: int = 80) -> tuple[int, str]:
    """Run a command on a terminal of that size, with all of its output read; (code, output). ``env`` comes on top of our own."""
    pid, master = pty.fork()
    if pid == 0:
        os.execvpe(argv[0], [*argv], {**os.environ, **env})
    fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    told = b""
    while True:
        try:
            data = os.read(master, 65536)
        except OSError:
            break
        if not data:
            break
        told += data
    os.close(master)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), told.decode("utf-8", "replace")
