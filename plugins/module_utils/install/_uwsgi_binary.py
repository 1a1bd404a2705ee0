# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a uWSGI program and its plugins can do: the options they know and the Python they are built for."""

from __future__ import annotations

import difflib
import functools
import os
import re
from typing import Any, Dict, FrozenSet, Iterable, List, Mapping, Optional, Sequence, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError, WebstackModule, run
from ansible_collections.gantry.webstack.plugins.module_utils.image import _elf
from ansible_collections.gantry.webstack.plugins.module_utils.install import _uwsgi_values

PLUGIN_DIRS = ("/usr/lib/uwsgi/plugins", "/usr/lib/uwsgi")


def options_in(text: str) -> FrozenSet[str]:
    """The option names, long and short, in the output of ``uwsgi --help``. Pure."""
    names: Set[str] = set()
    for line in text.splitlines():
        match = re.match(r"\s+(?:-(\S)\|)?--([\w.-]+)", line)
        if match:
            names.update(group for group in match.groups() if group)
    return frozenset(names)


@functools.lru_cache(maxsize=None)
def known_options(binary: str, plugins: Tuple[str, ...], texts: Tuple[str, ...] = ()) -> Tuple[FrozenSet[str], str]:
    """The options that a uWSGI program knows with these plugins, and what it says of ``texts``, options that are given a text.

    It reads its command line up to ``--help``, and says so when one of them takes no value. Raises WebstackError when it does not start.
    """
    argv = [binary]
    for plugin in plugins:
        argv += ["--plugin", plugin]
    asked = run(argv + ["--%s=-" % name for name in texts] + ["--help"], check=False)
    done = asked if options_in(asked.stdout) or not texts else run(argv + ["--help"], check=False)
    names = options_in(done.stdout)
    if not names:
        said = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise WebstackError("%s does not start%s: %s" % (binary, " with the plugins %s" % ", ".join(plugins) if plugins else "",
                                                         said[-1] if said else "no output"))
    return names, "" if done is asked else asked.stderr


def unknown_option(given: Iterable[str], known: FrozenSet[str]) -> Optional[str]:
    """The first option that is not known, as a clause with the nearest known ones; None when all are. Pure."""
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 2)
            return "%r%s" % (name, ", did you mean %s?" % " or ".join(near) if near else "")
    return None


def plugin_names(value: Any) -> List[str]:
    """The plugins in a ``plugins`` option: a list, or names with commas; a number before a colon is a modifier. Pure."""
    parts = value if isinstance(value, (list, tuple)) else str(value or "").split(",")
    return [part.strip().rpartition(":")[2] for part in map(str, parts) if part.strip()]


def python_of_libraries(needed: Sequence[str]) -> str:
    """``3.11`` out of NEEDED entries such as libpython3.11.so.1.0, or an empty text. Pure."""
    for name in needed:
        match = re.match(r"libpython(\d+\.\d+)", name)
        if match:
            return match.group(1)
    return ""


def plugin_python(plugin: str, directories: Sequence[str] = PLUGIN_DIRS) -> str:
    """The Python that a plugin is linked with; empty for one that is none of Python's or cannot be found."""
    places = [plugin] if plugin.startswith("/") else [os.path.join(place, plugin + "_plugin.so") for place in directories]
    for path in places:
        if os.path.exists(path):
            with open(path, "rb") as handle:
                elf = _elf.parse(handle)
            return python_of_libraries(elf.needed) if elf else ""
    return ""


def minor(version: str) -> str:
    """``3.11`` of ``3.11.2``. Pure."""
    return ".".join(version.split(".")[:2])


def venv_python(venv: str) -> str:
    """The Python version that a virtual environment was made with (pyvenv.cfg), or an empty text."""
    try:
        with open(os.path.join(venv, "pyvenv.cfg"), encoding="utf-8") as handle:
            match = re.search(r"(?m)^version(?:_info)?\s*=\s*(\d+\.\d+)", handle.read())
    except OSError:
        return ""
    return match.group(1) if match else ""


