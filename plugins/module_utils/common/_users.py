# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users and groups of this host, and commands run as one of them."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError


class Account(NamedTuple):
    """A user that shall exist, with a group of its own; ids are None when any will do."""

    service: str
    name: str
    uid: Optional[int]
    group: str
    gid: Optional[int]
    home: str


class Known(NamedTuple):
    """The host's users (name -> (uid, gid)) and groups (name -> gid)."""

    users: Dict[str, Any]
    groups: Dict[str, int]


def known() -> Known:
    """The users and groups that the host's name service tells."""
    return Known({entry.pw_name: (entry.pw_uid, entry.pw_gid) for entry in pwd.getpwall()}, {entry.gr_name: entry.gr_gid for entry in grp.getgrall()})


def plan(accounts: Sequence[Account], host: Known) -> List[List[str]]:
    """The groupadd and useradd commands that make what is missing, in order. Pure.

    Raises WebstackError when a name is there with another id, or an id belongs to another name: ids are never changed.
    """
    commands: List[List[str]] = []
    groups, users = dict(host.groups), {name: ids[0] for name, ids in host.users.items()}
    for account in accounts:
        if account.group not in groups:
            _free(account.service, "gid", account.gid, {value: key for key, value in groups.items()})
            commands.append(["groupadd", "--system"] + (["--gid", str(account.gid)] if account.gid is not None else []) + ["--", account.group])
            groups[account.group] = account.gid if account.gid is not None else -1
        elif account.gid not in (None, groups[account.group]) and groups[account.group] != -1:
            raise WebstackError("service %s: group %s has gid %d, not %d" % (account.service, account.group, groups[account.group], account.gid or 0))
        if account.name not in users:
            _free(account.service, "uid", account.uid, {value: key for key, value in users.items()})
            commands.append(["useradd", "--system", "--no-create-home", "--home-dir", account.home, "--shell", "/usr/sbin/nologin", "--gid", account.group]
                            + (["--uid", str(account.uid)] if account.uid is not None else []) + ["--", account.name])
            users[account.name] = account.uid if account.uid is not None else -1
        elif account.uid not in (None, users[account.name]) and users[account.name] != -1:
            raise WebstackError("service %s: user %s has uid %d, not %d" % (account.service, account.name, users[account.name], account.uid or 0))
    return commands


def _free(service: str, kind: str, wanted: Optional[int], taken: Mapping[int, str]) -> None:
    if wanted is not None and wanted in taken:
        raise WebstackError("service %s: %s %d belongs to %s already" % (service, kind, wanted, taken[wanted]))


def run_as(user: str, group: str, argv: Sequence[str], env: Mapping[str, str], cwd: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as a user with nothing but ``env`` and the user's own HOME, USER and LOGNAME. Raises CommandError when it fails."""
    try:
        entry = pwd.getpwnam(user)
        gid = grp.getgrnam(group).gr_gid
    except KeyError as exc:
        raise WebstackError("there is no %s on this host" % exc.args[0]) from exc
    full = {"HOME": entry.pw_dir, "USER": user, "LOGNAME": user, "LANG": "C.UTF-8", **env}
    groups = os.getgrouplist(user, gid)
    try:
        done = subprocess.run(list(argv), env=full, cwd=cwd, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              encoding="utf-8", errors="replace", check=False, user=entry.pw_uid, group=gid, extra_groups=groups)
    except OSError as exc:
        raise CommandError("%s could not be started: %s" % (argv[0], exc.strerror), cmd=list(argv)) from exc
    if done.returncode != 0:
        last = (done.stderr.strip() or done.stdout.strip() or "no output").splitlines()[-1]
        raise CommandError("%s failed (rc %d): %s" % (" ".join(argv), done.returncode, last),
                           cmd=list(argv), rc=done.returncode, stdout=done.stdout, stderr=done.stderr)
    return done
