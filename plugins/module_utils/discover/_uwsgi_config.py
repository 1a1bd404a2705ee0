# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The effective configuration of a uWSGI instance, from its command line, environment and files.

This follows uWSGI 2.0 itself: environment, then the command line with every file that it loads at once (core/init.c
``uwsgi_commandline_config``, core/ini.c), then three passes over the values: ``$(ENV)``, ``@(file)``, ``%(option)``
(core/uwsgi.c ``uwsgi_setup``, core/utils.c ``uwsgi_apply_config_pass``), then ``inherit`` (core/config.c
``uwsgi_configure``). One-letter placeholders: core/uwsgi.c ``config_magic_table_fill``. What is not understood becomes
a warning; nothing is guessed. Nothing here touches the host except through the functions that the caller hands in.
"""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple, Union

from ansible_collections.gantry.webstack.plugins.module_utils.discover._uwsgi_files import (
    FileError,
    read_embedded_yaml,
    read_ini,
    read_json,
    read_xml,
    read_yaml,
    split_section,
)
from ansible_collections.gantry.webstack.plugins.module_utils.discover._uwsgi_options import FLAGS, IMMEDIATE, parse_argv

SOCKET_KEYS = ("socket", "uwsgi-socket")
"""Options that open a socket which speaks the uwsgi protocol."""

COMMAND_LINE = "command line"
ENVIRONMENT = "environment"
"""``Option.source_file`` of an option that no file holds."""

NOT_READ = " is not a file: not read"
"""How a warning ends that is about a command or another host, which discover never asks."""

FORMATS = {".ini": "ini", ".xml": "xml", ".yaml": "yaml", ".yml": "yaml", ".json": "json", ".js": "json"}
_LOADERS = {"ini": "ini", "ini-paste": "ini", "ini-paste-logged": "ini", "xml": "xml", "xmlconfig": "xml",
            "yaml": "yaml", "yml": "yaml", "json": "json", "js": "json"}
_LOGIC = re.compile(r"for(-glob|-times|-readline)?|if(-not)?-(opt|env|exists|file|dir|directory|hostname|hostname-match|plugin|reload)"
                    r"|ifenv|ifexists|iffile|ifdir|ifplugin")
_END = ("end", "endfor", "endif", "end-if", "end-for")
_STRUCTURE = frozenset(_LOADERS) | frozenset(_END) | {"include", "inherit", "set", "set-placeholder", "set-ph", "declare-option", "config", "strict"}
# Not options, though they look so in the environment (core/utils.c parse_sys_envs).
_OWN_ENVIRONMENT = ("RELOADS", "VASSALS_DIR", "EMPEROR_FD", "BROODLORD_NUM", "EMPEROR_FD_CONFIG", "EMPEROR_PROXY", "JAIL_PID", "ORIGINAL_PROC_NAME")
_NOT_FOLLOWED = ("emperor-wrapper", "inject-before", "inject-after", "envdir", "early-envdir", "resolve", "blacklist", "whitelist", "config")
_OF_THE_START = {"t": "the time of the start", "T": "the time of the start", "V": "uWSGI's version", "k": "the number of processors", "b": "uWSGI's binary",
                 "u": "the user of the start", "U": "the user of the start", "g": "the group of the start", "G": "the group of the start",
                 "i": "the file's inode", "I": "the file's inode"}
"""Placeholders that no file tells (core/uwsgi.c)."""
_MAX_DEPTH = 16
_MAX_EXPANSIONS, _MAX_VALUE = 1000, 64 * 1024
"""Bounds of one value: uWSGI itself expands one that refers to itself until its memory is used up."""


class Option(NamedTuple):
    """One effective option: ``value`` is text, or True for a flag that is on and for an option given without a value.

    ``source_file`` is the absolute path of the file that holds it, COMMAND_LINE or ENVIRONMENT; ``line`` counts from 1 (0: unknown);
    ``raw`` is the value as it is written there, before any placeholder was resolved.
    """

    key: str
    value: Union[str, bool]
    source_file: str
    line: int
    raw: str


class Location(NamedTuple):
    """Where an option's value is written. ``problem`` is None when ``raw`` stands exactly once in ``file`` and can be replaced there."""

    file: Optional[str]
    raw: str
    line: int
    problem: Optional[str]


