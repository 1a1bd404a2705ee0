"""A small service that shows where what it was given ends up."""

import os
import pathlib

import itsdangerous

KEY = pathlib.Path("/etc/hello/key").read_text(encoding="utf-8")


def application(environ, start_response):
    """Answers with its greeting, its library's version, how often it was prepared, and whether its key signs."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    prepared = pathlib.Path(os.environ["STATE"], "prepared").read_text(encoding="utf-8")
    signs = itsdangerous.Signer(KEY).unsign(itsdangerous.Signer(KEY).sign("x")) == b"x"
    return [f"{os.environ['GREETING']} {itsdangerous.__version__} {prepared} {signs}".encode()]
