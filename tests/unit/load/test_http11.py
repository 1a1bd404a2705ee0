# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import asyncio
import socket
import struct
from typing import Any

import pytest
from http11 import (
    Client,
    RequestError,
    Response,
    build_request,
    cookies_of,
    framing,
    keeps_open,
    multipart,
    parse_address,
    parse_head,
    read_body,
)


def test_a_request_has_host_first_and_its_length() -> None:
    assert build_request("GET", "a.test", "/x?y=1", close=True).split(b"\r\n") == [
        b"GET /x?y=1 HTTP/1.1", b"Host: a.test", b"User-Agent: webstack-load", b"Connection: close", b"", b""]
    assert build_request("POST", "a.test", "/", {"X-A": "1"}, b"abc").endswith(b"X-A: 1\r\nContent-Length: 3\r\n\r\nabc")
    assert b"Content-Length: 0" in build_request("POST", "a.test", "/")


def test_a_head_is_parsed_with_repeated_headers() -> None:
    response = parse_head(b"HTTP/1.1 302 FOUND\r\nSet-Cookie: a=1; Path=/\r\nset-cookie:b=2;HttpOnly\r\nLocation: /c\r\n\r\n")
    assert response.status == 302
    assert response.get("location") == "/c"
    assert cookies_of([response]) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("head", [b"", b"\r\n\r\n", b"SSH-2.0 200 x\r\n\r\n", b"HTTP/1.1 twohundred OK\r\n\r\n", b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"])
def test_a_broken_head_is_a_protocol_error(head: Any) -> None:
    with pytest.raises(RequestError, match="protocol"):
        parse_head(head)


@pytest.mark.parametrize(("status", "headers", "method", "ends", "stays"), [
    (200, [("content-length", "5")], "GET", 5, True),
    (200, [("content-length", "5")], "HEAD", 0, True),
    (204, [], "GET", 0, True),
    (304, [("content-length", "5")], "GET", 0, True),
    (200, [("transfer-encoding", "chunked")], "GET", "chunked", True),
    (200, [], "GET", "close", False),
    (200, [("content-length", "5"), ("connection", "Close")], "GET", 5, False),
])
def test_framing(status: Any, headers: Any, method: Any, ends: Any, stays: Any) -> None:
    response = Response(status, headers)
    assert framing(response, method) == ends
    assert keeps_open(response, method) is stays


def test_a_bad_length_is_refused() -> None:
    with pytest.raises(RequestError, match="Content-Length"):
        framing(Response(200, [("content-length", "-1")]), "GET")


def body_of(ends: str | int, data: bytes) -> bytes:
    async def read() -> bytes:
        reader = asyncio.StreamReader()
        reader.feed_data(data)
        reader.feed_eof()
        return await read_body(reader, ends)
    return asyncio.run(read())


def test_bodies_are_read_to_their_end() -> None:
    assert body_of(3, b"abcdef") == b"abc"
    assert body_of("close", b"abcdef") == b"abcdef"
    assert body_of("chunked", b"3;ext=1\r\nabc\r\nA\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\nnext") == b"abc0123456789"


@pytest.mark.parametrize(("ends", "data"), [(3, b"ab"), ("chunked", b"3\r\nab"), ("chunked", b"3\r\nabc\r\n"), ("chunked", b"3\r\nabc\r\n0\r\n")])
def test_a_short_body_is_noticed(ends: Any, data: Any) -> None:
    with pytest.raises(asyncio.IncompleteReadError):
        body_of(ends, data)


def test_multipart_carries_fields_and_files() -> None:
    content_type, body = multipart({"a": "1"}, {"f": ("x.bin", "image/png", b"\0\r\n\xff")}, "BB")
    assert content_type == "multipart/form-data; boundary=BB"
    assert body == (b'--BB\r\nContent-Disposition: form-data; name="a"\r\n\r\n1\r\n'
                    b'--BB\r\nContent-Disposition: form-data; name="f"; filename="x.bin"\r\nContent-Type: image/png\r\n\r\n\0\r\n\xff\r\n--BB--\r\n')


def test_addresses() -> None:
    assert parse_address("10.0.0.1:8080") == ("10.0.0.1", 8080)
    assert parse_address("10.0.0.1") == ("10.0.0.1", 80)
    for bad in (":80", "a:b", "a:"):
        with pytest.raises(ValueError, match="HOST:PORT"):
            parse_address(bad)


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def against(answers: list[bytes | None], *calls: bool, seconds: float = 2.0) -> tuple[list[int | str], int]:
    """Ask a server that gives ``answers`` in turn and closes after one that is not whole (None: a reset, unanswered).

    ``calls`` are the ``keep`` of each request. Returns the statuses or kinds of error, and the number of connections.
    """
    connections = 0
    left = list(answers)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while left:
            try:
                await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            answer = left.pop(0)
            if answer is None:
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                break
            writer.write(answer)
            await writer.drain()
            if answer != OK:
                break
        writer.close()

    async def ask() -> list[int | str]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        client = Client(server.sockets[0].getsockname()[:2], seconds)
        got: list[int | str] = []
        for keep in calls:
            try:
                got.append((await client.request("GET", "a.test", "/", keep=keep)).status)
            except RequestError as exc:
                got.append(exc.kind)
            await asyncio.sleep(0.02)
        client.close()
        server.close()
        return got

    return asyncio.run(ask()), connections


def test_kept_connections_are_used_again_and_new_ones_are_not() -> None:
    assert against([OK] * 5, True, True, True, False, False) == ([200] * 5, 3)


def test_a_connection_that_the_server_closed_between_requests_is_not_used_again() -> None:
    closing = OK.replace(b"\r\n\r\n", b"\r\nX: 1\r\n\r\n")
    assert against([closing, OK], True, True) == ([200, 200], 2)


def test_resets_short_bodies_and_no_answer_are_failures_and_never_retried() -> None:
    got, connections = against([None, OK[:-1], b"", OK], True, True, True, True)
    assert got == ["reset", "closed", "closed", 200]
    assert connections == 4


def test_a_kept_connection_that_is_closed_in_the_moment_of_a_request_is_no_failure_but_what_has_begun_is() -> None:
    assert against([OK, None, OK], True, True) == ([200, 200], 2)
    assert against([OK, OK[:-1], OK], True, True, True) == ([200, "closed", 200], 2)
    assert against([OK, None, None, OK], True, True) == ([200, "reset"], 2)


def test_a_whole_answer_has_a_time_limit() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        await Client(server.sockets[0].getsockname()[:2], 0.05).request("GET", "a.test", "/")

    with pytest.raises(RequestError, match="timeout"):
        asyncio.run(ask())


def test_nobody_listening_is_a_failure_to_connect() -> None:
    with pytest.raises(RequestError, match="connect"):
        asyncio.run(Client(("127.0.0.1", 1), 1.0).request("GET", "a.test", "/"))


def test_old_and_much_used_connections_are_retired(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "MAX_REQUESTS", 2)
    assert against([OK] * 4, True, True, True, True) == ([200] * 4, 2)
    monkeypatch.setattr(Client, "MAX_IDLE", 0.0)
    assert against([OK] * 2, True, True) == ([200] * 2, 2)
