# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service's Python: its interpreter and where that came from, its virtual environment, the directories that it imports distributions from.

Sources: PEP 405 (pyvenv.cfg), site(library), pyenv's, uv's and conda's own layouts.
"""

from __future__ import annotations

import os
import re
from typing import Dict, List, NamedTuple, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_files

ORIGINS = ("package", "tree", "pyenv", "uv", "conda")
"""Where an interpreter can come from; ``tree`` is one that was unpacked or built by hand."""


class Python(NamedTuple):
    """``site`` are the directories of distributions that belong to the service alone; ``shared`` those of the interpreter that it sees too."""

    short: str
    venv: Optional[str]
    interpreter: Optional[str]
    full: Optional[str]
    site: List[str]
    shared: List[str]
    system_site: bool = False


def pyvenv(venv: str) -> Dict[str, str]:
    """The settings of a venv's pyvenv.cfg; empty when it is not a venv."""
    found = {}
    for line in _evidence_files.text(os.path.join(venv, "pyvenv.cfg")).splitlines():
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


def describe(maps: List[str], venv: Optional[str], exe: str = "", paths: Optional[List[str]] = None, home: str = "") -> Optional[Python]:
    """The Python that a process runs; None when nothing of Python is mapped and there is no venv.

    ``paths`` are further directories of sys.path; ``home`` is the user's, whose own site-packages count where a venv does not shut them out.
    """
    short = short_version(maps, venv)
    if short is None:
        return None
    settings = pyvenv(venv) if venv else {}
    interpreter = _interpreter(short, venv, settings, maps, exe)
    prefix = os.path.dirname(os.path.dirname(interpreter)) if interpreter else "/usr"
    shared = [os.path.join(prefix, "lib/python%s/site-packages" % short)]
    if prefix in ("/usr", "/"):
        shared = ["/usr/local/lib/python%s/dist-packages" % short, "/usr/lib/python3/dist-packages"]
    own = [os.path.join(venv, "lib/python%s/site-packages" % short)] if venv else []
    open_venv = not venv or not settings or settings.get("include-system-site-packages", "false").lower() == "true"
    if home and open_venv:
        own.append(os.path.join(home, ".local/lib/python%s/site-packages" % short))
    if not open_venv:
        shared = []
    if not venv:
        own, shared = own + shared[:1], shared[1:]
    own += [path for path in paths or [] if _has_metadata(path)]
    full = settings.get("version") or settings.get("version_info", "")
    match = re.match(r"\d+\.\d+\.\d+", full)
    site = [path for path in dict.fromkeys(own) if os.path.isdir(path)]
    return Python(short, venv, interpreter, match.group() if match and match.group().startswith(short + ".") else None,
                  site, [path for path in shared if os.path.isdir(path) and path not in site], bool(venv and settings and open_venv))


def _has_metadata(path: str) -> bool:
    """Were distributions installed into this directory (pip install --target)?"""
    return any(entry.name.endswith((".dist-info", ".egg-info")) for entry in _evidence_files.entries(path)[0])


def _interpreter(short: str, venv: Optional[str], settings: Dict[str, str], maps: List[str], exe: str) -> Optional[str]:
    """The real path of the program python; links of alternatives, venvs, pyenv and uv are followed."""
    names = ("python" + short, "python3", "python")
    candidates = []
    if venv:
        candidates = [os.path.join(venv, "bin", name) for name in names]
        candidates += [os.path.join(settings["home"], name) for name in names] if "home" in settings else []
    if re.fullmatch(r"python3?(\.\d+)?", os.path.basename(exe)):
        candidates.append(exe)
    for path in maps:  # libpython and the standard library's extension modules lie below the interpreter's prefix
        match = re.match(r"(.*)/lib(?:64)?/(?:[^/]+/)?(?:libpython%s[^/]*\.so[^/]*|python%s/lib-dynload/.*)$" % (re.escape(short), re.escape(short)), path)
        if match:
            candidates.append("%s/bin/python%s" % (match.group(1), short))
    candidates += ["/usr/bin/python" + short, "/usr/local/bin/python" + short]
    for path in candidates:
        if os.path.isfile(path):
            return os.path.realpath(path)
    return None


def origin(interpreter: str, owned: bool) -> str:
    """One of ORIGINS, by the package that owns the interpreter or by the layout that it lies in."""
    prefix = os.path.dirname(os.path.dirname(interpreter))
    above = os.path.dirname(prefix)
    if owned:
        return "package"
    if os.path.isdir(os.path.join(prefix, "conda-meta")):
        return "conda"
    if os.path.basename(above) == "versions" and (os.path.basename(os.path.dirname(above)) in (".pyenv", "pyenv")
                                                  or os.path.isdir(os.path.join(os.path.dirname(above), "shims"))):
        return "pyenv"
    # cpython-3.12.4-linux-x86_64-gnu, pypy-3.10.14-linux-x86_64-gnu
    if re.fullmatch(r"(cpython|pypy|graalpy)-\d[^/]*-linux-[^/]+", os.path.basename(prefix)):
        return "uv"
    return "tree"
