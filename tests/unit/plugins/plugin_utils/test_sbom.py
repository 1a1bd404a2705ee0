# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Bills of materials."""

from __future__ import annotations

import json

from ansible_collections.gantry.webstack.plugins.plugin_utils import sbom

IMAGE = {"tag": "webstack/shop:0123456789ab", "id": "sha256:" + "0" * 64, "packages": [
    {"name": "libstdc++6", "version": "1:12.2.0-14+deb12u1", "architecture": "amd64"},
    {"name": "zlib1g", "version": "1.2.13~dfsg-1", "architecture": "amd64"}]}
SERVICE = {"name": "shop", "python": {"origin": "tree", "version": "3.12.7", "distributions": [{"name": "Flask_Login", "version": "0.6.3"}]}}


def test_packages_interpreter_and_wheels() -> None:
    found = json.loads(sbom.text(SERVICE, IMAGE, {"id": "debian", "version_id": "12"}))
    assert [item["purl"] for item in found["components"]] == [
        "pkg:deb/debian/libstdc%2B%2B6@1:12.2.0-14%2Bdeb12u1?arch=amd64&distro=debian-12",
        "pkg:deb/debian/zlib1g@1.2.13~dfsg-1?arch=amd64&distro=debian-12",
        "pkg:generic/cpython@3.12.7", "pkg:pypi/flask-login@0.6.3"]
    refs = [item["bom-ref"] for item in found["components"]]
    assert len(set(refs)) == len(refs) and found["dependencies"][0]["dependsOn"] == refs
    assert found["metadata"]["component"]["version"] == IMAGE["id"]


def test_the_same_image_has_the_same_bill() -> None:
    assert sbom.text(SERVICE, IMAGE, {"id": "debian"}) == sbom.text(SERVICE, json.loads(json.dumps(IMAGE)), {"id": "debian"})
    assert "timestamp" not in sbom.text(SERVICE, IMAGE, {}) and "serialNumber" not in sbom.text(SERVICE, IMAGE, {})


def test_the_distribution_s_own_python_is_a_package_already() -> None:
    found = json.loads(sbom.text({"name": "shop", "python": {"version": "3.11"}}, IMAGE, {}))
    assert [item["type"] for item in found["components"]] == ["library", "library"]
