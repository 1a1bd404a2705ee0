"""Notes what it is told."""

import uwsgi
from notes import note

while True:
    note("mule", uwsgi.mule_get_msg().decode())
