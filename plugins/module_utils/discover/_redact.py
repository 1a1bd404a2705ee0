# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What looks like a secret, and texts without it. Everything that leaves a target has passed through here."""

from __future__ import annotations

import math
import re

MASK = "***"
"""Stands where a secret value stood."""

_NAME = re.compile(r"secret|passw|passphrase|token|credential|api_?key|priv(ate)?_?key|access_?key|encryption_?key|signing_?key", re.IGNORECASE)
_WORDS = {"key", "keys", "pass", "pwd", "pw", "auth", "salt", "pin", "authorization", "cookie", "dsn", "bearer"}
_URL_PASSWORD = re.compile(r"(://[^/\s:@'\"]*:)(?!\*\*\*@)[^/\s@'\"]+(?=@)")
_URL_TOKEN = re.compile(r"(://)[0-9A-Za-z]{16,}(?=@)")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
_KNOWN = re.compile(r"^(AKIA[0-9A-Z]{16}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|gh[pousr]_\w{20,}|xox[abprs]-\S+|sk[-_]\w{16,}|\$(2[aby]|5|6|y|apr1)\$\S+)$")
_VALUE = r"(?P<value>\"[^\"]*\"|'[^']*'|[^\s\"';,]+)"
_ASSIGNMENT = re.compile(r"(?P<name>--?[A-Za-z][\w.-]*|\b[A-Za-z_][\w.-]*)(?P<sign>[\"']?\]?\s*=\s*|[\"']?:\s*)" + _VALUE)
_OPTION = re.compile(r"(?P<name>(?<!\S)--?[A-Za-z][\w-]*)(?P<sign>\s+)" + _VALUE)


def secret_name(name: str) -> bool:
    """Does a variable, option, header or file of this name usually hold a secret?"""
    if _NAME.search(name):
        return True
    return bool(_WORDS & set(re.split(r"[^a-z0-9]+", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower())))


def secret_value(value: str) -> bool:
    """Is this text a secret by its own form: a password in a URL, a private key, a well-known token, a long random word?"""
    if _URL_PASSWORD.search(value) or _URL_TOKEN.search(value) or _PEM.search(value) or _KNOWN.match(value.strip()):
        return True
    word = value.strip()
    return bool(re.fullmatch(r"[A-Za-z0-9+/=_!@#$%^&*().-]{24,}", word)) and not re.match(r"[./~]|\w+://", word) and _random(word)


def _random(word: str) -> bool:
    """Bits per character near those of random text, with digits among letters; prose, paths and names are far below."""
    if len(set(word)) == len(word) > 30:  # an alphabet: a random text of this length repeats some
        return False
    if "/" in word and not re.search(r"[+=]", word) or not (re.search(r"\d", word) and re.search(r"[A-Za-z]", word)):
        return False
    if re.fullmatch(r"[\w-]+(\.[\w-]+)+", word) and re.search(r"[a-z]{5,}", word):
        return False
    if re.fullmatch(r"[0-9a-fA-F]{32,}", word):
        return True
    counts = [word.count(letter) for letter in set(word)]
    bits = -sum(count / len(word) * math.log2(count / len(word)) for count in counts)
    return bits > 3.4


def is_secret(name: str, value: str) -> bool:
    """Whether a named value must not leave the target. A name that holds only a path, a number or a switch is not secret by its name."""
    if secret_value(value):
        return True
    harmless = value == "" or value.startswith(("/", "$")) or value.lower() in ("true", "false", "yes", "no", "on", "off", "none")
    return secret_name(name) and not harmless


def redact(text: str) -> str:
    """A command line or other one-line text with the values of secret-looking assignments and options masked."""
    text = re.sub(r"(?i)\b(bearer|basic) +[\w+/=.~-]{6,}", r"\1 " + MASK, text)
    text = _URL_TOKEN.sub(r"\1" + MASK, _URL_PASSWORD.sub(r"\1" + MASK, text))

    def mask(match: "re.Match[str]") -> str:
        name, value = match.group("name"), match.group("value").strip("\"'")
        if MASK in value or value.startswith(("-", "/", "$")) or not secret_name(name.lstrip("-")):
            return match.group(0)
        return name + match.group("sign") + MASK

    text = _OPTION.sub(mask, _ASSIGNMENT.sub(mask, text))
    return " ".join(MASK if secret_value(word) else word for word in text.split(" "))
