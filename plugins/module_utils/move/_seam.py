# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The seam between nginx and uWSGI: a UNIX socket's path, taken over by rename(2).

A container's socket lies in a directory of its own and a symbolic link at the seam leads to it: connect(2) follows the
link (path_resolution(7)), the container may restart and bind its socket again without touching the seam, and the link
works across file systems. The host's uWSGI gets its place back by renaming its socket itself over the link.
"""

from __future__ import annotations

import contextlib
import os
import stat
import time
from typing import Callable, Dict, Iterable, List, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import UnixSocket, tcp_states, unix_sockets
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until
from ansible_collections.gantry.webstack.plugins.module_utils.discover._uwsgi_running import same


def _sockets(pid: Optional[int]) -> List[UnixSocket]:
    """The UNIX sockets in our own network namespace, and in that of ``pid``.

    The kernel makes a connection's socket in the namespace of who connects (unix_stream_connect in net/unix/af_unix.c), which is nginx's, not in the
    listener's: what nginx has asked a container is in our own list.
    """
    return unix_sockets() + (unix_sockets(str(pid)) if pid else [])


def listens(sockets: Iterable[UnixSocket], paths: Sequence[str]) -> bool:
    """Is there a listener that was bound to one of ``paths``?"""
    return any(item.listening and item.path in paths for item in sockets)


def open_requests(sockets: Iterable[UnixSocket], paths: Sequence[str]) -> int:
    """Connections accepted by, or waiting at, listeners bound to ``paths``: an accepted socket has its listener's name."""
    return sum(1 for item in sockets if not item.listening and item.path in paths)


def wait_for(what: str, condition: Callable[[], bool], timeout: float, interval: float = 0.05) -> None:
    """Poll ``condition`` until it holds; ``timeout`` in seconds. Raises WebstackError naming ``what``."""
    if not until(condition, timeout, interval):
        raise WebstackError("%s within %d s" % (what, timeout))


def drained(pid: Optional[int], paths: Sequence[str], timeout: float) -> bool:
    """Wait until no request is open at ``paths``; ``timeout`` in seconds. False when some still are at the end.

    ``pid`` is a process of the container that listens, whose own requests, such as its health check's, count too; None for the host's instance.
    """
    time.sleep(0.2)  # a connect(2) that looked the path up just before the rename gets into the list
    return until(lambda: not open_requests(_sockets(pid), paths), timeout)


SERVED = ("01", "03", "08")
"""States of a TCP socket whose peer waits for an answer: established, being established, closed by the peer alone."""


def listens_at(address: str) -> bool:
    """Is there a listener at ``address`` (HOST:PORT as uWSGI takes it)?"""
    return any(item.listening and same(item.local, address) for item in tcp_states())


def drained_at(address: str, timeout: float) -> bool:
    """Wait until no connection to the listener at ``address`` is open; ``timeout`` in seconds. False when some still are at the end."""
    return until(lambda: not any(item.state in SERVED and same(item.local, address) for item in tcp_states()), timeout)


def links_to(seam: str, target: str) -> bool:
    """Is the seam our link to ``target``?"""
    try:
        return os.readlink(seam) == target
    except OSError:
        return False


def is_link(seam: str) -> bool:
    """Does the seam lead to a container?"""
    return os.path.islink(seam)


def is_socket(path: str) -> bool:
    """Is there a socket of its own (no link) at ``path``?"""
    try:
        return stat.S_ISSOCK(os.lstat(path).st_mode)
    except OSError:
        return False


def link(seam: str, target: str) -> None:
    """Make the seam a link to ``target`` in one step: whoever connects gets the old socket or the new one, never neither."""
    temporary = "%s.webstack-%d" % (seam, os.getpid())
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    os.rename(temporary, seam)


def tmpfiles_rules(seam: str, run_dir: str, socket: str, uid: int, gid: int, stats: Dict[str, os.stat_result]) -> str:
    """tmpfiles.d(5) lines that make a container's socket directory and the seam's link again at boot.

    ``stats`` maps each directory between /run and the seam to its stat, so that it comes back as it is now.
    """
    lines = ["# Written by gantry.webstack: this service runs in a container.",
             "d %s 0755 root root -" % os.path.dirname(run_dir),
             "d %s 2750 %d %d -" % (run_dir, uid, gid)]
    lines += ["d %s %04o %d %d -" % (path, stat.S_IMODE(info.st_mode), info.st_uid, info.st_gid) for path, info in sorted(stats.items())]
    lines.append("L+ %s - - - - %s" % (seam, socket))
    return "\n".join(lines) + "\n"


def directories_on_run(seam: str) -> List[str]:
    """The directories below /run that lead to the seam: /run is empty after a boot."""
    found = []
    parent = os.path.dirname(seam)
    while parent.startswith("/run/"):
        found.append(parent)
        parent = os.path.dirname(parent)
    return found[::-1]
