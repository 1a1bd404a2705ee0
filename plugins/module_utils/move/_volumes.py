# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""State that a container keeps in volumes of the engine: a volume per path, made equal to the host's directory, and back.

While a volume has the truth it is mounted over the host's path, so that all that still looks there (nginx, jobs of other users, a backup) sees what
the container sees, and writes there too. What the host had lies beneath, untouched, until it is made equal for the way back, or purged. The one sign that a
volume has the truth is the mount's unit file: a mount is there again after a boot, or never was, whatever the journal says.

The journal's ``volumes`` is {path: {name, real, data, synced, hot, seal}}: the volume, the path without links, where the engine keeps the volume;
what changed before ``synced`` (nanoseconds since the epoch) is on both sides, but for the inodes that are ``hot``; ``seal`` is of what lies beneath.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import time
from typing import Any, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _engine, _journal, _paths, _proc, _progress
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.move import _beside, _copy

UNITS = "/etc/systemd/system"
WANTS = os.path.join(UNITS, "local-fs.target.wants")
SLACK = 2 * 10**9
"""Nanoseconds by which a file system's clock may be coarser than ours."""

PASSES = 8
"""Looks at a state that changes, before one has to be good enough."""


def name_of(service: str, path: str, volume: Any) -> str:
    """The volume of a path: as the definition names it, or by service and path. Pure."""
    if isinstance(volume, str):
        return volume
    word = re.sub(r"[^A-Za-z0-9_.-]", "-", os.path.basename(path.rstrip("/")))
    return "webstack-%s-%s-%s" % (service, word, hashlib.sha256(os.fsencode(path)).hexdigest()[:6])


def wanted(service: Mapping[str, Any]) -> Dict[str, str]:
    """path -> volume of the state that a definition puts into volumes. Pure. Raises WebstackError when two paths would share one, or lie in each other."""
    found = {item["path"]: name_of(service["name"], item["path"], item["volume"]) for item in service.get("state", []) if item.get("volume")}
    for path, volume in found.items():
        other = next((place for place, name in found.items() if place != path and (name == volume or place.startswith(path.rstrip("/") + "/"))), None)
        if other is not None:
            reason = "the same volume %s" % volume if found[other] == volume else "volumes, and the one holds the other"
            raise WebstackError("service %s: its state %s and %s would have %s; change the plan" % (service["name"], path, other, reason))
    return found


def covered(service: Mapping[str, Any]) -> Set[str]:
    """Paths of state that lie in a volume's path, so that they need no mount. Pure."""
    tops = [path.rstrip("/") + "/" for path in wanted(service)]
    return {item["path"] for item in service.get("state", []) if item["path"].startswith(tuple(tops))}


def unit_of(path: str) -> str:
    """The name of the unit of a mount (systemd.unit(5), systemd-escape). Pure."""
    escaped = [byte if re.fullmatch(r"[A-Za-z0-9:_.]", byte) else "-" if byte == "/" else "".join("\\x%02x" % code for code in os.fsencode(byte))
               for byte in path.strip("/")]
    text = "".join(escaped)
    return ("\\x2e" + text[1:] if text.startswith(".") else text) + ".mount"


def unit_text(service: str, volume: str, data: str, real: str) -> str:
    """The unit that mounts a volume over the host's path at each boot, before whoever looks there starts. Pure."""
    def spelled(path: str) -> str:
        return path.replace("%", "%%")
    return ("# Written by gantry.webstack: this state is in the volume %s.\n[Unit]\nDescription=State of %s\nBefore=docker.service nginx.service\n"
            "[Mount]\nWhat=%s\nWhere=%s\nType=none\nOptions=bind\n[Install]\nWantedBy=local-fs.target\n" % (volume, service, spelled(data), spelled(real)))


