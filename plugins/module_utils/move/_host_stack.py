# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's own uWSGI of a service: set aside, and brought back on a socket beside the seam.

A vassal is set aside by moving its file out of the emperor's directory, a systemd unit by a condition in a drop-in that also
keeps its RuntimeDirectory (systemd.exec(5)); a unit that somebody starts meanwhile does nothing, and says why.
When a vassal has ended, a directory takes its file's name: the emperor passes over what is no regular file (core/emperor.c,
uwsgi_imperial_monitor_directory), and whoever writes the file again, as configuration managers do, is refused by rename(2) and open(2).
Not before: to the emperor a vassal is gone when stat(2) of its name fails.
To come back, the instance is started with exactly one token of its configuration changed, the socket's path; once it has
taken the seam, the configuration goes back to the letter, times included, so that an emperor sees no change. Meanwhile the file
is a read-only mount of itself: a configuration manager that brought its text back would have the instance reload and bind the seam itself,
and requests would meet a socket that is not there or does not listen yet.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from abc import ABC, abstractmethod
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _relocate
from ansible_collections.gantry.webstack.plugins.module_utils.move import _own_mount, _seams


class HostStack(ABC):
    """One way in which a host keeps a uWSGI instance running.

    ``memory`` is what ``remember`` found while the instance was running: {file, token, line}: where its socket is defined
    (``file`` is None for the command line) and how it is spelled there.
    """

    def __init__(self, service: Mapping[str, Any], seam: _seams.Seam, memory: Optional[Mapping[str, Any]] = None) -> None:
        self.service, self.name, self.seam = service, service["name"], seam
        self.manager: Mapping[str, Any] = service["uwsgi"]["manager"]
        self.memory = memory or {}
        self.parked = os.path.join(_paths.service_state(self.name), "parked")
        self.original = os.path.join(self.parked, "original")

    def running(self) -> bool:
        """Does the host's instance listen?"""
        return self.seam.host_listens()

    @property
    @abstractmethod
    def aside(self) -> bool:
        """Has it been set aside, so that what still runs of it is about to end?"""

    def remember(self) -> Dict[str, Any]:
        """Find where the socket is defined. Raises WebstackError when there would be no way back without losing a request."""
        return self.seam.definition(self.service)

    @property
    def places(self) -> List[str]:
        """Directories in which files of the instance are replaced."""
        return [self.parked] + [os.path.dirname(path) for path in (self.memory.get("file"), self._place) if path]

    @property
    @abstractmethod
    def _place(self) -> str:
        """The file by which its manager is told."""

    def set_aside(self) -> None:
        """Begin to stop the instance, and see to it that nothing starts it. Idempotent."""
        _journal.private_dir(self.parked)
        _own_mount.let_go(self._mount_note)
        if self.memory.get("file"):
            self._change_back(self.memory["file"])
        self._set_aside()

    def start_beside(self) -> None:
        """Begin to start the instance at the seam's way back. Idempotent."""
        if self.seam.way_back == self.seam.address:
            self.start_as_it_was()
            return
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.seam.way_back)  # of a run that was killed; nobody listens there
        _own_mount.let_go(self._mount_note)
        self._start_beside()

    def start_as_it_was(self) -> None:
        """Begin to start the instance at its own address: where nothing of ours stands, or on a machine whose container is dead."""
        self.restore()

    def keep_aside(self) -> None:  # noqa: B027 - a unit's condition holds from the start
        """Between ``set_aside`` and its end: set it aside again if somebody has brought it back. Idempotent."""

    def hold_place(self) -> None:  # noqa: B027
        """It has ended: see to it that nobody brings it back. Idempotent."""

    def free_place(self) -> None:  # noqa: B027 - only some have something that holds it
        """It is about to come back, or may have to at a boot. Idempotent."""

    @abstractmethod
    def _set_aside(self) -> None: ...

    @abstractmethod
    def _start_beside(self) -> None: ...

    @abstractmethod
    def boot_rules(self) -> str:
        """tmpfiles.d(5) lines that let the instance start at the next boot although it has been set aside: a move that a boot cuts off is undone by it."""

    def restore(self) -> None:
        """Bring the configuration back to the letter while the instance goes on. Idempotent."""
        _own_mount.let_go(self._mount_note)
        self._restore()

    @abstractmethod
    def _restore(self) -> None: ...

    @property
    def _mount_note(self) -> str:
        """See _own_mount: it names the file that is changed, which nobody else is to write meanwhile."""
        return os.path.join(self.parked, "held")

    # A configuration file with one token changed, and back.

    def _with_new_socket(self, text: str) -> str:
        token, line = self.memory["token"], self.memory["line"]
        lines = text.splitlines(keepends=True)
        if 0 < line <= len(lines) and token in lines[line - 1]:
            before, dummy, after = lines[line - 1].rpartition(token)
            return "".join(lines[:line - 1]) + before + self.seam.way_back + after + "".join(lines[line:])
        if text.count(token) != 1:
            raise WebstackError("service %s: its configuration has %r %d times now, so its socket cannot be told apart; "
                                "put it back as it was and run again" % (self.name, token, text.count(token)))
        return text.replace(token, self.seam.way_back)

    def _change_file(self, path: str) -> None:
        if not os.path.exists(self.original):
            temporary = _journal.temporary_in(self.parked)
            shutil.copy2(path, temporary)
            os.rename(temporary, self.original)
        info = os.stat(path)
        with _own_mount.held(path, self._mount_note):
            _journal.replace_file(path, self._with_new_socket(read(self.original)), info.st_mode & 0o7777, info.st_uid, info.st_gid)

    def _change_back(self, path: str) -> None:
        """Idempotent: ``original`` is there exactly while the file is changed."""
        if os.path.exists(self.original):
            info, now = os.stat(self.original), os.stat(path)
            _journal.replace_file(path, read(self.original), now.st_mode & 0o7777, now.st_uid, now.st_gid, (info.st_atime_ns, info.st_mtime_ns))
            os.unlink(self.original)


