"""Pages whose counter is in a file and whose text is in memcached."""

import os

from pymemcache.client.base import Client

COUNTER = os.path.join(os.environ["STATE_DIRECTORY"], "counter")
cache = Client(("127.0.0.1", 11211))
with open(COUNTER, "a", encoding="ascii"):
    pass


def application(environ, start_response):
    cache.set("text", b"pages\n")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [cache.get("text")]