def with_volumes(mounts: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> List[Dict[str, Any]]:
    """A container's mounts, as the engine's API has them, with these volumes (path -> name) in place of binds. Pure."""
    return [{"Type": "volume", "Source": names[mount["Target"]], "Target": mount["Target"], "ReadOnly": False, "VolumeOptions": {"NoCopy": True}}
            if mount["Target"] in names else dict(mount) for mount in mounts]


class Writer(NamedTuple):
    """A process that has a file of the state open for writing, or mapped."""

    pid: int
    program: str
    path: str
    inode: int


def writers(tops: Iterable[str]) -> List[Writer]:
    """Who may write to files below ``tops`` (without a slash at the end) at any moment, without opening them anew."""
    inside, found = tuple(top + "/" for top in tops), []
    for process in _proc.processes().values():
        if process.pid == os.getpid():
            continue
        open_ones = {item.target: "%s/fd/%d" % (process.base, item.number) for item in process.files if item.writing and item.target.startswith(inside)}
        open_ones.update({path: path for path in _shared_maps(process) if path.startswith(inside)})
        for path, place in open_ones.items():
            with contextlib.suppress(OSError):
                if not path.endswith(" (deleted)"):
                    found.append(Writer(process.pid, process.name, path, os.stat(place).st_ino))
    return found


def _shared_maps(process: _proc.Process) -> Iterator[str]:
    with contextlib.suppress(OSError), open(process.base + "/maps", "rb") as handle:
        for line in handle:
            fields = os.fsdecode(line).rstrip("\n").split(None, 5)
            if len(fields) == 6 and fields[1][1:2] == "w" and fields[1].endswith("s"):
                yield fields[5].replace("\\012", "\n")


def mounts_in(path: str, table: Optional[str] = None) -> List[str]:
    """The mounts at or below a path (proc_pid_mountinfo(5))."""
    if table is None:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as handle:
            table = handle.read()
    points = [re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), line.split()[4]) for line in table.splitlines()]
    return [point for point in points if point == path or point.startswith(path + "/")]


