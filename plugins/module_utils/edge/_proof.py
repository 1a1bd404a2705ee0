# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The parity gate of nginx: the very same configuration in a container with a network of its own, asked the same as the host's nginx.

There it binds the same addresses and ports, nobody else reaches it, and it reaches nobody but by UNIX sockets and by relays to what the configuration
names. It writes into memory: logs, caches and PID file are not the host's.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import http.client
import ipaddress
import os
import shutil
import socket
import ssl
import threading
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._engine import find_container, remove_container
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact
from ansible_collections.gantry.webstack.plugins.module_utils.edge import _configuration, _image, _masters, _mounts, _questions, _sides
from ansible_collections.gantry.webstack.plugins.module_utils.move import _parity

NAME = "webstack.edge-test"
_CLONE_NEWNET = 0x40000000
_BUSY = (429, 503)
TIMEOUT = 15


class Difference(NamedTuple):
    """What the container answered otherwise."""

    request: str
    what: List[str]
    shown: List[str]


class Silent(Exception):
    """The host's nginx gives no answer that could be compared."""


@contextlib.contextmanager
def network_of(pid: int) -> Iterator[None]:
    """Sockets that this thread makes meanwhile are in the network of a process, wherever they are used (network_namespaces(7))."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as own, open("/proc/%d/ns/net" % pid, "rb") as other:
        if libc.setns(other.fileno(), _CLONE_NEWNET) != 0:
            raise WebstackError("the network of nginx's container cannot be entered: %s" % os.strerror(ctypes.get_errno()))
        try:
            yield
        finally:
            libc.setns(own.fileno(), _CLONE_NEWNET)


def ask(question: _questions.Question, pid: Optional[int]) -> Response:
    """One request to the host's nginx, or to the one in the network of ``pid``. Raises OSError or http.client.HTTPException."""
    where, request = question
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    with network_of(pid) if pid else contextlib.nullcontext():
        peer = socket.socket(family, socket.SOCK_STREAM)
    more: List[Tuple[str, str]] = []
    try:
        peer.settimeout(TIMEOUT)
        peer.connect((where.host, where.port))
        if where.tls:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            secured = context.wrap_socket(peer, server_hostname=request.host)
            peer, certificate = secured, secured.getpeercert(binary_form=True) or b""
            more = [("x-webstack-certificate", hashlib.sha256(certificate).hexdigest()), ("x-webstack-tls", str(secured.version()))]
        lines = ["%s %s HTTP/1.1" % (request.method, request.target), "Host: " + request.host, "User-Agent: gantry.webstack", "Accept: */*"]
        lines += ["%s: %s" % item for item in request.headers] + ["Connection: close", "", ""]
        peer.sendall("\r\n".join(lines).encode("latin-1"))
        answer = http.client.HTTPResponse(peer, method=request.method)
        answer.begin()
        body = answer.read(8 << 20)
        return Response(answer.status, answer.reason, [*answer.getheaders(), *more], body)
    finally:
        peer.close()


def forget(client: Any) -> None:
    """Remove the container that is asked, also that of a run that was killed."""
    container = find_container(client, NAME)
    if container is not None:
        remove_container(container)
    shutil.rmtree(_paths.EDGE_TRIAL, ignore_errors=True)


