"""Says its greeting."""

import os


def application(environ, start_response):
    """Answers every request alike."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ.get("GREETING", "-").encode()]
