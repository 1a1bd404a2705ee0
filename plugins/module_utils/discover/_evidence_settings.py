# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Settings in files of every format: pairs of name and value, and which of them are secret. Values stay on the target."""

from __future__ import annotations

import json
import os
import re
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import secret_name, secret_value
from ansible_collections.gantry.webstack.plugins.module_utils.install import _releases


class Pair(NamedTuple):
    """One setting."""

    name: str
    value: str
    above: str


TEXT = (".env", ".ini", ".cfg", ".conf", ".cnf", ".toml", ".json", ".yaml", ".yml", ".properties", ".config", ".xml")
"""Endings of settings files."""
HOME = (".pgpass", ".netrc", ".my.cnf", ".mylogin.cnf", ".pypirc", ".git-credentials", ".aws/credentials", ".docker/config.json", ".s3cfg", ".boto",
        ".vault-token", ".config/gcloud/application_default_credentials.json", ".kube/config", ".config/pip/pip.conf", ".pip/pip.conf", ".env", ".msmtprc",
        ".smbcredentials", ".ssh/id_rsa", ".ssh/id_ed25519", ".ssh/id_ecdsa", ".ssh/id_dsa")
"""Files of a home directory in which programs look for logins and keys."""
WHOLE = frozenset((".env", ".htpasswd", ".pgpass", ".netrc", "_netrc", ".my.cnf", ".mylogin.cnf", ".pypirc", ".git-credentials", ".s3cfg", ".boto",
                   ".vault-token", ".msmtprc", ".smbcredentials", "credentials.json", "client_secret.json"))
"""Names of files that are secret as a whole."""
_EXAMPLE = (".example", ".sample", ".dist", ".template", ".tmpl", ".tpl", ".in", ".pub")
_CATALOG = re.compile(r"/(locales?|i18n|l10n|translations?|lang|languages|messages|node_modules|schemas?|fixtures)/|"
                      r"/(package(-lock)?|composer|tsconfig|manifest)\.json$")
_PAIR = re.compile(r"""^[ \t]*(?:-[ \t]+)?(?:export[ \t]+)?["']?(?P<key>[A-Za-z_][\w.\- ]*?)["']?[ \t]*(?P<sign>[:=])[ \t]*(?P<value>.*?)[ \t]*,?[ \t]*$""")
_INLINE = re.compile(r"""[{,][ \t]*["']?(?P<key>[A-Za-z_][\w.-]*)["']?[ \t]*[:=][ \t]*(?P<value>"[^"]*"|'[^']*'|[^,}{\[\]]+)""")
_XML = re.compile(r"<(?P<key>[A-Za-z_][\w.-]*)(?:\s[^>]*)?>(?P<value>[^<]+)</|\b(?:name|key)=\"(?P<key2>[^\"]+)\"\s+value=\"(?P<value2>[^\"]*)\"")
_PRIVATE_KEY = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_URL_LOGIN = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s:@'\"]*:(?P<password>[^/\s@'\"]+)@", re.IGNORECASE)
_ABOUT = re.compile(r"(^|[._-])(url|uri|file|path|dir|name|header|field|prefix|algorithm|type|ttl|timeout|lifetime|expir\w*|length|max|min|backends?|class|"
                    r"module|validators?|hashers?|usage|\w*identifier|schemes?)$", re.IGNORECASE)
"""Settings that say something about a secret and are none."""
_HOLLOW = re.compile(r"""^(\$.*|\{\{.*|\{%.*|%\(.*|<[^>]*>|\*+|x{3,}|\.\.\.|env\(.*|ENV\[.*|!\w+.*|~|null|none|true|false|yes|no|on|off|)$""", re.IGNORECASE)


def is_example(path: str) -> bool:
    """A file that shows how settings look, or texts of an interface: what looks secret there is none."""
    return path.endswith(_EXAMPLE) or re.search(r"[._-](example|sample|template|dist)(\.|$)", os.path.basename(path)) is not None \
        or _CATALOG.search(path) is not None


