"""Refuses a release without a version, and one that has not got its secret."""

import os
import pathlib
import sys

if not os.environ.get("TOKEN") or not (pathlib.Path(__file__).parent / "VERSION").read_text(encoding="utf-8").strip():
    sys.exit("no version")