@dataclass
class Host:
    """What the configuration may ask of its host; every answer can be replaced in tests."""

    hostname: str = ""
    realpath: Callable[[str], str] = os.path.normpath
    is_link: Callable[[str], bool] = lambda path: False
    glob: Callable[[str], List[str]] = lambda pattern: []
    plugins: Sequence[str] = ()
    inode: Callable[[str], Optional[int]] = lambda path: None
    libyaml: bool = True
    """Whether its uWSGI was built with libyaml: distributions' are, those from PyPI usually not."""
    magic: Mapping[str, str] = field(default_factory=dict)
    """Further one-letter placeholders: b, k, u, U, g, G, V. One of those that is missing here and used somewhere becomes a warning."""


@dataclass
class Config:
    """An instance's configuration. ``options`` are the effective ones in order; ``exported`` is everything that uWSGI's own
    ``--show-config`` prints, loaders and logic included; ``files`` are the files read, in order, with their text (secrets included:
    never send them off the host); ``warnings`` name what was not understood; ``letters`` are the one-letter placeholders in use."""

    options: List[Option] = field(default_factory=list)
    exported: List[Option] = field(default_factory=list)
    warnings: List[str] = field(default_factory=list)
    files: Dict[str, str] = field(default_factory=dict)
    letters: Set[str] = field(default_factory=set)

    def all(self, *keys: str) -> List[str]:
        """Values of every option with one of these names, in order."""
        return [text(option) for option in self.options if option.key in keys]

    def last(self, *keys: str) -> Optional[str]:
        """The value that wins for an option which holds one value."""
        return (self.all(*keys) or [None])[-1]  # type: ignore[list-item]

    def flag(self, key: str) -> bool:
        """Whether a boolean option is on (core/uwsgi.c uwsgi_opt_true)."""
        value = self.last(key)
        return value is not None and value.lower() not in ("false", "off", "no", "0")


def text(option: Option) -> str:
    """The option's value as uWSGI would print it."""
    return "true" if option.value is True else str(option.value)


class _Item:
    """An option while it is being resolved; ``value`` None means given without a value."""

    def __init__(self, key: str, value: Optional[str], source: Tuple[str, int, str], configured: bool) -> None:
        self.key, self.value, self.source, self.configured = key, value, source, configured


