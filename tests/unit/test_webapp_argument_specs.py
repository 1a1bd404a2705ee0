# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The role webapp's argument_specs says of a service definition what the schema says, and its validation lets pass what the schema lets pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import yaml
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from hypothesis import given, settings
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.plugin_utils import install_args, model, render_units
from ansible_collections.gantry.webstack.tests.unit.argument_specs import ROOT, differences, options, resolved

OPTIONS = options("webapp")
SERVICES = OPTIONS["webapp_services"]
SITES = {"webapp_services.nginx.sites"}
"""Told in the role nginx."""
SCHEMA = {"type": "array", "items": {"$ref": "#/$defs/service"}}


def complaints(*services: Any) -> list[str]:
    return ArgumentSpecValidator(OPTIONS).validate({"webapp_services": list(services)}).error_messages


def test_spec_and_schema_agree() -> None:
    assert differences("webapp_services", SERVICES, SCHEMA, closed=SITES) == []


def test_a_difference_is_seen() -> None:
    inside = SERVICES["options"]
    workers = {**inside["workers"], "options": {name: option for name, option in inside["workers"]["options"].items() if name != "stop_timeout"}}
    health = {**inside["health"], "options": {**inside["health"]["options"], "path": {"type": "path", "description": "x"}}}
    changed = {**SERVICES, "options": {**inside, "workers": workers, "health": health, "environment": {**inside["environment"], "options": {}}}}
    assert sorted(found.partition(": ")[0] for found in differences("webapp_services", changed, SCHEMA, closed=SITES)) == [
        "webapp_services.environment", "webapp_services.health.path", "webapp_services.workers"]


def test_sites_are_those_of_the_role_nginx() -> None:
    text = " ".join(SERVICES["options"]["nginx"]["options"]["sites"]["description"])
    ours, theirs = set(resolved({"$ref": "#/$defs/nginx_site"})["properties"]), set(options("nginx")["nginx_sites"]["options"])
    without, _comma, more = text.partition(", and four more")
    assert ours - theirs == {"location", "params", "path", "uri"} and all(f"C({name})" in more for name in ours - theirs)
    assert theirs - ours == {name for name in theirs if f"C({name})" in without.partition("without")[2]}


# What is assumed where a definition is silent.


