# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service's secret environment as files: uWSGI's ``env`` lines, and an EnvironmentFile of systemd. Pure."""

from __future__ import annotations

import re
from typing import Dict, Mapping

from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import MARK

DOLLAR = "webstack-dollar"
"""An option of our own in a configuration that needs a literal ``$(``, for which uWSGI has no escape."""


def escape(value: str) -> str:
    """``value`` spelled so that uWSGI's substitutions give it back, if it names no option in ``%()``."""
    return re.sub(r"%(?!\()", "%%", value).replace("$(", "%%(%s)(" % DOLLAR)


def ini(name: str, values: Mapping[str, str]) -> str:
    """The file that a service's vassal includes."""
    lines = ["env = %s=%s" % (key, escape(value)) for key, value in values.items()]
    variable = ["%s = $" % DOLLAR] if any("%%(%s)" % DOLLAR in line for line in lines) else []
    return "\n".join(["; %s Service %s." % (MARK, name), "[uwsgi]", *variable, *lines]) + "\n"


def parse_ini(text: str) -> Dict[str, str]:
    """What ``ini`` was given."""
    rows = re.findall(r"(?m)^env = (\w+)=(.*)$", text)
    return {key: value.replace("%%(%s)(" % DOLLAR, "$(").replace("%%", "%") for key, value in rows}


def env(name: str, values: Mapping[str, str]) -> str:
    """The file that the units of a service's workers and jobs read (systemd.exec(5), EnvironmentFile=)."""
    lines = ['%s="%s"' % (key, re.sub(r'([\\"`$])', r"\\\1", value)) for key, value in values.items()]
    return "\n".join(["# %s Service %s." % (MARK, name), *lines]) + "\n"
