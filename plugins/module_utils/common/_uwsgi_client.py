# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A client for the uwsgi protocol: ask an application as nginx would, without nginx.

The protocol: https://uwsgi-docs.readthedocs.io/en/latest/Protocol.html (modifier1 0, a WSGI request).
"""

from __future__ import annotations

import selectors
import socket
import struct
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Tuple, Union
from urllib.parse import unquote_to_bytes

from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import Deadline, UwsgiError, connect

Headers = List[Tuple[str, str]]

_CHUNK = 65536
_MAX_VARS = 65535
_BODILESS = (204, 304)


class Response(NamedTuple):
    """One answer. ``headers`` keep order, case and repetition; ``complete`` is false when ``limit`` cut the body short."""

    status: int
    reason: str
    headers: Headers
    body: bytes
    complete: bool = True

    def header(self, name: str) -> Optional[str]:
        """The first header of that name in any case, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


def pack(params: Mapping[str, str]) -> bytes:
    """The request packet: 4 bytes of header, then each key and value with a 16-bit little-endian length before it.

    Raises UwsgiError when the block exceeds the protocol's 65535 bytes.
    """
    block = bytearray()
    for key, value in params.items():
        for text in (key, value):
            data = text.encode("utf-8", "surrogateescape")
            if len(data) > _MAX_VARS:
                raise UwsgiError("the request's %s is longer than the uwsgi protocol's 65535 bytes" % key)
            block += struct.pack("<H", len(data)) + data
    if len(block) > _MAX_VARS:
        raise UwsgiError("the request's parameters take %d bytes; the uwsgi protocol carries 65535" % len(block))
    return struct.pack("<BHB", 0, len(block), 0) + bytes(block)


def normal_path(path: str) -> str:
    """Decode and normalise a path as nginx does for ``$document_uri``: %XX, ``.``, ``..``, repeated slashes (merge_slashes on).

    Bytes that are not UTF-8 survive as surrogate escapes. Raises UwsgiError for a path that leaves the root.
    """
    decoded = unquote_to_bytes(path).decode("utf-8", "surrogateescape")
    parts: List[str] = []
    pieces = [piece for piece in decoded.split("/") if piece]
    for piece in pieces:
        if piece == "..":
            if not parts:
                raise UwsgiError("the path %r leaves the root" % path)
            parts.pop()
        elif piece != ".":
            parts.append(piece)
    directory = decoded.endswith("/") or (bool(pieces) and pieces[-1] in (".", ".."))
    return "/" + "/".join(parts) + ("/" if directory and parts else "")


def wsgi_params(method: str, target: str, host: str, headers: Union[Mapping[str, str], Iterable[Tuple[str, str]]] = (),
                body_length: int = 0, scheme: str = "http", remote_addr: str = "127.0.0.1",
                server_port: Optional[str] = None, document_root: str = "/usr/share/nginx/html") -> Dict[str, str]:
    """The parameters that nginx's stock ``uwsgi_params`` file and its header forwarding give for one request.

    ``target`` is the request target as on the wire, with its query string. A ``Host`` among ``headers`` is replaced by ``host``.
    """
    path, dummy, query = target.partition("?")
    pairs = list(headers.items()) if isinstance(headers, Mapping) else list(headers)
    merged: Dict[str, str] = {}
    for name, value in pairs:
        key = name.upper().replace("-", "_")
        glue = "; " if key == "COOKIE" else ", "
        merged[key] = merged[key] + glue + value if key in merged else value
    length = merged.pop("CONTENT_LENGTH", str(body_length) if body_length else "")
    content_type = merged.pop("CONTENT_TYPE", "")
    merged["HOST"] = host
    name, dummy, port = host.rpartition(":") if not host.endswith("]") and ":" in host else (host, "", "")
    params = {
        "QUERY_STRING": query,
        "REQUEST_METHOD": method,
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": length,
        "REQUEST_URI": target,
        "PATH_INFO": normal_path(path),
        "DOCUMENT_ROOT": document_root,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REQUEST_SCHEME": scheme,
    }
    if scheme == "https":
        params["HTTPS"] = "on"
    params.update({
        "REMOTE_ADDR": remote_addr,
        "REMOTE_PORT": "0",
        "SERVER_PORT": server_port or port or ("443" if scheme == "https" else "80"),
        "SERVER_NAME": name,
    })
    if content_type:
        params["HTTP_CONTENT_TYPE"] = content_type
    if length:
        params["HTTP_CONTENT_LENGTH"] = length
    params.update(("HTTP_" + key, value) for key, value in merged.items())
    return params


