"""Bare hosts: containers that run systemd and can run an engine of their own."""

from __future__ import annotations

import time
from pathlib import Path

from . import BenchError, logged, output
from .engine import unavailable_capabilities
from .images import ensure

FLAGS = ["--cap-add", "ALL", "--security-opt", "seccomp=unconfined", "--security-opt", "apparmor=unconfined",
         "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp:exec", "--cgroupns=private",
         *(["--sysctl", "net.ipv6.conf.all.disable_ipv6=0"] if Path("/proc/sys/net/ipv6").is_dir() else [])]
"""The same as in extensions/molecule/default/create.yml: everything but --privileged, which not every machine can give."""


def running(name: str) -> bool:
    """Whether the host's container runs."""
    return output(["docker", "inspect", "--format", "{{.State.Running}}", name]) == "true"


def address(name: str) -> str:
    """The host's IP address on the engine's network."""
    return output(["docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name]) or ""


def start(name: str, suite: str, *flags: str, image: str = "") -> None:
    """Start a bare host (again, when it is stopped) and wait until systemd has started everything.

    ``flags`` are further arguments of ``docker run``, and ``image`` another image than the suite's, for a new host only. The host's
    engine keeps its data in the volume NAME-docker.
    """
    if not running(name):
        hint = f"Remove what is left of it with: docker rm -fv {name}; docker volume rm {name}-docker"
        if output(["docker", "inspect", "--format", "{{.Id}}", name]):
            logged(["docker", "start", name], "hosts", hint=hint)
        else:
            drop = [word for capability in unavailable_capabilities() for word in ("--cap-drop", capability)]
            logged(["docker", "run", "--detach", "--name", name, "--hostname", name, *FLAGS, *drop, "--volume", f"{name}-docker:/var/lib/docker",
                    "--label", "webstack.bench=host", *flags, image or ensure(suite)], "hosts", hint=hint)
    state = ""
    for dummy in range(120):
        # is-system-running ends with code 1 for anything but "running".
        state = output(["docker", "exec", name, "sh", "-c", "systemctl is-system-running || true"]) or ""
        if state in ("running", "degraded"):
            return
        if not running(name):
            break
        time.sleep(0.5)
    raise BenchError(f"the bare host {name} did not come up (systemd says {state or 'nothing'}); look at: docker logs {name}")


def remove(name: str) -> None:
    """Remove a bare host and its volume; nothing to do is no error."""
    output(["docker", "rm", "--force", "--volumes", name])
    output(["docker", "volume", "rm", "--force", f"{name}-docker"])
