# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Images in a registry. A tag is made of the image's digest, so what a registry has under it is the image."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.image._layers import Image

try:
    import docker.errors
except ImportError:
    pass  # _engine.engine says so


def reference(registry: str, image: Image) -> str:
    """An image's name in a registry: ``registry`` (HOST[:PORT][/PATH]), then the repository it has on the host, without the tag. Pure."""
    return "%s/%s" % (registry.rstrip("/"), image.tag.rpartition(":")[0])


def digest_there(client: Any, registry: str, image: Image, auth: Optional[Mapping[str, str]]) -> Optional[str]:
    """The digest of the image's manifest in the registry; None when it is not there. Raises WebstackError when the registry does not answer."""
    name = "%s:%s" % (reference(registry, image), image.tag.rpartition(":")[2])
    try:
        return str(client.api.inspect_distribution(name, auth_config=dict(auth) if auth else None)["Descriptor"]["digest"])
    except docker.errors.NotFound:
        return None
    except docker.errors.APIError as exc:
        said = str(exc.explanation or exc)
        if "manifest unknown" in said or "not found" in said.lower() or "name unknown" in said:
            return None
        raise refused(image, registry, said) from exc


def push(client: Any, registry: str, image: Image, found: str, auth: Optional[Mapping[str, str]]) -> str:
    """Send the image that the engine knows by the id ``found``; its manifest's digest. Layers that the registry has are not sent again."""
    name, tag = reference(registry, image), image.tag.rpartition(":")[2]
    client.api.tag(found, name, tag)
    digest = ""
    try:
        for message in client.api.push(name, tag=tag, stream=True, decode=True, auth_config=dict(auth) if auth else None):
            if message.get("error"):
                raise refused(image, registry, message["error"])
            digest = (message.get("aux") or {}).get("Digest", digest)
    finally:
        client.api.remove_image("%s:%s" % (name, tag), noprune=True)  # the name only: the image has its own
    return digest


def refused(image: Image, registry: str, said: str) -> WebstackError:
    """The registry's refusal in one sentence."""
    return WebstackError("service %s: the registry %s did not take its image: %s; check its name and credentials, and run again"
                         % (image.name, registry, " ".join(said.split())))
