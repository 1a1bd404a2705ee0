# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What web applications need around them on a host, all of them in one call: users, directories, code, secrets."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import (
    _interpreters,
    _own_files,
    _releases,
    _secret_files,
    _secret_former,
    _systemd_units,
    _webapp_commands,
    _webapp_files,
    _webapp_releases,
)
from ansible_collections.gantry.webstack.plugins.module_utils.install._vassals_look import refuse_contained

TMPFILES_DIR = "/etc/tmpfiles.d"


class Directory(NamedTuple):
    """A directory that shall be there; without ``mode`` it only has to exist."""

    path: str
    mode: Optional[int]
    user: str
    group: str


class Secret(NamedTuple):
    """A secret file and what shall be in it."""

    service: str
    path: str
    value: str
    user: str


_REQUIRED = {"type": "str", "required": True}
_USER = {"name": _REQUIRED, "uid": {"type": "int"}, "group": {"type": "str"}, "gid": {"type": "int"}}
_PATH = {"type": "path", "required": True}
_SERVICE = {
    "name": _REQUIRED,
    "user": {"type": "dict", "required": True, "options": _USER},
    "code_path": _PATH,
    "code_source": {"type": "str"},
    "code_git": {"type": "dict", "options": {"repo": _REQUIRED, "version": {"type": "str", "default": "HEAD"}, "subdirectory": {"type": "str"},
                                             "submodules": {"type": "bool", "default": False}}},
    "code_archive": {"type": "dict", "options": {"path": {"type": "str"}, "url": {"type": "str"}, "sha256": _REQUIRED,
                                                 "strip": {"type": "int", "default": 0}}},
    "code_digest": {"type": "str"},
    "code_pack": {"type": "path"},
    "code_note": {"type": "str"},
    "requirements_file": {"type": "str"},
    "lock_digest": {"type": "str"},
    "interpreter": {"type": "path"},
    "version": {"type": "str"},
    "system_site_packages": {"type": "bool", "default": False},
    "origin": {"type": "str", "choices": ["package", "tree"]},
    "venv": {"type": "path"},
    "keep": {"type": "int", "default": 3},
    "release": {"type": "str"},
    "static": {"type": "list", "elements": "path", "default": []},
    "directories": {"type": "list", "elements": "dict", "default": [], "options": {"path": _PATH, "mode": {"type": "str", "default": "0750"}}},
    "secret_files": {"type": "list", "elements": "dict", "default": [], "no_log": False, "options": {"name": _REQUIRED, "path": _PATH}},
    "commands": {"type": "dict"},
    "secret_environment": {"type": "list", "elements": "str", "default": [], "no_log": False},
    "secret_units": {"type": "bool", "default": False, "no_log": False},
    "socket_dir": {"type": "path"},
}
SPEC = {
    "services": {"type": "list", "elements": "dict", "required": True, "options": _SERVICE},
    "secrets": {"type": "dict", "default": {}, "no_log": True},
    "socket_group": {"type": "str", "default": "www-data"},
    "deploy": {"type": "bool", "default": False},
}
"""argument_spec of the module webapps."""


