"""Tells which Python it runs in."""

import sys


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"hand %d.%d\n" % sys.version_info[:2]]
