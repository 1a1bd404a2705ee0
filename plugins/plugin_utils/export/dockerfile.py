# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Dockerfile of a service and its lock, for a team that builds its image anew. Pure.

The same two stages as an image on a base has (module_utils/image/_dockerfile.py), from what the plan knows.
"""

from __future__ import annotations

from ansible_collections.gantry.webstack.plugins.module_utils.image import _dockerfile, _image
from ansible_collections.gantry.webstack.plugins.plugin_utils.export.container import Container, Settings

_TOOLS = ("pip", "setuptools", "wheel")


def lock(container: Container, settings: Settings) -> tuple[str, bool]:
    """(requirements.txt, whether it has hashes): the lock that the plan names, else the versions that were found on the host."""
    given = settings.locks.get(container.service["name"], "")
    if given:
        return given, "--hash=" in given
    python = container.service.get("python", {})
    urls = dict(item.partition(" ")[::2] for item in python.get("direct_urls", []))
    lines = [f"{item['name']} @ {urls[item['name']]}" if item["name"] in urls else f"{item['name']}=={item['version']}"
             for item in python.get("distributions", []) if item["name"].lower() not in _TOOLS]
    head = ["# The versions that were found on the host. Their hashes are not known: the plan names no lock (python.requirements).",
            "# A lock with hashes: uv pip compile --generate-hashes requirements.txt -o requirements.txt"]
    return "\n".join([*head, *lines]) + "\n", False


def base(container: Container, settings: Settings) -> str:
    """The image to build on: the one that the plan or the run names, else the host's own distribution, or Python's image for a Python of no package."""
    named = container.service.get("container", {}).get("base") or settings.base
    if named:
        return named
    python, codename = container.service.get("python", {}), settings.facts.get("codename") or ""
    if python.get("origin", "package") != "package":
        return f"docker.io/library/python:{python['version']}-slim{'-' + codename if codename else ''}"
    return f"docker.io/library/debian:{codename or 'stable'}-slim"


def files(container: Container, settings: Settings) -> dict[str, str]:
    """The Dockerfile and what it is built from, by name."""
    service = container.service
    python = service.get("python", {})
    venv = python.get("venv", "")
    requirements, hashed = lock(container, settings)
    packaged = python.get("origin", "package") == "package"
    text = _dockerfile.dockerfile(service, base(container, settings), _image.settings(service, container.binary, container.user), venv,
                                  zone=settings.facts.get("zone") or "", hashes=hashed, packaged=packaged)
    remarks = [f"Build it with: docker build -t {container.image} .",
               f"{_dockerfile.ROOT}/ holds the service's own files by their paths"
               + (f": its code belongs into {_dockerfile.ROOT}{container.workdir}." if service.get("code") else "; it has none beside its distributions.")]
    if not packaged:
        remarks.append(f"On the host its Python was no package ({python.get('origin')}); here it is the base image's.")
    if venv and not hashed:
        remarks.append("Hashes of the distributions are not known; name a lock with hashes in python.requirements of the plan.")
    remarks += [f"Changed by hand on the host, and not here: {path}" for path in python.get("patched", [])[:5]]
    head, _newline, rest = text.partition("\n")
    found = {"Dockerfile": "\n".join([head, *(f"# {line}" for line in remarks), rest]), f"{_dockerfile.ROOT}/.gitkeep": ""}
    return {**found, _dockerfile.LOCK: requirements} if venv else found