class _Reader:
    """uWSGI's configuration phase."""

    def __init__(self, cwd: str, environ: Mapping[str, str], read: Callable[[str], str], host: Host) -> None:
        self.cwd, self.environ, self.read_text, self.host = cwd, environ, read, host
        self.items: List[_Item] = []
        self.config = Config()
        self.custom: Dict[str, str] = {}
        self.extra: List[Option] = []
        self.logic: Optional[Tuple[str, str]] = None
        self.running = False
        self.depth = 0
        self.last_ini = ""
        self.magic: Dict[str, str] = {"%": "%", "(": "%(", "[": "\033", "v": cwd, "h": host.hostname, **host.magic}
        self.first_file_seen = False

    def warn(self, message: str) -> None:
        if message not in self.config.warnings:
            self.config.warnings.append(message)

    # -- adding options: core/config.c add_exported_option_do

    def add(self, key: str, value: Optional[str], source: Tuple[str, int, str], placeholder: bool = False) -> None:
        if not self.running:
            if key in _END:
                self.logic = None
            elif self.logic is not None:
                self.run_logic(key, value, source)
                return
        if key == "else":
            self.warn("%s: else is not known to uWSGI 2.0" % source[0])
        item = _Item(key, value, source, configured=placeholder)
        self.items.append(item)
        if not placeholder and self.act(key, value, source):
            item.configured = True

    def act(self, key: str, value: Optional[str], source: Tuple[str, int, str]) -> bool:
        """Carry out an immediate option; False when the option waits for the passes."""
        if _LOGIC.fullmatch(key):
            if self.logic is not None:
                self.warn("%s: %s inside another condition or loop" % (source[0], key))
            self.logic = (key, value or "")
        elif key in _LOADERS:
            self.load(_LOADERS[key], value or "", source)
        elif key == "include":
            self.load_by_name(value or "", source)
        elif key in ("set", "set-placeholder", "set-ph"):
            name, equal, content = (value or "").partition("=")
            if not equal:
                self.warn("%s: %s = %s has no '='" % (source[0], key, value))
            else:
                self.add(name, content, (source[0], source[1], content), placeholder=key != "set")
        elif key == "declare-option":
            name, _equal, template = (value or "").partition("=")
            self.custom[name] = template
        elif key in self.custom:
            self.run_custom(self.custom[key], value or "", source)
        elif key not in IMMEDIATE and key not in _END:
            return False
        return True

    def run_custom(self, template: str, value: str, source: Tuple[str, int, str]) -> None:
        """A declared option: its template's assignments with $1, $2 ... replaced (core/config.c uwsgi_opt_custom)."""
        arguments = value.split(" ") if value else [""]
        for assignment in template.split(";"):
            name, equal, content = assignment.partition("=")
            if not equal:
                return
            for number, argument in enumerate(arguments, 1):
                name, content = name.replace("$%d" % number, argument), content.replace("$%d" % number, argument)
            self.extra.append(Option(name, content, source[0], source[1], source[2]))

    # -- conditions and loops

    def run_logic(self, key: str, value: Optional[str], source: Tuple[str, int, str]) -> None:
        name, argument = self.logic or ("", "")
        values = self.loop(name, argument) if name.startswith("for") else self.condition(name, argument)
        for item in values:
            self.running = True
            try:
                self.add(key, value if value is None or item is None else value.replace("%(_)", item), source)
            finally:
                self.running = False

    def loop(self, name: str, argument: str) -> List[Optional[str]]:
        if name == "for":
            return [item for item in argument.split(" ") if item]
        if name == "for-times":
            return [str(number) for number in range(1, int(argument) + 1)] if argument.isdigit() else []
        if name == "for-glob":
            top = "" if os.path.isabs(argument) else os.path.join(self.cwd, "")
            return [path[len(top):] for path in self.host.glob(top + argument)] or [argument]
        content = self.content(argument)
        return [] if content is None else [line.rstrip("\r\n") for line in re.findall(r"[^\n]*\n|[^\n]+", content)]

    def condition(self, name: str, argument: str) -> List[Optional[str]]:
        negative = "-not-" in name
        kind = re.sub(r"^if-?(not-)?", "", name)
        subject, equal, wanted = argument.partition("=")
        found: Optional[str]
        if kind in ("opt", "env"):
            found = self.exported(subject) if kind == "opt" else self.environ.get(subject)
            true = found is not None and (not equal or found == wanted)
        else:
            found = argument
            true = self.test(kind, argument)
        return [found] if true != negative else []

    def test(self, kind: str, argument: str) -> bool:
        if kind in ("exists", "file", "dir", "directory"):
            what = self.kind_of(argument)
            return bool(what) if kind == "exists" else what == kind[:3].replace("fil", "file")
        if kind == "hostname":
            return self.host.hostname == argument
        if kind == "hostname-match":
            return re.search(argument, self.host.hostname) is not None
        if kind == "plugin":
            return argument in self.host.plugins
        self.warn("a condition on reloads: taken as the first start")
        return False

    # -- files

    def absolute(self, path: str) -> str:
        return os.path.normpath(os.path.join(self.cwd, path))

    def kind_of(self, path: str) -> str:
        """``file``, ``dir`` or nothing."""
        try:
            self.read_text(self.absolute(path))
        except IsADirectoryError:
            return "dir"
        except PermissionError:
            return "file"
        except OSError:
            return ""
        return "file"

    def content(self, path: str) -> Optional[str]:
        if "://" in path or path == "-":
            self.warn(path + NOT_READ)
            return None
        try:
            return self.read_text(self.absolute(path))
        except OSError as exc:
            self.warn("%s: %s" % (self.absolute(path), exc.strerror or "cannot be read"))
            return None

    def load_by_name(self, name: str, source: Tuple[str, int, str]) -> None:
        """``include``, ``inherit`` and bare arguments choose the format by the whole name's end (core/uwsgi.c uwsgi_opt_load)."""
        kind = next((kind for end, kind in FORMATS.items() if name.endswith(end)), None)
        if kind is None:
            self.warn("%s: %s has no known configuration format" % (source[0], name))
            return
        seen, self.first_file_seen = self.first_file_seen, True
        self.load(kind, name, source)
        self.first_file_seen = seen

    def load(self, kind: str, name: str, source: Tuple[str, int, str]) -> None:
        path, section = split_section(name)
        if self.depth >= _MAX_DEPTH:
            self.warn("%s: files include each other without an end" % path)
            return
        if kind == "ini" and name.startswith(":"):
            path = self.last_ini
            self.magic["x"] = section or ""
        else:
            self.fill_magic(name, path, section)
        content = self.content(path)
        if content is None:
            return
        absolute = self.absolute(path)
        self.config.files[absolute] = content
        self.last_ini = path if kind == "ini" else self.last_ini
        try:
            if kind == "xml":
                entries = read_xml(content, section, self.magic)
            else:
                readers = {"ini": read_ini, "yaml": read_yaml if self.host.libyaml else read_embedded_yaml, "json": read_json}
                entries = readers[kind](content, section or "uwsgi", self.magic)
        except FileError as exc:
            self.warn("%s: %s" % (absolute, exc))
            return
        self.depth += 1
        for letter in sorted({letter for entry in entries for letter in re.findall(r"%(.)", entry.raw)}):
            self.config.letters.add(letter)
            if letter in _OF_THE_START and letter not in self.magic:
                self.warn("%s: %%%s is %s, which is not known" % (absolute, letter, _OF_THE_START[letter]))
        for entry in entries:
            self.add(entry.key, entry.value, (absolute, entry.line, entry.raw))
        self.depth -= 1

    def fill_magic(self, name: str, path: str, section: Optional[str]) -> None:
        """Set the placeholders that depend on the file (core/uwsgi.c config_magic_table_fill)."""
        full = os.path.join(self.cwd, path)
        if not self.host.is_link(full):
            full = self.host.realpath(full)
        directory, base = full.rsplit("/", 1)
        stem, dot, extension = base.rpartition(".")
        parts = [part for part in directory.split("/") if part]
        table = {"o": name, "p": full, "s": base, "d": directory + "/", "c": directory.rpartition("/")[2],
                 "n": stem if dot else base, "e": extension if dot else "", "x": section or "", "j": _hash(full)}
        inode = self.host.inode(full)
        if inode is not None:
            table["i"] = str(inode)
        self.magic.update({str(number): (parts[number] if number < len(parts) else "") for number in range(10)})
        self.magic.update(table)
        if not self.first_file_seen:
            self.magic.update({letter.upper(): table[letter] for letter in "odspcenxji" if letter in table})
            self.first_file_seen = True

    # -- the three passes: core/utils.c uwsgi_apply_config_pass

    def exported(self, key: str) -> Optional[str]:
        return next((item.value for item in self.items if item.key == key), None)

    def passes(self) -> None:
        for symbol, hook in (("$", self.environ.get), ("@", self.at_file), ("%", self.reference)):
            for item in self.items:
                if item.value is not None and not item.configured:
                    item.value = self.expand(item.value, symbol, hook, item.source[0])

    def expand(self, value: str, symbol: str, hook: Callable[[str], Optional[str]], where: str) -> str:
        start = 0
        for _round in range(_MAX_EXPANSIONS):
            opening, closing = _innermost(value, symbol, start)
            if closing < 0:
                return value
            name = value[opening + 2:closing]
            found = hook(name) if name else None
            if found is None:
                if symbol == "$" and name:
                    self.warn("%s: %s(%s) has no value" % (where, symbol, name))
                start = closing + 1
                continue
            value = value[:opening] + found + value[closing + 1:]
            if len(value) > _MAX_VALUE:
                break
            start = 1  # uWSGI looks again from the second character on
        self.warn("%s: %s() refers to itself" % (where, symbol))
        return value

    def at_file(self, path: str) -> Optional[str]:
        content = self.content(path)
        return content[:-1] if content is not None and content[-1:] in ("\n", "\r") else content

    def reference(self, key: str) -> Optional[str]:
        if " " not in key:
            return self.exported(key)
        return _calculate(key, self.exported)

    # -- the end

    def finish(self) -> Config:
        position = 0
        while position < len(self.items):
            item = self.items[position]
            if item.key == "inherit" and not item.configured:
                item.configured = True
                self.logic = None
                self.load_by_name(item.value or "", item.source)
            position += 1
        for item in self.items:
            option = Option(item.key, True if item.value is None else item.value, *item.source)
            self.config.exported.append(option)
            if item.key in FLAGS and text(option).lower() in ("", "true", "1", "yes", "on"):
                option = option._replace(value=True)
            if item.key not in _STRUCTURE and not _LOGIC.fullmatch(item.key) and item.key not in self.custom:
                self.config.options.append(option)
            if item.key in _NOT_FOLLOWED:
                self.warn("%s: %s is not followed" % (item.source[0], item.key))
        self.config.options += self.extra
        return self.config


