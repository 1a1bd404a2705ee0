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
     "services[a].secrets[S].source: install supports file:PATH and, when it is left out, an environment variable; not 'unit:a.service'"),
    ([{"name": "a", "uwsgi": {"socket": "/run/a.sock"}}],
     "services[a].uwsgi.socket: '/run/a.sock' stands in /run, which is not the service's own; give it a directory of its own such as /run/uwsgi/a/uwsgi.sock"),
    ([{"name": "a", "uwsgi": {"socket": "/run/x/a"}}, {"name": "b", "uwsgi": {"socket": "/run/x/b"}}],
     "services a and b have their sockets in one directory '/run/x'"),
    ([{"name": "a", "code": {"source": "x", "git": {"repo": "y"}}}], "services[a].code: source and git are given; code comes from one of them"),
    ([{"name": "a", "code": {"archive": {"sha256": "0" * 64}}}], "services[a].code.archive: give one of path and url"),
    ([{"name": "a", "code": {"path": "/srv/a", "source": "x"}}],
     "services[a].code.path: '/srv/a' is a link beside the directories releases, venvs and shared; give it a directory of its own such as /srv/a/current"),
    ([{"name": name, "code": {"path": f"/srv/x/{name}", "source": "x"}} for name in "ab"],
     "services a and b have their code.path in one directory '/srv/x'; releases need one each"),
    ([{"name": "a", "code": {"source": "x"}, "state": [{"path": "/srv/a/current/"}]}],
     "services[a].state: '/srv/a/current/' is the code itself; name the directories in it that are written to"),
    ([{"name": "a", "code": {"source": "x"}, "uwsgi": {"origin": "venv"}}],
     "services[a].uwsgi.origin: venv takes uWSGI from the service's own lock, and there is none; list uwsgi or pyuwsgi in python.requirements"),
])
def test_refusals(definitions: list[dict[str, Any]], complaint: str) -> None:
    with pytest.raises(model.ModelError) as caught:
        install_args.check(services(*definitions))
    assert str(caught.value) == complaint


def test_vassals() -> None:
    definition = {"name": "a", "secrets": [{"name": "S"}, {"name": "key", "source": "file:/etc/a/key"}],
                  "nginx": {"sites": [{"server_names": ["_", "~x", "a.test"]}]}, "health": {"path": "/ok"}}
    [vassal] = install_args.vassals(services(definition))
    assert vassal["watch"] == ["/var/lib/webstack/a/code.json", "/srv/a/current/.venv/.webstack.json", "/etc/a/key", "/etc/webstack/secrets/a.ini"]
    assert (vassal["health_host"], vassal["health_path"], vassal["socket"], vassal["group"]) == ("a.test", "/ok", "/run/uwsgi/a/uwsgi.sock", "a")
    with pytest.raises(model.ModelError, match="^service a: webstack_secrets has no value for its secret S$"):
        install_args.check_secrets(services(definition), {})
    with pytest.raises(model.ModelError, match="^webstack_secrets.a.S: a value with a line break"):
        install_args.check_secrets(services(definition), {"a": {"S": "x\ny"}})
    install_args.check_secrets(services(definition), {"a": {"S": "50%"}})


def test_webapps() -> None:
    [app] = install_args.webapps(services({
        "name": "a", "state": [{"path": "/srv/a/data/"}, {"path": "/srv/a/code/var"}],
        "nginx": {"static": [{"location": "/s/", "path": "/srv/a/static/"}, {"location": "/m/", "path": "/srv/a/data/media"},
                             {"location": "/c/", "path": "/srv/a/code/c"}]},
        "schedule": [{"when": "*  * * * *", "command": "x"}, {"when": "@daily", "user": "root", "command": "y"}],
        "secrets": [{"name": "key", "source": "file:/etc/a/key"}], "code": {"path": "/srv/a/code", "source": "./a"}}))
    assert app["directories"] == [
        {"path": "/srv/a/data", "mode": "0755"}, {"path": "/srv/a/code/var", "mode": "0750"}]
    assert app["static"] == ["/srv/a/static", "/srv/a/code/c"]
    assert app["secret_files"] == [{"name": "key", "path": "/etc/a/key"}]
    assert (app["code_source"], app["socket_dir"]) == ("./a", "/run/uwsgi/a")
    [tcp] = install_args.webapps(services({"name": "b", "uwsgi": {"socket": "127.0.0.1:1"}}))
    assert "socket_dir" not in tcp and "code_source" not in tcp


