"""Ask http://127.0.0.1/ over new connections until the file STOP is there, then write to OUT how many answers were good and what failed: load.py STOP OUT."""

from __future__ import annotations

import http.client
import json
import os
import sys
import threading
import time

good = 0
failures: list[str] = []
guard = threading.Lock()


def ask(stop: str) -> None:
    global good
    while not os.path.exists(stop):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=20)
            connection.request("GET", "/", headers={"Host": "east.test", "Connection": "close"})
            answer = connection.getresponse()
            text = answer.read().decode()
            problem = "" if answer.status == 200 and text == "sunrise" else f"{answer.status} {text[:80]}"
            connection.close()
        except (OSError, http.client.HTTPException) as exc:
            problem = repr(exc)
        with guard:
            if problem:
                failures.append(f"{time.time():.3f} {problem}")
            else:
                good += 1
        time.sleep(0.02)


threads = [threading.Thread(target=ask, args=(sys.argv[1],)) for _number in range(3)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
with open(sys.argv[2], "w", encoding="utf-8") as handle:
    json.dump({"good": good, "failed": len(failures), "failures": failures[:20]}, handle)
