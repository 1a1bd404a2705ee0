# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service's code tree tells without being run: paths it names, programs it starts, secrets and data that lie in it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections import deque
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_files, _evidence_settings, _evidence_source
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import secret_name

_SKIPPED = {".git", ".hg", ".svn", "node_modules", "__pycache__", "site-packages", ".tox", ".mypy_cache", ".pytest_cache"}
_SOURCE = (".py", ".pyi", ".html", ".js", ".css", ".md", ".rst", ".po", ".mo", ".so", ".c", ".h", ".svg", ".sh", ".sql", ".in", ".lock", ".map", ".ts")
_MAX_FILES = 20000
_MAX_PYTHON = 3000
_MAX_TEXT = 512 * 1024
_MAX_PARSED = 128 * 1024
"""A syntax tree takes up to 500 times its text (255 000 numbers in half a megabyte: 240 MB); a larger file is read as text."""
_MAX_SECRET = 64 * 1024
_MANY = 500
"""Files of one directory, beside Python's, that are looked into: where there are more, they are data."""
_PATH = re.compile(r"(?<![\w.:/~$}])(/[\w.@+-]+(?:/[\w.@+-]+)+)/?")
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_PART_OF_CODE = _SOURCE + (".txt", ".pot", ".jinja", ".jinja2", ".j2", ".mako", ".less", ".scss", ".png", ".ico", ".woff", ".woff2", ".ttf", ".json", ".yaml",
                           ".yml", ".toml", ".ini", ".cfg", ".conf", ".env", ".pem", ".key", ".crt", ".example", ".pyc", ".egg-info", ".gitignore", ".xml")


@dataclass
class Data:
    """What is in one directory of the tree beside code: the time of the newest file of each owner, and a database."""

    newest: Dict[int, float] = field(default_factory=dict)
    sqlite: str = ""


@dataclass
class Tree:
    """Findings; places are ``FILE:LINE`` or a file. ``secrets_in_source`` and ``secret_settings`` hold names only, never values."""

    absolute: Dict[str, str] = field(default_factory=dict)
    relative: Dict[str, str] = field(default_factory=dict)
    programs: Dict[str, str] = field(default_factory=dict)
    libraries: Dict[str, str] = field(default_factory=dict)
    locales: Dict[str, str] = field(default_factory=dict)
    secret_files: List[str] = field(default_factory=list)
    secrets_in_source: List[Tuple[str, str]] = field(default_factory=list)
    secret_settings: Dict[str, List[str]] = field(default_factory=dict)
    talks: List[Tuple[str, str, str]] = field(default_factory=list)
    """(kind, address, place) of what the code or its settings say that it talks to; see _evidence_needs."""
    settings: Dict[str, Dict[str, str]] = field(default_factory=dict)
    """Values by name and by file. For the target only, never returned."""
    shared_objects: List[str] = field(default_factory=list)
    links: Dict[str, str] = field(default_factory=dict)
    """Files and directories outside the tree to which links in it lead, each with its link."""
    linked_secrets: Dict[str, List[str]] = field(default_factory=dict)
    """Names of the secrets in such a file."""
    data: Dict[str, Data] = field(default_factory=dict)
    python_dirs: Set[str] = field(default_factory=set)
    newest: float = 0.0
    crowded: List[str] = field(default_factory=list)
    blind: List[str] = field(default_factory=list)


def scan(root: str, skip: Set[str]) -> Tree:
    """Look through a code tree; ``skip`` are directories that are not code (the venv). Never raises for what it finds."""
    tree = Tree()
    pythons = files = 0
    for path, info in _walk(root, skip, tree):
        files += 1
        if files > _MAX_FILES:
            tree.crowded.append(root)
            tree.blind.append("%s has more than %d files; the rest was not looked at" % (root, _MAX_FILES))
            break
        name = os.path.basename(path)
        if name.endswith(".py"):
            tree.newest = max(tree.newest, info.st_mtime)
            tree.python_dirs.add(os.path.dirname(path))
            pythons += 1
            if pythons > _MAX_PYTHON:
                tree.blind.append("%s has more than %d Python files; the rest was not read" % (root, _MAX_PYTHON))
            elif info.st_size <= _MAX_PARSED:
                _python(tree, path)
            else:
                _as_text(tree, path)
                if info.st_size > _MAX_TEXT:
                    tree.blind.append("%s was read in part: it is too large" % path)
        else:
            _other(tree, path, name, info)
    for path in sorted(tree.links):
        _linked(tree, path)
    tree.blind = sorted(set(tree.blind))
    return tree


def _linked(tree: Tree, path: str) -> None:
    """Read a file outside the tree as the code reads it: distributions keep settings in /etc and link them (settings_local.py)."""
    found = Tree()
    if path.endswith(".py"):
        _python(found, path)
    elif _evidence_settings.is_settings_file(os.path.basename(path)):
        found.secrets_in_source = [(name, path) for name in settings(found, path)]
    for place, why in found.absolute.items():
        tree.absolute.setdefault(place, why)
    tree.settings.update(found.settings)
    tree.talks += found.talks
    if found.secrets_in_source:
        tree.linked_secrets[path] = sorted({name for name, _path in found.secrets_in_source})


