"""What apt knows of packages, as the three Debians print it, and what is done with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _apt_policy
from ansible_collections.gantry.webstack.plugins.module_utils.install._apt_policy import Action, Policy, Version
from ansible_collections.gantry.webstack.plugins.module_utils.install._apt_sources import Site

FIXTURES = Path(__file__).parents[2] / "fixtures/apt"
OWN = Site("http://127.0.0.1:8190/debian", "test")
SECURITY = "http://security.debian.org/debian-security"


def recorded(name: str) -> dict[str, Policy]:
    return _apt_policy.parse_policy((FIXTURES / f"policy-{name}.txt").read_text(encoding="utf-8"))


def done(*arguments: Any, **options: Any) -> list[tuple[str, ...]]:
    return [action[:4] for action in _apt_policy.plan(*arguments, **options)]


@pytest.mark.parametrize(("debian", "suite", "version", "older", "engine"), [
    ("11", "bullseye", "1.18.0-6.1+deb11u8", "1.18.0-6.1+deb11u3", "20.10.5+dfsg1-1+deb11u4"),
    ("12", "bookworm", "1.22.1-9+deb12u11", "1.22.1-9+deb12u9", "20.10.24+dfsg1-1+deb12u1+b6"),
    ("13", "trixie", "1.26.3-3+deb13u11", "1.26.3-3+deb13u10", "26.1.5+dfsg1-9+deb13u1+b1"),
])
def test_reads_what_each_debian_prints(debian: str, suite: str, version: str, older: str, engine: str) -> None:
    policies = recorded(debian)
    security, main = Site(SECURITY, f"{suite}-security/main"), Site("http://deb.debian.org/debian", f"{suite}/main")
    assert policies["nginx"] == Policy(version, version, (Version(version, (security,)), Version(older, (main,))))
    assert policies["docker.io"].installed is None
    assert policies["docker.io"].candidate == engine
    assert ("docker-cli" in policies) == (debian == "13")
    assert done(["nginx"], policies) == []
    assert done(["nginx"], policies, pattern="1.*") == []
    assert done(["nginx"], policies, pattern=older) == [("downgrade", "nginx", version, older)]
    assert done(["docker.io | docker-ce", "docker-cli | docker-ce-cli ?"], policies) == [("install", "docker.io", "", engine)] + (
        [("install", "docker-cli", "", engine)] if debian == "13" else [])


def test_a_suite_is_known_by_its_whole_name() -> None:
    version = recorded("12")["nginx"].versions[1]
    assert _apt_policy.comes_from(version, [Site("http://deb.debian.org/debian", "bookworm")])
    assert not _apt_policy.comes_from(version, [Site("http://deb.debian.org/debian", "book")])
    assert not _apt_policy.comes_from(version, [Site("http://deb.debian.org", "bookworm")])


@pytest.mark.parametrize(("options", "expected"), [
    ({}, []),
    ({"pattern": "99.1*"}, []),
    ({"pattern": "99.*"}, []),
    ({"pattern": "99.2*"}, [("upgrade", "nginx", "99.1-1", "99.2-1")]),
])
def test_versions_of_a_given_repository(options: dict[str, Any], expected: list[tuple[str, ...]]) -> None:
    assert done(["nginx"], recorded("repository"), [OWN], **options) == expected


def test_what_came_from_a_source_that_is_given_up_is_brought_back_with_what_came_along() -> None:
    policies = recorded("repository")
    stale = _apt_policy.came_from(policies, [OWN])
    assert stale == ["nginx", "nginx-common"]
    # As apt shows it without that source: the installed version is known to dpkg alone.
    without = {name: policy._replace(versions=tuple(
        version._replace(sites=tuple(site for site in version.sites if site.uri != OWN.uri)) for version in policy.versions if version.version != "99.2-1"))
        for name, policy in policies.items()}
    assert done(["nginx"], without, stale=stale) == [("downgrade", name, "99.1-1", "1.22.1-9+deb12u11") for name in stale]


def test_the_newest_that_fits_is_taken_when_it_is_asked_for() -> None:
    policies = {"nginx": Policy("1", "2", (Version("2", (OWN,)), Version("1", (OWN,))))}
    assert done(["nginx"], policies) == []
    assert done(["nginx"], policies, latest=True) == [("upgrade", "nginx", "1", "2")]


def test_a_version_that_is_not_offered_is_refused_with_those_that_are() -> None:
    with pytest.raises(WebstackError, match=r"no version 77\.\* of nginx; there are 99\.2-1, 99\.1-1; nothing was changed"):
        _apt_policy.plan(["nginx"], recorded("repository"), [OWN], "77.*")


@pytest.mark.parametrize(("item", "sites", "stale", "expected"), [
    ("a | b", (), (), "a"),
    ("a | b", (OWN,), (), "b"),
    ("c | b", (), (), "c"),
    ("c | b", (), ("c",), "b"),
    ("none ?", (), (), None),
    ("none", (), (), "none"),
])
def test_alternatives(item: str, sites: tuple[Site, ...], stale: tuple[str, ...], expected: str | None) -> None:
    elsewhere = Site("http://deb.debian.org/debian", "bookworm/main")
    policies = {"a": Policy(None, "1", (Version("1", (elsewhere,)),)), "b": Policy(None, "1", (Version("1", (Site(OWN.uri, "test/main"),)),)),
                "c": Policy("3", "3", (Version("3", ()),))}
    assert _apt_policy.choose(item, policies, sites, stale) == expected


def test_an_action_tells_from_where() -> None:
    assert Action("upgrade", "nginx", "1", "2", "http://h/debian test/main").text == "upgrade nginx 2 from http://h/debian test/main"
