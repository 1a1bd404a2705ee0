# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Virtual environments: which interpreter, whether anything is to be done, and how."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any, Dict, List, Optional
from unittest.mock import MagicMock

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import CommandError, WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.install import _interpreters, _requirements, _venv
from ansible_collections.gantry.webstack.plugins.module_utils.install import _python_venvs as venvs
from ansible_collections.gantry.webstack.plugins.module_utils.install._interpreters import Found

AVAILABLE = {"/usr/bin/python3": Found("3.11.2", "package"),
             "/opt/py/bin/python3.9": Found("3.9.18", "tree"), "/opt/p/bin/python3.13": Found("3.13.1", "tree")}


def test_is_right() -> None:
    lock = _requirements.parse_lock("a==1")
    stamp = _venv.Stamp(lock.digest, {"a": "1", "pip": "23"})
    assert _venv.is_right(lock, stamp, {"a": "1", "pip": "23"})
    assert not _venv.is_right(lock, stamp, {"a": "1", "pip": "23", "b": "1"})
    assert not _venv.is_right(lock, stamp, {"pip": "23"})
    assert not _venv.is_right(_requirements.parse_lock("a==2"), stamp, {"a": "1", "pip": "23"})
    assert not _venv.is_right(lock, None, {"a": "1"})


def test_installer() -> None:
    hashed, loose = _requirements.parse_lock("a==1 --hash=x"), _requirements.parse_lock("a==1")
    assert _venv.installer("/v/bin/python", "/r", hashed, None) == [
        "/v/bin/python", "-m", "pip", "install", "--quiet", "--require-hashes", "--requirement", "/r"]
    assert _venv.installer("/v/bin/python", "/r", loose, "/bin/uv") == [
        "/bin/uv", "pip", "install", "--python", "/v/bin/python", "--compile-bytecode", "--requirement", "/r"]


