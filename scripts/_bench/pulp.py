"""A Galaxy server of its own on loopback: Pulp with its Ansible plugin (what Ansible Galaxy and Automation Hub are built on) and a PostgreSQL cluster.

All that it keeps is in one temporary directory: an account without rights runs the database, and a checkout may be where that has no access.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from . import LOGS, ROOT, BenchError, apt_install, control, logged, output, say, setup_lock
from .report import end

REQUIREMENTS = ROOT / "tests/galaxy/requirements.txt"
SETTINGS = """\
DEPLOY_ROOT = "{top}"
MEDIA_ROOT = "{top}/media"
STATIC_ROOT = "{top}/assets"
WORKING_DIRECTORY = FILE_UPLOAD_TEMP_DIR = "{top}/tmp"
SECRET_KEY = "{secret}"
DB_ENCRYPTION_KEY = "{top}/key"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "HOST": "127.0.0.1", "PORT": {database},
                         "NAME": "postgres", "USER": "pulp", "PASSWORD": "{secret}"}}}}
CONTENT_ORIGIN = "http://127.0.0.1:{content}"
ANSIBLE_API_HOSTNAME = "http://127.0.0.1:{api}"
ANSIBLE_DEFAULT_DISTRIBUTION_PATH = "{name}"
CACHE_ENABLED = ANALYTICS = False
"""
DATABASE_ACCOUNT = "postgres"
"""Who runs the database when we are root, which it refuses; Debian's package makes this account."""


@dataclass(frozen=True)
class Server:
    """What a client needs to know."""

    url: str
    user: str
    password: str


def free_ports(count: int) -> list[int]:
    """Ports of loopback that nothing listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for dummy in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def programs() -> tuple[Path, Path]:
    """The directories with the programs of Pulp and of PostgreSQL, installed where they are not."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    if not places:
        apt_install("postgresql")
        places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    return control.side_venv("pulp", Path(control.interpreter()), REQUIREMENTS).parent, places[-1]


