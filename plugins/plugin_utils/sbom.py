# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an image is made of, as a CycloneDX 1.5 bill of materials. Pure.

The same image gives the same text: serialNumber and timestamp, which are optional, are left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ansible_collections.gantry.webstack.plugins.plugin_utils.model import Service

_PLAIN = ".-~_:"
"""What stands in a package URL as it is (purl-spec, "Rules for each purl component")."""


def text(service: Service, image: Mapping[str, Any], system: Mapping[str, str]) -> str:
    """The document of a service's image.

    ``image``: an item of what M(gantry.webstack.image_harvest) returns; ``system``: {id, version_id} of os-release(5).
    """
    components = [_package(item, system) for item in image["packages"]] + _interpreter(service) + _distributions(service)
    document = {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {"component": {"type": "container", "bom-ref": image["tag"], "name": image["tag"].partition(":")[0], "version": image["id"]}},
        "components": components,
        "dependencies": [{"ref": image["tag"], "dependsOn": [item["bom-ref"] for item in components]}],
    }
    return json.dumps(document, indent=1, sort_keys=True) + "\n"


def _component(kind: str, name: str, version: str, purl: str) -> dict[str, str]:
    return {"type": kind, "bom-ref": purl, "name": name, "version": version, "purl": purl}


def _package(item: Mapping[str, str], system: Mapping[str, str]) -> dict[str, str]:
    distribution = system.get("id") or "debian"
    release = f"&distro={distribution}-{system['version_id']}" if system.get("version_id") else ""
    purl = f"pkg:deb/{distribution}/{quote(item['name'], safe=_PLAIN)}@{quote(item['version'], safe=_PLAIN)}?arch={item['architecture']}{release}"
    return _component("library", item["name"], item["version"], purl)


def _interpreter(service: Service) -> list[dict[str, str]]:
    """A Python that no package brought."""
    python = service.get("python", {})
    if python.get("origin", "package") == "package" or not python.get("version"):
        return []
    return [_component("platform", "cpython", python["version"], f"pkg:generic/cpython@{quote(python['version'], safe=_PLAIN)}")]


def _distributions(service: Service) -> list[dict[str, str]]:
    """The wheels of the service's environment; those of the distribution's Python are packages already."""
    found = []
    for item in service.get("python", {}).get("distributions", []):
        name = re.sub(r"[-_.]+", "-", item["name"]).lower()
        found.append(_component("library", item["name"], item["version"], f"pkg:pypi/{quote(name, safe=_PLAIN)}@{quote(item['version'], safe=_PLAIN)}"))
    return found