def _innermost(value: str, symbol: str, start: int) -> Tuple[int, int]:
    """The next ``symbol(name)`` that holds no further symbol, as positions of the symbol and of ``)``; (-1, -1) when there is none."""
    opening, depth, previous = -1, 0, ""
    for index in range(start, len(value)):
        letter = value[index]
        if letter == symbol:
            opening = -1
        elif letter == "(" and previous == symbol:
            opening, depth = index - 1, 0
        elif opening >= 0 and letter == "(":
            depth += 1
        elif opening >= 0 and letter == ")":
            if not depth:
                return opening, index
            depth -= 1
        previous = letter
    return -1, -1


def _hash(path: str) -> str:
    """``%j``: the file's name by DJB33X, its four bytes as they lie in memory, in hexadecimal (core/hash.c, core/utils.c uwsgi_str_to_hex)."""
    number = 5381
    for byte in os.fsencode(path):
        number = (number * 33 & 0xFFFFFFFF) ^ byte
    return number.to_bytes(4, sys.byteorder).hex().upper()


def _number(value: Optional[str]) -> int:
    match = re.match(r"\s*[+-]?\d+", value or "")
    return int(match.group()) if match else 0


def _calculate(expression: str, lookup: Callable[[str], Optional[str]]) -> str:
    """``%(a b + 2)``: a pipeline of concatenation and arithmetic (core/config.c uwsgi_manage_placeholder)."""
    value, state = "", ""
    for token in expression.split(" "):
        if token in ("+", "-", "*", "/"):
            state = token
            continue
        if token in ("++", "--"):
            value, state = str(_number(value) + (1 if token == "++" else -1)), ""
            continue
        if not token:
            continue
        operand = token if token.isdigit() else lookup(token) or ""
        left, right = _number(value), _number(operand)
        if not state:
            value += operand
        elif state == "/":
            value = str(int(left / right)) if right else "0"
        else:
            value = str({"+": left + right, "-": left - right, "*": left * right}[state])
        state = ""
    return value


