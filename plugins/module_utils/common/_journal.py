# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The journal: one JSON file per service on the host that says where it runs and how far a move has come."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
from typing import Any, Dict, Iterable, List, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

HOST, CONTAINER = "host", "container"


class Journal:
    """What is known of one service's move.

    Keys of ``data``: ``runtime`` (host | container: where requests go), ``phase`` (candidate, proven, switching,
    switched, returning, host), ``service`` (the plan's definition), ``candidate`` (container, image, slot, socket),
    ``events`` ([{at: seconds since the epoch, event}]). Never a secret value.
    ``volumes``: state that is or was in volumes (see move/_volumes); ``freeze``: it is changing sides (see move/_frozen).
    Of a service in a container: ``next`` (what Successor knows), ``leaving`` (the container that still ends: its ``candidate`` entry,
    ``went_back``), ``images`` (see move/_kept), ``decommissioned`` (see move/_set_aside).
    """

    serving = "the host"
    """What answers while the candidate waits, in words."""

    def __init__(self, name: str, data: Optional[Dict[str, Any]] = None) -> None:
        self.name = name
        self.data: Dict[str, Any] = data if data is not None else {"version": 1, "runtime": HOST, "phase": HOST, "events": []}

    @property
    def runtime(self) -> str:
        """Where requests go: ``host`` or ``container``."""
        return self.data["runtime"]

    @property
    def phase(self) -> str:
        """How far the move has come."""
        return self.data["phase"]

    @property
    def service(self) -> Dict[str, Any]:
        """The service definition that the move was begun with."""
        return self.data.get("service", {"name": self.name})

    @property
    def candidate(self) -> Dict[str, str]:
        """The container that serves or will serve: container, image, slot, socket; empty when there is none."""
        return self.data.get("candidate") or {}

    @property
    def served_by(self) -> Dict[str, str]:
        """The container that answers while the candidate waits; empty when it is the host's instance."""
        return {}

    def record(self, event: str, **changes: Any) -> None:
        """Change keys, append an event and write; a value of None removes its key."""
        for key, value in changes.items():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        self.data["events"] = (self.data["events"] + [{"at": round(time.time(), 3), "event": event}])[-100:]
        write_private(path_of(self.name), json.dumps(self.data, indent=1) + "\n")

    def at(self, event: str) -> Optional[float]:
        """When ``event`` happened last, in seconds since the epoch."""
        return next((item["at"] for item in reversed(self.data["events"]) if item["event"] == event), None)


class Successor(Journal):
    """The same for a container that shall take the place of the one that serves: kept as ``next`` in that one's journal.

    Its ``runtime`` is ``host`` as long as requests go to the other container.
    """

    serving = "the running container"

    def __init__(self, former: Journal) -> None:
        self.former = former
        super().__init__(former.name, {"runtime": HOST, "phase": HOST, "service": former.service, "seam": former.data.get("seam", ""),
                                       **former.data.get("next", {}), "events": former.data["events"]})

    @property
    def served_by(self) -> Dict[str, str]:
        return self.former.candidate

    def record(self, event: str, **changes: Any) -> None:
        self.data.update(changes)
        known = {key: value for key, value in self.data.items() if key not in ("events", "seam", "runtime") and value is not None}
        self.former.record(event, next=known if known.get("candidate") else None)
        self.data["events"] = self.former.data["events"]

    def promote(self) -> Journal:
        """Requests go to it: it is the service's container from here on, and the other one leaves."""
        self.former.record("switched", service=self.service, candidate=self.candidate, phase="switching", next=None,
                           leaving={"candidate": self.served_by, "went_back": bool(self.data.get("went_back"))})
        return self.former


def path_of(name: str) -> str:
    """Path of a service's journal."""
    return os.path.join(_paths.service_state(name), "journal.json")


def load(name: str) -> Journal:
    """The journal of ``name``; a fresh one (runtime host) when there is none. Raises WebstackError for a damaged one."""
    path = path_of(name)
    try:
        with open(path, encoding="utf-8") as handle:
            return Journal(name, json.load(handle))
    except FileNotFoundError:
        return Journal(name)
    except (OSError, ValueError) as exc:
        raise WebstackError("service %s: its journal %s cannot be read: %s" % (name, path, exc)) from exc


def edge_on_host() -> bool:
    """Is nginx itself on the host, with nothing left of a move of it that was killed before it had begun?"""
    return load(_paths.EDGE).phase == HOST and not any(map(os.path.exists, (_paths.EDGE_RUN, _paths.EDGE_TRIAL)))


def load_all() -> List[Journal]:
    """The journals of all services that were ever moved on this host, by name; nginx's own is not among them."""
    try:
        names = sorted(os.listdir(_paths.STATE_DIR))
    except FileNotFoundError:
        return []
    return [load(name) for name in names if not name.startswith(".") and os.path.exists(path_of(name))]


def private_dir(path: str) -> None:
    """Make a directory (and STATE_DIR above it) that only root can enter."""
    os.makedirs(_paths.STATE_DIR, exist_ok=True)
    os.chmod(_paths.STATE_DIR, 0o700)
    os.makedirs(path, mode=0o700, exist_ok=True)


def write_private(path: str, text: str, mode: int = 0o600, uid: int = 0, gid: int = 0) -> None:
    """Replace a file in one step (write beside it, sync, rename), so that a killed run never leaves half of it."""
    private_dir(os.path.dirname(path))
    replace_file(path, text, mode, uid, gid)


_TEMPORARY = re.compile(r"\.webstack-(\d+)(-\d+)?$")


def temporary_in(directory: str) -> str:
    """A new name for what is about to be moved to its place; it tells the process, so that ``sweep`` knows whose it is."""
    return os.path.join(directory, ".webstack-%d-%d" % (os.getpid(), time.monotonic_ns()))


def sweep(directories: Iterable[str]) -> List[str]:
    """Remove what processes that were killed have left under temporary names; the directories that had such."""
    swept = []
    for directory in sorted(set(directories)):
        try:
            names = os.listdir(directory)
        except OSError:
            continue  # not made yet
        for name in names:
            found = _TEMPORARY.search(name)
            if found and not os.path.exists("/proc/%s" % found[1]):
                swept.append(directory)
                path = os.path.join(directory, name)
                if os.path.isdir(path) and not os.path.islink(path):
                    shutil.rmtree(path, ignore_errors=True)
                    continue
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
    return swept


def replace_file(path: str, text: str, mode: int, uid: int = 0, gid: int = 0, times_ns: Optional[tuple] = None) -> None:
    """Replace a file in one step, with mode, owner and (``times_ns``: atime, mtime) times."""
    temporary = temporary_in(os.path.dirname(path))
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "w", encoding="utf-8", errors="surrogateescape", newline="") as handle:
            handle.write(text)
            handle.flush()
            os.fchmod(handle.fileno(), mode)
            os.fchown(handle.fileno(), uid, gid)
            os.fsync(handle.fileno())
        if times_ns is not None:
            os.utime(temporary, ns=times_ns)
        os.rename(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def remove_file(path: str) -> bool:
    """Remove a file, and its directory when nothing else is in it, as a unit's drop-in has one; was it there? Idempotent."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        there = False
    else:
        there = True
    with contextlib.suppress(OSError):
        os.rmdir(os.path.dirname(path))
    return there
