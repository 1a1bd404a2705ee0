"""A service as a container: options, mounts, network, name."""

from __future__ import annotations

import base64
import configparser
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _uwsgi_config
from ansible_collections.gantry.webstack.plugins.module_utils.move import _container_config as config

SERVICE = {
    "name": "shop",
    "uwsgi": {"options": {"plugins": "python3", "uid": "shop", "module": "shop:app", "processes": 2, "lazy-apps": True, "pythonpath": ["/a", "/b"],
                          "daemonize": "/var/log/shop.log", "touch-reload": "/srv/shop/wsgi.py", "vacuum": True}},
    "environment": {"B": "2", "A": "1%"},
    "state": [{"path": "/srv/shop/media"}],
    "files": [{"path": "/etc/shop.conf"}, {"path": "/gone"}],
    "secrets": [{"name": "key", "source": "file:/etc/shop/key"}, {"name": "TOKEN", "source": "uwsgi:/etc/shop.ini"}],
    "needs": [{"kind": "postgresql", "address": "unix:/run/postgresql/.s.PGSQL.5432"}],
}


def test_options_are_the_hosts_less_what_the_container_replaces() -> None:
    options = config.uwsgi_options(SERVICE, "/run/webstack/shop/a.sock")
    assert ("socket", "/run/webstack/shop/a.sock") in options
    assert [value for key, value in options if key == "pythonpath"] == ["/a", "/b"]
    assert ("lazy-apps", "true") in options
    assert not {"uid", "daemonize", "touch-reload", "vacuum"} & {key for key, dummy in options}
    assert options[-2:] == [("env", "A=1%"), ("env", "B=2")]


@pytest.mark.parametrize(("options", "container", "to_file"), [
    ({}, {}, False), ({"logto": "/x"}, {}, True), ({"daemonize": "/x"}, {}, True), ({"logger": ["syslog", "file:/x"]}, {}, True),
    ({"req-logger": "socket:/x"}, {}, False), ({"logto": "/x"}, {"log": "engine"}, False), ({}, {"log": "file"}, True),
])
def test_logs_go_to_a_file_as_on_the_host(options: "dict[str, object]", container: "dict[str, str]", to_file: bool) -> None:
    service = {"name": "shop", "uwsgi": {"options": options}, "container": container}
    assert config.logs_to_file(service) == to_file
    assert bool(config.log_options(service)) == bool(config.log_mounts(service)) == to_file


def test_every_dropped_option_has_a_reason() -> None:
    assert all(reason for reason in config.DROPPED.values())


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,8}", fullmatch=True),
                       st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="$@"), max_size=30)
                       | st.sampled_from(["$(HOME)", "a$(b", "%n$(x)%"]), max_size=4))
def test_uwsgi_reads_the_values_that_were_written(environment: dict[str, str]) -> None:
    text = config.ini([("env", f"{key}={value}") for key, value in environment.items()])
    read = _uwsgi_config.effective(["uwsgi", "--ini", "/x.ini"], "/", {"HOME": "/root"}, lambda path: text)
    assert _uwsgi_config.environment(read) == environment


def test_ini_has_one_section() -> None:
    parser = configparser.RawConfigParser(strict=False)
    parser.read_string(config.ini(config.uwsgi_options(SERVICE, "/a.sock")))
    assert parser.sections() == ["uwsgi"]


def test_mounts_are_state_writable_and_everything_else_read_only() -> None:
    found = config.mounts(SERVICE, "/var/lib/webstack/shop/a/uwsgi.ini", "/var/lib/webstack/shop/a/secrets.ini", lambda path: path != "/gone")
    assert {(mount.target, mount.read_only) for mount in found} == {
        ("/etc/webstack/uwsgi.ini", True), ("/etc/webstack/secrets.ini", True), ("/run/webstack/shop", False),
        ("/srv/shop/media", False), ("/etc/shop.conf", True), ("/etc/shop/key", True), ("/run/postgresql", True)}


@pytest.mark.parametrize(("addresses", "network"), [
    ([], "none"),
    (["unix:/run/redis/redis.sock"], "none"),
    (["127.0.0.1:6379"], "host"),
    (["[::1]:5432", "10.1.2.3:25"], "host"),
    (["10.1.2.3:5432"], "bridge"),
])
def test_network_by_evidence(addresses: list[str], network: str) -> None:
    assert config.network({"name": "shop", "needs": [{"kind": "x", "address": address} for address in addresses]}) == network


def test_the_same_input_is_the_same_container_and_a_new_secret_is_another() -> None:
    mounts = config.mounts(SERVICE, "a", None, lambda path: True)
    names = {config.slot("sha256:1", "[uwsgi]", secret, mounts, "none", {}) for secret in ("one", "one", "two")}
    assert len(names) == 2


@pytest.mark.parametrize(("listen", "net", "sysctls"), [
    (None, "none", {}),
    (1024, "none", {}),
    ("8192", "none", {"net.core.somaxconn": "8192"}),
    (8192, "host", {}),
    (8192, "bridge", {"net.core.somaxconn": "8192"}),
])
def test_a_long_queue_needs_the_kernels_leave(listen: object, net: str, sysctls: dict[str, str]) -> None:
    options = {} if listen is None else {"listen": listen}
    assert config.sysctls({"name": "shop", "uwsgi": {"options": options}}, net) == sysctls


