"""A service with a spool: it answers, its workers deliver what lies in the spool, its schedule counts."""

import os
import pathlib
import sys
import time

EDITION = "first"
SPOOL = pathlib.Path(os.environ["POST_SPOOL"])


def application(environ, start_response):
    """Answers that it is there."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"post"]


def deliver():
    """Take each letter, by whichever process is first, and say who did, and whether it could have written elsewhere."""
    while True:
        for letter in SPOOL.glob("*.letter"):
            try:
                taken = letter.rename(letter.with_suffix(f".{os.getpid()}"))
            except FileNotFoundError:
                continue
            try:
                pathlib.Path("/srv/post/current/evil").write_text("x")
                outside = "written"
            except OSError as exc:
                outside = type(exc).__name__ + str(exc.errno)
            taken.write_text(f"{os.getuid()} {outside} {sys.prefix} {EDITION}\n")
            taken.rename(letter.with_suffix(".done"))
        time.sleep(0.2)


if __name__ == "__main__":
    if sys.argv[1] == "deliver":
        deliver()
    print(*sys.argv[2:], len(list(SPOOL.glob("*.done"))))
