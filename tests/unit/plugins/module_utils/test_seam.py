"""The seam: reading /proc/net/unix, taking a path over, coming back after a boot."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _proc
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _seam, _seams

# Recorded on Debian 12: a listener with one accepted connection and one that waits, one from nowhere, one in the abstract namespace.
PROC_NET_UNIX = """\
Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 27231 /run/uwsgi/shop/uwsgi.sock
0000000000000000: 00000003 00000000 00000000 0001 03 27500 /run/uwsgi/shop/uwsgi.sock
0000000000000000: 00000003 00000000 00000000 0001 02 27502 /run/uwsgi/shop/uwsgi.sock
0000000000000000: 00000003 00000000 00000000 0001 03 27499
0000000000000000: 00000002 00000000 00010000 0005 01 19120 /run/a path with spaces
0000000000000000: 00000002 00000000 00010000 0001 01 11522 @/tmp/dbus
"""


def test_listeners_and_open_requests_are_told_apart() -> None:
    sockets = _proc.parse_net_unix(PROC_NET_UNIX)
    assert [item.path for item in sockets if item.listening] == ["/run/uwsgi/shop/uwsgi.sock", "/run/a path with spaces", "@/tmp/dbus"]
    assert _seam.open_requests(sockets, ["/run/uwsgi/shop/uwsgi.sock"]) == 2
    assert _seam.listens(sockets, ["/run/a path with spaces"])
    assert not _seam.listens(sockets, ["/run/uwsgi/blog/uwsgi.sock"])


def listener(path: Path) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(str(path))
    sock.listen(128)
    return sock


def test_a_waiting_request_leads_nobody_to_its_server(tmp_path: Path) -> None:
    path = tmp_path / "seam.sock"
    with listener(path) as server, socket.socket(socket.AF_UNIX) as waiting, socket.socket(socket.AF_UNIX) as other:
        waiting.connect(str(path))
        assert _proc.Sockets().peer_path(os.fstat(other.fileno()).st_ino) == ""
        accepted = server.accept()[0]
        assert _proc.Sockets().peer_path(os.fstat(waiting.fileno()).st_ino) == str(path)
        accepted.close()


def test_the_kernel_shows_a_waiting_request_until_it_is_done(tmp_path: Path) -> None:
    path = tmp_path / "seam.sock"
    with listener(path) as server, socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        assert _seam.open_requests(_proc.unix_sockets(), [str(path)]) == 1
        accepted = server.accept()[0]
        assert _seam.open_requests(_proc.unix_sockets(), [str(path)]) == 1
        assert not _seam.drained(None, [str(path)], 0)
        accepted.close()
        assert _seam.drained(None, [str(path)], 1)


ELSEWHERE = "import socket, sys, time; s = socket.socket(socket.AF_UNIX); s.bind(sys.argv[1]); s.listen(); print(flush=True); time.sleep(60)"


def test_a_request_to_a_listener_in_another_network_namespace_counts(tmp_path: Path) -> None:
    path = tmp_path / "container.sock"
    with subprocess.Popen(["unshare", "--net", sys.executable, "-c", ELSEWHERE, str(path)], stdout=subprocess.PIPE) as container:
        try:
            assert container.stdout is not None
            if not container.stdout.readline():
                pytest.skip("this machine gives no network namespace")
            assert _seam.drained(container.pid, [str(path)], 0)
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(str(path))
                assert not _seam.drained(container.pid, [str(path)], 0)
        finally:
            container.kill()


def test_nobody_who_connects_while_the_seam_moves_is_refused(tmp_path: Path) -> None:
    seam, old, new = tmp_path / "seam.sock", listener(tmp_path / "seam.sock"), listener(tmp_path / "new.sock")
    failures: list[OSError] = []
    stop = threading.Event()

    def connect() -> None:
        while not stop.is_set():
            with socket.socket(socket.AF_UNIX) as client:
                try:
                    client.connect(str(seam))
                except OSError as exc:
                    failures.append(exc)

    def accept(server: socket.socket) -> None:
        while True:  # until the server is shut down: a connect() may wait for a place in the queue after stop is set
            try:
                server.accept()[0].close()
            except OSError:
                return

    workers = [threading.Thread(target=target, args=args) for target, args in ((connect, ()), (accept, (old,)), (accept, (new,)))]
    for worker in workers:
        worker.start()
    try:
        for dummy in range(50):
            _seam.link(str(seam), str(tmp_path / "new.sock"))
            _seam.link(str(seam), str(tmp_path / "new.sock"))
    finally:
        stop.set()
        workers[0].join()
        for server in (old, new):
            server.shutdown(socket.SHUT_RDWR)
            server.close()
    assert failures == []
    assert _seam.links_to(str(seam), str(tmp_path / "new.sock"))


def test_a_link_is_not_a_socket(tmp_path: Path) -> None:
    with listener(tmp_path / "a.sock"):
        _seam.link(str(tmp_path / "seam"), str(tmp_path / "a.sock"))
        assert _seam.is_socket(str(tmp_path / "a.sock"))
        assert not _seam.is_socket(str(tmp_path / "seam"))
        assert _seam.is_link(str(tmp_path / "seam"))


def test_boot_rules_make_directories_before_the_link(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o2750)
    info = os.stat(tmp_path)
    rules = _seam.tmpfiles_rules("/run/uwsgi/shop/uwsgi.sock", "/run/webstack/shop", "/run/webstack/shop/a.sock", 2001, 33, {"/run/uwsgi/shop": info})
    assert rules.splitlines()[1:] == [
        "d /run/webstack 0755 root root -",
        "d /run/webstack/shop 2750 2001 33 -",
        f"d /run/uwsgi/shop 2750 {info.st_uid} {info.st_gid} -",
        "L+ /run/uwsgi/shop/uwsgi.sock - - - - /run/webstack/shop/a.sock",
    ]


@pytest.mark.parametrize(("seam", "directories"), [
    ("/run/uwsgi/app/shop/socket", ["/run/uwsgi", "/run/uwsgi/app", "/run/uwsgi/app/shop"]),
    ("/run/shop.sock", []),
    ("/srv/shop/shop.sock", []),
])
def test_only_directories_on_run_are_made_again(seam: str, directories: list[str]) -> None:
    assert _seam.directories_on_run(seam) == directories


def test_waiting_in_vain_says_for_what() -> None:
    with pytest.raises(WebstackError, match="service shop: the host's instance did not end within 0 s"):
        _seam.wait_for("service shop: the host's instance did not end", lambda: False, 0)


def test_the_host_gets_a_shared_seam_back_by_one_rename(tmp_path: Path) -> None:
    path = str(tmp_path / "uwsgi.sock")
    seam = _seams.SocketSeam("shop", path)
    with listener(tmp_path / "uwsgi.sock"), listener(tmp_path / "container.sock"):
        inode = os.stat(path).st_ino
        seam.keep()
        for target, found in ((str(tmp_path / "container.sock"), False), (seam.way_back, True)):
            seam.turn(target)
            assert seam.lies_on(target) and (os.stat(path).st_ino == inode) is found
            assert seam.host_is_up() and seam.lies_on_container()
        seam.keep()  # a second run in the middle of it
        seam.give_back()
        assert os.lstat(path).st_ino == inode and not os.path.lexists(seam.way_back)


def test_a_host_that_is_set_aside_has_one_name_only(tmp_path: Path) -> None:
    seam = _seams.SocketSeam("shop", str(tmp_path / "uwsgi.sock"))
    with listener(tmp_path / "uwsgi.sock"):
        seam.keep()
        seam.take(str(tmp_path / "container.sock"))
        seam.unkeep()
        seam.unkeep()
        assert not os.path.lexists(seam.way_back) and not seam.host_is_up()
