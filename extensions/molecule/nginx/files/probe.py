"""Asks nginx on this host from outside and prints what it saw as JSON; with a number of seconds it asks as fast as it can and counts failures."""

import base64
import collections
import http.client
import http.server
import json
import socket
import ssl
import subprocess
import sys
import threading
import time

CONTEXT = ssl._create_unverified_context()
CONTEXT.set_alpn_protocols(["h2", "http/1.1"])


def ask(host, path, tls=False, method="GET", body=None, port=None, address="127.0.0.1", **headers):
    """(status, headers, body) of one request."""
    if tls:
        connection = http.client.HTTPSConnection(address, port or 443, timeout=10, context=ssl._create_unverified_context())
    else:
        connection = http.client.HTTPConnection(address, port or 80, timeout=10)
    connection.request(method, path, body, {"Host": host, **{key.replace("_", "-"): value for key, value in headers.items()}})
    answer = connection.getresponse()
    found = (answer.status, {key.lower(): value for key, value in answer.getheaders()}, answer.read())
    connection.close()
    return found


def backend(port, seen):
    """A web server that notes what it is asked."""
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            if self.server.gone:  # a connection that nginx has kept: hang up
                self.close_connection = True
                return
            seen.append((port, dict(self.headers)))
            self.server.asked[self.client_address] += 1
            data = json.dumps({"port": port, "filler": "x" * 500}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.gone, server.asked = False, collections.Counter()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def alpn():
    """The protocol agreed upon, and the names in the certificate."""
    with socket.create_connection(("127.0.0.1", 443), timeout=10) as plain, CONTEXT.wrap_socket(plain, server_hostname="shop.test") as tls:
        pem = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))
        names = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=pem, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout
        return tls.selected_alpn_protocol(), names


def pool():
    """Requests per backend, headers that a websocket's and a plain request carry, and who answers when all but the backup are gone."""
    seen = []
    servers = [backend(port, seen) for port in (9001, 9002, 9003)]
    zipped = ask("shop.test", "/", tls=True, Accept_Encoding="gzip")[1].get("content-encoding")
    for _number in range(30):
        ask("shop.test", "/", tls=True)
    counts = collections.Counter(port for port, _headers in seen)
    plain = seen[-1][1]
    most = max(number for server in servers for number in server.asked.values())
    carts = {user: sorted({ask_port("/carts/?user=%d" % user) for _number in range(3)}) for user in range(12)}
    desks = sorted({ask_port("/desks/") for _number in range(8)})
    ask("shop.test", "/live/", tls=True, Upgrade="websocket", Connection="Upgrade")
    live = seen[-1][1]
    for server in servers[:2]:
        server.gone = True
        server.shutdown()
        server.server_close()
    backup = json.loads(ask("shop.test", "/", tls=True)[2])["port"]
    servers[2].shutdown()
    return {"gzip": zipped, "counts": counts, "plain": plain, "live": live, "backup": backup, "most": most, "carts": list(carts.values()), "desks": desks}


def ask_port(path):
    """The backend that answers."""
    return json.loads(ask("shop.test", path, tls=True)[2])["port"]


def orders():
    """Files, an application by uwsgi and by FastCGI, and pages for errors."""
    def short(path, **how):
        status, _headers, body = ask("orders.test", path, **how)
        return [status, body.decode().strip()[:40]]

    old = ask("orders.test", "/old/x?y")
    return {
        "index": short("/"), "file": short("/welcome.html"), "hidden": short("/sorry.html"), "old": [old[0], old[1].get("location")],
        "uwsgi": json.loads(ask("orders.test", "/cart/7?a=b", User_Agent="a robot")[2]), "fastcgi": json.loads(ask("orders.test", "/cgi/x?c=d")[2]),
        "post": short("/cgi/x", method="POST", body="x")[0], "down": short("/down/"), "late": short("/sleep"),
        "busy": [short("/busy/") for _number in range(3)],
    }