def _other(tree: Tree, path: str, name: str, info: os.stat_result) -> None:
    if re.search(r"\.so(\.[\d.]+)?$", name):
        tree.shared_objects.append(path)
    elif info.st_size <= _MAX_TEXT and _evidence_settings.is_settings_file(name):
        names = settings(tree, path)
        if names:
            tree.secret_settings[path] = names
    if _secret_file(path, name, info):
        tree.secret_files.append(path)
    if not name.endswith(_PART_OF_CODE) and not name.startswith((".", "LICENSE", "README", "Makefile", "Dockerfile", "MANIFEST")):
        data = tree.data.setdefault(os.path.dirname(path), Data())
        data.newest[info.st_uid] = max(data.newest.get(info.st_uid, 0.0), info.st_mtime)
        if not data.sqlite and info.st_size >= 100 and re.search(r"\.(db3?|sqlite3?|dat|sl3)$|^[^.]+$", name) and _evidence_files.is_sqlite(path):
            data.sqlite = path


def _walk(root: str, skip: Set[str], tree: Tree) -> Iterator[Tuple[str, os.stat_result]]:
    """Regular files, the shallow ones first, in a fixed order. Links below the root are not followed; those that lead out of the tree are noted."""
    todo = deque([root])
    inner = [os.path.realpath(path) + "/" for path in [root, *skip] if path]
    while todo:
        directory = todo.popleft()
        found, complete = _evidence_files.entries(directory)
        if not complete:
            tree.crowded.append(directory)
        if directory != root and any(entry.name == "pyvenv.cfg" for entry in found):
            continue
        others = 0
        for entry in found:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _SKIPPED and entry.path not in skip:
                        todo.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    others += not entry.name.endswith(".py")
                    if others <= _MANY or entry.name.endswith(".py"):
                        yield entry.path, entry.stat(follow_symlinks=False)
                elif entry.is_symlink() and entry.name not in _SKIPPED and entry.path not in skip and len(tree.links) < _MANY:
                    target = os.path.realpath(entry.path)
                    if os.path.exists(target) and not (target + "/").startswith(tuple(inner)):
                        tree.links.setdefault(target, entry.path)


def note(tree: Tree, value: str, place: str) -> None:
    """Keep a text that may be a path."""
    if 3 < len(value) < 512 and "\n" not in value and "\0" not in value:
        if value.startswith("/") and value.strip("/"):
            tree.absolute.setdefault(os.path.normpath(value), place)
        elif re.fullmatch(r"[\w.@+-]+(/[\w.@+-]+)*/?", value) and not value.startswith("-"):
            tree.relative.setdefault(os.path.normpath(value), place)


def _python(tree: Tree, path: str) -> None:
    try:
        found = _evidence_source.read(_evidence_files.read(path), path)
    except _evidence_source.Unreadable:  # Python 2's, a template, or broken: read as text
        _as_text(tree, path)
        return
    for value, place in found.strings:
        note(tree, value, place)
    for target, items in ((tree.programs, found.programs), (tree.libraries, found.libraries), (tree.locales, found.locales)):
        for name, place in items.items():
            target.setdefault(name, place)
    tree.secrets_in_source += [(name, path) for name in found.secrets]
    tree.talks += found.talks
    if found.settings:
        tree.settings[path] = found.settings


def _as_text(tree: Tree, path: str) -> None:
    tree.secrets_in_source += [(name, path) for name in settings(tree, path)]


def settings(tree: Tree, path: str) -> List[str]:
    """Look into a settings file: the paths that it names, its values for later questions; names of its secrets are returned."""
    content = os.fsdecode(_evidence_files.read(path, _MAX_TEXT))
    if "\0" in content or not content:
        return []
    for match in _PATH.finditer(content):
        note(tree, match.group(1), path)
    if not _evidence_settings.is_example(path):
        tree.settings[path] = _evidence_settings.by_name(_evidence_settings.pairs(content, path))
    return _evidence_settings.secrets(content, path)


def _secret_file(path: str, name: str, info: os.stat_result) -> bool:
    """A small file that is secret as a whole, by its name or its content."""
    if info.st_size > _MAX_SECRET or info.st_size == 0 or name.endswith(_SOURCE):
        return False
    example = name.endswith((".example", ".sample", ".dist", ".pub"))
    if name in _evidence_settings.WHOLE or name.startswith((".env.", "id_rsa", "id_ed25519", "id_ecdsa")) and not example:
        return True
    if name.endswith((".pem", ".key", ".p12", ".pfx", ".jks", ".keystore")):
        return not name.endswith((".pem", ".key")) or _PRIVATE_KEY.search(_evidence_files.read(path, _MAX_SECRET)) is not None
    if not info.st_mode & stat.S_IROTH:
        return secret_name(name) or _PRIVATE_KEY.search(_evidence_files.read(path, _MAX_SECRET)) is not None
    return secret_name(name) and not name.endswith((".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf", ".xml", ".properties"))
