# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Virtual environments that an image has anew, from the lock; the host's own stays as it is.

One is built at its own path in a mount namespace in which an empty directory covers it, so what names its path names the right one. It is kept by
the digest of all that it is made of, and its files have no times of their own: the same lock on the same system gives the same bytes, as far as
its wheels do.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from typing import Any, Dict, List, Mapping, NamedTuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _requirements, _venv

TIME = 315532800
"""1980-01-01, the earliest time that a wheel can hold, in seconds since the epoch."""

SCRIPT = """set -e
umask 022
mount --bind "$1" "$2"
"$3" -m venv $5 "$2"
"$2/bin/python" -m pip install --quiet --no-compile --require-hashes --requirement "$4"
find "$2" -exec touch --no-dereference --date="@$6" {} +
"$2/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$2/lib" > /dev/null || true
find "$2" -exec touch --no-dereference --date="@$6" {} +
"""
"""Run by sh: $1 an empty directory, $2 the environment's path, $3 the interpreter, $4 the lock, $5 an option or nothing, $6 TIME.
Byte code is not checked against times; what no Python 3 can compile is left without, as pip does."""


class Recipe(NamedTuple):
    """What an environment is made of."""

    service: str
    path: str
    interpreter: str
    version: str
    system_site: bool
    lock: str

    @property
    def place(self) -> str:
        """Where it is kept."""
        digest = hashlib.sha256(json.dumps(list(self)).encode("utf-8")).hexdigest()
        return os.path.join(_paths.service_state(self.service), "rebuilt", digest[:12])


def wanted(service: Mapping[str, Any]) -> bool:
    """Does the plan ask for it?"""
    return service.get("container", {}).get("venv", "exact") == "rebuilt"


def remark(service: Mapping[str, Any]) -> str:
    """What a rebuilt environment has lost; empty when discover has seen nothing that it could lose. Pure."""
    python = service.get("python", {})
    lost = [str(item) for key in ("patched", "added", "unowned") for item in python.get(key, [])]
    if not lost:
        return ""
    return "the venv is rebuilt from its lock, so what was changed by hand is not in the image: %s%s" % (", ".join(lost[:5]), " ..." if lost[5:] else "")


def check(recipe: Recipe) -> None:
    """Raises WebstackError for one that cannot be built."""
    if not recipe.path:
        raise WebstackError("service %s: container.venv is rebuilt, but it has no virtual environment; leave container.venv out" % recipe.service)
    lock = _requirements.parse_lock(recipe.lock) if recipe.lock else None
    if lock is None or not lock.hashed:
        raise WebstackError("service %s: container.venv is rebuilt, which needs the lock of its virtual environment, with hashes; name it in "
                            "python.requirements of the plan, or leave container.venv out to take the environment as it is" % recipe.service)


def moved(recipes: List[Recipe], real: Mapping[str, str]) -> Dict[str, str]:
    """Real path of each rebuilt environment -> where it is kept. ``real``: service -> the real path of its environment.

    Raises WebstackError for one that another service has otherwise.
    """
    found: Dict[str, str] = {}
    for recipe in recipes:
        others = [name for name, path in real.items() if path == recipe.path and not any(known.service == name for known in recipes)]
        others += [known.service for known in recipes if known.path == recipe.path and known.lock != recipe.lock]
        if others:
            raise WebstackError("services %s and %s share the virtual environment %s; say container.venv: rebuilt, with the same lock, for both or for none"
                                % (recipe.service, others[0], recipe.path))
        found[recipe.path] = recipe.place
    return found


def build(recipe: Recipe, sources: _venv.Sources) -> None:
    """Have it at its place, and no former one there. Raises WebstackError with what pip complained of."""
    if os.path.isdir(recipe.place):
        return
    top, staged = os.path.dirname(recipe.place), recipe.place + ".part"
    _journal.private_dir(_paths.service_state(recipe.service))
    shutil.rmtree(top, ignore_errors=True)
    os.makedirs(staged, mode=0o755)
    os.chmod(top, 0o755)
    lock = os.path.join(top, "lock.txt")
    _journal.replace_file(lock, recipe.lock, 0o600)
    option = "--system-site-packages" if recipe.system_site else ""
    argv: List[str] = ["unshare", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh"]
    argv += [staged, recipe.path, recipe.interpreter, lock, option, str(TIME)]
    try:
        run(argv, env=_venv.environment(sources))
    except CommandError as exc:
        shutil.rmtree(top, ignore_errors=True)
        raise WebstackError("service %s: its virtual environment could not be rebuilt: %s; nothing was changed" % (recipe.service, _venv.why(exc)),
                            **exc.details) from exc
    os.unlink(lock)
    os.rename(staged, recipe.place)
