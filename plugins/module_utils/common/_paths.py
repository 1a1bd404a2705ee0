# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Where the collection keeps its own things on a managed host. Nothing else may spell these paths."""

from __future__ import annotations

import os
import re
from typing import List

VASSAL_DIR = "/etc/webstack/vassals"
"""The emperor's directory: one ``NAME.ini`` per installed service."""

EMPEROR_STATS = "/run/webstack-emperor/stats.sock"
"""The emperor's own stats socket, in a directory that only root enters."""

EMPEROR_WRAPPER = "/usr/local/lib/webstack/vassal"
"""What the emperor starts vassals by."""

LOGROTATE = "/etc/logrotate.d/webstack"
OTHER_EMPEROR = "/etc/systemd/system/uwsgi-emperor.service.d/50-webstack-sockets.conf"
"""Keeps our sockets where Debian's own emperor would have them removed."""

LOG_REOPEN = VASSAL_DIR + "/logs.reopen"
"""Touched when logs were rotated."""


def chain_file(name: str) -> str:
    """Touched when an installed service's workers shall take up new code one after the other; readable by its user, and there after a boot."""
    return os.path.join(VASSAL_DIR, name + ".chain")


STATE_DIR = "/var/lib/webstack"
"""Root-only (0700): the journal, the container's configuration and parked host pieces, per service."""

PLANS_DIR = os.path.join(STATE_DIR, ".plans")
"""The host's own plan and report, where they are kept on the host; no service has a name that begins with a dot."""

RUN_DIR = "/run/webstack"
"""Sockets of containers: ``RUN_DIR/NAME/SLOT.sock``; made at boot by tmpfiles.d."""

NGINX_DIR = "/etc/nginx/webstack"
"""What our nginx sites read beside their configuration: password files and self-signed pairs."""

NGINX_LOGROTATE = "/etc/logrotate.d/webstack-nginx"

LOCK_FILE = "/run/lock/webstack.lock"

LABEL = "gantry.webstack"
"""Prefix of the labels on images and containers: ``gantry.webstack.service`` and so on."""


def service_state(name: str) -> str:
    """Directory of one service below STATE_DIR."""
    return os.path.join(STATE_DIR, name)


def service_run(name: str) -> str:
    """Directory of one service's container sockets below RUN_DIR."""
    return os.path.join(RUN_DIR, name)


def nginx_socket(name: str) -> str:
    """What nginx is led to in place of a TCP address while a service runs in a container: a link to the container's socket."""
    return os.path.join(service_run(name), "nginx.sock")


def host_socket(name: str) -> str:
    """The socket that an installed service's host uWSGI listens on unless its definition names another."""
    return os.path.join("/run/uwsgi", name, "uwsgi.sock")


def tmpfiles_conf(name: str, kind: str) -> str:
    """tmpfiles.d file of one service; ``kind`` is ``host`` (install) or ``container`` (convert)."""
    return "/etc/tmpfiles.d/webstack-%s-%s.conf" % (kind, name)


LOG_DIR = "/var/log/webstack"
"""Logs of installed vassals, ``LOG_DIR/NAME.log``, and of containers, ``LOG_DIR/NAME/uwsgi.log``; owned by the service's user."""


def vassal_log(name: str) -> str:
    """The log of an installed service's vassal."""
    return os.path.join(LOG_DIR, name + ".log")


def container_log(name: str) -> str:
    """The log of a service's container where it does not go to the engine; in a directory of its own, which its user may rename files in."""
    return os.path.join(LOG_DIR, name, "uwsgi.log")


def parked(name: str) -> str:
    """Where a service's host pieces lie while its container serves."""
    return os.path.join(service_state(name), "parked")


def code_stamp(name: str) -> str:
    """Written last whenever another release has become an installed service's code: newer than a worker means that the worker runs older code."""
    return os.path.join(service_state(name), "code.json")


KEPT_RELEASES = 3
"""Releases that stay beside the one that serves, unless a definition says otherwise."""


def release_record(name: str) -> str:
    """Which release of an installed service is wanted, which one serves, and when each was taken up."""
    return os.path.join(service_state(name), "releases.json")


def secret_ini(name: str) -> str:
    """An installed service's secret environment as uWSGI's ``env`` lines: 0400, owned by the service's user, included by its vassal."""
    return os.path.join("/etc/webstack/secrets", name + ".ini")


def secret_env(name: str) -> str:
    """The same as an EnvironmentFile of systemd: 0400, owned by root, for the service's workers and scheduled jobs."""
    return os.path.join("/etc/webstack/secrets", name + ".env")


def venv_stamp(venv: str) -> str:
    """Written last whenever a virtual environment has changed; holds the lock's digest and the distributions."""
    return os.path.join(venv, ".webstack.json")


def commands_stamp(name: str) -> str:
    """What an installed service's check, migrate and prepare commands were last run for, with success."""
    return os.path.join(service_state(name), "commands.json")


SET_ASIDE = os.path.join(STATE_DIR, ".set-aside")
"""Units and packages of the host that decommission has taken out of service: record.json, and the packages' archives; no service can be called so."""


EDGE = ".edge"
"""nginx's own journal among the services'; no service can be called so."""

EDGE_DROP_IN = "50-webstack-edge.conf"
"""Of the units that nginx's container depends on, and of the one that stands for it."""

EDGE_RUN = os.path.join(RUN_DIR, EDGE)
"""Of the edge's container: its PID file, which only root reads, and the socket at which it is offered sockets."""

EDGE_TRIAL = EDGE_RUN + "-test"
"""The same for the one that is asked beside the host's nginx before a move."""

EDGE_PID = os.path.join(EDGE_RUN, "nginx.pid")
"""Where nginx's own PID file leads while it runs in a container."""


TREES = os.path.join(STATE_DIR, ".python-trees.json")
"""Where the interpreter trees of this collection are; no service can be called so."""


def tree_stamp(prefix: str) -> str:
    """Which archive an interpreter tree was unpacked from; moved into place with it."""
    return os.path.join(prefix, ".webstack-tree.json")


def beside(seam: str) -> str:
    """The path that a host's uWSGI listens on when it comes back from a container, before it takes the seam."""
    return seam + ".host"


def as_configured(argv: List[str]) -> List[str]:
    """A command line as its unit has it: an instance that came back was started on ``beside(seam)``, which it has left since.

    The script of pyuwsgi takes the place of the Python that the kernel started for it.
    """
    if re.fullmatch(r"(python|pypy)[\d.]*", os.path.basename((argv or [""])[0])) and os.path.basename((argv[1:] or [""])[0]) in ("uwsgi", "pyuwsgi"):
        argv = argv[1:]

    def word_of(word: str) -> str:
        path = word[word.find("/"):]
        seam = path[:-len(beside(""))]
        back = path.endswith(beside("")) and os.path.lexists(seam) and not os.path.lexists(path)
        return word[:-len(beside(""))] if back else word

    return [word_of(word) for word in argv]
