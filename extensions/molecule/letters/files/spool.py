"""Notes each letter in the spool; it takes a while, and begins with a note, so one that is begun twice is seen."""

import time

import uwsgi
from notes import note


def spooler(task):
    """One letter."""
    letter = task[b"letter"].decode()
    note("begun", letter)
    time.sleep(0.05)
    note("spool", letter)
    return uwsgi.SPOOL_OK


uwsgi.spooler = spooler
