"""Cuts what was lent to a build out of the image that it made."""

from __future__ import annotations

import io
import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from . import BenchError, logged, output

LENT_NAMES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
"""By which variables pip, ansible-galaxy and git find certificates."""


def without(config: dict[str, Any], layer: int, path: str) -> dict[str, Any]:
    """An image's configuration without one layer and without the variables that name ``path``. Pure."""
    made = json.loads(json.dumps(config))
    del made["rootfs"]["diff_ids"][layer]
    filled = [index for index, step in enumerate(made.get("history", [])) if not step.get("empty_layer")]
    if len(filled) > layer:
        del made["history"][filled[layer]]
    made["history"] = [step for step in made.get("history", []) if path not in step.get("created_by", "")]
    for part in ("config", "container_config"):
        if made.get(part, {}).get("Env"):
            made[part]["Env"] = [word for word in made[part]["Env"] if not word.endswith(f"={path}")]
    return made


def holders(archive: tarfile.TarFile, layers: list[str], path: str) -> list[int]:
    """Which layers have something at ``path``."""
    found = []
    for index, name in enumerate(layers):
        with tarfile.open(fileobj=archive.extractfile(name)) as layer:
            if any(member.name.lstrip("./") == path.lstrip("/") for member in layer):
                found.append(index)
    return found


def cut(image: str, tag: str, path: str, work: Path) -> None:
    """Load ``image`` once more as ``tag``, without the one layer that holds the file ``path`` and nothing else.

    :param work: a file that may be written; it is removed again. Raises BenchError when ``path`` is in more layers than one.
    """
    logged(["docker", "save", "--output", str(work), image], "ee", hint="Look whether the disk is full.")
    try:
        with tarfile.open(work) as archive:
            told = json.load(archive.extractfile("manifest.json"))[0]  # type: ignore[arg-type]
            config = json.load(archive.extractfile(told["Config"]))  # type: ignore[arg-type]
            found = holders(archive, told["Layers"], path)
            if len(found) != 1:
                raise BenchError(f"{path} is in {len(found)} layers of {image} instead of one; the image was not tagged {tag}")
            made = json.dumps(without(config, found[0], path)).encode()
            layers = [name for index, name in enumerate(told["Layers"]) if index != found[0]]
            _load(archive, made, layers, tag)
    finally:
        work.unlink(missing_ok=True)
    if path in (output(["docker", "image", "inspect", tag]) or path) or path in (output(["docker", "history", "--no-trunc", tag]) or path):
        raise BenchError(f"{tag} still names {path}")


def _load(archive: tarfile.TarFile, config: bytes, layers: list[str], tag: str) -> None:
    """Stream an image of these layers of the archive into the engine."""
    loading = subprocess.Popen(["docker", "load", "--quiet"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    if loading.stdin is None:
        raise BenchError("docker load has no input")
    try:
        with tarfile.open(fileobj=loading.stdin, mode="w|") as out:
            for index, name in enumerate(layers):
                member = tarfile.TarInfo(f"{index}/layer.tar")
                member.size = archive.getmember(name).size
                out.addfile(member, archive.extractfile(name))
            texts = {"config.json": config, "manifest.json": json.dumps([{
                "Config": "config.json", "RepoTags": [tag], "Layers": [f"{index}/layer.tar" for index in range(len(layers))]}]).encode()}
            for name, text in texts.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                out.addfile(member, io.BytesIO(text))
        loading.stdin.close()
    except BrokenPipeError:
        pass  # what it says tells more
    said = loading.stderr.read().decode(errors="replace") if loading.stderr else ""
    if loading.wait() != 0:
        raise BenchError(f"docker load refused the image {tag}: {said.strip()}")
