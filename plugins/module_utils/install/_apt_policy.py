# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What apt knows of packages (``apt-cache policy``), and what is to be done with them. Pure."""

from __future__ import annotations

import fnmatch
import re
from typing import Collection, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install._apt_sources import Site


class Version(NamedTuple):
    """One version of a package and the sites that offer it; none when only dpkg knows it."""

    version: str
    sites: Tuple[Site, ...]


class Policy(NamedTuple):
    """What ``apt-cache policy`` says of one package; ``versions`` from the highest on, ``candidate`` is what its pins make of them."""

    installed: Optional[str]
    candidate: Optional[str]
    versions: Tuple[Version, ...]


class Action(NamedTuple):
    """One package to bring to one version; ``kind`` is install, upgrade, downgrade or exchange (same version, other package)."""

    kind: str
    name: str
    before: str
    after: str
    source: str

    @property
    def text(self) -> str:
        """As a line of a diff."""
        return "%s %s %s from %s" % (self.kind, self.name, self.after, self.source)


_VERSION = re.compile(r"^ (?:\*\*\*|   ) (\S+)(?: -?\d+)?(?: \(.*\))?$")
_SITE = re.compile(r"^ +-?\d+ ([a-z+]+:\S*) (\S+)(?: |$)")


def parse_policy(output: str) -> Dict[str, Policy]:
    """``apt-cache policy NAME...`` under LC_ALL=C, by name."""
    found: Dict[str, Policy] = {}
    name, known, versions = "", {}, []  # type: str, Dict[str, str], List[Version]

    def end() -> None:
        if name:
            real = {key: value if value != "(none)" else None for key, value in known.items()}
            found[name] = Policy(real.get("Installed"), real.get("Candidate"), tuple(versions))

    for line in output.splitlines():
        version, site = _VERSION.match(line), _SITE.match(line)
        if line and not line.startswith(" ") and line.endswith(":"):
            end()
            name, known, versions = line[:-1].partition(":")[0], {}, []
        elif line.startswith(("  Installed: ", "  Candidate: ")):
            key, dummy, value = line.strip().partition(": ")
            known[key] = value
        elif version:
            versions.append(Version(version[1], ()))
        elif site and versions:
            versions[-1] = versions[-1]._replace(sites=versions[-1].sites + (Site(site[1].rstrip("/"), site[2]),))
    end()
    return found


def comes_from(version: Version, sites: Collection[Site]) -> bool:
    """Whether one of these sites offers the version. ``apt-cache`` shows SUITE/COMPONENT, or the path of a flat repository."""
    return any(shown.uri == site.uri and (shown.suite == site.suite or shown.suite.startswith(site.suite + "/"))
               for shown in version.sites for site in sites)


def came_from(policies: Mapping[str, Policy], sites: Collection[Site]) -> List[str]:
    """The installed packages whose installed version these sites offer."""
    return [name for name, policy in policies.items() for version in policy.versions
            if version.version == policy.installed and comes_from(version, sites)]


def _offered(policy: Optional[Policy], sites: Collection[Site]) -> List[Version]:
    """The versions to choose from: those of ``sites``, or all that any site offers when there are no such sites."""
    return [version for version in (policy.versions if policy else ()) if (comes_from(version, sites) if sites else version.sites)]


def choose(item: str, policies: Mapping[str, Policy], sites: Collection[Site], stale: Collection[str]) -> Optional[str]:
    """Which of the alternatives of ``a | b ?`` it is to be; None when it may be left out.

    What the given repositories offer comes first, then what is installed (unless it came from a source that is given up and
    nobody else offers it), then what is offered at all.
    """
    choices = [choice.strip() for choice in item.rstrip("? ").split("|")]
    ours = [choice for choice in choices if sites and _offered(policies.get(choice), sites)]
    offered = [choice for choice in choices if _offered(policies.get(choice), ())]
    there = [choice for choice in choices if choice in policies and policies[choice].installed and (choice not in stale or choice in offered)]
    ranked = [choice for choice in ours if choice in there] + ours + there + offered
    if not ranked and item.endswith("?"):
        return None
    return (ranked + choices)[0]


def _target(policy: Policy, sites: Collection[Site], pattern: Optional[str], latest: bool, moved: bool) -> Optional[Version]:
    """The version that a package is to have; None when what is installed is right, or nothing is offered."""
    offered = _offered(policy, sites) or _offered(policy, ())
    fitting = [version for version in offered if pattern is None or fnmatch.fnmatchcase(version.version, pattern)]
    if policy.installed and not moved and not latest:
        if sites and pattern is None and policy.installed in [version.version for version in offered]:
            return None
        if pattern is not None and policy.installed in [version.version for version in fitting]:
            return None
        if pattern is None and (not sites or not _offered(policy, sites)):
            return None
    best = next((version for version in fitting if version.version == policy.candidate), fitting[0] if fitting else None)
    same = best is not None and best.version == policy.installed and not (moved and not best.sites)
    return None if same else best


def _kind(policy: Policy, target: Version) -> str:
    if not policy.installed:
        return "install"
    order = [version.version for version in policy.versions]
    if policy.installed not in order:
        return "exchange"
    gap = order.index(target.version) - order.index(policy.installed)
    return "upgrade" if gap < 0 else "downgrade" if gap > 0 else "exchange"


def plan(items: Sequence[str], policies: Mapping[str, Policy], sites: Collection[Site] = (), pattern: Optional[str] = None,
         latest: bool = False, stale: Collection[str] = ()) -> List[Action]:
    """What to do so that the packages are there, from where and in the version that is wanted.

    ``pattern`` counts for the first item, and for others that have such a version. ``stale`` are packages that came from a source that is
    given up. Raises WebstackError with what is offered when a version is not.
    """
    actions = []
    chosen = [name for name in (choose(item, policies, sites, stale) for item in items) if name is not None]
    if pattern is not None and chosen:
        offered = _offered(policies.get(chosen[0]), sites)
        if not any(fnmatch.fnmatchcase(version.version, pattern) for version in offered):
            raise WebstackError("there is no version %s of %s; %s; nothing was changed" % (
                pattern, chosen[0], "there are " + ", ".join(version.version for version in offered) if offered else "none is offered at all"))
    for position, name in enumerate(chosen + [name for name in stale if name not in chosen]):
        policy = policies.get(name) or Policy(None, None, ())
        wanted = pattern if position == 0 or any(fnmatch.fnmatchcase(version.version, pattern or "") for version in _offered(policy, sites)) else None
        target = _target(policy, sites, wanted, latest and name in chosen, name in stale)
        if target is not None:
            shown = target.sites[0] if target.sites else Site("the host", "")
            actions.append(Action(_kind(policy, target), name, policy.installed or "", target.version, " ".join(shown).strip()))
        elif not policy.installed and name in chosen:
            actions.append(Action("install", name, "", "", "the package lists"))
    return actions
