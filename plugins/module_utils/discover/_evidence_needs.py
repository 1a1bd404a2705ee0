# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service talks to: by its connections, by URLs and settings, by the calls of the usual client libraries; and which local process answers there.

Sources: libpq (connection strings), Django (DATABASES, CACHES), SQLAlchemy (database URLs), redis-py, pymysql, pika, pymemcache, smtplib.
"""

from __future__ import annotations

import os
import re
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union
from urllib.parse import parse_qs, unquote, urlsplit

from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process, Sockets

KINDS = {"postgres": "postgresql", "pgbouncer": "postgresql", "redis-server": "redis", "valkey-server": "redis", "keydb-server": "redis", "mysqld": "mysql",
         "mariadbd": "mysql", "memcached": "memcached", "beam.smp": "rabbitmq", "master": "smtp", "exim4": "smtp", "smtpd": "smtp", "mongod": "mongodb",
         "slapd": "ldap"}
"""What a listener is, by the name of its process."""
PORTS = {5432: "postgresql", 6432: "postgresql", 6379: "redis", 3306: "mysql", 11211: "memcached", 5672: "rabbitmq", 5671: "rabbitmq", 25: "smtp", 587: "smtp",
         465: "smtp", 27017: "mongodb", 389: "ldap", 636: "ldap", 443: "https", 80: "http", 53: "dns", 9200: "elasticsearch", 9092: "kafka"}
DEFAULTS = {"postgresql": 5432, "mysql": 3306, "redis": 6379, "rabbitmq": 5672, "mongodb": 27017, "smtp": 25, "memcached": 11211, "ldap": 389}
_SCHEMES = {"postgres": "postgresql", "postgresql": "postgresql", "postgis": "postgresql", "pgsql": "postgresql", "mysql": "mysql", "mysql2": "mysql",
            "mariadb": "mysql", "redis": "redis", "rediss": "redis", "valkey": "redis", "amqp": "rabbitmq", "amqps": "rabbitmq", "pyamqp": "rabbitmq",
            "mongodb": "mongodb", "smtp": "smtp", "smtps": "smtp", "submission": "smtp", "memcached": "memcached", "memcache": "memcached", "ldap": "ldap",
            "ldaps": "ldap", "http": "http", "https": "http"}
_NEVER = ("/run/systemd/", "/run/dbus/", "/var/run/dbus/", "/run/nscd/", "/var/run/nscd/", "/dev/log", "/run/user/")
_URL = re.compile(r"\b([a-z][a-z0-9]*)(?:\+[a-z0-9_]+)?://[^\s\"'<>;)]*", re.IGNORECASE)
_DSN = re.compile(r"(?:^|\s)(?:dbname|user)\s*=")
_NAMES = (("postgres|^pg|pgsql", "postgresql"), ("mysql|maria", "mysql"), ("redis|valkey", "redis"), ("memcache", "memcached"),
          ("rabbit|amqp", "rabbitmq"), ("smtp|mail|email", "smtp"), ("ldap", "ldap"), ("mongo", "mongodb"))
_CALLS = {"Redis": "redis", "StrictRedis": "redis", "ConnectionPool": "redis", "ConnectionParameters": "rabbitmq", "SMTP": "smtp", "SMTP_SSL": "smtp",
          "MongoClient": "mongodb"}
_MODULES = {"psycopg2": "postgresql", "psycopg": "postgresql", "asyncpg": "postgresql", "pymysql": "mysql", "MySQLdb": "mysql", "aiomysql": "mysql",
            "mariadb": "mysql", "connector": "mysql", "redis": "redis", "aioredis": "redis", "memcache": "memcached", "pylibmc": "memcached",
            "pymemcache": "memcached", "pika": "rabbitmq", "smtplib": "smtp", "ldap": "ldap", "pymongo": "mongodb"}
_CONNECT = {"connect", "create_pool", "Client", "PooledClient", "HashClient", "initialize", "Connect", "Connection"}
_LOCAL = ("localhost", "127.0.0.1", "::1", "0.0.0.0", "")
_NOBODYS = re.compile(r"(^|\.)example\.(com|org|net)$|\.(test|invalid|localhost)$")
"""Names for examples (RFC 2606)."""
_MYSQL_SOCKETS = ("/run/mysqld/mysqld.sock", "/var/run/mysqld/mysqld.sock")

Found = List[Tuple[str, str]]
Plain = Union[str, List[str]]


class Listener(NamedTuple):
    """A local process that listens."""

    process: str
    unit: str


def of_text(text: str) -> Found:
    """(kind, address) in a text: URLs of databases, brokers, mail servers and this host's own interfaces, and connection strings of libpq."""
    found: Found = []
    if "://" in text:
        for match in _URL.finditer(text):
            kind = _SCHEMES.get(match.group(1).lower())
            if kind:
                found += [(kind, address) for address in _of_url(kind, match.group(0).rstrip(",."))]
            elif match.group(1).lower() in ("unix", "redis+socket") and re.search(r"redis", text):
                found.append(("redis", "unix:" + urlsplit(match.group(0)).path))
    elif _DSN.search(text) and len(text) < 1000:
        words = dict(re.findall(r"(\w+)\s*=\s*('[^']*'|\S+)", text))
        if "host" in words or "dbname" in words:
            found.append(("postgresql", _address("postgresql", words.get("host", "").strip("'"), words.get("port", "").strip("'"))))
    return found


