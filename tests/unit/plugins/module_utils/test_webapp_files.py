# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Crontabs and tmpfiles.d."""

from __future__ import annotations

from ansible_collections.gantry.webstack.plugins.module_utils.install import _webapp_files as files
from ansible_collections.gantry.webstack.plugins.module_utils.move import _cron

JOBS = [{"when": "*/5 * * * *", "user": "shop", "command": "/srv/shop/tick --now"}, {"when": "@daily", "user": "root", "command": "/bin/true"}]


def test_crontab() -> None:
    text = files.crontab("shop", JOBS, {"A": "b c", "Q": ' "x" ', "S": "'y'", "PATH": "/venv/bin"})
    assert text.splitlines()[1:] == [
        "SHELL=/bin/sh", "PATH=/venv/bin", "A=b c", "Q=' \"x\" '", "S=\"'y'\"", "*/5 * * * * shop /srv/shop/tick --now", "@daily root /bin/true"]
    assert [tuple(job) for job in map(_cron.parse_line, text.splitlines()) if job] == [tuple(job.values()) for job in JOBS]


def test_tmpfiles() -> None:
    assert files.tmpfiles("shop", "/run/uwsgi/shop", "shop", "www-data").splitlines()[1:] == ["d /run/uwsgi/shop 2750 shop www-data -"]
    assert files.on_tmpfs("/run/x") and files.on_tmpfs("/var/run/x") and not files.on_tmpfs("/srv/run/x")
