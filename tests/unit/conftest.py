# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Hypothesis on machines that are busy with other work: no test fails for the time that an example takes. And where programs that are no package are.

In CI the examples are the same each time, so that a change is judged by itself; elsewhere they are new ones.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from hypothesis import HealthCheck, settings

settings.register_profile("busy", deadline=None, derandomize="CI" in os.environ, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

sys.path[:0] = [str(Path(__file__).resolve().parents[2] / name) for name in ("scripts", "tests/load", "tests/faults")]
