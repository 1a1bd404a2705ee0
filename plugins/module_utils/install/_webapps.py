# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What web applications need around them on a host, all of them in one call: users, directories, code, secrets, crontabs."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths, _users
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _own_files, _webapp_files
from ansible_collections.gantry.webstack.plugins.module_utils.install._uwsgi_vassals import refuse_contained

CRON_DIR, TMPFILES_DIR = "/etc/cron.d", "/etc/tmpfiles.d"


class Directory(NamedTuple):
    """A directory that shall be there; without ``mode`` it only has to exist."""

    path: str
    mode: Optional[int]
    user: str
    group: str


class Secret(NamedTuple):
    """A secret file and its value."""

    service: str
    path: str
    value: str
    user: str


class Webapps(WebstackModule):
    """The module's behaviour; see the documentation of webapps."""

    def run(self) -> None:
        self.services: List[Dict[str, Any]] = self.params["services"]
        names = [service["name"] for service in self.services]
        if len(set(names)) != len(names):
            raise WebstackError("two services have the same name")
        refuse_contained(names)
        self.contained = {name for name in names if _journal.load(name).runtime == _journal.CONTAINER}
        self.host = _users.known()
        self.accounts = _users.plan([self._account(service) for service in self.services], self.host)
        self.directories = [directory for directory in self._directories() if self._differs(directory)]
        self.secrets = [secret for secret in self._secrets() if self._secret_differs(secret)]
        self.files = self._plan_files()
        self.trees = self._trees()
        self._report()
        missing = sorted(name for name in self.trees if not self._service(name)["code_pack"])
        if missing:
            # The action plugin sends what is missing and calls again; until then nothing is touched.
            self.result["code_there"] = {name: self.trees[name].entries for name in missing}
            if not self.check_mode:
                self.changed, self.diffs = False, []
                return
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
            wanted.append(Directory(service["code_path"], None, "root", "root"))
            wanted += [Directory(os.path.dirname(secret["path"]), None, "root", "root") for secret in service["secret_files"]]
            wanted += [Directory(item["path"], int(item["mode"], 8), user, group) for item in service["directories"]]
            if service["socket_dir"] and service["name"] not in self.contained:
                wanted.append(Directory(service["socket_dir"], 0o2750, user, self.params["socket_group"]))
        return list(dict.fromkeys(wanted))

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
        return found

    def _secret_differs(self, secret: Secret) -> bool:
        there = _own_files.look(secret.path)
        uid = self.host.users.get(secret.user, (None, None))[0]
        return there is None or (there.text, there.mode, there.uid) != (secret.value, 0o400, uid)

    def _plan_files(self) -> List[_own_files.Change]:
        """crontabs and tmpfiles.d; a contained service's crontab says where its jobs run now, which is the switch's matter."""
        desired: Dict[str, _own_files.Target] = {}
        kept: Set[str] = set()
        for service in self.services:
            cron = _paths.cron_file(service["name"])
            if service["name"] in self.contained:
                kept.add(cron)
            elif service["schedule"]:
                desired[cron] = _own_files.Target(_webapp_files.jobs(service))
            if service["socket_dir"] and _webapp_files.on_tmpfs(service["socket_dir"]):
                text = _webapp_files.tmpfiles(service["name"], service["socket_dir"], service["user"]["name"], self.params["socket_group"])
                desired[_paths.tmpfiles_conf(service["name"], "host")] = _own_files.Target(text)
        ours = {**_own_files.ours_in(CRON_DIR, "webstack-"), **_own_files.ours_in(TMPFILES_DIR, "webstack-host-", ".conf")}
        ours = {path: target for path, target in ours.items() if path not in kept}
        return _own_files.plan(desired, ours, _own_files.others_at(path for path in desired if path not in ours))

    def _trees(self) -> Dict[str, _webapp_files.CodeTree]:
        """The code trees that are not what they should be."""
        trees = {}
        for service in self.services:
            if service["code_digest"] and service["name"] not in self.contained:
                kept = [item["path"] for item in service["directories"]] + [service["venv"]]
                tree = _webapp_files.CodeTree(service["name"], service["code_path"], [path for path in kept if path])
                if tree.digest != service["code_digest"]:
                    trees[service["name"]] = tree
        return trees

    def _report(self) -> None:
        self.add_diff("users", "", "".join(" ".join(command) + "\n" for command in self.accounts))
        for directory in self.directories:
            self.add_diff(directory.path, _describe(directory.path), "directory%s\n" % (
                "" if directory.mode is None else " %04o %s:%s" % (directory.mode, directory.user, directory.group)))
        for secret in self.secrets:
            self.add_diff(secret.path, "(secret)\n" if os.path.exists(secret.path) else "", "(secret of service %s, 0400 %s)\n" % (secret.service, secret.user))
        for change in self.files:
            self.add_diff(change.path, change.before.text if change.before else "", change.target.text if change.target else "")
        if self.trees:
            self.changed = True  # the action plugin, who knows the source, tells the difference
        self.result.update(code=sorted(self.trees), contained=sorted(self.contained))

    # Doing it.

    def _act(self) -> None:
        for command in self.accounts:
            run(command)
        if self.accounts:
            self.host = _users.known()
        for directory in self.directories:
            self._make(directory)
        for secret in self.secrets:
            uid, gid = self.host.users[secret.user]
            _journal.replace_file(secret.path, secret.value, 0o400, uid, gid)
        for name, tree in self.trees.items():
            tree.replace(self._service(name)["code_pack"], self._service(name)["code_digest"])
        for service in self.services:
            if service["code_digest"] and service["name"] not in self.contained:
                self._stamp(service["name"], service["code_digest"])
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

    @staticmethod
    def _stamp(name: str, digest: str) -> None:
        path, text = _paths.code_stamp(name), json.dumps({"digest": digest}) + "\n"
        there = _own_files.look(path)
        if there is None or there.text != text:
            _journal.write_private(path, text)

    @staticmethod
    def _forget(name: str) -> None:
        _webapp_files.settle(name)
        for path in (_paths.code_stamp(name), _paths.prepare_stamp(name)):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
        _webapp_files.remove_if_empty(_paths.service_state(name))


def _describe(path: str) -> str:
    try:
        info = os.stat(path)
    except FileNotFoundError:
        return ""
    return "directory %04o %d:%d\n" % (info.st_mode & 0o7777, info.st_uid, info.st_gid)
