"""Makes a release of the collection.

    ./scripts/release 0.2.0 --key KEY                  checks, writes the changelog, commits, tags, builds, signs, and publishes on Ansible Galaxy
    ./scripts/release 0.2.0 --key KEY --dry-run        the same without commit, tag and publication; leaves tarball and signature in .cache/release
    ./scripts/release 0.2.0 --key KEY --server NAME    publishes on the server that has this name in ansible-galaxy's own configuration
    ./scripts/release 0.2.0 --key KEY --server URL     publishes on another Galaxy server

KEY is what gpg knows the signing key by. NAME is one of server_list in ansible.cfg (or ANSIBLE_GALAXY_SERVER_LIST), whose token, or user and password, are
there or in ANSIBLE_GALAXY_SERVER_NAME_TOKEN, _USERNAME, _PASSWORD. For a URL, Ansible Galaxy's too, the token is read from GALAXY_TOKEN. Nothing
secret is on the command line.

All of it happens in a clone of the last commit: nothing that is not committed gets into a release, and one that fails at any point, the publication
included, leaves the repository as it was. Then the branch gets two commits, the release and the version that is worked on next, and the tag.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from . import CACHE, ROOT, BenchError, control, galaxy_client, guarded, logged, say, setup_lock

OUT = CACHE / "release"
SERVER = "https://galaxy.ansible.com/"
SEMVER = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")
DEVELOPMENT = "-dev"
"""What the version has between releases: 0.2.0-dev is what becomes 0.2.0."""


def number(version: str) -> tuple[int, ...]:
    """MAJOR.MINOR.PATCH as numbers. Raises BenchError for anything else."""
    if not SEMVER.fullmatch(version):
        raise BenchError(f"version {version!r}: a release is called MAJOR.MINOR.PATCH, as in 0.2.0")
    return tuple(map(int, version.split(".")))


def successor(version: str) -> str:
    """The version that is worked on after a release. Pure."""
    major, minor, _patch = number(version)
    return f"{major}.{minor + 1}.0{DEVELOPMENT}"


def versioned(galaxy: str, version: str) -> str:
    """The text of galaxy.yml with another version. Pure."""
    text, count = re.subn(r"(?m)^version: .*$", f"version: {version}", galaxy)
    if count != 1:
        raise BenchError("galaxy.yml has no line with its version; write one: version: 0.1.0")
    return text


def refusals(version: str, current: str, changes: dict[str, Any], fragments: Sequence[str], tags: Sequence[str], dirty: str) -> list[str]:
    """Why this version can not be released now, sentence by sentence. Pure.

    :param current: the version in galaxy.yml; changes: changelogs/changelog.yaml; fragments: names of files in changelogs/fragments;
        dirty: what ``git status --porcelain`` says.
    """
    released = changes.get("releases") or {}
    used = {name for release in released.values() for name in release.get("fragments", [])}
    found = []
    if dirty:
        found.append(f"the work tree has changes that are not committed; commit or stash them:\n{dirty}")
    if version in released:
        found.append(f"version {version} is in changelogs/changelog.yaml already; name the next one")
    elif late := [other for other in released if number(other) > number(version)]:
        found.append(f"version {version} comes before {max(late, key=number)}, which is released; name a later one")
    if current != version + DEVELOPMENT:
        found.append(f"galaxy.yml has the version {current}, which does not become {version}; change it to {version}{DEVELOPMENT} in a commit, or release "
                     f"{current.removesuffix(DEVELOPMENT)}")
    if not set(fragments) - used:
        found.append("no fragment in changelogs/fragments is new; say there what has changed")
    if f"v{version}" in tags:
        found.append(f"the tag v{version} is there already; see: git show v{version}")
    return found


class Clone:
    """A clone of the repository's last commit at a path that antsibull-changelog and ansible-galaxy take for the collection's."""

    def __init__(self, top: Path) -> None:
        self.root = top / "ansible_collections/gantry/webstack"
        self.env = {"ANSIBLE_COLLECTIONS_PATH": str(top), "PYTHONPATH": ""}
        logged(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(self.root)], "release", hint="Look whether git can read this repository.")
        for key in ("user.name", "user.email"):
            value = git(ROOT, "config", key, check=False)
            if value:
                git(self.root, "config", key, value)

    def commit(self, message: str) -> None:
        """Everything that has changed, as one commit."""
        git(self.root, "add", "--all")
        git(self.root, "commit", "--quiet", "--message", message)

    def run(self, *argv: str, hint: str = "") -> None:
        """A command of the control node's, in the clone."""
        logged(["env", "--chdir", str(self.root), control.tool(argv[0]), *argv[1:]], "release", hint=hint, env=self.env)

    def version(self, version: str) -> None:
        """Put a version into galaxy.yml."""
        path = self.root / "galaxy.yml"
        path.write_text(versioned(path.read_text(encoding="utf-8"), version), encoding="utf-8")


