# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The releases of a service: directories side by side, and one symbolic link that says which of them is the service's code.

Below the directory of ``code.path`` (DIR) lie ``releases/ID`` (code), ``venvs/DIGEST`` (a virtual environment per lock and interpreter,
to which ``releases/ID/.venv`` leads), ``shared`` (state that the definition places inside the code, linked into each release), and the link
``code.path`` -> ``releases/ID``, changed by rename(2). What is in a release is written before it has its name, and not changed after.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import json
import os
import re
import shutil
import tempfile
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

MANIFEST = ".webstack-release.json"
VENV = ".venv"
NOT_CODE = (MANIFEST, VENV)
"""What lies in a release beside the code that it was made of."""

_ADOPTED = "adopted-"
_STAGE = ".stage-"


def release_id(*digests: Optional[str]) -> str:
    """The name of a release made of code and lock with these digests: the same things have the same name. Pure."""
    return hashlib.sha256(json.dumps(digests).encode()).hexdigest()[:12]


def relocate(text: str, path: str, place: str) -> str:
    """``text`` with ``path``, and what lies below it, at another place. Pure."""
    return re.sub(r"(?<![\w.-])%s(?![\w.-])" % re.escape(path.rstrip("/")), lambda match: place, text) if path != place else text


def exchange(one: str, other: str) -> None:
    """Let two names change their things in one step (renameat2(2), RENAME_EXCHANGE). Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), one, None, other)


def leads(path: str, target: str) -> bool:
    """Whether a symbolic link is there and as it should be."""
    return os.path.islink(path) and os.readlink(path) == target


def link(target: str, path: str) -> None:
    """Make or change a symbolic link in one step."""
    if leads(path, target):
        return
    temporary = os.path.join(os.path.dirname(path), ".webstack-link-%d" % os.getpid())
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    os.symlink(target, temporary)
    try:
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def previous(served: Mapping[str, float], running: str) -> Optional[str]:
    """The release that served before ``running``, by the times (seconds since the epoch) at which each was taken up. Pure."""
    limit = served.get(running, float("inf"))
    earlier = [item for item in served if item != running and served[item] < limit]
    return max(earlier, key=lambda item: served[item]) if earlier else None


def surplus(there: Sequence[str], served: Mapping[str, float], needed: Sequence[str], keep: int) -> List[str]:
    """The releases to remove: all but ``needed`` and the ``keep`` others that served last. Pure."""
    others = sorted((item for item in there if item not in needed and item in served), key=lambda item: -served[item])
    kept = {*needed, *others[:max(0, keep - max(0, len([item for item in needed if item in there]) - 1))]}
    return sorted(item for item in there if item not in kept)


class Releases:
    """The releases of one service on disk.

    ``record`` (releases.json): path (code.path), wanted (the release that the last run chose), serving (the one that answered last),
    served (ID -> when it was taken up), keep (how many others stay), pinned (whether ``wanted`` was asked for by its name).
    """

    def __init__(self, name: str, path: str = "") -> None:
        self.name = name
        self.record: Dict[str, Any] = _load(name)
        self.path = os.path.normpath(path or self.record.get("path") or "/nowhere")
        self.top = os.path.dirname(self.path)
        self.releases, self.venvs, self.shared = (os.path.join(self.top, part) for part in ("releases", "venvs", "shared"))

    # Looking.

    def place(self, release: str) -> str:
        """The directory of a release."""
        return os.path.join(self.releases, release)

    def running(self) -> str:
        """The release to which the link leads; empty when there is none."""
        if not os.path.islink(self.path):
            return ""
        target = os.path.normpath(os.path.join(self.top, os.readlink(self.path)))
        return os.path.basename(target) if os.path.dirname(target) == self.releases else ""

    def there(self) -> List[str]:
        """The releases on disk."""
        with contextlib.suppress(OSError):
            return sorted(name for name in os.listdir(self.releases) if not name.startswith(".") and os.path.isdir(self.place(name)))
        return []

    def manifest(self, release: str) -> Dict[str, Any]:
        """What a release was made of: code, venv and origin (digests), source (words), at (seconds since the epoch)."""
        return _json(os.path.join(self.place(release), MANIFEST))

    def listing(self) -> List[Dict[str, Any]]:
        """The kept releases, the one that served last first."""
        served, running = self.record.get("served", {}), self.running()
        found = [{"id": item, "current": item == running, "served": served.get(item), "source": self.manifest(item).get("source", "")} for item in self.there()]
        return sorted(found, key=lambda item: (-(item["served"] or 0), item["id"]))

    def choose(self, wanted: str) -> str:
        """The kept release that ``wanted`` (an ID, the beginning of one, or ``previous``) means. Raises WebstackError, with what there is."""
        there = self.there()
        found = [previous({key: at for key, at in self.record.get("served", {}).items() if key in there}, self.running())] if wanted == "previous" else \
            [item for item in there if item == wanted] or [item for item in there if item.startswith(wanted)]
        if len(found) != 1 or found[0] is None:
            raise WebstackError("service %s: it has no %s release%s on this host; there are %s" % (
                self.name, "single" if len(found) > 1 else "kept" if wanted != "previous" else "previous", "" if wanted == "previous" else " %r" % wanted,
                ", ".join(item["id"] + (" (current)" if item["current"] else "") for item in self.listing()) or "none"))
        return found[0]

    @property
    def pending(self) -> bool:
        """Whether the wanted release still has to be taken up, or to be seen answering."""
        wanted = self.record.get("wanted")
        return bool(wanted) and (self.running() != wanted or self.record.get("serving") != wanted or _stamped(self.name) != wanted)

    def staged(self) -> str:
        """The directory of the wanted release; of the code itself for a service without releases."""
        return self.place(self.record["wanted"]) if self.record.get("wanted") else self.path

    # Doing.

    def lacks(self, **changes: Any) -> bool:
        """Whether the record says something else."""
        return any(self.record.get(key) != value for key, value in changes.items())

    def save(self, **changes: Any) -> None:
        """Change the record, when that changes anything."""
        if self.lacks(**changes):
            self.record.update(changes)
            _journal.write_private(_paths.release_record(self.name), json.dumps(self.record, indent=1, sort_keys=True) + "\n")

    def begin(self) -> str:
        """An empty directory for a new release. What runs that were killed left is removed."""
        for path in (self.releases, self.venvs, self.shared):
            os.makedirs(path, mode=0o755, exist_ok=True)
        for name in os.listdir(self.releases):
            if name.startswith(_STAGE):
                shutil.rmtree(self.place(name), ignore_errors=True)
        stage = tempfile.mkdtemp(prefix=_STAGE, dir=self.releases)
        os.chmod(stage, 0o755)
        return stage

    def finish(self, stage: str, release: str, manifest: Mapping[str, Any]) -> None:
        """Give a release its name, now that all of it is written."""
        with open(os.path.join(stage, MANIFEST), "w", encoding="utf-8") as handle:
            handle.write(json.dumps({**manifest, "at": int(time.time())}, sort_keys=True) + "\n")
        os.rename(stage, self.place(release))

    def flip(self) -> None:
        """Make the wanted release the service's code, and note it for whatever runs older code."""
        self._take(self.record["wanted"])

    def flip_back(self) -> bool:
        """Make the release that served last the service's code again; false when nothing was flipped."""
        wanted, serving, running = self.record.get("wanted"), self.record.get("serving"), self.running()
        if not wanted or not running or running == serving or wanted == serving:
            return False
        if not serving or not os.path.isdir(self.place(serving)):
            os.unlink(self.path)
            return False
        self._take(serving)
        return True

    def _take(self, release: str) -> None:
        try:
            link(os.path.relpath(self.place(release), self.top), self.path)
        except OSError as exc:
            raise WebstackError("service %s: %s could not be made to lead to its release %s: %s" % (self.name, self.path, release, exc.strerror)) from exc
        if _stamped(self.name) != release:
            _journal.write_private(_paths.code_stamp(self.name), json.dumps({"release": release}) + "\n")

    def settle(self) -> None:
        """The wanted release serves: note it, and remove the releases and environments that are not kept."""
        wanted = self.record.get("wanted")
        if not wanted or self.running() != wanted:
            return
        served = dict(self.record.get("served", {}))
        if self.record.get("serving") != wanted and not (self.record.get("pinned") and wanted in served):
            served[wanted] = round(time.time(), 3)
        there = self.there()
        before = previous({key: at for key, at in served.items() if key in there}, wanted)
        for release in surplus(there, served, [item for item in (wanted, before) if item], self.record.get("keep", 3)):
            shutil.rmtree(self.place(release), ignore_errors=True)
        self.save(serving=wanted, served={key: at for key, at in served.items() if os.path.isdir(self.place(key))})
        self._forget_venvs()

    def _forget_venvs(self) -> None:
        used = {os.path.realpath(os.path.join(self.place(release), VENV)) for release in self.there()}
        with contextlib.suppress(OSError):
            for name in os.listdir(self.venvs):
                path = os.path.join(self.venvs, name)
                if os.path.realpath(path) not in used:
                    os.unlink(path) if os.path.islink(path) else shutil.rmtree(path, ignore_errors=True)

    # Taking over what was there before there were releases.

    def adopted(self, state: Sequence[str], venv: Optional[str]) -> bool:
        """Whether ``adopt`` has nothing to do."""
        places = [self.path] + ([venv] if venv else [])
        return not any(os.path.isdir(place) and not os.path.islink(place) for place in places) and all(map(self._shared, state))

    def adopt(self, state: Sequence[str], venv: Optional[str]) -> None:
        """Make a directory that stands at ``code.path`` the first release, and its ``state`` (paths inside) shared, each in one step.

        ``venv``: the service's environment when it lies outside the code; it becomes a link to that of the release.
        What runs goes on at the same paths throughout. A run that was killed in between is finished by the next.
        """
        try:
            real = os.path.isdir(self.path) and not os.path.islink(self.path)
            if real or os.path.islink(self.path):
                for path in state:
                    self._share(path)
            if venv and os.path.isdir(venv) and not os.path.islink(venv):
                self._adopt_venv(venv)
            if real:
                release = _ADOPTED + time.strftime("%Y%m%dT%H%M%S", time.gmtime())
                os.makedirs(self.releases, mode=0o755, exist_ok=True)
                with open(os.path.join(self.path, MANIFEST), "w", encoding="utf-8") as handle:
                    handle.write(json.dumps({"source": "found at " + self.path, "at": int(time.time())}) + "\n")
                self.save(path=self.path, serving=release, wanted=release, served={release: round(time.time(), 3)})
                os.symlink(os.path.relpath(self.place(release), self.top), self.place(release))
                exchange(self.place(release), self.path)
        except OSError as exc:
            raise WebstackError("service %s: %s could not be taken over as a release in one step (%s); stop the service, move the directory away and run again"
                                % (self.name, exc.filename or self.path, exc.strerror)) from exc

    def _shared(self, path: str) -> bool:
        """Whether a path inside the code leads to what the releases share, or there is nothing to share yet."""
        target = os.path.join(self.shared, os.path.relpath(path, self.path))
        return not os.path.lexists(path) or os.path.islink(path) or os.path.realpath(path) == os.path.realpath(target) and not os.path.islink(target)

    def _share(self, path: str) -> None:
        target = os.path.join(self.shared, os.path.relpath(path, self.path))
        if self._shared(path):
            return
        if os.path.isdir(target) and not os.path.islink(target) and not os.listdir(target):
            os.rmdir(target)
        if os.path.lexists(target) and not os.path.islink(target):
            raise WebstackError("service %s: its state is at %s and at %s; move one of them away" % (self.name, path, target))
        os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
        link(target, target)
        exchange(target, path)

    def _adopt_venv(self, venv: str) -> None:
        inner = os.path.join(self.path, VENV)
        target = os.path.join(self.venvs, _ADOPTED + time.strftime("%Y%m%dT%H%M%S", time.gmtime()))
        os.makedirs(self.venvs, mode=0o755, exist_ok=True)
        if os.path.isdir(self.path) and not os.path.exists(inner):
            link(target, inner)
        os.symlink(inner, target)
        exchange(target, venv)


def _stamped(name: str) -> str:
    return _json(_paths.code_stamp(name)).get("release", "")


def _load(name: str) -> Dict[str, Any]:
    return _json(_paths.release_record(name))


def _json(path: str) -> Dict[str, Any]:
    try:
        with open(path, encoding="utf-8") as handle:
            data = json.load(handle)
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as exc:
        if isinstance(exc, OSError) and exc.errno == errno.ENOTDIR:
            return {}
        raise WebstackError("%s cannot be read: %s" % (path, exc)) from exc
    return data if isinstance(data, dict) else {}
