# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What an export needs of the host beside its plan: groups, images, which paths are there, time zone and distribution. Changes nothing."""

from __future__ import annotations

import contextlib
import os
import re
import resource
from typing import Any, Dict, List, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common import _engine, _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule
from ansible_collections.gantry.webstack.plugins.module_utils.image import _registry
from ansible_collections.gantry.webstack.plugins.module_utils.image._layers import Image
from ansible_collections.gantry.webstack.plugins.module_utils.move import _candidate, _container_config, _instance, _kept
from ansible_collections.gantry.webstack.plugins.module_utils.move._host_stack import read

ZONES = "/usr/share/zoneinfo/"


def zone(path: str = "/etc/localtime") -> str:
    """The name of the host's time zone; empty when it is not a link to one (localtime(5))."""
    real = os.path.realpath(path)
    return real[len(ZONES):] if real.startswith(ZONES) else ""


def codename(text: str) -> str:
    """VERSION_CODENAME of an os-release(5) file's text; empty without one. Pure."""
    match = re.search(r"(?m)^VERSION_CODENAME=\"?([\w-]+)\"?$", text)
    return match.group(1) if match else ""


def image_of(journal: _journal.Journal, tags: Mapping[str, List[str]]) -> str:
    """The tag of the image that serves or was proven last; else the only one that the engine has for the service; empty when that does not tell."""
    running = journal.candidate.get("image", "")
    kept = next((item["tag"] for item in _kept.of(journal) if item["id"] == running), "")
    named = tags.get(journal.name, [])
    return kept or next((tag for tag in tags.get(running, [])), "") or (named[0] if len(named) == 1 else "")


def contained(client: Any, name: str) -> int:
    """The first process of the container of the service ``name``; 0 when none runs."""
    there = _journal.load(name).candidate.get("container", "")
    container = _engine.find_container(client, there) if there else None
    return int(container.attrs["State"]["Pid"]) if container is not None else 0


def open_files(service: Mapping[str, Any], inside: int = 0) -> List[int]:
    """Soft and hard limit of open files of what serves, at most what an engine may give; empty when nothing does.

    ``inside`` is the process of its container, for want of one of the host's.
    """
    seam = service.get("uwsgi", {}).get("socket", "")
    master = _instance.listener([seam, _paths.beside(seam)]) if seam else None
    pid = master.pid if master else inside
    if not pid:
        return []
    limits = _container_config.open_files(read("/proc/%d/limits" % pid), resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    return [limits[0]["soft"], limits[0]["hard"]] if limits else []


class ExportInfo(WebstackModule):
    """The module export_info."""

    def run(self) -> None:
        """See WebstackModule."""
        tags: Dict[str, List[str]] = {}
        digests: Dict[str, str] = {}
        inside: Dict[str, int] = {}
        with contextlib.suppress(_engine.EngineMissing), _engine.engine() as client:
            for image in client.images.list(filters={"label": _paths.LABEL + ".service"}):
                ours = sorted(tag for tag in image.tags if tag.startswith("webstack/"))
                for key in (image.id, image.labels.get(_paths.LABEL + ".service", "")):
                    tags.setdefault(key, []).extend(ours)
            digests = self._digests(client, tags)
            inside = {service["name"]: contained(client, service["name"]) for service in self.params["services"]}
        self.result["services"] = {service["name"]: self._facts(service, tags, digests, inside.get(service["name"], 0)) for service in self.params["services"]}
        self.result["zone"] = zone()
        with open("/etc/os-release", encoding="utf-8") as handle:
            self.result["codename"] = codename(handle.read())

    def _digests(self, client: Any, tags: Mapping[str, List[str]]) -> Dict[str, str]:
        """tag -> reference by digest of what the registry has."""
        registry: Optional[str] = self.params["registry"]
        found = {}
        for tag in {tag for several in tags.values() for tag in several} if registry else ():
            image = Image(tag, tag, b"", [])
            digest = _registry.digest_there(client, str(registry), image, self.params["registry_auth"])
            if digest:
                found[tag] = "%s@%s" % (_registry.reference(str(registry), image), digest)
        return found

    @staticmethod
    def _facts(service: Mapping[str, Any], tags: Mapping[str, List[str]], digests: Mapping[str, str], inside: int) -> Dict[str, Any]:
        found: Dict[str, Any] = {}
        with contextlib.suppress(WebstackError):  # no such user here: the plan's own numbers have to do
            found["uid"], found["gid"], found["groups"] = _candidate.account(service)
        tag = image_of(_journal.load(service["name"]), tags)
        mounts = _container_config.mounts(service, "", None, lambda path: True)
        missing = sorted(item.target for item in mounts if item.source == item.target and not os.path.exists(item.target))
        limit = open_files(service, inside)
        if limit:
            found["open_files"] = limit
        return {**found, "image": digests.get(tag, tag), "missing": missing}
