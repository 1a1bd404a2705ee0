# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The one door to the Docker Engine: the docker SDK for Python, and its errors as ours."""

from __future__ import annotations

import contextlib
import re
from typing import Any, Iterator, Optional

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

try:
    import docker
    import docker.errors
    import requests.exceptions
except ImportError as exc:
    DOCKER_IMPORT_ERROR: Optional[ImportError] = exc
else:
    DOCKER_IMPORT_ERROR = None

REMEDY = "run the role gantry.webstack.engine on this host first"


class EngineMissing(WebstackError):
    """There is no docker SDK on the target, or no engine answers."""


@contextlib.contextmanager
def engine(timeout: int = 120) -> Iterator[Any]:
    """A docker.DockerClient. ``timeout`` is in seconds per call. Raises EngineMissing; engine errors become WebstackError."""
    if DOCKER_IMPORT_ERROR is not None:
        raise EngineMissing("the docker SDK for Python is not installed for the target's Python (%s); %s" % (DOCKER_IMPORT_ERROR, REMEDY))
    try:
        client = docker.from_env(timeout=timeout)
        client.ping()
    except (docker.errors.DockerException, requests.exceptions.RequestException) as exc:
        raise EngineMissing("no Docker Engine answers on this host (%s); %s" % (exc, REMEDY)) from exc
    try:
        with errors():
            yield client
    finally:
        client.close()


@contextlib.contextmanager
def errors() -> Iterator[None]:
    """The engine's errors as WebstackError."""
    try:
        yield
    except docker.errors.APIError as exc:
        raise WebstackError("the Docker Engine refused: %s" % (exc.explanation or exc)) from exc
    except requests.exceptions.RequestException as exc:
        raise WebstackError("the connection to the Docker Engine broke: %s" % exc) from exc


def find_container(client: Any, name: str) -> Any:
    """The container of that name (a docker Container), or None."""
    try:
        return client.containers.get(name)
    except docker.errors.NotFound:
        return None


def remove_container(container: Any, stop_timeout: int = 0) -> None:
    """Stop (``stop_timeout`` seconds to end by itself) and remove; one that is gone already is fine."""
    with contextlib.suppress(docker.errors.NotFound):
        if stop_timeout:
            container.stop(timeout=stop_timeout)
        container.remove(force=True)


def repository(name: str) -> str:
    """The image's name for a service: lower case, and separators between letters or digits only (Docker's reference grammar)."""
    return "webstack/" + re.sub(r"[^a-z0-9]*[._][^a-z0-9]*", lambda match: match.group()[:1] if match.group()[0] in "._" else "-", name.lower()).strip("._-")
