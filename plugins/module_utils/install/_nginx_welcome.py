# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian's welcome page, which is the default server of port 80, yields to a site of ours that is, and comes back when none is.

Only the package's own: a file that somebody has edited is left alone, and nginx names it when two want to be the default.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import Change, Target

_NOTE = "# set aside: /etc/nginx/sites-enabled/default -> "
"""In nginx.conf between our marks, so that a later run knows that it was us."""

_CLAIM = re.compile(r"(?:^|[\s;{])listen\s+(?:(?:\*|0\.0\.0\.0|\[::\]):)?80\s[^;]*\bdefault_server\b")


class Welcome(NamedTuple):
    """What to do to the link that enables the page, and the lines that note it in nginx.conf."""

    change: Optional[Change]
    note: Sequence[str]


def claimed(contents: Sequence[str]) -> bool:
    """Whether a site is the default server of port 80 on all addresses. Pure."""
    return any(_CLAIM.search(content) for content in contents)


def decide(link: str, config: str, wanted: bool) -> Welcome:
    """``config`` is the text of nginx.conf as it is; ``wanted`` tells whether the page shall yield."""
    noted = re.search(r"^%s(.*)$" % re.escape(_NOTE), config, re.MULTILINE)
    leads = os.readlink(link) if os.path.islink(link) else ""
    if wanted:
        remove = bool(leads) and _is_the_package_s(link)
        to = leads if remove else json.loads(noted[1]) if noted else ""
        return Welcome(Change(link, _link(leads), None) if remove else None, [_NOTE + json.dumps(to)] if to else [])
    if noted and not os.path.lexists(link):
        to = json.loads(noted[1])
        if os.path.exists(os.path.join(os.path.dirname(link), to)):
            return Welcome(Change(link, None, _link(to)), [])
    return Welcome(None, [])


def _link(to: str) -> Target:
    return Target("link to %s\n" % to, link=to)


def _is_the_package_s(path: str) -> bool:
    """Whether a file is a configuration file of nginx-common that nobody has changed."""
    real = os.path.realpath(path)
    try:
        listed = run(["dpkg-query", "-W", "-f=${Conffiles}\n", "nginx-common"]).stdout
        with open(real, "rb") as handle:
            digest = hashlib.md5(handle.read(), usedforsecurity=False).hexdigest()  # what dpkg keeps of it
    except (CommandError, OSError):
        return False
    return " ".join([real, digest]) in (" ".join(line.split()[:2]) for line in listed.splitlines())
