# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Debian packages, the whole list in one call, known from dpkg's own database so that check mode needs nothing but dpkg."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from typing import Container, ContextManager, Dict, List, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _apt, _apt_policy, _apt_sources, _nginx_upgrade, _own_files
from ansible_collections.gantry.webstack.plugins.module_utils.install._apt_policy import Action

RETRY_HINT = "see to this host's package sources, or install it another way, and run again"


class Installed(NamedTuple):
    """An installed package; ``held`` by ``apt-mark hold``."""

    version: str
    held: bool


def parse_installed(output: str) -> Dict[str, Installed]:
    """Installed packages out of ``dpkg-query -W -f '${db:Status-Want} ${db:Status-Status} ${binary:Package} ${Version}\\n'``."""
    found = {}
    for line in output.splitlines():
        want, status, package, version = (line.split(" ") + ["", "", ""])[:4]
        if status == "installed":
            found[package.partition(":")[0]] = Installed(version, want == "hold")
    return found


def parse_unfinished(output: str) -> List[str]:
    """The packages in the same output whose installation was begun and not ended: a run was killed, or still works."""
    lines = [line.split(" ") for line in output.splitlines()]
    return [words[2].partition(":")[0] for words in lines if len(words) > 2 and words[1] in ("unpacked", "half-configured", "half-installed")]


def alternatives(item: str) -> List[str]:
    """The names in ``a | b`` (as in Debian's control files) or ``a | b ?``. Pure."""
    return [choice.strip() for choice in item.rstrip("? ").split("|")]


def missing(wanted: Sequence[str], installed: Container[str], available: Optional[Container[str]] = None) -> List[str]:
    """The packages to install. Pure.

    ``a | b`` is there when one of them is; otherwise the first one that is ``available`` is wanted, ``a`` when none is. With a ``?`` at its
    end it is not wanted when none is available. ``available`` None means not asked.
    """
    needed: List[str] = []
    for item in wanted:
        choices = alternatives(item)
        offered = choices if available is None else [choice for choice in choices if choice in available]
        if any(choice in installed or choice in needed for choice in choices) or (not offered and item.endswith("?")):
            continue
        needed.append((offered or choices)[0])
    return needed


SPEC = {
    "names": {"type": "list", "elements": "str", "required": True},
    "repositories": {"type": "list", "elements": "dict", "options": _apt_sources.REPOSITORY_SPEC, "default": []},
    "version": {"type": "str"},
    "hold": {"type": "bool", "default": False},
    "state": {"type": "str", "choices": ["present", "latest"], "default": "present"},
    "service": {"type": "str", "choices": ["nginx"]},
    "purpose": {"type": "str", "default": "what gantry.webstack needs"},
    "cache_valid_time": {"type": "int", "default": 86400},
    "lock_timeout": {"type": "int", "default": 120},
}
"""argument_spec of the module packages."""


