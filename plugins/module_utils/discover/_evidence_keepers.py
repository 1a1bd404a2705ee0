# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What else than systemd or an emperor may keep a uWSGI instance: supervisor and its programs.

Sources: supervisord.org/configuration.html, supervisor/options.py (search path, expansions), supervisor/process.py (the environment of a program).
"""

from __future__ import annotations

import configparser
import glob
import os
import re
import shlex
import socket
from typing import Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process

_PLACES = ("/etc/supervisord.conf", "/etc/supervisor/supervisord.conf")
SUPERVISORS = {"supervisord": "supervisor", "runsv": "runit", "s6-supervise": "s6", "supervise": "daemontools", "monit": "monit", "circusd": "circus",
               "honcho": "honcho", "foreman": "foreman", "pm2": "pm2", "god": "god"}
"""Programs that start others again, and what they are called."""


class Program(NamedTuple):
    """A program of supervisor. ``socket`` is what it opens for it (fcgi-program), ``environment`` holds real values: never return them."""

    name: str
    file: str
    command: List[str]
    directory: str
    user: str
    environment: Dict[str, str]
    socket: str

    @property
    def address(self) -> str:
        """The socket as the kernel lists it."""
        return re.sub(r"^(unix|tcp)://", "", self.socket).replace("*:", "0.0.0.0:")


def supervisor_of(table: Mapping[int, Process], process: Process) -> Optional[Tuple[str, Process]]:
    """The nearest supervisor above a process, with its name."""
    pid = process.parent
    while pid in table and pid > 1:
        for word in table[pid].argv[:2]:
            if os.path.basename(word) in SUPERVISORS:
                return SUPERVISORS[os.path.basename(word)], table[pid]
        pid = table[pid].parent
    return None


def candidates(supervisor: Process, process: Process, read: Callable[[str], str]) -> List[Program]:
    """Programs that a process may have been started as, the likeliest first: by the name in its environment, by its command line, any that starts uWSGI."""
    found = programs(_config_file(supervisor), supervisor.environ, read)
    names = [process.environ.get(key, "") for key in ("SUPERVISOR_PROCESS_NAME", "SUPERVISOR_GROUP_NAME")]
    chosen = [item for name in names for item in found if item.name == name]
    chosen += [item for item in found if item.command[1:] == process.argv[1:] and not process.rewritten]
    return chosen + [item for item in found if process.rewritten and any("uwsgi" in word for word in item.command)]


def _config_file(supervisor: Process) -> str:
    words = supervisor.argv
    for index, word in enumerate(words):
        if word in ("-c", "--configuration") and index + 1 < len(words):
            return os.path.join(supervisor.cwd or "/", words[index + 1])
        if word.startswith("--configuration="):
            return os.path.join(supervisor.cwd or "/", word.split("=", 1)[1])
    return next((path for path in _PLACES if os.path.isfile(path)), _PLACES[0])


def programs(path: str, environ: Mapping[str, str], read: Callable[[str], str], find: Callable[[str], Sequence[str]] = glob.glob) -> List[Program]:
    """Programs of a supervisord.conf and the files that its [include] names, in order; a file that cannot be read has none."""
    found: List[Program] = []
    main = _parse(path, read)
    if main is None:
        return found
    here = os.path.dirname(path)
    expansions = {"here": here, "host_node_name": socket.gethostname(), **{"ENV_" + name: value for name, value in environ.items()}}
    patterns = _expand(main.get("include", "files", fallback=""), expansions).split()
    files = [name for pattern in patterns for name in sorted(find(os.path.join(here, pattern)))]
    for name, parsed in [(path, main)] + [(name, _parse(name, read)) for name in files]:
        if parsed is not None:
            found += [_program(section, name, dict(parsed.items(section)), {**expansions, "here": os.path.dirname(name)})
                      for section in parsed.sections() if re.match(r"(fcgi-)?program:", section)]
    return found


def _parse(path: str, read: Callable[[str], str]) -> Optional[configparser.RawConfigParser]:
    parser = configparser.RawConfigParser(strict=False, inline_comment_prefixes=(";", "#"))
    try:
        parser.read_string(read(path))
    except (OSError, configparser.Error):
        return None
    return parser


def _expand(text: str, values: Mapping[str, str]) -> str:
    return re.sub(r"%\((\w+)\)0?\d*[sd]", lambda match: values.get(match.group(1), match.group()), text)


def _words(text: str) -> List[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _program(section: str, file: str, values: Mapping[str, str], expansions: Mapping[str, str]) -> Program:
    name = section.partition(":")[2].strip()
    known = {**expansions, "program_name": name, "group_name": name, "process_num": "0"}
    told = {key: _expand(value, known) for key, value in values.items()}
    return Program(name, file, _words(told.get("command", "")), told.get("directory", ""), told.get("user", ""), _variables(told.get("environment", "")),
                   told.get("socket", ""))


def _variables(text: str) -> Dict[str, str]:
    """``KEY="val",KEY2=val2`` (supervisor/datatypes.py dict_of_key_value_pairs)."""
    lexer = shlex.shlex(text)
    lexer.wordchars += "/.+-():"
    found: Dict[str, str] = {}
    try:
        tokens: List[str] = list(lexer)
    except ValueError:
        return found
    for key, equal, value in zip(tokens[0::4], tokens[1::4], tokens[2::4]):
        if equal == "=":
            found[key] = value.strip("'\"")
    return found


def kept_by(name: str, found: Optional[Program]) -> str:
    """Who keeps an instance, in words."""
    if found is None:
        return "%s keeps it" % name
    opened = " and opens its socket %s" % found.socket if found.socket else ""
    return "%s keeps it%s (program %s in %s)" % (name, opened, found.name, found.file)
