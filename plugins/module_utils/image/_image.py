# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Harvested images: measured first, so that the id is known before the engine is asked, loaded as a stream when it lacks one."""

from __future__ import annotations

import contextlib
import os
import re
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _engine, _journal, _paths, _progress
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, host_lock, yield_cpu
from ansible_collections.gantry.webstack.plugins.module_utils.image import _accounts, _harvest, _layers, _registry
from ansible_collections.gantry.webstack.plugins.module_utils.image._closure import SEARCH_PATH, Host
from ansible_collections.gantry.webstack.plugins.module_utils.image._harvest import Harvest, System
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs
from ansible_collections.gantry.webstack.plugins.module_utils.image._layers import FileChanged, Image, Layer
from ansible_collections.gantry.webstack.plugins.module_utils.move import _instance

try:
    import docker.errors
    import requests.exceptions
except ImportError:
    pass  # _engine.engine says so

LOAD_TIMEOUT = 600
"""Seconds the engine may be silent while it unpacks."""

MARGIN = 64 * 1024 * 1024
"""Bytes that stay free on the engine's disk."""

SHORTEST_SECRET, LONG_SECRET = 8, 16
"""Values (bytes) that stand in files by chance are not looked for: shorter ones, and words of one kind of letter unless they are long.
In the distribution's own files only long ones are looked for."""

_ARCHITECTURES = {
    "x86_64": {"architecture": "amd64"}, "aarch64": {"architecture": "arm64", "variant": "v8"}, "armv7l": {"architecture": "arm", "variant": "v7"},
    "i686": {"architecture": "386"}, "ppc64le": {"architecture": "ppc64le"}, "s390x": {"architecture": "s390x"}, "riscv64": {"architecture": "riscv64"},
}


def architecture(machine: str) -> str:
    """A machine's name (uname(2)) as images and packages have it."""
    return _ARCHITECTURES.get(machine, {"architecture": machine})["architecture"]


class Harvested(NamedTuple):
    """An image and what it is made of."""

    image: Image
    packages: List[Dict[str, str]]
    remarks: List[str]


def settings(service: Mapping[str, Any], binary: str, user: str) -> Dict[str, Any]:
    """The image's run-time configuration (OCI image-spec, config.md)."""
    environment, python = service.get("environment", {}), service.get("python", {})
    path = ([python["venv"] + "/bin"] if python.get("venv") else []) + list(SEARCH_PATH)
    languages = sorted("%s=%s" % item for item in environment.items() if item[0] == "LANG" or item[0].startswith("LC_"))
    chdir = service.get("uwsgi", {}).get("options", {}).get("chdir")
    return {
        "User": user, "Env": ["PATH=" + ":".join(path)] + languages, "Cmd": [binary, "--ini", _harvest.PLACES[0]],
        "WorkingDir": chdir if isinstance(chdir, str) else service.get("code", {}).get("path", "/"),
        "Labels": {_paths.LABEL + ".service": service["name"]},
    }


def needles(service: Mapping[str, Any], fs: HostFs) -> Tuple[Dict[str, bytes], List[str]]:
    """The service's secret values to look for in layers, by the words for a message; and remarks."""
    values: Dict[str, bytes] = {}
    remarks: List[str] = []
    for secret in service.get("secrets", []):
        kind, dummy, place = secret["source"].partition(":")
        if kind == "file":
            values[secret["name"]] = (fs.read(place, 64 * 1024) or b"").strip()
    try:
        found = _instance.secret_values(service)
    except WebstackError as exc:  # the host's instance is stopped while the container serves; the container's copy tells as well
        state = _paths.service_state(service["name"])
        found = {}
        for slot in fs.listdir(state):
            found.update(configured_secrets(fs.text("%s/%s/secrets.ini" % (state, slot))))
        if not found:
            remarks.append("not every secret could be read, to look for it in the image: %s" % exc)
    values.update((name, value.encode("utf-8")) for name, value in found.items())
    return {"the value of its secret " + name: value for name, value in values.items() if telling(value)}, remarks


