# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""All of nginx that is ours as one transaction: staged, tested as it will stand, moved, reloaded, the reload proven."""

from __future__ import annotations

import os
import posixpath
import shutil
from typing import Callable, Dict, List, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.edge import _configuration, _mounts
from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_extras, _nginx_files, _nginx_stage, _nginx_text, _nginx_welcome, _own_files
from ansible_collections.gantry.webstack.plugins.module_utils.install._nginx import Nginx, files_read, is_leaving, is_stale, parse_complaint
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import Change, Target
from ansible_collections.gantry.webstack.plugins.module_utils.move import _nginx_led

PREFIX = "webstack-"
HTTP_FILE = "00-webstack-http.conf"
"""Before all sites in the order of their names: a log's format must be there before it is used."""

_SECRET = (".key", ".htpasswd")
_CANNOT_TEST = "the sites cannot be tested in check mode: this host allows no mount namespace"


_PAIR = {"name": {"type": "str", "required": True}, "names": {"type": "list", "elements": "str", "required": True}}
_USER = {
    "file": {"type": "path", "required": True},
    "name": {"type": "str", "required": True},
    "password": {"type": "str", "no_log": True},
    "hash": {"type": "str", "no_log": True},
}
_SITE = {
    "name": {"type": "str", "required": True},
    "content": {"type": "str", "required": True},
    "certificates": {"type": "list", "elements": "dict", "options": _PAIR, "default": []},
    "users": {"type": "list", "elements": "dict", "options": _USER, "default": [], "no_log": False},
    "logs": {"type": "list", "elements": "path", "default": []},
}
_LINES = {"type": "list", "elements": "str", "default": []}
_TEXT = {"type": "str", "default": ""}
_SETTINGS = {"http": _TEXT, "http_names": _LINES, "main": _LINES, "events": _LINES, "main_extra": _TEXT, "events_extra": _TEXT}
_LOGROTATE = {
    "frequency": {"type": "str", "choices": ["hourly", "daily", "weekly", "monthly"], "default": "daily"},
    "keep": {"type": "int", "default": 14},
}
SPEC = {
    "sites": {"type": "list", "elements": "dict", "required": True, "options": _SITE},
    "settings": {"type": "dict", "options": _SETTINGS, "apply_defaults": True},
    "logrotate": {"type": "dict", "options": _LOGROTATE, "apply_defaults": True},
    "directory": {"type": "path", "default": "/etc/nginx/conf.d"},
    "config": {"type": "path", "default": "/etc/nginx/nginx.conf"},
    "binary": {"type": "str", "default": "nginx"},
    "unit": {"type": "str", "default": "nginx.service"},
    "timeout": {"type": "float", "default": 10},
}
"""argument_spec of the module nginx_sites."""