def interpreter_python(interpreter: str) -> str:
    """The version that an interpreter says of itself, or an empty text when it is not there."""
    if not os.path.exists(interpreter):
        return ""
    return run([interpreter, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"], check=False).stdout.strip()


_SERVICE = {
    "name": {"type": "str", "required": True},
    "options": {"type": "dict", "required": True},
    "binary": {"type": "path"},
    "python_version": {"type": "str"},
    "interpreter": {"type": "path"},
    "venv": {"type": "path", "required": True},
}
SPEC = {
    "services": {"type": "list", "elements": "dict", "required": True, "options": _SERVICE},
    "binary": {"type": "path", "default": "/usr/bin/uwsgi"},
}
"""argument_spec of the module uwsgi_check."""


class UwsgiCheck(WebstackModule):
    """The module's behaviour; see the documentation of uwsgi_check."""

    def run(self) -> None:
        somaxconn = _somaxconn()
        texts: Dict[Tuple[str, Tuple[str, ...]], Set[str]] = {}
        for service in self.params["services"]:
            texts.setdefault(self._program(service), set()).update(_uwsgi_values.texts(service["options"]))
        for service in self.params["services"]:
            program = self._program(service)
            self._check(service, somaxconn, program, tuple(sorted(texts[program])))

    def _program(self, service: Mapping[str, Any]) -> Tuple[str, Tuple[str, ...]]:
        """The uWSGI program that runs a service, and the plugins that it loads; Python's is built into one from PyPI."""
        binary = service["binary"] or self.params["binary"]
        plugins = plugin_names(service["options"].get("plugins", service["options"].get("plugin")))
        return binary, tuple(plugin for plugin in plugins if binary.startswith("/usr/bin/") or plugin not in ("python", "python3"))

    def _check(self, service: Mapping[str, Any], somaxconn: int, program: Tuple[str, Tuple[str, ...]], texts: Tuple[str, ...]) -> None:
        name, options = service["name"], service["options"]
        binary, plugins = program
        listen = str(options.get("listen", 0))
        if listen.isdigit() and int(listen) > somaxconn:
            raise WebstackError("service %s: uwsgi.options.listen is %s, but this host allows %d (net.core.somaxconn); raise the one or lower the other"
                                % (name, listen, somaxconn))
        wrong = _uwsgi_values.not_a_number(options)
        if wrong:
            raise WebstackError("service %s: uwsgi.options.%s" % (name, wrong))
        if not os.path.exists(binary):
            return  # of an environment that is still to be made; its vassal is tried out before it serves
        if binary.startswith("/usr/bin/"):
            self._fit(service, plugins)
        known, said = known_options(binary, plugins, texts)
        unknown = unknown_option(options, known)
        if unknown:
            version = run([binary, "--version"], check=False).stdout.strip()
            raise WebstackError("service %s: uwsgi.options: uWSGI %s%s has no option %s" % (
                name, version, " with the plugins %s" % ", ".join(plugins) if plugins else "", unknown))
        wrong = _uwsgi_values.flag_with_text(said, options)
        if wrong:
            raise WebstackError("service %s: uwsgi.options.%s" % (name, wrong))

    def _fit(self, service: Mapping[str, Any], plugins: Sequence[str]) -> None:
        """Refuse a plugin of another Python than the service's, known from its definition or else from what is there."""
        wanted, why = minor(service["python_version"] or ""), "python.version"
        if not wanted and service["interpreter"]:
            wanted, why = interpreter_python(service["interpreter"]), service["interpreter"]
        if not wanted:
            wanted, why = venv_python(service["venv"]), service["venv"]
        for plugin in plugins:
            built = plugin_python(plugin)
            if built and wanted and built != wanted:
                raise WebstackError(
                    "service %s: uWSGI's plugin %s is built for Python %s, but the service wants Python %s (%s); install the plugin for it and name it in "
                    "uwsgi.options.plugins, or have uWSGI in the service's own lock and set uwsgi.origin to venv"
                    % (service["name"], plugin, built, wanted, why))


def _somaxconn() -> int:
    try:
        with open("/proc/sys/net/core/somaxconn", encoding="ascii") as handle:
            return int(handle.read())
    except (OSError, ValueError):
        return 1 << 30
