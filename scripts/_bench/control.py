"""The control node: a virtual environment with the pinned tools, and a tree of collections with this checkout in it."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

from . import CACHE, LOGS, ROOT, BenchError, apt_install, logged, output, say

VENV = CACHE / "venv"
TREE = CACHE / "tree"
REQUIREMENTS = ROOT / "requirements-dev.txt"

COLLECTIONS = {"awx.awx": "24.6.1", "community.docker": "4.8.5", "community.library_inventory_filtering_v1": "1.1.5"}
"""What the collection and its tests need beside ansible-core; the same versions as in ANSIBLE_WHEEL."""

ANSIBLE_WHEEL = "ansible==12.3.0"
"""The PyPI package that carries those collections, for machines that do not reach Ansible Galaxy."""

OLDEST, NEWEST = (3, 11), (3, 13)
"""Pythons that ansible-core 2.19 has as control node."""


def reachable(url: str, timeout: float = 5) -> bool:
    """Whether a server answers at all, with whatever status."""
    try:
        urllib.request.urlopen(url, timeout=timeout).close()
    except urllib.error.HTTPError as exc:
        return exc.code < 500 and exc.code not in (403, 407)
    except (OSError, ValueError):
        return False
    return True


def interpreter() -> str:
    """A Python that the control node can use: the one we run on, or another on PATH."""
    if OLDEST <= sys.version_info[:2] <= NEWEST:
        return os.path.realpath(sys.executable)
    for minor in range(NEWEST[1], OLDEST[1] - 1, -1):
        found = output([f"python3.{minor}", "-c", "import sys; print(sys.executable)"])
        if found:
            return os.path.realpath(found)
    raise BenchError("the control node needs Python 3.11, 3.12 or 3.13; install one of them (Debian 12 has 3.11, Debian 13 has 3.13)")


def _stamp() -> str:
    return hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()


def venv() -> None:
    """Make the virtual environment from requirements-dev.txt, unless the one there was made from the same file."""
    stamp = VENV / ".requirements"
    if stamp.is_file() and stamp.read_text(encoding="utf-8") == _stamp() and output([str(VENV / "bin/python"), "--version"]):
        return
    shutil.rmtree(VENV, ignore_errors=True)
    CACHE.mkdir(exist_ok=True)
    python = interpreter()
    if output([python, "-c", "import ensurepip, venv"]) is None:
        version = output([python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"])
        apt_install(f"python{version}-venv" if python.startswith("/usr/bin/") else "python3-venv")
    say("installing the control node's tools into .cache/venv (about a minute)")
    hint = "Look whether this machine reaches PyPI (pip download uv), and run again."
    logged([python, "-m", "venv", str(VENV)], "venv", hint=hint)
    pip = [str(VENV / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    uv_pin = next(line.split(";")[0].strip() for line in REQUIREMENTS.read_text(encoding="utf-8").splitlines() if line.startswith("uv=="))
    uv = VENV / "bin/uv"
    try:
        logged([*pip, uv_pin], "venv", hint=hint, timeout=120)
        logged([str(uv), "pip", "install", "--quiet", "--python", str(VENV / "bin/python"), "-r", str(REQUIREMENTS)], "venv", hint=hint)
    except BenchError:  # uv reads neither pip's configuration nor every proxy's certificates; pip may still work
        say("uv could not install them; trying pip")
        logged([*pip, "-r", str(REQUIREMENTS)], "venv", hint=hint)
    stamp.write_text(_stamp(), encoding="utf-8")


def side_venv(name: str, python: Path, requirements: Path) -> Path:
    """An environment of its own in CACHE/``name`` with what a requirements file names; its Python. Made anew when the file has changed."""
    place = CACHE / name
    stamp, wanted = place / ".requirements", requirements.read_text(encoding="utf-8")
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        say(f"installing {requirements.relative_to(ROOT)} into .cache/{name}")
        shutil.rmtree(place, ignore_errors=True)
        hint = "Look whether this machine reaches PyPI, and run again."
        logged([str(python), "-m", "venv", str(place)], name, hint=hint)
        logged([str(place / "bin/python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-r", str(requirements)], name, hint=hint)
        stamp.write_text(wanted, encoding="utf-8")
    return place / "bin/python"


def _from_wheel() -> None:
    """Unpack the needed collections out of the PyPI package ``ansible``."""
    wheels = CACHE / "wheel"
    say(f"Ansible Galaxy does not answer; taking collections out of {ANSIBLE_WHEEL} from PyPI (51 MB)")
    logged([str(VENV / "bin/python"), "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps", "--only-binary=:all:",
            "--dest", str(wheels), ANSIBLE_WHEEL], "collections", hint="Look whether this machine reaches PyPI, and run again.")
    prefixes = tuple(f"ansible_collections/{name.replace('.', '/')}/" for name in COLLECTIONS)
    with zipfile.ZipFile(next(wheels.glob("ansible-*.whl"))) as wheel:
        wheel.extractall(TREE, [name for name in wheel.namelist() if name.startswith(prefixes)])
    shutil.rmtree(wheels)


def _from_galaxy() -> bool:
    """Install the needed collections from Ansible Galaxy; False when it does not answer or does not deliver."""
    if not reachable("https://galaxy.ansible.com/api/"):
        return False
    say("installing collections from Ansible Galaxy")
    wanted = [f"{name}:=={version}" for name, version in COLLECTIONS.items()]
    try:
        logged([str(VENV / "bin/ansible-galaxy"), "collection", "install", "--no-deps", "-p", str(TREE), *wanted],
               "collections", hint="", timeout=120)
    except BenchError:
        return False
    return True


def collections() -> None:
    """TREE/ansible_collections with the collections we need and this checkout as gantry.webstack."""
    stamp = TREE / ".collections"
    wanted = " ".join(f"{name}=={version}" for name, version in COLLECTIONS.items())
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted):
        shutil.rmtree(TREE, ignore_errors=True)
        TREE.mkdir(parents=True)
        if not _from_galaxy():
            _from_wheel()
        stamp.write_text(wanted, encoding="utf-8")
    link = TREE / "ansible_collections/gantry/webstack"
    link.parent.mkdir(parents=True, exist_ok=True)
    if not link.is_symlink() or link.resolve() != ROOT:
        link.unlink(missing_ok=True)
        link.symlink_to(ROOT)


def environment() -> dict[str, str]:
    """What commands need in their environment to use the tools and the tree."""
    path = [entry for entry in os.environ["PATH"].split(os.pathsep) if entry != str(VENV / "bin")]
    return {
        "PATH": os.pathsep.join([str(VENV / "bin"), *path]),
        "VIRTUAL_ENV": str(VENV),
        "PYTHONPATH": str(TREE),
        "ANSIBLE_HOME": str(CACHE / "ansible"),
        "ANSIBLE_COLLECTIONS_PATH": str(TREE),
        "ANSIBLE_PIPELINING": "1",
        "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_RETRY_FILES_ENABLED": "0",
    }


def setup() -> None:
    """The tools, the tree and the environment, ready for use."""
    LOGS.mkdir(parents=True, exist_ok=True)
    venv()
    collections()
    os.environ.update(environment())
    # A shell's own Ansible settings would make a run differ from machine to machine.
    for name in [name for name in os.environ if name.startswith("ANSIBLE_") and name not in environment()]:
        del os.environ[name]
    os.environ.pop("PYTHONHOME", None)


def tool(name: str) -> str:
    """The path of one of the venv's programs."""
    return str(VENV / "bin" / name)


def python_versions() -> dict[str, Path]:
    """Pythons on this machine by version ("3.9"), the oldest first, real binaries rather than shims; for tests over several versions."""
    found: dict[str, Path] = {}
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in range(9, 14):
        version = f"3.{minor}"
        places = [Path(f"/usr/bin/python{version}"), Path(f"/usr/local/bin/python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))]
        for place in places:
            if place.is_file() and subprocess.run([place, "-c", "import venv, ensurepip"], check=False, capture_output=True).returncode == 0:
                found[version] = place
                break
    return found