class Vassal(HostStack):
    """An instance that an emperor keeps: the emperor's directory decides (uWSGI: The Emperor)."""

    @property
    def _place(self) -> str:
        return self.vassal

    @property
    def vassal(self) -> str:
        """The file or link in the emperor's directory."""
        return self.manager["vassal"]

    @property
    def parked_vassal(self) -> str:
        """Where it lies meanwhile."""
        return os.path.join(self.parked, os.path.basename(self.vassal))

    @property
    def aside(self) -> bool:
        return not os.path.lexists(self.vassal) or _is_directory(self.vassal)

    @property
    def _in_vassal(self) -> bool:
        return self.memory.get("file") == self.vassal

    def _set_aside(self) -> None:
        if self.aside:
            return
        if os.path.lexists(self.parked_vassal):
            os.unlink(self.vassal)  # the copy that was changed to come up beside the seam, or what a configuration manager wrote since
        else:
            _move(self.vassal, self.parked_vassal)

    def keep_aside(self) -> None:
        self._set_aside()

    def hold_place(self) -> None:
        while not _is_directory(self.vassal):
            self._set_aside()
            with contextlib.suppress(FileExistsError):
                os.mkdir(self.vassal, 0o755)
        note = os.path.join(self.vassal, "README")
        if not os.path.exists(note):
            _journal.replace_file(note, BARRED % (self.name, self.parked_vassal), 0o644)

    def free_place(self) -> None:
        if _is_directory(self.vassal):
            shutil.rmtree(self.vassal)

    def _start_beside(self) -> None:
        if not os.path.lexists(self.parked_vassal):
            raise WebstackError("service %s: its vassal is neither in %s nor set aside in %s; install it again first" % (self.name, self.vassal, self.parked))
        if not self._in_vassal:
            self._change_file(self.memory["file"])
            _copy(self.parked_vassal, self.vassal)
            return
        info, temporary = os.stat(self.parked_vassal), _journal.temporary_in(os.path.dirname(self.vassal))
        _journal.replace_file(temporary, self._with_new_socket(read(self.parked_vassal)), info.st_mode & 0o7777, info.st_uid, info.st_gid)
        with _own_mount.held(self.vassal, self._mount_note):
            _put(temporary, self.vassal)

    def boot_rules(self) -> str:
        there = self.vassal if os.path.lexists(self.vassal) else self.parked_vassal
        if not os.path.lexists(there):
            return ""
        if os.path.islink(there):
            return "L! %s - - - - %s\n" % (self.vassal, os.readlink(there))
        info = os.stat(there)
        return "C! %s %04o %d %d - %s\n" % (self.vassal, info.st_mode & 0o7777, info.st_uid, info.st_gid, self.parked_vassal)

    def _restore(self) -> None:
        if self.memory.get("file") and not self._in_vassal:
            self._change_back(self.memory["file"])
        if os.path.lexists(self.parked_vassal):
            _move(self.parked_vassal, self.vassal)


