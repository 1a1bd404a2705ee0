# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text of systemd units: written, and read back (systemd.syntax(7), systemd.service(5) COMMAND LINES). Pure."""

from __future__ import annotations

import re
import shlex
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

Sections = Dict[Tuple[str, str], List[str]]
"""(section, key) -> its values in order."""

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "\\": "\\", '"': '"', "'": "'", "s": " "}


def shown(text: str) -> List[Dict[str, str]]:
    """What ``systemctl show`` prints of each unit, by property; the values of one that comes several times (EnvironmentFiles, ExecStart) stand on lines."""
    found = []
    for block in text.split("\n\n"):
        values: Dict[str, str] = {}
        for line in block.splitlines():
            key, equal, value = line.partition("=")
            if equal:
                values[key] = values[key] + "\n" + value if values.get(key) else value
        found.append(values)
    return found


def parse(texts: Iterable[str]) -> Sections:
    """A unit and its drop-ins as one; an empty value forgets what stood before it."""
    found: Sections = {}
    for text in texts:
        section = ""
        for line in re.sub(r"\\\n(?:[#;][^\n]*\n)*", " ", text).splitlines():
            line = line.strip()
            key, equals, value = line.partition("=")
            if line.startswith("[") and line.endswith("]"):
                section = line[1:-1]
            elif equals and line[0] not in "#;":
                values = found.setdefault((section, key.strip()), [])
                if value.strip():
                    values.append(value.strip())
                else:
                    values.clear()
    return found


def quoted(text: str) -> str:
    """One word of a command or of Environment=, in double quotes. What it holds stands for itself, ``%`` too, except ``$`` (see ``argument``)."""
    return '"%s"' % text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t").replace("%", "%%")


def argument(text: str) -> str:
    """One word of a command line that reaches the program as it is."""
    return quoted(text).replace("$", "$$")


def words(text: str) -> List[str]:
    """The words of a command line with quotes and escapes undone; ``$`` and ``%`` as they are written. Raises WebstackError for an open quote."""
    found: List[str] = []
    word: Optional[str] = None
    quote, index = "", 0
    while index < len(text):
        char = text[index]
        index += 1
        if char == "\\" and index < len(text):
            escape = text[index]
            number = re.match(r"x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|([0-7]{3})", text[index:])
            if number:
                word = (word or "") + chr(int(number[1] or number[2] or number[3], 8 if number[3] else 16))
                index += len(number[0])
            else:
                word = (word or "") + _ESCAPES.get(escape, "\\" + escape)
                index += 1
        elif quote:
            word, quote = (word, "") if char == quote else ((word or "") + char, quote)
        elif char in "\"'" and word is None:
            word, quote = "", char
        elif char.isspace():
            found += [] if word is None else [word]
            word = None
        else:
            word = (word or "") + char
    if quote:
        raise WebstackError("the command %r has an open quote" % text)
    return found + ([] if word is None else [word])


def _shell_word(word: str) -> str:
    """A word of a command line for the shell; raises WebstackError for specifiers other than ``%%``."""
    word = word.replace("%%", "\0")
    if "%" in word:
        raise WebstackError("it uses a specifier of systemd: %s" % word.replace("\0", "%%"))
    word = word.replace("\0", "%")
    if re.fullmatch(r"\$[A-Za-z_]\w*", word):
        return word  # split into words, by systemd as by the shell
    parts = re.split(r"(\$\$|\$\{[A-Za-z_]\w*\})", word)
    if len(parts) == 1:
        return shlex.quote(word)
    if not any(part.startswith("${") for part in parts):
        return shlex.quote(word.replace("$$", "$"))
    return '"%s"' % "".join(part if part.startswith("${") else re.sub(r'([\\"`$])', r"\\\1", part.replace("$$", "$")) for part in parts)


def shell_command(lines: Iterable[str]) -> str:
    """Commands of ExecStart= and the like, one after the other, as one command for /bin/sh -c. Raises WebstackError for what it cannot say."""
    found = []
    for line in lines:
        prefix = re.match(r"[-@:+!|]*", line)
        flags = prefix.group() if prefix else ""
        if set(flags) - {"-"}:
            raise WebstackError("its command has the prefix %s" % flags)
        parts = words(line[len(flags):])
        if len(parts) == 3 and parts[:2] in (["/bin/sh", "-c"], ["/usr/bin/sh", "-c"]) and not re.search(r"(?<!\$)(\$\$)*\$\{?\w", parts[2]):
            _shell_word(parts[2].replace("$", ""))  # no specifiers
            command = parts[2].replace("%%", "%").replace("$$", "$")
        else:
            command = " ".join(_shell_word(part) for part in parts)
        found.append("{ %s || true; }" % command if flags else command)
    return found[0] if len(found) == 1 else " && ".join(item if item.startswith("{") else "( %s )" % item for item in found)


def assignments(values: Iterable[str]) -> Dict[str, str]:
    """Variables of Environment= lines."""
    found: Dict[str, str] = {}
    for value in values:
        for word in words(value):
            name, equals, content = word.partition("=")
            if equals:
                found[name] = content.replace("%%", "%")
    return found


def last(sections: Mapping[Tuple[str, str], List[str]], section: str, key: str, default: str = "") -> str:
    """The value that counts of a key that takes one."""
    return (sections.get((section, key)) or [default])[-1]
