# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which paths outside a service's code and venv it writes (state), reads (files) or keeps secret; each with its evidence."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from dataclasses import dataclass, field
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_code, _evidence_files, _evidence_settings
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import secret_name

SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/boot", "/proc", "/sys", "/dev", "/tmp", "/run", "/var/run", "/var/tmp", "/var/lock",
          "/etc/ssl", "/etc/nginx", "/etc/uwsgi", "/etc/webstack", "/etc/systemd", "/etc/alternatives", "/etc/apache2", "/var/lib/webstack", "/var/lib/dpkg")
_OWN_BELOW = ("/usr/local/share", "/usr/local/etc", "/usr/local/var", "/usr/local/lib", "/usr/share", "/etc/ssl")
"""Below directories of the system, where things of a service's own may lie all the same; what a package owns there is the system's."""
_OF_ALL_BELOW = ("/etc/ssl/certs", "/etc/ssl/openssl.cnf", "/usr/share/zoneinfo", "/usr/share/fonts", "/usr/share/locale", "/usr/local/share/ca-certificates")
_FILES_OF_ALL = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/resolv.conf", "/etc/hostname", "/etc/localtime", "/etc/timezone", "/etc/os-release",
                 "/etc/shadow", "/etc/fstab", "/etc/environment", "/etc/machine-id", "/etc/mtab", "/etc/nsswitch.conf", "/etc/crontab")
_DATA_NAMES = {"media", "uploads", "upload", "data", "storage", "var", "instance", "db", "database", "packages", "sessions", "files", "archive"}
_STATIC_NAMES = {"static", "staticfiles", "static_root", "assets", "public", "collected"}
_NO_STATE = ("/proc", "/sys", "/dev", "/run", "/var/run", "/tmp", "/usr")
_KINDS = (("logs", r"logs?|journal"), ("cache", r"\.?caches?|\.?te?mp|cache[-_].*|.*[-_]cache"), ("sessions", r".*sessions?.*"),
          ("uploads", r".*uploads?.*|media|attachments?|avatars?"))
_SHARED_UIDS = (0, 33, 65534)
"""root, www-data and nobody: what they own says nothing about a service."""
_TOPS = ("/srv", "/var/lib", "/var/cache", "/var/log", "/var/www", "/opt", "/data", "/mnt")
_SECRET_SIZE = 64 * 1024
_WALKED = 5000
_MANY = 200


class Subject(NamedTuple):
    """Whose access is asked about: a user with all its groups."""

    uid: int
    groups: Set[int]

    def may(self, path: str, bit: int) -> bool:
        """Read (4), write (2) or search (1) by the mode bits; uid 0 may everything."""
        try:
            info = os.stat(path)
        except OSError:
            return False
        if self.uid == 0:
            return True
        shift = 6 if info.st_uid == self.uid else 3 if info.st_gid in self.groups else 0
        return bool(info.st_mode >> shift & bit)

    def writes(self, path: str) -> bool:
        """May write, and not merely because it is root."""
        return self.uid != 0 and self.may(path, 2)


@dataclass
class Paths:
    """The classified paths: ``state``, ``files`` and ``secrets`` by path with the evidence; ``names`` are the secret settings in such a file."""

    state: Dict[str, str] = field(default_factory=dict)
    files: Dict[str, str] = field(default_factory=dict)
    secrets: Dict[str, str] = field(default_factory=dict)
    names: Dict[str, List[str]] = field(default_factory=dict)
    kinds: Dict[str, str] = field(default_factory=dict)
    """What a definition says of its state."""


@dataclass
class Facts:
    """What is known of a service before its paths are classified. ``named`` maps absolute paths to the place that names them."""

    subject: Subject
    code: Optional[str]
    venv: Optional[str]
    named: Dict[str, str]
    tree: _evidence_code.Tree
    written: List[str]
    unit_state: Dict[str, str]
    static_roots: Set[str]
    ignored: Set[str]
    owned: Mapping[str, Optional[str]] = field(default_factory=dict)
    """Package that owns a path, for the paths that are asked about."""
    home: str = ""
    """The home directory of the service's user."""
    started: float = 0.0
    """When the service was started, in seconds since the epoch."""
    alone: bool = False
    """No other service runs as this user."""
    said: Mapping[str, str] = field(default_factory=dict)
    """State that the definition names, with its kind or an empty text, where install has left a note."""


def within(path: str, tops: Iterable[Optional[str]]) -> bool:
    """Is the path one of the directories, or below one?"""
    return any(top and (path == top or path.startswith(top.rstrip("/") + "/")) for top in tops)


is_sqlite = _evidence_files.is_sqlite


