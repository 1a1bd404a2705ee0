"""Loads with the right key only."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

if os.environ["KEY"] != "app05":
    raise ValueError("this key opens nothing")


def application(environ: Any, start_response: Callable[[str, list[tuple[str, str]]], Any]) -> list[bytes]:
    """Answers every request alike."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ.get("GREETING", "-").encode()]
