"""Notes each letter that it is told of."""

import time

import uwsgi
from notes import note

while True:
    letter = uwsgi.mule_get_msg().decode()
    time.sleep(0.05)
    note("mule", letter)
