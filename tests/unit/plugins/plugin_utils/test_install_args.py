# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the installing modules are given, and what install refuses."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.plugin_utils import install_args, model


def services(*definitions: dict[str, Any]) -> list[model.Service]:
    return model.complete_all(list(definitions))


@pytest.mark.parametrize(("definitions", "complaint"), [
    ([{"name": "a", "secrets": [{"name": "S", "source": "unit:a.service"}]}],
     "services[a].secrets[S].source: install supports file:PATH and uwsgi:/etc/webstack/vassals/a.ini, not 'unit:a.service'"),
    ([{"name": "a", "uwsgi": {"socket": "/run/a.sock"}}],
     "services[a].uwsgi.socket: '/run/a.sock' stands in /run, which is not the service's own; give it a directory of its own such as /run/uwsgi/a/uwsgi.sock"),
    ([{"name": "a", "uwsgi": {"socket": "/run/x/a"}}, {"name": "b", "uwsgi": {"socket": "/run/x/b"}}],
     "services a and b have their sockets in one directory '/run/x'"),
])
def test_refusals(definitions: list[dict[str, Any]], complaint: str) -> None:
    with pytest.raises(model.ModelError) as caught:
        install_args.check(services(*definitions))
    assert str(caught.value) == complaint


def test_vassals() -> None:
    definition = {"name": "a", "secrets": [{"name": "S", "source": "uwsgi:/etc/webstack/vassals/a.ini"}, {"name": "key", "source": "file:/etc/a/key"}],
                  "nginx": {"sites": [{"server_names": ["_", "~x", "a.test"]}]}, "health": {"path": "/ok"}}
    [vassal] = install_args.vassals(services(definition), {"a": {"S": "50%"}})
    assert vassal["secret_lines"] == {"S": "env = S=50%%"} and "S=" not in vassal["content"]
    assert vassal["watch"] == ["/var/lib/webstack/a/code.json", "/srv/a/venv/.webstack.json", "/etc/a/key"]
    assert (vassal["health_host"], vassal["health_path"], vassal["socket"], vassal["group"]) == ("a.test", "/ok", "/run/uwsgi/a/uwsgi.sock", "a")
    with pytest.raises(model.ModelError, match="^service a: webstack_secrets has no value for its secret S$"):
        install_args.vassals(services(definition), {})


def test_webapps() -> None:
    [app] = install_args.webapps(services({
        "name": "a", "state": [{"path": "/srv/a/data/"}, {"path": "/srv/a/code/var"}],
        "nginx": {"static": [{"location": "/s/", "path": "/srv/a/static/"}, {"location": "/m/", "path": "/srv/a/data/media"},
                             {"location": "/c/", "path": "/srv/a/code/c"}]},
        "schedule": [{"when": "*  * * * *", "command": "x"}, {"when": "@daily", "user": "root", "command": "y"}],
        "secrets": [{"name": "key", "source": "file:/etc/a/key"}], "code": {"path": "/srv/a/code", "source": "./a"}}))
    assert app["directories"] == [
        {"path": "/srv/a/data", "mode": "0755"}, {"path": "/srv/a/code/var", "mode": "0750"}, {"path": "/srv/a/static", "mode": "0755"}]
    assert app["schedule"] == [{"when": "* * * * *", "user": "a", "command": "x"}, {"when": "@daily", "user": "root", "command": "y"}]
    assert app["secret_files"] == [{"name": "key", "path": "/etc/a/key"}]
    assert (app["code_source"], app["socket_dir"]) == ("./a", "/run/uwsgi/a")
    [tcp] = install_args.webapps(services({"name": "b", "uwsgi": {"socket": "127.0.0.1:1"}}))
    assert "socket_dir" not in tcp and "code_source" not in tcp


def test_venvs_commands_and_sites() -> None:
    given = services(
        {"name": "a", "python": {"requirements": "r.txt", "version": "3.11"}, "code": {"path": "/c", "prepare": [["python", "x"]]}},
        {"name": "b", "nginx": {"sites": []}})
    assert install_args.venvs(given) == [{"name": "a", "path": "/srv/a/venv", "requirements_file": "r.txt", "version": "3.11"}]
    assert [item["name"] for item in install_args.commands(given)] == ["a"]
    assert [item["name"] for item in install_args.sites(given)] == ["a"]
