"""The smallest service: says its greeting and when its process loaded it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping

import hellolib  # type: ignore[import-not-found]

LOADED = time.time()


def application(environ: Mapping[str, object], start_response: Callable[[str, list[tuple[str, str]]], object]) -> list[bytes]:
    """Answers every request alike."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.environ['GREETING']} {hellolib.VERSION} {os.getpid()} {LOADED}\n".encode()]