class State:
    """The state of one service that is, or shall be, in volumes."""

    def __init__(self, journal: _journal.Journal) -> None:
        self.journal, self.name = journal, journal.name
        self.known: Dict[str, Dict[str, Any]] = {path: dict(entry) for path, entry in journal.data.get("volumes", {}).items()}
        self.wanted = {**self.moved(), **{path: name for path, name in wanted(journal.service).items() if os.path.isdir(path)}}
        self.passes = self.bytes = 0
        self._size = 0  # of all that a pass goes over, where somebody watches

    # Which side has the truth.

    def moved(self) -> Dict[str, str]:
        """path -> volume of the state whose truth is in a volume."""
        return {path: entry["name"] for path, entry in self.known.items() if os.path.exists(self._unit(entry))}

    def waiting(self) -> List[str]:
        """Paths that shall be in a volume and are not."""
        return [path for path in self.wanted if path not in self.moved()]

    @staticmethod
    def _unit(entry: Mapping[str, Any]) -> str:
        return os.path.join(UNITS, unit_of(entry["real"]))

    def refuse(self) -> None:
        """Raises WebstackError for state that cannot be kept in a volume."""
        for path in wanted(self.journal.service):
            if os.path.lexists(path) and not os.path.isdir(path):
                raise WebstackError("service %s: its state %s is no directory, and a volume is one; name the directory, or leave it in place"
                                    % (self.name, path))
            there = mounts_in(os.path.realpath(path)) if path in self.waiting() else []
            if there:
                raise WebstackError("service %s: its state %s has a mount of its own at %s; leave it in place" % (self.name, path, there[0]))
        commands = [job.get("command", "") for job in self.journal.service.get("schedule", [])]
        workers = [str(item.get("name") or item.get("what", "")) for item in self.journal.service.get("workers", [])]
        workers = [word for word in workers if not any(command and command in word for command in commands)]  # a job that ran when it was looked for
        if self.waiting() and _beside.has_any(self.journal.service):
            raise WebstackError("service %s: mules, spoolers, daemons or crons of its uWSGI write beside its requests, so its state cannot be copied to a "
                                "volume exactly; leave it in place" % self.name)
        if self.waiting() and workers:
            raise WebstackError("service %s: its worker %s may write at any moment, so its state cannot be copied to a volume exactly; "
                                "leave it in place" % (self.name, workers[0]))

    # Volumes.

    def make(self, client: Any) -> None:
        """Have the volumes, and know where they are. Raises WebstackError when one of that name is somebody else's."""
        for path, name in self.wanted.items():
            if path in self.moved():
                continue
            labels = {_paths.LABEL + ".service": self.name, _paths.LABEL + ".path": path}
            try:
                volume = client.volumes.get(name)
            except _engine.docker.errors.NotFound:
                volume = client.volumes.create(name, driver="local", labels=labels)
                self.known.pop(path, None)
            if {key: (volume.attrs.get("Labels") or {}).get(key) for key in labels} != labels or volume.attrs["Driver"] != "local":
                raise WebstackError("service %s: there is a volume %s already that was not made for its state %s; name another one in the plan"
                                    % (self.name, name, path))
            entry = {"name": name, "real": os.path.realpath(path), "data": volume.attrs["Mountpoint"]}
            former = self.known.get(path, {})
            if {key: former.get(key) for key in entry} != entry:
                self.known[path] = {**entry, "synced": 0, "hot": []}

    # Copies.

    def check_room(self) -> None:
        """Raises WebstackError when the volumes would not hold the state; before anything is copied."""
        for path in self.waiting():
            entry = self.known[path]
            there = os.statvfs(entry["data"])
            need, room = _copy.size(entry["real"]), there.f_bavail * there.f_frsize + _copy.size(entry["data"])
            if need > room:
                raise WebstackError("service %s: its state %s has %d MB, and there is room for %d MB in %s; nothing was changed"
                                    % (self.name, path, need >> 20, room >> 20, entry["data"]))

    def copy(self, back: bool, tick: _copy.Tick = lambda counts: None, last: bool = False) -> _copy.Counts:
        """One pass from the side that has the truth to the other. ``last``: nobody writes, and all is on the disk afterwards."""
        total, paths = _copy.Counts(), list(self.moved() if back else self.waiting())
        if _progress.SHOWN.wanted and not last:  # requests wait for the last pass, and it for nothing
            self._size = sum(_copy.size(self.known[path]["data" if back else "real"]) for path in paths)
        _progress.SHOWN.begin("state of %s, pass %d" % (self.name, self.passes + 1), self._size)

        def ticked(counts: _copy.Counts) -> None:
            _progress.SHOWN.reach(total.passed + counts.passed)
            tick(counts)

        for path in paths:
            entry = self.known[path]
            began = time.time_ns() - SLACK
            hot: Set[int] = {item.inode for item in writers({path.rstrip("/"), entry["real"], entry["data"]})} | set(entry["hot"])
            one = _copy.Pass(entry["synced"], frozenset(hot), ticked, last)
            if back:
                with self.beneath(entry) as original:
                    one.sync(entry["data"], original)
            else:
                one.sync(entry["real"], entry["data"])
            entry.update(synced=began, hot=[] if last else sorted(hot))
            for key, value in vars(one.counts).items():
                setattr(total, key, getattr(total, key) + value)
        _progress.SHOWN.begin("", 0)
        self.passes, self.bytes = self.passes + 1, self.bytes + total.bytes
        self.journal.record("state copied: %d files, %d bytes" % (total.files, total.bytes), volumes=self.known)
        return total

    def copy_until_small(self, back: bool, limit: float, log: Callable[[str], None]) -> None:
        """Passes while the service goes on, until the next one is short. Raises WebstackError when it would not fit into a freeze of ``limit`` seconds."""
        seconds = 0.0
        for number in range(PASSES):
            began = told = time.monotonic()

            def tick(counts: _copy.Counts, number: int = number) -> None:
                nonlocal told
                if time.monotonic() > told + 5:
                    told = time.monotonic()
                    log("service %s: pass %d over its state, %d entries seen, %d files and %d MB copied"
                        % (self.name, number + 1, counts.entries, counts.files, counts.bytes >> 20))

            counts = self.copy(back, tick)
            seconds = time.monotonic() - began
            if number and seconds < limit / 10 or not counts.bytes and seconds < limit / 4:
                return
        if seconds > limit / 2:
            raise WebstackError("service %s: a pass over its state takes %.1f s, which leaves too little of the %g s that it may be held; allow more "
                                "(webstack_freeze), or leave it in place" % (self.name, seconds, limit))

    # What lies beneath.

    @contextlib.contextmanager
    def beneath(self, entry: Mapping[str, Any]) -> Iterator[str]:
        """The host's own directory, also while the volume is mounted over it: by a second mount of its parent."""
        if not self._is_mounted(entry):
            yield entry["real"]
            return
        top = os.path.join(_paths.service_state(self.name), "beneath")
        _journal.private_dir(top)
        while top in mounts_in(top):
            run(["umount", "--lazy", top])  # of a run that was killed
        run(["mount", "--bind", os.path.dirname(entry["real"]), top])
        try:
            yield os.path.join(top, os.path.basename(entry["real"]))
        finally:
            run(["umount", "--lazy", top])
            with contextlib.suppress(OSError):
                os.rmdir(top)

    def seal(self) -> None:
        """Note what lies beneath the volumes, to see later that nobody has changed it."""
        for path in self.moved():
            with self.beneath(self.known[path]) as original:
                self.known[path]["seal"] = _copy.seal(original)
        self.journal.record("state sealed", volumes=self.known)

    def check_seal(self) -> None:
        """Raises WebstackError when somebody has changed the host's own directory while the volume had the truth."""
        for path in self.moved():
            entry = self.known[path]
            if not entry.get("seal"):
                continue
            with self.beneath(entry) as original:
                if _copy.seal(original) != entry["seal"]:
                    raise WebstackError("service %s: the host's own files at %s were changed while its state was in the volume %s, which would be lost; "
                                        "look beneath the mount, keep what is needed, and put them back or remove \"seal\" in %s"
                                        % (self.name, path, entry["name"], _journal.path_of(self.name)))
            entry.pop("seal")  # from here on we change it ourselves
        self.journal.record("seal broken", volumes=self.known)

    def unpurged(self) -> Dict[str, str]:
        """path -> volume of the state of which the host still has what it had before."""
        return {path: name for path, name in self.moved().items() if not self.known[path].get("purged")}

    def purge(self) -> None:
        """Remove what the host had before, beneath the volumes."""
        for path in self.unpurged():
            with self.beneath(self.known[path]) as original:
                if original != self.known[path]["real"]:  # the volume is mounted, so this is not what serves
                    _copy.empty(original)
            self.known[path].update(purged=True)
        self.journal.record("state beneath volumes purged", volumes=self.known)

    # The moment in which the truth changes sides.

    @staticmethod
    def _is_mounted(entry: Mapping[str, Any]) -> bool:
        with contextlib.suppress(OSError):
            return os.path.samestat(os.stat(entry["real"]), os.stat(entry["data"]))
        return False

    def put_over(self) -> None:
        """The volumes have the truth from here on: their mounts are there, now and after each boot. Both sides are equal. Idempotent."""
        for path in self.wanted:
            entry = self.known[path]
            unit = self._unit(entry)
            if not os.path.exists(unit):
                entry.pop("purged", None)
                _journal.replace_file(unit, unit_text(self.name, entry["name"], entry["data"], entry["real"]), 0o644)
            link = os.path.join(WANTS, os.path.basename(unit))
            os.makedirs(WANTS, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                os.symlink(unit, link)
            if not self._is_mounted(entry):
                run(["mount", "--bind", entry["data"], entry["real"]])

    def take_off(self) -> None:
        """The host's own directories have the truth from here on. Both sides are equal. Idempotent."""
        for entry in self.known.values():
            unit = self._unit(entry)
            for path in (unit, os.path.join(WANTS, os.path.basename(unit))):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            with contextlib.suppress(OSError):  # others have units in it, or it is not there
                os.rmdir(WANTS)
            while self._is_mounted(entry):
                run(["umount", "--lazy", entry["real"]])


def as_kept(service: Mapping[str, Any], journal: _journal.Journal) -> Dict[str, Any]:
    """The definition of a service that a container serves, with its state where it is, whatever a newer one says: only convert moves it."""
    state = State(journal)
    moved = state.moved()
    items = []
    for item in service.get("state", []):
        kept = {key: value for key, value in item.items() if key != "volume"}
        if item["path"] in moved:
            kept["volume"] = True if moved[item["path"]] == name_of(journal.name, item["path"], True) else moved[item["path"]]
        items.append(kept)
    return {**service, "state": items} if "state" in service else dict(service)