def pairs(text: str, name: str) -> List[Pair]:
    """Each setting in a file, whatever its format; ``above`` is the section or mapping that it stands in. Lists repeat their name."""
    if name.endswith(".json"):
        try:
            return list(_nested(json.loads(text), "", ""))
        except (ValueError, RecursionError):
            pass
    if name.endswith((".xml", ".config")) and text.lstrip().startswith("<"):
        return [Pair(match.group("key") or match.group("key2"), (match.group("value") or match.group("value2") or "").strip(), "")
                for match in _XML.finditer(text)]
    return list(_lines(text))


def by_name(found: List[Pair]) -> Dict[str, str]:
    """Values by name, and by ``ABOVE_NAME``, which tells the host of a database from that of a mail server."""
    return {**{item.name: item.value for item in found}, **{"%s_%s" % (item.above, item.name): item.value for item in found if item.above}}


def _nested(data: Any, key: str, above: str) -> Iterator[Pair]:
    if isinstance(data, dict):
        for inner, value in data.items():
            yield from _nested(value, str(inner), key or above)
    elif isinstance(data, list):
        for value in data:
            yield from _nested(value, key, above)
    elif isinstance(data, str) or isinstance(data, (int, float)) and not isinstance(data, bool):
        yield Pair(key, str(data), above)


def _lines(text: str) -> Iterator[Pair]:
    last = block = section = ""
    mappings: List[Tuple[int, str]] = []
    for line in text.splitlines():
        depth = len(line) - len(line.lstrip())
        if block and depth:
            yield Pair(block, line.strip(), section)
            continue
        block = ""
        if line.lstrip().startswith(("#", ";", "//")):
            continue
        header = re.match(r"\[+\s*([^\]]+?)\s*\]+\s*$", line)
        if header:
            section, mappings = re.split(r"[.:/]", header.group(1))[-1].strip("\"' "), []
            continue
        mappings = [item for item in mappings if item[0] < depth]
        above = mappings[-1][1] if mappings else section
        if last and re.match(r"\s+-\s+[^:=]+$|\s*-\s+[\"']?[^:=\s]+[\"']?\s*$", line):
            yield Pair(last, _bare(line.strip()[1:]), above)
            continue
        inline = list(_INLINE.finditer(line))
        match = _PAIR.match(line)
        if match and not (inline and match.group("value").startswith("{")):
            key, value = match.group("key").strip(), _bare(match.group("value"))
            last = key if value == "" else ""
            mappings += [(depth, key)] if value == "" else []
            block = key if re.fullmatch(r"[|>][+-]?", value) else ""
            yield Pair(key, "" if block else value, above)
        for item in inline:
            yield Pair(item.group("key"), _bare(item.group("value")), match.group("key").strip() if match else above)


def _bare(value: str) -> str:
    """A value without its quotes and the comment behind it."""
    value = value.strip()
    quoted = re.match(r"""(["'])(.*?)(?<!\\)\1\s*(?:[#;,].*)?$""", value)
    return quoted.group(2) if quoted else re.sub(r"\s+[#;].*$", "", value)


def is_secret_setting(name: str, value: str) -> bool:
    """Is the value of this setting a secret? What is empty, a switch, a small number, a path or a reference to another place is none."""
    if _HOLLOW.match(value.strip()):
        return False
    if secret_value(value) or _URL_LOGIN.search(value):
        return True
    harmless = value.startswith(("/", "./", "../", "~/")) or re.fullmatch(r"-?\d{1,5}(\.\d+)?\w?", value) is not None or len(value) < 3
    return secret_name(name) and not harmless and not _ABOUT.search(name)


def secrets(text: str, path: str) -> List[str]:
    """Names of the settings in a file that hold a secret; ``private key`` and ``URL with a password`` where there is no name."""
    if is_example(path):
        return []
    found: Dict[str, None] = {}
    for item in pairs(text, path):
        if is_secret_setting(item.name, item.value):
            found[item.name] = None
    if _PRIVATE_KEY.search(text):
        found["private key"] = None
    if not found and any(not _HOLLOW.match(match.group("password")) for match in _URL_LOGIN.finditer(text)):
        found["URL with a password"] = None
    return sorted(found)


def is_settings_file(name: str) -> bool:
    """Does a file of this name hold settings?"""
    if name == _releases.MANIFEST:
        return False  # ours: digests of code and lock
    return name.endswith(TEXT) or name.startswith(".env") or name in WHOLE
