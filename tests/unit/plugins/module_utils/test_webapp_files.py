# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""tmpfiles.d."""

from __future__ import annotations

from ansible_collections.gantry.webstack.plugins.module_utils.install import _webapp_files as files


def test_tmpfiles() -> None:
    assert files.tmpfiles("shop", "/run/uwsgi/shop", "shop", "www-data").splitlines()[1:] == ["d /run/uwsgi/shop 2750 shop www-data -"]
    assert files.on_tmpfs("/run/x") and files.on_tmpfs("/var/run/x") and not files.on_tmpfs("/srv/run/x")
