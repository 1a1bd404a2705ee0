"""Loads, and then answers nothing but errors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def application(environ: Any, start_response: Callable[[str, list[tuple[str, str]]], Any]) -> list[bytes]:
    """Fails each request."""
    start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
    return [b"not today"]
