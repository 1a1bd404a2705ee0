"""Loads, and then answers nothing but errors."""


def application(environ, start_response):
    """Fails each request."""
    start_response("500 Internal Server Error", [("Content-Type", "text/plain")])
    return [b"not today"]
