# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Application servers other than uWSGI: how each is known, and what its command line tells. A further one is a line in ``SERVERS``. Pure.

Sources: each program's own documentation of its command line (gunicorn.org, uvicorn.org, hypercorn, daphne, waitress, granian, puma, unicorn,
php-fpm(8), fcgiwrap(8)).
"""

from __future__ import annotations

import os
import re
from typing import List, NamedTuple, Optional, Sequence, Tuple


class Server(NamedTuple):
    """How an application server is known.

    ``program`` is a regular expression for the whole name of its executable, script or ``python -m`` module; ``title`` one for the title
    that its processes give themselves, whose group ``config``, if any, is a configuration file. ``directory`` and ``config`` are the options
    that name the code directory and configuration files.
    """

    name: str
    program: str
    title: Optional[str] = None
    directory: Tuple[str, ...] = ()
    config: Tuple[str, ...] = ()


SERVERS: Tuple[Server, ...] = (
    Server("gunicorn", r"gunicorn\d?|gunicorn_paster|gunicorn\.app\.\w+", r"gunicorn: ", ("--chdir",), ("-c", "--config", "--paste", "--log-config")),
    Server("uvicorn", r"uvicorn", None, ("--app-dir",), ("--env-file", "--log-config")),
    Server("hypercorn", r"hypercorn", None, (), ("-c", "--config", "--log-config")),
    Server("daphne", r"daphne(\.cli)?"),
    Server("waitress", r"waitress(-serve.*)?"),
    Server("granian", r"granian", None, ("--working-dir",), ("--env-files", "--log-config")),
    Server("php-fpm", r"php-fpm[\d.]*", r"php-fpm: (master process \((?P<config>/[^)]*)\)|pool )", (), ("-y", "--fpm-config", "-c", "--php-ini")),
    Server("puma", r"puma", r"puma(: cluster worker)? [\d.: ]", ("--dir",), ("-C", "--config")),
    Server("unicorn", r"unicorn(_rails)?", r"unicorn(_rails)? (master|worker)", (), ("-c", "--config-file")),
    Server("fcgiwrap", r"fcgiwrap"),
)
"""Everything that is known as an application server; a process that listens and to which nginx leads is one even when it is not here."""

PLAIN = "process"
"""Stands for a server's name where a process of another kind listens."""

_INTERPRETER = re.compile(r"(python|pypy|perl|ruby|node|nodejs|php|lua|java|sh|bash|dash|busybox)[\d.]*")
_WITH_VALUE = {"python": ("-W", "-X"), "pypy": ("-W", "-X"), "perl": ("-I",), "ruby": ("-I", "-r", "-C"), "node": ("-r", "--require", "--import"),
               "php": ("-c", "-d", "-t"), "java": ("-cp", "-classpath", "--class-path", "-p", "--module-path")}
_INSTEAD = {"python": ("-m", "-c"), "pypy": ("-m", "-c"), "php": ("-S", "-r"), "java": ("-jar", "-m"), "perl": ("-e", "-E"), "ruby": ("-e",), "node": ("-e",),
            "sh": ("-c",), "bash": ("-c",), "dash": ("-c",)}
"""Options after which no script stands: the program is a module, a text, or the interpreter's own server."""
_SHELLS = ("sh", "bash", "dash")


class Program(NamedTuple):
    """What a process runs: ``path`` of the executable, or of the script that an interpreter runs; else ``module``, such as ``-m http.server``.

    ``label`` calls it by one line that is the same from run to run.
    """

    path: str
    module: str
    interpreter: str
    label: str

    @property
    def name(self) -> str:
        """The last part of the path or the module's name."""
        return self.module.split(" ")[-1] if self.module.startswith("-m ") else os.path.basename(self.path)


def program(exe: str, argv: Sequence[str], cwd: str = "", name: str = "") -> Program:
    """What runs, by the executable (empty when it may not be known) and the command line."""
    first = argv[0] if argv else ""
    path = exe or (first.split(" ")[0] if first.startswith("/") else name or first.split(" ")[0])
    match = _INTERPRETER.fullmatch(os.path.basename(path))
    if match is None or len(argv) < 2:
        return Program(path, "", "", path)
    kind = {"nodejs": "node"}.get(match.group(1), match.group(1))
    index = 1
    while index < len(argv):
        word = argv[index]
        if word in _INSTEAD.get(kind, ()) and index + 1 < len(argv):
            inline = word in ("-c", "-e", "-E", "-r")
            module = word if inline else "%s %s" % (word, argv[index + 1])
            return Program(path, module, kind, "%s %s" % (path, module))
        if kind in _SHELLS and re.fullmatch(r"[-+]\w*s\w*", word):
            return Program(path, word, kind, "%s %s" % (path, word))  # commands come from standard input (sh(1)); what follows is no script
        if word in _WITH_VALUE.get(kind, ()):
            index += 2
        elif word.startswith(("-", "+")):
            index += 1
        elif kind == "java":
            return Program(path, "-m " + word, kind, "%s %s" % (path, word))
        else:
            script = os.path.normpath(os.path.join(cwd, word)) if cwd or word.startswith("/") else word
            return Program(script, "", kind, script)
    return Program(path, "", "", path)


def known(running: Program, argv: Sequence[str]) -> Optional[Server]:
    """The application server that a process is, by its program or its title."""
    title = argv[0] if len(argv) == 1 else ""
    for server in SERVERS:
        if server.title and " " in title and re.match(server.title, title):
            return server
        if re.fullmatch(server.program, running.name):
            return server
    return None


def option(argv: Sequence[str], names: Sequence[str]) -> List[str]:
    """Values of options on a command line: ``--name value``, ``--name=value``, and ``-nvalue`` of a short one."""
    found = []
    for index, word in enumerate(argv):
        for name in names:
            if word == name and index + 1 < len(argv):
                found.append(argv[index + 1])
            elif word.startswith(name + "=") and name.startswith("--"):
                found.append(word[len(name) + 1:])
            elif not name.startswith("--") and len(name) == 2 and word.startswith(name) and len(word) > 2:
                found.append(word[2:].lstrip("="))
    return found


def config_files(server: Optional[Server], argv: Sequence[str], base: str) -> List[str]:
    """Configuration files that the command line or the title names, as absolute paths."""
    if server is None:
        return []
    found = [re.sub(r"^(file|python):", "", value) for value in option(argv, server.config)]
    match = re.match(server.title, argv[0]) if server.title and len(argv) == 1 else None
    if match and "config" in match.groupdict() and match.group("config"):
        found.append(match.group("config"))
    return sorted({os.path.normpath(os.path.join(base, value)) for value in found if value})


def directory(server: Optional[Server], running: Program, argv: Sequence[str], cwd: str) -> Optional[str]:
    """The code directory: by option, the directory it runs in, or where the script lies; None when none of them says."""
    for value in option(argv, server.directory) if server else []:
        return os.path.normpath(os.path.join(cwd, value))
    if cwd.strip("/"):
        return cwd
    if server is None and running.interpreter and running.path.startswith("/") and not running.module:
        return os.path.dirname(running.path)
    return None
