"""Counts how often it was run."""

import os
import pathlib

COUNT = pathlib.Path(os.environ["STATE"], "prepared")
COUNT.write_text(str(int(COUNT.read_text(encoding="utf-8")) + 1 if COUNT.exists() else 1), encoding="utf-8")