def parse_head(data: bytes) -> Tuple[int, str, Headers]:
    """Status, reason and headers of an answer's head: an HTTP status line, or CGI's ``Status:`` header, or neither (200)."""
    lines = data.decode("latin-1").replace("\r\n", "\n").split("\n")
    status, reason = 200, ""
    if lines and lines[0].startswith("HTTP/"):
        parts = lines.pop(0).split(" ", 2)
        if len(parts) < 2 or not parts[1].isdigit():
            raise UwsgiError("the answer begins with %r, which is no HTTP status line" % " ".join(parts)[:80])
        status, reason = int(parts[1]), parts[2] if len(parts) > 2 else ""
    headers: Headers = []
    for line in lines:
        if not line:
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise UwsgiError("the answer's head has a line that is no header: %r" % line[:80])
        if name.lower() == "status":
            code, dummy, reason = value.strip().partition(" ")
            if not code.isdigit():
                raise UwsgiError("the answer's Status header is %r" % value.strip()[:80])
            status = int(code)
        else:
            headers.append((name, value.strip()))
    return status, reason, headers


class _Exchange:
    """One request and its answer on one connection; sends and receives at once, so that neither side can block the other."""

    def __init__(self, address: str, sock: socket.socket, deadline: Deadline, limit: Optional[int]) -> None:
        self.address, self.sock, self.deadline, self.limit = address, sock, deadline, limit
        self.received = bytearray()
        self.head_end = -1
        self.body_start = -1
        self.pending = memoryview(b"")
        self.refused = False

    def _find_head(self) -> None:
        ends = [(at, at + len(mark)) for mark in (b"\r\n\r\n", b"\n\n") for at in (self.received.find(mark),) if at >= 0]
        if ends:
            self.head_end, self.body_start = min(ends)

    def _over_limit(self) -> bool:
        return self.limit is not None and self.body_start >= 0 and len(self.received) - self.body_start > self.limit

    def run(self, data: bytes) -> bool:
        """Exchange; true when the peer closed the connection, false when ``limit`` was reached."""
        self.pending = memoryview(data)
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ | selectors.EVENT_WRITE)
            while True:
                for dummy, events in selector.select(self.deadline.left()):
                    if events & selectors.EVENT_WRITE:
                        self._send()
                        if not self.pending:
                            selector.modify(self.sock, selectors.EVENT_READ)
                    if events & selectors.EVENT_READ and self._receive():
                        return True
                if self._over_limit():
                    return False

    def _send(self) -> None:
        try:
            self.pending = self.pending[self.sock.send(self.pending[:_CHUNK]):]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            self.refused = True  # an application may answer without reading the body; what it said is still to be read
            self.pending = self.pending[:0]

    def _receive(self) -> bool:
        try:
            data = self.sock.recv(_CHUNK)
        except BlockingIOError:
            return False
        except OSError as exc:
            if (self.refused or self.pending) and self.head_end >= 0:
                return True  # closing a socket with unread bytes in it resets the connection, after the answer
            raise UwsgiError("%s broke the connection after %d bytes: %s" % (self.address, len(self.received), exc.strerror)) from exc
        self.received += data
        if self.head_end < 0:
            self._find_head()
        return not data


def request(address: str, params: Mapping[str, str], body: bytes = b"", timeout: float = 10.0, limit: Optional[int] = None) -> Response:
    """Send one request to a uwsgi socket and return the answer.

    ``address`` is a UNIX socket's path (``@name`` for an abstract one) or HOST:PORT; ``timeout`` is in seconds and covers the whole
    exchange; ``limit`` stops reading after that many bytes of body (``complete`` is then false), for endless answers.
    Raises UwsgiConnectError, UwsgiTimeout, or UwsgiError (no answer, not HTTP, or shorter than its Content-Length).
    """
    return _answer(address, pack(params) + body, params.get("REQUEST_METHOD") == "HEAD", timeout, limit)


def http_packet(method: str, target: str, headers: Mapping[str, str]) -> bytes:
    """A request without a body as nginx sends it to a server behind it: HTTP/1.0, one for each connection."""
    lines = ["%s %s HTTP/1.0" % (method, target)] + ["%s: %s" % item for item in headers.items() if item[1]] + ["Connection: close", "", ""]
    return "\r\n".join(lines).encode("utf-8", "surrogateescape")


def http_request(address: str, method: str, target: str, headers: Mapping[str, str], timeout: float = 10.0, limit: Optional[int] = None) -> Response:
    """The same for a socket that speaks HTTP. ``target`` is the request target as on the wire."""
    return _answer(address, http_packet(method, target, headers), method == "HEAD", timeout, limit)


def _answer(address: str, data: bytes, head: bool, timeout: float, limit: Optional[int]) -> Response:
    deadline = Deadline(address, timeout)
    with connect(address, deadline) as sock:
        exchange = _Exchange(address, sock, deadline, limit)
        closed = exchange.run(data)
    if exchange.head_end < 0:
        said = bytes(exchange.received[:80])
        raise UwsgiError("%s closed the connection without an answer%s" % (address, " (%r)" % said if said else ""))
    status, reason, headers = parse_head(bytes(exchange.received[:exchange.head_end]))
    answer = bytes(exchange.received[exchange.body_start:])
    response = Response(status, reason, headers, answer if closed else answer[:limit], closed)
    promised = response.header("content-length")
    bodiless = head or status in _BODILESS
    if closed and not bodiless and promised and promised.isdigit() and len(answer) < int(promised):
        raise UwsgiError("%s closed the connection after %d of %s bytes" % (address, len(answer), promised))
    return response
