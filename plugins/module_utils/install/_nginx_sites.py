# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All nginx sites of ours as one transaction: staged, tested as they will stand, moved, reloaded, the reload proven."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import time
from typing import Callable, Dict, List, NamedTuple, Optional, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _processes
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files

PREFIX = "webstack-"
_COMPLAINT = re.compile(r"^(?:nginx: \[(?:emerg|alert|crit)\] |[\d/]+ [\d:]+ \[(?:emerg|alert|crit)\] \d+#\d+: )"
                        r"(?P<what>.*?)(?: in (?P<file>/\S+):(?P<line>\d+))?$", re.MULTILINE)
_IN_NAMESPACE = 'mount --bind "$1" "$2" || exit 97; shift 2; exec "$@"'
_NO_NAMESPACE = 97


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
    """Whether a file changed after the newest worker started: nginx then runs something else than what is on disk. Pure."""
    return bool(worker_starts) and bool(file_times) and max(file_times) > max(worker_starts) + _processes.CLOCK_SLACK


class Nginx:
    """The nginx of this host: its configuration test and its processes."""

    def __init__(self, binary: str, config: str, unit: str, timeout: float) -> None:
        self.binary, self.config, self.unit, self.timeout = binary, config, unit, timeout

    def installed(self) -> bool:
        """Whether there is an nginx at all."""
        return shutil.which(self.binary) is not None

    def test(self, stage: Optional[str] = None, directory: str = "") -> str:
        """``nginx -T``; with ``stage``, as if ``stage`` were ``directory``, in a mount namespace of its own (unshare(1)).

        Returns the dump. Raises CommandError, with rc 97 when no such namespace can be had.
        """
        argv = [self.binary, "-T", "-q", "-c", self.config]
        if stage is not None:
            argv = ["unshare", "--mount", "sh", "-c", _IN_NAMESPACE, "sh", stage, directory] + argv
        return run(argv).stdout

    def workers(self) -> Dict[int, _processes.Process]:
        """The running workers, those that are shutting down included."""
        seen = _processes.processes()
        return {child.pid: child for child in _processes.children(_processes.main_pid(self.unit), seen) if " ".join(child.argv).startswith("nginx: worker")}

    def running(self) -> bool:
        """Whether the unit has a main process."""
        return _processes.main_pid(self.unit) != 0

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
            leaving = {pid for pid, worker in now.items() if "shutting down" in " ".join(worker.argv)}
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