def is_log(path: str) -> bool:
    """A log by its name or place."""
    return path.endswith((".log", ".err")) or within(path, ["/var/log"])


def classify(facts: Facts) -> Paths:
    """Sort every path of the evidence into state, files and secrets.

    The first evidence for a path is kept. What is open at the moment comes last: the same host must give the same plan.
    """
    found = Paths(kinds=dict(facts.said))
    found.state = {path: "its definition names it" for path in facts.said if os.path.lexists(path)}
    for path, evidence in facts.unit_state.items():
        _add_state(facts, found, path, evidence)
    for path, place in {**facts.named, **facts.tree.absolute}.items():
        _named(facts, found, path, place)
    _in_code(facts, found)
    _data_in_code(facts, found)
    _beside_code(facts, found)
    _of_the_user(facts, found)
    for path in facts.written:
        _written(facts, found, path)
    for path in [*facts.tree.secret_files, *facts.tree.secret_settings]:
        found.secrets.setdefault(path, "in the code directory")
    found.names.update({path: names for path, names in facts.tree.secret_settings.items() if path not in facts.tree.secret_files})
    _at_home(facts, found)
    _linked(facts, found)
    _tidy(facts, found)
    return found


def _linked(facts: Facts, found: Paths) -> None:
    """What links in the code lead to, unless it is known by another path already."""
    for path, link in sorted(facts.tree.links.items()):
        known = [os.path.realpath(other) for other in (*found.state, *found.files, *found.secrets)]
        if within(path, known) or within(path, [facts.venv and os.path.realpath(facts.venv)]):
            continue
        _named(facts, found, path, "the link %s" % link)
        names = facts.tree.linked_secrets.get(path)
        if names and (path in found.files or path in found.secrets):
            found.secrets.setdefault(path, found.files.pop(path, ""))
            found.names[path] = names


def _written(facts: Facts, found: Paths, path: str) -> None:
    """A regular file that a process of the service holds open for writing."""
    if path in facts.ignored or within(path, SYSTEM) or within(path, [facts.venv]) or path.endswith((".pid", ".lock")):
        return
    directory = os.path.dirname(path)
    if is_sqlite(path):
        _add_state(facts, found, directory, "SQLite database %s is open for writing" % path)
    elif is_log(path):
        _add_state(facts, found, directory if directory != "/var/log" else path, "log %s is open for writing" % path)
    else:
        _add_state(facts, found, directory, "%s is open for writing" % path)


def _named(facts: Facts, found: Paths, path: str, place: str) -> None:
    """An absolute path that the environment, the configuration or the code names."""
    if _systems(facts, path) or path in _FILES_OF_ALL or within(path, [facts.venv]) or path.count("/") < 2 or path in facts.ignored:
        return
    if facts.code and (within(path, [facts.code]) or within(facts.code, [path])) or facts.venv and within(facts.venv, [path]):
        return
    if os.path.isdir(path):
        _named_directory(facts, found, path, place)
    elif os.path.isfile(path):
        _named_file(facts, found, path, place)
    elif not os.path.lexists(path):
        parent = os.path.dirname(path)
        if parent.count("/") >= 2 and os.path.isdir(parent) and facts.subject.writes(parent) and not within(facts.code or "/", [parent]) \
                and not within(parent, [facts.code]):
            _add_state(facts, found, parent, "%s names %s" % (place, path))


def _systems(facts: Facts, path: str) -> bool:
    """Is this the system's, which an image has anyway, or which belongs to somebody else?"""
    if not within(path, SYSTEM):
        return False
    own = within(path, _OWN_BELOW) and path not in _OWN_BELOW and not within(path, _OF_ALL_BELOW) and not facts.owned.get(path)
    return not own or re.match(r"/usr/local/lib/python3", path) is not None


def _named_directory(facts: Facts, found: Paths, path: str, place: str) -> None:
    static = path in facts.static_roots and os.path.basename(path) in _STATIC_NAMES
    if facts.subject.writes(path) and not static:
        _add_state(facts, found, path, "%s names it, and the service's user may write it" % place)
    elif not facts.owned.get(path) and facts.subject.may(path, 4):
        found.files.setdefault(path, "%s names it" % place)
        for entry in _evidence_files.entries(path, _MANY)[0]:
            if not entry.is_symlink() and os.path.isfile(entry.path) and not _secret(entry.path):
                _settings_file(found, entry.path, "%s names its directory" % place)
            elif _secret(entry.path) and os.path.isfile(entry.path):
                found.secrets.setdefault(entry.path, "%s names its directory" % place)


