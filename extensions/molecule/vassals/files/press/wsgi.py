"""Gives work to what runs beside its workers."""

import time

import uwsgi


def application(environ, start_response):
    """``/mule`` and ``/spool`` hand something over, ``/hang`` does not answer."""
    path = environ["PATH_INFO"]
    if path == "/mule":
        uwsgi.mule_msg(b"ink")
    elif path == "/spool":
        uwsgi.spool({b"page": b"cover"})
    elif path == "/hang":
        time.sleep(60)
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [path.encode()]
