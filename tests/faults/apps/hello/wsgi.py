"""Says its greeting, and notes what it was asked where ASKED names a file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any


def application(environ: Any, start_response: Callable[[str, list[tuple[str, str]]], Any]) -> list[bytes]:
    """Answers every request alike; one that could not be noted says so in a header."""
    headers = [("Content-Type", "text/plain")]
    if os.environ.get("ASKED") and environ.get("QUERY_STRING"):
        try:
            with open(os.environ["ASKED"], "a", encoding="ascii") as handle:
                handle.write(environ["QUERY_STRING"] + "\n")
        except OSError:  # the disk is full: one of the faults
            headers.append(("X-Lost", "true"))
    start_response("200 OK", headers)
    return [os.environ.get("GREETING", "-").encode()]
