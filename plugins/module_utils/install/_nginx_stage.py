# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx's configuration test on what will stand, without writing anything that stands.

In a mount namespace of its own (unshare(1)) the directories that nginx reads and writes are covered by overlays whose upper side is a tmpfs;
there the changed files are put, and there ``nginx -T`` makes its logs, its pid file and its temporary directories.
"""

from __future__ import annotations

import base64
import io
import os
import tarfile
from typing import List, Sequence

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, run
from ansible_collections.gantry.webstack.plugins.module_utils.install._own_files import Change

NO_NAMESPACE = 97
"""Exit code of SCRIPT when the host lets nobody mount."""

WRITTEN = ("/var/log", "/run", "/var/lib/nginx", "/var/cache/nginx")
"""Where ``nginx -t`` makes files, as Debian and nginx.org build it."""

# $1: directories to cover, $2: files to remove, both with lines; $3: directories to make; then the command. Standard input: a tar archive.
_SCRIPT = r"""
{ mount --make-rprivate / && mount -t tmpfs webstack /mnt; } 2>/dev/null || exit 97
n=0
printf '%s\n' "$1" | while IFS= read -r d; do
  [ -d "$d" ] || continue
  n=$((n+1)); mkdir -p /mnt/$n/u /mnt/$n/w
  mount -t overlay -o "lowerdir=$d,upperdir=/mnt/$n/u,workdir=/mnt/$n/w" webstack "$d" 2>/dev/null || exit 97
done || exit 97
printf '%s\n' "$2" | while IFS= read -r f; do [ -z "$f" ] || rm -f -- "$f"; done
printf '%s\n' "$3" | while IFS= read -r d; do [ -z "$d" ] || mkdir -p -- "$d"; done
base64 -d | tar -x -p -f - -C / || exit 97
shift 3
exec "$@" </dev/null
"""


def _archive(changes: Sequence[Change]) -> str:
    """The files to write, as base64 of a tar archive with their modes and owners."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for change in changes:
            if change.target is not None:
                data = b"" if change.target.link else change.target.text.encode("utf-8", "surrogateescape")
                info = tarfile.TarInfo(change.path.lstrip("/"))
                if change.target.link:
                    info.type, info.linkname = tarfile.SYMTYPE, change.target.link
                info.size, info.mode, info.uid, info.gid = len(data), change.target.mode, change.target.uid, change.target.gid
                archive.addfile(info, io.BytesIO(data))
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def test(argv: List[str], covered: Sequence[str], changes: Sequence[Change], directories: Sequence[str]) -> str:
    """Run ``argv`` where ``changes`` are made and ``directories`` are there. Returns what it printed.

    Raises CommandError, with rc NO_NAMESPACE (or unshare's own 1 and no word of nginx) when no such place can be had.
    """
    removed = "\n".join(change.path for change in changes if change.target is None)
    places = "\n".join(dict.fromkeys(os.path.realpath(path) for path in (*covered, *WRITTEN) if os.path.isdir(path)))
    command = ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", places, removed, "\n".join(directories)] + argv
    return run(command, stdin=_archive(changes)).stdout


def impossible(exc: CommandError) -> bool:
    """Whether a test failed because there was no place for it, not because of what nginx said."""
    rc, stderr = exc.details.get("rc"), exc.details.get("stderr", "")
    return rc is None or rc == NO_NAMESPACE or ("nginx:" not in stderr and "[emerg]" not in stderr)