class Beside:
    """nginx in a container with a network of its own, while it is asked."""

    def __init__(self, side: _sides.ContainerSide, uses: _configuration.Uses, dump: str) -> None:
        self.side, self.uses, self.client = side, uses, side.client
        self.addresses = _resolved(_questions.upstreams(dump))
        self.pid = 0
        self._listening: List[socket.socket] = []

    def __enter__(self) -> "Beside":
        forget(self.client)
        os.makedirs(_paths.EDGE_TRIAL, mode=0o700)
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_args: object) -> None:
        for listener in self._listening:
            listener.close()
        forget(self.client)

    def _start(self) -> None:
        written = self.uses.written | {os.path.dirname(path) for path in self.uses.bound}
        wanted = self.side.confinement()
        binds, memory = [], dict(wanted["tmpfs"])
        for mount in self.side.mounts:
            if mount.path == _paths.EDGE_RUN:
                binds.append({"Type": "bind", "Source": _paths.EDGE_TRIAL, "Target": mount.path, "ReadOnly": False})
            elif not mount.read_only and any((os.path.realpath(path) + "/").startswith(mount.path + "/") for path in written):
                memory[mount.path] = "mode=1777"
            else:
                binds.append({"Type": "bind", "Source": mount.path, "Target": mount.path, "ReadOnly": True})
        sysctls = {"net.ipv4.ip_nonlocal_bind": "1"}
        if os.path.isdir("/proc/sys/net/ipv6"):
            sysctls.update({"net.ipv6.ip_nonlocal_bind": "1", "net.ipv6.conf.all.disable_ipv6": "0", "net.ipv6.conf.lo.disable_ipv6": "0"})
        wanted.update(mounts=binds, tmpfs=memory)
        container = self.client.containers.run(
            self.side.image, self.side.command(), name=NAME, labels={_image.LABEL + ".test": "nginx"}, network_mode="none", sysctls=sysctls,
            extra_hosts={name: address for name, address, _port in self.addresses if name != address}, **wanted)

        def ended() -> bool:
            container.reload()
            return not container.attrs["State"]["Running"]

        def serves() -> bool:
            return not ended() and _masters.serves(container.attrs["State"]["Pid"])

        if not until(lambda: serves() or ended(), _sides.START_SECONDS) or ended():
            log = container.logs(tail=20).decode("utf-8", "replace").strip().splitlines()
            raise WebstackError("nginx does not come up in its container beside the host's (%s); nothing was changed" % (log or ["no word"])[-1])
        self.pid = container.attrs["State"]["Pid"]
        self._relay()

    def _relay(self) -> None:
        """Let it reach what it connects to over TCP: each address is its own there, and what comes to it goes on to the host's network."""
        for family in ([], ["-6"]):
            run(["nsenter", "--net=/proc/%d/ns/net" % self.pid, "ip", *family, "route", "add", "local", "default", "dev", "lo"], check=False)
        with network_of(self.pid):
            for _name, address, port in self.addresses:
                listener = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
                try:
                    listener.bind((address, port))
                    listener.listen(64)
                except OSError:  # nginx listens there itself
                    listener.close()
                    continue
                self._listening.append(listener)
        for listener in self._listening:
            threading.Thread(target=_accept, args=(listener, listener.getsockname()[:2]), daemon=True).start()


def _accept(listener: socket.socket, address: Tuple[str, int]) -> None:
    with contextlib.suppress(OSError):
        while True:
            near = listener.accept()[0]
            try:
                far = socket.create_connection(address, TIMEOUT)
            except OSError:
                near.close()
                continue
            for one, other in ((near, far), (far, near)):
                threading.Thread(target=_copy, args=(one, other), daemon=True).start()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while True:
            data = source.recv(65536)
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)


def _resolved(found: Set[Tuple[str, int]]) -> List[Tuple[str, str, int]]:
    """(name, address, port) as this host resolves them; what it does not know is the name of an upstream group."""
    done = []
    for name, port in sorted(found):
        with contextlib.suppress(ValueError):
            done.append((name, str(ipaddress.ip_address(name)), port))
            continue
        with contextlib.suppress(OSError):
            done += [(name, str(item[4][0]), port) for item in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)]
    return list(dict.fromkeys(done))


def hidden(uses: _configuration.Uses, mounts: Sequence[_mounts.Mount]) -> str:
    """A UNIX socket that nginx connects to and that the test could not see, since nginx binds others in the same directory; empty without one."""
    bound = {mount.path for mount in mounts if not mount.read_only} - {_paths.EDGE_RUN}
    return next((path for path in sorted(uses.sockets) if any(os.path.realpath(path).startswith(top + "/") for top in bound)), "")


def compare(asked: Sequence[_questions.Question], pid: int) -> Tuple[int, List[Difference]]:
    """How many requests were compared, and what differed."""
    count, found = 0, []
    for question in asked:
        def host(request: _parity.Request, question: _questions.Question = question) -> Response:
            try:
                answer = ask(question._replace(request=request), None)
            except (OSError, http.client.HTTPException) as exc:
                raise Silent(str(exc)) from exc
            if answer.status in _BUSY:
                raise Silent("status %d" % answer.status)
            return answer

        def candidate(request: _parity.Request, question: _questions.Question = question) -> Response:
            return ask(question._replace(request=request), pid)

        scheme, plain = "https" if question.place.tls else "http", question.request._replace(host="")
        shown = "%s://%s:%d %s" % (scheme, question.request.host, question.place.port, plain.shown())
        try:
            comparison = _parity.compare(host, candidate, question.request)
        except Silent:
            continue
        except (OSError, http.client.HTTPException) as exc:
            found.append(Difference(shown, ["no answer: %s" % exc], []))
            continue
        count += 1
        if comparison.found:
            found.append(Difference(shown, comparison.found, _parity.shown(comparison.host, comparison.candidate, redact)))
    return count, found


def told(differences: Sequence[Difference]) -> List[Dict[str, Any]]:
    """For the module's result."""
    return [dict(item._asdict()) for item in differences]