class Webapps(WebstackModule):
    """The module's behaviour; see the documentation of webapps."""

    def run(self) -> None:
        self.own_words = True
        self.services: List[Dict[str, Any]] = self.params["services"]
        names = [service["name"] for service in self.services]
        if len(set(names)) != len(names):
            raise WebstackError("two services have the same name")
        refuse_contained(names)
        self.contained = {name for name in names if _journal.load(name).runtime == _journal.CONTAINER}
        self.left = set() if self.params["deploy"] else self.contained
        self.host = _users.known()
        self.accounts = _users.plan([self._account(service) for service in self.services], self.host)
        self.plans = self._plan_releases()
        self.directories = [directory for directory in self._directories() if self._differs(directory)]
        self.secrets = [secret for secret in self._secrets() if self._secret_differs(secret)]
        self.files = self._plan_files()
        self._report()
        fresh = [self._service(name) for name, plan in self.plans.items() if plan.fresh]
        missing = sorted(service["name"] for service in fresh if service["code_digest"] and not service["code_pack"])
        if missing:
            # The action plugin sends what is missing and calls again; until then nothing is touched.
            self.result["code_there"] = {name: self.plans[name].entries for name in missing}
            if not self.check_mode:
                self.changed, self.diffs = False, []
                return
        self.settled = all(self._settled(plan, self._service(name)) for name, plan in self.plans.items())
        if not self.check_mode:
            self._act()

    # What there is to do.

    def _service(self, name: str) -> Dict[str, Any]:
        return next(service for service in self.services if service["name"] == name)

    @staticmethod
    def _account(service: Mapping[str, Any]) -> _users.Account:
        user = service["user"]
        return _users.Account(service["name"], user["name"], user["uid"], user["group"] or user["name"], user["gid"], os.path.dirname(service["code_path"]))

    def _directories(self) -> List[Directory]:
        wanted = []
        for service in self.services:
            user, group = service["user"]["name"], service["user"]["group"] or service["user"]["name"]
            managed = _webapp_releases.is_managed(service)
            wanted.append(Directory(os.path.dirname(service["code_path"]) if managed else service["code_path"], None, "root", "root"))
            wanted += [Directory(os.path.dirname(secret["path"]), None, "root", "root") for secret in service["secret_files"]]
            if service["secret_environment"]:
                wanted.append(Directory(os.path.dirname(_paths.secret_ini("")), None, "root", "root"))
            wanted += [Directory(self._place(service, item["path"]), int(item["mode"], 8), user, group) for item in service["directories"]]
            wanted += [Directory(path, 0o755, user, group) for path in service["static"] if not managed or not _webapp_releases.inside(service, [path])]
            if service["socket_dir"] and service["name"] not in self.contained:
                wanted.append(Directory(service["socket_dir"], 0o2750, user, self.params["socket_group"]))
        return list(dict.fromkeys(wanted))

    def _place(self, service: Mapping[str, Any], path: str) -> str:
        """Where a directory of a service's state really is: inside the code it is shared by the releases."""
        within = _webapp_releases.inside(service, [path])
        if within and service["name"] in self.plans:
            return os.path.join(self.plans[service["name"]].releases.shared, within[0])
        return path

    def _differs(self, directory: Directory) -> bool:
        try:
            info = os.stat(directory.path)
        except FileNotFoundError:
            return True
        if directory.mode is None or not stat.S_ISDIR(info.st_mode):
            return False  # a file that is there in its place is the service's own state
        owner = (self.host.users.get(directory.user, (None, None))[0], self.host.groups.get(directory.group))
        return (info.st_mode & 0o7777, info.st_uid, info.st_gid) != (directory.mode, owner[0], owner[1])

    def _secrets(self) -> List[Secret]:
        found = []
        for service in self.services:
            values = self.params["secrets"].get(service["name"]) or {}
            for item in service["secret_files"]:
                if item["name"] in values:
                    found.append(Secret(service["name"], item["path"], str(values[item["name"]]), service["user"]["name"]))
                elif not os.path.exists(item["path"]):
                    raise WebstackError("service %s: webstack_secrets has no value for its secret %s, and %s is not there"
                                        % (service["name"], item["name"], item["path"]))
            environment = {name: str(values[name]) for name in service["secret_environment"] if name in values}
            if len(environment) < len(service["secret_environment"]):
                missing = next(name for name in service["secret_environment"] if name not in values)
                raise WebstackError("service %s: webstack_secrets has no value for its secret %s" % (service["name"], missing))
            if environment:
                name = service["name"]
                found.append(Secret(name, _paths.secret_ini(name), _secret_files.ini(name, environment), service["user"]["name"]))
                if service["secret_units"]:
                    found.append(Secret(name, _paths.secret_env(name), _secret_files.env(name, environment), "root"))
        return found

    def _secret_differs(self, secret: Secret) -> bool:
        there = _own_files.look(secret.path)
        uid = self.host.users.get(secret.user, (None, None))[0]
        return there is None or (there.text, there.mode, there.uid) != (secret.value, 0o400, uid)

    def _plan_files(self) -> List[_own_files.Change]:
        """tmpfiles.d lines of the socket directories."""
        desired: Dict[str, _own_files.Target] = {}
        for service in self.services:
            if service["socket_dir"] and _webapp_files.on_tmpfs(service["socket_dir"]):
                text = _webapp_files.tmpfiles(service["name"], service["socket_dir"], service["user"]["name"], self.params["socket_group"])
                desired[_paths.tmpfiles_conf(service["name"], "host")] = _own_files.Target(text)
        ours = _own_files.ours_in(TMPFILES_DIR, "webstack-host-", ".conf")
        return _own_files.plan(desired, ours, _own_files.others_at(path for path in desired if path not in ours))

    def _plan_releases(self) -> Dict[str, _webapp_releases.Plan]:
        """The releases of the services whose code or environment the collection brings."""
        managed = [service for service in self.services if _webapp_releases.is_managed(service) and service["name"] not in self.left]
        locked = [service for service in managed if service["lock_digest"] and not service["release"]]
        available = _interpreters.find(service["interpreter"] for service in locked) if locked else {}
        return {service["name"]: _webapp_releases.plan(service, self._venv(service, available) if service in locked else None) for service in managed}

    def _venv(self, service: Mapping[str, Any], available: Mapping[str, _interpreters.Found]) -> str:
        """The digest of a service's environment: of its lock, and of the interpreter that it is made with."""
        try:
            interpreter = _interpreters.choose(_interpreters.wish(service), available, {})
        except WebstackError:
            if not self.check_mode:
                raise
            return "unknown"  # the role python will have brought it before a real run comes here
        python = [interpreter, ".".join(available[interpreter].version.split(".")[:2])]
        return _releases.release_id(service["lock_digest"], *python, *(["system"] if service["system_site_packages"] else []))

    def _report(self) -> None:
        self.add_diff("users", "", "".join(" ".join(command) + "\n" for command in self.accounts))
        for directory in self.directories:
            self.add_diff(directory.path, _describe(directory.path), "directory%s\n" % (
                "" if directory.mode is None else " %04o %s:%s" % (directory.mode, directory.user, directory.group)))
        for secret in self.secrets:
            self.add_diff(secret.path, "(secret)\n" if os.path.exists(secret.path) else "", "(secret of service %s, 0400 %s)\n" % (secret.service, secret.user))
        for change in self.files:
            self.add_diff(change.path, change.before.text if change.before else "", change.target.text if change.target else "")
        for name, plan in sorted(self.plans.items()):
            if plan.changes:  # of the code the action plugin, who knows the source, tells the difference
                self.add_diff("release of %s" % name, plan.releases.running() + "\n", plan.release + "\n")
        self.changed = self.changed or any(plan.fresh for plan in self.plans.values())
        self.result.update(code=sorted(name for name, plan in self.plans.items() if plan.changes), contained=sorted(self.contained),
                           due=[service["name"] for service in self.services if self._due(service)],
                           staged={name: plan.told() for name, plan in self.plans.items()},
                           units=sorted(_systemd_units.of_services()),
                           releases={name: plan.releases.listing() for name, plan in self.plans.items()})

    def _due(self, service: Mapping[str, Any]) -> bool:
        """Whether commands of a service have to be run; unless an environment changes, which is not known here."""
        if service["commands"] is None or service["name"] in self.left:
            return False
        plan = self.plans.get(service["name"])
        origin = plan.origin if plan else None
        place = plan.releases.place(plan.release) if plan else service["code_path"]
        return bool(_webapp_commands.due({**service["commands"], "origin": origin}, plan.release if plan else "", place))

    # Doing it.

    def _act(self) -> None:
        for command in self.accounts:
            run(command)
        if self.accounts:
            self.host = _users.known()
        for name, plan in self.plans.items():
            service = self._service(name)
            plan.releases.adopt(*self._adoptable(plan, service))
        for directory in self.directories:
            self._make(directory)
        for secret in self.secrets:
            uid, gid = self.host.users[secret.user]
            _secret_former.keep(secret.path)
            _journal.replace_file(secret.path, secret.value, 0o400, uid, gid)
        for name, plan in self.plans.items():
            self._stage(plan, self._service(name))
        transaction = _own_files.Transaction()
        for change in self.files:
            os.makedirs(os.path.dirname(change.path), exist_ok=True)
            transaction.apply(change)
            if change.target is None and change.path.startswith(TMPFILES_DIR):
                self._forget(os.path.basename(change.path)[len("webstack-host-"):-len(".conf")])

    def _make(self, directory: Directory) -> None:
        try:
            os.makedirs(directory.path, mode=0o755, exist_ok=True)
            if directory.mode is not None and self._differs(directory):
                try:
                    os.chown(directory.path, self.host.users[directory.user][0], self.host.groups[directory.group])
                except KeyError as exc:
                    raise WebstackError("there is no user or group %s on this host for %s" % (exc, directory.path)) from exc
                os.chmod(directory.path, directory.mode)
        except OSError as exc:
            raise WebstackError("the directory %s could not be made: %s" % (directory.path, exc.strerror)) from exc

    def _stage(self, plan: _webapp_releases.Plan, service: Mapping[str, Any]) -> None:
        """Have the release beside the one that runs, and note that it is wanted; who runs the service takes it up."""
        if plan.fresh:
            _webapp_releases.make(plan, service, self.host)
        venv = self._outside(plan, service)
        if venv:
            os.makedirs(os.path.dirname(venv), mode=0o755, exist_ok=True)
            _releases.link(os.path.join(plan.releases.path, _releases.VENV), venv)
        plan.releases.save(**_note(plan, service))

    @staticmethod
    def _outside(plan: _webapp_releases.Plan, service: Mapping[str, Any]) -> Optional[str]:
        """The service's environment when it lies outside the code: there it is a link to that of the release."""
        return service["venv"] if service["venv"] and plan.venv and not _webapp_releases.inside(service, [service["venv"]]) else None

    def _adoptable(self, plan: _webapp_releases.Plan, service: Mapping[str, Any]) -> Tuple[List[str], Optional[str]]:
        """State inside the code, and an environment outside it, which may stand there as directories of their own."""
        return [os.path.join(plan.releases.path, path) for path in _webapp_releases.state(service)], self._outside(plan, service)

    def _settled(self, plan: _webapp_releases.Plan, service: Mapping[str, Any]) -> bool:
        """Whether nothing is to be noted of a release, taken over or linked."""
        venv = self._outside(plan, service)
        linked = venv is None or _releases.leads(venv, os.path.join(plan.releases.path, _releases.VENV))
        return linked and plan.releases.adopted(*self._adoptable(plan, service)) and not plan.releases.lacks(**_note(plan, service))

    @staticmethod
    def _forget(name: str) -> None:
        for path in (_paths.code_stamp(name), _paths.commands_stamp(name), _paths.release_record(name), _paths.secret_ini(name), _paths.secret_env(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        _webapp_files.remove_if_empty(_paths.service_state(name))


def _note(plan: _webapp_releases.Plan, service: Mapping[str, Any]) -> Dict[str, Any]:
    """What is noted of a release that is wanted."""
    return {"path": plan.releases.path, "wanted": plan.release, "keep": service["keep"], "pinned": plan.pinned}


def _describe(path: str) -> str:
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return ""
    return "directory %04o %d:%d\n" % (info.st_mode & 0o7777, info.st_uid, info.st_gid)
