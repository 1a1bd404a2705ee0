"""Hands letters over to what works beside the requests: a mule, a spooler, and a worker that looks into a directory."""

import os
from urllib.parse import parse_qs

import uwsgi
from notes import STATE


def application(environ, start_response):
    """A POST to /mule?id=7, /spool?id=7 or /queue?id=7 hands letter 7 over."""
    path, letter = environ["PATH_INFO"], parse_qs(environ["QUERY_STRING"]).get("id", [""])[0]
    if environ["REQUEST_METHOD"] != "POST":
        path = "/"
    elif path == "/mule":
        uwsgi.mule_msg(letter.encode())
    elif path == "/spool":
        uwsgi.spool({b"letter": letter.encode()})
    elif path == "/queue":
        draft = os.path.join(STATE, "queue", "." + letter)
        with open(draft, "x", encoding="ascii"):
            pass
        os.rename(draft, os.path.join(STATE, "queue", letter))
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"letters {path}\n".encode()]
