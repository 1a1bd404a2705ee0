# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Texts and trees that a web application needs on its host: its crontab, its socket directory at boot, its code."""

from __future__ import annotations

import contextlib
import json
import os
import posixpath
import shutil
import tarfile
import tempfile
from typing import Any, Dict, Iterable, List, Mapping

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
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
            self._keep(write, remove)
            for path in remove:
                self._remove(path)
            for path in write:
                self._move(os.path.join(stage, path), path)
        except OSError as exc:
            raise WebstackError("service %s: its code could not be written to %s: %s" % (self.name, self.path, exc.strerror)) from exc
        finally:
            shutil.rmtree(stage, ignore_errors=True)

    def _keep(self, write: Iterable[str], remove: Iterable[str]) -> None:
        """Keep what will be replaced beside the tree, by hard links, until the new code has served (``settle``) or not (``put_back``)."""
        settle(self.name)
        kept = os.path.join(os.path.dirname(self.path), ".webstack-former-" + os.path.basename(self.path))
        shutil.rmtree(kept, ignore_errors=True)
        os.mkdir(kept, 0o700)
        former = [path for path in [*write, *remove] if path in self.entries]
        for path in former:
            copy = os.path.join(kept, path)
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            os.link(os.path.join(self.path, path), copy, follow_symlinks=False)
        undo = {"path": self.path, "kept": kept, "former": former, "added": [path for path in write if path not in self.entries], "digest": self.digest}
        _journal.write_private(_paths.code_undo(self.name), json.dumps(undo) + "\n")

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
        _remove(self.path, path)


def _remove(root: str, path: str) -> None:
    """Remove a file below ``root``, and the directories that are empty without it (byte code does not count)."""
    os.unlink(os.path.join(root, path))
    parent = os.path.dirname(path)
    while parent:
        cache = os.path.join(root, parent, "__pycache__")
        if os.path.isdir(cache) and os.listdir(os.path.dirname(cache)) == ["__pycache__"]:
            shutil.rmtree(cache)
        try:
            os.rmdir(os.path.join(root, parent))
        except OSError:
            return
        parent = os.path.dirname(parent)


def _undo(name: str) -> Dict[str, Any]:
    try:
        with open(_paths.code_undo(name), encoding="utf-8") as handle:
            return json.load(handle)
    except FileNotFoundError:
        return {}


def put_back(name: str) -> bool:
    """Bring a service's former code back, when its new code has not served yet; false when there is none. Idempotent."""
    undo = _undo(name)
    if not undo:
        return False
    for path in undo["added"]:
        if os.path.lexists(os.path.join(undo["path"], path)):
            _remove(undo["path"], path)
    for path in undo["former"]:
        kept, target = os.path.join(undo["kept"], path), os.path.join(undo["path"], path)
        if os.path.lexists(kept):
            os.makedirs(os.path.dirname(target), mode=0o755, exist_ok=True)
            os.rename(kept, target)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(kept)  # rename(2) does nothing when both names are links to one file
    _journal.write_private(_paths.code_stamp(name), json.dumps({"digest": undo["digest"]}) + "\n")
    settle(name)
    return True


def settle(name: str) -> None:
    """The new code serves: the former is not needed any more."""
    undo = _undo(name)
    if undo:
        shutil.rmtree(undo["kept"], ignore_errors=True)
        os.unlink(_paths.code_undo(name))


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
