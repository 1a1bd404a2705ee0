# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Which programs a command line starts, as far as its words tell. Pure."""

from __future__ import annotations

import re
import shlex
from typing import List

_KEYWORDS = frozenset(("if", "then", "elif", "else", "while", "until", "do", "!", "{", "time", "fi", "done", "esac", "}", "in"))
_BUILTINS = frozenset((".", ":", "alias", "break", "case", "cd", "continue", "eval", "exit", "export", "for", "getopts", "hash", "jobs", "local", "read",
                       "readonly", "return", "set", "shift", "source", "times", "trap", "type", "ulimit", "umask", "unset", "wait", "echo", "test", "[",
                       "true", "false", "printf", "kill", "pwd"))
_WRAPPERS = frozenset(("env", "nice", "nohup", "ionice", "timeout", "flock", "chronic", "setsid", "sudo", "stdbuf", "xargs", "chrt"))
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=")


def cron_command(text: str) -> str:
    """The command of a crontab line: up to the first ``%`` that has no backslash (crontab(5))."""
    return re.sub(r"\\%", "%", re.split(r"(?<!\\)%", text, maxsplit=1)[0])


def programs(command: str) -> List[str]:
    """Names and absolute paths of the programs in a shell command; shell builtins and assignments are not programs.

    Every absolute path counts, whatever its place, since it may be the argument of a wrapper; the caller keeps those that can be started.
    """
    lexer = shlex.shlex(command, posix=True, punctuation_chars=True)
    lexer.commenters = ""
    lexer.whitespace_split = True  # with punctuation_chars: words end at blanks and at shell punctuation only
    try:
        words = list(lexer)
    except ValueError:
        words = command.split()
    found: List[str] = []
    first, redirected = True, False
    for word in words:
        if redirected:
            redirected = False
        elif set(word) <= set("<>&|") and set(word) & set("<>"):
            redirected = True
        elif set(word) <= set("();|&"):
            first = True
        elif word.startswith("/"):
            found.append(word)
            first = first and word.rsplit("/", 1)[1] in _WRAPPERS
        elif first and word not in _KEYWORDS and not _ASSIGNMENT.match(word):
            if word in _WRAPPERS:
                found.append(word)
            elif word not in ("exec", "command") and not word.startswith("-") and not re.fullmatch(r"[0-9.]+[smhd]?", word):
                found += [] if word in _BUILTINS else [word]
                first = False
    return list(dict.fromkeys(found))
