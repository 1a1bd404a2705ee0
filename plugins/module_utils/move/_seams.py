# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The kinds of seams: how a service's new connections are led to its container, to another one, and back to the host's instance."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from abc import ABC, abstractmethod
from typing import Any, Dict, List, Mapping, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._connection import is_listening
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process, processes, unix_sockets
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_nginx
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx, _nginx_stage, _own_files
from ansible_collections.gantry.webstack.plugins.module_utils.move import _instance, _nginx_led, _nginx_places, _seam


class Seam(ABC):
    """The place between nginx and one service's uWSGI. Every step is idempotent and looks first.

    ``address`` is where the host's instance listens by its own configuration. A ``target`` is the socket's path of a container.
    """

    def __init__(self, name: str, address: str) -> None:
        self.name, self.address = name, address

    @abstractmethod
    def lies_on(self, target: str) -> bool:
        """Do new connections go to this container?"""

    @abstractmethod
    def lies_on_container(self) -> bool:
        """Do new connections go to a container, whichever?"""

    @abstractmethod
    def take(self, target: str) -> None:
        """New connections go to this container from here on; they came from the host's instance or from another container."""

    @abstractmethod
    def hold(self, target: str) -> None:
        """Put right what an instance of the host that ends has tidied away."""

    divisible = False
    """Can some of the new connections go to the container and the others to the host's instance?"""

    def keep(self) -> None:  # noqa: B027 - most seams have nothing to do
        """While the host's instance runs on, ``way_back`` leads to it, also when the container has the seam."""

    def unkeep(self) -> None:  # noqa: B027
        """The host's instance is not to get the seam back as it runs."""

    def turn(self, target: str) -> None:
        """New connections go to ``target`` until the next turn: a container's socket or ``way_back``. After ``keep``, and only when divisible."""
        raise WebstackError("service %s: the connections to %s cannot be shared out" % (self.name, self.address))

    @property
    def entrance(self) -> str:
        """The address at which nginx reaches the service now, wherever it runs."""
        return self.address

    @property
    @abstractmethod
    def lasting(self) -> str:
        """The path that leads to a container as long as it serves."""

    @property
    @abstractmethod
    def way_back(self) -> str:
        """The address at which the host's instance comes up before it gets the seam back."""

    @abstractmethod
    def give_back(self) -> None:
        """New connections go from a container to the host's instance, which listens at ``way_back`` and is healthy."""

    @abstractmethod
    def host_listens(self) -> bool:
        """Does the host's instance listen, at its own address or at ``way_back``?"""

    def host_is_up(self) -> bool:
        """Does it accept connections at ``way_back``?"""
        return is_listening(self.way_back)

    @abstractmethod
    def host_drained(self, timeout: float) -> bool:
        """Wait until the host's instance has answered what it has; ``timeout`` in seconds. False when it had not at the end."""

    def container_drained(self, pid: int, target: str, timeout: float) -> bool:
        """Wait until a container has answered what it has; ``pid`` is any process of it."""
        return _seam.drained(pid, [target], timeout)

    @abstractmethod
    def definition(self, service: Mapping[str, Any]) -> Dict[str, Any]:
        """Where the host's configuration has the token to change for ``way_back``: {file, token, line}; empty when nothing has to be.

        Raises WebstackError when there would be no way back without losing a request.
        """

    @abstractmethod
    def tmpfiles_rules(self, target: str, uid: int, gid: int) -> str:
        """tmpfiles.d(5) lines by which the way to a container is there again after a boot."""


class SocketSeam(Seam):
    """The path of a UNIX socket: a link to the container's, by rename(2), and back by renaming the host's own socket over it."""

    divisible = True

    @property
    def lasting(self) -> str:
        return self.address

    @property
    def way_back(self) -> str:
        return _paths.beside(self.address)

    def keep(self) -> None:
        if _seam.is_socket(self.address):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.way_back)  # of a run that was killed; nobody connects there
            os.link(self.address, self.way_back)  # a second name of the same listener

    def unkeep(self) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.way_back)

    def turn(self, target: str) -> None:
        _seam.link(self.address, target)

    @property
    def paths(self) -> List[str]:
        """Names under which the host's listener may have been bound."""
        return [self.address, self.way_back]

    def lies_on(self, target: str) -> bool:
        return _seam.links_to(self.address, target)

    def lies_on_container(self) -> bool:
        return _seam.is_link(self.address)

    def take(self, target: str) -> None:
        if not self.lies_on(target):
            _seam.link(self.address, target)

    def hold(self, target: str) -> None:
        if not self.lies_on(target):
            os.makedirs(os.path.dirname(self.address), exist_ok=True)
            _seam.link(self.address, target)

    def give_back(self) -> None:
        os.rename(self.way_back, self.address)

    def host_listens(self) -> bool:
        return _seam.listens(unix_sockets(), self.paths)

    def host_is_up(self) -> bool:
        return _seam.is_socket(self.way_back) and is_listening(self.way_back)

    def host_drained(self, timeout: float) -> bool:
        return _seam.drained(None, self.paths, timeout)

    def definition(self, service: Mapping[str, Any]) -> Dict[str, Any]:
        return dict(_instance.socket_definition(service, self.address)._asdict())

    def tmpfiles_rules(self, target: str, uid: int, gid: int) -> str:
        stats = {path: os.stat(path) for path in _seam.directories_on_run(self.address)}
        return _seam.tmpfiles_rules(self.address, _paths.service_run(self.name), target, uid, gid, stats)