class Packages(WebstackModule):
    """The module's behaviour; see the documentation of packages."""

    def run(self) -> None:
        if shutil.which("dpkg-query") is None or shutil.which("apt-get") is None:
            raise WebstackError("this host has no dpkg and apt-get; gantry.webstack installs on Debian and its derivatives")
        self.items: List[str] = self.params["names"]
        self.names = list(dict.fromkeys(choice for item in self.items for choice in alternatives(item)))
        self.nginx = self.params["service"] == "nginx"
        known = self._known(self.names)
        self.installed, unfinished = parse_installed(known), parse_unfinished(known)
        self.result.update(installed=[], changes=[])
        desired = self._desired_files()
        ours = self._ours()
        changes = _own_files.plan(desired, ours, _own_files.others_at([path for path in desired if path not in ours]))
        if unfinished:
            self._finish(unfinished)
        if desired or ours or self.params["state"] == "latest":
            self._configure(desired, changes)
        else:
            self._complete()
        if self.nginx:
            self._take_over()

    # What is there

    @staticmethod
    def _known(names: Sequence[str]) -> str:
        # dpkg-query ends with 1 when it does not know one of the names, and still tells the others
        argv = ["dpkg-query", "--show", "--showformat", "${db:Status-Want} ${db:Status-Status} ${binary:Package} ${Version}\\n", "--"]
        return run(argv + list(names), check=False).stdout if names else ""

    def _desired_files(self) -> Dict[str, _own_files.Target]:
        """Keys, sources and pins, in the order in which they are written."""
        purpose, repositories = _apt_sources.slug(self.params["purpose"]), self.params["repositories"]
        for repository in repositories:
            wrong = _apt_sources.complaint(repository)
            if wrong:
                raise WebstackError(wrong)
        if len({repository["name"] for repository in repositories}) != len(repositories):
            raise WebstackError("two repositories for %s have the same name" % self.params["purpose"])
        desired: Dict[str, _own_files.Target] = {}
        for repository in repositories:
            path = _apt_sources.keyring(purpose, repository)
            if repository["signed_by"]:
                if not os.path.isfile(path):
                    raise WebstackError("repository %s: there is no keyring %s (signed_by) on this host; nothing was changed" % (repository["name"], path))
            else:
                desired[path] = _own_files.Target(self._key(repository, path))
        for repository in repositories:
            path = "%s/%s%s.sources" % (_apt_sources.SOURCES_DIR, _apt_sources.prefix(purpose), repository["name"])
            desired[path] = _own_files.Target(_apt_sources.render_source(purpose, repository))
        text = _apt_sources.render_preferences(self.names, alternatives(self.items[0]) if self.items else [], repositories, self.params["version"],
                                               self.names if self.params["hold"] else [])
        if text:
            desired[self._preferences()] = _own_files.Target(text)
        return desired

    @staticmethod
    def _key(repository: Dict[str, str], path: str) -> str:
        if repository["key"]:
            key = repository["key"].strip() + "\n"
            if repository["key_sha256"]:
                _apt_sources.check_key(repository, repository["key"].encode(), "the option key")
            return key
        there, pinned = _own_files.look(path), "Comment: sha256 %s" % repository["key_sha256"].lower()
        if there is not None and (pinned in there.text
                                  or hashlib.sha256(there.text.encode("utf-8", "surrogateescape")).hexdigest() == repository["key_sha256"].lower()):
            return there.text
        key_bytes = _apt_sources.fetch(repository["key_url"], repository["name"])
        _apt_sources.check_key(repository, key_bytes, repository["key_url"])
        armor = _apt_sources.armored(key_bytes)
        return armor if armor.encode() == key_bytes else armor.replace("\n\n", "\n%s\n\n" % pinned, 1)

    def _preferences(self) -> str:
        return "%s/webstack-%s.pref" % (_apt_sources.PREFERENCES_DIR, _apt_sources.slug(self.params["purpose"]))

    def _ours(self) -> Dict[str, _own_files.Target]:
        """Our files of this purpose; a key is ours by its name, since it cannot carry a mark."""
        start = _apt_sources.prefix(_apt_sources.slug(self.params["purpose"]))
        ours = _own_files.ours_in(_apt_sources.SOURCES_DIR, start, ".sources")
        with contextlib.suppress(FileNotFoundError):
            for name in sorted(os.listdir(_apt_sources.KEYRINGS_DIR)):
                path = os.path.join(_apt_sources.KEYRINGS_DIR, name)
                target = _own_files.look(path) if name.startswith(start) else None
                if target is not None:
                    ours[path] = target
        target = _own_files.look(self._preferences())
        if target is not None and _own_files.is_ours(target.text):
            ours[self._preferences()] = target
        return ours

    def _finish(self, unfinished: List[str]) -> None:
        """Let an installation that was begun come to its end; apt waits for one that is at work."""
        self.add_diff("packages", "", "".join("finish the installation of %s\n" % name for name in unfinished))
        if not self.check_mode:
            self._install(_apt.Apt(lock_timeout=self.params["lock_timeout"]), ["--fix-broken"], unfinished)
            self.installed = parse_installed(self._known(self.names))

    # From whatever sources the host has

    def _complete(self) -> None:
        needed = missing(self.items, self.installed)
        if needed:
            needed = missing(self.items, self.installed, set(run(["apt-cache", "pkgnames"], check=False).stdout.split()))
        self.result.update(installed=needed)
        self.add_diff("packages", "", "".join(name + "\n" for name in needed))
        if not needed or self.check_mode:
            return
        apt = _apt.Apt(lock_timeout=self.params["lock_timeout"])
        if _lists_age() > self.params["cache_valid_time"]:
            self._get(apt, ["update"], needed)
        try:
            self._install(apt, needed, needed)
        except WebstackError:
            # The lists may name versions that the mirror no longer has.
            self._get(apt, ["update"], needed)
            self._install(apt, needed, needed)

    # From given sources, in given versions

    def _configure(self, desired: Dict[str, _own_files.Target], changes: List[_own_files.Change]) -> None:
        host = _apt.Apt(lock_timeout=self.params["lock_timeout"])
        given = [site for path, target in desired.items() if path.endswith(".sources") for site in _apt_sources.sites_in(target.text)]
        if not self.check_mode and _lists_age() > self.params["cache_valid_time"] and (
                self.params["state"] == "latest" or missing(self.items, self.installed)):
            self._get(host, ["update"], self.names)
        policies = host.policies(self.names)
        unread = given and not any(_apt_policy.comes_from(version, given) for policy in policies.values() for version in policy.versions)
        before = [site for change in changes if change.before and change.path.endswith(".sources") for site in _apt_sources.sites_in(change.before.text)]
        stale = self._came_from(host, [site for site in before if site not in given])
        view: ContextManager[_apt.Apt] = contextlib.nullcontext(host)
        if changes or unread:
            view = _apt.stage(changes, desired, self.params["lock_timeout"], keep_lists=not self.check_mode)
        with view as apt:
            if isinstance(apt, _apt.Stage) and given:
                apt.update()
            if apt is not host:
                policies = apt.policies(self.names + [name for name in stale if name not in self.names])
            actions = _apt_policy.plan(self.items, policies, given, self.params["version"], self.params["state"] == "latest", stale)
            self._apply(apt, changes, self._possible(self._without_displaced(apt, actions), policies))

    @staticmethod
    def _came_from(host: _apt.Apt, sites: Sequence[_apt_sources.Site]) -> List[str]:
        if not sites:
            return []
        everything = run(["dpkg-query", "--show", "--showformat", "${Package}\\n"]).stdout.split()
        return _apt_policy.came_from(host.policies(everything), sites)

    def _without_displaced(self, apt: _apt.Apt, actions: List[Action]) -> List[Action]:
        """Less the packages that go because the wanted ones take their place, as when a vendor's one package replaces a distribution's several."""
        wanted = [action for action in actions if action.name in self.names]
        if len(wanted) == len(actions) or not wanted:
            return actions
        try:
            displaced = apt.removals(["install", "--yes", "--no-install-recommends", *self._words(wanted)])
        except CommandError:
            return actions
        return [action for action in actions if action.name not in displaced]

    def _words(self, actions: Sequence[Action]) -> List[str]:
        """What ``apt-get install`` is told to bring these packages to their versions."""
        own = any(name in self.installed and self.installed[name].held for name in self._held_by_us())
        arguments = ["--allow-downgrades"] + (["--allow-change-held-packages"] if own else [])
        return arguments + ["%s=%s" % (action.name, action.after) if action.after else action.name for action in actions]

    def _possible(self, actions: List[Action], policies: Dict[str, _apt_policy.Policy]) -> List[Action]:
        """Refuse what cannot be: a package that no source has, or one that somebody holds."""
        own = self._held_by_us()
        for action in actions:
            offered = policies.get(action.name)
            if not action.after and self.params["repositories"] and not (offered and offered.versions):
                raise WebstackError("%s is offered by none of the package sources (%s); nothing was changed" % (
                    action.name, ", ".join(repository["name"] for repository in self.params["repositories"]) + " and those of the host"))
            there = self.installed.get(action.name)
            if there is not None and there.held and action.name not in own:
                raise WebstackError("%s is held at %s by somebody (apt-mark hold) and would have to be brought to %s; nothing was changed: release it by "
                                    "apt-mark unhold %s, or want the version that it has" % (action.name, there.version, action.after, action.name))
        return actions

    def _held_by_us(self) -> List[str]:
        there = _own_files.look(self._preferences())
        return _apt_sources.held_in(there.text) if there is not None else []

    def _apply(self, apt: _apt.Apt, changes: List[_own_files.Change], actions: List[Action]) -> None:
        own = [name for name in self._held_by_us() if name in self.installed and self.installed[name].held]
        words = self._words(actions) if actions else []
        removed = self._removals(apt, words) if words else []
        hold = self._to_hold(actions)
        release = [] if self.params["hold"] else own
        self.result.update(installed=[action.name for action in actions if action.kind == "install"],
                           changes=[action._asdict() for action in actions], removed=removed)
        for change in changes:
            self.add_diff(change.path, change.before.text if change.before else "", change.target.text if change.target else "")
        lines = [action.text for action in actions] + ["remove " + name for name in removed] + ["hold " + name for name in hold] + [
            "release " + name for name in release]
        self.add_diff("packages", "".join("%s %s\n" % (action.name, action.before) for action in actions if action.before),
                      "".join(line + "\n" for line in lines))
        if self.check_mode:
            return
        transaction = _own_files.Transaction()
        try:
            # What is given up goes last: until then a killed run's successor sees from where the packages came.
            for change in sorted(changes, key=lambda change: change.target is None):
                if change.target is None and words:
                    self._install(apt, words, [action.name for action in actions])
                    words = []
                os.makedirs(os.path.dirname(change.path), exist_ok=True)
                transaction.apply(change)
            if words:
                self._install(apt, words, [action.name for action in actions])
            for verb, names in (("hold", hold), ("unhold", release)):
                if names:
                    run(["apt-mark", verb] + names)
        except (WebstackError, OSError):
            transaction.put_back()
            raise

    def _removals(self, apt: _apt.Apt, arguments: List[str]) -> List[str]:
        argv = ["install", "--yes", "--no-install-recommends"] + arguments
        try:
            return apt.removals(argv)
        except CommandError as exc:
            if self.check_mode and not self.params["repositories"]:
                return []  # a host whose lists were never fetched
            raise WebstackError("%s cannot be installed (%s): apt-get says: %s; nothing was changed: %s" % (
                self.params["purpose"], ", ".join(word for word in arguments if not word.startswith("--")), _apt.said(exc), RETRY_HINT),
                **exc.details) from exc

    def _to_hold(self, actions: List[Action]) -> List[str]:
        if not self.params["hold"]:
            return []
        coming = [action.name for action in actions if action.name in self.names]
        return [name for name in self.names if name in coming or (name in self.installed and not self.installed[name].held)]

    # apt and dpkg

    def _install(self, apt: _apt.Apt, arguments: List[str], names: List[str]) -> None:
        guard: ContextManager[Dict[str, str]] = contextlib.nullcontext({})
        if self.nginx and _nginx_upgrade.master():
            guard = _nginx_upgrade.kept_running()
        with guard as env:
            if os.path.isdir("/var/lib/dpkg/updates") and os.listdir("/var/lib/dpkg/updates"):
                run(["dpkg", "--force-confold", "--configure", "--pending"], env={**_apt.ENVIRONMENT, **env})  # a run was killed at this point
            self._get(apt, ["install", "--yes", "--no-install-recommends", "-o", "Dpkg::Options::=--force-confold"] + arguments, names, env)
        self.worked = True

    worked = False
    """Whether dpkg has changed anything in this run."""

    def _get(self, apt: _apt.Apt, arguments: List[str], names: List[str], env: Optional[Dict[str, str]] = None) -> None:
        try:
            apt.get(arguments, env)
        except CommandError as exc:
            raise WebstackError("%s cannot be installed (%s): apt-get %s says: %s; %s" % (
                self.params["purpose"], ", ".join(names), arguments[0], _apt.said(exc), RETRY_HINT), **exc.details) from exc

    def _take_over(self) -> None:
        """Have the running nginx be the one that is installed, also when the run that installed it has ended before."""
        self.settled = not _nginx_upgrade.left()
        if not self.check_mode:
            _nginx_upgrade.clean()
        pid = _nginx_upgrade.master()
        outdated = bool(pid) and _nginx_upgrade.is_outdated(pid)
        if outdated:
            self.add_diff("nginx", "process %d runs a program that is no longer installed\n" % pid, "the installed program runs\n")
        self.result.update(handed_over=outdated)
        if self.check_mode:
            return
        if outdated:
            _nginx_upgrade.hand_over()
        elif pid and self.worked:
            _nginx_upgrade.reload()


def _lists_age() -> float:
    """Seconds since the package lists were fetched; endless when there are none."""
    try:
        lists = [entry.stat().st_mtime for entry in os.scandir(_apt.LISTS) if entry.name.endswith(("_Packages", "_Packages.lz4", "_InRelease"))]
        stamp = max(os.stat(_apt.LISTS).st_mtime, *lists) if lists else 0.0
    except OSError:
        stamp = 0.0
    return time.time() - stamp
