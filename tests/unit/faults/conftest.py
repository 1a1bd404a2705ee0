"""tests/faults is a directory of programs, not a package."""

from __future__ import annotations

import sys
from pathlib import Path

for _name in ("scripts", "tests/faults"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[3] / _name))