@pytest.mark.parametrize(("options", "limit"), [({}, 512), ({"processes": 2, "threads": 8}, 512), ({"workers": 16, "threads": "64"}, 2368)])
def test_there_is_room_for_all_workers(options: dict[str, object], limit: int) -> None:
    assert config.pids_limit({"name": "shop", "uwsgi": {"options": options}}) == limit


def test_the_health_check_asks_what_the_candidate_was_asked() -> None:
    check = config.health_check({**SERVICE, "health": {"path": "/up", "status": 204, "host": "shop.test"}}, "/run/s.sock", "/usr/bin/python3")
    assert check["test"][:2] == ["CMD", "/usr/bin/python3"] and check["test"][6] == "/run/s.sock" and check["test"][8] == "204"
    packet = base64.b64decode(check["test"][7])
    assert b"HTTP_HOST" in packet and b"shop.test" in packet and b"/up" in packet


@pytest.mark.parametrize(("status", "code"), [(b"HTTP/1.1 200 OK\r\n\r\n", 0), (b"HTTP/1.1 500 No\r\n\r\n", 1), (b"", 1)])
def test_the_health_check_reads_the_status(tmp_path: Path, status: bytes, code: int) -> None:
    path = str(tmp_path / "s")
    check = config.health_check(SERVICE, path, sys.executable)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen(1)
        with subprocess.Popen(check["test"][1:]) as asking:
            peer = server.accept()[0]
            assert peer.recv(65536)
            peer.sendall(status)
            peer.close()
            assert asking.wait(10) == code


def test_the_health_check_asks_over_tcp_too() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(1)
        check = config.health_check(SERVICE, "127.0.0.1:%d" % server.getsockname()[1], sys.executable)
        with subprocess.Popen(check["test"][1:]) as asking:
            peer = server.accept()[0]
            assert peer.recv(65536)
            peer.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
            peer.close()
            assert asking.wait(10) == 0


def test_nobody_listening_is_not_healthy(tmp_path: Path) -> None:
    check = config.health_check(SERVICE, str(tmp_path / "none"), sys.executable)
    assert subprocess.run(check["test"][1:], check=False, capture_output=True).returncode == 1


def test_host_entries_of_others_only() -> None:
    text = "127.0.0.1 localhost\n10.1.2.3 db db.example.org # the database\n::1 localhost\nff02::1 ip6-allnodes\n10.9.9.9 db\n"
    assert config.host_entries(text, "bridge") == {"db": "10.1.2.3", "db.example.org": "10.1.2.3"}
    assert config.host_entries(text, "host") == config.host_entries(text, "none") == {}


def test_open_files_are_the_host_process_s() -> None:
    text = "Limit            Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files     \n"
    assert config.open_files(text, 1 << 20) == [{"name": "nofile", "soft": 1024, "hard": 524288}]
    assert config.open_files(text, 512) == [{"name": "nofile", "soft": 512, "hard": 512}]
    assert config.open_files("", 512) == []


def test_labels_tell_of_a_changed_definition() -> None:
    one, other = (config.labels({**SERVICE, "health": {"path": path}}, "sha256:1", "abc") for path in ("/", "/up"))
    assert one["gantry.webstack.plan"] != other["gantry.webstack.plan"] and one["gantry.webstack.image"] == "sha256:1"


def test_limits_of_the_plan() -> None:
    limits = {"memory": "512M", "pids": 64}
    limited = {**SERVICE, "container": limits}
    assert config.memory(limited) == {"mem_limit": "512m", "memswap_limit": "512m"} and config.pids_limit(limited) == 64
    assert config.memory(SERVICE) == {} and config.pids_limit(SERVICE) == config.PIDS
    same = [config.slot("i", "t", "", [], "none", given) for given in ({}, {}, limits)]
    assert same[0] == same[1] != same[2]


@pytest.mark.parametrize(("address", "options", "found"), [
    ("127.0.0.1:8000", {"http-socket": "127.0.0.1:8000"},
     [("http-socket", "/s"), ("route-run", "addvar:REMOTE_ADDR=127.0.0.1"), ("route-run", "addvar:SERVER_PORT=8000")]),
    (":8000", {"http": ":8000"}, [("http", "/s"), ("route-run", "addvar:REMOTE_ADDR=127.0.0.1"), ("route-run", "addvar:SERVER_PORT=8000")]),
    ("/run/a.sock", {"protocol": "http"}, [("socket", "/s")]),
])
def test_http_stays_http_on_a_unix_socket(address: str, options: dict[str, str], found: list[tuple[str, str]]) -> None:
    service = {"name": "shop", "uwsgi": {"protocol": "http", "socket": address, "options": options}}
    assert config.listening(service, "/s") == found
    written = config.uwsgi_options(service, "/s")
    assert [value for key, value in written if key in ("socket", "http", "http-socket")] == ["/s"]