class NginxSites(WebstackModule):
    """The module's behaviour; see the documentation of nginx_sites."""

    def run(self) -> None:
        params = self.params
        self.nginx = Nginx(params["binary"], params["config"], params["unit"], params["timeout"])
        self.directory: str = os.path.realpath(params["directory"])
        self.names = {self._path(site["name"]): site["name"] for site in params["sites"]}
        if len(self.names) != len(params["sites"]):
            raise WebstackError("two sites have the same name")
        self.changes = self._plan()
        self.missing = self._missing_directories()
        for change in self.changes:
            self._show(change)
        for path in self.missing:
            self.add_diff(path, "absent\n", "directory\n")
        written = [change.path for change in self.changes if change.path.startswith(os.path.join(self.directory, PREFIX))]
        gone = {change.path for change in self.changes if not change.target}
        self.result.update(sites=sorted(self._name(path) for path in written if path not in gone),
                           removed=sorted(self._name(path) for path in written if path in gone),
                           files=sorted(change.path for change in self.changes if change.path not in written), reloaded=False, started=False)
        running, stale = self.nginx.running(), self._stale()
        if not self.changes and not self.missing and running and not stale:
            return
        self.add_diff("nginx", "stopped\n" if not running else "runs an older configuration\n" if stale and not self.changes else "",
                      "running\n" if not running else "reloaded\n" if stale and not self.changes else "")
        self.result.update(reloaded=running, started=not running)
        if not self.check_mode:
            self._act(running)
        elif self.nginx.installed() and os.path.isfile(params["config"]) and os.path.isdir(self.directory):
            try:
                if not self._test_staged():
                    self.module.warn(_CANNOT_TEST)
            except WebstackError as exc:
                self.result.clear()
                raise WebstackError("%s; nothing was changed" % exc, **exc.details) from exc

    def _path(self, name: str) -> str:
        return os.path.join(self.directory, "%s%s.conf" % (PREFIX, name))

    def _name(self, path: str) -> str:
        return self.names.get(path, os.path.basename(path)[len(PREFIX):-len(".conf")])

    @staticmethod
    def _marked(content: str) -> str:
        return content if _own_files.is_ours(content) else "# %s\n%s" % (_own_files.MARK, content)

    def _plan(self) -> List[Change]:
        """What to do to files, in order: what the sites read, then themselves, then nginx.conf; removals last."""
        sites, settings = self.params["sites"], self.params["settings"]
        place = os.path.realpath(self.params["config"])
        config = _own_files.look(place)
        beside = _own_files.ours_in(_paths.NGINX_DIR)
        desired: Dict[str, Target] = {}
        certificates = [item for site in sites for item in site["certificates"]]
        if not (self.check_mode and shutil.which("openssl") is None):
            desired.update(_nginx_extras.pairs(certificates, beside))
        users = [user for site in sites for user in site["users"]]
        link = os.path.join(os.path.dirname(place), "sites-enabled", "default")
        welcome = _nginx_welcome.decide(link, config.text if config else "", _nginx_welcome.claimed([site["content"] for site in sites]))
        edited = config._replace(text=self._edited(config.text, welcome.note)) if config else None
        group = _nginx_text.worker_group(edited.text if edited else "") or "www-data"
        desired.update(_nginx_extras.password_files(users, group, beside))
        rotate = self.params["logrotate"]
        desired.update(_nginx_extras.logrotate([log for site in sites for log in site["logs"]], self.params["unit"], rotate["frequency"], rotate["keep"]))
        if settings["http"]:
            desired[os.path.join(self.directory, HTTP_FILE)] = Target(self._marked(settings["http"]))
        version = self.nginx.version() if any(_nginx_text.needs_version(site["content"]) for site in sites) else ()
        desired.update((self._path(site["name"]), Target(self._marked(_nginx_text.resolve(site["content"], version)))) for site in sites)
        texts = _nginx_led.as_led({path: target.text for path, target in desired.items() if not target.link})
        desired.update({path: desired[path]._replace(text=text) for path, text in texts.items()})
        ours = {**beside, **_own_files.ours_in(self.directory, PREFIX, ".conf"), **_own_files.ours_in(self.directory, HTTP_FILE),
                **_own_files.ours_in(os.path.dirname(_paths.NGINX_LOGROTATE), os.path.basename(_paths.NGINX_LOGROTATE))}
        changes = _own_files.plan(desired, ours, _own_files.others_at(desired))
        first_removal = next((index for index, change in enumerate(changes) if change.target is None), len(changes))
        edit = [Change(place, config, edited)] if edited and edited != config else []
        if welcome.change:  # a run that is killed between the two knows from nginx.conf that the link was taken away
            edit = [*edit, welcome.change] if welcome.change.target is None else [welcome.change, *edit]
        return changes[:first_removal] + edit + changes[first_removal:]

    def _edited(self, text: str, note: Sequence[str]) -> str:
        settings = self.params["settings"]
        done = _nginx_text.edited(text, [*settings["main"], *note], settings["events"], settings["http_names"], settings["main_extra"],
                                  settings["events_extra"])
        if done is None:
            raise WebstackError("%s has no events block for the settings of nginx_events or the extra text of nginx_main" % self.params["config"])
        return done

    def _show(self, change: Change) -> None:
        before, after = (side.text if side else "" for side in (change.before, change.target))
        if change.path.endswith(_SECRET) and os.path.dirname(change.path) == _paths.NGINX_DIR:
            before, after = ("(not shown)\n" if before else ""), ("(not shown, changed)\n" if after else "")
        elif before == after and change.before and change.target:
            before, after = ("mode %o owner %d:%d\n" % (side.mode, side.uid, side.gid) for side in (change.before, change.target))
        self.add_diff(change.path, before, after)

    def _missing_directories(self) -> List[str]:
        """Directories of ours and of logs that are not there."""
        wanted = [posixpath.dirname(log) for site in self.params["sites"] for log in site["logs"]]
        if any(change.target and os.path.dirname(change.path) == _paths.NGINX_DIR for change in self.changes):
            wanted.append(_paths.NGINX_DIR)
        if any(change.target and change.path == _paths.NGINX_LOGROTATE for change in self.changes):
            wanted.append(os.path.dirname(_paths.NGINX_LOGROTATE))
        return [path for path in dict.fromkeys(wanted) if not os.path.isdir(path)]

    def _stale(self) -> bool:
        """Somebody's reload failed, or never came: files that nginx has loaded, renewed certificates among them, are newer than its workers."""
        starts = [worker.started for worker in self.nginx.workers().values() if not is_leaving(worker)]
        return is_stale(starts, _nginx_files.changed(_nginx_files.loaded(self.params["config"])))

    def _act(self, running: bool) -> None:
        if not self.nginx.installed():
            raise WebstackError("nginx is not installed on this host (no %s); run the role gantry.webstack.nginx" % self.params["binary"])
        if not os.path.isdir(self.directory):
            raise WebstackError("there is no directory %s for nginx's sites" % self.directory)
        transaction, made = _own_files.Transaction(), []
        reloading = False
        try:
            tested = self._test_staged()
            for path in self.missing:
                made += _make(path)
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
                self._warn_of_unseen()
            except WebstackError as exc:
                names = ", ".join(self.result["sites"] + self.result["removed"])
                raise WebstackError("%s%s" % ("with the changed sites %s " % names if names else "", exc), **exc.details) from exc
        except (WebstackError, OSError) as exc:
            self._undo(exc, transaction, made, reloading and running)

    def _warn_of_unseen(self) -> None:
        """nginx in a container sees what its configuration named when that was made."""
        if not self.nginx.container():
            return
        uses = _configuration.uses(run([self.nginx.binary, "-T", "-q", "-c", self.nginx.config]).stdout,
                                   _configuration.build_of(run([self.nginx.binary, "-V"]).stderr))
        there = [_mounts.Mount(*mount) for mount in _journal.load(_paths.EDGE).data["candidate"].get("mounts", [])]
        unseen = _mounts.unseen(_mounts.mounts(uses).mounts, there)
        if unseen:
            self.module.warn("nginx runs in a container that does not see %s; run convert with webstack_edge=container again, for one that does"
                             % ", ".join(unseen))

    def _undo(self, exc: Exception, transaction: _own_files.Transaction, made: List[str], reload: bool) -> None:
        """Put everything back and raise one sentence."""
        undone = transaction.put_back()
        if reload:
            try:
                self.nginx.reload()
            except WebstackError as second:
                self.module.warn("after putting the sites back: %s" % second)
        for path in made[::-1]:
            shutil.rmtree(path, ignore_errors=True)  # it was not there before, so all in it is of this try: logs that nginx opened
        self.result.clear()
        details = exc.details if isinstance(exc, WebstackError) else {}
        complaint = parse_complaint(details.get("log") or "")
        message = str(exc) + (" (%s)" % complaint.text if complaint else "")
        raise WebstackError("%s; %s" % (message, "everything was put back" if undone else "nothing was changed"),
                            **dict(details, put_back=undone)) from exc

    def _test_staged(self) -> bool:
        """Test the configuration as it will stand, without touching what stands. False where that cannot be done."""
        try:
            dump = self._accept(lambda: self.nginx.test(self.changes, self.missing, staged=True))
        except CommandError as exc:
            if _nginx_stage.impossible(exc):
                return False
            raise
        unread = sorted(set(self.names) - files_read(dump))
        if unread:
            raise WebstackError("nginx does not read %s: %s includes no *.conf of that directory" % (unread[0], self.params["config"]))
        return True

    def _accept(self, test: Callable[[], str]) -> str:
        """Run a configuration test; a complaint becomes one sentence that names the site, or the file and what to do with it."""
        try:
            return test()
        except CommandError as exc:
            complaint = parse_complaint(exc.details.get("stderr", ""))
            if complaint is None:
                raise
            details = {key: value for key, value in exc.details.items() if key not in ("stdout", "cmd")}
            if complaint.file in self.names:
                raise WebstackError("nginx refuses the site %s: %s" % (self._name(complaint.file), complaint.text),
                                    site=self._name(complaint.file), **details) from exc
            hint = ""
            if os.path.basename(complaint.file) == HTTP_FILE:
                hint = " (from the settings of nginx_http, nginx_upstreams, nginx_maps or nginx_status)"
            elif complaint.file and not any(change.path == complaint.file for change in self.changes):
                hint = " (not a file of gantry.webstack: correct it or take it away, then run again; the running nginx serves on with what it has)"
            raise WebstackError("nginx refuses its configuration: %s%s" % (complaint.text, hint), **details) from exc


def _make(path: str) -> List[str]:
    """Make a directory and those above it; returns the new ones, outermost first."""
    made: List[str] = []
    while not os.path.isdir(path):
        made.insert(0, path)
        path = os.path.dirname(path)
    for new in made:
        os.mkdir(new, 0o755)
        os.chmod(new, 0o755)
    return made
