"""Local images of bare hosts: Debian with systemd and Python, ready to be installed on by Ansible."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from . import CACHE, ROOT, BenchError, apt_install, logged, output, say
from .control import reachable

SUITES = ("bullseye", "bookworm", "trixie")
RECIPE = ROOT / "scripts/_bench/host-image"
MACHINE_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
MAX_AGE_DAYS = 7
"""The image holds package lists; Debian's mirrors drop superseded packages after a while."""


def name(suite: str) -> str:
    """The image of a bare host."""
    return f"webstack-bare:{suite}"


def _recipe_digest() -> str:
    digest = hashlib.sha256()
    for path in [*sorted(RECIPE.iterdir()), MACHINE_CERTIFICATES]:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:16]


def _base(suite: str) -> str:
    """A plain Debian image: Docker Hub's, or one made from Debian's packages."""
    if reachable("https://registry-1.docker.io/v2/"):
        hub = f"debian:{suite}"
        if output(["docker", "image", "inspect", "--format", "{{.Id}}", hub]) or output(["docker", "pull", "--quiet", hub], timeout=300):
            return hub
    raw = f"webstack-debian:{suite}"
    if output(["docker", "image", "inspect", "--format", "{{.Id}}", raw]):
        return raw
    if output(["mmdebstrap", "--version"]) is None:
        apt_install("mmdebstrap", "debian-archive-keyring")
    say(f"Docker Hub does not answer; making a Debian {suite} image from packages (about 30 s)")
    tar = CACHE / f"{suite}.tar"
    hint = "Look whether this machine reaches Debian's package mirrors, and run again."
    try:
        logged(["mmdebstrap", "--variant=minbase", "--include=ca-certificates", suite, str(tar)], f"image-{suite}", hint=hint)
        logged(["docker", "import", str(tar), raw], f"image-{suite}", hint=hint)
    finally:
        tar.unlink(missing_ok=True)
    return raw


def ensure(suite: str) -> str:
    """The name of a bare host's image of this suite, made unless a recent one from the same recipe is there."""
    if suite not in SUITES:
        raise BenchError(f"no bare host of suite {suite!r}; there are {', '.join(SUITES)}")
    recipe = _recipe_digest()
    labels = '{{index .Config.Labels "webstack.bench.recipe"}} {{index .Config.Labels "webstack.bench.made"}}'
    there = (output(["docker", "image", "inspect", "--format", labels, name(suite)]) or "").split()
    if len(there) == 2 and there[0] == recipe and time.time() - float(there[1]) < MAX_AGE_DAYS * 86400:
        return name(suite)
    base = _base(suite)
    say(f"making the image {name(suite)} of a bare host (about a minute)")
    context = CACHE / f"context-{suite}"
    context.mkdir(parents=True, exist_ok=True)
    for path in RECIPE.iterdir():
        (context / path.name).write_bytes(path.read_bytes())
    (context / "machine.pem").write_bytes(MACHINE_CERTIFICATES.read_bytes() if MACHINE_CERTIFICATES.is_file() else b"")
    logged(["docker", "build", "--build-arg", f"BASE={base}", "--build-arg", f"MADE={int(time.time())}", "--label", f"webstack.bench.recipe={recipe}",
            "--label", f"webstack.bench.made={int(time.time())}", "--tag", name(suite), str(context)], f"image-{suite}",
           hint="Look whether containers of this engine reach Debian's mirror, and run again.")
    return name(suite)
