"""make_repository.py DIRECTORY SOURCE VERSION...: package repositories out of this host's own packages, for tests of sources.

``debian/``: the installed packages of the source package SOURCE under each VERSION. ``upstream/``, for nginx: one package in the layout that
nginx.org's have (no nginx-common, a unit and an nginx.conf of its own) with the version 88.1-1. Each has a Release file that is still to be signed;
``unsigned/`` is one that never is.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
import tempfile
import time
from email.utils import formatdate
from pathlib import Path

CONF = """user www-data;
worker_processes 2;
error_log /var/log/nginx/error.log notice;
pid /run/nginx.pid;
events { worker_connections 1024; }
http {
    include /etc/nginx/mime.types;
    default_type application/octet-stream;
    access_log /var/log/nginx/access.log;
    include /etc/nginx/conf.d/*.conf;
}
"""
UNIT = """[Unit]
Description=nginx - high performance web server
After=network-online.target

[Service]
Type=forking
PIDFile=/run/nginx.pid
ExecStart=/usr/sbin/nginx -c /etc/nginx/nginx.conf
ExecReload=/bin/sh -c "/bin/kill -s HUP $(/bin/cat /run/nginx.pid)"
ExecStop=/bin/sh -c "/bin/kill -s TERM $(/bin/cat /run/nginx.pid)"

[Install]
WantedBy=multi-user.target
"""
POSTINST = """#!/bin/sh
set -e
[ "$1" = configure ] || exit 0
systemctl daemon-reload
deb-systemd-helper unmask nginx.service >/dev/null || true
deb-systemd-helper enable nginx.service >/dev/null || true
mkdir -p /var/log/nginx /var/lib/nginx
if [ -n "$2" ]; then deb-systemd-invoke restart nginx.service; else deb-systemd-invoke start nginx.service; fi
"""
PRERM = """#!/bin/sh
set -e
case "$1" in remove|deconfigure) deb-systemd-invoke stop nginx.service ;; esac
"""


def run(*argv: str, cwd: Path | None = None) -> str:
    return subprocess.run(argv, cwd=cwd, check=True, stdout=subprocess.PIPE, encoding="utf-8").stdout


def build(tree: Path, pool: Path) -> None:
    run("dpkg-deb", "--build", "--root-owner-group", "-Zgzip", "-z1", str(tree), str(pool))


def renamed(deb: Path, source: str, version: str, pool: Path, work: Path) -> None:
    tree = work / f"{deb.name}-{version}"
    run("dpkg-deb", "-R", str(deb), str(tree))
    control = tree / "DEBIAN/control"
    text = control.read_text()
    old = re.search(r"(?m)^Version: (.*)$", text)
    assert old
    text = text.replace(old[1], version)
    if not re.search(r"(?m)^Source: ", text):
        text = text.replace("\nVersion:", f"\nSource: {source}\nVersion:", 1)
    control.write_text(text)
    build(tree, pool)


def upstream(debs: list[Path], pool: Path, work: Path) -> None:
    tree = work / "upstream"
    for deb in debs:
        if re.match(r"nginx(-core)?_", deb.name):
            run("dpkg-deb", "-x", str(deb), str(tree))
    names = sorted({deb.name.partition("_")[0] for deb in debs} - {"nginx"})
    binary_deb = next(deb for deb in debs if deb.name.startswith("nginx-core_" if any("nginx-core_" in deb.name for deb in debs) else "nginx_"))
    depends = [word for word in run("dpkg-deb", "-f", str(binary_deb), "Depends").strip().split(", ") if "nginx" not in word]
    arch = run("dpkg-deb", "-f", str(binary_deb), "Architecture").strip()
    shutil.rmtree(tree / "usr/share", ignore_errors=True)
    common = work / "common"
    run("dpkg-deb", "-x", str(next(deb for deb in debs if deb.name.startswith("nginx-common_"))), str(common))
    for path, text in (("etc/nginx/nginx.conf", CONF), ("lib/systemd/system/nginx.service", UNIT)):
        path_there = tree / path if path.startswith("etc") or not (common / "usr/lib/systemd/system/nginx.service").exists() else tree / "usr" / path
        path_there.parent.mkdir(parents=True, exist_ok=True)
        path_there.write_text(text)
    shutil.copy(common / "etc/nginx/mime.types", tree / "etc/nginx/mime.types")
    (tree / "etc/nginx/conf.d").mkdir()
    control = tree / "DEBIAN"
    control.mkdir()
    (control / "control").write_text(
        f"Package: nginx\nVersion: 88.1-1\nArchitecture: {arch}\nMaintainer: Test <test@example.org>\nDepends: {', '.join(depends)}\n"
        f"Provides: httpd\nConflicts: {', '.join(names)}\nReplaces: {', '.join(names)}\nDescription: nginx in upstream's layout\n")
    (control / "conffiles").write_text("/etc/nginx/nginx.conf\n/etc/nginx/mime.types\n")
    for name, text in (("postinst", POSTINST), ("prerm", PRERM)):
        (control / name).write_text(text)
        (control / name).chmod(0o755)
    build(tree, pool)


def index(root: Path, suite: str) -> None:
    folder = root / "dists" / suite / "main"
    arch = run("dpkg", "--print-architecture").strip()
    packages = folder / f"binary-{arch}/Packages"
    packages.parent.mkdir(parents=True, exist_ok=True)
    stanzas = []
    for deb in sorted((root / "pool").glob("*.deb")):
        stanzas.append(run("dpkg-deb", "-f", str(deb)).rstrip() + f"\nFilename: pool/{deb.name}\nSize: {deb.stat().st_size}\n"
                       f"SHA256: {hashlib.sha256(deb.read_bytes()).hexdigest()}\n")
    packages.write_text("\n".join(stanzas))
    data = packages.read_bytes()
    (root / "dists" / suite / "Release").write_text(
        f"Origin: webstack-test\nLabel: {root.name}\nSuite: {suite}\nCodename: {suite}\nDate: {formatdate(time.time(), usegmt=True)}\n"
        f"Architectures: {arch}\nComponents: main\nSHA256:\n {hashlib.sha256(data).hexdigest()} {len(data)} main/binary-{arch}/Packages\n")


def main() -> None:
    root, source, versions = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if (root / "made").exists():
        return
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        names = [line.split()[0] for line in run("dpkg-query", "-W", "-f", "${Package} ${source:Package} ${db:Status-Status}\n").splitlines()
                 if line.split()[1:] == [source, "installed"]]
        run("apt-get", "download", *names, cwd=work)
        debs = sorted(work.glob("*.deb"))
        kinds = ("debian", "upstream") if source == "nginx" else ("debian",)
        for kind in kinds:
            (root / kind / "pool").mkdir(parents=True, exist_ok=True)
        for version in versions:
            for deb in debs:
                renamed(deb, source, version, root / "debian/pool", work)
        if "upstream" in kinds:
            upstream(debs, root / "upstream/pool", work)
    for kind in kinds:
        index(root / kind, "test")
    shutil.copytree(root / "debian", root / "unsigned")
    (root / "made").touch()


if __name__ == "__main__":
    main()
