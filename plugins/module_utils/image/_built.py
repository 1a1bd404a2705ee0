# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images built on a base: the service's own files from the host, packages and distributions anew, by the engine and a Dockerfile."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import tarfile
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common import _engine, _progress
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, host_lock
from ansible_collections.gantry.webstack.plugins.module_utils.image import _accounts, _dockerfile, _image, _layers, _rebuilt
from ansible_collections.gantry.webstack.plugins.module_utils.image._app_tree import environment
from ansible_collections.gantry.webstack.plugins.module_utils.image._harvest import made_file
from ansible_collections.gantry.webstack.plugins.module_utils.image._layers import Entry
from ansible_collections.gantry.webstack.plugins.module_utils.install._venv import Sources

try:
    import docker.errors
except ImportError:
    pass  # _engine.engine says so

ZONES = "/usr/share/zoneinfo/"
LOG_TAIL = 15

SPEC = dict(_image.SPEC, base={"type": "str"}, wheel_dir={"type": "path"}, locks={"type": "dict", "default": {}})
"""argument_spec of the module image_harvest; ``locks`` (service -> text) comes from the control node's half."""


class Context(NamedTuple):
    """What the engine gets: a Dockerfile and a tar of all that it names; ``digest`` tells one from another."""

    dockerfile: str
    layer: _layers.Layer

    @property
    def digest(self) -> str:
        """The sha256 of both, in hexadecimal digits."""
        return hashlib.sha256((self.dockerfile + self.layer.digest).encode("utf-8")).hexdigest()


def base_of(service: Mapping[str, Any], default: Optional[str]) -> str:
    """The base image that a service's image is built on; empty when it is harvested whole."""
    return service.get("container", {}).get("base") or default or ""


class Contexts:
    """Makes build contexts from one host."""

    def __init__(self, builder: _image.Builder, base: Optional[str], locks: Mapping[str, str], wheel_dir: Optional[str]) -> None:
        self.builder, self.base, self.locks, self.wheel_dir = builder, base, locks, wheel_dir

    def of(self, service: Mapping[str, Any]) -> Context:
        """The context of one service. Raises WebstackError with a sentence that names it."""
        name, harvest = service["name"], self.builder.harvest
        if service.get("python", {}).get("origin", "package") != "package":
            raise WebstackError("service %s: its Python is none of the distribution's packages, so a base image cannot bring it; leave container.base out"
                                % name)
        app = harvest.app(service, harvest.closure(harvest.systems(service)[-1]))
        lock = self.locks.get(name, "")
        if app.venv and "--hash=" not in lock:
            raise WebstackError("service %s: an image on a base needs the lock of its virtual environment, with hashes; name it in python.requirements "
                                "of the plan, or leave container.base out to take the environment as it is" % name)
        uid, gid = _accounts.ids(service, self.builder.fs.text("/etc/passwd"), self.builder.fs.text("/etc/group"))
        settings = _image.settings(service, harvest.binary(service), "%d:%d" % (uid, gid))
        text = _dockerfile.dockerfile(service, base_of(service, self.base), settings, app.venv or "", bool(self.wheel_dir), self._zone())
        entries = [entry._replace(path="/%s%s" % (_dockerfile.ROOT, entry.path)) for entry in harvest.app_entries(service, app)
                   if entry.path not in ("/etc/passwd", "/etc/group") and not (app.venv and (entry.path + "/").startswith(app.venv + "/"))]
        entries = [entry._replace(target="/%s%s" % (_dockerfile.ROOT, entry.target)) if entry.kind == "hard" else entry for entry in entries]
        small = {"/Dockerfile": text, "/" + _dockerfile.LOCK: lock}
        entries += [made_file(path, content.encode("utf-8")) for path, content in small.items()] + self._wheels()
        _progress.SHOWN.begin("reading image %s" % name, _layers.length(entries))
        return Context(text, _layers.measure("app", "build context of " + name, entries, self.builder.fs.open, self.builder.needles[name], _progress.SHOWN.add))

    def _zone(self) -> str:
        real = self.builder.fs.resolve("/etc/localtime").real or ""
        return real[len(ZONES):] if real.startswith(ZONES) else ""

    def _wheels(self) -> List[Entry]:
        if not self.wheel_dir:
            return []
        found = [Entry("/" + _dockerfile.WHEELS, "dir", 0o755)]
        for name in sorted(self.builder.fs.listdir(self.wheel_dir)):
            path = os.path.join(self.wheel_dir, name)
            item = self.builder.fs.lstat(path)
            if item is not None and item.kind == "file" and name.endswith((".whl", ".tar.gz", ".zip")):
                found.append(Entry("/%s/%s" % (_dockerfile.WHEELS, name), "file", 0o644, size=item.size, source=path, stamp=item.mtime_ns))
        return found