class NginxSites(WebstackModule):
    """The module's behaviour; see the documentation of nginx_sites."""

    def run(self) -> None:
        params = self.params
        self.nginx = Nginx(params["binary"], params["config"], params["unit"], params["timeout"])
        self.directory: str = os.path.realpath(params["directory"])
        self.names = {self._path(site["name"]): site["name"] for site in params["sites"]}
        if len(self.names) != len(params["sites"]):
            raise WebstackError("two sites have the same name")
        desired = {self._path(site["name"]): _own_files.Target(self._marked(site["content"])) for site in params["sites"]}
        ours = _own_files.ours_in(self.directory, PREFIX, ".conf")
        self.changes = _own_files.plan(desired, ours, _own_files.others_at(desired))
        for change in self.changes:
            self.add_diff(change.path, change.before.text if change.before else "", change.target.text if change.target else "")
        self.result.update(
            sites=sorted(self._name(change.path) for change in self.changes if change.target),
            removed=sorted(self._name(change.path) for change in self.changes if not change.target),
            reloaded=False, started=False)
        running, stale = self.nginx.running(), self._stale()
        if not self.changes and running and not stale:
            return
        self.add_diff("nginx", "stopped\n" if not running else "runs an older configuration\n" if stale and not self.changes else "",
                      "running\n" if not running else "reloaded\n" if stale and not self.changes else "")
        self.result.update(reloaded=running, started=not running)
        if not self.check_mode:
            self._act(running)

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, "%s%s.conf" % (PREFIX, name))

    def _name(self, path: str) -> str:
        return self.names.get(path, os.path.basename(path)[len(PREFIX):-len(".conf")])

    @staticmethod
    def _marked(content: str) -> str:
        return content if _own_files.is_ours(content) else "# %s\n%s" % (_own_files.MARK, content)

    def _stale(self) -> bool:
        """Somebody's reload failed, or never came: files of nginx are newer than its workers."""
        starts = [worker.started for worker in self.nginx.workers().values()]
        times = []
        for parent, dummy, names in os.walk(os.path.dirname(self.params["config"])):
            paths = [os.path.join(parent, name) for name in names if not name.startswith(".")]
            times += [os.stat(path).st_ctime for path in paths if os.path.exists(path)]
        return is_stale(starts, times)

    def _act(self, running: bool) -> None:
        if not self.nginx.installed():
            raise WebstackError("nginx is not installed on this host (no %s); run the role gantry.webstack.nginx" % self.params["binary"])
        if not os.path.isdir(self.directory):
            raise WebstackError("there is no directory %s for nginx's sites" % self.directory)
        transaction = _own_files.Transaction()
        reloading = False
        try:
            tested = self._test_staged()
            for change in self.changes:
                transaction.apply(change)
            if not tested:
                self._accept(self.nginx.test)
            reloading = True
            try:
                if running:
                    self.nginx.reload()
                else:
                    self.nginx.start()
            except WebstackError as exc:
                names = ", ".join(self.result["sites"] + self.result["removed"])
                raise WebstackError("%s%s" % ("with the changed sites %s " % names if names else "", exc), **exc.details) from exc
        except WebstackError as exc:
            undone = transaction.put_back()
            if reloading and running:
                self._reload_quietly()
            self.result.clear()
            complaint = parse_complaint(exc.details.get("log") or "")
            message = str(exc) + (" (%s)" % complaint.text if complaint else "")
            raise WebstackError("%s; %s" % (message, "everything was put back" if undone else "nothing was changed"),
                                **dict(exc.details, put_back=undone)) from exc

    def _reload_quietly(self) -> None:
        try:
            self.nginx.reload()
        except WebstackError as exc:
            self.module.warn("after putting the sites back: %s" % exc)

    def _test_staged(self) -> bool:
        """Test the configuration as it will stand, without touching what stands. False where that cannot be done."""
        if not self.changes:
            return False
        # Beside the directory, not in /tmp: links that lead to neighbours by ../ go on to work.
        stage = tempfile.mkdtemp(prefix=".webstack-stage-", dir=os.path.dirname(self.directory))
        try:
            os.chmod(stage, 0o755)
            shutil.copytree(self.directory, stage, symlinks=True, dirs_exist_ok=True)
            for change in self.changes:
                path = os.path.join(stage, os.path.basename(change.path))
                if change.target is None:
                    os.unlink(path)
                else:
                    with open(path, "w", encoding="utf-8", errors="surrogateescape") as handle:
                        handle.write(change.target.text)
            try:
                dump = self._accept(lambda: self.nginx.test(stage, self.directory))
            except CommandError as exc:
                if exc.details.get("rc") in (_NO_NAMESPACE, 1) and "nginx:" not in exc.details.get("stderr", ""):
                    return False
                raise
        finally:
            shutil.rmtree(stage, ignore_errors=True)
        unread = sorted(set(self.names) - files_read(dump))
        if unread:
            raise WebstackError("nginx does not read %s: %s includes no *.conf of that directory" % (unread[0], self.params["config"]))
        return True

    def _accept(self, test: Callable[[], str]) -> str:
        """Run a configuration test; a complaint becomes one sentence that names the site."""
        try:
            return test()
        except CommandError as exc:
            complaint = parse_complaint(exc.details.get("stderr", ""))
            if complaint is None:
                raise
            details = dict(exc.details)
            details.pop("stdout", None)
            if complaint.file in self.names:
                raise WebstackError("nginx refuses the site %s: %s" % (self._name(complaint.file), complaint.text),
                                    site=self._name(complaint.file), **details) from exc
            raise WebstackError("nginx refuses its configuration: %s" % complaint.text, **details) from exc
