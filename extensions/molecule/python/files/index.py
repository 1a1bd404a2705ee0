"""A package index of one's own that wants a password and notes each request: index.py DIRECTORY LOG, on port 8999 of the loopback."""

import base64
import functools
import http.server
import sys

WANTED = "Basic " + base64.b64encode(b"reader:open-sesame").decode()


class Index(http.server.SimpleHTTPRequestHandler):
    """Directories of wheels as a simple index (PEP 503)."""

    def do_GET(self):
        if self.headers.get("Authorization") == WANTED:
            super().do_GET()
        else:
            self.send_response(401)
            self.send_header("WWW-Authenticate", "Basic")
            self.end_headers()

    do_HEAD = do_GET

    def log_request(self, code="-", size="-"):
        with open(sys.argv[2], "a") as log:
            log.write("%s %s\n" % (self.path, code))


http.server.ThreadingHTTPServer(("127.0.0.1", 8999), functools.partial(Index, directory=sys.argv[1])).serve_forever()
