# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Image layers as streams: the same entries always give the same bytes. Nothing is written to disk, no file is held in memory.

Layers are uncompressed tar archives, the configuration is an OCI image configuration, what the engine gets is the archive of
``docker save`` (OCI image-spec: layer.md, config.md; Docker image specification v1.2).
"""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import time
from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

CHUNK = 1024 * 1024
_BLOCK = 512
_END = b"\0" * (2 * _BLOCK)
_TYPES = {"file": tarfile.REGTYPE, "dir": tarfile.DIRTYPE, "link": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE}


class FileChanged(WebstackError):
    """A file was not the same when it was read again; ``file`` in details."""


class SecretFound(WebstackError):
    """A value that must stay out of images stands in a file; details have no value."""


class Entry(NamedTuple):
    """One member of a layer: ``path`` is absolute, ``kind`` file, dir, link or hard; ``mtime`` in whole seconds.

    A file's bytes are ``data``, or those of the host's file ``source`` (which had ``stamp`` as its mtime in nanoseconds).
    """

    path: str
    kind: str
    mode: int
    uid: int = 0
    gid: int = 0
    mtime: int = 0
    size: int = 0
    target: str = ""
    data: Optional[bytes] = None
    source: str = ""
    stamp: int = 0


class Layer(NamedTuple):
    """A layer measured: ``digest`` is its diff_id, ``size`` the length of the tar in bytes; ``kind`` is system or app."""

    kind: str
    title: str
    entries: Sequence[Entry]
    digest: str
    size: int


class Image(NamedTuple):
    """An image as it will be: ``config`` are the bytes whose digest is the image's id."""

    name: str
    tag: str
    config: bytes
    layers: Sequence[Layer]

    @property
    def id(self) -> str:
        """The id a Docker Engine gives it."""
        return "sha256:" + hashlib.sha256(self.config).hexdigest()


Opener = Callable[[str], BinaryIO]
Told = Callable[[int], None]
"""Told of each number of bytes that was read."""

Needles = Mapping[str, bytes]
"""Values that must not be in a layer, by what to call them."""


def ordered(entries: Iterable[Entry]) -> List[Entry]:
    """Entries in the order of their paths, each path once (the last given wins), a directory before what is in it."""
    return [entry for dummy, entry in sorted({entry.path: entry for entry in entries}.items(), key=lambda item: item[0].split("/"))]


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path.lstrip("/") + ("/" if entry.kind == "dir" else ""))
    info.type = _TYPES[entry.kind]
    info.mode, info.uid, info.gid, info.mtime = entry.mode, entry.uid, entry.gid, entry.mtime
    info.size = entry.size if entry.kind == "file" else 0
    info.linkname = entry.target.lstrip("/") if entry.kind == "hard" else entry.target
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def _content(entry: Entry, opener: Opener) -> Iterator[bytes]:
    if entry.data is not None:
        yield entry.data
        return
    left = entry.size
    try:
        with opener(entry.source) as file:
            while left:
                chunk = file.read(min(left, CHUNK))
                if not chunk:
                    break
                left -= len(chunk)
                yield chunk
            after = os.fstat(file.fileno())
    except OSError as exc:
        raise FileChanged("%s cannot be read: %s" % (entry.source, exc.strerror), file=entry.source) from exc
    if left or after.st_size != entry.size or after.st_mtime_ns != entry.stamp:
        raise FileChanged("%s changes while it is read" % entry.source, file=entry.source)


def guarded(entry: Entry, chunks: Iterable[bytes], needles: Needles) -> Iterator[bytes]:
    """Pass the chunks on. Raises SecretFound when a needle is in them, also across two chunks."""
    keep = max(map(len, needles.values()), default=1) - 1
    tail = b""
    for chunk in chunks:
        window = tail + chunk if tail else chunk
        for name, value in needles.items():
            if value in window:
                raise SecretFound("%s stands in %s, which would go into the image" % (name, entry.path), file=entry.path)
        tail = window[-keep:] if keep else b""
        yield chunk


def stream(entries: Iterable[Entry], opener: Opener, needles: Optional[Needles] = None) -> Iterator[bytes]:
    """The layer's tar. Raises FileChanged when a file is not what its entry says, SecretFound when a needle is in a file."""
    for entry in entries:
        yield _header(entry)
        if entry.kind == "file":
            content = _content(entry, opener)
            yield from guarded(entry, content, needles) if needles else content
            if entry.size % _BLOCK:
                yield b"\0" * (_BLOCK - entry.size % _BLOCK)
    yield _END


