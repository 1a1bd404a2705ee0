# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Virtual environments: which interpreter, whether anything is to be done, and how."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _python_venvs as venvs
from ansible_collections.gantry.webstack.plugins.module_utils.install import _requirements

AVAILABLE = {"/usr/bin/python3": "3.11.2", "/usr/bin/python3.11": "3.11.2", "/usr/local/bin/python3.13": "3.13.1", "/opt/py/bin/python3.9": "3.9.18"}


@pytest.mark.parametrize(("interpreter", "version", "chosen"), [
    (None, None, "/usr/bin/python3"), (None, "3.11", "/usr/bin/python3"), (None, "3.11.2", "/usr/bin/python3"), (None, "3.13", "/usr/local/bin/python3.13"),
    (None, "3.9", "/opt/py/bin/python3.9"), ("/opt/py/bin/python3.9", None, "/opt/py/bin/python3.9"), ("/opt/py/bin/python3.9", "3.9", "/opt/py/bin/python3.9"),
])
def test_choose(interpreter: Optional[str], version: Optional[str], chosen: str) -> None:
    assert venvs.choose("shop", interpreter, version, AVAILABLE) == chosen


@pytest.mark.parametrize(("interpreter", "version", "message"), [
    (None, "3.12", r"^service shop: Python 3\.12 is not on this host; there are .*python3 \(3\.11\.2\)"),
    (None, "3.1", r"^service shop: Python 3\.1 is not on this host"),
    ("/usr/bin/python3.12", None, "^service shop: there is no Python interpreter /usr/bin/python3.12 on this host; there are /opt"),
    ("/usr/bin/python3", "3.12", "^service shop: /usr/bin/python3 is Python 3.11.2, not the wanted 3.12$"),
])
def test_choose_refuses(interpreter: Optional[str], version: Optional[str], message: str) -> None:
    with pytest.raises(WebstackError, match=message):
        venvs.choose("shop", interpreter, version, AVAILABLE)


def test_is_right() -> None:
    lock = _requirements.parse_lock("a==1")
    stamp = venvs.Stamp(lock.digest, {"a": "1", "pip": "23"})
    assert venvs.is_right(lock, stamp, {"a": "1", "pip": "23"})
    assert not venvs.is_right(lock, stamp, {"a": "1", "pip": "23", "b": "1"})
    assert not venvs.is_right(lock, stamp, {"pip": "23"})
    assert not venvs.is_right(_requirements.parse_lock("a==2"), stamp, {"a": "1", "pip": "23"})
    assert not venvs.is_right(lock, None, {"a": "1"})


def test_installer() -> None:
    hashed, loose = _requirements.parse_lock("a==1 --hash=x"), _requirements.parse_lock("a==1")
    assert venvs.installer("/v/bin/python", "/r", hashed, None) == [
        "/v/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", "/r"]
    assert venvs.installer("/v/bin/python", "/r", loose, "/bin/uv") == ["/bin/uv", "pip", "install", "--python", "/v/bin/python", "--requirement", "/r"]


@pytest.fixture(name="host")
def a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host below tmp_path whose pip writes dist-info directories by itself; ``commands`` notes what was run."""
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(venvs, "_available", lambda named: AVAILABLE)
    monkeypatch.setattr(venvs.shutil, "which", lambda name: None)
    monkeypatch.setattr(venvs._journal, "replace_file", lambda path, text, mode: Path(path).write_text(text))
    commands.clear()

    def run(self: venvs.Venv, argv: List[str], stdin: Optional[str] = None) -> str:
        commands.append(argv)
        site = Path(self.path) / "lib" / "python3.11" / "site-packages"
        if "venv" in argv:
            (Path(self.path) / "bin").mkdir()
            (Path(self.path) / "bin" / "python").touch()
            (Path(self.path) / "pyvenv.cfg").write_text("version = 3.11.2\n")
            site.mkdir(parents=True)
        elif "install" in argv:
            text = Path(argv[-1]).read_text()
            if "missing" in text:
                raise CommandError("pip failed", stderr="ERROR: No matching distribution found for missing\nmore\n", rc=1)
            for name, version in _requirements.parse_lock(text).pins.items():
                (site / f"{name}-{version}.dist-info").mkdir(exist_ok=True)
                (site / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n\n")
        elif "uninstall" in argv:
            for name in argv[argv.index("--yes") + 1:]:
                for path in site.glob(f"{name}-*.dist-info"):
                    (path / "METADATA").unlink()
        return '["a"]'

    monkeypatch.setattr(venvs.Venv, "run", run)
    return tmp_path


commands: List[List[str]] = []


def run_module(host: Path, text: str, check: bool = False, **more: Any) -> venvs.PythonVenvs:
    module = MagicMock()
    module.check_mode = check
    entry: Dict[str, Any] = {"name": "shop", "path": str(host / "venv"), "interpreter": None, "version": None, "owner": "root", "requirements": text}
    module.params = {"venvs": [{**entry, **more}], "installer": "auto"}
    shell: Any = venvs.PythonVenvs(module)
    shell.run()
    return shell


def test_check_real_check_real(host: Path) -> None:
    checked = run_module(host, "a==1 --hash=x\n", check=True)
    assert checked.result["changed_venvs"] == ["shop"] and commands == [] and not (host / "venv").exists()
    real = run_module(host, "a==1 --hash=x\n")
    assert real.diffs == checked.diffs
    assert [argv[2] for argv in commands] == ["venv", "pip"]
    for check in (True, False):
        assert not run_module(host, "a==1 --hash=x\n", check=check).changed
    assert len(commands) == 2


def test_what_the_lock_no_longer_lists_goes(host: Path) -> None:
    run_module(host, "a==1 --hash=x\nb==1 --hash=x\n")
    shell = run_module(host, "a==1 --hash=x\n")
    assert (shell.diffs[0]["before"], shell.diffs[0]["after"]) == ("a 1\nb 1\n", "a 1\n")
    assert commands[-1][-3:] == ["uninstall", "--yes", "b"]


def test_a_new_environment_that_fails_leaves_nothing(host: Path) -> None:
    with pytest.raises(WebstackError, match="^service shop: its virtual environment .*venv could not be made: No matching distribution found for missing$"):
        run_module(host, "missing==1\n")
    assert not (host / "venv").exists()


def test_another_minor_version_means_a_new_environment(host: Path) -> None:
    run_module(host, "a==1 --hash=x\n")
    assert run_module(host, "a==1 --hash=x\n", version="3.13").changed
    assert commands[2][:3] == ["/usr/local/bin/python3.13", "-m", "venv"]


def test_a_directory_of_somebody_else_is_not_removed(host: Path) -> None:
    (host / "venv").mkdir()
    (host / "venv" / "photos").touch()
    with pytest.raises(WebstackError, match="is there and is not a virtual environment"):
        run_module(host, "a==1\n")
    assert (host / "venv" / "photos").exists()


def test_a_service_in_a_container_is_left_alone(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_journal, "load", lambda name: MagicMock(runtime="container"))
    shell = run_module(host, "a==1\n")
    assert (shell.changed, shell.result["contained"], commands) == (False, ["shop"], [])
