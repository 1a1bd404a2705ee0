# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether a vassal's workers can take up new code one after the other (uWSGI's chain reload), and how they are told.

A chain reload (core/master_checks.c) curses one worker, waits until its successor accepts, and goes on; the master stays. What the master
has resolved before stays too. Tried with 2.0.19, 2.0.21 and 2.0.28 behind a flipped symbolic link: ``sys.prefix`` and the path of
site-packages keep the link, so packages are the new ones; the working directory and the finder of ``.`` are the old release's, unless
``hook-post-fork`` changes the directory and ``pythonpath`` names the link; entries that .pth files made are the old ones.
"""

from __future__ import annotations

import contextlib
import filecmp
import glob
import os
import re
import time
from typing import List, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths

_STAYS = re.compile(
    r"(mules?|farm|spooler|attach-.*|smart-attach-.*|legion.*|http\S*|fastrouter.*|rawrouter.*|sslrouter.*|shared-(py)?import|spooler-python-import"
    r"|static-.*|check-static.*|route-.*|cheap|lazy)\Z")
"""Options whose processes, modules or resolved paths a chain reload leaves as they are."""

HARMLESS_PTH = ("distutils-precedence.pth",)
"""Brought by setuptools; it adds no path."""


def values(content: str, *keys: str) -> List[str]:
    """The values of options in a vassal's text, in order. Pure."""
    found = []
    for line in content.splitlines():
        key, equals, value = line.partition("=")
        if equals and key.strip() in keys:
            found.append(value.strip())
    return found


def _on(content: str, key: str) -> bool:
    return values(content, key)[-1:] in (["true"], ["1"])


def trigger(content: str) -> str:
    """The file whose touch starts the chain, or an empty text. Pure."""
    return (values(content, "touch-chain-reload") or [""])[-1]


def refused_by(content: str) -> str:
    """The option, present or missing, for which a vassal cannot have a chain reload; an empty text when it can. Pure."""
    for key in ("master", "lazy-apps"):
        if not _on(content, key):
            return "no %s" % key
    if not trigger(content):
        return "no touch-chain-reload"
    code = values(content, "chdir")[-1:]
    if not code or "chdir:" + code[0] not in values(content, "hook-post-fork"):
        return "no hook-post-fork with its chdir"
    if code[0] not in values(content, "pythonpath"):
        return "no pythonpath with its chdir"
    for line in content.splitlines():
        key, equals, value = line.partition("=")
        key = key.strip()
        if equals and (_STAYS.match(key) or (key in ("pythonpath", "python-path", "pp") and not value.strip().startswith("/"))):
            return key
    return ""


def top_level(names: List[str]) -> Set[str]:
    """The names that Python could import out of a directory with these entries. Pure."""
    return {name.partition(".")[0] for name in names if not name.startswith((".", "__")) and re.fullmatch(r"\w+(\.py|\.[\w-]+\.so|\.so)?", name)}


def _entries(directory: str) -> List[str]:
    with contextlib.suppress(OSError):
        return os.listdir(directory)
    return []


def _mapped(master: int) -> Set[str]:
    """The files of pyuwsgi that a process has mapped."""
    with contextlib.suppress(OSError), open("/proc/%d/maps" % master, encoding="utf-8", errors="surrogateescape") as handle:
        return {line.rstrip("\n").split(None, 5)[5] for line in handle if re.search(r"/pyuwsgi[^/]*\.so( \(deleted\))?$", line)}
    return set()


def _same(one: str, other: str) -> bool:
    with contextlib.suppress(OSError):
        return os.path.samefile(one, other) or filecmp.cmp(one, other, shallow=False)
    return False


def replaced(program: str, master: int) -> str:
    """What a running master executes and would not any more, were it started now; empty when there is no such thing. A chain reload keeps it.

    pyuwsgi is a script: its interpreter runs, which is another one as soon as it is another file, and has mapped the extension module.
    """
    if not program.startswith("/") or not os.path.exists(program):
        return ""
    with open(program, "rb") as handle:
        script = handle.read(2) == b"#!"
    if not script:
        return "" if _same("/proc/%d/exe" % master, program) else program
    directory = os.path.dirname(program)
    python = os.path.join(directory, "python")
    with contextlib.suppress(OSError):
        if not os.path.samefile("/proc/%d/exe" % master, python):
            return python
    for path in sorted(_mapped(master)):
        there = glob.glob(os.path.join(glob.escape(os.path.dirname(directory)), "lib", "python3*", "site-packages", os.path.basename(path)))
        if not any(_same(path, new) for new in there):
            return path
    return ""


def obstacle(content: str, master: int, program: str = "") -> str:
    """Why a running vassal must be reloaded as a whole, looking at its options, its program, its directories and its environments.

    Empty when it need not. ``program`` is the uWSGI program that would start it now.
    """
    option = refused_by(content)
    if option:
        return option
    if not os.path.exists(trigger(content)):
        return "no %s" % trigger(content)
    other = replaced(program, master)
    if other:
        return other
    # Python 3.11 and newer would go on finding them through the master's finder of ".".
    lost = top_level(_entries("/proc/%d/cwd" % master)) - top_level(_entries(values(content, "chdir")[-1]))
    if lost:
        return "module %s of the former code" % sorted(lost)[0]
    for venv in values(content, "virtualenv")[-1:]:
        # Behind a link lies one of several: the former one is among them, whose entries the master still has.
        real = glob.escape(os.path.realpath(venv))
        several = os.path.join(os.path.dirname(real), "*") if os.path.islink(venv) else real
        for path in sorted(glob.glob(os.path.join(several, "lib", "python3*", "site-packages", "*.pth"))):
            if os.path.basename(path) not in HARMLESS_PTH:
                return path
    return ""


def pull(content: str) -> None:
    """Start the chain: give the touched file an mtime that the master, which counts whole seconds, takes for later. Raises OSError."""
    path = trigger(content)
    stamp = max(time.time(), float(int(os.stat(path).st_mtime) + 1))
    os.utime(path, (stamp, stamp))


def make_trigger(content: str) -> None:
    """Have the file that starts the chain before its vassal starts; one outside the collection's directory is its owner's."""
    path = trigger(content)
    if os.path.dirname(path) == _paths.VASSAL_DIR and not os.path.exists(path):
        with open(path, "w", encoding="utf-8"):
            os.chmod(path, 0o644)
