# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service's Python: interpreter, venv, distributions, files that differ from what was installed.

Sources: PEP 376 and the packaging specification (dist-info, RECORD, direct_url.json), PEP 405 (pyvenv.cfg).
"""

from __future__ import annotations

import base64
import csv
import email.parser
import hashlib
import json
import os
import re
from typing import Any, Dict, List, NamedTuple, Optional, Set, Tuple

_HASHED_BYTES = 400 * 1024 * 1024
_MAX_SITE = 2000


class Python(NamedTuple):
    """``site`` are the directories of distributions that belong to the service alone; ``shared`` those of the interpreter."""

    short: str
    venv: Optional[str]
    interpreter: Optional[str]
    full: Optional[str]
    site: List[str]
    shared: List[str]


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            return handle.read()
    except OSError:
        return ""


def pyvenv(venv: str) -> Dict[str, str]:
    """The settings of a venv's pyvenv.cfg; empty when it is not a venv."""
    found = {}
    for line in _read(os.path.join(venv, "pyvenv.cfg")).splitlines():
        key, equal, value = line.partition("=")
        if equal:
            found[key.strip().lower()] = value.strip()
    return found


def short_version(maps: List[str], venv: Optional[str]) -> Optional[str]:
    """``3.11`` from what the process has mapped: libpython, a uWSGI plugin, an extension module; else from the venv."""
    for pattern in (r"/libpython(3\.\d+)[^/]*\.so", r"/python3(\d+)_plugin\.so", r"/python(3\.\d+)/"):
        for path in maps:
            match = re.search(pattern, path)
            if match:
                return match.group(1) if "." in match.group(1) else "3." + match.group(1)
    for name in sorted(os.listdir(os.path.join(venv, "lib"))) if venv and os.path.isdir(os.path.join(venv, "lib")) else []:
        if re.fullmatch(r"python3\.\d+", name):
            return name[6:]
    return None


def describe(maps: List[str], venv: Optional[str]) -> Optional[Python]:
    """The Python that a process runs; None when nothing of Python is mapped and there is no venv."""
    short = short_version(maps, venv)
    if short is None:
        return None
    settings = pyvenv(venv) if venv else {}
    interpreter = _interpreter(short, venv, settings)
    prefix = os.path.dirname(os.path.dirname(interpreter)) if interpreter else "/usr"
    shared = [os.path.join(prefix, "lib/python%s/site-packages" % short)]
    if prefix in ("/usr", "/"):
        shared = ["/usr/local/lib/python%s/dist-packages" % short, "/usr/lib/python3/dist-packages"]
    site = [os.path.join(venv, "lib/python%s/site-packages" % short)] if venv else []
    if venv and settings.get("include-system-site-packages", "false").lower() != "true":
        shared = []
    if not venv:
        site, shared = shared[:1], shared[1:]
    full = settings.get("version") or settings.get("version_info", "")
    match = re.match(r"\d+\.\d+\.\d+", full)
    return Python(short, venv, interpreter, match.group() if match and match.group().startswith(short + ".") else None,
                  [path for path in site if os.path.isdir(path)], [path for path in shared if os.path.isdir(path)])


def _interpreter(short: str, venv: Optional[str], settings: Dict[str, str]) -> Optional[str]:
    candidates = []
    if venv:
        candidates = [os.path.join(venv, "bin", name) for name in ("python" + short, "python3", "python")]
        candidates += [os.path.join(settings["home"], "python" + short)] if "home" in settings else []
    candidates += ["/usr/bin/python" + short, "/usr/local/bin/python" + short]
    for path in candidates:
        if os.path.isfile(path):
            return os.path.realpath(path)
    return None


def distributions(directories: List[str]) -> Tuple[List[Dict[str, str]], List[str], List[str]]:
    """({name, version} sorted by name, paths of their metadata, editable installs as ``NAME PATH``)."""
    found: Dict[str, Dict[str, str]] = {}
    metadata: List[str] = []
    editable: Set[str] = set()
    for directory in directories:
        try:
            names = sorted(os.listdir(directory))[:_MAX_SITE * 10]
        except OSError:
            continue
        for name in names:
            path = os.path.join(directory, name)
            if name.endswith((".dist-info", ".egg-info")):
                header = _headers(path)
                if header.get("Name") and header.get("Version"):
                    key = re.sub(r"[-_.]+", "-", header["Name"]).lower()
                    found.setdefault(key, {"name": header["Name"], "version": header["Version"]})
                    metadata.append(path)
                    editable |= _editable(path, header["Name"])
            elif name.endswith(".egg-link"):
                editable.add("%s %s" % (name[:-len(".egg-link")], (_read(path).splitlines() or [""])[0].strip()))
            elif name.startswith("__editable__") and name.endswith(".pth"):
                target = _read(path).strip()
                if target.startswith("/"):
                    editable.add("%s %s" % (re.sub(r"^__editable__\.|-[^-]*\.pth$", "", name), target))
    return [found[key] for key in sorted(found)], metadata, sorted(editable)


def _headers(path: str) -> Dict[str, str]:
    for candidate in (os.path.join(path, "METADATA"), os.path.join(path, "PKG-INFO"), path):
        if os.path.isfile(candidate):
            message = email.parser.HeaderParser().parsestr(_read(candidate))
            return {"Name": str(message.get("Name") or "").strip(), "Version": str(message.get("Version") or "").strip()}
    return {}


def _editable(path: str, name: str) -> Set[str]:
    try:
        direct: Any = json.loads(_read(os.path.join(path, "direct_url.json")) or "{}")
    except ValueError:
        return set()
    if isinstance(direct, dict) and isinstance(direct.get("dir_info"), dict) and direct["dir_info"].get("editable"):
        return {"%s %s" % (name, str(direct.get("url", "")).replace("file://", ""))}
    return set()


def patched(directories: List[str]) -> Tuple[List[str], List[str]]:
    """(files that differ from their distribution's RECORD or are gone, what could not be verified). Bytecode is left out."""
    differing: List[str] = []
    blind: List[str] = []
    budget = _HASHED_BYTES
    for directory in directories:
        for name in sorted(os.listdir(directory)):
            record = os.path.join(directory, name, "RECORD")
            if not name.endswith(".dist-info") or not os.path.isfile(record):
                continue
            for row in csv.reader(_read(record).splitlines()):
                # scripts outside site-packages got their interpreter's path when they were installed
                if len(row) < 3 or not row[1].startswith("sha256=") or row[0].endswith(".pyc") or row[0].startswith(("..", "/")):
                    continue
                path = os.path.normpath(os.path.join(directory, row[0]))
                verdict, read = _verify(path, row[1][7:], row[2], budget)
                budget -= read
                if verdict is None:
                    blind.append("%s was not verified" % path)
                elif not verdict:
                    differing.append(path)
    return differing, blind


def _verify(path: str, wanted: str, size: str, budget: int) -> Tuple[Optional[bool], int]:
    """(matches, bytes read); None when it could not be read or there is no budget left to hash it."""
    try:
        length = os.stat(path).st_size
        if size.isdigit() and int(size) != length:
            return False, 0
        if length > budget:
            return None, 0
        with open(path, "rb") as handle:
            digest = hashlib.sha256(handle.read()).digest()
    except FileNotFoundError:
        return False, 0
    except OSError:
        return None, 0
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == wanted, length
