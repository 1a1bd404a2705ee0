"""What the spooler does with a task."""

import uwsgi
from notes import note


def spooler(task):
    """Note the page."""
    note("spooled", task[b"page"].decode())
    return uwsgi.SPOOL_OK


uwsgi.spooler = spooler