@pytest.fixture(name="host")
def a_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host below tmp_path whose pip writes dist-info directories by itself; ``commands`` notes what was run."""
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setattr(venvs, "host_lock", contextlib.nullcontext)
    monkeypatch.setattr(_interpreters, "find", lambda named: AVAILABLE)
    monkeypatch.setattr(_interpreters, "offered_packages", lambda: {"python3.11": "3.11.2"})
    monkeypatch.setattr(venvs.shutil, "which", lambda name, path=None: None)
    monkeypatch.setattr(_venv._journal, "replace_file", lambda path, text, mode: Path(path).write_text(text))
    monkeypatch.setattr(_venv._relocate.os, "fchown", lambda *told: None)
    commands.clear()

    def run(self: _venv.Venv, argv: List[str], env: Optional[Dict[str, str]] = None) -> str:
        commands.append(argv)
        site = Path(self.at) / "lib" / "python3.11" / "site-packages"
        if "venv" in argv:
            (Path(self.at) / "bin").mkdir()
            (Path(self.at) / "bin" / "python").touch()
            (Path(self.at) / "bin" / "pip").write_text(f"#!{self.at}/bin/python\n")
            (Path(self.at) / "pyvenv.cfg").write_text("version = 3.11.2\n")
            site.mkdir(parents=True)
        elif "install" in argv:
            text = Path(argv[-1]).read_text()
            if "missing" in text:
                raise CommandError("pip failed", stderr="ERROR: No matching distribution found for missing\nmore\n", rc=1)
            for name, version in _requirements.parse_lock(text).pins.items():
                (site / f"{name}-{version}.dist-info").mkdir(exist_ok=True)
                (site / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n\n")
        return ""

    monkeypatch.setattr(_venv.Venv, "run", run)
    return tmp_path


commands: List[List[str]] = []


def run_module(host: Path, text: str, check: bool = False, deploy: bool = False, **more: Any) -> venvs.PythonVenvs:
    module = MagicMock()
    module.check_mode = check
    entry: Dict[str, Any] = {"name": "shop", "path": str(host / "venv"), "interpreter": None, "version": None, "owner": "root", "requirements": text}
    module.params = {"venvs": [{**entry, **more}], "installer": "auto", "deploy": deploy}
    module.no_log_values = set()
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
    assert sorted(path.name for path in host.iterdir()) == ["venv"]
    assert (host / "venv" / "bin" / "pip").read_text() == f"#!{host}/venv/bin/python\n"


def test_a_new_environment_that_fails_leaves_nothing(host: Path) -> None:
    message = "^service shop: its virtual environment .*venv could not be made: No matching distribution found for missing; what was there is as it was$"
    with pytest.raises(WebstackError, match=message):
        run_module(host, "missing==1\n")
    assert not (host / "venv").exists()


def test_another_minor_version_means_a_new_environment(host: Path) -> None:
    run_module(host, "a==1 --hash=x\n")
    assert run_module(host, "a==1 --hash=x\n", version="3.13").changed
    assert commands[2][:3] == ["/opt/p/bin/python3.13", "-m", "venv"]


def test_a_failed_change_leaves_the_former_environment(host: Path) -> None:
    run_module(host, "a==1 --hash=x\n")
    before = {path: path.read_bytes() for path in host.rglob("*") if path.is_file()}
    with pytest.raises(WebstackError, match="what was there is as it was"):
        run_module(host, "a==1 --hash=x\nmissing==1 --hash=x\n")
    assert {path: path.read_bytes() for path in host.rglob("*") if path.is_file()} == before


def test_a_new_path_is_compared_with_its_base(host: Path) -> None:
    run_module(host, "a==1 --hash=x\nb==1 --hash=x\n")
    shell = run_module(host, "a==2 --hash=x\nb==1 --hash=x\n", path=str(host / "next"), base=str(host / "venv"), check=True)
    assert (shell.diffs[0]["before"], shell.diffs[0]["after"]) == ("a 1\nb 1\n", "a 2\nb 1\n")


def test_wheels_of_the_control_node_are_asked_for_only_when_something_changes(host: Path) -> None:
    assert run_module(host, "a==1 --hash=x\n", wheel_pack_dir="0").result["wheels_needed"] == ["shop"]
    assert not (host / "venv").exists()
    run_module(host, "a==1 --hash=x\n")
    assert "wheels_needed" not in run_module(host, "a==1 --hash=x\n", wheel_pack_dir="0").result


def test_a_python_that_is_not_there_is_refused_in_check_mode_too(host: Path) -> None:
    with pytest.raises(WebstackError, match=r"^service shop: Python 3\.4 is not on this host; there are .*the distribution offers python3\.11 \(3\.11\.2\)"):
        run_module(host, "a==1\n", version="3.4", check=True)


def test_sources() -> None:
    common = {"index_url": "https://u:p@one/simple", "extra_index_urls": ["https://two/"], "wheel_dir": "/wheels", "no_index": False}
    env = _venv.environment(venvs.sources({"index_url": "https://three/"}, common, None))
    assert (env["PIP_INDEX_URL"], env["UV_INDEX_URL"], env["PIP_EXTRA_INDEX_URL"], env["PIP_FIND_LINKS"]) == (
        "https://three/", "https://three/", "https://two/", "/wheels")
    assert "PIP_NO_INDEX" not in env
    assert venvs.sources({"wheel_pack_dir": "1", "no_index": True}, common, "/tmp/x") == _venv.Sources(
        "https://u:p@one/simple", ("https://two/",), "/tmp/x/1", True)


def test_no_credentials_in_a_message() -> None:
    exc = CommandError("pip failed", stderr="Looking in https://me:secret@host/simple\nERROR: cannot reach https://me:secret@host/simple\n", rc=1)
    told = _venv.failure("shop", "/v", exc)
    assert "secret" not in str(told) + str(told.details) and "https://****@host/simple" in str(told)


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


def test_a_deployment_makes_what_the_next_image_needs(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_journal, "load", lambda name: MagicMock(runtime="container"))
    shell = run_module(host, "a==1\n", deploy=True)
    assert shell.result["changed_venvs"] == shell.result["contained"] == ["shop"] and (host / "venv/pyvenv.cfg").exists()