def git(root: Path, *words: str, check: bool = True) -> str:
    """What git prints. Raises BenchError when it fails."""
    done = subprocess.run(["git", "-c", f"safe.directory={root}", *words], cwd=root, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise BenchError(f"git {' '.join(words[:2])}: {done.stderr.strip()}")
    return done.stdout.strip()


def sign(tarball: Path, key: str) -> Path:
    """A detached signature of the tarball's MANIFEST.json, which is what ansible-galaxy verifies; its path."""
    signature = tarball.with_name(tarball.name.removesuffix(".tar.gz") + ".asc")
    signature.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as top:
        with tarfile.open(tarball) as tar:
            manifest = tar.extractfile("MANIFEST.json")
            if manifest is None:
                raise BenchError(f"{tarball} has no MANIFEST.json")
            (Path(top) / "MANIFEST.json").write_bytes(manifest.read())
        logged(["gpg", "--batch", "--local-user", key, "--armor", "--detach-sign", "--output", str(signature), f"{top}/MANIFEST.json"], "release",
               hint=f"Look whether gpg has a secret key {key!r}: gpg --list-secret-keys")
    return signature


def verify(tarball: Path, signature: Path, key: str) -> None:
    """Install the tarball by a requirements file, and have ansible-galaxy check the signature and, by it, every file, as users do.

    ansible-galaxy takes signatures at the installation itself from a server only, not beside a tarball.
    """
    galaxy = control.tool("ansible-galaxy")
    with tempfile.TemporaryDirectory() as top:
        keyring, env = Path(top) / "keyring.gpg", {"ANSIBLE_COLLECTIONS_PATH": top, "PYTHONPATH": ""}
        logged(["gpg", "--batch", "--output", str(keyring), "--export", key], "release", hint="")
        requirements = Path(top) / "requirements.yml"
        requirements.write_text(f"collections:\n  - {{name: '{tarball}', type: file}}\n", encoding="utf-8")
        logged([galaxy, "collection", "install", "--offline", "--no-deps", "-p", top, "-r", str(requirements)], "release", hint="", env=env)
        logged([galaxy, "collection", "verify", "--offline", "--keyring", str(keyring), "--required-valid-signature-count", "+1",
                "--signature", signature.as_uri(), "gantry.webstack"], "release", hint="The signature does not fit the tarball.", env=env)


def importer(log: Path, tarball: Path) -> list[str]:
    """What Ansible Galaxy's own importer complains about, line by line; its whole output goes to ``log``."""
    found = _import(log, tarball)
    if any(line.endswith("Timeout on call to ansible-lint") for line in found):  # its own limit, which a busy machine meets; ./scripts/test lint has none
        say("the importer gave ansible-lint up for the time it took; asking it again without")
        found = _import(log, tarball, GALAXY_IMPORTER_RUN_ANSIBLE_LINT="false")
    return found


def _import(log: Path, tarball: Path, **settings: str) -> list[str]:
    argv = [control.tool("python"), "-m", "galaxy_importer.main", str(tarball)]
    env = {**os.environ, "PYTHONPATH": "", "ANSIBLE_COLLECTIONS_PATH": "", **settings}
    done = subprocess.run(argv, cwd=log.parent, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    log.write_text(done.stdout, encoding="utf-8")
    return complaints(done.returncode, done.stdout)


def complaints(code: int, text: str) -> list[str]:
    """The lines of the importer's output that are an error or a warning. Pure."""
    found = [line for line in text.splitlines() if re.match(r"(WARNING|ERROR|CRITICAL)\b", line)]
    if code or "Importer processing completed successfully" not in text:
        found.append(f"the importer ended with code {code}: {text.strip().splitlines()[-1] if text.strip() else 'it said nothing'}")
    return found


def check(version: str) -> None:
    """Raises BenchError with everything that stands in the way."""
    import yaml  # of the control node's environment; this file is read before that is there

    galaxy = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))
    changes = yaml.safe_load((ROOT / "changelogs/changelog.yaml").read_text(encoding="utf-8"))
    fragments = [path.name for path in (ROOT / "changelogs/fragments").glob("*.yml")]
    found = refusals(version, galaxy["version"], changes, fragments, git(ROOT, "tag", "--list").split(), git(ROOT, "status", "--porcelain"))
    if found:
        raise BenchError("not released:\n" + "\n".join(f"  - {sentence}" for sentence in found))


