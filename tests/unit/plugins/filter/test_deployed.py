# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A plan's services with what their definitions say by now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible_collections.gantry.webstack.plugins.filter.deployed import deployed

PLAN: list[dict[str, Any]] = [
    {"name": "shop", "environment": {"LANG": "C.UTF-8", "DEPTH": "1"}, "state": [{"path": "/srv/shop/data", "evidence": "open"}],
     "python": {"venv": "/srv/shop/current/.venv", "interpreter": "/usr/bin/python3.11", "version": "3.11.2",
                "distributions": [{"name": "Flask", "version": "3.0"}, {"name": "pip", "version": "23"}, {"name": "gone", "version": "1"}]},
     "uwsgi": {"socket": "/run/uwsgi/shop/uwsgi.sock", "options": {"chdir": "/srv/shop/current", "processes": 2}}},
    {"name": "by-hand", "uwsgi": {"options": {"processes": 1}}},
]


def test_without_definitions_the_plan_counts() -> None:
    assert deployed(PLAN, []) == PLAN


def test_what_is_defined_anew(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("flask==3.1\nitsdangerous==2\n")
    definition = {"name": "shop", "environment": {"DEPTH": "2"}, "uwsgi": {"options": {"processes": 4, "module": "shop:app"}},
                  "python": {"requirements": str(tmp_path / "lock.txt")}, "state": [{"path": "/srv/shop/data"}, {"path": "/srv/shop/more"}]}
    shop, by_hand = deployed(PLAN, [definition])
    assert by_hand == PLAN[1]
    assert shop["environment"] == {"LANG": "C.UTF-8", "DEPTH": "2"}
    assert shop["uwsgi"] == {"socket": "/run/uwsgi/shop/uwsgi.sock", "options": {"chdir": "/srv/shop/current", "processes": 4, "module": "shop:app"}}
    assert [item["path"] for item in shop["state"]] == ["/srv/shop/data", "/srv/shop/more"]
    assert shop["python"] == {"venv": "/srv/shop/current/.venv", "distributions": [
        {"name": "Flask", "version": "3.1"}, {"name": "pip", "version": "23"}, {"name": "itsdangerous", "version": "2"}]}


def test_a_service_of_an_older_layout_is_deployed_where_its_definition_has_it(tmp_path: Path) -> None:
    (tmp_path / "lock.txt").write_text("flask==3.1\n")
    plan = {"name": "shop", "code": {"path": "/srv/shop/code"}, "python": {"venv": "/srv/shop/venv", "distributions": []},
            "uwsgi": {"options": {"chdir": "/srv/shop/code", "virtualenv": "/srv/shop/venv", "threads": 2,
                                  "pythonpath": ["/srv/shop/code/lib", "/srv/shop/code2"]}}}
    (shop,) = deployed([plan], [{"name": "shop", "python": {"requirements": str(tmp_path / "lock.txt")}}])
    assert (shop["code"], shop["python"]["venv"]) == ({"path": "/srv/shop/current"}, "/srv/shop/current/.venv")
    assert shop["uwsgi"]["options"] == {"chdir": "/srv/shop/current", "virtualenv": "/srv/shop/current/.venv",
                                        "pythonpath": ["/srv/shop/current/lib", "/srv/shop/code2"], "threads": 2}


def test_an_environment_that_install_does_not_make_stays_where_it_is() -> None:
    plan: dict[str, Any] = {"name": "shop", "python": {"venv": "/usr"}, "uwsgi": {"options": {"virtualenv": "/usr", "plugins-dir": "/usr/lib/uwsgi"}}}
    (shop,) = deployed([plan], [{"name": "shop"}])
    assert shop["python"] == {"venv": "/usr"} and shop["uwsgi"]["options"] == plan["uwsgi"]["options"]
