"""A Docker Engine: the one that answers, or one that we install and start."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import time
from pathlib import Path

from . import CACHE, BenchError, apt_install, logged, output, say

HOME = CACHE / "engine"
PIDFILE = HOME / "docker.pid"
CAP_SYS_RESOURCE = 24  # linux/capability.h
DIGEST = hashlib.sha256(str(HOME).encode()).hexdigest()
BRIDGE, BRIDGE_ADDRESS = f"webstack-{DIGEST[:6]}", f"172.30.{int(DIGEST[:2], 16)}.1/24"
"""Each checkout's engine has a bridge of its own: two engines on one would give the same address to two containers."""


def _answers(host: str | None) -> bool:
    """Whether an engine answers at ``host`` (None: where the client looks by itself)."""
    argv = ["docker", *(["--host", host] if host else []), "version", "--format", "{{.Server.Version}}"]
    return bool(output(argv, timeout=15))


def _run_dir() -> Path:
    """Where our engine's sockets are; below /run when the checkout's path is too long for a socket's name (108 bytes)."""
    return HOME if len(str(HOME)) < 60 else Path("/run") / f"webstack-engine-{DIGEST[:8]}"


def _client() -> None:
    """The docker command, which Ansible's docker connection uses."""
    if output(["docker", "--version"]) is not None:
        return
    if os.path.exists("/var/run/docker.sock"):
        # Debian 13 has the client in a package of its own; in Debian 12 it is part of docker.io.
        apt_install("docker-cli" if output(["apt-cache", "show", "docker-cli"]) else "docker.io")
    else:
        _install()


def _install() -> None:
    apt_install("docker.io", "iptables", *(["docker-cli"] if output(["apt-cache", "show", "--no-all-versions", "docker-cli"]) else []))


def _wait(host: str | None, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if _answers(host):
            return True
        time.sleep(0.5)
    return False


def _bridge() -> list[str]:
    """dockerd's bridge options: a bridge of our own when another engine has docker0 already."""
    if not os.path.exists("/sys/class/net/docker0"):
        return []
    if not os.path.exists(f"/sys/class/net/{BRIDGE}"):
        if output(["ip", "-V"]) is None:
            apt_install("iproute2")
        for argv in (["link", "add", "name", BRIDGE, "type", "bridge"], ["addr", "add", BRIDGE_ADDRESS, "dev", BRIDGE], ["link", "set", BRIDGE, "up"]):
            logged(["ip", *argv], "engine", hint="Making a network bridge for the engine failed; start a Docker Engine yourself and set DOCKER_HOST.")
    return ["--bridge", BRIDGE]


def _start_own(socket: Path) -> None:
    """Start dockerd as a process of our own, on a machine without systemd."""
    say("starting a Docker Engine in .cache/engine")
    HOME.mkdir(parents=True, exist_ok=True)
    socket.parent.mkdir(parents=True, exist_ok=True)
    PIDFILE.unlink(missing_ok=True)
    # A machine that is a container itself may not switch IPv6 off per interface, which Docker 26 and newer insist on.
    env = {**os.environ, "DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE": "1"}
    with (HOME / "dockerd.log").open("ab") as log:
        subprocess.Popen(["dockerd", "--data-root", str(HOME / "data"), "--exec-root", str(socket.parent / "exec"), "--pidfile", str(PIDFILE),
                          "--host", f"unix://{socket}", *_bridge()],
                         stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True, env=env)
    if not _wait(f"unix://{socket}", 60):
        tail = "\n".join((HOME / "dockerd.log").read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
        raise BenchError(f"dockerd did not start:\n{tail}\nStart a Docker Engine yourself, set DOCKER_HOST, and run again.")


def unavailable_capabilities() -> list[str]:
    """What a container of ours must drop from ALL: engines before 23 hand out even what the machine itself lacks, and fail."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    bounding = int(next(line.split()[1] for line in status.splitlines() if line.startswith("CapBnd:")), 16)
    if bounding >> CAP_SYS_RESOURCE & 1:
        return []
    version = output(["docker", "version", "--format", "{{.Server.Version}}"]) or "0"
    return ["SYS_RESOURCE"] if int(version.split(".")[0]) < 23 else []


def setup() -> None:
    """Have an engine, and say in the environment how Molecule's create.yml shall use it."""
    _find()
    os.environ["WEBSTACK_CAP_DROP"] = ",".join(unavailable_capabilities())


def _find() -> None:
    """Make sure that an engine answers and that DOCKER_HOST names it when it is not where clients look by themselves."""
    _client()
    given = os.environ.get("DOCKER_HOST")
    if given and _answers(given):
        return
    if given:
        say(f"no Docker Engine answers at DOCKER_HOST={given}; looking elsewhere")
        del os.environ["DOCKER_HOST"]
    socket = _run_dir() / "docker.sock"
    own = f"unix://{socket}"
    if socket.exists() and _answers(own):
        os.environ["DOCKER_HOST"] = own
        return
    if _answers(None):
        return
    if os.geteuid() != 0:
        raise BenchError("no Docker Engine answers and starting one needs root; start it, or run as root")
    if output(["dockerd", "--version"]) is None:
        _install()
    if os.path.isdir("/run/systemd/system"):
        say("starting Docker Engine (systemd)")
        logged(["systemctl", "enable", "--now", "docker.service"], "engine", hint="Look at: journalctl -u docker.service")
        if not _wait(None, 60):
            raise BenchError("Docker Engine was started but does not answer; look at: journalctl -u docker.service")
    elif not _wait(None, 3):  # the package's init script may have started it
        _start_own(socket)
        os.environ["DOCKER_HOST"] = own


def stop() -> None:
    """Stop the engine that ``setup`` started as a process of its own, if there is one; its data stays."""
    try:
        pid = int(PIDFILE.read_text(encoding="utf-8"))
        cmdline = Path(f"/proc/{pid}/cmdline").read_bytes()
    except (OSError, ValueError):
        return
    if str(HOME).encode() in cmdline:
        say("stopping the Docker Engine in .cache/engine")
        os.kill(pid, signal.SIGTERM)
        end = time.monotonic() + 30  # it stops its containers first
        while time.monotonic() < end and os.path.exists(f"/proc/{pid}"):
            time.sleep(0.2)
        output(["ip", "link", "delete", BRIDGE])
