# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A release that must not be made is refused, with all that stands in its way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from _bench import BenchError, former, galaxy_client, release

ROOT = Path(__file__).parents[3]
CHANGES = {"releases": {"0.1.0": {"fragments": ["first.yml"]}}}
GOOD: dict[str, Any] = {"version": "0.2.0", "current": "0.2.0-dev", "changes": CHANGES, "fragments": ["first.yml", "new.yml"], "tags": ["v0.1.0"], "dirty": ""}


def test_what_may_be_released() -> None:
    assert release.refusals(**GOOD) == []


@pytest.mark.parametrize(("wrong", "said"), [
    ({"dirty": " M README.md"}, "not committed"),
    ({"version": "0.1.0"}, "0.1.0 is in changelogs/changelog.yaml already"),
    ({"version": "0.0.9"}, "0.0.9 comes before 0.1.0"),
    ({"current": "0.3.0-dev"}, "galaxy.yml has the version 0.3.0-dev, which does not become 0.2.0"),
    ({"fragments": ["first.yml"]}, "no fragment in changelogs/fragments is new"),
    ({"tags": ["v0.2.0"]}, "the tag v0.2.0 is there already"),
])
def test_what_may_not(wrong: dict[str, Any], said: str) -> None:
    assert any(said in sentence for sentence in release.refusals(**{**GOOD, **wrong}))


def test_versions() -> None:
    assert release.successor("0.2.7") == "0.3.0-dev"
    assert release.versioned("name: webstack\nversion: 0.2.0-dev\n", "0.2.0") == "name: webstack\nversion: 0.2.0\n"
    for wrong in ("0.2", "v0.2.0", "0.2.0-rc1", "01.2.3"):
        with pytest.raises(BenchError, match="MAJOR.MINOR.PATCH"):
            release.number(wrong)


def test_this_checkout_is_between_releases() -> None:
    """The last release is in the changelog, and galaxy.yml has a later version, as antsibull-changelog and Galaxy take it."""
    version = yaml.safe_load((ROOT / "galaxy.yml").read_text(encoding="utf-8"))["version"]
    last = former.versions((ROOT / "changelogs/changelog.yaml").read_text(encoding="utf-8"))[-1]
    assert version == last or (version.endswith(release.DEVELOPMENT) and release.number(version.removesuffix(release.DEVELOPMENT)) > release.number(last))


@pytest.mark.parametrize(("code", "text", "wrong"), [
    (0, "Loading module_utils x\nImporter processing completed successfully\n", []),
    (0, "WARNING: no changelog\nImporter processing completed successfully\n", ["WARNING: no changelog"]),
    (1, "ERROR: bad\n", ["ERROR: bad", "the importer ended with code 1: ERROR: bad"]),
    (0, "", ["the importer ended with code 0: it said nothing"]),
])
def test_the_importer_s_complaints(code: int, text: str, wrong: list[str]) -> None:
    assert release.complaints(code, text) == wrong


def test_the_newest_release_is_the_last() -> None:
    assert former.versions("releases:\n  0.10.0:\n    x: 1\n  0.9.0:\n    y: 1\n") == ["0.9.0", "0.10.0"]


def test_a_shell_s_settings_of_servers() -> None:
    found = galaxy_client.configured({"ANSIBLE_CONFIG": "/x/ansible.cfg", "ANSIBLE_GALAXY_SERVER_OWN_TOKEN": "t", "ANSIBLE_FORKS": "9", "HOME": "/root"})
    assert found == {"ANSIBLE_CONFIG": "/x/ansible.cfg", "ANSIBLE_GALAXY_SERVER_OWN_TOKEN": "t"}


def test_servers_are_ansible_galaxy_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = tmp_path / "ansible.cfg"
    config.write_text("[galaxy]\nserver_list = own, other\n[galaxy_server.own]\nurl = http://own.example/\n", encoding="utf-8")
    own = galaxy_client.configured({"ANSIBLE_CONFIG": str(config), "ANSIBLE_GALAXY_SERVER_OTHER_URL": "http://other.example/"})
    with galaxy_client.client("own", own) as server:
        assert server == galaxy_client.Client("own", own)
    with pytest.raises(BenchError, match=r"--server third: ansible-galaxy's configuration has the servers own, other"), galaxy_client.client("third", own):
        pass
    monkeypatch.delenv("GALAXY_TOKEN", raising=False)
    with pytest.raises(BenchError, match="export GALAXY_TOKEN"), galaxy_client.client("https://galaxy.example/", {}):
        pass
    monkeypatch.setenv("GALAXY_TOKEN", "secret")
    with galaxy_client.client("https://galaxy.example/", {}) as server:
        assert "secret" not in Path(server.env["ANSIBLE_CONFIG"]).read_text(encoding="utf-8")
        assert "url = https://galaxy.example/" in Path(server.env["ANSIBLE_CONFIG"]).read_text(encoding="utf-8")
