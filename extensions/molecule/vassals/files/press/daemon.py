"""Notes that it runs, under the name that it was given, and goes on."""

import sys
import time

from notes import note

note(sys.argv[1], "runs")
while True:
    time.sleep(1)
