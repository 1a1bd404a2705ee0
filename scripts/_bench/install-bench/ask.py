"""On a host: ``ask.py all N`` waits until services app01 to appN answer; ``ask.py reload NAME`` prints the seconds from a touch of
its vassal to its answering anew."""

from __future__ import annotations

import http.client
import os
import sys
import time


def get(name: str) -> str | None:
    """The body of a service's page, through nginx; None unless it answers 200."""
    try:
        connection = http.client.HTTPConnection("127.0.0.1", 80, timeout=10)
        connection.request("GET", "/", headers={"Host": name + ".test"})
        answer = connection.getresponse()
        body = answer.read().decode()
        return body if answer.status == 200 else None
    except OSError:
        return None


def main(what: str, argument: str) -> int | str:
    """Both commands give up after a minute."""
    end = time.monotonic() + 60
    if what == "all":
        waiting = ["app%02d" % number for number in range(1, int(argument) + 1)]
        while waiting and time.monotonic() < end:
            waiting = [name for name in waiting if get(name) is None]
            time.sleep(0.05 if waiting else 0)
        return "no answer from " + ", ".join(waiting) if waiting else 0
    before, vassal = get(argument), "/etc/webstack/vassals/%s.ini" % argument
    # A second of its own: the emperor compares whole seconds.
    time.sleep(1.1)
    started = time.monotonic()
    os.utime(vassal)
    while time.monotonic() < end:
        now = get(argument)
        if now is not None and now != before:
            print(time.monotonic() - started)
            return 0
        time.sleep(0.02)
    return "no new answer from " + argument


sys.exit(main(*sys.argv[1:]))
