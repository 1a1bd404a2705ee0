# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The uwsgi client: its packets by an independent reader, its answers from a real socket."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from pathlib import Path
from typing import Callable, Dict, Iterator, Tuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common import _connection
from ansible_collections.gantry.webstack.plugins.module_utils.common import _uwsgi_client as client

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)


def unpack(data: bytes) -> Tuple[Dict[str, str], bytes]:
    """The protocol as its documentation tells it."""
    modifier1, size, modifier2 = struct.unpack("<BHB", data[:4])
    assert (modifier1, modifier2) == (0, 0)
    block, at = data[4:4 + size], 0
    texts = []
    while at < len(block):
        (length,) = struct.unpack("<H", block[at:at + 2])
        texts.append(block[at + 2:at + 2 + length].decode("utf-8"))
        at += 2 + length
    return dict(zip(texts[::2], texts[1::2])), data[4 + size:]


@given(st.dictionaries(TEXT, TEXT, max_size=20))
def test_packets(params: Dict[str, str]) -> None:
    assert unpack(client.pack(params)) == (params, b"")


def test_packets_have_a_limit() -> None:
    with pytest.raises(client.UwsgiError, match="HTTP_COOKIE is longer than the uwsgi protocol's 65535"):
        client.pack({"HTTP_COOKIE": "x" * 65536})
    with pytest.raises(client.UwsgiError, match="carries 65535"):
        client.pack({str(number): "x" * 30000 for number in range(3)})


@pytest.mark.parametrize(("path", "normal"), [
    ("/", "/"), ("", "/"), ("/a/./b", "/a/b"), ("//a///b/", "/a/b/"), ("/a/b/..", "/a/"), ("/a/b/../c", "/a/c"), ("/a/.", "/a/"),
    ("/%61%2Fb", "/a/b"), ("/%C3%A9", "/é"), ("/%FF", "/\udcff"), ("/a%20b", "/a b"),
])
def test_paths_as_nginx_makes_them(path: str, normal: str) -> None:
    assert client.normal_path(path) == normal


def test_a_path_cannot_leave_the_root() -> None:
    with pytest.raises(client.UwsgiError, match="leaves the root"):
        client.normal_path("/a/../../b")


def test_params() -> None:
    headers = [("Cookie", "a=1"), ("cookie", "b=2"), ("Accept", "x"), ("ACCEPT", "y"), ("Host", "no"), ("Content-Type", "t/p")]
    params = client.wsgi_params("POST", "/a%20b?x=%20", "h.test:8080", headers, body_length=3, scheme="https")
    assert params["PATH_INFO"] == "/a b"
    assert (params["REQUEST_URI"], params["QUERY_STRING"]) == ("/a%20b?x=%20", "x=%20")
    assert (params["SERVER_NAME"], params["SERVER_PORT"], params["HTTP_HOST"]) == ("h.test", "8080", "h.test:8080")
    assert (params["HTTP_COOKIE"], params["HTTP_ACCEPT"]) == ("a=1; b=2", "x, y")
    assert (params["CONTENT_LENGTH"], params["CONTENT_TYPE"], params["HTTPS"], params["REQUEST_SCHEME"]) == ("3", "t/p", "on", "https")
    assert "HTTPS" not in client.wsgi_params("GET", "/", "h")
    assert client.wsgi_params("GET", "/", "[::1]")["SERVER_NAME"] == "[::1]"


@pytest.mark.parametrize(("head", "parsed"), [
    (b"HTTP/1.1 404 Not Found\r\nA: 1\r\nA: 2", (404, "Not Found", [("A", "1"), ("A", "2")])),
    (b"HTTP/1.0 200\r\n", (200, "", [])),
    (b"Status: 302 Found\nLocation: /x", (302, "Found", [("Location", "/x")])),
    (b"X-Y:  padded ", (200, "", [("X-Y", "padded")])),
])
def test_heads(head: bytes, parsed: Tuple[int, str, client.Headers]) -> None:
    assert client.parse_head(head) == parsed


