# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What one Python file tells by its syntax tree: texts, programs and libraries that it starts and loads, secrets, what it connects to."""

from __future__ import annotations

import ast
import re
import warnings
from dataclasses import dataclass, field
from typing import Dict, Iterator, List, Optional, Tuple, Union

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_needs, _evidence_settings
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import secret_name, secret_value
from ansible_collections.gantry.webstack.plugins.module_utils.image._commands import programs

_RUNNERS = {"run", "call", "check_call", "check_output", "getoutput", "getstatusoutput", "Popen", "which", "create_subprocess_exec",
            "create_subprocess_shell", "system", "popen", "execv", "execve", "execvp", "execvpe", "execl", "execlp", "spawnv", "spawnvp", "spawnl",
            "spawnlp", "posix_spawn", "posix_spawnp"}
_MODULES = {"subprocess", "shutil", "os", "asyncio", "sp", "sh"}
_SHELL = {"system", "popen", "getoutput", "getstatusoutput", "create_subprocess_shell"}
_LOADERS = {"CDLL", "WinDLL", "PyDLL", "LoadLibrary", "find_library", "dlopen"}
_ENVIRONMENT = {"get", "getenv", "setdefault", "env", "config", "str", "environ"}
_WORDS = re.compile(r"[A-Za-z][A-Za-z _.,?!:()-]*")


class Unreadable(Exception):
    """The file is no Python that this interpreter can parse."""


@dataclass
class Source:
    """Findings of one file; places are ``FILE:LINE``. ``secrets`` holds names; ``settings`` holds values and stays on the target."""

    strings: List[Tuple[str, str]] = field(default_factory=list)
    programs: Dict[str, str] = field(default_factory=dict)
    libraries: Dict[str, str] = field(default_factory=dict)
    locales: Dict[str, str] = field(default_factory=dict)
    secrets: List[str] = field(default_factory=list)
    talks: List[Tuple[str, str, str]] = field(default_factory=list)
    settings: Dict[str, str] = field(default_factory=dict)


