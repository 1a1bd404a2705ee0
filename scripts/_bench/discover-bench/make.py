"""On a host: ``make.py SERVICES SITES`` makes it one with so many running uWSGI vassals and nginx sites, or makes the one that is there larger.

A service has a user, a directory of code, a virtual environment with some distributions, a vassal with one process, a site; one in ten has a worker,
one in ten a line in cron.d. The other sites serve files or pass on to a service that is there already.
"""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("python3", "uwsgi-core", "uwsgi-plugin-python3", "nginx", "cron")
WSGI = '''"""A page that says who answers."""
import os


def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [os.environ["NAME"].encode()]
'''
SETTINGS = '''import os
BASE = os.path.dirname(__file__)
MEDIA_ROOT = "/srv/{name}/media"
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "HOST": "db.example", "NAME": "{name}"}}}}
'''
EMPEROR = """[Service]
ExecStart=/usr/bin/uwsgi --emperor /etc/uwsgi/vassals --need-plugins python3
KillSignal=SIGQUIT
TasksMax=infinity
[Install]
WantedBy=multi-user.target
"""
VASSAL = """[uwsgi]
plugins = python3
uid = {name}
gid = {name}
chdir = /srv/{name}/code
virtualenv = /srv/{name}/venv
module = wsgi:application
master = true
processes = 1
socket = /run/vassals/{name}.sock
chmod-socket = 666
vacuum = true
logto = /var/log/vassals/{name}.log
env = NAME={name}
env = SECRET_KEY=s3cr3t-{name}-value
"""
SITE = """server {{
    listen 80;
    server_name {name}.test www.{name}.test;
    access_log /var/log/nginx/{name}.log;
    client_max_body_size 20m;
    location /static/ {{
        alias /srv/{name}/static/;
        expires 1h;
    }}
    location ~ \\.(php|cgi)$ {{
        return 404;
    }}
    location / {{
        {passes}
    }}
}}
"""


def service(number: int) -> None:
    """One service and all that belongs to it."""
    name = f"app{number:03}"
    home = Path("/srv", name)
    subprocess.run(["useradd", "--system", "--user-group", "--no-create-home", "--home-dir", str(home), name], check=True)
    for directory in ("code/shop/views", "media", "static", "venv/bin"):
        (home / directory).mkdir(parents=True, exist_ok=True)
    (home / "code/wsgi.py").write_text(WSGI)
    (home / "code/settings.py").write_text(SETTINGS.format(name=name))
    for index in range(20):
        (home / f"code/shop/views/part{index}.py").write_text(f'TEMPLATE = "part{index}.html"\nLIMIT = {index}\n' + "def view(request):\n    return 1\n" * 9)
    environment(home / "venv")
    subprocess.run(["chown", "-R", f"{name}:{name}", str(home / "media")], check=True)
    if number % 10 == 0:
        Path(f"/etc/systemd/system/{name}-worker.service").write_text(
            f"[Service]\nUser={name}\nExecStart=/bin/sh -c 'cd /srv/{name}/code && exec sleep infinity'\n[Install]\nWantedBy=multi-user.target\n")
    if number % 10 == 5:
        Path(f"/etc/cron.d/{name}").write_text(f"0 3 * * * {name} cd /srv/{name}/code && venv/bin/python clean.py\n")
    Path(f"/etc/uwsgi/vassals/{name}.ini").write_text(VASSAL.format(name=name))


def environment(venv: Path) -> None:
    """A virtual environment as venv makes it, with eight distributions whose RECORD is right."""
    version = "%d.%d" % sys.version_info[:2]
    site = venv / f"lib/python{version}/site-packages"
    site.mkdir(parents=True, exist_ok=True)
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\ninclude-system-site-packages = false\nversion = {sys.version.split()[0]}\n")
    for link, target in (("python3", "/usr/bin/python3"), ("python", "python3"), (f"python{version}", "python3")):
        (venv / "bin" / link).symlink_to(target)
    for number in range(8):
        package, info = site / f"dist{number}", site / f"dist{number}-1.{number}.dist-info"
        package.mkdir()
        info.mkdir()
        rows = []
        for index in range(25):
            content = f"# module {index} of dist{number}\n".encode() * 40
            (package / f"mod{index}.py").write_bytes(content)
            digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
            rows.append(f"dist{number}/mod{index}.py,sha256={digest},{len(content)}\n")
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dist{number}\nVersion: 1.{number}\n")
        (info / "RECORD").write_text("".join(rows) + f"{info.name}/METADATA,,\n{info.name}/RECORD,,\n")


def site(number: int, services: int) -> None:
    """A service's own site, or one beside it."""
    name = f"app{number:03}" if number <= services else f"site{number:03}"
    own = f"include uwsgi_params; uwsgi_pass unix:/run/vassals/app{number:03}.sock;"
    other = "root /var/www/html; try_files $uri $uri/ =404;"
    Path(f"/etc/nginx/sites-enabled/{name}").write_text(SITE.format(name=name, passes=own if number <= services else other))


def wait(services: int) -> None:
    """Until each vassal listens."""
    end = time.monotonic() + 120
    while sum(1 for name in os.listdir("/run/vassals") if name.endswith(".sock")) < services:
        if time.monotonic() > end:
            sys.exit("not all vassals came up")
        time.sleep(0.2)
    time.sleep(2)


def main(services: int, sites: int) -> None:
    """Add what is missing."""
    if not os.path.exists("/usr/sbin/nginx"):
        subprocess.run(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", *PACKAGES], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    for directory in ("/etc/uwsgi/vassals", "/run/vassals", "/var/log/vassals"):
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o1777 if directory.endswith("/vassals") and not directory.startswith("/etc") else 0o755)
    there = len(os.listdir("/etc/uwsgi/vassals"))
    for number in range(there + 1, services + 1):
        service(number)
    for old in Path("/etc/nginx/sites-enabled").iterdir():
        old.unlink()
    for number in range(1, sites + 1):
        site(number, services)
    Path("/etc/nginx/conf.d/names.conf").write_text("server_names_hash_max_size 4096;\n")
    Path("/etc/systemd/system/emperor.service").write_text(EMPEROR)
    workers = sorted(path.name for path in Path("/etc/systemd/system").glob("app*-worker.service"))
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    subprocess.run(["systemctl", "enable", "--now", "--quiet", "emperor", *workers], check=True)
    subprocess.run(["nginx", "-t", "-q"], check=True)
    subprocess.run(["systemctl", "restart", "nginx"], check=True)
    wait(services)


main(int(sys.argv[1]), int(sys.argv[2]))