def _of_url(kind: str, text: str) -> List[str]:
    try:
        url = urlsplit(text)
        query = parse_qs(url.query)
        for name in ("unix_socket", "host", "unix_sock"):
            if query.get(name, [""])[0].startswith("/"):
                return [_address(kind, query[name][0], str(url.port or ""))]
        if kind == "http" and (url.hostname not in _LOCAL or not url.port):
            return []  # the web, or its own public address
        hosts = url.netloc.rpartition("@")[2]
        if "," in hosts:  # several servers (MongoDB, libpq)
            return [_address(kind, *_split(item)) for item in hosts.split(",") if item]
        if "+socket" in url.scheme or url.scheme == "unix":
            return ["unix:" + url.path]
        if not url.hostname and kind not in ("postgresql", "mysql"):
            return []
        return [_address(kind, unquote(url.hostname or ""), str(url.port or ""))]
    except ValueError:
        return []


def _split(item: str) -> Tuple[str, str]:
    host, colon, port = item.rpartition(":")
    return (host, port) if colon and port.isdigit() else (item, "")


def _address(kind: str, host: str, port: str) -> str:
    """``HOST:PORT`` or ``unix:PATH`` as the client library understands host and port."""
    number = int(port) if port.isdigit() else DEFAULTS.get(kind, 0)
    if host.startswith("/") and kind == "postgresql" and not os.path.basename(host).startswith(".s."):
        return "unix:%s/.s.PGSQL.%d" % (host.rstrip("/"), number)
    if host.startswith("/"):
        return "unix:" + host
    if not host and kind == "postgresql":
        return "unix:/run/postgresql/.s.PGSQL.%d" % number
    host = "localhost" if not host else host
    return "%s:%d" % ("[%s]" % host if ":" in host and not host.startswith("[") else host, number)


def of_call(owner: str, name: str, arguments: Sequence[Optional[Plain]], keywords: Mapping[str, Plain]) -> Found:
    """(kind, address) of a call such as ``psycopg2.connect(host="db")`` or ``Client(["10.0.0.1:11211"])``."""
    kind = _CALLS.get(name) or (_MODULES.get(owner) if name in _CONNECT else None)
    if kind is None:
        return []
    first = arguments[0] if arguments else None
    if isinstance(first, str) and ("://" in first or _DSN.search(first)):
        return []  # the text tells
    paths = [keywords.get(key) for key in ("unix_socket", "unix_socket_path", "path")]
    path = next((value for value in paths if isinstance(value, str) and value.startswith("/")), None)
    if path:
        return [(kind, "unix:" + path)]
    if kind == "memcached":
        servers = first if first is not None else keywords.get("servers") or keywords.get("server")
        return [(kind, _server(item)) for item in (servers if isinstance(servers, list) else [servers] if servers else [])]
    host = keywords.get("host", first if kind in ("redis", "rabbitmq", "smtp", "mysql", "mongodb") else None)
    port = keywords.get("port", arguments[1] if len(arguments) > 1 and kind in ("redis", "rabbitmq", "smtp", "mongodb") else None)
    if not isinstance(host, str):
        asked = kind in ("redis", "smtp") and not arguments and not keywords or "dbname" in keywords or "database" in keywords
        return [(kind, _address(kind, "localhost" if kind != "postgresql" else "", port if isinstance(port, str) else ""))] if asked else []
    return [(kind, _address(kind, host, port if isinstance(port, str) else ""))]


def _server(item: str) -> str:
    item = re.sub(r"^(unix|inet):", "", item)
    return "unix:" + item if item.startswith("/") else _address("memcached", *_split(item))