def read(content: bytes, path: str) -> Source:
    """Read a file's content. Raises Unreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            module = ast.parse(content)
        nodes = list(ast.walk(module))
    except (SyntaxError, ValueError, RecursionError, MemoryError) as exc:
        raise Unreadable(path) from exc
    return _Reader(path, nodes).source


class _Reader:
    def __init__(self, path: str, nodes: List[ast.AST]) -> None:
        self.path = path
        self.source = Source()
        self.docstrings = {id(body[0].value) for body in _bodies(nodes) if body and isinstance(body[0], ast.Expr)}
        self.constants = {target.id: node.value.value for node in nodes if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
                          and isinstance(node.value.value, str) for target in node.targets if isinstance(target, ast.Name)}
        for node in nodes:
            if isinstance(node, ast.Constant):
                self._constant(node)
            elif isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, (ast.Assign, ast.AnnAssign)):
                self._assignment(node)
            elif isinstance(node, ast.Dict):
                self._dict(node)
            elif isinstance(node, ast.keyword) and node.arg:
                self._named(node.arg, _text(node.value))
        self.source.secrets = sorted(set(self.source.secrets))

    def _place(self, node: Union[ast.expr, ast.stmt]) -> str:
        return "%s:%d" % (self.path, node.lineno)

    def _constant(self, node: ast.Constant) -> None:
        value = node.value
        if not isinstance(value, str) or id(node) in self.docstrings:
            return
        self.source.strings.append((value, self._place(node)))
        url = re.match(r"sqlite:///(/[^?]+)", value)
        if url:
            self.source.strings.append((url.group(1), self._place(node)))
        self.source.talks += [(kind, address, self._place(node)) for kind, address in _evidence_needs.of_text(value)]

    # -- calls

    def _call(self, node: ast.Call) -> None:
        name = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id if isinstance(node.func, ast.Name) else ""
        owner = node.func.value.id if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name) else ""
        first = self._value(node.args[0]) if node.args else None
        if name in _RUNNERS and node.args and (not isinstance(node.func, ast.Attribute) or owner in _MODULES):
            for program in self._programs(name, node):
                self.source.programs.setdefault(program, self._place(node))
        elif name in _LOADERS and first:
            self.source.libraries.setdefault(first, self._place(node))
        elif name == "setlocale" and len(node.args) > 1 and self._value(node.args[1]):
            self.source.locales.setdefault(self._value(node.args[1]) or "", self._place(node))
        elif name in _ENVIRONMENT and first and len(node.args) > 1:
            self._named(first, _text(node.args[1]))
        keywords = {item.arg: value for item in node.keywords if item.arg for value in [_plain(item.value)] if value is not None}
        arguments = [_plain(item) for item in node.args]
        self.source.talks += [(kind, address, self._place(node)) for kind, address in _evidence_needs.of_call(owner, name, arguments, keywords)]

    def _value(self, node: ast.expr) -> Optional[str]:
        """A text that is written here, or is a constant of this file."""
        if isinstance(node, ast.Name):
            return self.constants.get(node.id)
        return _text(node)

    def _programs(self, name: str, node: ast.Call) -> List[str]:
        """What a call of subprocess, os or shutil starts, as far as it is written down."""
        first: ast.expr = node.args[0]
        shell = name in _SHELL or any(item.arg == "shell" and isinstance(item.value, ast.Constant) and item.value.value is True for item in node.keywords)
        if isinstance(first, (ast.List, ast.Tuple)) and first.elts:
            words = [self._value(item) for item in first.elts]
            if words[0] in ("sh", "bash", "/bin/sh", "/bin/bash") and "-c" in words[:-1]:
                script = words[words.index("-c") + 1]
                return [*programs(script or ""), words[0] or ""]
            return [words[0]] if words[0] and words[0].strip() else []
        text = self._value(first)
        if text is None and isinstance(first, ast.JoinedStr) and first.values:
            head = _text(first.values[0])
            text = head if head and " " in head else None
        elif text is None and isinstance(first, ast.BinOp) and isinstance(first.left, ast.Constant):
            text = _text(first.left)
        if not text or not text.strip():
            return []
        return programs(text) if shell else text.split()[:1]

    # -- names and values

    def _assignment(self, node: Union[ast.Assign, ast.AnnAssign]) -> None:
        text = _text(node.value) if node.value is not None else None
        for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
            name = ""
            if isinstance(target, ast.Name):
                name = target.id
            elif isinstance(target, ast.Attribute):
                name = target.attr
            elif isinstance(target, ast.Subscript):
                name = _text(_index(target)) or ""
            if name:
                self._named(name, text)

    def _dict(self, node: ast.Dict) -> None:
        items = {key.value: value for key, value in zip(node.keys, node.values) if isinstance(key, ast.Constant) and isinstance(key.value, str)}
        for key, value in items.items():
            self._named(key, _text(value))
        plain = {key: value for key, value in ((key, _plain(value)) for key, value in items.items()) if value is not None}
        self.source.talks += [(kind, address, self._place(node)) for kind, address in _evidence_needs.of_mapping(plain)]

    def _named(self, name: str, value: Optional[str]) -> None:
        if value is None:
            return
        self.source.settings.setdefault(name, value)
        if len(value) < 6 or value.startswith("/"):
            return
        if name.isupper():
            if secret_value(value) or secret_name(name) and _evidence_settings.is_secret_setting(name, value):
                self.source.secrets.append(name)
        elif secret_value(value) or _evidence_settings.is_secret_setting(name, value) and not _WORDS.fullmatch(value):
            self.source.secrets.append(name)


def _index(node: ast.Subscript) -> ast.expr:
    """The index of a subscript; Python 3.8's tree wraps it."""
    return getattr(node.slice, "value", node.slice) if type(node.slice).__name__ == "Index" else node.slice


def _text(node: Optional[ast.AST]) -> Optional[str]:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None


def _plain(node: ast.expr) -> Union[str, List[str], None]:
    """A text, a number as text, or a list of them."""
    if isinstance(node, ast.Constant) and isinstance(node.value, (str, int)) and not isinstance(node.value, bool):
        return str(node.value)
    if isinstance(node, (ast.List, ast.Tuple)):
        return [item for item in (_text(element) for element in node.elts) if item is not None]
    return None


def _bodies(nodes: List[ast.AST]) -> Iterator[List[ast.stmt]]:
    for node in nodes:
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.body