@pytest.mark.parametrize("head", [b"HTTP/1.1 abc", b"no header at all", b"Status: x"])
def test_heads_that_are_none(head: bytes) -> None:
    with pytest.raises(client.UwsgiError):
        client.parse_head(head)


@contextlib.contextmanager
def serving(path: Path, answer: Callable[[socket.socket], None]) -> Iterator[str]:
    """A server for one connection."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def run() -> None:
            with contextlib.suppress(OSError):
                peer, dummy = server.accept()
                with peer:
                    answer(peer)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield str(path)
    thread.join(5)


def read_request(peer: socket.socket, body: int = 0) -> Tuple[Dict[str, str], bytes]:
    data = peer.recv(4, socket.MSG_WAITALL)
    wanted = struct.unpack("<BHB", data)[1] + body
    return unpack(data + peer.recv(wanted, socket.MSG_WAITALL))


PARAMS = client.wsgi_params("GET", "/", "h.test")


def test_a_request_and_its_answer(tmp_path: Path) -> None:
    seen = []

    def answer(peer: socket.socket) -> None:
        seen.append(read_request(peer, 300000))
        peer.sendall(b"HTTP/1.1 200 OK\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n" + b"x" * 300000)

    with serving(tmp_path / "s", answer) as address:
        response = client.request(address, PARAMS, b"y" * 300000)
    assert seen == [(PARAMS, b"y" * 300000)]
    assert response == client.Response(200, "OK", [("Set-Cookie", "a"), ("Set-Cookie", "b")], b"x" * 300000, True)
    assert response.header("set-cookie") == "a"


def test_an_answer_that_does_not_wait_for_the_body(tmp_path: Path) -> None:
    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 413 Too Large\r\n\r\nno")

    with serving(tmp_path / "s", answer) as address:
        assert client.request(address, PARAMS, b"y" * 10_000_000)[:2] == (413, "Too Large")


def test_an_endless_answer_is_cut_at_the_limit(tmp_path: Path) -> None:
    def answer(peer: socket.socket) -> None:
        peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            peer.sendall(b"x" * 1000)

    with serving(tmp_path / "s", answer) as address:
        response = client.request(address, PARAMS, limit=2500)
    assert (response.body, response.complete) == (b"x" * 2500, False)


@pytest.mark.parametrize(("said", "message"), [
    (b"", "closed the connection without an answer"),
    (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", "after 5 of 10 bytes"),
])
def test_answers_that_stop(tmp_path: Path, said: bytes, message: str) -> None:
    def answer(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(said)

    with serving(tmp_path / "s", answer) as address, pytest.raises(client.UwsgiError, match=message):
        client.request(address, PARAMS)


def test_a_head_request_has_no_body(tmp_path: Path) -> None:
    def answer(peer: socket.socket) -> None:
        read_request(peer)
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")

    with serving(tmp_path / "s", answer) as address:
        assert client.request(address, dict(PARAMS, REQUEST_METHOD="HEAD")).status == 200


def test_silence(tmp_path: Path) -> None:
    waiting = threading.Event()

    def answer(peer: socket.socket) -> None:
        waiting.wait(5)

    with serving(tmp_path / "s", answer) as address:
        with pytest.raises(_connection.UwsgiTimeout, match=r"no complete answer within 0\.2 seconds"):
            client.request(address, PARAMS, timeout=0.2)
        waiting.set()


def test_nobody_there(tmp_path: Path) -> None:
    with pytest.raises(_connection.UwsgiConnectError, match="accepts no connection: No such file"):
        client.request(str(tmp_path / "none"), PARAMS)
    with pytest.raises(client.UwsgiError, match="neither a UNIX socket's path nor HOST:PORT"):
        client.request("nonsense", PARAMS)
    assert not _connection.is_listening(str(tmp_path / "none"))
