# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""When a vassal's workers may be replaced one after the other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.install import _uwsgi_chain

CHAIN = """[uwsgi]
chdir = /srv/shop/current
master = true
lazy-apps = true
touch-chain-reload = /etc/webstack/vassals/shop.chain
hook-post-fork = chdir:/srv/shop/current
pythonpath = /srv/shop/current
module = shop
"""


@pytest.mark.parametrize(("text", "option"), [
    (CHAIN, ""),
    (CHAIN.replace("master = true\n", ""), "no master"),
    (CHAIN + "master = false\n", "no master"),
    (CHAIN.replace("lazy-apps = true", "lazy-apps = false"), "no lazy-apps"),
    (CHAIN.replace("touch-chain-reload", "touch-reload"), "no touch-chain-reload"),
    (CHAIN.replace("hook-post-fork = chdir:/srv/shop/current", "hook-post-fork = chdir:/"), "no hook-post-fork with its chdir"),
    (CHAIN.replace("pythonpath = /srv/shop/current\n", ""), "no pythonpath with its chdir"),
    (CHAIN + "mule = mule.py\n", "mule"),
    (CHAIN + "spooler = /q\n", "spooler"),
    (CHAIN + "attach-daemon2 = cmd=x\n", "attach-daemon2"),
    (CHAIN + "static-map = /s=/srv/shop/current/s\n", "static-map"),
    (CHAIN + "pythonpath = lib\n", "pythonpath"),
])
def test_options_that_stand_in_the_way(text: str, option: str) -> None:
    assert _uwsgi_chain.refused_by(text) == option


def test_what_python_imports_from_a_directory() -> None:
    assert _uwsgi_chain.top_level(["a.py", "b", "c.cpython-311-x86_64-linux-gnu.so", "README.md", ".venv", "__pycache__", "d-e.py"]) == {"a", "b", "c"}


def test_directories_and_environments_that_stand_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for number in ("1", "2"):
        (tmp_path / "venvs" / number / "lib/python3.11/site-packages").mkdir(parents=True)
        (tmp_path / "releases" / number).mkdir(parents=True)
        (tmp_path / "releases" / number / ".venv").symlink_to(f"../../venvs/{number}")
    current, trigger, old = tmp_path / "current", tmp_path / "x.chain", tmp_path / "releases/1"
    current.symlink_to("releases/2")
    trigger.touch()
    text = CHAIN.replace("/srv/shop/current", str(current)).replace("/etc/webstack/vassals/shop.chain", str(trigger)) + f"virtualenv = {current}/.venv\n"
    monkeypatch.chdir(old)
    assert _uwsgi_chain.obstacle(text, os.getpid()) == ""
    (old / "gone.py").touch()
    assert _uwsgi_chain.obstacle(text, os.getpid()) == "module gone of the former code"
    (old / "gone.py").unlink()
    (tmp_path / "venvs/2/lib/python3.11/site-packages/distutils-precedence.pth").touch()
    assert _uwsgi_chain.obstacle(text, os.getpid()) == ""
    pth = tmp_path / "venvs/1/lib/python3.11/site-packages/editable.pth"
    pth.touch()
    assert _uwsgi_chain.obstacle(text, os.getpid()) == str(pth)
    pth.unlink()
    trigger.unlink()
    assert _uwsgi_chain.obstacle(text, os.getpid()) == f"no {trigger}"


def test_a_master_that_executes_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exe, me = os.path.realpath(f"/proc/{os.getpid()}/exe"), os.getpid()
    for number, python in (("1", exe), ("2", "/bin/sh")):
        (tmp_path / number / "bin").mkdir(parents=True)
        (tmp_path / number / "lib/python3.11/site-packages").mkdir(parents=True)
        (tmp_path / number / "bin/uwsgi").write_text("#!x\n")
        (tmp_path / number / "bin/python").symlink_to(python)
    assert _uwsgi_chain.replaced("", me) == ""
    assert _uwsgi_chain.replaced("/nowhere/uwsgi", me) == ""
    assert _uwsgi_chain.replaced(exe, me) == ""
    assert _uwsgi_chain.replaced("/bin/sh", me) == "/bin/sh"
    assert _uwsgi_chain.replaced(f"{tmp_path}/1/bin/uwsgi", me) == ""
    assert _uwsgi_chain.replaced(f"{tmp_path}/2/bin/uwsgi", me) == f"{tmp_path}/2/bin/python"
    there, mapped = tmp_path / "1/lib/python3.11/site-packages/pyuwsgi.so", tmp_path / "pyuwsgi.so"
    monkeypatch.setattr(_uwsgi_chain, "_mapped", lambda master: {str(mapped)})
    for path, text in ((there, "1"), (mapped, "1")):
        path.write_text(text)
    assert _uwsgi_chain.replaced(f"{tmp_path}/1/bin/uwsgi", me) == ""
    there.write_text("2")
    assert _uwsgi_chain.replaced(f"{tmp_path}/1/bin/uwsgi", me) == str(mapped)


def test_every_pull_is_a_later_second(tmp_path: Path) -> None:
    trigger = tmp_path / "x.chain"
    trigger.touch()
    text = CHAIN.replace("/etc/webstack/vassals/shop.chain", str(trigger))
    stamps = [int(trigger.stat().st_mtime)]
    for dummy in range(3):
        _uwsgi_chain.pull(text)
        stamps.append(int(trigger.stat().st_mtime))
    assert stamps == sorted(set(stamps))