def _settings_file(found: Paths, path: str, place: str) -> bool:
    """Take a file as secret when settings in it are."""
    names = []
    if _evidence_settings.is_settings_file(os.path.basename(path)):
        names = _evidence_settings.secrets(os.fsdecode(_evidence_files.read(path)), path)
    if names:
        found.secrets.setdefault(path, place)
        found.names[path] = names
    return bool(names)


def _named_file(facts: Facts, found: Paths, path: str, place: str) -> None:
    if is_sqlite(path) and facts.subject.writes(path):
        _add_state(facts, found, os.path.dirname(path), "%s names the SQLite database %s" % (place, path))
    elif is_log(path) and facts.subject.writes(path):
        _add_state(facts, found, os.path.dirname(path), "%s names the log %s" % (place, path))
    elif facts.owned.get(path):
        return
    elif _secret(path):
        found.secrets.setdefault(path, "%s names it" % place)
    elif _settings_file(found, path, "%s names it" % place):
        return
    elif facts.subject.writes(path):
        directory = os.path.dirname(path)
        _add_state(facts, found, directory if facts.subject.writes(directory) else path, "%s names %s, and the service's user may write it" % (place, path))
    elif facts.subject.may(path, 4):
        found.files.setdefault(path, "%s names it" % place)


def _secret(path: str) -> bool:
    try:
        info = os.stat(path)
    except OSError:
        return False
    return info.st_size <= _SECRET_SIZE and (not info.st_mode & stat.S_IROTH or secret_name(os.path.basename(path)))


def _in_code(facts: Facts, found: Paths) -> None:
    """Data inside the code tree: named by the code or the environment, and writable by the user or newer than the code."""
    if not facts.code:
        return
    code_is_writable = facts.subject.writes(facts.code)
    places = {path: place for path, place in {**facts.named, **facts.tree.absolute}.items() if within(path, [facts.code]) and path != facts.code}
    for name, place in facts.tree.relative.items():
        directory = os.path.dirname(place.rsplit(":", 1)[0])
        for base in (facts.code, directory, os.path.dirname(directory)):
            path = os.path.normpath(os.path.join(base, name))
            if within(path, [facts.code]) and path != facts.code:
                places.setdefault(path, place)
    for path, place in sorted(places.items()):
        if os.path.isfile(path) and is_sqlite(path) and facts.subject.writes(path):
            _add_state(facts, found, os.path.dirname(path), "%s names the SQLite database %s" % (place, path))
        elif os.path.isdir(path) and facts.subject.writes(path):
            newer, has_code = _content(path, facts.tree.newest)
            if has_code or path in facts.static_roots and os.path.basename(path) in _STATIC_NAMES:
                continue
            if not code_is_writable or newer or os.path.basename(path) in _DATA_NAMES:
                why = "has files newer than the code" if newer else "the service's user may write it"
                _add_state(facts, found, path, "%s names it, and %s" % (place, why))


def _content(path: str, newest: float) -> Tuple[bool, bool]:
    """(has files that are more than a minute newer than the code, has Python files)."""
    newer, count, todo = False, 0, [path]
    while todo:
        for entry in _evidence_files.entries(todo.pop(), _WALKED)[0]:
            count += 1
            if count > _WALKED:
                return newer, False
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                elif entry.name.endswith(".py"):
                    return newer, True
                else:
                    newer = newer or entry.stat(follow_symlinks=False).st_mtime > newest + 60
    return newer, False


def _data_in_code(facts: Facts, found: Paths) -> None:
    """Directories of the code tree that nobody names and that hold what the service has written: by their owner, by their times, a database."""
    if not facts.code:
        return
    try:
        foreign = os.stat(facts.code).st_uid != facts.subject.uid
    except OSError:
        return
    for directory, data in sorted(facts.tree.data.items()):
        if not facts.subject.writes(directory) or within(directory, facts.static_roots):
            continue
        mine = data.newest.get(facts.subject.uid, 0.0)
        if data.sqlite and facts.subject.writes(data.sqlite):
            _add_state(facts, found, directory, "has the SQLite database %s" % data.sqlite)
            continue
        if mine and foreign:
            why = "holds files that the service's user has written"
        elif mine > facts.tree.newest + 60 or mine > facts.started > 0:
            # the first one says the same after the next start
            why = "has files newer than the code" if mine > facts.tree.newest + 60 else "holds files that were changed since the service was started"
        else:
            continue
        top = directory
        while top != facts.code and os.path.dirname(top) != facts.code and facts.subject.writes(os.path.dirname(top)) \
                and not any(within(path, [os.path.dirname(top)]) for path in facts.tree.python_dirs):
            top = os.path.dirname(top)
        if not any(within(path, [top]) for path in facts.tree.python_dirs):
            _add_state(facts, found, top, why)
        elif not within(directory, found.state):
            _add_state(facts, found, directory, why)


