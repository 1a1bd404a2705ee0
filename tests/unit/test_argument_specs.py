# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Each role's meta/argument_specs.yml and defaults/main.yml say the same, keys and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = sorted(path for path in (Path(__file__).parents[2] / "roles").iterdir() if path.is_dir())


def load(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.is_file() else {}


def options(role: Path) -> dict[str, dict[str, Any]]:
    """The options of all entry points of a role."""
    found: dict[str, dict[str, Any]] = {}
    for spec in load(role / "meta/argument_specs.yml")["argument_specs"].values():
        found.update(spec.get("options", {}))
    return found


def test_there_are_roles() -> None:
    assert ROLES


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_specs_agree(role: Path) -> None:
    # A template is no value of the option's type, so it stands in the defaults alone; the option is in the specs all the same.
    defaults = load(role / "defaults/main.yml")
    templates = {name for name, value in defaults.items() if isinstance(value, str) and value.startswith("{{")}
    specified = {name: option["default"] for name, option in options(role).items() if "default" in option}
    assert {name: value for name, value in defaults.items() if name not in templates} == specified
    assert templates <= {name for name, option in options(role).items() if "default" not in option and not option.get("required")}


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_every_entry_point_and_option_is_described(role: Path) -> None:
    specs = load(role / "meta/argument_specs.yml")["argument_specs"]
    assert {"main"} <= set(specs) == {path.stem for path in (role / "tasks").glob("*.yml") if path.stem in specs}
    for entry, spec in specs.items():
        assert spec.get("short_description") and spec.get("description"), entry
        for name, option in spec.get("options", {}).items():
            assert option.get("type") and option.get("description"), name
            assert not (option.get("required") and "default" in option), name
            if option["type"] == "list":
                assert option.get("elements"), f"{name}: a list says what it is a list of"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_options_carry_the_role_s_name(role: Path) -> None:
    assert [name for name in options(role) if not name.startswith(f"{role.name}_")] == []


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_galaxy_says_where_the_role_runs(role: Path) -> None:
    info = load(role / "meta/main.yml")["galaxy_info"]
    assert info["license"] == "GPL-3.0-or-later"
    assert info["min_ansible_version"] == "2.19"
    assert {"bullseye", "bookworm", "trixie"} == {version for platform in info["platforms"] for version in platform["versions"]}
