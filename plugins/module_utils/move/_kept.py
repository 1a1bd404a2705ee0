# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The images of a service that are kept on its host: the one that runs, the one before it, and the ones that served last.

The journal's ``images`` is a list of {id, tag, at, service, release}, the one that was taken up first at its beginning: ``at`` is when its
container took the seam (seconds since the epoch), ``service`` the definition it served by, ``release`` the release of the host's code that
it was made of (None where the collection brings no code). Going back to an image leaves its time, so that ``previous`` goes further back.
"""

from __future__ import annotations

import contextlib
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from ansible_collections.gantry.webstack.plugins.module_utils.common import _engine, _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _releases

KEEP = 3
"""Images that stay beside the one that runs, unless a role's option says otherwise."""

Entry = Dict[str, Any]


def of(journal: _journal.Journal) -> List[Entry]:
    """The kept images."""
    return list(journal.data.get("images", []))


def short(image: str) -> str:
    """An image's id as people write it: 12 hexadecimal digits."""
    return image.rpartition(":")[2][:12]


def noted(images: Sequence[Entry], entry: Entry, went_back: bool = False) -> List[Entry]:
    """``images`` with the one that has taken the seam; one that was gone back to keeps its time. Pure."""
    former = next((item for item in images if item["id"] == entry["id"]), None)
    entry = {**entry, "at": former["at"]} if former is not None and went_back else entry
    return sorted([item for item in images if item["id"] != entry["id"]] + [entry], key=lambda item: float(item["at"]))


def split(images: Sequence[Entry], running: str, keep: int) -> List[Entry]:
    """The images that stay: ``running``, the one before it, and ``keep`` in all beside it. Pure."""
    times = {item["id"]: item["at"] for item in images}
    needed = [running] + [item for item in [_releases.previous(times, running)] if item]
    gone = _releases.surplus(list(times), times, needed, keep)
    return [item for item in images if item["id"] not in gone]


def choose(journal: _journal.Journal, wanted: str) -> Entry:
    """The kept image that ``wanted`` means: ``previous``, an id or tag, or the beginning of an id. Raises WebstackError, with what there is."""
    images, running = of(journal), journal.candidate.get("image", "")
    if wanted == "previous":
        before = _releases.previous({item["id"]: item["at"] for item in images}, running)
        found = [item for item in images if item["id"] == before]
    else:
        bare = wanted.rpartition(":")[2]
        found = [item for item in images if wanted in (item["id"], item["tag"])] or \
            [item for item in images if bare and (item["id"].rpartition(":")[2].startswith(bare) or item["tag"].rpartition(":")[2].startswith(bare))]
    if len(found) != 1:
        raise WebstackError("service %s: it has no %s image%s on this host; there are %s" % (
            journal.name, "previous" if wanted == "previous" else "single" if found else "kept", "" if wanted == "previous" else " %r" % wanted,
            ", ".join(short(item["id"]) + (" (current)" if item["id"] == running else "") for item in images) or "none"))
    return found[0]


def tag_of(client: Any, service: str, image: str) -> str:
    """The image's name on this host, by the engine; its id where it has none any more."""
    with contextlib.suppress(_engine.docker.errors.ImageNotFound):
        for tag in client.api.inspect_image(image).get("RepoTags") or []:
            if tag.startswith(_engine.repository(service) + ":"):
                return str(tag)
    return image


def superfluous(listed: Sequence[Mapping[str, Any]], service: str, kept: Set[str]) -> List[str]:
    """The tags of the engine's images of a service that are not ``kept`` (ids). Names that others gave an image keep it. Pure."""
    return sorted(tag for item in listed if item["Id"] not in kept for tag in item.get("RepoTags") or [] if tag.startswith(_engine.repository(service) + ":"))


def note(client: Any, journal: _journal.Journal, event: str, keep: Optional[int] = None, went_back: bool = False, **changes: Any) -> None:
    """Record ``event`` with the image that serves now among the kept ones, then remove the others from the engine."""
    image = journal.candidate["image"]
    known = {item["id"]: item["at"] for item in of(journal)}
    if image in known and not went_back and known[image] == max(known.values()):
        went_back = True  # the same image in another container is no new version
    entry = {"id": image, "tag": tag_of(client, journal.name, image), "at": journal.at("switched") or 0.0, "service": journal.service,
             "release": _releases.Releases(journal.name).record.get("serving")}
    images = split(noted(of(journal), entry, went_back), image, KEEP if keep is None else keep)
    journal.record(event, images=images, **changes)
    listed = client.api.images(filters={"label": "%s.service=%s" % (_paths.LABEL, journal.name)})
    for tag in superfluous(listed, journal.name, {item["id"] for item in images}):
        with contextlib.suppress(_engine.docker.errors.APIError):  # another container is made of it
            client.api.remove_image(tag)
