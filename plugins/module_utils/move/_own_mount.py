# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A file that nobody writes for a while: it is mounted over itself, read-only, until it is let go or the host boots.

rename(2) over a mount point fails with EBUSY, open(2) for writing on a read-only mount with EROFS. By mount(2) itself, since two runs of mount(8) take tens
of milliseconds, in which a configuration manager may write.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
from typing import Iterator

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal

_RDONLY, _REMOUNT, _BIND, _DETACH = 1, 32, 4096, 2


@contextlib.contextmanager
def held(path: str, note: str) -> Iterator[None]:
    """Hold what is put at ``path`` inside. ``note`` is a file that tells ``let_go`` of it, also after a killed run.

    Where nothing may be mounted, as in some containers, nothing is held.
    """
    _journal.write_private(note, path)
    libc, name = _libc(), os.fsencode(path)
    yield
    if libc.mount(name, name, None, _BIND, None) == 0:
        libc.mount(None, name, None, _REMOUNT | _BIND | _RDONLY, None)


def let_go(note: str) -> None:
    """End what ``held`` began. Idempotent."""
    if os.path.exists(note):
        with open(note, encoding="utf-8", errors="surrogateescape") as handle:
            _libc().umount2(os.fsencode(handle.read()), _DETACH)  # somebody may be reading it
        os.unlink(note)


def _libc() -> ctypes.CDLL:
    libc = ctypes.CDLL(None)
    libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_void_p)
    return libc
