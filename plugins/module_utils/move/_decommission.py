# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The host stacks of services that run in containers, taken out of service: reversible by one run until a purge."""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import time
from typing import Any, Dict, List, Mapping, Sequence, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError, WebstackModule, host_lock, run
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs
from ansible_collections.gantry.webstack.plugins.module_utils.install import _apt, _releases
from ansible_collections.gantry.webstack.plugins.module_utils.move import _host_stack, _seams, _set_aside, _spare, _volumes


def idle_units(going: Sequence[Mapping[str, Any]], staying: Sequence[Mapping[str, Any]], vassals: Mapping[str, Sequence[str]]) -> List[str]:
    """The units of ``going`` services that no ``staying`` one needs; ``vassals``: what an emperor's directory holds. Pure."""
    needed = {_set_aside.unit_of(service) for service in staying}
    for service in going:
        manager = service["uwsgi"]["manager"]
        there = vassals.get(os.path.dirname(manager.get("vassal", "")), [])
        if any(not name.endswith((".chain", ".reopen")) for name in there):
            needed.add(_set_aside.unit_of(service))
    return sorted({_set_aside.unit_of(service) for service in going} - needed - {""})


def files_in(top: str) -> List[str]:
    """What an emperor may find in its directory; a directory there keeps the place of a vassal that is set aside."""
    return sorted(name for name in os.listdir(top) if not os.path.isdir(os.path.join(top, name))) if os.path.isdir(top) else []


