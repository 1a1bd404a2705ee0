"""Tells which Python and which uWSGI run it."""

import os
import platform
import sys

import uwsgi

BODY = os.environ["BODY"]


def application(environ, start_response):
    """Answers with both versions, where the interpreter is, and its environment."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"version {platform.python_version()} of {sys.base_prefix} in uWSGI {uwsgi.version.decode()} around {BODY}".encode()]
