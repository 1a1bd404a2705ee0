"""What was done, a line for each thing: the ledger that the scenario counts."""

import fcntl
import os
import sys
import time

STATE = os.environ.get("LETTERS_STATE", "/srv/letters/state")


def note(kind, what):
    """Add a line; several processes may write at once, also from both sides of a container."""
    with open(os.path.join(STATE, "ledger"), "a", encoding="ascii") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        handle.write(f"{kind} {what}\n")


def alone(kind):
    """Hold a lock for as long as this process lives; note it when there is another one of this kind."""
    handle = open(os.path.join(STATE, f"{kind}.lock"), "w", encoding="ascii")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        note("two", kind)
        fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


if __name__ == "__main__":  # a tick: the minute in which it was started
    note(sys.argv[1], time.strftime("%Y-%m-%dT%H:%MZ", time.gmtime()))
