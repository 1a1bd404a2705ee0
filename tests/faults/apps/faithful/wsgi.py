"""Shows what it depends on: a locale, a library, a variable of its environment."""

from __future__ import annotations

import locale
import os
from collections.abc import Callable
from typing import Any

import pricing  # type: ignore[import-not-found]  # of the environment; the tests make it in two versions


def amount() -> str:
    """An amount as the locale writes it; as nobody writes it where the host has no such locale."""
    try:
        locale.setlocale(locale.LC_ALL, os.environ["FAITHFUL_LOCALE"])
    except locale.Error:
        return "1234.5"
    return locale.format_string("%.2f", 1234.5, grouping=True)


def application(environ: Any, start_response: Callable[[str, list[tuple[str, str]]], Any]) -> list[bytes]:
    """/amount, /price and everything else."""
    text = {"/amount": amount, "/price": pricing.price}.get(environ["PATH_INFO"], lambda: '<img src="/pictures/a.woff2">')()
    frame = os.environ.get("FAITHFUL_FRAME")
    start_response("200 OK", [("Content-Type", "text/html"), *([("X-Frame-Options", frame)] if frame else [])])
    return [text.encode()]
