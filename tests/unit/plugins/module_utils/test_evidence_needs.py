# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service talks to, from texts, calls and settings, against listeners."""

from __future__ import annotations

from typing import Any, Dict, List, Tuple
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Tcp
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_needs, _evidence_source


@pytest.mark.parametrize(("text", "found"), [
    ("postgresql+psycopg2://u:p@db.corp:6000/x", [("postgresql", "db.corp:6000")]), ("redis://:p@[::1]/0", [("redis", "[::1]:6379")]),
    ("postgresql:///shop", [("postgresql", "unix:/run/postgresql/.s.PGSQL.5432")]),
    ("postgresql://u@/shop?host=/run/pg", [("postgresql", "unix:/run/pg/.s.PGSQL.5432")]),
    ("mysql+pymysql://u@localhost/x?unix_socket=/run/m.sock", [("mysql", "unix:/run/m.sock")]),
    ("redis+socket:///run/redis.sock", [("redis", "unix:/run/redis.sock")]), ("unix:///run/redis/redis.sock", [("redis", "unix:/run/redis/redis.sock")]),
    ("amqp://guest:guest@mq//", [("rabbitmq", "mq:5672")]), ("mongodb://a:1,b:2/x", [("mongodb", "a:1"), ("mongodb", "b:2")]),
    ("host=/run/pg dbname=x port=5433", [("postgresql", "unix:/run/pg/.s.PGSQL.5433")]), ("dbname=x", [("postgresql", "unix:/run/postgresql/.s.PGSQL.5432")]),
    ("http://user:p@localhost:8001/3.1", [("http", "localhost:8001")]), ("http://localhost/lists/", []), ("https://api.corp:8443/", []),
    ("https://example.org/redis", []), ("sqlite:////srv/x", []), ("postgresql://[broken", []),
])
def test_texts(text: str, found: List[Tuple[str, str]]) -> None:
    assert _evidence_needs.of_text(text) == found


@pytest.mark.parametrize(("code", "found"), [
    ('psycopg2.connect(host="db", dbname="x")', [("postgresql", "db:5432")]),
    ('psycopg2.connect(dbname="x")', [("postgresql", "unix:/run/postgresql/.s.PGSQL.5432")]),
    ('pymysql.connect(unix_socket="/run/m.sock")', [("mysql", "unix:/run/m.sock")]), ("redis.Redis()", [("redis", "localhost:6379")]),
    ('redis.Redis("r", 6380)', [("redis", "r:6380")]), ('redis.StrictRedis(unix_socket_path="/run/r.sock")', [("redis", "unix:/run/r.sock")]),
    ('memcache.Client(["10.0.0.1:11211", "unix:/run/mc.sock"])', [("memcached", "10.0.0.1:11211"), ("memcached", "unix:/run/mc.sock")]),
    ('pika.ConnectionParameters("mq")', [("rabbitmq", "mq:5672")]), ('smtplib.SMTP("localhost", 587)', [("smtp", "localhost:587")]),
    ('D = {"ENGINE": "django.db.backends.mysql", "NAME": "x", "HOST": "127.0.0.1", "PORT": 3307}', [("mysql", "127.0.0.1:3307")]),
    ('D = {"ENGINE": "django.db.backends.postgresql", "NAME": "x"}', [("postgresql", "unix:/run/postgresql/.s.PGSQL.5432")]),
    ('D = {"BACKEND": "django.core.cache.backends.memcached.PyMemcacheCache", "LOCATION": "127.0.0.1:11211"}', [("memcached", "127.0.0.1:11211")]),
    ('D = {"ENGINE": "django.db.backends.sqlite3", "NAME": "x"}', []), ('connect("x")', []), ('hub.connect(host="x")', []),
])
def test_code(code: str, found: List[Tuple[str, str]]) -> None:
    assert [item[:2] for item in _evidence_source.read(code.encode(), "/a.py").talks] == found


