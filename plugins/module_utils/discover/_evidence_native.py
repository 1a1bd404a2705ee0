# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a service needs of the system beside Python: shared libraries with their packages, time zone, certificates, locales, fonts, named files.

Sources: ld.so(8), locale(7), tzset(3), fonts-conf(5), update-ca-certificates(8).
"""

from __future__ import annotations

import mmap
import os
import re
from typing import Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.image import _closure

Owner = Callable[[str], Optional[str]]

_FONT_DIRS = ("/usr/share/fonts", "/usr/local/share/fonts", "/usr/share/texmf/fonts")
_LOCALES = "/usr/lib/locale"
_CA_FILE = "/etc/ssl/certs/ca-certificates.crt"
_CA_TOOL = "/usr/sbin/update-ca-certificates"
_PROGRAM_DIRS = ("/usr/bin/", "/usr/sbin/", "/bin/", "/sbin/", "/usr/local/bin/", "/usr/local/sbin/", "/usr/games/")
_EVERYBODYS = re.compile(r"base-files|base-passwd|coreutils|bash|dash|systemd.*|nginx.*|uwsgi.*|libc-bin|libc6|python3.*|libpython3.*|login|passwd|"
                         r"hostname|netbase|mawk|sed|grep")
"""Packages whose files are named everywhere, and that an image has or that are no business of a service's."""
_SHELLS = frozenset(("sh", "bash", "dash", "env", "python", "python3", "uwsgi", "uwsgi-core", "nginx", "systemctl", "service", "sudo", "su"))


class Libraries(NamedTuple):
    """``found``: real paths of all libraries that are needed; ``missing``: (file, library) that this host does not have."""

    found: Set[str]
    missing: Set[Tuple[str, str]]


def libraries(host: _closure.Host, roots: Iterable[str], library_path: Sequence[str] = (), loaded: Iterable[str] = ()) -> Libraries:
    """Close over the ELF files' NEEDED as the dynamic linker does, with rpath, runpath and LD_LIBRARY_PATH.

    ``loaded`` are files that the process has mapped: a name among them is not missing, however it was found.
    """
    names = {os.path.basename(path) for path in loaded}
    done = Libraries(set(), set())
    seen: Set[Tuple[str, Tuple[str, ...]]] = set()
    todo: List[Tuple[str, Tuple[str, ...]]] = []
    for root in roots:
        real = host.fs.resolve(root).real
        if real is not None:
            todo.append((real, ()))
    while todo:
        path, inherited = todo.pop()
        if (path, inherited) in seen:
            continue
        seen.add((path, inherited))
        item = host.fs.lstat(path)
        elf = host.elf(path) if item is not None and item.kind == "file" else None
        if elf is None:
            continue
        origin = os.path.dirname(path)
        chain = host.linker.chain(elf, origin, inherited)
        if elf.interp and host.fs.resolve(elf.interp).real:
            done.found.add(host.fs.resolve(elf.interp).real or "")
        for name in elf.needed:
            place = host.linker.find(name, elf, origin, inherited, library_path)
            real = host.fs.resolve(place).real if place else None
            if real is not None:
                done.found.add(real)
                todo.append((real, chain))
            elif os.path.basename(name) not in names:
                done.missing.add((path, name))
    return done


def named_libraries(host: _closure.Host, names: Iterable[str]) -> Dict[str, str]:
    """{name: path} of libraries that code loads by name (ctypes, cffi): ``magic``, ``libmagic.so.1``, or a path."""
    found: Dict[str, str] = {}
    cache = host.linker.cache
    for name in sorted(set(names)):
        if name.startswith("/"):
            candidates = [name]
        elif ".so" in name:
            candidates = cache.get(name, [])
        else:
            candidates = [path for soname, paths in sorted(cache.items()) if re.match(r"lib%s\.so(\.|$)" % re.escape(name), soname) for path in paths]
        real = next((item for item in (host.fs.resolve(path).real for path in candidates) if item), None)
        if real is not None:
            found[name] = real
    return found


