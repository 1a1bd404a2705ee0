"""Asks a site on several hosts again and again until a file is there, and tells how many requests failed. Usage: load.py STOP HOST_HEADER ADDRESS..."""

import concurrent.futures
import http.client
import pathlib
import sys
import time

STOP, HOST = pathlib.Path(sys.argv[1]), sys.argv[2]


def ask(address):
    """How many requests were made, and what went wrong."""
    asked, wrong = 0, []
    while not STOP.exists():
        asked += 1
        connection = http.client.HTTPConnection(address, 80, timeout=10)
        try:
            connection.request("GET", "/", headers={"Host": HOST})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != 200 or not body.startswith(b"v"):
                wrong.append(f"{address}: {answer.status} {body[:60]!r}")
        except OSError as exc:
            wrong.append(f"{address}: {exc!r}")
        finally:
            connection.close()
        time.sleep(0.02)
    return asked, wrong


with concurrent.futures.ThreadPoolExecutor() as pool:
    results = list(pool.map(ask, sys.argv[3:]))
failed = [line for _asked, wrong in results for line in wrong]
print(f"{sum(asked for asked, _wrong in results)} requests, {len(failed)} failed", *failed[:5], sep="\n")
sys.exit(bool(failed))
