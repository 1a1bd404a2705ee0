# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files that sites need beside nginx's configuration: password files, self-signed pairs, logrotate's configuration."""

from __future__ import annotations

import base64
import ctypes
import ctypes.util
import grp
import os
import re
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK, Target

DAYS = 3650
_UNTIL = re.compile(r" Self-signed for (?P<names>.*), until (?P<until>\d{4}-\d\d-\d\d)\.")

_ROTATE = """\
# {mark}
{logs}
{{
    {frequency}
    rotate {keep}
    missingok
    notifempty
    compress
    delaycompress
    create 0640 root adm
    su root adm
    sharedscripts
    postrotate
        systemctl kill --signal=USR1 --kill-who=main {unit} >/dev/null 2>&1 || true
    endscript
}}
"""


def hashed(password: str, salt: str) -> str:
    """crypt(3) of libcrypt, which nginx itself uses to compare; Python's own module for it is gone since 3.13."""
    library = ctypes.CDLL(ctypes.util.find_library("crypt") or "libcrypt.so.1")
    library.crypt.restype = ctypes.c_char_p
    found = library.crypt(password.encode(), salt.encode())
    if not found or found[:1] == b"*":
        raise WebstackError("a password could not be hashed: libcrypt does not know the method of %s" % salt[:3])
    return found.decode("ascii")


def password_line(user: Mapping[str, Any], before: Mapping[str, str]) -> str:
    """One user's line; a hash that already fits the password stays, so that nothing changes."""
    if user.get("hash"):
        return "%s:%s" % (user["name"], user["hash"])
    old = before.get(user["name"], "")
    if old.startswith("$6$") and hashed(user["password"], old) == old:
        return "%s:%s" % (user["name"], old)
    salt = base64.b64encode(os.urandom(12), b"./").decode("ascii").rstrip("=")
    return "%s:%s" % (user["name"], hashed(user["password"], "$6$" + salt))


def password_files(users: Sequence[Mapping[str, Any]], group: str, ours: Mapping[str, Target]) -> Dict[str, Target]:
    """Path -> password file of nginx's workers' group (mode 0640)."""
    if not users:
        return {}
    try:
        gid = grp.getgrnam(group).gr_gid
    except KeyError as exc:
        raise WebstackError("nginx's workers have the group %r, which is not on this host; password files could not be read by them" % group) from exc
    lines: Dict[str, List[str]] = {}
    for user in users:
        text = ours[user["file"]].text if user["file"] in ours else ""
        before = dict(line.split(":", 1) for line in text.splitlines()[1:] if ":" in line)
        lines.setdefault(user["file"], ["# %s" % MARK]).append(password_line(user, before))
    return {path: Target("\n".join(found) + "\n", 0o640, 0, gid) for path, found in lines.items()}


def pairs(wanted: Sequence[Mapping[str, Any]], ours: Mapping[str, Target], today: Optional[str] = None) -> Dict[str, Target]:
    """Path -> certificate (0644) and key (0600) per wanted {name, names}; what is there for the same names and valid for another month stays."""
    found: Dict[str, Target] = {}
    limit = today or time.strftime("%Y-%m-%d", time.gmtime(time.time() + 30 * 86400))
    for item in wanted:
        base, names = os.path.join(_paths.NGINX_DIR, item["name"]), " ".join(item["names"]) or "localhost"
        certificate, key = ours.get(base + ".crt"), ours.get(base + ".key")
        head = _UNTIL.search(certificate.text.partition("\n")[0]) if certificate else None
        if not (certificate and key and head and head["names"] == names and head["until"] > limit):
            certificate, key = _made(names)
        found[base + ".crt"], found[base + ".key"] = certificate._replace(mode=0o644, uid=0, gid=0), key._replace(mode=0o600, uid=0, gid=0)
    return found


def _made(names: str) -> List[Target]:
    until = time.strftime("%Y-%m-%d", time.gmtime(time.time() + DAYS * 86400))
    kinds = ("IP:%s" if re.fullmatch(r"[0-9.]+|[0-9a-f:]*:[0-9a-f:]*", name) else "DNS:%s" for name in names.split())
    argv = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", str(DAYS), "-subj",
            "/CN=%s" % names.split()[0][:64], "-addext", "subjectAltName=" + ",".join(kind % name for kind, name in zip(kinds, names.split())),
            "-keyout", "/dev/stdout", "-out", "/dev/stdout"]
    try:
        output = run(argv).stdout
    except CommandError as exc:
        exc.details.pop("stdout", None)
        raise WebstackError("no self-signed pair could be made for %s: %s; is openssl installed?" % (names, exc), **exc.details) from exc
    parts = {match[1]: match[0] for match in re.finditer(r"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----\n", output, re.DOTALL)}
    head = "%s Self-signed for %s, until %s.\n" % (MARK, names, until)
    key = next((text for label, text in parts.items() if label.endswith("PRIVATE KEY")), "")
    if "CERTIFICATE" not in parts or not key:
        raise WebstackError("openssl made no certificate for %s" % names)
    return [Target(head + parts["CERTIFICATE"]), Target(head + key, 0o600)]


def logrotate(logs: Sequence[str], unit: str, frequency: str, keep: int) -> Dict[str, Target]:
    """Path -> logrotate's configuration for logs that no package rotates; nginx opens them anew by USR1 (nginx(8))."""
    if not logs:
        return {}
    quoted = "\n".join('"%s"' % path for path in sorted(set(logs)))
    return {_paths.NGINX_LOGROTATE: Target(_ROTATE.format(mark=MARK, logs=quoted, frequency=frequency, keep=keep, unit=unit))}
