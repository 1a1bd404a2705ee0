# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx as it runs and its configuration as it is on disk, also one that nginx itself refuses."""

from __future__ import annotations

import glob
import os
import re
from typing import Any, Dict, Iterable, List, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process
from ansible_collections.gantry.webstack.plugins.module_utils.common._processes import CLOCK_SLACK
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_files, _evidence_host, _nginx_text
from ansible_collections.gantry.webstack.plugins.module_utils.discover._redact import redact
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_files

_LARGEST = 8 << 20
"""Bytes of one file of a configuration that are read."""


def nginx(table: Dict[int, Process]) -> Tuple[Optional[Dict[str, Any]], List[str]]:
    """({version, binary, config, user, group, text, error}, what could not be seen); None when no nginx runs.

    ``text`` is free of secrets. ``error`` is what ``nginx -T`` said when it failed: its files were broken after it had started.
    """
    masters = sorted((process for process in table.values() if process.argv and process.argv[0].startswith("nginx: master process")), key=lambda item: item.pid)
    if not masters:
        return None, []
    master = masters[0]
    options = arguments(" ".join(master.argv))
    binary = master.exe or "/usr/sbin/nginx"
    blind = ["a second nginx (%s) was not looked at" % " ".join(other.argv) for other in masters[1:]]
    _rc, _out, version = _evidence_host.as_owner([binary, "-v"], master.uid, master.gid)
    rc, text, errors = _evidence_host.as_owner([binary] + options + ["-T"], master.uid, master.gid)
    main, error = "", ""
    if rc != 0:
        main = _main(options)
        text, unread = _nginx_text.gather(main, _read, lambda pattern: sorted(glob.glob(pattern)))
        blind += unread
    if rc != 0 and os.geteuid() == 0:
        error = _refusal(errors)
    elif rc != 0:
        blind.append("nginx -T needs root; nginx's configuration was read from %s and the files that it includes" % main)
    workers = [process for process in table.values() if process.parent == master.pid and "worker process" in process.argv[0]]
    blind += _differs(main, error, changed(text, _loaded_at(workers)))
    worker = next(iter(workers), master)
    match = re.search(r"nginx/(\S+)", version)
    return {"version": match.group(1) if match else "", "binary": binary, "config": next(iter(_nginx_text.files(text)), ""),
            "user": _evidence_host.user_name(worker.uid), "group": _evidence_host.group_name(worker.gid), "text": _nginx_text.clean(text),
            "error": error}, blind


def arguments(title: str) -> List[str]:
    """The arguments in nginx's process title, where the quotes around ``-g`` are lost."""
    found: List[str] = []
    for flag, value in re.findall(r" (-[cpge]) (.*?)(?= -[cpgeqt]\b|$)", title):
        found += [flag, value.strip()]
    return found


def main_file(title: str) -> str:
    """The main file of the nginx whose master has this process title."""
    return _main(arguments(title))


def _main(options: List[str]) -> str:
    """The main file that a running nginx was given; Debian's where it was given none. A relative one counts from ``-p``."""
    given = dict(zip(options[0::2], options[1::2]))
    return os.path.normpath(os.path.join(given.get("-p", "/etc/nginx"), given.get("-c", "/etc/nginx/nginx.conf")))


def _read(path: str) -> str:
    """A file of the configuration. Raises OSError, also for a file that is too large."""
    data = b""
    for block in _evidence_files.blocks(path):
        data += block
        if len(data) > _LARGEST:
            raise OSError(0, "it has more than %d MB" % (_LARGEST >> 20), path)
    return data.decode("utf-8", "replace")


def _refusal(errors: str) -> str:
    """Why nginx refuses its configuration, in its own words."""
    lines = [line for line in errors.splitlines() if "[emerg]" in line] or errors.strip().splitlines() or ["no output"]
    return redact(re.sub(r"^.*?\[\w+\] (\d+#\d+: )?", "", lines[0]))  # without the time and the PID


def _loaded_at(workers: Iterable[Process]) -> float:
    """When nginx loaded what it serves: its oldest worker that stays. 0 when that cannot be told."""
    return min((worker.started for worker in workers if "shutting down" not in worker.argv[0]), default=0.0)


def changed(text: str, since: float) -> List[str]:
    """Files of a configuration, and directories that it includes files from, that changed since a time."""
    parts = _nginx_text.files(text)
    prefix = os.path.dirname(next(iter(parts), ""))
    patterns = {pattern for body in parts.values() for _line, pattern in _nginx_text.includes(body, prefix)}
    paths = {*parts, *(os.path.dirname(pattern) for pattern in patterns if glob.has_magic(pattern))}
    return sorted(path for path in paths if since and max(_nginx_files.changed({path}), default=0.0) > since + CLOCK_SLACK)


def _differs(main: str, error: str, newer: List[str]) -> List[str]:
    """That what nginx serves is not what is on disk, and what to do about it."""
    since = "%s changed after its workers were started" % _listed(newer) if newer else ""
    if error:
        return ["nginx refuses the configuration in %s (%s): what can be read of it is explained, but its workers serve the one that they were started with%s; "
                "put it right, since nginx would not start again" % (main, error, ", and " + since if since else "")]
    return ["nginx serves another configuration than the one on disk, which is explained here: %s; reload nginx" % since] if since else []


def _listed(names: List[str]) -> str:
    first, last = (names[:3], "%d more" % (len(names) - 3)) if len(names) > 3 else (names[:-1], names[-1])
    return ", ".join(first) + (" and " if first else "") + last