class Unit(HostStack):
    """An instance that a systemd unit of its own keeps."""

    @property
    def _place(self) -> str:
        return self.drop_in

    @property
    def unit(self) -> str:
        """Name of the unit."""
        return self.manager["unit"]

    @property
    def flag(self) -> str:
        """The file whose presence keeps the unit from starting."""
        return os.path.join(_paths.service_state(self.name), "in-container")

    @property
    def aside(self) -> bool:
        return os.path.exists(self.flag)

    @property
    def drop_in(self) -> str:
        """Our drop-in beside the unit; the unit's own file is never edited."""
        return "/etc/systemd/system/%s.d/50-webstack.conf" % self.unit

    def _write_drop_in(self, exec_start: str = "") -> None:
        os.makedirs(os.path.dirname(self.drop_in), exist_ok=True)
        text = ("# Written by gantry.webstack: %s runs in a container.\n[Unit]\nConditionPathExists=!%s\n[Service]\nRuntimeDirectoryPreserve=yes\n%s"
                % (self.name, self.flag, exec_start))
        if not os.path.exists(self.drop_in) or read(self.drop_in) != text:
            _journal.replace_file(self.drop_in, text, 0o644)
            if self.socket_unit:
                os.makedirs(os.path.dirname(self._socket_drop_in), exist_ok=True)
                _journal.replace_file(self._socket_drop_in, text.partition("[Service]")[0], 0o644)
            run(["systemctl", "daemon-reload"])

    @property
    def socket_unit(self) -> str:
        """Name of the socket unit that opens its socket; empty without one."""
        return self.manager.get("socket", "")

    @property
    def _socket_drop_in(self) -> str:
        return "/etc/systemd/system/%s.d/50-webstack.conf" % self.socket_unit

    @property
    def _units(self) -> List[str]:
        return [unit for unit in (self.socket_unit, self.unit) if unit]

    def _set_aside(self) -> None:
        self._write_drop_in()
        _journal.write_private(self.flag, "")
        run(["systemctl", "stop", "--no-block", *self._units])

    def _start_beside(self) -> None:
        if self.memory["file"] is not None:
            self._change_file(self.memory["file"])
            self._write_drop_in()
        else:
            self._write_drop_in(self._exec_start())
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.flag)
        run(["systemctl", "start", "--no-block", self.unit])

    def _exec_start(self) -> str:
        """The unit's last ExecStart= with the socket's token changed (systemd.service(5): an empty one resets the list)."""
        return "ExecStart=\n%s\n" % self._with_new_socket(last_exec_start(run(["systemctl", "cat", self.unit]).stdout, self.drop_in))

    def boot_rules(self) -> str:
        return "r! %s\n" % self.flag

    def _restore(self) -> None:
        if self.memory.get("file"):
            self._change_back(self.memory["file"])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.flag)
        removed = [path for path in (self.drop_in, self._socket_drop_in) if _journal.remove_file(path)]
        if removed:
            run(["systemctl", "daemon-reload"])

    def start_as_it_was(self) -> None:
        self.restore()
        run(["systemctl", "start", "--no-block", *self._units])


def last_exec_start(text: str, left_out: str) -> str:
    """The last ExecStart= in what ``systemctl cat`` says, but for those of one file: ours, when a run was killed after it had written it. Pure."""
    parts = re.split(r"(?m)^# (/.*)$", re.sub(r"\\\n", " ", text))
    bodies = [body for path, body in zip(parts[1::2], parts[2::2]) if path != left_out]
    return [line for body in bodies for line in body.splitlines() if line.startswith("ExecStart=") and line != "ExecStart="][-1]


BARRED = """Written by gantry.webstack: %s runs in a container.
This directory has the name of its vassal, so that the emperor starts none, whoever writes the file again.
The file itself is %s; gantry.webstack.rollback puts it back.
"""
"""What stands in the directory, for whoever looks."""

KINDS = {"emperor": Vassal, "unit": Unit}
"""The managers that can be set aside; a further one is a class and a line here."""


def of(service: Mapping[str, Any], seam: _seams.Seam, memory: Optional[Mapping[str, Any]] = None) -> HostStack:
    """The host stack of a service. Raises WebstackError for a manager that is not taught."""
    kind = service.get("uwsgi", {}).get("manager", {}).get("kind")
    if kind not in KINDS:
        raise WebstackError("service %s: its uWSGI is started by %s; only %s can be set aside and brought back"
                            % (service["name"], kind or "something unknown", " and ".join(sorted(KINDS))))
    return KINDS[kind](service, seam, memory)


def read(path: str) -> str:
    """A file's text; bytes that are not UTF-8 survive a write with the same error handler."""
    with open(path, encoding="utf-8", errors="surrogateescape", newline="") as handle:
        return handle.read()


def _copy(source: str, target: str) -> None:
    """Copy a file or link, with owner, mode and times, over ``target`` in one step."""
    temporary = _journal.temporary_in(os.path.dirname(target))
    info = os.lstat(source)
    shutil.copy2(source, temporary, follow_symlinks=False)
    os.lchown(temporary, info.st_uid, info.st_gid)
    _put(temporary, target)


def _put(temporary: str, target: str) -> None:
    """Move a file or link that lies beside ``target`` over it, or over the directory that keeps its place, in one step."""
    if _is_directory(target):
        _relocate.put(temporary, target)
    else:
        os.rename(temporary, target)


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _move(source: str, target: str) -> None:
    """Move a file or link over ``target``, also between file systems; whoever looks sees the old or the new, whole."""
    _copy(source, target)
    os.unlink(source)