def _of_the_user(facts: Facts, found: Paths) -> None:
    """Directories in the usual places that belong to a user who is there for this service alone."""
    if not facts.alone or facts.subject.uid in _SHARED_UIDS:
        return
    for top in _TOPS:
        for entry in _evidence_files.entries(top, _MANY)[0]:
            with contextlib.suppress(OSError):
                info = entry.stat(follow_symlinks=False)
                inner = within(facts.code or "", [entry.path]) or within(facts.venv or "", [entry.path]) or within(entry.path, [facts.code, facts.venv])
                if stat.S_ISDIR(info.st_mode) and info.st_uid == facts.subject.uid and not inner and entry.path != facts.home \
                        and entry.path not in facts.static_roots and not _content(entry.path, 0)[1]:
                    _add_state(facts, found, entry.path, "belongs to the service's user, who has no other service")


def _at_home(facts: Facts, found: Paths) -> None:
    """Logins and keys in the home directory, where client libraries look for them."""
    if not facts.home or facts.home in ("/", "/nonexistent"):
        return
    for name in _evidence_settings.HOME:
        path = os.path.join(facts.home, name)
        if os.path.isfile(path) and facts.subject.may(path, 4) and not within(path, [facts.code]):
            if os.path.basename(path) in _evidence_settings.WHOLE or "/.ssh/" in path or "/.aws/" in path:
                found.secrets.setdefault(path, "in the home directory of the service's user")
            else:
                _settings_file(found, path, "in the home directory of the service's user")


def _beside_code(facts: Facts, found: Paths) -> None:
    """Directories of the user beside its code: the usual place of data when a service has a directory of its own."""
    home = os.path.dirname(facts.code.rstrip("/")) if facts.code else ""
    if home.count("/") < 2 or not (facts.venv and os.path.dirname(facts.venv) == home or os.path.basename(home) in facts.ignored or home == facts.home):
        return
    for entry in _evidence_files.entries(home, _WALKED)[0]:
        name, path = entry.name, entry.path
        with contextlib.suppress(OSError):
            info = os.lstat(path)
            if stat.S_ISDIR(info.st_mode) and info.st_uid == facts.subject.uid != 0 and not name.startswith(".") \
                    and not within(facts.code or "", [path]) and not within(facts.venv or "", [path]) and path not in facts.static_roots:
                if not os.path.exists(os.path.join(path, "pyvenv.cfg")) and not _content(path, 0)[1]:
                    _add_state(facts, found, path, "belongs to the service's user, beside its code")


def _add_state(facts: Facts, found: Paths, path: str, evidence: str) -> None:
    if path.count("/") >= 2 and os.path.lexists(path) and not within(path, _NO_STATE):
        found.state.setdefault(path, evidence)


def state_kind(path: str, evidence: str = "") -> str:
    """database, logs, cache, sessions, uploads or data: by what the place holds and how it is called."""
    name = os.path.basename(path.rstrip("/")).lower()
    if "SQLite" in evidence or any(is_sqlite(entry.path) for entry in _evidence_files.entries(path, _WALKED)[0]
                                   if re.search(r"\.(db3?|sqlite3?)$", entry.name)):
        return "database"
    if is_log(path) or within(path, ["/var/log"]) or evidence.startswith("log "):
        return "logs"
    if within(path, ["/var/cache"]):
        return "cache"
    return next((kind for kind, pattern in _KINDS if re.fullmatch(pattern, name)), "data")


def _only_sockets(path: str) -> bool:
    """A directory that holds sockets (or pid files) and nothing else: made anew by whoever listens."""
    found = False
    try:
        with os.scandir(path) as entries:
            for entry in entries:
                found = True
                if not (stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode) or entry.name.endswith((".pid", ".lock"))):
                    return False
    except OSError:
        return False
    return found


def _tidy(facts: Facts, found: Paths) -> None:
    """What lies below a state directory needs no line of its own; a static root that is state is no file."""
    state = {path: found.state[path] for path in found.state
             if path in facts.said or not within(os.path.dirname(path), found.state) and not _only_sockets(path)}
    found.state = state
    found.files = {path: place for path, place in found.files.items()
                   if not within(path, state) and not within(os.path.dirname(path), found.files) and path not in found.secrets}
    found.secrets = {path: place for path, place in found.secrets.items() if not within(path, state)}
    found.names = {path: names for path, names in found.names.items() if path in found.secrets}
