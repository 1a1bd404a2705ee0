# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the dynamic linker reads of an ELF file (System V ABI, chapters 4 and 5). Pure but for reading the given file object."""

from __future__ import annotations

import struct
from typing import BinaryIO, Dict, List, NamedTuple, Optional, Tuple

MAGIC = b"\x7fELF"

_PT_LOAD, _PT_DYNAMIC, _PT_INTERP = 1, 2, 3
_DT_NEEDED, _DT_STRTAB, _DT_STRSZ, _DT_SONAME, _DT_RPATH, _DT_RUNPATH = 1, 5, 10, 14, 15, 29
_LIMIT = 64 * 1024 * 1024  # a larger table is a broken file

TRIPLETS = {
    (3, 32): "i386-linux-gnu", (62, 64): "x86_64-linux-gnu", (62, 32): "x86_64-linux-gnux32", (40, 32): "arm-linux-gnueabihf",
    (183, 64): "aarch64-linux-gnu", (21, 64): "powerpc64le-linux-gnu", (22, 64): "s390x-linux-gnu", (243, 64): "riscv64-linux-gnu",
    (258, 64): "loongarch64-linux-gnu",
}
"""Debian's multiarch directory by (e_machine, bits)."""


class Elf(NamedTuple):
    """One ELF file: ``bits`` is 32 or 64, ``machine`` is e_machine; the paths are unexpanded, in their order."""

    bits: int
    little: bool
    machine: int
    interp: Optional[str] = None
    needed: Tuple[str, ...] = ()
    soname: Optional[str] = None
    rpath: Tuple[str, ...] = ()
    runpath: Tuple[str, ...] = ()
    iconv: bool = False
    """It converts character sets by iconv(3), whose modules glibc loads by name."""

    def fits(self, other: "Elf") -> bool:
        """Whether both can live in one process."""
        return (self.bits, self.little, self.machine) == (other.bits, other.little, other.machine)


def parse(file: BinaryIO) -> Optional[Elf]:
    """Read an ELF file's dynamic section; None for what is not ELF or is too broken for a linker."""
    try:
        return _parse(file)
    except (struct.error, ValueError, IndexError):
        return None


def _read(file: BinaryIO, offset: int, size: int) -> bytes:
    if size > _LIMIT:
        raise ValueError("table too large")
    file.seek(offset)
    data = file.read(size)
    if len(data) < size:
        raise ValueError("file too short")
    return data


def _string(data: bytes, offset: int = 0) -> str:
    return data[offset:data.index(b"\0", offset)].decode("utf-8", "surrogateescape")


def _paths(data: bytes, offset: int) -> Tuple[str, ...]:
    return tuple(part for part in _string(data, offset).split(":") if part)


def _parse(file: BinaryIO) -> Optional[Elf]:
    file.seek(0)
    ident = file.read(16)
    if len(ident) < 16 or ident[:4] != MAGIC or ident[4] not in (1, 2) or ident[5] not in (1, 2):
        return None
    bits, little = (64 if ident[4] == 2 else 32), ident[5] == 1
    order = "<" if little else ">"
    if bits == 64:
        header = struct.unpack(order + "HHIQQQIHHH", _read(file, 16, 42))
        layout, pick = struct.Struct(order + "IIQQQQQQ"), (0, 2, 3, 5)  # p_type, p_offset, p_vaddr, p_filesz
        pair = struct.Struct(order + "qQ")
    else:
        header = struct.unpack(order + "HHIIIIIHHH", _read(file, 16, 30))
        layout, pick = struct.Struct(order + "IIIIIIII"), (0, 1, 2, 4)
        pair = struct.Struct(order + "iI")
    machine, phoff, phentsize, phnum = header[1], header[4], header[8], header[9]
    elf = Elf(bits, little, machine)
    if not phnum:
        return elf
    if phentsize < layout.size:
        raise ValueError("program header too small")
    table = _read(file, phoff, phentsize * phnum)
    segments = []
    for index in range(phnum):
        fields = layout.unpack_from(table, index * phentsize)
        segments.append(tuple(fields[column] for column in pick))
    return _dynamic(file, elf, segments, pair)


def _dynamic(file: BinaryIO, elf: Elf, segments: List[Tuple[int, ...]], pair: struct.Struct) -> Elf:
    """Fill in what PT_INTERP and PT_DYNAMIC say."""
    for kind, offset, _vaddr, size in segments:
        if kind == _PT_INTERP:
            elf = elf._replace(interp=_string(_read(file, offset, size) + b"\0"))
    section = next((_read(file, offset, size) for kind, offset, _vaddr, size in segments if kind == _PT_DYNAMIC), None)
    if not section:
        return elf
    tags: Dict[int, List[int]] = {}
    for tag, value in pair.iter_unpack(section[:len(section) // pair.size * pair.size]):
        if tag == 0:
            break
        tags.setdefault(tag, []).append(value)
    if _DT_STRTAB not in tags:
        return elf
    address = tags[_DT_STRTAB][0]
    for kind, offset, vaddr, size in segments:
        if kind == _PT_LOAD and vaddr <= address < vaddr + size:
            strings = _read(file, offset + address - vaddr, min(tags.get(_DT_STRSZ, [size])[0], vaddr + size - address))
            break
    else:
        raise ValueError("the string table is in no segment")
    return elf._replace(
        needed=tuple(_string(strings, offset) for offset in tags.get(_DT_NEEDED, [])),
        soname=next((_string(strings, offset) for offset in tags.get(_DT_SONAME, [])), None),
        rpath=next((_paths(strings, offset) for offset in tags.get(_DT_RPATH, [])), ()),
        runpath=next((_paths(strings, offset) for offset in tags.get(_DT_RUNPATH, [])), ()),
        iconv=b"\0iconv_open\0" in strings)