def effective(argv: Sequence[str], cwd: str, environ: Mapping[str, str], read: Callable[[str], str],
              vassal: Optional[str] = None, host: Optional[Host] = None) -> Config:
    """The effective configuration of one instance.

    :param argv: its command line, program included; may be empty for a vassal
    :param cwd: the directory it was started in (an emperor's vassals: the emperor's directory), absolute
    :param environ: the environment it was started with
    :param read: text of an absolute path; raises OSError (IsADirectoryError for a directory)
    :param vassal: the file an emperor started it from, as named in the emperor's directory or absolute
    :param host: further answers about the host (host name, links, globs)

    Never raises for a bad configuration: what could not be read or understood is in ``Config.warnings``. Values are the real
    ones, secrets included.
    """
    reader = _Reader(cwd, environ, read, host or Host())
    words = list(argv[1:])
    if vassal and not words:
        kind = next((kind for end, kind in FORMATS.items() if vassal.endswith(end)), None)
        words = ["--" + kind if kind else "--inherit", vassal]
    for name, value in environ.items():
        if name.startswith("UWSGI_") and name[6:] not in _OWN_ENVIRONMENT:
            reader.add(name[6:].lower().replace("_", "-"), value, (ENVIRONMENT, 0, value))
    options, bare, warnings = parse_argv(words)
    reader.config.warnings += warnings
    for key, argument in options:
        reader.add(key, argument, (COMMAND_LINE, 0, argument or ""))
    for name in bare:
        if not name.startswith("["):
            reader.load_by_name(name, (COMMAND_LINE, 0, name))
    reader.passes()
    return reader.finish()


