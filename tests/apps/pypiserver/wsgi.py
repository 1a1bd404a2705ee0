"""What uWSGI loads: ``module = wsgi:application``. Downloads are open; uploads need a user of the htpasswd file."""

import os
from pathlib import Path

from pypiserver import app

application = app(
    roots=[Path(os.environ.get("PYPISERVER_PACKAGES", "/srv/pypiserver/packages"))],
    password_file=os.environ.get("PYPISERVER_HTPASSWD", "/etc/pypiserver/htpasswd"),
    authenticate=["update"],
    disable_fallback=True,
)
