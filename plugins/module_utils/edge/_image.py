# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's image, harvested from the host: the layer that services share, and on it nginx with what it has loaded. No configuration, no key."""

from __future__ import annotations

import os
import re
import sys
from typing import Any, Dict, List, NamedTuple, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common import _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.common._proc import Process
from ansible_collections.gantry.webstack.plugins.module_utils.edge import _enter
from ansible_collections.gantry.webstack.plugins.module_utils.edge._configuration import Uses
from ansible_collections.gantry.webstack.plugins.module_utils.edge._mounts import Mount
from ansible_collections.gantry.webstack.plugins.module_utils.image import _accounts, _image, _layers
from ansible_collections.gantry.webstack.plugins.module_utils.image._closure import SEARCH_PATH, Closure, Host
from ansible_collections.gantry.webstack.plugins.module_utils.image._harvest import Harvest, System, made_file, packages
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs

ENTER = "/usr/local/lib/webstack/edge.py"
"""The program by which the container starts nginx, in its image."""

LABEL = _paths.LABEL + ".edge"
REPOSITORY = "webstack-edge"
_CONFIGURATION = ("/etc/nginx", "/etc/ssl/private", "/etc/letsencrypt")
"""Never in the image, whether nginx's configuration names them or not."""


class Harvested(NamedTuple):
    """The image, the Python in it, and the packages that it holds parts of."""

    image: _layers.Image
    interpreter: str
    packages: List[Dict[str, str]]


def program() -> str:
    """The text of ``_enter``, which a module carries with it."""
    loader: Any = _enter.__loader__
    return str(loader.get_source(_enter.__name__))


def interpreter() -> str:
    """The host's own Python, by which its services' images are made too; else the one that runs this module."""
    return os.path.realpath("/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable)


def secrets(fs: HostFs, paths: Sequence[str]) -> Dict[str, bytes]:
    """What stands in files that are not everybody's to read, by the words for a message."""
    found = {}
    for path in paths:
        real = fs.resolve(path).real
        stat = fs.lstat(real) if real else None
        if real and stat is not None and stat.kind == "file" and not stat.mode & 0o004:
            found["what stands in " + path] = (fs.read(real, 64 * 1024) or b"").strip()
    return {words: value for words, value in found.items() if _image.telling(value)}


def harvest(binary: str, arguments: Sequence[str], uses: Uses, mounts: Sequence[Mount], running: Sequence[Process]) -> Harvested:
    """Measure the image of the nginx that runs. Raises WebstackError, also when a file changes while it is read."""
    try:
        return _harvest(binary, arguments, uses, mounts, running)
    except _layers.FileChanged:
        return _harvest(binary, arguments, uses, mounts, running)
    except _layers.SecretFound as exc:
        raise WebstackError("nginx: %s; take it out of that file" % exc, **exc.details) from exc


def _harvest(binary: str, arguments: Sequence[str], uses: Uses, mounts: Sequence[Mount], running: Sequence[Process]) -> Harvested:
    fs = HostFs()
    source = Harvest(Host(fs))
    python = interpreter()
    version = re.search(r"python(3\.\d+)", os.path.basename(python))
    if version is None:
        raise WebstackError("the version of the host's Python %s is not known" % python)
    system = System(python, version.group(1))
    bottom = source.closure(system)
    closure = Closure(source.host, bottom)
    if not closure.add(binary):
        raise WebstackError("nginx's program %s does not exist on this host any more; reload or restart nginx first" % binary)
    for path in sorted(uses.modules | {path for process in running for path in process.maps if re.search(r"\.so(\.|$)", path)}):
        closure.add(path)
    covered = [mount.path for mount in mounts] + list(_CONFIGURATION)
    accounts = {"name": "nginx", "user": {"name": uses.user}, "uwsgi": {"options": {"gid": uses.group}}}
    passwd, group = _accounts.render(accounts, fs.text("/etc/passwd"), fs.text("/etc/group"))
    pid = os.path.join(os.path.realpath(os.path.dirname(uses.pid)), os.path.basename(uses.pid))
    own = [made_file("/etc/passwd", passwd.encode()), made_file("/etc/group", group.encode()), made_file(ENTER, program().encode()),
           _layers.Entry(pid, "link", 0o777, target=_paths.EDGE_PID)]
    entries = [entry for entry in source.extra_entries(closure) if not any((entry.path + "/").startswith(path + "/") for path in covered)]
    needles = secrets(fs, sorted(uses.files))
    layers = [_layers.measure("system", "system with Python " + system.version, source.shared_entries(system), fs.open, needles),
              _layers.measure("system", "nginx", with_parents(entries + own), fs.open, needles)]
    machine = os.uname().machine
    settings = {"Cmd": [python, ENTER, "run", os.path.join(_paths.EDGE_RUN, "offer.sock"), "--", binary, *arguments], "Env": ["PATH=" + ":".join(SEARCH_PATH)],
                "Labels": {LABEL: "nginx"}, "StopSignal": "SIGQUIT", "WorkingDir": "/"}
    config = _layers.config({"architecture": _image.architecture(machine)}, settings, layers)
    image = _layers.Image("nginx", "", config, layers)
    image = image._replace(tag="%s:%s" % (REPOSITORY, image.id[len("sha256:"):][:12]))
    return Harvested(image, python, packages([bottom, closure], source.host))


def with_parents(entries: List[_layers.Entry]) -> List[_layers.Entry]:
    """Add the directories above every entry that are not there."""
    known = {entry.path: entry for entry in entries}
    for path in list(known):
        parent = os.path.dirname(path)
        while parent != "/" and parent not in known:
            known[parent] = _layers.Entry(parent, "dir", 0o755)
            parent = os.path.dirname(parent)
    return list(known.values())


def have(client: Any, found: Harvested) -> str:
    """The engine's id of the image; it is loaded when the engine lacks it. Raises WebstackError."""
    known = _image.find_image(client, found.image)
    if known is None:
        _image.load(client, HostFs(), found.image)
        known = _image.find_image(client, found.image)
    if known is None:
        raise WebstackError("the engine took nginx's image %s but does not list it" % found.image.tag)
    return known