def release(version: str, key: str, publish: Callable[[Path], None] | None) -> Path:
    """All of it, as a dry run without ``publish``; the tarball's path."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="webstack-release-") as top:
        clone = Clone(Path(top))
        say("checking the fragments and writing the changelog")
        clone.run("antsibull-changelog", "lint", hint="Correct the fragment that it names.")
        clone.version(version)
        clone.run("antsibull-changelog", "release", "--version", version, hint="")
        clone.commit(f"Release {version}")
        say("building from the commit, and asking Galaxy's importer")
        clone.run("ansible-galaxy", "collection", "build", "--output-path", str(OUT), hint="")
        tarball = OUT / f"gantry-webstack-{version}.tar.gz"
        wrong = importer(OUT / "importer.log", tarball)
        if wrong:
            raise BenchError("Galaxy's importer complains:\n" + "\n".join(f"  {line}" for line in wrong[:20]) + f"\n  all it said: {OUT / 'importer.log'}")
        say("signing, installing, and verifying what is installed by the signature")
        signature = sign(tarball, key)
        verify(tarball, signature, key)
        if publish is None:
            say(f"dry run: not committed, not tagged, not published; {tarball} and {signature.name} are there")
            return tarball
        publish(tarball)
        git(clone.root, "tag", "--annotate", f"v{version}", "--message", f"gantry.webstack {version}")
        clone.version(successor(version))
        clone.commit(f"Work on {successor(version)}")
        git(ROOT, "pull", "--quiet", "--ff-only", "--tags", str(clone.root), "HEAD")
    say(f"released {version}; push it: git push --follow-tags. "
        f"Attach {signature} to the release's page: ansible-galaxy collection verify takes it by --signature")
    return tarball


def main() -> int:
    parser = argparse.ArgumentParser(prog="release", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("version")
    parser.add_argument("--key", required=True, help="what gpg knows the signing key by")
    parser.add_argument("--server", default=SERVER, help="the Galaxy server: its name in ansible-galaxy's configuration, or its URL")
    parser.add_argument("--dry-run", action="store_true")
    options = parser.parse_args()
    number(options.version)
    own = galaxy_client.configured(os.environ)  # control.setup takes it away
    with setup_lock():
        control.setup()
    python = control.tool("python")
    if not sys.executable.startswith(str(control.VENV)):  # YAML is read by the environment's own Python
        os.execve(python, [python, "-m", "_bench.release", *sys.argv[1:]], {**os.environ, **own, "PYTHONPATH": str(ROOT / "scripts")})
    check(options.version)
    if options.dry_run:
        release(options.version, options.key, None)
        return 0
    with galaxy_client.client(options.server, own) as server:
        server.refuse_held(options.version)

        def publish(tarball: Path) -> None:
            say(f"publishing on {options.server}")
            server.publish(tarball)

        release(options.version, options.key, publish)
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