RELOAD_SECONDS = 30
"""How long nginx may take to run new workers."""


class NginxSeam(Seam):
    """The address in nginx's configuration, HOST:PORT or the path of a systemd socket unit: its token is led to a link of ours.

    The link leads to the container's socket.
    nginx is edited and reloaded once; from one container to another only the link changes. ``memory`` is a file of our own, written before
    the first edit and removed after nginx has gone back: {address, binary, config, unit,
    edits: [{file, start, old, new, digest, mtime_ns}], reloaded}.
    """

    @property
    def way_back(self) -> str:
        return self.address

    @property
    def entrance(self) -> str:
        return self.link if self.lies_on_container() else self.address

    @property
    def lasting(self) -> str:
        return self.link

    @property
    def link(self) -> str:
        """What nginx's configuration names meanwhile."""
        return _paths.nginx_socket(self.name)

    @property
    def memory(self) -> Dict[str, Any]:
        """What has been edited; empty when nothing has."""
        return _nginx_led.memory(self.name)

    def _remember(self, memory: Mapping[str, Any]) -> None:
        if not memory:
            os.unlink(_nginx_led.memory_file(self.name))
            return
        _journal.write_private(_nginx_led.memory_file(self.name), json.dumps(memory, indent=1) + "\n")

    def lies_on(self, target: str) -> bool:
        return self.lies_on_container() and _seam.links_to(self.link, target)

    def lies_on_container(self) -> bool:
        return bool(self.memory)

    def take(self, target: str) -> None:
        if not _seam.links_to(self.link, target):
            _seam.link(self.link, target)
        before = self.memory
        memory = dict(before or self._nginx_now())
        nginx = _nginx_of(memory)
        edits = _places(memory["config"], self.address, self.link)
        if edits:
            kept = [item for item in memory.get("edits", []) if item["file"] not in {place.file for place in edits}]
            memory.update(edits=kept + [_entry(place) for place in edits], reloaded=False)
            self._remember(memory)
            try:
                self._write(nginx, _nginx_led.by_file(edits, _nginx_places.changed), {})
            except WebstackError:
                self._remember(before)
                raise
        elif not memory.get("edits"):
            raise WebstackError("service %s: nothing in nginx's configuration leads to %s any more; run discover again" % (self.name, self.address))
        if not memory["reloaded"]:
            nginx.reload()
            self._remember(dict(memory, reloaded=True))

    def hold(self, target: str) -> None:
        if not _seam.links_to(self.link, target):
            _seam.link(self.link, target)

    def give_back(self) -> None:
        memory = self.memory
        if not memory:
            return
        nginx = _nginx_of(memory)
        back = [_nginx_places.Place(item["file"], item["start"], item["old"], item["new"]) for item in memory["edits"]]
        times = {item["file"]: (item["digest"], item["mtime_ns"]) for item in memory["edits"]}
        texts = _nginx_led.by_file([place for place in back if os.path.exists(place.file)], _nginx_places.changed_back)
        # what others have written meanwhile and leads to the link too
        late = _nginx_places.led(memory["config"], lambda path: texts.get(path) or _nginx_led.read(path), _nginx_led.find, self.link, self.address)
        texts.update(_nginx_led.by_file(late, _nginx_places.changed, texts))
        self._remember(dict(memory, reloaded=False))
        self._write(nginx, texts, times)
        nginx.reload()
        self._remember({})
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.link)

    def host_listens(self) -> bool:
        return _seam.listens(unix_sockets(), [self.address]) if self.address.startswith("/") else _seam.listens_at(self.address)

    def host_drained(self, timeout: float) -> bool:
        if not self._left(timeout):
            return False
        return _seam.drained(None, [self.address], timeout) if self.address.startswith("/") else _seam.drained_at(self.address, timeout)

    def container_drained(self, pid: int, target: str, timeout: float) -> bool:
        return self._left(timeout) and super().container_drained(pid, target, timeout)

    def _left(self, timeout: float) -> bool:
        """Wait for nginx's old workers: one that still reads a request connects to where its configuration leads."""
        nginx, deadline = _nginx_of(self.memory or self._nginx_now()), time.monotonic() + timeout
        while any(_nginx.is_leaving(worker) for worker in nginx.workers().values()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.1)
        return True

    def definition(self, service: Mapping[str, Any]) -> Dict[str, Any]:
        """Nothing of uWSGI's configuration changes; what nginx's has to say is looked at all the same."""
        memory = self.memory
        if not memory:
            found = self._nginx_now()
            if not _places(found["config"], self.address, self.link):
                raise WebstackError("service %s: nothing in nginx's configuration leads to %s; run discover again" % (self.name, self.address))
        return {}

    def tmpfiles_rules(self, target: str, uid: int, gid: int) -> str:
        return _seam.tmpfiles_rules(self.link, _paths.service_run(self.name), target, uid, gid, {})

    def _nginx_now(self) -> Dict[str, Any]:
        """{binary, config, unit} of the nginx that runs. Raises WebstackError when none does, or nothing that could reload it keeps it."""
        masters = [process for process in processes().values() if process.argv[0].startswith("nginx: master process")]
        master = min(masters, key=lambda process: process.pid, default=None)
        unit = self._unit_of(master) if master else ""
        if master is None or not unit:
            problem = "it does not run" if master is None else "no systemd unit keeps it"
            raise WebstackError("service %s: nginx has to be reloaded, but %s" % (self.name, problem))
        config = _evidence_nginx.main_file(" ".join(master.argv))
        return {"address": self.address, "binary": master.exe or "/usr/sbin/nginx", "config": config, "unit": unit}

    @staticmethod
    def _unit_of(master: Process) -> str:
        """The unit that reloads nginx; one in a container has the unit that stands for it."""
        edge = _journal.load(_paths.EDGE)
        return master.unit or (edge.data["host"]["unit"] if edge.runtime == _journal.CONTAINER else "")

    def _write(self, nginx: _nginx.Nginx, texts: Mapping[str, str], times: Mapping[str, Tuple[str, int]]) -> None:
        """Write all files or none: what nginx refuses is put back. ``times`` has (digest, mtime) of files as they were before the first edit."""
        changes = []
        for path, text in texts.items():
            before = _own_files.look(path)
            if before is not None and before.text != text:
                changes.append(_own_files.Change(path, before, before._replace(text=text)))
        _tried(nginx, changes, self.name)
        transaction = _own_files.Transaction()
        try:
            for change in changes:
                transaction.apply(change)
            nginx.test()
        except (WebstackError, OSError) as exc:
            transaction.put_back()
            raise WebstackError("service %s: nginx refuses what would lead it elsewhere (%s); its files are as they were" % (self.name, _said(exc))) from exc
        for path, (digest, mtime) in times.items():
            if path in texts and _digest(texts[path]) == digest:
                os.utime(path, ns=(mtime, mtime))


