# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Evidence from trees that the tests make: code, venvs, paths, crontabs, /proc."""

from __future__ import annotations

import base64
import hashlib
import os
import socket
from pathlib import Path
from typing import Any, Dict, List
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _proc
from ansible_collections.gantry.webstack.plugins.module_utils.discover import (
    _evidence_code,
    _evidence_paths,
    _evidence_processes,
    _evidence_python,
    _evidence_service,
    _evidence_site,
    _evidence_uwsgi,
)

ME = _evidence_paths.Subject(4242, {4242})
SQLITE = b"SQLite format 3\0" + b"\0" * 84


def write(path: Path, text: "str | bytes", mode: int = 0o644) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


@pytest.fixture(name="host")
def _host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory that does not count as /tmp."""
    monkeypatch.setattr(_evidence_paths, "SYSTEM", ("/usr", "/etc/ssl", "/proc"))
    monkeypatch.setattr(_evidence_paths, "_NO_STATE", ("/proc", "/run"))
    return tmp_path


def facts(host: Path, **changes: Any) -> _evidence_paths.Facts:
    code = host / "srv/shop/code"
    code.mkdir(parents=True, exist_ok=True)
    given: Dict[str, Any] = {
        "subject": ME, "code": str(code), "venv": str(host / "srv/shop/venv"), "named": {}, "tree": _evidence_code.scan(str(code), set()), "written": [],
        "unit_state": {}, "static_roots": set(), "ignored": set(), "owned": {}}
    given.update(changes)
    return _evidence_paths.Facts(**given)


def writable(path: Path, directory: bool = True) -> Path:
    if directory:
        path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o777 if directory else 0o666)
    return path


def test_code_names_paths_programs_and_secrets(tmp_path: Path) -> None:
    write(tmp_path / "app.py", '"""/doc/string is no evidence"""\nimport subprocess\nDATA = "/srv/data"\nSECRET_KEY = "canary-canary"\nKEY_FILE = "/etc/k"\n'
          'subprocess.run(["git", "log"])\nos.system("convert a b")\nx = f.run("not")\nDB = "sqlite:////srv/db/x.sqlite3"\nrel = "media"\n')
    write(tmp_path / "conf/app.yaml", "path: /var/lib/app/data\nurl: http://host/not/a/path\n")
    write(tmp_path / ".env", "A=1\n")
    write(tmp_path / "key.pem", "-----BEGIN PRIVATE KEY-----\n")
    write(tmp_path / "cert.pem", "-----BEGIN CERTIFICATE-----\n")
    write(tmp_path / "password.txt", "x", 0o600)
    write(tmp_path / "private", "-----BEGIN RSA PRIVATE KEY-----\n", 0o600)
    write(tmp_path / "env/pyvenv.cfg", "home = /usr/bin\n")
    write(tmp_path / "env/lib/x.py", 'X = "/in/a/venv"\n')
    write(tmp_path / "broken.py", "print 'x'\nDATA = '/srv/two'\nPASSWORD = 'canary-two'\n")
    tree = _evidence_code.scan(str(tmp_path), set())
    assert sorted(tree.absolute) == ["/etc/k", "/srv/data", "/srv/db/x.sqlite3", "/srv/two", "/var/lib/app/data"]
    assert tree.absolute["/srv/data"] == f"{tmp_path}/app.py:3"
    assert sorted(tree.programs) == ["convert", "git"]
    assert tree.secrets_in_source == [("SECRET_KEY", f"{tmp_path}/app.py"), ("PASSWORD", f"{tmp_path}/broken.py")]
    assert [os.path.basename(path) for path in tree.secret_files] == [".env", "key.pem", "password.txt", "private"]
    assert not tree.blind
    assert "media" in tree.relative and "canary" not in str(tree.secrets_in_source)


def test_state_outside_the_code(host: Path) -> None:
    data, shared, static = writable(host / "data"), host / "shared", writable(host / "static")
    shared.mkdir()
    database = writable(write(writable(host / "db") / "x.sqlite3", SQLITE), False)
    secret, plain = write(host / "etc/key", "k", 0o600), write(host / "etc/plain", "x")
    named = {str(path): "environment variable X" for path in (data, shared, static, database, secret, plain, host / "db/later.lock")}
    subject = _evidence_paths.Subject(os.getuid() if os.getuid() else 4242, {4242})
    found = _evidence_paths.classify(facts(host, named=named, static_roots={str(static)}, subject=subject))
    assert sorted(found.state) == [str(data), str(host / "db")]
    assert found.state[str(host / "db")] == f"environment variable X names the SQLite database {database}"
    assert sorted(found.files) == sorted([str(plain), str(shared), str(static)])
    assert list(found.secrets) == [str(secret)]


def test_open_files_are_state(host: Path) -> None:
    journal, database = write(host / "a/journal", "x"), write(host / "b/x.db", SQLITE)
    log, own = write(host / "logs/app.log", "x"), write(host / "logs2/uwsgi.log", "x")
    found = _evidence_paths.classify(facts(host, written=[str(journal), str(database), str(log), str(own)], ignored={str(own)}))
    assert found.state == {str(host / "a"): f"{journal} is open for writing", str(host / "b"): f"SQLite database {database} is open for writing",
                           str(host / "logs"): f"log {log} is open for writing"}


def test_data_inside_the_code(host: Path) -> None:
    code = host / "srv/shop/code"
    write(code / "shop/settings.py", 'MEDIA = BASE / "media"\nPACKAGE = "shop"\nDB = BASE / "db/x.sqlite3"\nSTATIC = "assets"\n')
    for name in ("media", "assets"):
        writable(code / name)
    writable(code / "shop")
    writable(write(writable(code / "db") / "x.sqlite3", SQLITE), False)
    found = _evidence_paths.classify(facts(host, static_roots={str(code / "assets")}))
    assert sorted(found.state) == [str(code / "db"), str(code / "media")]


def test_state_that_the_definition_names(host: Path) -> None:
    data = host / "srv/shop/data"
    inner = data / "uploads"
    inner.mkdir(parents=True)
    found = _evidence_paths.classify(facts(host, said={str(data): "", str(inner): "uploads", str(host / "gone"): ""}))
    assert found.state == {str(data): "its definition names it", str(inner): "its definition names it"}
    assert found.kinds[str(inner)] == "uploads"


def test_a_directory_with_only_a_socket_is_no_state(host: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    run = writable(tmp_path_factory.mktemp("s"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(run / "a"))
    found = _evidence_paths.classify(facts(host, unit_state={str(run): "ReadWritePaths= of x.service"}))
    listener.close()
    assert not found.state


def test_what_lies_below_state_needs_no_line(host: Path) -> None:
    data = writable(host / "data")
    writable(data / "media")
    secret = write(data / "secret_key", "x", 0o600)
    named = {str(path): "x" for path in (data, data / "media", secret)}
    found = _evidence_paths.classify(facts(host, named=named))
    assert (list(found.state), found.files, found.secrets) == ([str(data)], {}, {})


def dist(site: Path, name: str, files: Dict[str, str]) -> None:
    rows: List[str] = []
    for path, text in files.items():
        write(site / path, text)
        digest = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()
        rows.append(f"{path},sha256={digest},{len(text)}")
    info = site / f"{name}-1.0.dist-info"
    write(info / "METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n\nVersion: 9\n")
    write(info / "RECORD", "\n".join(rows + [f"{name}/__pycache__/x.pyc,sha256=AAAA,1", f"{name}-1.0.dist-info/RECORD,,"]) + "\n")


def test_distributions_and_what_was_patched(tmp_path: Path) -> None:
    dist(tmp_path, "Flask_Thing", {"flask_thing/a.py": "a", "flask_thing/b.py": "b", "flask_thing/c.py": "c"})
    dist(tmp_path, "alpha", {"alpha/a.py": "a"})
    write(tmp_path / "flask_thing/a.py", "A")
    write(tmp_path / "flask_thing/b.py", "longer")
    (tmp_path / "flask_thing/c.py").unlink()
    write(tmp_path / "mine-2.0.dist-info/METADATA", "Name: mine\nVersion: 2.0\n")
    write(tmp_path / "mine-2.0.dist-info/direct_url.json", '{"url": "file:///srv/mine", "dir_info": {"editable": true}}')
    write(tmp_path / "old.egg-link", "/srv/old\n.\n")
    site = _evidence_site.look([str(tmp_path)])
    assert [(item["name"], item["version"]) for item in site.distributions] == [("alpha", "1.0"), ("Flask_Thing", "1.0"), ("mine", "2.0")]
    assert site.editable == ["mine /srv/mine", "old /srv/old"]
    assert [os.path.basename(path) for path in site.patched] == ["a.py", "b.py", "c.py"] and not site.blind


@pytest.mark.parametrize(("maps", "short"), [
    (["/usr/lib/x86_64-linux-gnu/libpython3.11.so.1.0"], "3.11"), (["/usr/lib/uwsgi/plugins/python39_plugin.so"], "3.9"),
    (["/opt/venv/lib/python3.13/lib-dynload/_ssl.so"], "3.13"), (["/usr/lib/libc.so.6"], None),
])
def test_python_version_from_maps(maps: List[str], short: "str | None") -> None:
    assert _evidence_python.short_version(maps, None) == short


def process(root: Path, pid: int, parent: int, argv: List[str], environ: str = "", exe: str = "/usr/bin/uwsgi-core") -> None:
    base = root / str(pid)
    write(base / "status", f"Name:\tuwsgi\nPPid:\t{parent}\nUid:\t33\t33\t33\t33\nGid:\t33\t33\t33\t33\nGroups:\t33 5 \n")
    write(base / "cmdline", "\0".join(argv) + "\0")
    write(base / "environ", environ)
    write(base / "cgroup", "3:cpu:/x\n1:name=systemd:/system.slice/shop.service\n")
    (base / "exe").symlink_to(exe)
    (base / "ns").mkdir()
    (base / "ns/pid").symlink_to("pid:[1]")


@pytest.mark.parametrize(("argv", "job"), [(["/bin/sh", "-c", "/srv/shop/bin/tick"], True), (["/usr/sbin/CRON", "-f"], False)])
def test_a_job_in_the_moment_of_its_start(tmp_path: Path, argv: List[str], job: bool) -> None:
    """execve(2) changes the command line before or after the name was read; a fork that is still cron itself is none."""
    for pid, parent, words in [(10, 1, ["/usr/sbin/cron", "-f"]), (11, 10, ["/usr/sbin/CRON", "-f"]), (12, 11, argv)]:
        process(tmp_path, pid, parent, words)
        (tmp_path / f"{pid}/status").write_text(f"Name:\tcron\nPPid:\t{parent}\n")
    table = {pid: _proc.Process(pid, str(tmp_path)) for pid in (10, 11, 12)}
    view = _evidence_processes.View(table, _proc.Sockets(str(tmp_path)), lambda path: None, {})
    assert _evidence_processes._is_job(view, table[12]) == job


@pytest.mark.parametrize(("parent", "argv", "exe", "starting"), [
    (1, ["/lib/systemd/systemd"], "/usr/lib/systemd/systemd", True),
    (1, ["(tick)"], "/usr/lib/systemd/systemd-executor", True),
    (1, ["/lib/systemd/systemd", "--user"], "/usr/lib/systemd/systemd", False),
    (20, ["/lib/systemd/systemd", "--user"], "/usr/lib/systemd/systemd", True),
    (1, ["/srv/shop/tick"], "/usr/bin/python3.11", False),
])
def test_what_systemd_is_about_to_start(tmp_path: Path, parent: int, argv: List[str], exe: str, starting: bool) -> None:
    process(tmp_path, 1, 0, ["/sbin/init"], exe="/usr/lib/systemd/systemd")
    process(tmp_path, 20, 1, ["/lib/systemd/systemd", "--user"], exe="/usr/lib/systemd/systemd")
    process(tmp_path, 21, parent, argv, exe=exe)
    table = {pid: _proc.Process(pid, str(tmp_path)) for pid in (1, 20, 21)}
    view = _evidence_processes.View(table, _proc.Sockets(str(tmp_path)), lambda path: None, {})
    assert _evidence_processes._is_starting(view, table[21]) == starting


def test_masters_and_vassals(tmp_path: Path) -> None:
    (tmp_path / "self/ns").mkdir(parents=True)
    (tmp_path / "self/ns/pid").symlink_to("pid:[1]")
    emperor, vassal = ["uwsgi", "--emperor", "/etc/v"], ["/usr/bin/uwsgi-core", "--ini", "a.ini"]
    for pid, parent, argv, environ in [(10, 1, emperor, ""), (11, 10, emperor, ""), (20, 11, vassal, "UWSGI_EMPEROR_FD=7\0"),
                                       (21, 20, vassal, "UWSGI_EMPEROR_FD=7\0"), (30, 11, vassal, "UWSGI_EMPEROR_FD=7\0"),
                                       (40, 1, ["uwsgi", "x.ini"], "A=b=c\0")]:
        process(tmp_path, pid, parent, argv, environ)
    process(tmp_path, 50, 1, ["uwsgi", "in-a-container"])
    (tmp_path / "50/ns/pid").unlink()
    (tmp_path / "50/ns/pid").symlink_to("pid:[2]")
    table = _proc.processes(str(tmp_path))
    assert 50 not in table and table[40].environ == {"A": "b=c"} and table[40].unit == "shop.service" and table[40].groups == {33, 5}
    assert [item.pid for item in _evidence_uwsgi.masters(table)] == [10, 20, 30, 40]
    assert [item.pid for item in _evidence_uwsgi.own_processes(table, table[20])] == [20, 21]
    assert [item.pid for item in _evidence_uwsgi.own_processes(table, table[10])] == [10, 11]


def test_sockets_of_this_machine(tmp_path: Path) -> None:
    path = str(tmp_path / "a.sock")
    with socket.socket(socket.AF_UNIX) as listener, socket.socket(socket.AF_UNIX) as client, socket.socket() as tcp:
        listener.bind(path)
        listener.listen()
        client.connect(path)
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        sockets = _proc.Sockets()
        assert sockets.unix_listening[os.fstat(listener.fileno()).st_ino] == path
        assert sockets.tcp[os.fstat(tcp.fileno()).st_ino] == ("127.0.0.1:%d" % tcp.getsockname()[1], "0.0.0.0:0", True)
        with listener.accept()[0]:
            assert _proc.Sockets().peer_path(os.fstat(client.fileno()).st_ino) in (path, "")


@pytest.mark.parametrize(("text", "family", "address"), [
    ("0100007F:1F90", socket.AF_INET, "127.0.0.1:8080"), ("00000000000000000000000000000000:0050", socket.AF_INET6, "[::]:80"),
    ("0000000000000000FFFF00000100007F:0050", socket.AF_INET6, "127.0.0.1:80"),
])
def test_addresses(text: str, family: int, address: str) -> None:
    assert _proc._address(text, family) == address


def test_the_environment_after_a_reload(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reloaded master shows what its application has set; its emperor shows what it was given."""
    for pid, environ in [(1, "LANG=C.UTF-8\0A_KEY=x\0"), (2, "LANG=de\0TZ=UTC\0UWSGI_RELOADS=0\0")]:
        process(tmp_path, pid, 0, ["uwsgi"], environ)
    emperor, vassal = _proc.Process(1, str(tmp_path)), _proc.Process(2, str(tmp_path))
    service = _evidence_service.Service.__new__(_evidence_service.Service)
    service.host = MagicMock(manager_environment={"LANG": "fr"}, blind=[])
    for above, expected in [(emperor, {"LANG": "C.UTF-8", "A_KEY": "x"}), (None, {"LANG": "fr", "MODE": "a b"})]:
        service.instance = MagicMock(master=vassal, emperor=above, program=None)
        service.properties = {"Environment": '"MODE=a b"'}
        service.told = service._told([])
        assert service._started_with() == expected


def test_evidence_does_not_depend_on_what_is_open(host: Path) -> None:
    database = writable(write(writable(host / "db") / "x.sqlite3", SQLITE), False)
    named = {str(database): "environment variable DB"}
    results = [_evidence_paths.classify(facts(host, named=named, written=written)).state for written in ([], [str(database)])]
    assert results[0] == results[1] == {str(host / "db"): f"environment variable DB names the SQLite database {database}"}
