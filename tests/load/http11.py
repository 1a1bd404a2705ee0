# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A small HTTP/1.1 client that hides nothing: every connection, reset and short body is visible to its caller.

Message framing follows RFC 9112, section 6.3. Nothing is ever retried.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")
Address = tuple[str, int]


class RequestError(Exception):
    """A request without a whole answer; ``kind`` is connect, reset, closed, timeout or protocol."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(f"{kind}: {message}")
        self.kind, self.message = kind, message


@dataclass
class Response:
    """A whole answer. Header names are in lower case, in the order they came."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key == name]

    def get(self, name: str, default: str = "") -> str:
        values = self.all(name)
        return values[0] if values else default


def parse_address(text: str) -> Address:
    """``HOST:PORT`` or ``HOST`` (port 80)."""
    host, dummy, port = text.rpartition(":") if ":" in text else (text, "", "80")
    if not host or not port.isdigit():
        raise ValueError(f"{text!r} is not HOST:PORT")
    return host, int(port)


def build_request(method: str, host: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"",
                  close: bool = False) -> bytes:
    """The bytes of one request."""
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "User-Agent: webstack-load"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    if body or method in ("POST", "PUT"):
        lines.append(f"Content-Length: {len(body)}")
    if close:
        lines.append("Connection: close")
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


def parse_head(head: bytes) -> Response:
    """Status line and headers, up to and with the empty line; raises RequestError for anything else."""
    first, dummy, rest = head.partition(b"\r\n")
    parts = first.split(b" ", 2)
    if len(parts) < 2 or not parts[0].startswith(b"HTTP/1.") or not parts[1].isdigit():
        raise RequestError("protocol", f"bad status line {first[:80]!r}")
    headers = []
    for line in rest.split(b"\r\n"):
        if line:
            name, colon, value = line.partition(b":")
            if not colon:
                raise RequestError("protocol", f"bad header line {line[:80]!r}")
            headers.append((name.decode("latin-1").lower(), value.strip().decode("latin-1")))
    return Response(int(parts[1]), headers)


def framing(response: Response, method: str) -> str | int:
    """How the body ends: its length in bytes, ``chunked``, or ``close`` (when the server closes the connection)."""
    if method == "HEAD" or response.status in (204, 304) or response.status < 200:
        return 0
    if response.get("transfer-encoding").lower().endswith("chunked"):
        return "chunked"
    length = response.get("content-length")
    if not length:
        return "close"
    if not length.isdigit():
        raise RequestError("protocol", f"bad Content-Length {length!r}")
    return int(length)


def keeps_open(response: Response, method: str) -> bool:
    """Whether the connection may carry another request."""
    return response.get("connection").lower() != "close" and framing(response, method) != "close"


async def read_body(reader: asyncio.StreamReader, ends: str | int) -> bytes:
    """The body whose end ``framing`` has told."""
    if isinstance(ends, int):
        return await reader.readexactly(ends)
    if ends == "close":
        return await reader.read(-1)
    parts: list[bytes] = []
    while True:
        line = await reader.readuntil(b"\r\n")
        try:
            size = int(line.split(b";", 1)[0], 16)
        except ValueError as exc:
            raise RequestError("protocol", f"bad chunk size {line[:40]!r}") from exc
        if size == 0:
            while await reader.readuntil(b"\r\n") != b"\r\n":
                pass
            return b"".join(parts)
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)


async def _within(seconds: float, work: Awaitable[T]) -> T:
    """Wait for ``work``, and turn what can go wrong on a socket into a RequestError."""
    try:
        async with asyncio.timeout(seconds):
            return await work
    except TimeoutError as exc:
        raise RequestError("timeout", f"no whole answer within {seconds:g} s") from exc
    except asyncio.IncompleteReadError as exc:
        wanted = f" of {exc.expected}" if exc.expected else ""
        raise RequestError("closed", f"the server closed after {len(exc.partial)}{wanted} bytes") from exc
    except asyncio.LimitOverrunError as exc:
        raise RequestError("protocol", "the head is too long") from exc
    except OSError as exc:
        raise RequestError("reset", str(exc)) from exc


