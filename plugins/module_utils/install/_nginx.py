# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The nginx of a host: what it says against a configuration, its processes, and a reload that is proven."""

from __future__ import annotations

import os
import re
import shutil
import time
from typing import Dict, List, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_stage
from ansible_collections.gantry.webstack.plugins.module_utils.install._nginx_text import parse_version
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import Change

_COMPLAINT = re.compile(r"^(?:nginx: \[(?:emerg|alert|crit)\] |[\d/]+ [\d:]+ \[(?:emerg|alert|crit)\] \d+#\d+: )"
                        r"(?P<what>.*?)(?: in (?P<file>/\S+):(?P<line>\d+))?$", re.MULTILINE)


class Complaint(NamedTuple):
    """What nginx says against a configuration; ``file`` and ``line`` are empty when it names no place."""

    what: str
    file: str
    line: str

    @property
    def text(self) -> str:
        """As one would tell it."""
        return "%s in %s:%s" % (self.what, self.file, self.line) if self.file else self.what


def parse_complaint(stderr: str) -> Optional[Complaint]:
    """The first complaint in what ``nginx -t`` printed or wrote to its error log, or None."""
    match = _COMPLAINT.search(stderr)
    return Complaint(match["what"], match["file"] or "", match["line"] or "") if match else None


def files_read(dump: str) -> Set[str]:
    """The configuration files in what ``nginx -T`` printed."""
    return set(re.findall(r"^# configuration file (/.*):$", dump, re.MULTILINE))


def is_stale(worker_starts: List[float], file_times: List[float]) -> bool:
    """Whether a file changed after the workers started: nginx then runs something else than what is on disk. Pure.

    The oldest of them tells when nginx loaded its files; one that has died is replaced without reading them again.
    """
    return bool(worker_starts) and bool(file_times) and max(file_times) > min(worker_starts) + _processes.CLOCK_SLACK


def is_leaving(worker: _processes.Process) -> bool:
    """Whether a worker only finishes its requests."""
    return "shutting down" in " ".join(worker.argv)


def _standing(path: str) -> str:
    """The nearest directory above a path that is there."""
    while not os.path.isdir(path):
        path = os.path.dirname(path)
    return path


def _outermost(paths: Sequence[str]) -> List[str]:
    """The directories that are there and lie in none of the others."""
    found: List[str] = []
    for path in sorted({os.path.realpath(_standing(path)) for path in paths}):
        if path != "/" and not any(path.startswith(other + "/") for other in (*found, *_nginx_stage.WRITTEN)) and path not in _nginx_stage.WRITTEN:
            found.append(path)
    return found


class Nginx:
    """The nginx of this host: its configuration test and its processes."""

    def __init__(self, binary: str, config: str, unit: str, timeout: float) -> None:
        self.binary, self.config, self.unit, self.timeout = binary, config, unit, timeout

    def installed(self) -> bool:
        """Whether there is an nginx at all."""
        return shutil.which(self.binary) is not None

    def version(self) -> Tuple[int, ...]:
        """The installed version; empty without one."""
        return parse_version(run([self.binary, "-v"]).stderr) if self.installed() else ()

    def test(self, changes: Sequence[Change] = (), directories: Sequence[str] = (), staged: bool = False) -> str:
        """``nginx -T``; when ``staged``, as if ``changes`` were made and ``directories`` were there, and nothing is written.

        Returns the dump. Raises CommandError; _nginx_stage.impossible tells when the test could not be made.
        """
        argv = [self.binary, "-T", "-q", "-c", self.config]
        if staged:
            covered = [os.path.dirname(os.path.realpath(self.config))] + [os.path.dirname(change.path) for change in changes]
            covered += [_standing(path) for path in directories]
            return _nginx_stage.test(argv, _outermost(covered), changes, directories)
        container = self.container()
        return run(["docker", "exec", container, *argv] if container else argv).stdout

    @staticmethod
    def container() -> str:
        """The container in which nginx runs, which may not see what the host sees; empty when it runs on the host."""
        journal = _journal.load(_paths.EDGE)
        return journal.candidate.get("container", "") if journal.runtime == _journal.CONTAINER else ""

    def workers(self) -> Dict[int, _processes.Process]:
        """The running workers, those that are shutting down included."""
        seen = _processes.processes()
        master = _processes.nginx_master(self.unit)
        return {child.pid: child for child in (_processes.children(master, seen) if master else []) if " ".join(child.argv).startswith("nginx: worker")}

    def running(self) -> bool:
        """Whether the unit has a main process, in a container or not."""
        return _processes.nginx_master(self.unit) != 0

    def start(self) -> None:
        """Start the unit and have it started at boot."""
        run(["systemctl", "enable", "--now", self.unit])

    def reload(self) -> None:
        """Reload, and wait until new workers run and the old ones take no connections any more. Raises WebstackError otherwise."""
        before = set(self.workers())
        since = time.time()
        run(["systemctl", "reload", self.unit])
        deadline = time.monotonic() + self.timeout
        while time.monotonic() < deadline:
            now = self.workers()
            leaving = {pid for pid, worker in now.items() if is_leaving(worker)}
            if set(now) - before - leaving and not (set(now) & before) - leaving:
                return
            time.sleep(0.05)
        raise WebstackError("nginx was told to reload but runs no new workers after %g seconds" % self.timeout, log=self.last_words(since))

    def last_words(self, since: float) -> str:
        """What nginx complained about since then, from its main error log (the default place) and the journal."""
        lines: List[str] = []
        try:
            with open("/var/log/nginx/error.log", "rb") as handle:
                handle.seek(max(0, os.fstat(handle.fileno()).st_size - 8192))
                stamp = time.strftime("%Y/%m/%d %H:%M:%S", time.localtime(since))
                lines = [line for line in handle.read().decode("utf-8", "replace").splitlines() if "[emerg]" in line and line[:19] >= stamp]
        except OSError:
            pass
        return "\n".join(lines[-5:])
