# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A new nginx takes over from the running one without a stop ("Upgrading Executable on the Fly" of nginx's documentation).

Debian's nginx-common stops and starts the service whenever it is configured (``deb-systemd-invoke restart``), and nginx's scripts stop it when
it is removed for another. Both ask policy-rc.d first, so while our apt works it says no, and afterwards the new program is started by the old one.
"""

from __future__ import annotations

import contextlib
import os
import signal
from typing import Dict, Iterator, List

from ansible_collections.gantry.webstack.plugins.module_utils.common import _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.common._waiting import until
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files

POLICY = "/usr/sbin/policy-rc.d"
ASIDE = POLICY + ".webstack"
UNIT = "nginx.service"
BINARY = "/usr/sbin/nginx"
TAKE_OVER_SECONDS = 15.0
DRAIN_SECONDS = 30.0
"""How long the old master is waited for; requests that take longer are still answered by it."""


KEPT = "WEBSTACK_KEPT_RUNNING"
"""Set in the environment of our apt, and so of all that it starts, also when the run that started it was killed: its scripts work on."""

POLICY_TEXT = """#!/bin/sh
# %s
if [ "$%s" = nginx ]; then
  for word in "$@"; do
    case "$word" in nginx|nginx.service) case " $* " in *" status "*) ;; *) exit 101 ;; esac ;; esac
  done
fi
[ ! -x %s ] || exec %s "$@"
exit 0
""" % (_own_files.MARK, KEPT, ASIDE, ASIDE)
"""policy-rc.d that forbids the scripts of our own apt to stop or start nginx; anything else is asked of the host's own."""


def left() -> bool:
    """Whether a run that was killed left our policy-rc.d."""
    if os.path.lexists(ASIDE) or not os.path.lexists(POLICY):
        return os.path.lexists(ASIDE)
    with open(POLICY, encoding="utf-8", errors="replace") as handle:
        return _own_files.MARK in handle.read(500)


def clean() -> None:
    """Put the host's own policy-rc.d back where a killed run left ours."""
    if os.path.lexists(ASIDE):
        os.replace(ASIDE, POLICY)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ASIDE)  # rename(2) leaves two names of one file alone
    elif left():
        os.unlink(POLICY)


@contextlib.contextmanager
def kept_running() -> Iterator[Dict[str, str]]:
    """While our apt works, nginx is neither stopped nor restarted by the packages' scripts; gives what apt needs in its environment."""
    there = _own_files.look(POLICY) if not os.path.islink(POLICY) else None
    if there is None or there.text != POLICY_TEXT:  # one that a killed run left may be asked by its apt at this moment
        clean()
        if os.path.lexists(POLICY):
            os.link(POLICY, ASIDE, follow_symlinks=False)
        _own_files.Transaction().apply(_own_files.Change(POLICY, None, _own_files.Target(POLICY_TEXT, 0o755)))
    try:
        yield {KEPT: "nginx"}
    finally:
        clean()


def master() -> int:
    """The master that has the listening sockets now: the one in the PID file, otherwise systemd's main process; 0 when nginx does not run.

    One in a container is none that could be exchanged: its program is its image's. It is not to be restarted by packages' scripts either.
    """
    known = _processes.unit_properties(UNIT, "MainPID", "ActiveState", "PIDFile")
    main = int(known.get("MainPID") or 0) if known.get("ActiveState") in ("active", "reloading") else 0
    pid = _pid_in(known.get("PIDFile") or "/run/nginx.pid") if main else 0
    return pid or main or _processes.nginx_master(UNIT)


def is_outdated(pid: int, binary: str = BINARY) -> bool:
    """Whether the process runs another program than the one that is on disk."""
    try:
        running, there = os.stat("/proc/%d/exe" % pid), os.stat(binary)
    except OSError:
        return False
    return (running.st_dev, running.st_ino) != (there.st_dev, there.st_ino) and os.readlink("/proc/%d/exe" % pid).endswith(" (deleted)")


def test() -> None:
    """``nginx -t`` by the program on disk. Raises WebstackError."""
    try:
        run([BINARY, "-t", "-q"])
    except CommandError as exc:
        said = [line for line in exc.details.get("stderr", "").splitlines() if "[emerg]" in line]
        raise WebstackError("the installed nginx refuses the configuration of this host (%s); the former one runs and goes on answering: correct the "
                            "configuration, or choose another version, and run again" % (said[0].partition("[emerg] ")[2] if said else exc),
                            **exc.details) from exc


def reload() -> None:
    """Take up modules and files that packages have changed."""
    test()
    run(["systemctl", "reload", UNIT])


def hand_over() -> List[int]:
    """Start the program on disk beside the running one, let it have the sockets, and end the old one gracefully.

    Returns (old, new) PIDs. Raises WebstackError, with the old one as it was, when the new one does not come up.
    """
    test()
    if _processes.unit_properties(UNIT, "NeedDaemonReload").get("NeedDaemonReload") == "yes":
        run(["systemctl", "daemon-reload"])
    old = master()
    os.kill(old, signal.SIGUSR2)

    def took_over() -> bool:
        new = master()
        return new not in (0, old) and not is_outdated(new) and bool(_processes.children(new, _processes.processes()))

    if not until(took_over, TAKE_OVER_SECONDS):
        raise WebstackError("the new nginx did not take over within %g seconds; the former one goes on answering: see /var/log/nginx/error.log, "
                            "and run again" % TAKE_OVER_SECONDS)
    new = master()
    with contextlib.suppress(ProcessLookupError):
        os.kill(old, signal.SIGQUIT)
    if until(lambda: not os.path.exists("/proc/%d" % old), DRAIN_SECONDS) and not until(lambda: _processes.main_pid(UNIT) == new, 5.0):
        raise WebstackError("nginx was exchanged (process %d), but systemd does not follow: see systemctl status %s" % (new, UNIT))
    return [old, new]


def _pid_in(path: str) -> int:
    try:
        with open(path, encoding="ascii") as handle:
            pid = int(handle.read())
    except (OSError, ValueError):
        return 0
    return pid if os.path.exists("/proc/%d" % pid) else 0