def of_mapping(items: Mapping[str, Plain]) -> Found:
    """(kind, address) of a mapping as Django's DATABASES and CACHES have them, or of keyword arguments with a driver."""
    engine = next((str(items[key]) for key in ("ENGINE", "BACKEND", "engine", "drivername", "dialect") if key in items), "").lower()
    kind = next((kind for pattern, kind in (("postg", "postgresql"), ("mysql|maria", "mysql"), ("redis", "redis"), ("memcache|pylibmc", "memcached"))
                 if re.search(pattern, engine)), None)
    if kind is None:
        return []
    place = items.get("LOCATION")
    if place:
        places = place if isinstance(place, list) else [item for item in re.split(r"[,;]", place) if item]
        return [(kind, _server(item)) for item in places if "://" not in item] if kind == "memcached" else []
    if "HOST" not in items and "host" not in items and not {"NAME", "USER", "database"} & set(items):
        return []
    host, port = items.get("HOST", items.get("host", "")), items.get("PORT", items.get("port", ""))
    return [(kind, _address(kind, host, str(port)))] if isinstance(host, str) else []


def of_settings(settings: Mapping[str, str]) -> Found:
    """(kind, address) of settings that belong together by name: ``PGHOST`` and ``PGPORT``, ``mail_server``, ``REDIS_URL``."""
    found: Found = []
    for key, value in settings.items():
        found += of_text(value)
        match = re.fullmatch(r"(?i)(.*?)[_.-]?(host(name)?|server|addr(ess)?|socket|unix_socket)", key)
        if not match or not value or "://" in value or not re.fullmatch(r"[\w./:\[\]-]+", value):
            continue
        base = match.group(1)
        kind = next((kind for pattern, kind in _NAMES if re.search(pattern, base, re.IGNORECASE)), None)
        port = next((settings[name] for name in settings if re.fullmatch(r"(?i)%s[_.-]?port" % re.escape(base), name)), "")
        if kind is None and re.search(r"(?i)(^|[_.-])(db|database|sql)$", base):
            engine = next((settings[name] for name in settings if re.fullmatch(r"(?i)%s[_.-]?(engine|type|driver)" % re.escape(base), name)), "").lower()
            kind = PORTS.get(int(port)) if port.isdigit() else next((item for pattern, item in _NAMES if re.search(pattern, engine)), None) if engine else None
        if kind in DEFAULTS:
            host, own = _split(value) if value.count(":") == 1 else (value, "")
            found.append((kind or "", _address(kind or "", host, own or port)))
    return found


# -- against what runs

def connections(processes: List[Process], sockets: Sockets, holders: Dict[int, Set[int]], table: Dict[int, Process]) -> Found:
    """(kind, address) of what the processes are connected to now, by the listener's process where it is local.

    A connection among themselves, such as a pair of sockets that wakes a loop up, is none: its ports are others after each start.
    """
    listening = {tcp.local: inode for inode, tcp in sockets.tcp.items() if tcp.listening}
    own = {tcp.local.rsplit(":", 1)[1] for process in processes for inode in process.inodes
           for tcp in [sockets.tcp.get(inode)] if tcp is not None and tcp.listening}
    paths = {path: inode for inode, path in sockets.unix_listening.items()}
    ends = {tcp.local for process in processes for inode in process.inodes for tcp in [sockets.tcp.get(inode)] if tcp is not None}
    found: Set[Tuple[str, str]] = set()
    for process in processes:
        for inode in process.inodes:
            tcp = sockets.tcp.get(inode)
            path = sockets.peer_path(inode)
            if tcp is not None and not tcp.listening and tcp.local.rsplit(":", 1)[1] not in own and tcp.remote not in ends:
                port = tcp.remote.rsplit(":", 1)[1]
                listener = _listening(listening, tcp.remote)
                kind = kind_of(holders, table, listener) if listener is not None else ""
                found.add((kind or PORTS.get(int(port), "tcp"), tcp.remote))
            elif path.startswith("/") and not path.startswith(_NEVER) and path in paths:
                found.add((kind_of(holders, table, paths[path]) or "unix", "unix:" + path))
    return sorted(found)


def _listening(listening: Mapping[str, int], address: str) -> Optional[int]:
    """The inode of the local listener that an address leads to."""
    host, _colon, port = address.rpartition(":")
    for name in (address, "0.0.0.0:" + port, "[::]:" + port):
        if name in listening and (name == address or host.startswith("127.") or host == "[::1]" or any(item.startswith(host + ":") for item in listening)):
            return listening[name]
    return None


def kind_of(holders: Mapping[int, Set[int]], table: Mapping[int, Process], inode: int) -> str:
    """What listens at a socket: a kind of KINDS, else the process's name."""
    names = sorted({name for pid in holders.get(inode, set()) if pid in table for name in (table[pid].name, os.path.basename(table[pid].exe)) if name})
    return next((KINDS[name] for name in names if name in KINDS), names[0] if names else "")


