# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Files beside the vassals: the program that an emperor starts them by, the rotation of their logs, and what keeps their sockets.

The emperor runs ``PROGRAM --ini NAME.ini`` in its directory (core/emperor.c). With ``emperor-wrapper-override`` it tries our PROGRAM first, which
hands over to the uWSGI that the vassal names, so that one emperor has vassals of several uWSGI programs, pyuwsgi among them.
"""

from __future__ import annotations

import os
import re
from typing import Dict, List

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._journal import replace_file
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import run
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK, Target, look

PROGRAM_LINE = "; Program: "
"""Begins the line of a vassal that names the uWSGI program which runs it."""


def program_of(content: str) -> str:
    """The uWSGI program that a vassal names, or an empty text. Pure."""
    match = re.search("(?m)^%s(/.+)$" % PROGRAM_LINE, content)
    return match.group(1) if match else ""


def wrapper(binary: str) -> str:
    """The shell script that starts a vassal; ``binary`` runs those that name no program. Pure."""
    return """#!/bin/sh
# %s
program=$(sed -n 's|^%s||p' "$2" | head -n 1)
test -n "$program" || exec %s "$@"
# A reload executes the path that a link leads to then; pyuwsgi would execute the python behind its environment's.
again=$program
test "$(head -c 2 "$program")" != '#!' || again=${program%%/*}/python
exec "$program" --binary-path "$again" "$@"
""" % (MARK, PROGRAM_LINE, binary)


def fitting(content: str, binary: str) -> str:
    """A vassal's text for the program that runs it. Pure.

    One from PyPI has Python built in and must not load the distribution's plugin; pyuwsgi's interpreter has read its environment before uWSGI adds
    to it, and only ``reload-os-env`` brings that into the application's os.environ.
    """
    if (program_of(content) or binary).startswith("/usr/bin/"):
        return content
    return re.sub(r"(?m)^plugins? = python3?\n", "" if "\nreload-os-env = " in content else "reload-os-env = true\n", content)


ROTATION = """# %s
%s/*.log {
    weekly
    rotate 8
    missingok
    notifempty
    compress
    delaycompress
    create
    sharedscripts
    postrotate
        touch %s
    endscript
}
""" % (MARK, _paths.LOG_DIR, _paths.LOG_REOPEN)
"""uWSGI's masters open their logs anew within a second; until then lines go to the file that was moved, which is compressed a week later."""


KEPT = """# %s
[Service]
RuntimeDirectory=
ExecStartPre=+/usr/bin/install --directory --mode=0775 --group=www-data /run/uwsgi
""" % MARK
"""Debian's own emperor has RuntimeDirectory=uwsgi: systemd would change the owners of all below /run/uwsgi, in which our sockets are, when it starts, and
remove them when it stops or is upgraded. It still has the directory as its unit wants it."""


def wanted(binary: str) -> Dict[str, Target]:
    """The files, by path. Pure."""
    return {_paths.EMPEROR_WRAPPER: Target(wrapper(binary), 0o755), _paths.LOGROTATE: Target(ROTATION), _paths.OTHER_EMPEROR: Target(KEPT)}


def differing(binary: str) -> List[str]:
    """The paths of those that are not as they should be."""
    return [path for path, target in wanted(binary).items() if look(path) != target]


def write(binary: str) -> None:
    """Have them. They serve no request, so they need no way back."""
    changed = differing(binary)
    for path in changed:
        target = wanted(binary)[path]
        os.makedirs(os.path.dirname(path), mode=0o755, exist_ok=True)
        replace_file(path, target.text, target.mode, target.uid, target.gid)
    if _paths.OTHER_EMPEROR in changed:
        run(["systemctl", "daemon-reload"])
    if not os.path.exists(_paths.LOG_REOPEN):
        with open(_paths.LOG_REOPEN, "w", encoding="utf-8"):
            os.chmod(_paths.LOG_REOPEN, 0o644)
