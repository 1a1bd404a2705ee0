"""Writes down who has done what."""

import os
import pwd


def note(name, what):
    """Add a line to a file of the service's state."""
    with open(os.path.join(os.environ["STATE"], name), "a", encoding="utf-8") as handle:
        handle.write(f"{what} {pwd.getpwuid(os.getuid()).pw_name} {os.getpid()}\n")
