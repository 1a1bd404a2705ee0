"""Says its greeting."""

import os

import itsdangerous


def application(environ, start_response):
    """Answers every request alike."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(os.environ["GREETING"] + " " + itsdangerous.__name__).encode()]
