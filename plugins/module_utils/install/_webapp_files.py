# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts and trees that a web application needs on its host: its crontab, its socket directory at boot, its code."""

from __future__ import annotations

import contextlib
import os
import posixpath
import shutil
import tarfile
import tempfile
from typing import Any, Iterable, List, Mapping

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files, _tree

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def crontab(name: str, schedule: Iterable[Mapping[str, str]], environment: Mapping[str, str]) -> str:
    """A service's system crontab (crontab(5)): its environment, then one line per job. Pure."""
    settings = {"SHELL": "/bin/sh", "PATH": _PATH, **environment}
    lines = ["# %s Service %s." % (_own_files.MARK, name)]
    lines += ["%s=%s" % (key, _cron_value(value)) for key, value in settings.items()]
    lines += ["%s %s %s" % (job["when"], job["user"], job["command"]) for job in schedule]
    return "\n".join(lines) + "\n"


def _cron_value(value: str) -> str:
    """cron strips white space around a value, and one pair of quotes around that."""
    if value == value.strip() and value[:1] not in "\"'":
        return value
    return "'%s'" % value if '"' in value else '"%s"' % value


def tmpfiles(name: str, directory: str, user: str, group: str) -> str:
    """The tmpfiles.d(5) line that makes a service's socket directory at boot; setgid, so that nginx's group gets the socket. Pure."""
    return "# %s Service %s.\nd %s 2750 %s %s -\n" % (_own_files.MARK, name, directory, user, group)


def on_tmpfs(path: str) -> bool:
    """Whether a directory is gone after a reboot."""
    return path.startswith(("/run/", "/var/run/"))


class CodeTree:
    """The code of one service at its place: compared by content, changed file by file, owned by root."""

    def __init__(self, name: str, path: str, kept: Iterable[str]) -> None:
        """``kept`` are absolute paths (state, virtual environment) that are left alone when they lie inside."""
        self.name, self.path = name, path
        self.skip: List[str] = _tree.inside(kept, path)
        self.entries = _tree.scan(path, self.skip)
        self.digest = _tree.digest_of(self.entries)

    def replace(self, pack: str, digest: str) -> None:
        """Make the tree what ``pack`` (a tar.gz) holds. Raises WebstackError when that is not ``digest``."""
        os.makedirs(self.path, mode=0o755, exist_ok=True)
        stage = tempfile.mkdtemp(prefix=".webstack-", dir=os.path.dirname(self.path))
        try:
            unpack(pack, stage)
            wanted = _tree.scan(stage)
            if _tree.digest_of(wanted) != digest:
                raise WebstackError("service %s: its code arrived damaged" % self.name)
            write, remove = _tree.difference(wanted, self.entries)
            for path in remove:
                self._remove(path)
            for path in write:
                self._move(os.path.join(stage, path), path)
        except OSError as exc:
            raise WebstackError("service %s: its code could not be written to %s: %s" % (self.name, self.path, exc.strerror)) from exc
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def _move(self, source: str, path: str) -> None:
        target = os.path.join(self.path, path)
        if os.path.isdir(target) and not os.path.islink(target):
            if any(kept == path or kept.startswith(path + "/") for kept in self.skip):
                raise WebstackError("service %s: %s is a file in the code, and a directory with state in it on the host" % (self.name, target))
            shutil.rmtree(target)
        parent = os.path.dirname(target)
        if os.path.islink(parent) or (os.path.lexists(parent) and not os.path.isdir(parent)):
            os.unlink(parent)
        os.makedirs(parent, mode=0o755, exist_ok=True)
        os.rename(source, target)

    def _remove(self, path: str) -> None:
        os.unlink(os.path.join(self.path, path))
        parent = os.path.dirname(path)
        while parent:
            cache = os.path.join(self.path, parent, "__pycache__")
            if os.path.isdir(cache) and os.listdir(os.path.dirname(cache)) == ["__pycache__"]:
                shutil.rmtree(cache)
            try:
                os.rmdir(os.path.join(self.path, parent))
            except OSError:
                return
            parent = os.path.dirname(parent)


def unpack(pack: str, stage: str) -> None:
    """Write a pack's files and links below ``stage``, with the modes 0644 and 0755 and today's times: byte code goes by them."""
    with tarfile.open(pack, "r:gz") as archive:
        for member in archive:
            name = posixpath.normpath(member.name)
            if name.startswith(("/", "../")) or name == "..":
                raise WebstackError("the packed code holds the path %r" % member.name)
            path = os.path.join(stage, name)
            os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
            if member.issym():
                os.symlink(member.linkname, path)
                continue
            source = archive.extractfile(member)
            if source is not None:
                with source, open(path, "wb") as handle:
                    shutil.copyfileobj(source, handle)
                os.chmod(path, 0o755 if member.mode & 0o100 else 0o644)


def remove_if_empty(path: str) -> None:
    """Remove an empty directory; one that is not, or not there, stays."""
    with contextlib.suppress(OSError):
        os.rmdir(path)


def jobs(service: Mapping[str, Any]) -> str:
    """The crontab of one entry of the module's ``services``."""
    return crontab(service["name"], service["schedule"], service["environment"])