def surroundings(owner: Owner, maps: Iterable[str], libs: Iterable[str], named: Iterable[str], fonts: Callable[[], Iterable[str]]) -> Set[str]:
    """Paths whose packages the service needs beside its libraries: its time zone, certificates, fonts, and files that it names.

    ``named`` are paths that code, environment and options name; ``fonts`` lists the packaged files of fonts, when one may draw with any of them.
    """
    found = {os.path.realpath("/etc/localtime")}
    names = {os.path.basename(path) for path in [*maps, *libs]}
    if any(name.startswith(("libssl.so", "libgnutls.so", "_ssl.")) for name in names) and os.path.exists(_CA_FILE):
        found.add(_CA_TOOL)
    if any(name.startswith("libfontconfig.so") for name in names):
        found |= set(fonts())
    found |= {path for path in maps if path.startswith(_FONT_DIRS)}
    for path in named:
        if path.startswith(("/usr/", "/etc/", "/var/lib/", "/opt/")) and not path.startswith(_PROGRAM_DIRS) and os.path.isfile(path):
            key = owner(path)
            if key and not _EVERYBODYS.fullmatch(key.split(":")[0]):
                found.add(path)
        elif path.startswith(_FONT_DIRS) and os.path.isdir(path):
            found |= {item for item in fonts() if item.startswith(path.rstrip("/") + "/")}
    return found


def named_programs(named: Mapping[str, str]) -> List[str]:
    """Programs that are named by their path, such as ``WKHTMLTOPDF = "/usr/local/bin/wkhtmltopdf"``."""
    return sorted(path for path in named if path.startswith(_PROGRAM_DIRS) and os.path.basename(path) not in _SHELLS
                  and not re.match(r"(python|pip|apt|dpkg|uwsgi)", os.path.basename(path)) and os.path.isfile(path) and os.access(path, os.X_OK))


def locales(environment: Mapping[str, str], wanted: Iterable[str], top: str = _LOCALES,
            has: Optional[Callable[[str], bool]] = None) -> Tuple[Dict[str, str], List[str]]:
    """({directory of a locale: who asks}, remarks): the locales of the environment and of setlocale() in the code.

    glibc finds a locale in the archive or in a directory of its own (localedef(1)); the image has the archive.
    """
    asked = {value: "environment variable %s" % name for name, value in sorted(environment.items(), reverse=True) if name == "LANG" or name.startswith("LC_")}
    asked.update({value: "the code" for value in wanted if value not in asked})
    found: Dict[str, str] = {}
    remarks: List[str] = []
    for value, who in sorted(asked.items()):
        if not re.fullmatch(r"[a-z]{2,3}_[A-Z]{2}(\.[\w-]+)?(@\w+)?|C\.[\w-]+", value):
            continue
        place = _locale_dir(value, top)
        if place and not place.endswith(("/C.utf8", "/C.UTF-8")):
            found[place] = "%s asks for the locale %s" % (who, value)
        elif not place and not value.startswith("C.") and not (has or _in_archive)(value):
            remarks.append("%s asks for the locale %s, which this host does not have" % (who, value))
    return found, remarks


def _locale_dir(value: str, top: str) -> str:
    language, dot, rest = value.partition(".")
    codeset, at, modifier = rest.partition("@")
    spellings = {value, language + dot + re.sub(r"[^a-z0-9]", "", codeset.lower()) + at + modifier}
    return next((path for path in (os.path.join(top, name) for name in sorted(spellings)) if os.path.isdir(path)), "")


def _in_archive(value: str) -> bool:
    """The archive holds names as they were normalized: de_DE.utf8 (glibc: locale/programs/locarchive.c)."""
    language, dot, codeset = value.partition(".")
    wanted = (language + dot + re.sub(r"[^a-z0-9@]", "", codeset.lower())).encode()
    try:
        with open(_LOCALES + "/locale-archive", "rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as archive:
            return archive.find(wanted + b"\0") >= 0
    except (OSError, ValueError):
        return False