class Images(_image.ImageHarvest):
    """Harvests images, and builds those on a base that the engine does not have of the very same context."""

    def rebuilt(self, services: Sequence[Mapping[str, Any]]) -> Dict[str, str]:
        """The virtual environments that the plan wants anew: built, but in check mode."""
        builder, real = _image.Builder([]), {}
        self.recipes: Dict[str, _rebuilt.Recipe] = {}
        for service in services:
            if base_of(service, self.params["base"]):
                continue
            name, python = service["name"], service.get("python", {})
            venv = builder.fs.resolve(environment(python)).real if environment(python) else None
            if venv:
                real[name] = venv
            if _rebuilt.wanted(service):
                sees = re.search(r"(?mi)^include-system-site-packages\s*=\s*true", builder.fs.text((venv or "") + "/pyvenv.cfg")) is not None
                self.recipes[name] = _rebuilt.Recipe(name, venv or "", builder.harvest.interpreter(name, python, venv), python.get("version", ""), sees,
                                                     self.params["locks"].get(name, ""))
                _rebuilt.check(self.recipes[name])
        moved = _rebuilt.moved(list(self.recipes.values()), real)
        if not self.check_mode:
            for service in services:
                if service["name"] in self.recipes:
                    python, wheels = service["python"], self.params["wheel_dir"]
                    sources = Sources(python.get("index_url"), python.get("extra_index_urls") or (), wheels, bool(python.get("no_index") or wheels))
                    _rebuilt.build(self.recipes[service["name"]], sources)
        return {path: place for path, place in moved.items() if os.path.isdir(place)}

    def _one(self, client: Any, builder: _image.Builder, service: Mapping[str, Any]) -> None:
        recipe = self.recipes.get(service["name"])
        if recipe is not None:
            builder.remarks[service["name"]] += filter(None, [_rebuilt.remark(service)])
            if not os.path.isdir(recipe.place):  # in check mode
                self.add_diff("image of " + service["name"], "", "virtual environment rebuilt from its lock\n")
                self.result["images"].append({
                    "service": service["name"], "tag": "%s:rebuilt" % _engine.repository(service["name"]), "built": True, "layers": [],
                    "packages": [], "remarks": builder.remarks[service["name"]], "id": "", "size_bytes": 0})
                return None
        if not base_of(service, self.params["base"]):
            return super()._one(client, builder, service)
        context = Contexts(builder, self.params["base"], self.params["locks"], self.params["wheel_dir"]).of(service)
        tag = "%s:base-%s" % (_engine.repository(service["name"]), context.digest[:12])
        found = inspect(client, tag)
        told = {"service": service["name"], "tag": tag, "built": found is None, "layers": [], "packages": _packages(service),
                "remarks": builder.remarks[service["name"]], "dockerfile": context.dockerfile, "id": "", "size_bytes": 0}
        if found is None:
            self.add_diff("image of " + service["name"], "", "%s\n\n%s" % (tag, context.dockerfile))
        if found is None and not self.check_mode:
            with host_lock():
                build(client, builder.fs.open, service["name"], tag, context)
            self._search(client, service["name"], tag, builder.needles[service["name"]])
            found = inspect(client, tag)
        if found is not None:
            told.update(id=found["Id"], size_bytes=found["Size"])
        if self.params.get("registry") and client is not None:
            told["registry"] = self._in_registry(client, _layers.Image(service["name"], tag, b"", []), told["id"] or None)
        self.result["images"].append(told)
        return None

    @staticmethod
    def _search(client: Any, name: str, tag: str, needles: Mapping[str, bytes]) -> None:
        """No layer has a secret's value: not the base's either, nor what a build step left. Removes the image and raises when one has."""
        found = search(client.api.get_image(tag), needles) if needles else None
        if found:
            client.api.remove_image(tag)
            raise WebstackError("service %s: %s stands in %s of the image that was built; the image was removed" % ((name,) + found))


