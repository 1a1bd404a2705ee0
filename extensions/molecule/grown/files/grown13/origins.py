"""Says which Python runs it; one of its copies has every kind of work beside its requests."""

import sys


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [(sys.base_prefix + "\n").encode()]
