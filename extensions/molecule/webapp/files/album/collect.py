"""Collects the release's static files."""

import pathlib

(pathlib.Path(__file__).parent / "static" / "style.css").write_text("body {}", encoding="utf-8")
