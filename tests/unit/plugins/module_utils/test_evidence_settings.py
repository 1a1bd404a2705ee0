# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings files of every format: secrets by name, never by value."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path
from typing import List

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_code, _evidence_needs, _evidence_settings, _evidence_source


@pytest.mark.parametrize(("name", "text", "found"), [
    ("a.ini", "[db]\nhost = h\npassword = CANARY-1 ; c\n# token = CANARY\n", ["password"]),
    ("a.ini", "[db]\nurl: postgresql://me:CANARY@h/d\n", ["url"]),
    ("a.yaml", "db:\n  password: 'CANARY one'\n  user: u\ntokens:\n  - CANARY-2\n  - CANARY-3\n", ["password", "tokens"]),
    ("a.yml", "a: {user: u, password: CANARY}\nprivate_key: |\n  CANARY\n  CANARY\nnext: x\n", ["password", "private_key"]),
    ("a.json", '{"a": {"api_key": "CANARY", "list": [{"secret": "CANARY"}]}, "n": 1}', ["api_key", "secret"]),
    ("a.json", '{"broken": 1, "password": "CANARY"', ["password"]),
    ("a.toml", '[x]\ntoken = "CANARY"\ny = { secret = "CANARY", b = 1 }\n', ["secret", "token"]),
    (".env", "export SECRET_KEY='CANARY'\nDEBUG=1\n", ["SECRET_KEY"]),
    ("a.xml", '<c><password>CANARY</password><add key="ApiKey" value="CANARY"/></c>', ["ApiKey", "password"]),
    ("a.conf", "-----BEGIN RSA PRIVATE KEY-----\nCANARY\n", ["private key"]),
    ("a.conf", "fetch https://me:CANARY@h/x\n", ["URL with a password"]),
    ("a.yaml", "password: ${DB_PASSWORD}\ntoken: '{{ token }}'\nsecret:\nkey: \"%(key)s\"\nauth: true\n", []),
    ("a.yaml", "max_tokens: 100\npassword_file: /etc/x\nauth_backend: a.b.C\ntoken_ttl: 3600\nsecret_name: x\n", []),
    ("a.example.yaml", "password: CANARY\n", []), ("locale/de.json", '{"password": "Passwort"}', []),
])
def test_secrets_in_settings(name: str, text: str, found: List[str]) -> None:
    assert _evidence_settings.secrets(text, "/srv/" + name) == found


@pytest.mark.parametrize(("text", "found"), [
    ('SECRET_KEY = "CANARY-x"\n', ["SECRET_KEY"]), ('D = {"default": {"PASSWORD": "CANARY-x"}}\n', ["PASSWORD"]),
    ('connect(host="h", password="CANARY-1")\n', ["password"]), ('app.config["SECRET_KEY"] = "CANARY-1"\n', ["SECRET_KEY"]),
    ('app.secret_key = "CANARY-1"\n', ["secret_key"]), ('K = os.environ.get("API_TOKEN", "CANARY-1")\n', ["API_TOKEN"]),
    ('URL = "redis://:CANARY@h/0"\n', ["URL"]), ('password = "Password"\ntoken = "csrf_token"\nKEY_NAME = "CANARY"\n', []),
    ('"""SECRET_KEY = CANARY"""\nPASSWORD_HASHERS = ["a.b"]\n', []),
])
def test_secrets_in_source(text: str, found: List[str]) -> None:
    source = _evidence_source.read(text.encode(), "/a.py")
    assert source.secrets == found


def test_programs_and_libraries() -> None:
    source = _evidence_source.read(b'''
import subprocess, os, ctypes.util, locale
CONVERT = "convert"
subprocess.run([CONVERT, "a"])
subprocess.check_output(("pdftotext", "-"))
subprocess.run("gs -q | tee x", shell=True)
os.system(f"ffmpeg -i {x}")
subprocess.run(["sh", "-c", "wkhtmltopdf a && qpdf b"])
os.execvp("gpg", ["gpg"])
model.run(["nothing"])
ctypes.CDLL("libmagic.so.1"); ctypes.util.find_library("zbar"); ffi.dlopen("pango-1.0")
locale.setlocale(locale.LC_ALL, "de_DE.UTF-8")
''', "/a.py")
    assert set(source.programs) == {"convert", "pdftotext", "gs", "tee", "ffmpeg", "wkhtmltopdf", "qpdf", "sh", "gpg"}
    assert set(source.libraries) == {"libmagic.so.1", "zbar", "pango-1.0"} and list(source.locales) == ["de_DE.UTF-8"]


def test_odd_trees(tmp_path: Path) -> None:
    """A loop of links, a FIFO, names that are not UTF-8 or have a newline, code that is not UTF-8, one directory with very many files."""
    (tmp_path / "good.py").write_text('DATA = "/srv/data"\n')
    (tmp_path / "latin.py").write_bytes(b"# -*- coding: latin-1 -*-\nNAME = '/srv/caf\xe9'\n")
    (tmp_path / "bad.py").write_bytes(b"NAME = '\xff'\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to("self")
    os.mkfifo(tmp_path / "pipe.ini")
    with open(os.fsencode(str(tmp_path)) + b"/caf\xe9\n.ini", "wb") as handle:
        handle.write(b"password = CANARY\xff\n")
    many = tmp_path / "many"
    many.mkdir()
    for number in range(1500):
        (many / f"{number}.txt").touch()
    (many / "z.py").write_text('X = "/srv/late"\n')
    with open(tmp_path / "huge.log", "wb") as huge:
        huge.truncate(2 << 30)
    tree = _evidence_code.scan(str(tmp_path), set())
    assert {"/srv/data", "/srv/café", "/srv/late"} <= set(tree.absolute)
    assert not tree.blind
    assert list(tree.secret_settings.values()) == [["password"]] and not tree.crowded


@pytest.mark.parametrize(("name", "text"), [
    ("a.yaml", "x: 1\nldap:\n  host: h\n  deep:\n    a: b\n  port: 3890\nother:\n  host: o\n"), ("a.ini", "[app:ldap]\nhost = h\nport = 3890\n[x]\nhost = o\n"),
    ("a.toml", '[app.ldap]\nhost = "h"\nport = 3890\n'), ("a.json", '{"ldap": {"host": "h", "port": 3890}, "other": {"host": "o"}}'),
    ("a.yml", "ldap: {host: h, port: 3890}\n"),
])
def test_names_with_what_they_stand_in(name: str, text: str) -> None:
    found = _evidence_settings.by_name(_evidence_settings.pairs(text, name))
    assert (found["ldap_host"], found["ldap_port"]) == ("h", "3890")
    assert ("ldap", "h:3890") in _evidence_needs.of_settings(found)


def test_a_large_source_is_read_as_text(tmp_path: Path) -> None:
    """Its syntax tree would take hundreds of megabytes."""
    (tmp_path / "table.py").write_text("X = [" + "1," * 200000 + "]\nPASSWORD = 'CANARY-1'\n")
    tracemalloc.start()
    tree = _evidence_code.scan(str(tmp_path), set())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20 and not tree.blind
    assert tree.secrets_in_source == [("PASSWORD", str(tmp_path / "table.py"))]
