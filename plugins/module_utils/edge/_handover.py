# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Listening sockets go from one nginx to another: the very same ones, so that no connection in their queues is reset.

They are copied out of the process that has them (pidfd_getfd(2), Linux 5.6) and offered at a UNIX socket (unix(7), SCM_RIGHTS) to the
program ``_enter`` that becomes the other nginx. While both have them, both answer.
"""

from __future__ import annotations

import array
import contextlib
import ctypes
import errno
import os
import socket
import time
from typing import Callable, Iterator, List, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.edge import _enter

_PIDFD_GETFD = 438
"""Number of the system call, the same on every architecture that got it with Linux 5.6."""

OFFER = "offer.sock"


@contextlib.contextmanager
def listeners(pid: int) -> Iterator[List[int]]:
    """Copies of the listening sockets of a process, TCP, UDP and UNIX ones. Raises WebstackError where the kernel does not give them."""
    found: List[int] = []
    try:
        with _pidfd(pid) as process:
            for name in sorted(os.listdir("/proc/%d/fd" % pid), key=int):
                with contextlib.suppress(OSError):
                    if os.readlink("/proc/%d/fd/%s" % (pid, name)).startswith("socket:["):
                        found.append(_copy(process, int(name)))
        for number in [number for number in found if not _listens(number)]:
            found.remove(number)
            os.close(number)
        yield found
    finally:
        for number in found:
            os.close(number)


@contextlib.contextmanager
def _pidfd(pid: int) -> Iterator[int]:
    try:
        process = os.pidfd_open(pid)
    except (AttributeError, OSError) as exc:
        raise WebstackError("the sockets of nginx (process %d) cannot be taken over: %s" % (pid, exc)) from exc
    try:
        yield process
    finally:
        os.close(process)


def _copy(process: int, number: int) -> int:
    libc = ctypes.CDLL(None, use_errno=True)
    copied = int(libc.syscall(_PIDFD_GETFD, process, number, 0))
    if copied >= 0:
        return copied
    code = ctypes.get_errno()
    if code == errno.EBADF:
        raise OSError(code, os.strerror(code))  # it was closed meanwhile
    raise WebstackError("the kernel does not let the sockets of nginx be taken over (pidfd_getfd: %s); Linux 5.6 or newer is needed, "
                        "and kernel.yama.ptrace_scope below 3" % os.strerror(code))


def _listens(number: int) -> bool:
    """Is it a socket that nginx listens at? One for UDP has no peer."""
    with socket.socket(fileno=os.dup(number)) as copied:
        if copied.type == socket.SOCK_DGRAM and copied.family in (socket.AF_INET, socket.AF_INET6):
            try:
                copied.getpeername()
            except OSError:
                return True
            return False
        return bool(copied.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN))


class Offer:
    """A place at which ``_enter`` asks for sockets."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __enter__(self) -> "Offer":
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # of a run that was killed
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket.bind(self.path)
        self._socket.listen(1)
        return self

    def __exit__(self, *_args: object) -> None:
        self._socket.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)

    def give(self, numbers: List[int], timeout: float, ended: Callable[[], Optional[str]]) -> None:
        """Wait for the one who asks, and give. Raises WebstackError when it has ``ended``, in that word's sentence, or asks not in time."""
        deadline = time.monotonic() + timeout
        self._socket.settimeout(0.2)
        peer: Optional[socket.socket] = None
        while peer is None:
            try:
                peer = self._socket.accept()[0]
            except OSError as exc:  # nobody yet
                problem = ended() or ("nginx did not ask for its sockets within %d s" % timeout if time.monotonic() > deadline else None)
                if problem:
                    raise WebstackError(problem) from exc
        with peer:
            peer.settimeout(timeout)
            for at in range(0, len(numbers), _enter.MOST):
                block = array.array("i", numbers[at:at + _enter.MOST])
                peer.sendmsg([_enter.MORE], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, block)])
            peer.send(_enter.END)
