"""Runs one of the control node's tools, at the version that requirements-dev.txt pins: ``./scripts/tool NAME [ARGUMENT...]``."""

from __future__ import annotations

import os
import subprocess
import sys

from . import BenchError, control, guarded, setup_lock


def main() -> int:
    if not sys.argv[1:] or sys.argv[1].startswith("-"):
        print((__doc__ or "").strip())
        return 0 if sys.argv[1:] else 2
    with setup_lock():
        control.setup()
    path = control.tool(sys.argv[1])
    if not os.access(path, os.X_OK):
        raise BenchError(f"no tool {sys.argv[1]!r} in {control.VENV / 'bin'}; add it to requirements-dev.in")
    return subprocess.run([path, *sys.argv[2:]], check=False).returncode


if __name__ == "__main__":
    sys.exit(guarded(main))
