# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What decommission has taken out of service on a host, and the way back to a host stack that can be started.

A service's journal says ``decommissioned`` ({at, purged}: seconds since the epoch) before anything is done. What several services share lies in
``SET_ASIDE/record.json``: ``units`` (name -> {enabled, active}: as each was) and ``packages`` (name -> {version, automatic}), whose archives lie
beside it. Every step looks at the host first, so a run that was killed is finished, or undone, by the next.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
from typing import Any, Dict, List, Mapping, NamedTuple, Sequence, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install import _apt
from ansible_collections.gantry.webstack.plugins.module_utils.move import _host_stack, _seams

RECORD = "record.json"


class Step(NamedTuple):
    """One thing to do, in the words of a diff."""

    what: str
    before: str
    after: str


def is_decommissioned(journal: _journal.Journal) -> bool:
    """Whether a service's host stack was taken out of service."""
    return bool(journal.data.get("decommissioned"))


def load_record() -> Dict[str, Dict[str, Any]]:
    """What was set aside on this host: units and packages, each empty when nothing was."""
    try:
        with open(os.path.join(_paths.SET_ASIDE, RECORD), encoding="utf-8") as handle:
            data = json.load(handle)
    except FileNotFoundError:
        data = {}
    except (OSError, ValueError) as exc:
        raise WebstackError("%s cannot be read: %s" % (os.path.join(_paths.SET_ASIDE, RECORD), exc)) from exc
    return {"units": data.get("units", {}), "packages": data.get("packages", {})}


def save_record(record: Mapping[str, Any]) -> None:
    """Write it; an empty one goes, with the archives."""
    if not any(record.values()):
        shutil.rmtree(_paths.SET_ASIDE, ignore_errors=True)
    else:
        _journal.write_private(os.path.join(_paths.SET_ASIDE, RECORD), json.dumps(record, indent=1, sort_keys=True) + "\n")


def unit_of(service: Mapping[str, Any]) -> str:
    """The unit that kept the service on the host: its own, or its emperor's."""
    return str(service.get("uwsgi", {}).get("manager", {}).get("unit", ""))


def state_of(unit: str) -> Dict[str, bool]:
    """Whether a unit is enabled and active."""
    ask = {"enabled": "is-enabled", "active": "is-active"}
    return {key: run(["systemctl", verb, unit], check=False).stdout.strip() in ("enabled", "active", "activating", "reloading") for key, verb in ask.items()}


def words(state: Mapping[str, Any]) -> str:
    return "%s, %s\n" % ("enabled" if state["enabled"] else "disabled", "active" if state["active"] else "inactive")


def installed(names: Sequence[str]) -> Set[str]:
    """Which of these packages are installed."""
    argv = ["dpkg-query", "--show", "--showformat", "${db:Status-Status} ${Package}\\n", "--", *names]  # ends with 1 for one that it does not know
    found = {line.partition(" ")[2] for line in run(argv, check=False).stdout.splitlines() if line.startswith("installed ")} if names else set()
    return {name for name in names if name.partition(":")[0] in found}


def forget_archives() -> None:
    """Remove the archives of packages that are back, or gone for good."""
    for path in glob.glob(os.path.join(_paths.SET_ASIDE, "*.deb")):
        os.unlink(path)


def undo(chosen: Sequence[_journal.Journal], check_mode: bool = False) -> List[Step]:
    """Bring the host stacks of ``chosen`` back so far that they can be started. Raises WebstackError for one that was purged."""
    record = load_record()
    wanted = [journal for journal in chosen if is_decommissioned(journal)]
    for journal in wanted:
        _refuse_purged(journal)
    steps = _bring_packages(record, check_mode) if wanted else []
    for unit in sorted({unit_of(journal.service) for journal in wanted} & set(record["units"])):
        state, now = record["units"][unit], state_of(unit)
        steps.append(Step(unit, words(now), words(state)))
        if not check_mode:
            for key, verb in (("enabled", "enable"), ("active", "start")):
                if state[key]:
                    run(["systemctl", verb, unit])
            del record["units"][unit]
            save_record(record)
    for journal in wanted:
        steps.append(Step("host stack of " + journal.name, "decommissioned\n", "ready\n"))
        if not check_mode:
            journal.record("decommission undone", decommissioned=None)
    return steps


def _refuse_purged(journal: _journal.Journal) -> None:
    """What was purged and not installed again has no way back."""
    stack = _host_stack.of(journal.service, _seams.of(journal.service, journal.data["seam"]), journal.data.get("host"))
    place = stack.parked_vassal if isinstance(stack, _host_stack.Vassal) else os.path.join("/etc/systemd/system", unit_of(journal.service))
    code = journal.service.get("code", {}).get("path", "/")
    if journal.data["decommissioned"].get("purged") and not (os.path.lexists(place) and os.path.exists(code)):
        raise WebstackError("service %s: its host stack was purged (there is no %s); install it again first, or go back to a kept image with rollback_to"
                            % (journal.name, code if os.path.lexists(place) else place))


def _bring_packages(record: Dict[str, Dict[str, Any]], check_mode: bool) -> List[Step]:
    names, known = sorted(record["packages"]), dict(record["packages"])
    missing = [name for name in names if name not in installed(names)]
    if missing and not check_mode:
        archives = sorted(path for path in glob.glob(os.path.join(_paths.SET_ASIDE, "*.deb"))
                          if os.path.basename(path).partition("_")[0] in {name.partition(":")[0] for name in missing})
        _apt.Apt().get(["install", "--yes", "--no-install-recommends", "--allow-downgrades", *archives])
        automatic = [name for name in missing if known[name]["automatic"]]
        if automatic:
            run(["apt-mark", "auto", *automatic])
    if names and not check_mode:
        record["packages"] = {}
        save_record(record)
        forget_archives()
    return [Step("package " + name, "set aside\n", known[name]["version"] + "\n") for name in missing]