class Decommission(WebstackModule):
    """The module's behaviour; see the documentation of decommission."""

    def run(self) -> None:
        self.result.update(services=[], packages=[], kept_packages={}, removed=[], left={})
        with contextlib.nullcontext() if self.check_mode else host_lock():
            self.everybody = _journal.load_all()
            known = {journal.name: journal for journal in self.everybody}
            chosen = [known.get(name) or _journal.Journal(name) for name in self.params["services"]]
            if self.params["state"] == "absent":
                self.changed = self._undo(chosen) or self.changed
            else:
                self._take_out([journal for journal in chosen if self._fits(journal)])
        for journal in chosen:
            note = journal.data.get("decommissioned") or {}
            state = "purged" if note.get("purged") else "decommissioned" if note else "ready"
            self.result["services"].append({"service": journal.name, "runtime": journal.runtime, "host_stack": state})

    def _fits(self, journal: _journal.Journal) -> bool:
        if journal.runtime != _journal.CONTAINER:
            self.module.warn("service %s runs on the host and is left alone" % journal.name)
            return False
        if journal.phase != "switched":
            raise WebstackError("service %s: its move is half done (%s); run convert or rollback first" % (journal.name, journal.phase))
        return True

    # Out of service.

    def _take_out(self, chosen: Sequence[_journal.Journal]) -> None:
        fresh = [journal for journal in chosen if not _set_aside.is_decommissioned(journal)]
        for journal in fresh:
            self.add_diff("host stack of " + journal.name, "ready\n", "decommissioned\n")
            if not self.check_mode:
                journal.record("decommissioned", decommissioned={"at": round(time.time(), 3)})
        names = {journal.name for journal in chosen}
        going = [journal.service for journal in self.everybody if journal.name in names or _set_aside.is_decommissioned(journal)]
        staying = [journal.service for journal in self.everybody if journal.name not in names and not _set_aside.is_decommissioned(journal)]
        if not chosen:
            return
        record = _set_aside.load_record()
        units = idle_units(going, staying, {top: files_in(top) for top in self._emperors(going)})
        self._disable(units, record)
        self._set_packages_aside(going, set(units), [service["name"] for service in staying], record)
        if self.params["purge"]:
            self._purge(chosen, going, staying, record)

    @staticmethod
    def _emperors(going: Sequence[Mapping[str, Any]]) -> Set[str]:
        return {os.path.dirname(service["uwsgi"]["manager"].get("vassal", "")) for service in going} - {""}

    def _disable(self, units: Sequence[str], record: Dict[str, Dict[str, Any]]) -> None:
        for unit in units:
            state = _set_aside.state_of(unit)
            if not any(state.values()):
                continue
            self.add_diff(unit, _set_aside.words(state), "disabled, inactive\n")
            if not self.check_mode:
                former = record["units"].get(unit, {"enabled": False, "active": False})
                record["units"][unit] = {key: state[key] or former[key] for key in state}
                _set_aside.save_record(record)
                run(["systemctl", "disable", "--now", unit])

    def _set_packages_aside(self, going: Sequence[Mapping[str, Any]], units: Set[str], others: Sequence[str], record: Dict[str, Dict[str, Any]]) -> None:
        choice = _spare.packages(going, units, others)
        self.result["kept_packages"] = choice.needed
        if not choice.spare:
            return
        if not self.check_mode:
            try:
                self._fetch(choice.spare)
            except CommandError as exc:  # an archive that is not offered any more could not be brought back
                self.result["kept_packages"] = dict.fromkeys(choice.spare, "its archive cannot be had: %s" % _apt.said(exc))
                return
        for name, version in choice.spare.items():
            self.add_diff("package " + name, version + " installed\n", version + " set aside\n")
        self.result["packages"] = sorted(choice.spare)
        if not self.check_mode:
            automatic = set(run(["apt-mark", "showauto", *choice.spare]).stdout.split())
            record["packages"].update({name: {"version": version, "automatic": name in automatic} for name, version in choice.spare.items()})
            _set_aside.save_record(record)
            _apt.Apt().get(["remove", "--yes", *choice.spare])

    @staticmethod
    def _fetch(spare: Mapping[str, str]) -> None:
        """Have the archives of these packages in the very versions that are installed."""
        _journal.private_dir(_paths.SET_ASIDE)
        fresh = os.path.join(_paths.SET_ASIDE, ".fresh")
        shutil.rmtree(fresh, ignore_errors=True)
        os.mkdir(fresh)
        try:
            run(["apt-get", "--quiet", "-o", "APT::Sandbox::User=root", "download", *("%s=%s" % item for item in spare.items())],
                env=_apt.ENVIRONMENT, cwd=fresh)
            for path in glob.glob(fresh + "/*.deb"):
                os.rename(path, os.path.join(_paths.SET_ASIDE, os.path.basename(path)))
        finally:
            shutil.rmtree(fresh, ignore_errors=True)

    # And back.

    def _undo(self, chosen: Sequence[_journal.Journal]) -> bool:
        steps = _set_aside.undo(chosen, self.check_mode)
        for step in steps:
            self.add_diff(step.what, step.before, step.after)
        return bool(steps)

    # For good.

    def _purge(self, chosen: Sequence[_journal.Journal], going: Sequence[Mapping[str, Any]], staying: Sequence[Mapping[str, Any]],
               record: Dict[str, Dict[str, Any]]) -> None:
        dpkg = Dpkg.load(HostFs())
        for journal in chosen:
            files = self._own_files(journal, dpkg)
            others = [service for service in [*going, *staying] if service["name"] != journal.name]
            found = _spare.directories(journal.service, _managed(journal.name), others, {os.path.realpath(path) for path in files})
            self.result["left"].update(found.leave)
            gone = [path for path in [*files, *found.remove] if os.path.lexists(path)]
            state = _volumes.State(journal)
            former = state.unpurged()
            if not (gone or former) and (journal.data.get("decommissioned") or {}).get("purged"):
                continue
            told = gone + ["%s beneath the volume %s" % item for item in former.items()]
            self.result["removed"] += told
            self.add_diff("purge of " + journal.name, "".join(path + "\n" for path in told) + "the way back\n", "")
            if not self.check_mode:
                journal.record("purged", decommissioned={**journal.data["decommissioned"], "purged": round(time.time(), 3)})
                _remove(gone)
                state.purge()
        purged = {journal.name for journal in chosen}
        if all(service["name"] in purged or self._is_purged(service["name"]) for service in going):
            self._purge_packages(record)

    def _is_purged(self, name: str) -> bool:
        return any(journal.name == name and (journal.data.get("decommissioned") or {}).get("purged") for journal in self.everybody)

    @staticmethod
    def _own_files(journal: _journal.Journal, dpkg: Dpkg) -> List[str]:
        """Files of ours that lead back to the host, and the service's own unit when no package brought it."""
        files = [_paths.parked(journal.name)]
        if journal.data.get("seam"):
            stack = _host_stack.of(journal.service, _seams.of(journal.service, journal.data["seam"]), journal.data.get("host"))
            if isinstance(stack, _host_stack.Unit):
                unit = os.path.join("/etc/systemd/system", stack.unit)
                files += [stack.drop_in, stack.flag] + ([unit] if dpkg.owner(unit) is None else [])
        return [*files, _paths.release_record(journal.name), _paths.code_stamp(journal.name)]

    def _purge_packages(self, record: Dict[str, Dict[str, Any]]) -> None:
        """The packages' configuration and archives; nobody can need them any more."""
        names = sorted(record["packages"])
        if not names:
            return
        self.add_diff("packages set aside", "".join(name + "\n" for name in names), "")
        self.result["removed"] += ["package " + name for name in names]
        if not self.check_mode:
            gone = [name for name in names if name not in _set_aside.installed(names)]
            if gone:
                run(["dpkg", "--purge", *gone])
            _set_aside.save_record({**record, "packages": {}})
            _set_aside.forget_archives()


def _managed(name: str) -> List[str]:
    """The directories of a service's releases; none when it has none."""
    releases = _releases.Releases(name)
    return [releases.path, releases.releases, releases.venvs] if releases.record.get("serving") else []


def _remove(paths: Sequence[str]) -> None:
    for path in paths:
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path)
        else:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
    if any(path.startswith("/etc/systemd/system/") for path in paths):
        for top in {os.path.dirname(path) for path in paths if path.endswith("/50-webstack.conf")}:
            with contextlib.suppress(OSError):
                os.rmdir(top)
        run(["systemctl", "daemon-reload"])
