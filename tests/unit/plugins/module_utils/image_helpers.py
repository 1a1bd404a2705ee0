# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A host in a dictionary, and ELF files made to measure, for the tests of the harvested image."""

from __future__ import annotations

import io
import os
import struct
from typing import BinaryIO, Dict, List, Optional, Sequence, Union

from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Fs, Stat

Node = Union[bytes, str, Stat]


class FakeFs(Fs):
    """Paths to content: bytes are a file, a string is a symlink's text, a Stat is anything else. Directories come by themselves.

    Files are executable when they are ELF or scripts, as on a host.
    """

    def __init__(self, nodes: Dict[str, Node]) -> None:
        super().__init__()
        self.nodes = dict(nodes)
        self.dirs = {"/"}
        for path in nodes:
            while path != "/":
                path = os.path.dirname(path)
                self.dirs.add(path)

    def lstat(self, path: str) -> Optional[Stat]:
        node = self.nodes.get(path)
        if isinstance(node, Stat):
            return node
        if isinstance(node, bytes):
            mode = 0o755 if node[:4] == b"\x7fELF" or node[:2] == b"#!" else 0o644
            return Stat("file", mode, size=len(node), mtime_ns=5 * 10 ** 9)
        if isinstance(node, str):
            return Stat("link", 0o777)
        return Stat("dir", 0o755) if path in self.dirs else None

    def readlink(self, path: str) -> str:
        node = self.nodes[path]
        assert isinstance(node, str)
        return node

    def listdir(self, path: str) -> List[str]:
        prefix = path.rstrip("/") + "/"
        return sorted({item[len(prefix):].split("/")[0] for item in list(self.nodes) + list(self.dirs) if item.startswith(prefix) and item != prefix})

    def open(self, path: str) -> BinaryIO:
        node = self.nodes[path]
        assert isinstance(node, bytes)
        return io.BytesIO(node)


def elf(needed: Sequence[str] = (), soname: str = "", rpath: str = "", runpath: str = "", interp: str = "", bits: int = 64, little: bool = True,
        machine: int = 62, more: Sequence[str] = ()) -> bytes:
    """An ELF file with one PT_LOAD over everything, a dynamic section and perhaps an interpreter."""
    order = "<" if little else ">"
    strings = b"\0"
    tags = []
    for tag, names in ((1, needed), (14, [soname]), (15, [rpath]), (29, [runpath]), (0x7FFFFFFF, more)):
        for name in filter(None, names):
            tags.append((tag, len(strings)))
            strings += name.encode() + b"\0"
    tags = [item for item in tags if item[0] != 0x7FFFFFFF]
    pair, count = struct.Struct(order + ("qQ" if bits == 64 else "iI")), 3 if interp else 2
    header_size, entry_size = (64, 56) if bits == 64 else (52, 32)
    dynamic_at = header_size + count * entry_size
    dynamic_size = pair.size * (len(tags) + 3)
    strings_at = dynamic_at + dynamic_size
    interp_at = strings_at + len(strings)
    size = interp_at + len(interp) + 1
    base = 0x10000
    dynamic = b"".join(pair.pack(*item) for item in [*tags, (5, base + strings_at), (10, len(strings)), (0, 0)])

    def segment(kind: int, offset: int, length: int) -> bytes:
        if bits == 64:
            return struct.pack(order + "IIQQQQQQ", kind, 4, offset, base + offset, base + offset, length, length, 8)
        return struct.pack(order + "IIIIIIII", kind, offset, base + offset, base + offset, length, length, 4, 4)

    head = b"\x7fELF" + bytes([2 if bits == 64 else 1, 1 if little else 2, 1]) + b"\0" * 9
    layout = "HHIQQQIHHHHHH" if bits == 64 else "HHIIIIIHHHHHH"
    head += struct.pack(order + layout, 3, machine, 1, 0, header_size, 0, 0, header_size, entry_size, count, 0, 0, 0)
    segments = segment(1, 0, size) + segment(2, dynamic_at, dynamic_size)
    if interp:
        segments += segment(3, interp_at, len(interp) + 1)
    return head + segments + dynamic + strings + interp.encode() + b"\0"
