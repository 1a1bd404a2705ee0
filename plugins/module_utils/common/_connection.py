# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Connections to the addresses that uWSGI knows: a UNIX socket's path, ``@NAME`` in the abstract namespace, HOST:PORT."""

from __future__ import annotations

import errno
import os
import socket
import time
from typing import Tuple, Union

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError


class UwsgiError(WebstackError):
    """The peer's answer is not one, or stopped in the middle."""


class UwsgiConnectError(UwsgiError):
    """Nobody accepts connections at the address."""


class UwsgiTimeout(UwsgiError):
    """No complete answer within the time allowed."""


def _address(address: str) -> Tuple[int, Union[str, Tuple[str, int]]]:
    if address.startswith(("/", "@")):
        return socket.AF_UNIX, "\0" + address[1:] if address.startswith("@") else address
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise UwsgiError("%r is neither a UNIX socket's path nor HOST:PORT" % address)
    host = host.strip("[]*") or "127.0.0.1"
    return (socket.AF_INET6 if ":" in host else socket.AF_INET), (host, int(port))


class Deadline:
    """Seconds left until a moment; ``left`` raises UwsgiTimeout afterwards."""

    def __init__(self, address: str, seconds: float) -> None:
        self._what = "%s gave no complete answer within %g seconds" % (address, seconds)
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds left."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise UwsgiTimeout(self._what)
        return left


def connect(address: str, deadline: Deadline) -> socket.socket:
    """A connection that does not block. Raises UwsgiConnectError, UwsgiTimeout, and UwsgiError for what is no address."""
    family, target = _address(address)
    while True:
        sock = socket.socket(family, socket.SOCK_STREAM)
        try:
            sock.settimeout(deadline.left())
            sock.connect(target)
            sock.setblocking(False)
            return sock
        except UwsgiTimeout:
            sock.close()
            raise
        except socket.timeout as exc:
            sock.close()
            raise UwsgiTimeout("%s accepted no connection in time" % address) from exc
        except OSError as exc:
            sock.close()
            if exc.errno != errno.EAGAIN:  # EAGAIN: the UNIX socket's backlog is full just now
                raise UwsgiConnectError("%s accepts no connection: %s" % (address, exc.strerror or exc)) from exc
        time.sleep(min(0.02, deadline.left()))


def is_listening(address: str, timeout: float = 1.0) -> bool:
    """Whether somebody accepts connections at the address; sends nothing."""
    if address.startswith("/") and not os.path.exists(address):
        return False
    try:
        connect(address, Deadline(address, timeout)).close()
    except UwsgiError:
        return False
    return True
