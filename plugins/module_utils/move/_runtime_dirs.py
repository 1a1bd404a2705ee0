# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Directories below /run that systemd removes, with all that is in them, when a unit stops or restarts (systemd.exec(5), RuntimeDirectory=).

A seam may lie in one that is not its own unit's: Debian's uwsgi-emperor.service has /run/uwsgi, and restarts when its package is upgraded.
Such a unit keeps the directory by a drop-in while a service with a seam in it is in a container.
"""

from __future__ import annotations

import glob
import os
from typing import List

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import run

UNITS = "/etc/systemd/system"
TEXT = "# Written by gantry.webstack: the way to the container of %s leads through this unit's directory below /run.\n[Service]\nRuntimeDirectoryPreserve=yes\n"


def owners_in(shown: str, path: str) -> List[str]:
    """The services that would remove ``path``, by the output of ``systemctl show`` (Id, RuntimeDirectory, RuntimeDirectoryPreserve). Pure."""
    found = []
    for block in shown.split("\n\n"):
        unit = dict(line.partition("=")[::2] for line in block.splitlines())
        names = [name.partition(":")[0] for name in unit.get("RuntimeDirectory", "").split()]
        if unit.get("RuntimeDirectoryPreserve") != "yes" and any(path.startswith("/run/%s/" % name) for name in names):
            found.append(unit["Id"])
    return sorted(found)


def keep(name: str, path: str, own_unit: str) -> None:
    """Have every unit but ``own_unit``, whose drop-in says so itself, keep the directories above ``path``. Idempotent."""
    real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
    if not real.startswith("/run/"):
        return
    wanted = [argument for key in ("Id", "RuntimeDirectory", "RuntimeDirectoryPreserve") for argument in ("--property", key)]
    units = [unit for unit in owners_in(run(["systemctl", "show", *wanted, "*.service"]).stdout, real) if unit != own_unit]
    for unit in units:
        drop_in = _drop_in(unit, name)
        os.makedirs(os.path.dirname(drop_in), exist_ok=True)
        _journal.replace_file(drop_in, TEXT % name, 0o644)
    if units:
        run(["systemctl", "daemon-reload"])


def let_go(name: str) -> None:
    """Take the drop-ins away. Idempotent."""
    ours = glob.glob(_drop_in("*", name))
    for path in ours:
        _journal.remove_file(path)
    if ours:
        run(["systemctl", "daemon-reload"])


def _drop_in(unit: str, name: str) -> str:
    return "%s/%s.d/50-webstack-%s.conf" % (UNITS, unit, name)