def environment(config: Config) -> Dict[str, str]:
    """The variables that the instance's ``env`` options set, with their real values: for the target only, never to be returned.

    ``env = NAME`` without a value and ``unenv`` remove a variable (core/uwsgi.c uwsgi_opt_set_env, uwsgi_opt_unset_env).
    """
    found: Dict[str, str] = {}
    for option in config.options:
        name, equal, value = text(option).partition("=")
        if option.key == "env" and equal:
            found[name] = value
        elif option.key in ("env", "unenv"):
            found.pop(name, None)
    return found


def sockets(config: Config) -> List[Option]:
    """Options that open uwsgi-protocol sockets, in order; ``protocol`` makes ``socket`` speak another one."""
    spoken = config.last("protocol", "socket-protocol") or "uwsgi"
    return [option for option in config.options if option.key in SOCKET_KEYS and (option.key != "socket" or spoken == "uwsgi")]


HTTP_KEYS = ("http-socket", "http11-socket", "http")
"""Options that open a socket which speaks HTTP without TLS; behind the last a router process hands over to the workers."""


def http_sockets(config: Config) -> List[Option]:
    """Options that open HTTP sockets, in order; ``protocol`` makes ``socket`` one too."""
    spoken = config.last("protocol", "socket-protocol") or "uwsgi"
    return [option for option in config.options if option.key in HTTP_KEYS or option.key == "socket" and spoken == "http"]


def locate_value(config: Config, key: str, value: Optional[str] = None) -> Location:
    """Where the winning ``key`` (with that effective value, when given) is written.

    ``Location.file`` is None when no file holds it; ``raw`` is the exact text after ``=``; ``problem`` says in one sentence why it
    cannot be replaced there, None when it can.
    """
    names: Iterable[str] = (*SOCKET_KEYS, *HTTP_KEYS) if key == "socket" else (key,)
    found = [option for option in config.options if option.key in names and (value is None or text(option) == value)]
    if not found:
        return Location(None, "", 0, "the configuration has no option %s%s" % (key, "" if value is None else " = %s" % value))
    option = found[-1]
    if option.source_file in (COMMAND_LINE, ENVIRONMENT):
        return Location(None, option.raw, 0, "%s %s is given by the %s" % (option.key, option.raw, option.source_file))
    count = config.files[option.source_file].count(option.raw) if option.raw else 0
    problem = None
    if count != 1:
        problem = "%r stands %d times in %s" % (option.raw, count, option.source_file)
    return Location(option.source_file, option.raw, option.line, problem)