class Local:
    """The listeners of this host, by address."""

    def __init__(self, sockets: Sockets, holders: Mapping[int, Set[int]], table: Mapping[int, Process]) -> None:
        self.tcp = {tcp.local: inode for inode, tcp in sockets.tcp.items() if tcp.listening}
        self.unix = {os.path.realpath(path): inode for inode, path in sockets.unix_listening.items() if path.startswith("/")}
        self.holders, self.table = holders, table

    def find(self, address: str) -> Optional[Listener]:
        """Who listens at ``HOST:PORT`` or ``unix:PATH`` on this host."""
        inode = self.unix.get(os.path.realpath(address[5:])) if address.startswith("unix:") else _listening(self.tcp, address)
        if inode is None:
            return None
        processes = [self.table[pid] for pid in sorted(self.holders.get(inode, set())) if pid in self.table]
        return Listener(processes[0].name, processes[0].unit) if processes else Listener("", "")

    def canonical(self, kind: str, address: str) -> str:
        """One spelling for one place: the socket's real path; where ``localhost`` listens, which for MySQL's clients is its socket first."""
        if address.startswith("unix:"):
            return "unix:" + os.path.realpath(address[5:])
        host, _colon, port = address.rpartition(":")
        if host.strip("[]").lower() not in _LOCAL:
            return address
        socket = next((path for path in map(os.path.realpath, _MYSQL_SOCKETS) if path in self.unix), None)
        if kind == "mysql" and socket and (host == "localhost" or _listening(self.tcp, "127.0.0.1:" + port) is None):
            return "unix:" + socket
        return next((name for name in ("127.0.0.1:" + port, "[::1]:" + port) if _listening(self.tcp, name) is not None), "127.0.0.1:" + port)


def needs(live: Found, told: Iterable[Tuple[str, str]], guessed: Iterable[Tuple[str, str]], local: Local) -> List[Dict[str, str]]:
    """{kind, address, process, unit} sorted: ``live`` are connections, ``told`` what the environment says, ``guessed`` what code and its settings say.

    A guess counts where something listens, or when it names another host: defaults for a developer's own machine are usual.
    """
    found: Dict[str, str] = {}
    told, guessed = ([item for item in items if item[0] != "http" or _interface(local, local.canonical(*item))] for items in (told, guessed))
    for kind, address in [*live, *told]:
        address = local.canonical(kind, address)
        if found.get(address, "tcp") in ("tcp", "unix"):
            found[address] = kind
    for kind, address in guessed:
        address = local.canonical(kind, address)
        host = address.rpartition(":")[0]
        elsewhere = "." in host and not re.match(r"127\.|0\.0\.0\.0", host) and not _NOBODYS.search(host)
        if address not in found and (local.find(address) is not None if address.startswith(("unix:", "127.", "[::1]")) else elsewhere):
            found[address] = kind
    done = []
    for address, kind in found.items():
        listener = local.find(address)
        item = {"kind": kind, "address": address}
        if listener is not None:
            item.update({key: value for key, value in (("process", listener.process), ("unit", listener.unit)) if value})
        done.append(item)
    return sorted(done, key=lambda item: (item["kind"], item["address"]))


def _interface(local: Local, address: str) -> bool:
    """Does another program of this host listen there? Where nginx does, a URL leads back to the services themselves."""
    listener = local.find(address)
    return listener is not None and listener.process != "nginx"


def clients(sockets: Sockets, holders: Mapping[int, Set[int]], table: Mapping[int, Process]) -> Dict[str, List[str]]:
    """{listening address: who is connected to it}: names of local units or processes, and ``other hosts``; ``unix:PATH`` for UNIX sockets."""
    listening = {tcp.local: inode for inode, tcp in sockets.tcp.items() if tcp.listening}
    by_local = {tcp.local: inode for inode, tcp in sockets.tcp.items() if not tcp.listening}
    names = {inode: address for address, inode in listening.items()}
    found: Dict[str, Set[str]] = {}
    for tcp in sockets.tcp.values():
        listener = None if tcp.listening else _listening(listening, tcp.local)
        if listener is not None:
            client = by_local.get(tcp.remote)
            found.setdefault(names[listener], set()).update(_who(holders, table, client) if client is not None else {"other hosts"})
    for inode in sockets.peers:
        path = sockets.peer_path(inode)
        if path.startswith("/") and inode not in sockets.unix:
            found.setdefault("unix:" + path, set()).update(_who(holders, table, inode))
    return {address: sorted(who) for address, who in sorted(found.items()) if who}


def _who(holders: Mapping[int, Set[int]], table: Mapping[int, Process], inode: int) -> Set[str]:
    return {table[pid].unit or table[pid].name for pid in holders.get(inode, set()) if pid in table}