def telling(value: bytes) -> bool:
    """Whether finding a value in a file means something: ``password`` does not, ``s3cr3t-pass`` does."""
    kinds = sum(re.search(kind, value) is not None for kind in (rb"[a-z]", rb"[A-Z]", rb"[0-9]", rb"[^A-Za-z0-9]"))
    return len(value) >= LONG_SECRET or (len(value) >= SHORTEST_SECRET and kinds > 1)


def configured_secrets(text: str) -> Dict[str, str]:
    """The variables in a container's secrets.ini, whose lines are ``env = NAME=VALUE`` with every ``%`` doubled."""
    rows = re.findall(r"^env = ([^=\n]+)=(.*)$", text, re.M)
    return {name: value.replace("%%", "%") for name, value in rows}


def needed(image: Image, present: int) -> int:
    """Bytes of the engine's disk that loading takes: the archive is unpacked once as a whole, then layer by layer."""
    return 2 * _layers.archive_size(image, present) + MARGIN


def shortage(image: Image, present: int, free: int) -> Optional[str]:
    """What to say when the engine's disk has too little room; None when there is enough."""
    wanted = needed(image, present)
    if free >= wanted:
        return None
    return "loading its image takes %d MB while it is unpacked, and %d MB are free" % (wanted // 10 ** 6, free // 10 ** 6)


class Builder:
    """Measures images; reads the host again when a file changed in between."""

    def __init__(self, services: Sequence[Mapping[str, Any]], moved: Optional[Mapping[str, str]] = None) -> None:
        self.services, self.moved = services, moved
        self.renew()

    def renew(self) -> None:
        """Forget everything read so far."""
        self.fs = HostFs(moved=self.moved)
        self.harvest = Harvest(Host(self.fs))
        self._layers: Dict[System, Layer] = {}
        found = {service["name"]: needles(service, self.fs) for service in self.services}
        self.needles = {name: item[0] for name, item in found.items()}
        self.remarks = {name: item[1] for name, item in found.items()}

    def measure(self, service: Mapping[str, Any]) -> Harvested:
        """The image of one service. Raises WebstackError with a sentence that names it."""
        try:
            return self._measure(service)
        except FileChanged:
            self.renew()
        except _layers.SecretFound as exc:
            raise WebstackError("service %s: %s; take it out of that file, or list the file under secrets as file:PATH"
                                % (service["name"], exc), **exc.details) from exc
        try:
            return self._measure(service)
        except FileChanged as exc:
            raise changing(service, exc) from exc

    def _measure(self, service: Mapping[str, Any]) -> Harvested:
        harvest = self.harvest
        name, systems = service["name"], harvest.systems(service)
        closures = [harvest.closure(system) for system in systems]
        app = harvest.app(service, closures[-1])
        extra, remarks = harvest.extra(service, closures[-1], app)
        entries, own = harvest.extra_entries(extra), harvest.app_entries(service, app)
        shared = {system: harvest.shared_entries(system) for system in systems if system not in self._layers}
        _progress.SHOWN.begin("reading image %s" % name, sum(map(_layers.length, [*shared.values(), entries, own])))
        layers = [self._shared(system, shared.get(system, [])) for system in systems]
        if entries:
            layers.append(self._layer("system", "further libraries and tools of " + name, entries, self.needles[name]))
        layers.append(self._layer("app", "venv and code of " + name, own, self.needles[name]))
        user = "%d:%d" % _accounts.ids(service, self.fs.text("/etc/passwd"), self.fs.text("/etc/group"))
        machine = os.uname().machine
        config = _layers.config(_ARCHITECTURES.get(machine, {"architecture": machine}), settings(service, harvest.binary(service), user), layers)
        image = Image(name, "", config, layers)
        image = image._replace(tag="%s:%s" % (_engine.repository(name), image.id[len("sha256:"):][:12]))
        return Harvested(image, _harvest.packages(closures + [extra], harvest.host), self.remarks[name] + app.remarks + remarks)

    def _shared(self, system: System, entries: Sequence[_layers.Entry]) -> Layer:
        if system not in self._layers:
            title = "uWSGI" if system.uwsgi else "system with Python " + system.version
            everything = {"%s of service %s" % (words, name): value for name, found in self.needles.items() for words, value in found.items()
                          if len(value) >= LONG_SECRET}
            self._layers[system] = self._layer("system", title, entries, everything)
        return self._layers[system]

    def _layer(self, kind: str, title: str, entries: Sequence[_layers.Entry], needles: _layers.Needles) -> Layer:
        return _layers.measure(kind, title, entries, self.fs.open, needles, _progress.SHOWN.add)


def changing(service: Mapping[str, Any], exc: FileChanged) -> WebstackError:
    """The sentence for a file that changed twice."""
    return WebstackError("service %s: %s, again at the second try; list it under state in the plan when the service writes it, or wait until it is quiet"
                         % (service["name"], exc), **exc.details)


SPEC = {"services": {"type": "list", "elements": "dict", "required": True}, "sbom_dir": {"type": "path"}, "registry": {"type": "str"},
        "registry_auth": {"type": "dict", "no_log": True, "options": {
            "username": {"type": "str", "required": True}, "password": {"type": "str", "required": True, "no_log": True}}}}
"""argument_spec of the module image_harvest; sbom_dir is the control node's."""


class ImageHarvest(WebstackModule):
    """Harvest an image per service and load those that the engine lacks."""

    def run(self) -> None:
        services: List[Dict[str, Any]] = [service for service in self.params["services"] if not _decommissioned(service["name"])]
        self.result.update(images=[], system={})
        if not services:
            return
        yield_cpu()
        with contextlib.ExitStack() as stack:
            client = self._client(stack)
            builder = Builder(services, self.rebuilt(services))
            self.result["system"] = system_of(builder.fs.text("/etc/os-release"))
            for service in services:
                self._one(client, builder, service)

    def _client(self, stack: contextlib.ExitStack) -> Any:
        """The engine; None in check mode when there is none yet: an install before this would have brought it."""
        try:
            return stack.enter_context(_engine.engine(LOAD_TIMEOUT))
        except _engine.EngineMissing:
            if self.check_mode:
                return None
            raise

    def rebuilt(self, services: Sequence[Mapping[str, Any]]) -> Dict[str, str]:
        """Directories that the images have in another state than the host: real path -> where that is. None here."""
        return {}

    def _one(self, client: Any, builder: Builder, service: Mapping[str, Any]) -> None:
        harvested = builder.measure(service)
        found = find_image(client, harvested.image) if client is not None else None
        built = found is None
        if built:
            image = harvested.image
            lines = ["%s %s %d %s" % (layer.kind, layer.digest, layer.size, layer.title) for layer in image.layers]
            self.add_diff("image of " + image.name, "", "\n".join([image.tag] + lines) + "\n")
            if not self.check_mode:
                harvested, found = self._load(client, builder, service, harvested)
        told = described(harvested, found, built)
        if self.params.get("registry") and client is not None:
            told["registry"] = self._in_registry(client, harvested.image, found)
        self.result["images"].append(told)

    def _in_registry(self, client: Any, image: Image, found: Optional[str]) -> Dict[str, Any]:
        """Have the image in the registry: its reference by digest there, empty in check mode when it is not there, and whether it was sent."""
        registry, auth = self.params["registry"], self.params.get("registry_auth")
        digest = _registry.digest_there(client, registry, image, auth)
        pushed = digest is None
        if pushed:
            self.add_diff("image of %s in %s" % (image.name, registry), "", image.tag + "\n")
            if not self.check_mode and found is not None:
                digest = _registry.push(client, registry, image, found, auth)
        return {"reference": "%s@%s" % (_registry.reference(registry, image), digest) if digest else "", "pushed": pushed}

    def _load(self, client: Any, builder: Builder, service: Mapping[str, Any], harvested: Harvested) -> Tuple[Harvested, str]:
        with host_lock():
            try:
                load(client, builder.fs, harvested.image)
            except FileChanged:
                builder.renew()
                harvested = builder.measure(service)
                try:
                    load(client, builder.fs, harvested.image)
                except FileChanged as exc:
                    raise changing(service, exc) from exc
        found = find_image(client, harvested.image)
        if found is None:
            raise WebstackError("service %s: the engine took its image %s but does not list it" % (harvested.image.name, harvested.image.tag))
        return harvested, found


def _decommissioned(name: str) -> bool:
    """Whether a service runs in a container and what its image would be made of was taken out of service."""
    journal = _journal.load(name)
    return journal.runtime == _journal.CONTAINER and bool(journal.data.get("decommissioned"))


def system_of(release: str) -> Dict[str, str]:
    """ID and VERSION_ID of a host's os-release(5), in lower-case keys. Pure."""
    rows = re.findall(r"(?m)^(ID|VERSION_ID)=\"?([^\"\n]*)", release)
    return {key.lower(): value for key, value in rows}


def described(harvested: Harvested, found: Optional[str], built: bool) -> Dict[str, Any]:
    """One image in the module's result."""
    image = harvested.image
    return {
        "service": image.name, "id": found or image.id, "tag": image.tag, "built": built,
        "size_bytes": sum(entry.size for layer in image.layers for entry in layer.entries if entry.kind == "file"),
        "layers": [{"digest": layer.digest, "size": layer.size, "kind": layer.kind, "title": layer.title} for layer in image.layers],
        "packages": harvested.packages, "remarks": harvested.remarks,
    }


def find_image(client: Any, image: Image) -> Optional[str]:
    """The engine's id of this very image; None when it lacks it. An engine on containerd's store has its own ids, so the layers decide."""
    with contextlib.suppress(docker.errors.ImageNotFound):
        found = client.api.inspect_image(image.tag)
        if found["Id"] == image.id or found["RootFS"].get("Layers") == [layer.digest for layer in image.layers]:
            return str(found["Id"])
    with contextlib.suppress(docker.errors.ImageNotFound):
        client.api.inspect_image(image.id)
        client.api.tag(image.id, *image.tag.split(":"))  # it lost its name only
        return image.id
    return None


def known_layers(client: Any) -> List[List[str]]:
    """The diff_ids of the engine's images of ours; none where the engine cannot take an archive without the layers it has."""
    if any("containerd" in str(value) for row in client.info().get("DriverStatus") or [] for value in row):
        return []
    ids = {item["Id"] for item in client.api.images(filters={"label": _paths.LABEL + ".service"})}
    return [client.api.inspect_image(item)["RootFS"].get("Layers") or [] for item in ids]


def load(client: Any, fs: HostFs, image: Image) -> None:
    """Send an image, first without the layers the engine has. Raises FileChanged, or WebstackError naming the service."""
    present = _layers.common_layers(image, known_layers(client))
    if present:
        try:
            return _send(client, fs, image, present)
        except FileChanged:
            raise
        except WebstackError:
            pass  # the layers went away meanwhile
    return _send(client, fs, image, 0)


def _send(client: Any, fs: HostFs, image: Image, present: int) -> None:
    root = client.info().get("DockerRootDir", "")
    reason = shortage(image, present, _free(root)) if os.path.isdir(root) else None
    if reason:
        raise WebstackError("service %s: %s on %s; make room there and run again" % (image.name, reason, root))
    problem: Optional[BaseException] = None
    words = ""
    _progress.SHOWN.begin("loading image %s" % image.name, _layers.archive_size(image, present))
    sent = _progress.SHOWN.counted(_layers.archive(image, fs.open, present))
    try:
        for message in client.api.load_image(_layers.coalesce(sent)) or []:
            words = message.get("error") or words
    except docker.errors.APIError as exc:
        problem, words = exc, str(exc.explanation or exc)
    except requests.exceptions.RequestException as exc:
        problem, words = exc, "the connection broke: %s" % exc
    if not words:
        return
    if "no space left" in words or (os.path.isdir(root) and _free(root) < MARGIN):
        raise WebstackError("service %s: the disk filled up while its image was loaded; that takes %d MB and %d MB are free on %s now; "
                            "make room there and run again" % (image.name, needed(image, present) // 10 ** 6, _free(root) // 10 ** 6, root),
                            engine=words) from problem
    raise WebstackError("service %s: the engine did not take its image: %s" % (image.name, words)) from problem


def _free(path: str) -> int:
    found = os.statvfs(path)
    return found.f_bavail * found.f_frsize
