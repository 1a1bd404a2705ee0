"""Repositories as deb822 sources, their keys and pins."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _apt_sources, _own_files

REPOSITORY: dict[str, Any] = {"name": "vendor", "types": ["deb"], "uris": ["https://packages.example.org/debian/"], "suites": ["bookworm"],
                              "components": ["nginx"], "architectures": ["amd64"], "key": "-----BEGIN PGP PUBLIC KEY BLOCK-----"}


def test_a_stanza_with_a_mark_and_a_key_of_its_own() -> None:
    text = _apt_sources.render_source("nginx", REPOSITORY)
    assert text == ("# Managed by gantry.webstack; changes are overwritten.\nTypes: deb\nURIs: https://packages.example.org/debian/\nSuites: bookworm\n"
                    "Components: nginx\nArchitectures: amd64\nSigned-By: /etc/apt/keyrings/webstack-nginx-vendor.asc\n")
    assert _own_files.is_ours(text)
    assert _apt_sources.sites_in(text) == [_apt_sources.Site("https://packages.example.org/debian", "bookworm")]


def test_a_flat_repository_has_no_components() -> None:
    text = _apt_sources.render_source("nginx", {**REPOSITORY, "suites": ["./"], "key": None, "signed_by": "/usr/share/keyrings/own.gpg"})
    assert "Components:" not in text
    assert "Signed-By: /usr/share/keyrings/own.gpg\n" in text


def test_pins_bring_an_older_version_back_and_take_in_what_is_built_along() -> None:
    text = _apt_sources.render_preferences(["nginx", "openssl"], ["nginx"], [REPOSITORY], "1.26.*", ["nginx"])
    stanzas = text.split("\n\n")
    assert stanzas[0].splitlines() == ["# " + _own_files.MARK, "# Held: nginx"]
    assert stanzas[1] == "Package: nginx src:nginx\nPin: version 1.26.*\nPin-Priority: 1002"
    assert stanzas[2] == 'Package: nginx openssl src:nginx src:openssl\nPin: origin "packages.example.org"\nPin-Priority: 1001\n'
    assert _apt_sources.held_in(text) == ["nginx"]


def test_nothing_to_say_makes_no_preferences() -> None:
    assert _apt_sources.render_preferences(["nginx"], ["nginx"], [], None, []) == ""
    assert "release n=x" in _apt_sources.render_preferences(["nginx"], ["nginx"], [{**REPOSITORY, "pin": "release n=x"}], None, [])


@pytest.mark.parametrize(("change", "said"), [
    ({}, None),
    ({"name": "A b"}, "the name may hold"),
    ({"key": None}, "give exactly one of key, key_file, key_url and signed_by, not none"),
    ({"key_url": "https://h/key"}, "not key and key_url"),
    ({"key": None, "key_url": "https://h/key"}, "needs key_sha256"),
    ({"key": None, "key_url": "https://h/key", "key_sha256": "0" * 64}, None),
    ({"suites": ["a b"]}, "'a b' holds white space"),
    ({"uris": ["http://h/\nTrusted: yes"]}, "holds white space"),
])
def test_what_cannot_be_is_told(change: dict[str, Any], said: str | None) -> None:
    found = _apt_sources.complaint({**REPOSITORY, **change})
    assert found is None if said is None else found is not None and said in found


def test_a_key_is_the_pinned_one_or_none() -> None:
    _apt_sources.check_key({"name": "vendor", "key_sha256": hashlib.sha256(b"key").hexdigest().upper()}, b"key", "here")
    with pytest.raises(WebstackError, match=r"repository vendor: the key from here has the sha256 .* and key_sha256 is 00; nothing was changed"):
        _apt_sources.check_key({"name": "vendor", "key_sha256": "00"}, b"key", "here")


def test_a_binary_key_becomes_armor() -> None:
    assert _apt_sources.armored(b"\x99\x01").splitlines() == ["-----BEGIN PGP PUBLIC KEY BLOCK-----", "", "mQE=", "-----END PGP PUBLIC KEY BLOCK-----"]
    text = "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nmQE=\n-----END PGP PUBLIC KEY BLOCK-----\n"
    assert _apt_sources.armored(text.encode()) == text


@pytest.mark.parametrize(("words", "slug"), [("nginx", "nginx"), ("Docker Engine", "docker-engine"), ("uWSGI", "uwsgi"), ("!", "packages")])
def test_purposes_as_names(words: str, slug: str) -> None:
    assert _apt_sources.slug(words) == slug
