"""A Galaxy server as ansible-galaxy knows it: whether it has a version, and the upload of one."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from . import ROOT, BenchError, control, logged

COLLECTION = "gantry.webstack"
UNKNOWN = "Could not satisfy the following requirements"
"""What ansible-galaxy says of a version, or of a whole collection, that the server does not have."""


@dataclass(frozen=True)
class Client:
    """How ansible-galaxy is told of a server: by a name, and by an environment in which the name means something."""

    name: str
    env: Mapping[str, str]

    def refuse_held(self, version: str) -> None:
        """Ask whether the version is to be had already, as one does who installs it.

        A server may refuse a second upload, or take it when the file differs, so that people get two different things under one number.
        Raises BenchError when it has the version, and when it can not be asked.
        """
        with tempfile.TemporaryDirectory() as top:
            argv = [control.tool("ansible-galaxy"), "collection", "install", "--no-deps", "--no-cache", "-p", top, "-s", self.name,
                    f"{COLLECTION}:=={version}"]
            done = _run(argv, {**self.env, "ANSIBLE_COLLECTIONS_PATH": top})
        if done.returncode == 0:
            raise BenchError(f"not released: the server {self.name} has {COLLECTION} {version} already, and a published version is never changed; "
                             "fetch the last release's commits (git pull --tags), and release the next number")
        if UNKNOWN not in done.stderr:
            raise BenchError(f"not released: the server {self.name} can not be asked for {COLLECTION} {version}; look at its URL and what it is "
                             f"logged in to with:\n{done.stderr.strip()[-1500:]}")

    def publish(self, tarball: Path) -> None:
        """Upload a release and wait until the server has imported it."""
        logged([control.tool("ansible-galaxy"), "collection", "publish", "-s", self.name, str(tarball)], "release", timeout=1800, env=self.env,
               hint="Nothing was committed or tagged. When the server has the version all the same, it needs the next number.")


def _run(argv: list[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(argv, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", check=False,
                          env={**os.environ, "PYTHONPATH": "", **env})


def configured(environment: Mapping[str, str]) -> dict[str, str]:
    """What a shell's environment tells ansible-galaxy of servers. Pure."""
    found = {name: value for name, value in environment.items() if name.startswith("ANSIBLE_GALAXY_") or name == "ANSIBLE_CONFIG"}
    if "ANSIBLE_CONFIG" in found:
        found["ANSIBLE_CONFIG"] = os.path.abspath(found["ANSIBLE_CONFIG"])
    return found


@contextlib.contextmanager
def client(server: str, own: Mapping[str, str]) -> Iterator[Client]:
    """How to reach a server. Secrets stay in files and environments that nobody else reads.

    :param server: a URL, whose token is in GALAXY_TOKEN, or a name of ansible-galaxy's own configuration; own: see ``configured``.
    """
    if "://" not in server:
        done = _run([control.tool("ansible-config"), "dump", "--format", "json"], own)
        settings = json.loads(done.stdout) if done.returncode == 0 else []
        names = next((item["value"] for item in settings if item.get("name") == "GALAXY_SERVER_LIST"), None) or []
        if server not in names:
            raise BenchError(f"--server {server}: ansible-galaxy's configuration has {'the servers ' + ', '.join(names) if names else 'no servers'}; "
                             "name one of server_list in ansible.cfg, or give a URL")
        yield Client(server, own)
        return
    if not os.environ.get("GALAXY_TOKEN"):
        raise BenchError("publishing needs the server's token in the environment: export GALAXY_TOKEN; or try with --dry-run first")
    with tempfile.NamedTemporaryFile("w", suffix=".cfg") as config:
        config.write(f"[galaxy]\nserver_list = release\n[galaxy_server.release]\nurl = {server}\n")
        config.flush()
        yield Client("release", {"ANSIBLE_CONFIG": config.name, "ANSIBLE_GALAXY_SERVER_RELEASE_TOKEN": os.environ["GALAXY_TOKEN"]})