def test_venvs_commands_and_sites() -> None:
    given = services(
        {"name": "a", "python": {"requirements": "r.txt", "version": "3.11"}, "code": {"path": "/c", "prepare": [["python", "x"]]}},
        {"name": "b", "nginx": {"sites": []}})
    assert install_args.venvs(given) == [{"name": "a", "path": "/c/.venv", "requirements_file": "r.txt", "version": "3.11"}]
    assert install_args.venvs(given, {"a": {"venv": "/srv/a/venvs/1"}})[0]["path"] == "/srv/a/venvs/1"
    assert install_args.venvs(given, {"a": {"pinned": True}}) == []
    assert [item["name"] for item in install_args.commands(given)] == ["a"]
    assert [item["name"] for item in install_args.sites(given)] == ["a"]


def test_code_without_a_lock_gets_the_interpreter_as_it_is() -> None:
    given = services(
        {"name": "a", "code": {"source": "x"}, "python": {"version": "3.11"}},
        {"name": "b", "code": {"source": "x"}, "python": {"system_site_packages": False}},
        {"name": "c", "code": {"source": "x"}, "python": {"venv": "/opt/c"}}, {"name": "d"},
        {"name": "e", "code": {"source": "x"}, "uwsgi": {"options": {"home": "/usr"}}})
    assert install_args.venvs(given) == [
        {"name": "a", "path": "/srv/a/current/.venv", "requirements": "", "system_site_packages": True, "version": "3.11"},
        {"name": "b", "path": "/srv/b/current/.venv", "requirements": "", "system_site_packages": False}]
    one, two, *others = install_args.webapps(given)
    assert one["lock_digest"] == two["lock_digest"] and not any("lock_digest" in app for app in others)
    assert (one["system_site_packages"], two["system_site_packages"], one["version"]) == (True, False, "3.11")


def test_pinned() -> None:
    [one, two] = install_args.pinned(services({"name": "a"}, {"name": "b"}), {"b": "previous"})
    assert "release" not in one["code"] and two["code"]["release"] == "previous"
    with pytest.raises(model.ModelError, match="^webapp_release: no service 'c'; there are a$"):
        install_args.pinned(services({"name": "a"}), {"c": "previous"})
    with pytest.raises(model.ModelError, match="^webapp_release.a: '../x' is not the ID"):
        install_args.pinned(services({"name": "a"}), {"a": "../x"})


MIGRATING = {"name": "a", "code": {"source": "x", "migrate": [["m"]], "prepare": [["p"]]}}


def told(**hosts: dict[str, Any]) -> Any:
    return lambda host: hosts.get(host, {})


def test_one_host_migrates_for_all_that_get_the_same_code() -> None:
    staged = {"one": {"a": {"origin": "1"}}, "two": {"a": {"origin": "1"}}, "other": {"a": {"origin": "2"}}}
    for host, postponed in (("one", ["prepare"]), ("two", ["prepare", "migrate"]), ("other", ["prepare"])):
        found = install_args.commands(services(MIGRATING), staged[host])
        [entry] = install_args.before(found, host, list(staged), told(**staged))
        assert entry["postponed"] == postponed
    found = install_args.commands(services(MIGRATING), staged["two"])
    [entry] = install_args.before(found, "two", ["two", "other"], told(**staged))
    assert entry["postponed"] == ["prepare"]  # the first one has failed meanwhile


def test_nobody_goes_on_without_the_migration() -> None:
    found = install_args.commands(services(MIGRATING), {"a": {"origin": "1"}})
    [entry] = install_args.after(found, "two", ["one", "two"], told(one={"a": "1"}))
    assert entry["migrated_by"] == "one" and entry["check"] == []
    [entry] = install_args.after(found, "one", ["one", "two"], told(one={"a": "1"}))
    assert entry["migrated_by"] is None
    with pytest.raises(model.ModelError, match="^service a: its migration did not succeed on the host that runs it for all"):
        install_args.after(found, "two", ["one", "two"], told(one={"a": "0"}))
    assert install_args.commands(services(MIGRATING), {"a": {"origin": "1", "pinned": True}})[0]["migrate"] == []
