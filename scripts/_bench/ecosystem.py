"""The parts of ./scripts/test about how the collection reaches people: Galaxy, upgrades, the matrix of versions."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from . import CACHE, LOGS, ROOT, BenchError, apt_install, control, engine, images, logged, output, parts, release, setup_lock
from .report import Outcome, Report

KEY = "throwaway@example.org"
PLUGIN_TESTS = ("tests/unit/plugins",)


def galaxy(report: Report) -> None:
    """What Galaxy and those who install from it do with the tarball."""
    with tempfile.TemporaryDirectory(prefix="webstack-galaxy-") as top:
        logged([control.tool("ansible-galaxy"), "collection", "build", "--output-path", top, str(ROOT)], "test-galaxy", hint="")
        tarball = next(Path(top).glob("*.tar.gz"))
        signature(report, tarball)
        importer(report, tarball)


def importer(report: Report, tarball: Path) -> None:
    """Galaxy's own importer: no error and no warning."""
    started = time.monotonic()
    log = LOGS / "test-galaxy-importer.log"
    wrong = release.importer(log, tarball)
    report.add(Outcome("galaxy-importer", int(not wrong), int(bool(wrong)), time.monotonic() - started, "; ".join(wrong)[:300]), log)


def signature(report: Report, tarball: Path) -> None:
    """The tarball installs with a signature of its manifest, by a key that is made for it, and not with one of something else."""
    started = time.monotonic()
    wrong = []
    with keyring():
        signed = release.sign(tarball, KEY)
        try:
            release.verify(tarball, signed, KEY)
        except BenchError as exc:
            wrong.append(str(exc).splitlines()[0])
        other = tarball.with_name("other.txt")
        other.write_text("another manifest\n", encoding="utf-8")
        signed.unlink()
        logged(["gpg", "--batch", "--local-user", KEY, "--armor", "--detach-sign", "--output", str(signed), str(other)], "release", hint="")
        try:
            release.verify(tarball, signed, KEY)
            wrong.append("a signature of something else was taken")
        except BenchError:
            pass
        signed.unlink()
    report.add(Outcome("package signature", int(not wrong), int(bool(wrong)), time.monotonic() - started, "; ".join(wrong)))


@contextlib.contextmanager
def keyring() -> Iterator[None]:
    """gpg with a home of its own in which there is one key without a passphrase."""
    if shutil.which("gpg") is None:
        apt_install("gnupg")
    before = os.environ.get("GNUPGHOME")
    with tempfile.TemporaryDirectory(prefix="webstack-gpg-", ignore_cleanup_errors=True) as home:
        os.environ["GNUPGHOME"] = home
        try:
            logged(["gpg", "--batch", "--pinentry-mode", "loopback", "--passphrase", "", "--quick-generate-key", KEY, "ed25519", "sign", "1d"],
                   "release", hint="")
            yield
        finally:
            output(["gpgconf", "--kill", "gpg-agent"])
            os.environ.pop("GNUPGHOME")
            if before is not None:
                os.environ["GNUPGHOME"] = before


def upgrade(report: Report) -> None:
    """A host that the last release converted, taken over by the collection as it is now, under load."""
    with setup_lock():
        engine.setup()
        images.ensure("bookworm")
    junit = LOGS / "upgrade.xml"
    argv = [control.tool("python"), "-m", "pytest", "-q", "-x", "--import-mode=prepend", "-o", "addopts=-ra", "tests/upgrade", f"--junit-xml={junit}"]
    report.check("upgrade", argv, timeout=5400, count=lambda code, text: parts.junit(junit, code))


CORES = {"2.19": ("3.11", "3.12", "3.13"), "2.20": ("3.12", "3.13"), "2.21": ("3.12", "3.13")}
"""The supported ansible-core versions and, of this machine's Pythons, those that each has for a control node."""


def matrix(report: Report) -> None:
    """Unit tests, documentation and the playbooks' syntax with each supported ansible-core on each Python of this machine that it runs on."""
    pythons = control.python_versions()
    ran = 0
    for core, versions in CORES.items():
        for version in versions:
            if version in pythons:
                _on(report, core, version, pythons[version])
                ran += 1
    if not ran:
        raise BenchError("this machine has no Python 3.11, 3.12 or 3.13 with venv")


def _on(report: Report, core: str, version: str, python: Path) -> None:
    """One cell of the matrix."""
    name = f"core {core}, Python {version}"
    venv = CACHE / "matrix" / f"{core}-{version}"
    major, minor = core.split(".")
    wanted = f"ansible-core>={core},<{major}.{int(minor) + 1}"
    if output([str(venv / "bin/ansible"), "--version"]) is None:
        shutil.rmtree(venv, ignore_errors=True)
        hint = "Look whether this machine reaches PyPI, and run again."
        logged([str(python), "-m", "venv", str(venv)], "matrix", hint=hint)
        logged([control.tool("uv"), "pip", "install", "--quiet", "--python", str(venv / "bin/python"), wanted, "docker", "pytest", "hypothesis",
                "-r", str(ROOT / "requirements.txt")], "matrix", hint=hint)
    env = {"PATH": f"{venv / 'bin'}:{os.environ['PATH']}", "VIRTUAL_ENV": str(venv)}
    junit = LOGS / f"matrix-{core}-{version}.xml"
    report.check(f"unit on {name}", [str(venv / "bin/python"), "-m", "pytest", "-q", "-o", f"cache_dir=.cache/matrix/{core}-{version}-pytest",
                                     *PLUGIN_TESTS, f"--junit-xml={junit}"], env=env, timeout=1800, count=lambda code, text: parts.junit(junit, code))
    playbooks = sorted(f"gantry.webstack.{path.stem}" for path in (ROOT / "playbooks").glob("*.yml"))
    report.check(f"syntax on {name}", [str(venv / "bin/ansible-playbook"), "--syntax-check", "-i", "localhost,", *playbooks], env=env)
    modules = sorted(f"gantry.webstack.{path.stem}" for path in (ROOT / "plugins/modules").glob("[!_]*.py"))
    report.check(f"documentation on {name}", [str(venv / "bin/ansible-doc"), "--json", *modules], env=env)