@pytest.mark.parametrize(("settings", "found"), [
    ({"PGHOST": "/run/postgresql", "PGPORT": "5433"}, [("postgresql", "unix:/run/postgresql/.s.PGSQL.5433")]),
    ({"DB_HOST": "db", "DB_PORT": "3306"}, [("mysql", "db:3306")]), ({"DB_HOST": "db", "DB_ENGINE": "postgres"}, [("postgresql", "db:5432")]),
    ({"MAIL_SERVER": "mail.corp"}, [("smtp", "mail.corp:25")]), ({"REDIS_HOST": "r:6380"}, [("redis", "r:6380")]),
    ({"DB_HOST": "db"}, []), ({"ALLOWED_HOST": "x"}, []), ({"CELERY_BROKER_URL": "amqp://mq"}, [("rabbitmq", "mq:5672")]),
])
def test_settings(settings: Dict[str, str], found: List[Tuple[str, str]]) -> None:
    assert _evidence_needs.of_settings(settings) == found


def local(tcp: Dict[int, str], unix: Dict[int, str], names: Dict[int, str]) -> _evidence_needs.Local:
    sockets: Any = MagicMock(tcp={inode: Tcp(address, "0.0.0.0:0", True) for inode, address in tcp.items()}, unix_listening=unix)
    table: Any = {inode: MagicMock(unit=name + ".service", exe="/usr/bin/" + name) for inode, name in names.items()}
    for inode, name in names.items():
        table[inode].name = name
    return _evidence_needs.Local(sockets, {inode: {inode} for inode in names}, table)


def test_which_local_process() -> None:
    here = local({1: "0.0.0.0:5432", 2: "[::1]:25"}, {3: "/run/mysqld/mysqld.sock"}, {1: "postgres", 2: "master", 3: "mariadbd"})
    found = _evidence_needs.needs([("redis", "10.0.0.9:6379")], [("postgresql", "localhost:5432"), ("mysql", "localhost:3306")],
                                  [("smtp", "localhost:25"), ("redis", "localhost:6379"), ("postgresql", "db.corp:5432"), ("mysql", "db.example.org:3306"),
                                   ("tcp", "127.0.0.1:5432")], here)
    assert found == [
        {"kind": "mysql", "address": "unix:/run/mysqld/mysqld.sock", "process": "mariadbd", "unit": "mariadbd.service"},
        {"kind": "postgresql", "address": "127.0.0.1:5432", "process": "postgres", "unit": "postgres.service"},
        {"kind": "postgresql", "address": "db.corp:5432"}, {"kind": "redis", "address": "10.0.0.9:6379"},
        {"kind": "smtp", "address": "[::1]:25", "process": "master", "unit": "master.service"}]


def test_a_url_of_this_host_is_a_need_where_another_program_answers() -> None:
    here = local({1: "127.0.0.1:8001", 2: "0.0.0.0:8080"}, {}, {1: "runner", 2: "nginx"})
    urls = [("http", "localhost:%d" % port) for port in (8001, 8080, 9000)]
    expected = [{"kind": "http", "address": "127.0.0.1:8001", "process": "runner", "unit": "runner.service"}]
    assert _evidence_needs.needs([], urls, [], here) == _evidence_needs.needs([], [], urls, here) == expected
    assert _evidence_needs.needs([("http", "10.0.0.9:80")], [], [], here) == [{"kind": "http", "address": "10.0.0.9:80"}]


def test_who_uses_a_listener() -> None:
    tcp = {1: Tcp("0.0.0.0:5432", "0.0.0.0:0", True), 2: Tcp("127.0.0.1:5432", "127.0.0.1:40000", False), 3: Tcp("127.0.0.1:40000", "127.0.0.1:5432", False),
           4: Tcp("10.0.0.1:5432", "10.0.0.7:50000", False), 5: Tcp("10.0.0.1:5432", "0.0.0.0:0", True)}
    sockets: Any = MagicMock(tcp=tcp, unix={}, peers={})
    process: Any = MagicMock(unit="shop.service")
    found = _evidence_needs.clients(sockets, {3: {30}}, {30: process})
    assert found == {"0.0.0.0:5432": ["shop.service"], "10.0.0.1:5432": ["other hosts"]}


def test_a_connection_of_a_process_with_itself_is_no_need() -> None:
    ends = {1: Tcp("127.0.0.1:40001", "127.0.0.1:40002", False), 2: Tcp("127.0.0.1:40002", "127.0.0.1:40001", False),
            3: Tcp("127.0.0.1:40003", "10.0.0.9:5672", False)}
    sockets: Any = MagicMock(tcp=ends, unix_listening={})
    sockets.peer_path.return_value = ""
    process: Any = MagicMock(inodes={1, 2, 3})
    assert _evidence_needs.connections([process], sockets, {}, {}) == [("rabbitmq", "10.0.0.9:5672")]
