# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The few accounts an image knows (passwd(5), group(5)). Pure."""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

NOLOGIN = "/usr/sbin/nologin"
_USERS = ("root", "nobody")
_GROUPS = ("root", "nogroup")


def _table(text: str, columns: int) -> Dict[str, List[str]]:
    rows = (line.split(":") for line in text.splitlines() if line and line[0] not in "#+-")
    return {row[0]: row for row in rows if len(row) >= columns}


def ids(service: Mapping[str, Any], passwd: str, group: str) -> Tuple[int, int]:
    """uid and gid of the service's user: the host's, unless the definition gives them and the host has no such user."""
    user = service.get("user", {})
    users, groups = _table(passwd, 7), _table(group, 4)
    row = users.get(user.get("name", ""))
    if row is None and ("uid" not in user or "gid" not in user):
        raise WebstackError("service %s: its user %r does not exist on this host" % (service["name"], user.get("name")))
    uid = int(row[2]) if row is not None else user["uid"]
    if user.get("group") in groups:
        return uid, int(groups[user["group"]][2])
    return uid, user["gid"] if "gid" in user or row is None else int(row[3])


def render(service: Mapping[str, Any], passwd: str, group: str) -> Tuple[str, str]:
    """passwd and group of the image: root, nobody, the service's user with its groups, and what its uWSGI options name. No login shells."""
    users, groups = _table(passwd, 7), _table(group, 4)
    options = service.get("uwsgi", {}).get("options", {})
    name = service["user"]["name"]
    uid, gid = ids(service, passwd, group)
    named = [str(options.get(key, "")) for key in ("uid", "gid")] + str(options.get("chown-socket", "")).split(":")
    wanted = set(_USERS) | {name} | set(named)
    rows = [row for row in users.values() if row[0] in wanted]
    if name not in users:
        rows.append([name, "x", str(uid), str(gid), "", "/nonexistent", NOLOGIN])
    gids = {str(gid)} | {row[3] for row in rows}
    kept = [row for row in groups.values() if row[0] in _GROUPS + tuple(named) or row[2] in gids or name in row[3].split(",")]
    if str(gid) not in {row[2] for row in kept}:
        kept.append([service["user"].get("group", name), "x", str(gid), ""])
    lines = [":".join([row[0], "x", row[2], row[3], "", row[5], NOLOGIN]) for row in sorted(rows, key=lambda row: int(row[2]))]
    members = [":".join([row[0], "x", row[2], name if name in row[3].split(",") else ""]) for row in sorted(kept, key=lambda row: int(row[2]))]
    return "\n".join(lines) + "\n", "\n".join(members) + "\n"
