# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host's own uWSGI of a service: set aside, and brought back on a socket beside the seam.

A vassal is set aside by moving its file out of the emperor's directory, a systemd unit by a condition in a drop-in that also
keeps its RuntimeDirectory (systemd.exec(5)); a unit that somebody starts meanwhile does nothing, and says why.
To come back, the instance is started with exactly one token of its configuration changed, the socket's path; once it has
taken the seam, the configuration goes back to the letter, times included, so that an emperor sees no change.
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
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import unix_sockets
from ansible_collections.gantry.webstack.plugins.module_utils.move import _instance, _seam


class HostStack(ABC):
    """One way in which a host keeps a uWSGI instance running.

    ``memory`` is what ``remember`` found while the instance was running: {file, token, line}: where its socket is defined
    (``file`` is None for the command line) and how it is spelled there.
    """

    def __init__(self, service: Mapping[str, Any], seam: str, memory: Optional[Mapping[str, Any]] = None) -> None:
        self.service, self.name, self.seam = service, service["name"], seam
        self.manager: Mapping[str, Any] = service["uwsgi"]["manager"]
        self.memory = memory or {}
        self.parked = os.path.join(_paths.service_state(self.name), "parked")
        self.original = os.path.join(self.parked, "original")

    @property
    def paths(self) -> List[str]:
        """Names under which the instance's listener may have been bound."""
        return [self.seam, _paths.beside(self.seam)]

    def running(self) -> bool:
        """Does the host's instance listen?"""
        return _seam.listens(unix_sockets(), self.paths)

    def remember(self) -> Dict[str, Any]:
        """Find where the socket is defined. Raises WebstackError when there would be no way back without losing a request."""
        return dict(_instance.socket_definition(self.service, self.seam)._asdict())

    def set_aside(self) -> None:
        """Begin to stop the instance, and see to it that nothing starts it. Idempotent."""
        _journal.private_dir(self.parked)
        if self.memory.get("file"):
            self._change_back(self.memory["file"])
        self._set_aside()

    def start_beside(self) -> None:
        """Begin to start the instance on ``beside(seam)``. Idempotent."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_paths.beside(self.seam))  # of a run that was killed; nobody listens there
        self._start_beside()

    def start_as_it_was(self) -> None:
        """Begin to start the instance on the seam itself: the way back of a machine whose container is dead."""
        self.restore()

    @abstractmethod
    def _set_aside(self) -> None: ...

    @abstractmethod
    def _start_beside(self) -> None: ...

    @abstractmethod
    def restore(self) -> None:
        """Bring the configuration back to the letter while the instance goes on. Idempotent."""

    # A configuration file with one token changed, and back.

    def _with_new_socket(self, text: str) -> str:
        token, line = self.memory["token"], self.memory["line"]
        lines = text.splitlines(keepends=True)
        if 0 < line <= len(lines) and token in lines[line - 1]:
            before, dummy, after = lines[line - 1].rpartition(token)
            return "".join(lines[:line - 1]) + before + _paths.beside(self.seam) + after + "".join(lines[line:])
        if text.count(token) != 1:
            raise WebstackError("service %s: its configuration has %r %d times now, so its socket cannot be told apart; "
                                "put it back as it was and run again" % (self.name, token, text.count(token)))
        return text.replace(token, _paths.beside(self.seam))

    def _change_file(self, path: str) -> None:
        if not os.path.exists(self.original):
            shutil.copy2(path, self.original + ".part")
            os.rename(self.original + ".part", self.original)
        info = os.stat(path)
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
    def vassal(self) -> str:
        """The file or link in the emperor's directory."""
        return self.manager["vassal"]

    @property
    def parked_vassal(self) -> str:
        """Where it lies meanwhile."""
        return os.path.join(self.parked, os.path.basename(self.vassal))

    @property
    def _in_vassal(self) -> bool:
        return self.memory.get("file") == self.vassal

    def _set_aside(self) -> None:
        if not os.path.lexists(self.vassal):
            return
        if os.path.lexists(self.parked_vassal):
            os.unlink(self.vassal)  # the copy that was changed to come up beside the seam
        else:
            _move(self.vassal, self.parked_vassal)

    def _start_beside(self) -> None:
        if not os.path.lexists(self.parked_vassal):
            raise WebstackError("service %s: its vassal is neither in %s nor set aside in %s; install it again first" % (self.name, self.vassal, self.parked))
        if not self._in_vassal:
            self._change_file(self.memory["file"])
            _copy(self.parked_vassal, self.vassal)
            return
        info = os.stat(self.parked_vassal)
        _journal.replace_file(self.vassal, self._with_new_socket(read(self.parked_vassal)), info.st_mode & 0o7777, info.st_uid, info.st_gid)

    def restore(self) -> None:
        if self.memory.get("file") and not self._in_vassal:
            self._change_back(self.memory["file"])
        if os.path.lexists(self.parked_vassal):
            _move(self.parked_vassal, self.vassal)


class Unit(HostStack):
    """An instance that a systemd unit of its own keeps."""

    @property
    def unit(self) -> str:
        """Name of the unit."""
        return self.manager["unit"]

    @property
    def flag(self) -> str:
        """The file whose presence keeps the unit from starting."""
        return os.path.join(_paths.service_state(self.name), "in-container")

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
            run(["systemctl", "daemon-reload"])

    def _set_aside(self) -> None:
        self._write_drop_in()
        _journal.write_private(self.flag, "")
        run(["systemctl", "stop", "--no-block", self.unit])

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
        text = re.sub(r"\\\n", " ", run(["systemctl", "cat", self.unit]).stdout)
        lines = [line for line in text.splitlines() if line.startswith("ExecStart=") and line != "ExecStart="]
        return "ExecStart=\n%s\n" % self._with_new_socket(lines[-1])

    def restore(self) -> None:
        if self.memory.get("file"):
            self._change_back(self.memory["file"])
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.flag)
        if os.path.exists(self.drop_in):
            os.unlink(self.drop_in)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(self.drop_in))
            run(["systemctl", "daemon-reload"])

    def start_as_it_was(self) -> None:
        self.restore()
        run(["systemctl", "start", "--no-block", self.unit])


KINDS = {"emperor": Vassal, "unit": Unit}
"""The managers that can be set aside; a further one is a class and a line here."""


def of(service: Mapping[str, Any], seam: str, memory: Optional[Mapping[str, Any]] = None) -> HostStack:
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
    temporary = os.path.join(os.path.dirname(target), ".webstack-%d" % os.getpid())
    with contextlib.suppress(FileNotFoundError):
        os.unlink(temporary)
    info = os.lstat(source)
    shutil.copy2(source, temporary, follow_symlinks=False)
    os.lchown(temporary, info.st_uid, info.st_gid)
    os.rename(temporary, target)


def _move(source: str, target: str) -> None:
    """Move a file or link over ``target``, also between file systems; whoever looks sees the old or the new, whole."""
    _copy(source, target)
    os.unlink(source)
