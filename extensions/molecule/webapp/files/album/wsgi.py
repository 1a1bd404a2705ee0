"""A service without distributions of its own, out of an archive."""


def application(environ, start_response):
    """Answers with a greeting."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"an album"]
