"""What ./scripts/test and ./scripts/demo share: the control node's tools, a Docker Engine, images and bare hosts.

Standard library only, Python 3.11 or newer: this runs before anything is installed. The functions change os.environ,
so that every command started afterwards finds the tools and the engine.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".cache"
LOGS = CACHE / "logs"


class BenchError(Exception):
    """Something could not be set up; the message says what to do next."""


def say(text: str) -> None:
    """One line about what is going on."""
    print(f"> {text}", flush=True)


def _tail(path: Path, lines: int = 25) -> str:
    text = path.read_text(encoding="utf-8", errors="replace").splitlines()
    return "\n".join(f"  | {line}" for line in text[-lines:])


def logged(argv: Sequence[str], log: str, *, hint: str, env: Mapping[str, str] | None = None, timeout: float = 900) -> None:
    """Run a command with its output in LOGS/``log``.log; on failure raise BenchError with the log's end and ``hint``."""
    LOGS.mkdir(parents=True, exist_ok=True)
    path = LOGS / f"{log}.log"
    with path.open("a", encoding="utf-8") as out:
        out.write(f"$ {' '.join(argv)}\n")
        out.flush()
        try:
            done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, timeout=timeout,
                                  env={**os.environ, **(env or {})}, cwd=ROOT, check=False)
            why = f"ended with code {done.returncode}" if done.returncode else ""
        except FileNotFoundError:
            why = "is not installed"
        except subprocess.TimeoutExpired:
            why = f"took longer than {timeout:.0f} s"
    if why:
        raise BenchError(f"{' '.join(argv[:4])} {why}:\n{_tail(path)}\n  whole log: {path}\n{hint}")


def output(argv: Sequence[str], timeout: float = 60) -> str | None:
    """What a command prints on stdout, stripped; None when it fails or is not there."""
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              text=True, errors="replace", timeout=timeout, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def apt_install(*packages: str) -> None:
    """Install Debian packages on this machine."""
    names = ", ".join(packages)
    if output(["apt-get", "--version"]) is None:
        raise BenchError(f"this machine has no apt-get; install {names} in its own way and run again")
    if os.geteuid() != 0:
        raise BenchError(f"installing {names} needs root; run as root, or: sudo apt-get install {' '.join(packages)}")
    say(f"installing {names} (apt)")
    env = {"DEBIAN_FRONTEND": "noninteractive", "NEEDRESTART_MODE": "l"}
    options = ["-o", "DPkg::Lock::Timeout=300", "-o", "Acquire::Retries=3"]
    hint = "Look whether the machine reaches its Debian mirror (apt-get update), and run again."
    with contextlib.suppress(BenchError):  # a third-party source that does not answer must not stop us; the install decides
        logged(["apt-get", *options, "update"], "apt", hint=hint, env=env)
    logged(["apt-get", *options, "install", "-y", "--no-install-recommends", *packages], "apt", hint=hint, env=env)


@contextlib.contextmanager
def setup_lock() -> Iterator[None]:
    """Only one run at a time sets things up in one checkout; a second one waits."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another run in this checkout to finish setting up")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def guarded(main: Callable[[], int]) -> int:
    """Run ``main``; a BenchError ends it with its message and code 2, SIGTERM as Ctrl-C does, with what it started."""
    started = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return main()
    except BenchError as exc:
        print(f"error: {exc}", file=sys.stderr, flush=True)
        return 2
    except KeyboardInterrupt:
        print(f"\ninterrupted after {time.monotonic() - started:.0f} s", file=sys.stderr)
        return 130
