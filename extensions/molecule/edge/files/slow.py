"""An application at a UNIX socket whose answers take two seconds where the path says so."""

import http.server
import os
import socketserver
import time

PATH = "/run/edge-app/app.sock"


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if "slow" in self.path:
            time.sleep(2)
        body = b"answered\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self):
        return "nginx"

    def log_message(self, *args):
        pass


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 200


server = Server(PATH, Handler)
os.chmod(PATH, 0o666)
server.serve_forever()
