"""The cron job: note that this minute was seen."""

import os
from datetime import datetime, timezone

from django.conf import settings
from django.core.management.base import BaseCommand


class Command(BaseCommand):
    help = "Append the current minute (UTC) as one line to ticks.log in the data directory."

    def handle(self, *args, **options):
        line = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%MZ\n")
        # One write to a file opened for appending: two jobs at once give two whole lines, never a torn one.
        fd = os.open(settings.DATA / "ticks.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            os.write(fd, line.encode("ascii"))
            os.fsync(fd)
        finally:
            os.close(fd)