def constants(first: Any, second: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """What two completed services have in common, by place."""
    for name in first:
        if isinstance(first[name], dict) and first[name]:
            yield from constants(first[name], second[name], f"{where}{name}.")
        elif first[name] == second[name]:
            yield f"{where}{name}", first[name]


def defaults(inside: Mapping[str, Any], where: str = "") -> Iterator[tuple[str, Any]]:
    """Defaults of options that are not in a list."""
    for name, option in inside.items():
        if "default" in option:
            yield where + name, option["default"]
        if option["type"] == "dict":
            yield from defaults(option.get("options", {}), f"{where}{name}.")


def test_defaults_are_what_the_model_assumes() -> None:
    assumed = dict(constants(model.complete({"name": "a"}), model.complete({"name": "b"})))
    found = dict(defaults(SERVICES["options"]))
    assert len(assumed) > 10 and {name: found.get(name) for name in assumed} == assumed
    assert set(found) - set(assumed) == {"nginx.sites", "code.git.version", "code.git.submodules", "code.archive.strip", "code.check", "code.migrate",
                                         "code.prepare", "uwsgi.stats", "uwsgi.log"}


def filled(definition: Any, option: Mapping[str, Any]) -> Any:
    """A definition with all defaults of the options in it."""
    if isinstance(definition, list):
        return [filled(item, option) for item in definition]
    if not isinstance(definition, dict) or "options" not in option:
        return definition
    inside = option["options"]
    return {**{name: more["default"] for name, more in inside.items() if "default" in more},
            **{name: filled(value, inside[name]) for name, value in definition.items()}}


def arguments(module: str, option: str, value: Any) -> Any:
    """An argument of a module with the defaults that its documentation has."""
    text = (ROOT / f"plugins/modules/{module}.py").read_text(encoding="utf-8").partition('DOCUMENTATION = r"""')[2].partition('"""')[0]
    result = ArgumentSpecValidator({option: yaml.safe_load(text.replace("suboptions:", "options:"))["options"][option]}).validate({option: value})
    assert result.error_messages == []
    return result.validated_parameters[option]


def installed(definition: dict[str, Any]) -> dict[str, Any]:
    """All that install tells the modules of a definition."""
    [service] = install_args.check(model.complete_all([definition]))
    return {
        "webapps": arguments("webapps", "services", install_args.webapps([service])),
        "venvs": arguments("python_venvs", "venvs", install_args.venvs([service])),
        "commands": install_args.commands([service]), "vassals": install_args.vassals([service]), "checks": install_args.uwsgi_checks([service]),
        "sites": install_args.sites([service]), "units": render_units.units([service]),
    }


@pytest.mark.parametrize("code", [{"git": {"repo": "r"}}, {"archive": {"path": "p", "sha256": "0" * 64}}, {"source": "s"}])
@pytest.mark.parametrize("python", [{}, {"requirements": __file__}], ids=["bare", "locked"])
def test_saying_a_default_changes_nothing(code: dict[str, Any], python: dict[str, Any]) -> None:
    silent = {"name": "a", "user": {"name": "a"}, "code": code, "python": python, "uwsgi": {}, "nginx": {}, "health": {},
              "workers": [{"name": "w", "command": "x"}], "schedule": [{"when": "@daily", "command": "y"}]}
    told = filled(silent, {"options": SERVICES["options"]})
    assert told["workers"][0]["instances"] == 1 and told["schedule"][0]["persistent"] is False and told["code"]["keep"] == 3
    assert installed(told) == installed(silent)


# What passes.

FULL: dict[str, Any] = {
    "name": "shop", "runtime": "host", "user": {"name": "shop", "uid": 2001, "group": "shop", "gid": 2001},
    "code": {"path": "/srv/shop/current", "source": "shop", "git": {"repo": "r", "version": "v1", "subdirectory": "d", "submodules": True},
             "archive": {"path": "p", "url": "https://x/p", "sha256": "0" * 64, "strip": 1}, "keep": 1, "release": "previous",
             "check": [["python", "check.py"]], "migrate": [["a"], ["b", "c d"]], "prepare": []},
    "python": {"version": "3.11", "interpreter": "/opt/python/bin/python3", "origin": "uv", "venv": "/srv/shop/venv", "requirements": "r.txt",
               "system_site_packages": True, "index_url": "https://x/", "extra_index_urls": ["https://y/"], "wheel_dir": "w", "no_index": False,
               "distributions": [{"name": "flask", "version": "3"}], "shared_distributions": [{"name": "pip", "version": "25"}], "patched": ["a.py"],
               "added": ["b.py"], "editable": ["shop /srv/shop"], "direct_urls": ["x https://x/"], "pth": ["a.pth adds /x"], "unowned": ["c"],
               "unverified": ["d"]},
    "uwsgi": {"origin": "venv", "version": "2.0.21", "binary": "/usr/bin/uwsgi", "config": "/etc/uwsgi/shop.ini", "socket": "127.0.0.1:3031",
              "protocol": "http",
              "stats": "127.0.0.1:1717", "log": "journal",
              "manager": {"kind": "emperor", "unit": "uwsgi.service", "socket": "shop.socket", "vassal": "/etc/uwsgi/shop.ini"},
              "options": {"module": "shop", "processes": 2, "master": True, "mule": ["a.py", 2]}},
    "nginx": {"sites": [{"file": "/etc/nginx/x", "listen": ["80"], "server_names": ["shop.test"], "location": "/", "params": {"A": "b"}, "access_log": False}],
              "static": [{"location": "/static/", "path": "/srv/shop/static"}]},
    "system_packages": [{"name": "libpq5", "version": "15"}, {"name": "media-types"}], "environment": {"A": "b", "name": "c"},
    "secrets": [{"name": "key", "source": "file:/etc/shop/key"}, {"name": "TOKEN"}],
    "state": [{"path": "/srv/shop/media", "kind": "uploads", "evidence": "written to", "volume": True}],
    "files": [{"path": "/etc/shop.conf", "evidence": "open"}],
    "tools": ["/usr/bin/convert"],
    "workers": [{"name": "w", "command": "x", "user": "root", "instances": 2, "stop_timeout": 9, "memory_max": "200M", "writable": ["/x"], "extra": ["Nice=5"]},
                {"kind": "unit", "what": "shop-mail.service", "evidence": "/etc/systemd/system/shop-mail.service", "runs": "x"}],
    "schedule": [{"source": "/etc/cron.d/shop", "name": "j", "when": "* * * * *", "user": "root", "command": "x", "persistent": True, "timeout": 9,
                  "memory_max": "10%", "writable": ["/x"], "extra": ["Nice=5"]}],
    "needs": [{"kind": "postgresql", "address": "unix:/run/postgresql/.s.PGSQL.5432", "process": "postgres", "unit": "postgresql.service"}],
    "health": {"path": "/health", "status": 204, "timeout": 3, "host": "shop.test"},
    "container": {"base": "debian:bookworm-slim", "build_packages": ["gcc"], "venv": "rebuilt",
                  "packages": ["aspell-fr"], "paths": ["/opt/fonts"], "memory": "512M", "pids": 64, "log": "file"},
    "fit": {"verdict": "remarks", "reasons": ["it runs as root"]},
}


def lacking(definition: Any, option: Mapping[str, Any], where: str = "") -> list[str]:
    """Options that a definition does not have."""
    items = definition if isinstance(definition, list) else [definition]
    found: list[str] = []
    for name, more in option.get("options", {}).items():
        values = [item[name] for item in items if name in item]
        found += [where + name] if not values else lacking([one for value in values for one in (value if isinstance(value, list) else [value])],
                                                           more, f"{where}{name}.")
    return found


def test_a_full_definition_passes() -> None:
    assert lacking(FULL, SERVICES) == []
    model.validate({"version": 1, "host": "-", "services": [FULL]})
    assert complaints(FULL, {"name": "a", "uwsgi": {"stats": True}}) == []


def definitions(node: Any) -> Iterator[dict[str, Any]]:
    """The service definitions in a file of variables or a playbook."""
    if isinstance(node, dict):
        if isinstance(node.get("name"), str) and any(isinstance(node.get(key), dict) for key in ("code", "uwsgi")):
            yield node
        else:
            for value in node.values():
                yield from definitions(value)
    elif isinstance(node, list):
        for value in node:
            yield from definitions(value)


def test_the_definitions_of_services_and_scenarios_pass() -> None:
    paths = [ROOT / "tests/apps/services.yml", *sorted((ROOT / "extensions/molecule").glob("*/*.yml"))]
    found = [service for path in paths for service in definitions(yaml.safe_load(path.read_text(encoding="utf-8")))]
    assert {service["name"] for service in found} >= {
        "httpbin", "pypiserver", "guestbook", "hello", "shop", "album", "post", "first", "second", "press", "orbit", "forge"}
    assert complaints(*found) == []


def whatever(fragment: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Whatever fits a fragment of the schema; of sites, whose insides the spec leaves open, one."""
    if fragment.get("$ref") == "#/$defs/nginx_site":
        return st.just({"server_names": ["a.test"], "gzip": True})
    fragment = resolved(fragment)
    if "anyOf" in fragment and "properties" not in fragment:
        return st.one_of([whatever(one) for one in fragment["anyOf"]])
    if "enum" in fragment:
        return st.sampled_from(fragment["enum"])
    if isinstance(fragment["type"], list):
        return st.one_of([whatever({**fragment, "type": kind}) for kind in fragment["type"]])
    if fragment["type"] == "object":
        others = fragment["additionalProperties"]
        if isinstance(others, dict):
            return st.dictionaries(st.text(max_size=3), whatever(others), max_size=2)
        required = set(fragment.get("required", [])) | set(fragment["anyOf"][0]["required"] if "anyOf" in fragment else [])
        inside = {name: whatever(value) for name, value in fragment["properties"].items()}
        return st.fixed_dictionaries({name: inside[name] for name in required}, optional={name: inside[name] for name in set(inside) - required})
    if fragment["type"] == "array":
        return st.lists(whatever(fragment["items"]), min_size=fragment.get("minItems", 0), max_size=2)
    if fragment["type"] == "integer":
        numbers = st.integers(fragment.get("minimum", -9), fragment.get("maximum", 2**31))
        return numbers | numbers.map(float)  # 3.0 is an integer to the schema
    if fragment["type"] == "boolean":
        return st.booleans()
    return st.from_regex(fragment["pattern"]) if "pattern" in fragment else st.text(min_size=fragment.get("minLength", 0), max_size=4)


@settings(max_examples=30)
@given(whatever({"$ref": "#/$defs/service"}))
def test_what_the_schema_lets_pass_passes(service: dict[str, Any]) -> None:
    model.hold(service, {"$ref": "#/$defs/service"}, "service")
    assert complaints(service) == []


# What does not.


@pytest.mark.parametrize("service, place", [
    ({"name": "shop", "cod": {}}, "webapp_services.cod"),
    ({"name": "shop", "uwsgi": {"sokcet": "/run/x"}}, "webapp_services.uwsgi.sokcet"),
    ({"name": "shop", "code": {"git": {"repo": "r", "branch": "b"}}}, "webapp_services.code.git.branch"),
    ({"name": "shop", "workers": [{"name": "w", "command": "x", "cmd": "y"}]}, "webapp_services.workers.cmd"),
])
def test_an_unknown_key_is_refused_in_one_sentence(service: dict[str, Any], place: str) -> None:
    [message] = complaints(FULL, service)
    assert message.startswith(f"{place}. Supported parameters include: ") and "\n" not in message


@pytest.mark.parametrize("service, message", [
    ({"name": "shop", "user": {"uid": 5}}, "missing required arguments: name found in webapp_services -> user"),
    ({"name": "shop", "python": {"origin": "brew"}},
     "value of origin must be one of: package, tree, pyenv, uv, conda, got: brew found in webapp_services -> python"),
])
def test_what_is_missing_or_no_choice_is_refused(service: dict[str, Any], message: str) -> None:
    assert complaints(service) == [message]
