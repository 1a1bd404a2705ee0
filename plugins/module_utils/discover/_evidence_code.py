# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service's code tree tells without being run: paths it names, programs it starts, secrets and data that lie in it."""

from __future__ import annotations

import ast
import contextlib
import os
import re
import stat
import warnings
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Set, Tuple, Union

from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import secret_name, secret_value

_SKIPPED = {".git", ".hg", ".svn", "node_modules", "__pycache__", "site-packages", ".tox", ".mypy_cache", ".pytest_cache"}
_TEXT = (".env", ".ini", ".cfg", ".conf", ".toml", ".json", ".yaml", ".yml", ".properties")
_SOURCE = (".py", ".pyi", ".html", ".js", ".css", ".md", ".rst", ".po", ".mo", ".so", ".c", ".h", ".svg", ".sh", ".sql", ".in", ".lock", ".map", ".ts")
_MAX_FILES = 20000
_MAX_PYTHON = 3000
_MAX_TEXT = 512 * 1024
_MAX_SECRET = 64 * 1024
_PATH = re.compile(r"(?<![\w.:/~$}])(/[\w.@+-]+(?:/[\w.@+-]+)+)/?")
_RUNNERS = {"run", "call", "check_call", "check_output", "Popen", "which", "create_subprocess_exec", "execvp", "system"}
_PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----")


@dataclass
class Tree:
    """Findings; places are ``FILE:LINE`` or a file. ``secrets_in_source`` holds names only, never values."""

    absolute: Dict[str, str] = field(default_factory=dict)
    relative: Dict[str, str] = field(default_factory=dict)
    programs: Dict[str, str] = field(default_factory=dict)
    secret_files: List[str] = field(default_factory=list)
    secrets_in_source: List[Tuple[str, str]] = field(default_factory=list)
    newest: float = 0.0
    blind: List[str] = field(default_factory=list)


def scan(root: str, skip: Set[str]) -> Tree:
    """Look through a code tree; ``skip`` are directories that are not code (the venv). Never raises for what it finds."""
    tree = Tree()
    pythons = files = 0
    for path, info in _walk(root, skip):
        files += 1
        if files > _MAX_FILES:
            tree.blind.append("%s has more than %d files; the rest was not looked at" % (root, _MAX_FILES))
            break
        name = os.path.basename(path)
        if name.endswith(".py"):
            tree.newest = max(tree.newest, info.st_mtime)
            pythons += 1
            if pythons <= _MAX_PYTHON and info.st_size <= _MAX_TEXT:
                _python(tree, path)
        elif info.st_size <= _MAX_TEXT and (name.endswith(_TEXT) or name.startswith(".env")):
            _text(tree, path)
        if _secret_file(path, name, info):
            tree.secret_files.append(path)
    return tree


def _walk(root: str, skip: Set[str]) -> Iterator[Tuple[str, os.stat_result]]:
    """Regular files in a fixed order; links are not followed below the root."""
    todo = [root]
    while todo:
        directory = todo.pop()
        try:
            with os.scandir(directory) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError:
            continue
        if directory != root and any(entry.name == "pyvenv.cfg" for entry in found):
            continue
        inner: List[str] = []
        for entry in found:
            with contextlib.suppress(OSError):
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in _SKIPPED and entry.path not in skip:
                        inner.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    yield entry.path, entry.stat(follow_symlinks=False)
        todo += reversed(inner)


def _read(path: str, limit: int = _MAX_TEXT) -> bytes:
    try:
        with open(path, "rb") as handle:
            return handle.read(limit)
    except OSError:
        return b""


def _note(tree: Tree, value: str, place: str) -> None:
    if 3 < len(value) < 512 and "\n" not in value and "\0" not in value:
        if value.startswith("/") and value.strip("/"):
            tree.absolute.setdefault(os.path.normpath(value), place)
        elif re.fullmatch(r"[\w.@+-]+(/[\w.@+-]+)*/?", value) and not value.startswith("-"):
            tree.relative.setdefault(os.path.normpath(value), place)


def _python(tree: Tree, path: str) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(_read(path))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        tree.blind.append("%s is not Python that could be read" % path)
        return
    docstrings = {id(body[0].value) for body in _bodies(module) if body and isinstance(body[0], ast.Expr)}
    for node in ast.walk(module):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            _note(tree, node.value, "%s:%d" % (path, node.lineno))
            url = re.match(r"sqlite:///(/[^?]+)", node.value)
            if url:
                _note(tree, url.group(1), "%s:%d" % (path, node.lineno))
        elif isinstance(node, ast.Call):
            program = _program(node)
            if program:
                tree.programs.setdefault(program, "%s:%d" % (path, node.lineno))
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            _assignment(tree, node, path)


def _bodies(module: ast.Module) -> Iterator[List[ast.stmt]]:
    for node in ast.walk(module):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.body


def _program(node: ast.Call) -> Optional[str]:
    """The first word of a command that a call of subprocess, shutil.which or os.system names literally."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in _RUNNERS or not node.args:
        return None
    if isinstance(node.func, ast.Attribute) and not (isinstance(node.func.value, ast.Name) and node.func.value.id in ("subprocess", "shutil", "os", "asyncio")):
        return None
    first: ast.expr = node.args[0]
    if isinstance(first, (ast.List, ast.Tuple)) and first.elts:
        first = first.elts[0]
    if isinstance(first, ast.Constant) and isinstance(first.value, str) and first.value.strip():
        return first.value.split()[0]
    return None


def _assignment(tree: Tree, node: Union[ast.Assign, ast.AnnAssign], path: str) -> None:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target]
    value = node.value
    if isinstance(value, ast.Constant) and isinstance(value.value, str) and len(value.value) >= 6 and not value.value.startswith("/"):
        for target in targets:
            if isinstance(target, ast.Name) and (secret_value(value.value) or target.id.isupper() and secret_name(target.id)):
                tree.secrets_in_source.append((target.id, path))


def _text(tree: Tree, path: str) -> None:
    content = os.fsdecode(_read(path))
    if "\0" not in content:
        for match in _PATH.finditer(content):
            _note(tree, match.group(1), path)


def _secret_file(path: str, name: str, info: os.stat_result) -> bool:
    """A small file that holds secrets by its name or its content."""
    if info.st_size > _MAX_SECRET or info.st_size == 0 or name.endswith(_SOURCE):
        return False
    example = name.endswith((".example", ".sample", ".dist", ".pub"))
    if name in (".env", ".htpasswd", ".pgpass", ".netrc") or name.startswith((".env.", "id_rsa", "id_ed25519")) and not example:
        return True
    if name.endswith((".pem", ".key", ".p12", ".pfx")):
        return name.endswith((".p12", ".pfx")) or _PRIVATE_KEY.search(_read(path, _MAX_SECRET)) is not None
    if not info.st_mode & stat.S_IROTH:
        return secret_name(name) or _PRIVATE_KEY.search(_read(path, _MAX_SECRET)) is not None
    return secret_name(name) and not name.endswith((".json", ".yaml", ".yml", ".toml", ".ini", ".cfg", ".conf"))
