"""Takes letters out of a directory. Told to end, it finishes the one that it has."""

import os
import signal
import sys
import time

from notes import STATE, alone, note

wanted = True


def end(number, frame):
    """Take no further letter."""
    global wanted
    wanted = False


signal.signal(signal.SIGTERM, end)
kind = sys.argv[1]
held = alone(kind)
note("up", kind)
while wanted:
    for letter in sorted(os.listdir(os.path.join(STATE, "queue"))) if kind == "worker" else []:
        if letter.startswith(".") or not wanted:
            continue
        note("taken", letter)
        time.sleep(0.05)
        os.unlink(os.path.join(STATE, "queue", letter))
        note("queue", letter)
    time.sleep(0.1)
note("down", kind)
