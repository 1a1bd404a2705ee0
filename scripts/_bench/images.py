"""Local images of bare hosts: Debian with systemd and Python, ready to be installed on by Ansible."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from . import CACHE, ROOT, BenchError, apt_install, logged, output, say
from .control import reachable

SUITES = ("bullseye", "bookworm", "trixie")
BROWSER = ROOT / "scripts/_bench/browser-image"
BROWSER_IMAGE = "webstack-browser"
RECIPE = ROOT / "scripts/_bench/host-image"
MACHINE_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
MAX_AGE_DAYS = 7
"""The image holds package lists; Debian's mirrors drop superseded packages after a while."""


def name(suite: str) -> str:
    """The image of a bare host."""
    return f"webstack-bare:{suite}"


def _recipe_digest(recipe: Path = RECIPE) -> str:
    digest = hashlib.sha256()
    for path in [*sorted(recipe.iterdir()), MACHINE_CERTIFICATES]:
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()[:16]


def debian(suite: str) -> str:
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


def _recent(image: str, recipe: str) -> bool:
    """Whether there is such an image, made a short time ago from this recipe."""
    labels = '{{index .Config.Labels "webstack.bench.recipe"}} {{index .Config.Labels "webstack.bench.made"}}'
    there = (output(["docker", "image", "inspect", "--format", labels, image]) or "").split()
    return len(there) == 2 and there[0] == recipe and time.time() - float(there[1]) < MAX_AGE_DAYS * 86400


def ensure(suite: str) -> str:
    """The name of a bare host's image of this suite, made unless a recent one from the same recipe is there."""
    if suite not in SUITES:
        raise BenchError(f"no bare host of suite {suite!r}; there are {', '.join(SUITES)}")
    recipe = _recipe_digest()
    if _recent(name(suite), recipe):
        return name(suite)
    base = debian(suite)
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


def browser() -> str:
    """The name of an image with Debian's Chromium, made from a bare host's unless it is there."""
    recipe = _recipe_digest(BROWSER)
    if not _recent(BROWSER_IMAGE, recipe):
        base = ensure("bookworm")
        say(f"making the image {BROWSER_IMAGE} with a headless browser (about a minute)")
        logged(["docker", "build", "--build-arg", f"BASE={base}", "--label", f"webstack.bench.recipe={recipe}",
                "--label", f"webstack.bench.made={int(time.time())}", "--tag", BROWSER_IMAGE, str(BROWSER)], "image-browser",
               hint="Look whether containers of this engine reach Debian's mirror, and run again.")
    return BROWSER_IMAGE