def pay():
    """Certificate, protocol and cipher of a pair that was given, and who is let in."""
    with socket.create_connection(("127.0.0.1", 8443), timeout=10) as plain, CONTEXT.wrap_socket(plain, server_hostname="pay.test") as tls:
        pem = ssl.DER_cert_to_PEM_cert(tls.getpeercert(binary_form=True))
        with open("/etc/letsencrypt/live/pay.test/fullchain.pem", encoding="ascii") as handle:
            same = handle.read().split() == pem.split()
        found = {"same": same, "alpn": tls.selected_alpn_protocol(), "protocol": tls.version(), "cipher": tls.cipher()[0], "ticket": tls.session.has_ticket}
    asked = [ask("pay.test", path, tls=True, port=8443, **given)[0] for path, given in (
        ("/welcome.html", {}), ("/welcome.html", {"Authorization": basic("bob:bobs")}), ("/welcome.html", {"Authorization": basic("bob:x")}), ("/health", {}))]
    return {**found, "asked": asked}


def six():
    """What is answered over IPv6: a site, the default one, TLS, and an access rule for IPv4; nothing on a host without IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return None
    return [ask("admin.test", "/", address="::1")[2].decode(), ask("unknown.test", "/", address="::1")[2].decode(),
            ask("pay.test", "/health", tls=True, port=8443, address="::1")[2].decode().strip(), ask("admin.test", "/here", address="::1")[0]]


def look():
    """Everything."""
    agreed, names = alpn()
    pages = ask("shop.test", "/pages/copyright", tls=True)
    gone = ask("shop.test", "/gone", tls=True)
    to_https, to_host = ask("shop.test", "/a?b"), ask("www.shop.test", "/a?b", tls=True)
    connection = http.client.HTTPConnection("127.0.0.1", 9010, timeout=10)
    connection.request("GET", "/status")
    slow = [ask("admin.test", "/slow/x")[0] for _number in range(6)]
    return {
        "alpn": agreed, "names": names,
        "to_https": [to_https[0], to_https[1].get("location")],
        "to_host": [to_host[0], to_host[1].get("location")],
        "pages": [pages[0], pages[1]], "gone": [gone[0], gone[1], gone[2].decode()],
        "internal": ask("shop.test", "/missing.html", tls=True)[2].decode(),
        "who": [ask("shop.test", "/who", tls=True, User_Agent=agent)[2].decode() for agent in ("Firefox", "a robot")],
        "open": ask("admin.test", "/")[2].decode(),
        "auth": [ask("admin.test", "/private/x", **given)[0] for given in (
            {}, {"Authorization": basic("ann:a password from the vault")}, {"Authorization": basic("bob:bobs")}, {"Authorization": basic("ann:bobs")})],
        "realm": ask("admin.test", "/private/x")[1].get("www-authenticate"),
        "slow": slow, "closed": ask("admin.test", "/closed/")[0], "here": ask("admin.test", "/here")[0],
        "large": ask("admin.test", "/", method="POST", body="x" * 2000)[0],
        "orders": orders(), "pay": pay(), "six": six(), "unknown": [ask("unknown.test", "/")[0], ask("unknown.test", "/")[2].decode()],
        "raw": ask("raw.test", "/")[2].decode(), "server": ask("raw.test", "/")[1].get("server"),
        "status": connection.getresponse().read().decode(), "pool": pool(),
    }


def load(seconds):
    """Requests with new connections and over kept ones, as fast as it goes, and what went wrong."""
    found, faults, end = [0], [], time.monotonic() + seconds

    def work(kept):
        connection = None
        while time.monotonic() < end:
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
                connection.request("GET", "/", headers={"Host": "raw.test"})
                fresh = connection.getresponse()
                if (fresh.status, fresh.read()) != (200, b"raw"):
                    faults.append(fresh.status)
                if not kept or fresh.will_close:
                    connection.close()
                    connection = None
                found[0] += 1
            except (ConnectionResetError, http.client.RemoteDisconnected) as exc:
                if not kept:  # nginx closes kept idle connections when it reloads, which a client has to expect (RFC 9112, 9.5)
                    faults.append(repr(exc))
                connection = None
            except OSError as exc:
                faults.append(repr(exc))
                connection = None
            time.sleep(0.01)

    threads = [threading.Thread(target=work, args=(number == 0,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {"requests": found[0], "faults": faults}


print(json.dumps(load(float(sys.argv[1])) if len(sys.argv) > 1 else look()))