def measure(kind: str, title: str, entries: Iterable[Entry], opener: Opener, needles: Optional[Needles] = None,
            told: Told = lambda number: None) -> Layer:
    """Read everything once: digest and size. Raises what ``stream`` raises."""
    members = ordered(entries)
    digest, size = hashlib.sha256(), 0
    for chunk in stream(members, opener, needles):
        digest.update(chunk)
        size += len(chunk)
        told(len(chunk))
    return Layer(kind, title, members, "sha256:" + digest.hexdigest(), size)


def length(entries: Iterable[Entry]) -> int:
    """As many bytes as the layer's tar will have, but for targets of links too long for a header (tar(5))."""
    total = len(_END)
    for entry in {entry.path: entry for entry in entries}.values():
        name = len(entry.path.lstrip("/").encode("utf-8", "surrogateescape")) + (entry.kind == "dir")
        total += _BLOCK * (1 if name <= tarfile.LENGTH_NAME else 3) - (-(entry.size if entry.kind == "file" else 0) // _BLOCK) * _BLOCK
    return total


def config(architecture: Mapping[str, str], settings: Mapping[str, Any], layers: Sequence[Layer]) -> bytes:
    """The image configuration. ``created`` is the newest file's time, so that nothing but the content decides."""
    newest = max((entry.mtime for layer in layers for entry in layer.entries), default=0)
    created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(newest))
    document = dict(architecture, os="linux", created=created, config=dict(settings),
                    rootfs={"type": "layers", "diff_ids": [layer.digest for layer in layers]},
                    history=[{"created": created, "created_by": "gantry.webstack: %s" % layer.title} for layer in layers])
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("utf-8")


def archive(image: Image, opener: Opener, present: int = 0) -> Iterator[bytes]:
    """What ``docker load`` reads. The first ``present`` layers are named only: the engine has them.

    Raises FileChanged when a layer is not, byte for byte, what was measured.
    """
    name = image.id[len("sha256:"):] + ".json"
    paths = [layer.digest[len("sha256:"):] + ".tar" for layer in image.layers]
    manifest = json.dumps([{"Config": name, "RepoTags": [image.tag], "Layers": paths}]).encode("utf-8")
    small = [Entry(name, "file", 0o644, data=image.config, size=len(image.config)),
             Entry("manifest.json", "file", 0o644, data=manifest, size=len(manifest))]
    for entry in small:
        yield from list(stream([entry], opener))[:-1]
    for path, layer in list(zip(paths, image.layers))[present:]:
        yield _header(Entry(path, "file", 0o644, size=layer.size))
        digest = hashlib.sha256()
        for chunk in stream(layer.entries, opener):
            digest.update(chunk)
            yield chunk
        if "sha256:" + digest.hexdigest() != layer.digest:
            raise FileChanged("a file of the layer %r changes while it is read" % layer.title)
    yield _END


def archive_size(image: Image, present: int = 0) -> int:
    """Bytes of the layers that ``archive`` sends."""
    return sum(layer.size for layer in image.layers[present:])


def common_layers(image: Image, known: Iterable[Sequence[str]]) -> int:
    """How many of the image's first layers an engine has, given the diff_ids of its images: layers count by their whole chain."""
    wanted = [layer.digest for layer in image.layers]
    best = 0
    for digests in known:
        count = 0
        while count < min(len(wanted), len(digests)) and wanted[count] == digests[count]:
            count += 1
        best = max(best, count)
    return best


def coalesce(chunks: Iterable[bytes], size: int = CHUNK) -> Iterator[bytes]:
    """Join small pieces, so that an upload is not one write per tar header."""
    buffer, length = [], 0
    for chunk in chunks:
        buffer.append(chunk)
        length += len(chunk)
        if length >= size:
            yield b"".join(buffer)
            buffer, length = [], 0
    if buffer:
        yield b"".join(buffer)


def hardlinked(entries: Iterable[Entry], inodes: Mapping[str, Any]) -> List[Entry]:
    """Turn files that share an inode (``inodes``: path -> its identity, for those with several names) into hard links to the first."""
    first: Dict[Any, str] = {}
    done = []
    for entry in ordered(entries):
        identity = inodes.get(entry.path) if entry.kind == "file" else None
        if identity is not None and identity in first:
            entry = entry._replace(kind="hard", target=first[identity], size=0, source="", stamp=0)
        elif identity is not None:
            first[identity] = entry.path
        done.append(entry)
    return done