@dataclass
class Connection:
    """One TCP connection; ``used`` counts the requests it has carried."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    used: int = 0
    idle_since: float = field(default_factory=time.monotonic)
    open: bool = True
    answered: bool = False
    """Has the head of an answer to the last request come?"""

    async def exchange(self, method: str, request: bytes, seconds: float) -> Response:
        """Send one request and read its whole answer; raises RequestError, and the connection is then closed."""
        try:
            response = await _within(seconds, self._exchange(method, request))
        except BaseException:
            self.close()
            raise
        self.used += 1
        self.idle_since = time.monotonic()
        return response

    async def _exchange(self, method: str, request: bytes) -> Response:
        self.answered = False
        self.writer.write(request)
        await self.writer.drain()
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.answered = True
        response = parse_head(head)
        response.body = await read_body(self.reader, framing(response, method))
        if not keeps_open(response, method):
            self.close()
        return response

    def fit(self, requests: int, idle: float) -> bool:
        """Whether it may carry another request: still open on both sides, not used or idle for too long."""
        return (self.open and self.used < requests and time.monotonic() - self.idle_since < idle
                and not self.reader.at_eof() and not self.writer.is_closing())

    def close(self) -> None:
        self.open = False
        self.writer.close()


class Client:
    """Sends requests to one address, over a new connection each or over kept ones.

    A kept connection is retired well before nginx's defaults (1000 requests, 75 s idle) would close it. One that a reload of nginx closes in the very moment
    of a request is left to RFC 9112 (9.3.1): GET and HEAD are sent again over a new connection, once, when no answer has begun. ``again`` counts these.
    """

    MAX_REQUESTS = 500
    MAX_IDLE = 30.0

    def __init__(self, address: Address, seconds: float = 10.0) -> None:
        self.address = address
        self.seconds = seconds
        self.again = 0
        self._idle: list[Connection] = []

    async def request(self, method: str, host: str, target: str, headers: Mapping[str, str] | None = None, body: bytes = b"",
                      keep: bool = True) -> Response:
        """One request, one whole answer, or RequestError."""
        connection = (self._reuse() if keep else None) or await self._connect()
        request = build_request(method, host, target, headers, body, close=not keep)
        try:
            response = await connection.exchange(method, request, self.seconds)
        except RequestError as exc:
            if not connection.used or connection.answered or exc.kind not in ("reset", "closed") or method not in ("GET", "HEAD"):
                raise
            self.again += 1
            connection = await self._connect()
            response = await connection.exchange(method, request, self.seconds)
        if keep and connection.open:
            self._idle.append(connection)
        else:
            connection.close()
        self._retire()
        return response

    def _reuse(self) -> Connection | None:
        while self._idle:
            connection = self._idle.pop()
            if connection.fit(self.MAX_REQUESTS, self.MAX_IDLE):
                return connection
            connection.close()
        return None

    def _retire(self) -> None:
        """Close the kept connections that a burst has left behind; the list is in the order of last use."""
        while self._idle and not self._idle[0].fit(self.MAX_REQUESTS, self.MAX_IDLE):
            self._idle.pop(0).close()

    async def _connect(self) -> Connection:
        try:
            return Connection(*await _within(self.seconds, asyncio.open_connection(*self.address)))
        except RequestError as exc:
            raise RequestError("connect", exc.message) from exc

    def close(self) -> None:
        for connection in self._idle:
            connection.close()
        self._idle.clear()


def cookies_of(responses: Iterable[Response]) -> dict[str, str]:
    """Names and values of all Set-Cookie headers; the last one of a name counts."""
    jar = {}
    for response in responses:
        for line in response.all("set-cookie"):
            name, dummy, value = line.partition(";")[0].partition("=")
            jar[name.strip()] = value.strip()
    return jar


def multipart(fields: Mapping[str, str], files: Mapping[str, tuple[str, str, bytes]], boundary: str) -> tuple[str, bytes]:
    """Content-Type and body of a form (RFC 7578); ``files`` maps a field to (file name, media type, content)."""
    parts = []
    for name, value in fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, (filename, media_type, content) in files.items():
        head = (f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{filename}"\r\n'
                f"Content-Type: {media_type}\r\n\r\n")
        parts.append(head.encode() + content + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)