def _nginx_of(memory: Mapping[str, Any]) -> _nginx.Nginx:
    return _nginx.Nginx(memory["binary"], memory["config"], memory["unit"], RELOAD_SECONDS)


def _tried(nginx: _nginx.Nginx, changes: List[_own_files.Change], name: str) -> None:
    """Ask nginx before anything is written, where the host lets us."""
    if not changes:
        return
    try:
        nginx.test(changes, staged=True)
    except CommandError as exc:
        if not _nginx_stage.impossible(exc):
            raise WebstackError("service %s: nginx refuses what would lead it elsewhere (%s); nothing was changed" % (name, _said(exc))) from exc


def _said(exc: Exception) -> str:
    complaint = _nginx.parse_complaint(str(getattr(exc, "details", {}).get("stderr", "")))
    return complaint.text if complaint else str(exc)


def _places(config: str, address: str, link: str) -> List[_nginx_places.Place]:
    return _nginx_places.places(config, _nginx_led.read, _nginx_led.find, address, link)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def _entry(place: _nginx_places.Place) -> Dict[str, Any]:
    return dict(place._asdict(), digest=_digest(_nginx_led.read(place.file)), mtime_ns=os.stat(place.file).st_mtime_ns)


def of(service: Mapping[str, Any], address: str) -> Seam:
    """The seam of a service whose host instance listens at ``address``.

    A path that systemd binds cannot be bound again while something stands there (systemd unlinks it first), so nginx is led elsewhere meanwhile.
    """
    activated = "socket" in service.get("uwsgi", {}).get("manager", {})
    return (SocketSeam if address.startswith("/") and not activated else NginxSeam)(service["name"], address)