def _packages(service: Mapping[str, Any]) -> List[Dict[str, str]]:
    """The packages that the Dockerfile pins; the base's own are the base's to tell."""
    machine = _image.architecture(os.uname().machine)
    return [{"name": item["name"], "version": item.get("version", ""), "architecture": machine} for item in service.get("system_packages", [])]


def inspect(client: Any, tag: str) -> Optional[Dict[str, Any]]:
    """The engine's image of that name, or None."""
    if client is None:
        return None
    try:
        return dict(client.api.inspect_image(tag))
    except docker.errors.ImageNotFound:
        return None


def build(client: Any, opener: _layers.Opener, name: str, tag: str, context: Context) -> None:
    """Have the engine build. Raises WebstackError with the last words of the step that failed."""
    said: List[str] = []
    _progress.SHOWN.begin("sending image %s" % name, context.layer.size)
    stream = _layers.coalesce(_progress.SHOWN.counted(_layers.stream(context.layer.entries, opener)))
    try:
        for message in client.api.build(fileobj=stream, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True):
            said += str(message.get("stream", "")).splitlines()
            step = re.match(r"Step (\d+)/(\d+) ", str(message.get("stream", "")))
            if step:
                _progress.SHOWN.begin("building image %s, step %s of %s" % (name, *step.groups()), 0)
            if message.get("error"):
                raise WebstackError("service %s: its image could not be built: %s; %s" % (name, message["error"].strip(), last_words(said)),
                                    log=[line for line in said if line.strip()][-LOG_TAIL:])
    except docker.errors.APIError as exc:
        raise WebstackError("service %s: its image could not be built: %s" % (name, exc.explanation or exc)) from exc


def last_words(lines: List[str]) -> str:
    """What apt-get (``E: ...``) or pip (``ERROR: ...``) complained of, or the last line that says anything. Pure."""
    plain = [re.sub(r"\x1b\[[0-9;]*m", "", line).strip() for line in lines]
    complaints = [line for line in plain if line.startswith(("E: ", "ERROR: "))]
    return (complaints or [line for line in plain if line] or ["nothing was said"])[0 if complaints else -1]


def search(archive: Iterator[bytes], needles: Mapping[str, bytes]) -> Optional[Tuple[str, str]]:
    """(what, file) of the first value that is in a layer of a ``docker save`` archive, or in its configuration; None when none is."""
    reader: Any = _Reader(archive)
    with tarfile.open(fileobj=reader, mode="r|") as outer:
        for member in outer:
            handle = outer.extractfile(member)
            if handle is None:
                continue
            if member.name.endswith(".json") or member.name in ("repositories", "oci-layout"):
                found = _in_text(member.name, handle.read(), needles)
            else:
                found = _in_layer(handle, needles)
            if found:
                return found
    return None


def _in_text(name: str, data: bytes, needles: Mapping[str, bytes]) -> Optional[Tuple[str, str]]:
    escaped = {what: (value, json.dumps(value.decode("utf-8", "replace"))[1:-1].encode("ascii")) for what, value in needles.items()}
    return next(((what, name) for what, values in escaped.items() if any(value in data for value in values)), None)


def _in_layer(handle: Any, needles: Mapping[str, bytes]) -> Optional[Tuple[str, str]]:
    try:
        with tarfile.open(fileobj=handle, mode="r|*") as layer:
            for item in layer:
                content = layer.extractfile(item) if item.isfile() else None
                if content is None:
                    continue
                chunks = iter(functools.partial(content.read, _layers.CHUNK), b"")
                try:
                    for dummy in _layers.guarded(Entry("/" + item.name, "file", 0), chunks, needles):
                        pass
                except _layers.SecretFound as exc:
                    return next(what for what in needles if str(exc).startswith(what + " stands in ")), "/" + item.name
    except tarfile.ReadError:
        pass  # no layer: a manifest without an ending (OCI image layout)
    return None


class _Reader:
    """Chunks as a file that is read once."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks, self._rest = chunks, b""

    def read(self, size: int) -> bytes:
        """At most ``size`` bytes, fewer at the end only."""
        parts, length = [self._rest], len(self._rest)
        while length < size:
            chunk = next(self._chunks, b"")
            if not chunk:
                break
            parts.append(chunk)
            length += len(chunk)
        data = b"".join(parts)
        self._rest = data[size:]
        return data[:size]