class _Processes:
    """Programs of the server. They end with us, also when nobody is left to end them."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.stack = stack

    def start(self, name: str, argv: Sequence[str], env: dict[str, str], account: Sequence[str] = ()) -> subprocess.Popen[str]:
        log = self.stack.enter_context((LOGS / f"galaxy-server-{name}.log").open("w", encoding="utf-8"))
        process = subprocess.Popen(["setpriv", "--pdeathsig", "TERM", *account, *argv], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                                   env={**os.environ, **env}, start_new_session=True, text=True)
        self.stack.callback(end, process)
        return process


@contextlib.contextmanager
def serving(name: str) -> Iterator[Server]:
    """A server with one repository, empty, that is called ``name``."""
    with setup_lock():
        pulp, postgres = programs()
    LOGS.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        top = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="webstack-galaxy-server-", ignore_cleanup_errors=True)))
        top.chmod(0o755)
        processes = _Processes(stack)
        secret = secrets.token_hex(16)
        database, api, content = free_ports(3)
        _settings(top, name=name, secret=secret, database=database, api=api, content=content)
        _database(processes, postgres, top, database, secret)
        # The collection's own tools are not the server's: its importer finds ansible-doc and flake8 by PATH. ansible-lint has its own part of the tests.
        env = {"PULP_SETTINGS": str(top / "settings.py"), "PATH": f"{pulp}:{os.environ['PATH']}", "VIRTUAL_ENV": "", "PYTHONPATH": "",
               "ANSIBLE_COLLECTIONS_PATH": "", "GALAXY_IMPORTER_RUN_ANSIBLE_LINT": "false"}
        say("making the server's database (about a minute)")
        logged([str(pulp / "pulpcore-manager"), "migrate", "--no-input"], "galaxy-server", hint="", env=env)
        server = Server(f"http://127.0.0.1:{api}/pulp_ansible/galaxy/{name}/", "admin", _password(pulp, env))
        for program, port in (("api", api), ("content", content)):
            processes.start(program, [str(pulp / f"pulpcore-{program}"), "--bind", f"127.0.0.1:{port}", "--workers", "1", "--no-control-socket"], env)
        processes.start("worker", [str(pulp / "pulpcore-worker")], env)
        _repository(server, f"http://127.0.0.1:{api}", name)
        yield server


def _settings(top: Path, **values: Any) -> None:
    for folder in ("media", "assets", "tmp"):
        (top / folder).mkdir()
    for path, text in ((top / "key", base64.urlsafe_b64encode(os.urandom(32)).decode()), (top / "settings.py", SETTINGS.format(top=top, **values))):
        path.touch(mode=0o600)
        path.write_text(text, encoding="utf-8")


def _database(processes: _Processes, programs: Path, top: Path, port: int, password: str) -> None:
    """Make a cluster and run it. It has one account, with a password, and listens on loopback alone."""
    data, given = top / "database", top / "password"
    data.mkdir()
    given.touch(mode=0o600)
    given.write_text(password, encoding="utf-8")
    account: list[str] = []
    if os.geteuid() == 0:
        account = ["--reuid", DATABASE_ACCOUNT, "--regid", DATABASE_ACCOUNT, "--init-groups"]
        for path in (data, given):
            shutil.chown(path, DATABASE_ACCOUNT, DATABASE_ACCOUNT)
    logged(["setpriv", *account, str(programs / "initdb"), "--pgdata", str(data), "--username", "pulp", "--pwfile", str(given), "--auth", "scram-sha-256",
            "--encoding", "UTF8", "--locale", "C", "--no-sync"], "galaxy-server", hint="")
    processes.start("database", [str(programs / "postgres"), "-D", str(data), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
                                 "-c", "unix_socket_directories=", "-c", "fsync=off"], {}, account)
    deadline = time.monotonic() + 60
    while output([str(programs / "pg_isready"), "--host", "127.0.0.1", "--port", str(port)]) is None:
        if time.monotonic() > deadline:
            raise BenchError(f"PostgreSQL does not start; see {LOGS / 'galaxy-server-database.log'}")
        time.sleep(0.3)


def _password(pulp: Path, env: dict[str, str]) -> str:
    """Give the administrator a password."""
    done = subprocess.run([str(pulp / "pulpcore-manager"), "reset-admin-password", "--random"], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                          env={**os.environ, **env}, check=False)
    found = re.search(r'password to "(\w+)"', done.stdout)
    if found is None:
        raise BenchError(f"Pulp gives its administrator no password: {done.stderr.strip()[-500:]}")
    return found[1]


def _call(server: Server, url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """The answer of Pulp's own API. Raises OSError (of which urllib's errors are) when there is none."""
    word = base64.b64encode(f"{server.user}:{server.password}".encode()).decode()
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, {"Content-Type": "application/json", "Authorization": f"Basic {word}"})
    with urllib.request.urlopen(request, timeout=60) as response:
        answer: dict[str, Any] = json.load(response)
    return answer


def _repository(server: Server, origin: str, name: str, patience: float = 300) -> None:
    """Wait for all three programs, then make the repository and the address under which it is served."""
    deadline = time.monotonic() + patience

    def until(url: str, *wanted: str) -> dict[str, Any]:
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError):
                answer = _call(server, url)
                if all(answer[key] for key in wanted):
                    return answer
            time.sleep(0.5)
        raise BenchError(f"Pulp does not start within {patience:.0f} s; see {LOGS}/galaxy-server-*.log")

    until(f"{origin}/pulp/api/v3/status/", "online_api_apps", "online_content_apps", "online_workers")
    repository = _call(server, f"{origin}/pulp/api/v3/repositories/ansible/ansible/", {"name": name})
    task = _call(server, f"{origin}/pulp/api/v3/distributions/ansible/ansible/",
                 {"name": name, "base_path": name, "repository": repository["pulp_href"]})["task"]
    ended = until(f"{origin}{task}", "finished_at")
    if ended["state"] != "completed":
        raise BenchError(f"Pulp makes no repository: {ended['error']}")
