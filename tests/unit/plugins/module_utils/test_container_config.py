"""A service as a container: options, mounts, network, name."""

from __future__ import annotations

import configparser

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


def test_every_dropped_option_has_a_reason() -> None:
    assert all(reason for reason in config.DROPPED.values())


@given(st.dictionaries(st.from_regex(r"[A-Z]{1,8}", fullmatch=True),
                       st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="$@"), max_size=30), max_size=4))
def test_uwsgi_reads_the_values_that_were_written(environment: dict[str, str]) -> None:
    text = config.ini([("env", f"{key}={value}") for key, value in environment.items()])
    read = _uwsgi_config.effective(["uwsgi", "--ini", "/x.ini"], "/", {}, lambda path: text)
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
    names = {config.slot("sha256:1", "[uwsgi]", secret, mounts, "none") for secret in ("one", "one", "two")}
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
