"""The smallest service: says its greeting and when its process loaded it."""

import os
import time

import hellolib

LOADED = time.time()


def application(environ, start_response):
    """Answers every request alike."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{os.environ['GREETING']} {hellolib.VERSION} {os.getpid()} {LOADED}\n".encode()]
