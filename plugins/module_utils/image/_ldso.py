# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Finding shared libraries as the dynamic linker does (ld.so(8)), and its cache file (glibc: elf/cache.c, sysdeps/generic/dl-cache.h)."""

from __future__ import annotations

import os
import struct
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from ansible_collections.gantry.webstack.plugins.module_utils.image._elf import TRIPLETS, Elf
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Fs

CACHE_FILE = "/etc/ld.so.cache"

_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER = struct.Struct("=20sIIB3xI12x")  # magic, nlibs, len_strings, flags, extension_offset, unused
_ENTRY = struct.Struct("=iIIIQ")          # flags, key, value, osversion, hwcap


class CacheEntry(NamedTuple):
    """One library of the cache; ``flags`` say its kind and machine, ``hwcap`` is not 0 for a processor's special build."""

    flags: int
    soname: str
    path: str
    hwcap: int = 0


def parse_cache(data: bytes) -> List[CacheEntry]:
    """Entries of ld.so.cache in their order; none when it is not in glibc's format (of this machine's byte order).

    The file is the new format alone, or that behind the old one (ldconfig --format=compat); offsets count from the new header.
    """
    start = data.find(_MAGIC)
    if start < 0 or len(data) < start + _HEADER.size:
        return []
    count = _HEADER.unpack_from(data, start)[1]

    def text(offset: int) -> str:
        return data[start + offset:data.index(b"\0", start + offset)].decode("utf-8", "surrogateescape")

    entries = []
    try:
        for index in range(count):
            flags, key, value, dummy, hwcap = _ENTRY.unpack_from(data, start + _HEADER.size + index * _ENTRY.size)
            entries.append(CacheEntry(flags, text(key), text(value), hwcap))
    except (struct.error, ValueError):
        return []
    return entries


def render_cache(entries: Sequence[CacheEntry]) -> bytes:
    """A cache file with these entries. They must be in the order of an existing cache: the linker searches it by bisection."""
    strings, offsets = b"", []
    base = _HEADER.size + len(entries) * _ENTRY.size
    for entry in entries:
        key = base + len(strings)
        strings += os.fsencode(entry.soname) + b"\0"
        value = base + len(strings)
        strings += os.fsencode(entry.path) + b"\0"
        offsets.append((key, value))
    endian = 2 if struct.pack("=H", 1) == b"\1\0" else 3  # cache_file_new_flags_endian_little, _big
    table = b"".join(_ENTRY.pack(entry.flags, key, value, 0, 0) for entry, (key, value) in zip(entries, offsets))
    return _HEADER.pack(_MAGIC, len(entries), len(strings), endian, 0) + table + strings


class Linker:
    """Finds what a file NEEDs. ``elf`` gives the parsed ELF at a real path, or None."""

    def __init__(self, fs: Fs, cache: Iterable[CacheEntry], elf: Callable[[str], Optional[Elf]]) -> None:
        self.fs = fs
        self.elf = elf
        self.cache: Dict[str, List[str]] = {}
        for entry in cache:
            if not entry.hwcap:
                self.cache.setdefault(entry.soname, []).append(entry.path)

    @staticmethod
    def expand(path: str, origin: str, elf: Elf) -> str:
        """Replace $ORIGIN and $LIB (ld.so(8), "Dynamic string tokens")."""
        library = "lib/" + TRIPLETS.get((elf.machine, elf.bits), "")
        for token, value in (("ORIGIN", origin), ("LIB", library)):
            path = path.replace("${%s}" % token, value).replace("$" + token, value)
        return os.path.join(origin, path)

    def search_path(self, elf: Elf, origin: str, inherited: Sequence[str] = (), library_path: Sequence[str] = ()) -> List[str]:
        """Directories before the cache; ``inherited`` are the expanded RPATHs of what loaded this file."""
        dirs: List[str] = []
        if not elf.runpath:
            dirs += [self.expand(path, origin, elf) for path in elf.rpath] + list(inherited)
        dirs += list(library_path)
        return dirs + [self.expand(path, origin, elf) for path in elf.runpath]

    def find(self, name: str, elf: Elf, origin: str, inherited: Sequence[str] = (), library_path: Sequence[str] = ()) -> Optional[str]:
        """The path (not resolved) of the library ``name`` for a file whose directory is ``origin``; None when there is none that fits."""
        if "/" in name:
            return self._fitting(self.expand(name, origin, elf), elf)
        triplet = TRIPLETS.get((elf.machine, elf.bits), "")
        wide = ["/lib64", "/usr/lib64"] if elf.bits == 64 else ["/lib32", "/usr/lib32"]
        default = ["/lib/" + triplet, "/usr/lib/" + triplet] + wide + ["/lib", "/usr/lib"]
        candidates = [os.path.join(path, name) for path in self.search_path(elf, origin, inherited, library_path)]
        candidates += self.cache.get(name, []) + [os.path.join(path, name) for path in default]
        return next((found for found in (self._fitting(path, elf) for path in candidates) if found), None)

    def _fitting(self, path: str, elf: Elf) -> Optional[str]:
        real = self.fs.resolve(path).real
        other = self.elf(real) if real is not None else None
        return path if other is not None and other.fits(elf) else None

    def chain(self, elf: Elf, origin: str, inherited: Sequence[str]) -> Tuple[str, ...]:
        """The RPATHs that the libraries loaded for this file inherit."""
        own = [] if elf.runpath else [self.expand(path, origin, elf) for path in elf.rpath]
        return tuple(dict.fromkeys(own + list(inherited)))
