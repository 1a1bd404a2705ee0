"""What forbids the scripts of packages to stop nginx, as the shell takes it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install import _nginx_upgrade


@pytest.mark.parametrize(("kept", "words", "code"), [
    ("nginx", ["nginx.service", "restart"], 101),
    ("nginx", ["--quiet", "nginx", "stop", "2"], 101),
    ("nginx", ["nginx", "status"], 0),
    ("nginx", ["nginx-agent", "restart"], 0),
    ("nginx", ["cron", "restart"], 0),
    ("", ["nginx", "restart"], 0),
])
def test_only_our_own_apt_is_told_to_leave_nginx_alone(tmp_path: Path, kept: str, words: list[str], code: int) -> None:
    assert policy(tmp_path, kept, words) == code


@pytest.mark.parametrize(("kept", "words", "code"), [("nginx", ["nginx", "stop"], 101), ("nginx", ["cron", "stop"], 104), ("", ["nginx", "stop"], 104)])
def test_the_hosts_own_policy_is_asked_for_the_rest(tmp_path: Path, kept: str, words: list[str], code: int) -> None:
    own = tmp_path / "own"
    own.write_text("#!/bin/sh\nexit 104\n", encoding="utf-8")
    own.chmod(0o755)
    assert policy(tmp_path, kept, words, str(own)) == code


def policy(directory: Path, kept: str, words: list[str], aside: str = "/nonexistent") -> int:
    script = directory / "policy-rc.d"
    script.write_text(_nginx_upgrade.POLICY_TEXT.replace(_nginx_upgrade.ASIDE, aside), encoding="utf-8")
    return subprocess.run(["/bin/sh", str(script), *words], env={_nginx_upgrade.KEPT: kept, "PATH": "/usr/bin:/bin"}, check=False).returncode
