# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""How application servers are known, by the command lines and titles that they have on real hosts."""

from __future__ import annotations

from typing import List, Optional

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _app_servers

PYTHON = "/usr/bin/python3.11"


@pytest.mark.parametrize(("exe", "argv", "name"), [
    (PYTHON, ["/usr/bin/python3", "/usr/bin/gunicorn", "api:app"], "gunicorn"),
    (PYTHON, ["/srv/x/venv/bin/python", "/srv/x/venv/bin/gunicorn3", "api:app"], "gunicorn"),
    (PYTHON, ["/srv/x/venv/bin/python", "-m", "gunicorn", "api:app"], "gunicorn"),
    (PYTHON, ["gunicorn: master [api:app]"], "gunicorn"),
    (PYTHON, ["/usr/bin/python3", "-X", "dev", "-u", "/usr/bin/uvicorn", "a:b"], "uvicorn"),
    (PYTHON, ["/usr/bin/python3", "-m", "uvicorn", "a:b"], "uvicorn"),
    (PYTHON, ["/usr/bin/python3", "/usr/local/bin/hypercorn", "a:b"], "hypercorn"),
    (PYTHON, ["/usr/bin/python3", "/usr/bin/daphne", "a:b"], "daphne"),
    (PYTHON, ["/usr/bin/python3", "/usr/bin/waitress-serve", "a:b"], "waitress"),
    ("/usr/sbin/php-fpm8.2", ["php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)"], "php-fpm"),
    ("/usr/sbin/php-fpm7.4", ["php-fpm: pool www"], "php-fpm"),
    ("/usr/bin/ruby3.1", ["puma 5.6.5 (unix:///srv/x/puma.sock) [x]"], "puma"),
    ("/usr/bin/ruby3.1", ["unicorn master -c /etc/unicorn.rb -D"], "unicorn"),
    ("/usr/sbin/fcgiwrap", ["/usr/sbin/fcgiwrap", "-f"], "fcgiwrap"),
    (PYTHON, ["/usr/bin/python3", "/srv/gunicorn_tools/run.py"], None),
    (PYTHON, ["/usr/bin/python3", "-c", "import gunicorn"], None),
    ("/usr/bin/node", ["node", "/srv/app/server.js"], None),
    ("/usr/bin/vim", ["vim", "gunicorn"], None),
])
def test_known(exe: str, argv: List[str], name: Optional[str]) -> None:
    found = _app_servers.known(_app_servers.program(exe, argv, "/srv"), argv)
    assert (found.name if found else None) == name


@pytest.mark.parametrize(("exe", "argv", "label"), [
    (PYTHON, ["python3", "-m", "http.server", "8002"], PYTHON + " -m http.server"),
    (PYTHON, ["python3", "run.py"], "/srv/run.py"),
    (PYTHON, ["python3", "-W", "ignore", "../x/run.py", "-m", "y"], "/x/run.py"),
    (PYTHON, ["python3", "-c", "import secret; run('canary')"], PYTHON + " -c"),
    (PYTHON, ["python3"], PYTHON),
    ("/usr/bin/dash", ["sh", "-s", "disksup"], "/usr/bin/dash -s"),
    ("/usr/bin/dash", ["sh", "-e", "run.sh", "-s"], "/srv/run.sh"),
    ("/usr/bin/node", ["node", "--require", "dotenv/config", "--inspect", "app.js"], "/srv/app.js"),
    ("/usr/bin/php8.2", ["php", "-S", "127.0.0.1:8000", "-t", "public"], "/usr/bin/php8.2 -S 127.0.0.1:8000"),
    ("/usr/lib/jvm/java-17/bin/java", ["java", "-Xmx1g", "-jar", "app.jar"], "/usr/lib/jvm/java-17/bin/java -jar app.jar"),
    ("/usr/lib/jvm/java-17/bin/java", ["java", "-cp", "/a:/b", "org.Main", "x"], "/usr/lib/jvm/java-17/bin/java org.Main"),
    ("/bin/dash", ["/bin/sh", "/usr/local/bin/mystery"], "/usr/local/bin/mystery"),
    ("/usr/lib/postgresql/15/bin/postgres", ["postgres: checkpointer "], "/usr/lib/postgresql/15/bin/postgres"),
    ("", ["/usr/sbin/cron", "-f"], "/usr/sbin/cron"),
    ("", ["sshd: root@notty"], "sshd"),
])
def test_programs(exe: str, argv: List[str], label: str) -> None:
    assert _app_servers.program(exe, argv, "/srv", "sshd").label == label


def test_what_the_command_line_tells() -> None:
    gunicorn = next(item for item in _app_servers.SERVERS if item.name == "gunicorn")
    argv = [PYTHON, "/usr/bin/gunicorn", "--chdir", "code", "-c", "conf.py", "--log-config=/etc/log.ini", "api:app"]
    running = _app_servers.program(PYTHON, argv, "/srv/x")
    assert _app_servers.directory(gunicorn, running, argv, "/srv/x") == "/srv/x/code"
    assert _app_servers.config_files(gunicorn, argv, "/srv/x") == ["/etc/log.ini", "/srv/x/conf.py"]
    assert _app_servers.directory(gunicorn, running, argv[:2], "/srv/x") == "/srv/x"
    assert _app_servers.directory(gunicorn, running, argv[:2], "/") is None
    fpm, title = next(item for item in _app_servers.SERVERS if item.name == "php-fpm"), ["php-fpm: master process (/etc/php/8.2/fpm/php-fpm.conf)"]
    assert _app_servers.config_files(fpm, title, "/") == ["/etc/php/8.2/fpm/php-fpm.conf"]
    node = ["node", "/srv/app/server.js"]
    assert _app_servers.directory(None, _app_servers.program("/usr/bin/node", node, "/"), node, "/") == "/srv/app"
