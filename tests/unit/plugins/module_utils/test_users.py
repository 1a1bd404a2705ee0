# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users and groups: what is made, and what is never changed."""

from __future__ import annotations

import getpass
import grp
import os
from typing import List, Optional, Tuple

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError

HOST = _users.Known({"root": (0, 0), "old": (2000, 2000)}, {"root": 0, "old": 2000})


def account(name: str, uid: Optional[int] = None, group: str = "", gid: Optional[int] = None) -> _users.Account:
    return _users.Account("shop", name, uid, group or name, gid, "/srv/shop")


def useradd(name: str, group: str, *ids: str) -> List[str]:
    return ["useradd", "--system", "--no-create-home", "--home-dir", "/srv/shop", "--shell", "/usr/sbin/nologin", "--gid", group, *ids, "--", name]


@pytest.mark.parametrize(("accounts", "commands"), [
    ([account("old")], []),
    ([account("old", 2000, "old", 2000)], []),
    ([account("new")], [["groupadd", "--system", "--", "new"], useradd("new", "new")]),
    ([account("new", 2001, "new", 2001)], [["groupadd", "--system", "--gid", "2001", "--", "new"], useradd("new", "new", "--uid", "2001")]),
    ([account("new", 2001, "old")], [useradd("new", "old", "--uid", "2001")]),
    ([account("new"), account("new")], [["groupadd", "--system", "--", "new"], useradd("new", "new")]),
])
def test_plan(accounts: List[_users.Account], commands: List[List[str]]) -> None:
    assert _users.plan(accounts, HOST) == commands


@pytest.mark.parametrize(("wanted", "message"), [
    (account("old", 2001), "^service shop: user old has uid 2000, not 2001$"),
    (account("old", None, "old", 2001), "^service shop: group old has gid 2000, not 2001$"),
    (account("new", 2000), "^service shop: uid 2000 belongs to old already$"),
    (account("new", None, "new", 2000), "^service shop: gid 2000 belongs to old already$"),
    (account("toor", 0, "root"), "^service shop: uid 0 belongs to root already$"),
])
def test_ids_are_never_changed(wanted: _users.Account, message: str) -> None:
    with pytest.raises(WebstackError, match=message):
        _users.plan([wanted], HOST)


def me() -> Tuple[str, str]:
    return getpass.getuser(), grp.getgrgid(os.getgid()).gr_name


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody")
def test_run_as_has_nothing_but_its_own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OUTSIDE", "1")
    user, group = me()
    done = _users.run_as(user, group, ["/usr/bin/env"], {"INSIDE": "2", "PATH": "/usr/bin"}, "/")
    names = {line.partition("=")[0] for line in done.stdout.splitlines()}
    assert "INSIDE" in names and "HOME" in names and "OUTSIDE" not in names


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become somebody")
def test_run_as_tells_what_failed() -> None:
    user, group = me()
    with pytest.raises(CommandError, match=r"sh -c echo why >&2; exit 3 failed \(rc 3\): why") as caught:
        _users.run_as(user, group, ["/bin/sh", "-c", "echo why >&2; exit 3"], {}, "/")
    assert caught.value.details["rc"] == 3
    with pytest.raises(WebstackError, match="there is no"):
        _users.run_as("no-such-user", group, ["/bin/true"], {}, "/")
