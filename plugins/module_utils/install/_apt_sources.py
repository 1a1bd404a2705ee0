# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Package repositories as deb822 sources with their own keys and pins (sources.list(5), apt_preferences(5)). Pure, but for fetching a key."""

from __future__ import annotations

import base64
import hashlib
import re
import urllib.error
import urllib.parse
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files

SOURCES_DIR = "/etc/apt/sources.list.d"
KEYRINGS_DIR = "/etc/apt/keyrings"
PREFERENCES_DIR = "/etc/apt/preferences.d"
ARMOR = "-----BEGIN PGP"
HELD = "# Held: "
FETCH_SECONDS = 30.0

REPOSITORY_SPEC: Dict[str, Any] = {
    "name": {"type": "str", "required": True},
    "types": {"type": "list", "elements": "str", "default": ["deb"]},
    "uris": {"type": "list", "elements": "str", "required": True},
    "suites": {"type": "list", "elements": "str", "required": True},
    "components": {"type": "list", "elements": "str", "default": ["main"]},
    "architectures": {"type": "list", "elements": "str", "default": []},
    "key": {"type": "str", "no_log": False},
    "key_file": {"type": "path", "no_log": False},
    "key_url": {"type": "str", "no_log": False},
    "key_sha256": {"type": "str", "no_log": False},
    "signed_by": {"type": "path"},
    "pin": {"type": "str"},
}


class Site(NamedTuple):
    """One place that packages come from: a base URI and a suite."""

    uri: str
    suite: str


def slug(words: str) -> str:
    """Words as a part of a file's name that apt accepts."""
    return re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-") or "packages"


def armored(key: bytes) -> str:
    """A key as ASCII armor, which apt takes from files that end with .asc (RFC 9580, section 6.2; the checksum is optional)."""
    text = key.decode("utf-8", "replace")
    if ARMOR in text:
        return text
    body = base64.b64encode(key).decode("ascii")
    lines = [body[start:start + 64] for start in range(0, len(body), 64)]
    return "\n".join([ARMOR + " PUBLIC KEY BLOCK-----", ""] + lines + ["-----END PGP PUBLIC KEY BLOCK-----", ""])


def check_key(repository: Mapping[str, Any], key: bytes, place: str) -> None:
    """Raise WebstackError unless the key is the pinned one."""
    pinned, found = (repository.get("key_sha256") or "").lower(), hashlib.sha256(key).hexdigest()
    if pinned and pinned != found:
        raise WebstackError("repository %s: the key from %s has the sha256 %s, and key_sha256 is %s; nothing was changed: see whose key it is, "
                            "and correct the one that is wrong" % (repository["name"], place, found, pinned))


def complaint(repository: Mapping[str, Any]) -> Optional[str]:
    """What is wrong with a repository, or None. Pure."""
    name = repository["name"]
    given = [option for option in ("key", "key_file", "key_url", "signed_by") if repository.get(option)]
    if not re.fullmatch(r"[a-z0-9][a-z0-9.-]*", name):
        return "repository %r: the name may hold a-z, 0-9, . and -" % name
    if len(given) != 1:
        return "repository %s: give exactly one of key, key_file, key_url and signed_by, not %s" % (name, " and ".join(given) or "none")
    if repository.get("key_url") and not repository.get("key_sha256"):
        return "repository %s: a key_url needs key_sha256, the digest that the key must have" % name
    words = [word for option in ("types", "uris", "suites", "components", "architectures") for word in repository.get(option) or []]
    if any(not word or re.search(r"\s", word) for word in words):
        return "repository %s: %r holds white space" % (name, next(word for word in words if not word or re.search(r"\s", word)))
    return None


def prefix(purpose: str) -> str:
    """How the names of our files for this purpose begin."""
    return "webstack-%s-" % purpose


def keyring(purpose: str, repository: Mapping[str, Any]) -> str:
    """Where a repository's key lies on the target."""
    return repository.get("signed_by") or "%s/%s%s.asc" % (KEYRINGS_DIR, prefix(purpose), repository["name"])


def render_source(purpose: str, repository: Mapping[str, Any]) -> str:
    """The deb822 stanza of one repository. Pure."""
    flat = all(suite.endswith("/") for suite in repository["suites"])
    fields = [("Types", repository["types"]), ("URIs", repository["uris"]), ("Suites", repository["suites"]),
              ("Components", [] if flat else repository["components"]), ("Architectures", repository.get("architectures") or []),
              ("Signed-By", [keyring(purpose, repository)])]
    return "# %s\n" % _own_files.MARK + "".join("%s: %s\n" % (field, " ".join(words)) for field, words in fields if words)


def sites_in(source: str) -> List[Site]:
    """The sites of a stanza that ``render_source`` has written. Pure."""
    fields = dict(line.partition(": ")[::2] for line in source.splitlines() if ": " in line and not line.startswith("#"))
    return [Site(uri.rstrip("/"), suite) for uri in fields.get("URIs", "").split() for suite in fields.get("Suites", "").split()]


def render_preferences(names: Sequence[str], first: Sequence[str], repositories: Sequence[Mapping[str, Any]], version: Optional[str],
                       held: Sequence[str]) -> str:
    """Pins by which every apt on the host comes to the same choice; empty when there is nothing to say. Pure.

    More than 1000, so that apt goes back to an older version too. ``src:`` takes in what is built from the source of that name.
    """
    def stanza(packages: Sequence[str], pin: str, priority: int) -> str:
        both = list(packages) + ["src:" + name for name in packages]
        return "Package: %s\nPin: %s\nPin-Priority: %d\n" % (" ".join(both), pin, priority)

    pins = list(dict.fromkeys(repository.get("pin") or 'origin "%s"' % (urllib.parse.urlsplit(uri).hostname or "")
                              for repository in repositories for uri in repository["uris"]))
    stanzas = [stanza(first, "version " + version, 1002)] if version else []
    stanzas += [stanza(names, pin, 1001) for pin in pins]
    if not stanzas and not held:
        return ""
    return "# %s\n" % _own_files.MARK + (HELD + " ".join(held) + "\n" if held else "") + "\n" + "\n".join(stanzas)


def held_in(preferences: str) -> List[str]:
    """The packages that we have put on hold, out of our preferences. Pure."""
    return [name for line in preferences.splitlines() if line.startswith(HELD) for name in line[len(HELD):].split()]


def fetch(url: str, name: str) -> bytes:
    """A key from its URL. Raises WebstackError."""
    from ansible.module_utils.urls import open_url  # here: most runs fetch nothing

    try:
        with open_url(url, timeout=FETCH_SECONDS) as answer:
            data: bytes = answer.read(1 << 20)
            return data
    except (OSError, ValueError, urllib.error.URLError) as exc:
        raise WebstackError("repository %s: the key cannot be fetched from %s (%s); see whether this host reaches it, or give the key as "
                            "key_file or key; nothing was changed" % (name, url, getattr(exc, "reason", exc))) from exc
