"""discover(install(services)) == services: what a definition says can be read off the host on which it was installed; see normal_form.py.

The examples are the same each time; WEBSTACK_PROPERTY_RANDOM=1 makes others. WEBSTACK_LAW_EXAMPLES says how many lists (2).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import normal_form
import pytest
from conftest import install, on, playbook
from hypothesis import HealthCheck, Phase, given, settings
from lawful import LOCK, PLACE, lawful_lists

from ansible_collections.gantry.webstack.plugins.plugin_utils import install_args, model

EXAMPLES = int(os.environ.get("WEBSTACK_LAW_EXAMPLES", "2"))
_PREPARE = """
apt-get -qq install --yes python3-venv >/dev/null 2>&1
mkdir -p $0/tree/bin $0/tree/lib $0/wheels
cp /usr/bin/python3.11 $0/tree/bin/python3.11
ln -s python3.11 $0/tree/bin/python3
cp -a /usr/lib/python3.11 $0/tree/lib/
rm -f $0/tree/lib/python3.11/EXTERNALLY-MANAGED
python3 -m venv /tmp/pip
/tmp/pip/bin/pip --quiet download --no-deps --dest $0/wheels $1
printf '[global]\\nno-index = true\\nfind-links = %s/wheels\\n' $0 > /etc/pip.conf
"""


@pytest.fixture(scope="module")
def prepared(inventory: Path) -> Path:
    """The host with an interpreter tree and the lock's one wheel."""
    pin = LOCK.read_text(encoding="utf-8").splitlines()[-1]
    on("sh", "-ec", _PREPARE, PLACE, pin)
    return inventory


def differences(wanted: Any, found: Any, place: str) -> list[str]:
    """The places at which two normal forms differ, with both values."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        return [line for key in sorted({*wanted, *found}) for line in differences(wanted.get(key), found.get(key), f"{place}.{key}")]
    return [] if wanted == found else [f"{place}: defined {wanted!r}, found {found!r}"]


@settings(max_examples=200, deadline=None)
@given(lawful_lists(least=1))
def test_what_is_generated_can_be_installed(services: list[dict[str, Any]]) -> None:
    install_args.check(model.complete_all(services))


@settings(max_examples=EXAMPLES, derandomize=not os.environ.get("WEBSTACK_PROPERTY_RANDOM"), deadline=None, database=None, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))
@given(lawful_lists(least=3, most=5))
def test_discover_finds_what_was_installed(prepared: Path, services: list[dict[str, Any]]) -> None:
    install(prepared, services)
    plans = prepared.parent / "plans"
    playbook(prepared, "discover", {"webstack_plan_dir": str(plans)})
    plan = model.loads((plans / "property.yml").read_text(encoding="utf-8"), "plan")
    (plans / "property.yml").unlink()
    found = {service["name"]: service for service in plan["services"]}
    assert sorted(found) == sorted(service["name"] for service in services)
    lines = [line for service in services
             for line in differences(normal_form.definition(service), normal_form.found(found[service["name"]], service), service["name"])]
    assert lines == []
    assert plan["unexplained"] == []
    locked = dict(line.split("==") for line in LOCK.read_text(encoding="utf-8").splitlines() if "==" in line)
    for service in services:
        if "requirements" in service.get("python", {}):
            distributions = {item["name"]: item["version"] for item in found[service["name"]]["python"]["distributions"]}
            assert {name: distributions.get(name) for name in locked} == locked
