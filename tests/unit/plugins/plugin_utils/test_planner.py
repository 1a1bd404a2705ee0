# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Evidence to plan: verdicts, the ledger, the same bytes twice."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.plugin_utils import model, planner, report
from ansible_collections.gantry.webstack.tests.unit.argument_specs import resolved

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "evidence" / "bookworm.json").read_text(encoding="utf-8"))


def evidence(**changes: Any) -> dict[str, Any]:
    """The recorded evidence with only the blog, changed at some keys of its facts."""
    data = copy.deepcopy(RECORDED)
    data["instances"] = [item for item in data["instances"] if item["name"] == "blog"]
    data["instances"][0].update({"schedule": []}, **changes)
    data["instances"][0]["python"].pop("patched")
    return data


def fit(**changes: Any) -> dict[str, Any]:
    return planner.plan("web1", evidence(**changes))["services"][0]["fit"]


def test_a_recorded_host() -> None:
    plan = planner.plan("web1", RECORDED)
    services = {service["name"]: service for service in plan["services"]}
    assert list(services) == ["blog", "calc", "wiki"]
    assert {name: service["fit"]["verdict"] for name, service in services.items()} == {"blog": "remarks", "calc": "ready", "wiki": "blocked"}
    assert services["blog"]["uwsgi"]["socket"] == "/run/uwsgi-emp/blog.sock"
    assert services["blog"]["uwsgi"]["manager"] == {"kind": "emperor", "unit": "emperor.service", "vassal": "/etc/emperor/blog.ini"}
    assert [site["location"] for site in services["blog"]["nginx"]["sites"]] == ["/blog/", "/"]
    assert services["wiki"]["state"][0]["path"] == "/opt/wiki/src/uploads"
    assert services["wiki"]["secrets"] == [{"name": "WIKI_PASSWORD", "source": "envfile:/etc/wiki/env"}]
    secrets = plan["edge"].pop("secrets")
    assert {"name": "BLOG_TOKEN", "source": "file:/etc/nginx/sites-enabled/all.conf"} in secrets
    assert plan["edge"] == {"version": "1.22.1", "binary": "/usr/sbin/nginx", "config": "/etc/nginx/nginx.conf", "user": "www-data", "group": "www-data"}
    assert [item["what"] for item in plan["unexplained"] if item["kind"] != "location"] == ["0 3 * * * root /usr/local/bin/nobody-knows"]
    dead = [item["what"] for item in plan["unexplained"] if item["kind"] == "location"]
    assert any(what.endswith("fastcgi_pass unix:/run/php.sock (nobody listens there)") for what in dead)


def test_the_same_evidence_gives_the_same_bytes() -> None:
    first = model.dumps(planner.plan("web1", RECORDED))
    shuffled = copy.deepcopy(RECORDED)
    for key in ("instances", "listeners", "cron"):
        random.Random(1).shuffle(shuffled[key])
    again = planner.plan("web1", json.loads(json.dumps(shuffled, sort_keys=True)))
    assert model.dumps(again) == first
    assert report.page(again) == report.page(model.loads(first, "x"))
    assert model.loads(first, "plan") == again


def test_ready() -> None:
    assert fit() == {"verdict": "ready"}


def test_a_socket_that_is_given_is_told_once() -> None:
    given = "supervisor keeps it and opens its socket"
    found = fit(manager={"kind": "", "unit": "", "vassal": ""}, not_convertible=given, sockets=[{"address": "/run/uwsgi-emp/blog.sock", "problem": given}])
    assert len([reason for reason in found["reasons"] if given in reason]) == 1


@pytest.mark.parametrize(("changes", "reason"), [
    ({"manager": {"kind": "", "unit": "", "vassal": ""}, "not_convertible": "no systemd unit and no emperor keeps it"},
     "nothing that can be set aside keeps it: no systemd unit and no emperor keeps it; have an emperor or a systemd unit of its own start it "
     "and its own configuration open its socket, then run discover again"),
    ({"warnings": ["/x.ini: a nested value of a"]}, "its configuration is not understood: /x.ini: a nested value of a"),
    ({"python": {"patched": []}}, None),
    ({"sockets": []}, "it has no socket of the uwsgi protocol or of http"),
    ({"sockets": [{"address": "/run/other.sock", "problem": ""}]}, "no nginx location leads to its socket /run/other.sock"),
    ({"sockets": [{"address": "127.0.0.1:9999", "problem": ""}]}, "no nginx location leads to its socket 127.0.0.1:9999"),
    ({"options": [["http-socket", ":8080"]]}, "its uWSGI opens more than its socket: option http-socket"),
    ({"workers": [{"kind": "attach-daemon", "what": "smart-attach-daemon = /x.pid x", "evidence": "/x.ini"}]},
     "its uWSGI runs more than web requests: smart-attach-daemon = /x.pid x; it goes on without its uWSGI, or runs before its application"),
    ({"workers": [{"kind": "spooler", "what": "spooler = spool", "evidence": "/x.ini"}]},
     "its uWSGI runs more than web requests: spooler = spool; its directory is not absolute"),
    ({"workers": [{"kind": "mule", "what": "mule = true", "evidence": "/x.ini"}]}, None),
    ({"hidden_options": ["dbpass"]}, "its option dbpass holds a secret value, which a plan cannot carry; move it to env or a file"),
    ({"schedule": [{"source": "/etc/cron.d/x", "when": "@daily", "user": "blog", "command": "x --token ***"}]},
     "the line in /etc/cron.d/x holds a secret value; move it to a file"),
    ({"secrets": [{"name": "A_KEY", "source": "unit:unknown"}]}, "where its secret A_KEY comes from is not known"),
    ({"user": {"name": "3001", "uid": 3001, "group": "3001", "gid": 3001}}, "its user 3001 has no name"),
    ({"sockets": [{"address": "/run/uwsgi-emp/blog.sock", "problem": "socket x is given by the environment"}]},
     "its socket cannot be moved: socket x is given by the environment"),
])
def test_blocked(changes: dict[str, Any], reason: str | None) -> None:
    found = fit(**changes)
    if reason is not None:
        assert found["verdict"] == "blocked" and reason in found["reasons"]


def at(address: str, directives: str, **facts: Any) -> dict[str, Any]:
    """The blog as a service that listens at ``address``, with other directives in place of its uwsgi_pass."""
    data = evidence(sockets=[{"address": address, "problem": "", **facts}])
    data["nginx"]["text"] = data["nginx"]["text"].replace("uwsgi_pass unix:/run/uwsgi-emp/blog.sock;", directives)
    return data


def test_a_tcp_seam_is_ready() -> None:
    service = planner.plan("w", at("127.0.0.1:9000", "uwsgi_pass 127.0.0.1:9000;"))["services"][0]
    assert service["fit"] == {"verdict": "ready"} and service["uwsgi"]["socket"] == "127.0.0.1:9000" and "protocol" not in service["uwsgi"]


def test_an_http_seam_says_how_it_is_asked() -> None:
    data = at(":8000", "proxy_set_header X-Real-IP $remote_addr; proxy_pass http://localhost:8000/in/;", protocol="http")
    data["instances"][0]["options"].append(["http-socket", ":8000"])
    service = planner.plan("w", data)["services"][0]
    assert service["uwsgi"]["protocol"] == "http"
    assert service["nginx"]["sites"][0]["params"] == {"Host": "localhost:8000", "X-Real-IP": "$remote_addr"}
    assert service["nginx"]["sites"][0]["uri"] == "/in/"
    assert service["fit"] == {"verdict": "remarks", "reasons": [
        "it listens at :8000 for more than nginx; who asks it there finds nobody while it is converted"]}


@pytest.mark.parametrize(("address", "directives", "reason"), [
    ("127.0.0.1:9000", "set $to 127.0.0.1:9000; uwsgi_pass $to;", "nginx reaches 127.0.0.1:9000 through a variable"),
    ("@blog", "uwsgi_pass unix:@blog;", "nginx reaches it at @blog; an abstract socket cannot be taken over"),
    ("127.0.0.1:9000", "uwsgi_pass 10.0.0.9:9000;", "no nginx location leads to its socket 127.0.0.1:9000"),
    ("127.0.0.1:9000", "proxy_pass http://127.0.0.1:9000;", "no nginx location leads to its socket 127.0.0.1:9000"),
])
def test_what_nginx_cannot_be_led_from_is_blocked(address: str, directives: str, reason: str) -> None:
    found = planner.plan("w", at(address, directives))["services"][0]["fit"]
    assert found["verdict"] == "blocked" and any(text.startswith(reason) for text in found["reasons"]), found


def test_a_socket_unit_s_service_is_ready_by_way_of_nginx() -> None:
    data = at("/run/a/b.sock", "uwsgi_pass unix:/run/a/b.sock;")
    data["instances"][0]["manager"] = {"kind": "unit", "unit": "b.service", "vassal": "", "socket": "b.socket"}
    service = planner.plan("w", data)["services"][0]
    assert service["fit"] == {"verdict": "ready"} and service["uwsgi"]["manager"] == {"kind": "unit", "unit": "b.service", "socket": "b.socket"}
    data["nginx"]["text"] = data["nginx"]["text"].replace("uwsgi_pass unix:/run/a/b.sock;", "set $to unix:/run/a/b.sock; uwsgi_pass $to;")
    found = planner.plan("w", data)["services"][0]["fit"]
    assert found["verdict"] == "blocked" and found["reasons"][0].startswith("nginx reaches /run/a/b.sock through a variable"), found


def test_a_manager_of_nginx_s_file_blocks_a_tcp_seam() -> None:
    data = at("127.0.0.1:9000", "uwsgi_pass 127.0.0.1:9000;")
    path = planner.plan("w", data)["services"][0]["nginx"]["sites"][0]["file"]
    data["managed"] = [{"by": "Ansible", "path": path}]
    found = planner.plan("w", data)["services"][0]["fit"]
    assert found["verdict"] == "blocked" and f"Ansible manages {path}, in which nginx has to be led elsewhere" in found["reasons"][0]


def test_a_shared_upstream_is_blocked() -> None:
    data = evidence(sockets=[{"address": "/run/wiki/uwsgi.sock", "problem": ""}])
    data["nginx"]["text"] = data["nginx"]["text"].replace("keepalive 4;", "server 10.0.0.9:9000;")
    assert "its upstream wiki has further servers: 10.0.0.9:9000" in planner.plan("w", data)["services"][0]["fit"]["reasons"]


@pytest.mark.parametrize(("changes", "remark"), [
    ({"workers": [{"kind": "timer", "what": "x.timer", "evidence": "/etc/systemd/system/x.timer"}]}, "x.timer uses its user, code or venv"),
    ({"schedule": [{"source": "/var/spool/cron/crontabs/blog", "when": "@daily", "user": "blog", "command": "x 100%"}]},
     "stays on the host, for it has an unescaped %"),
    ({"workers": [{"kind": "unit", "what": "x.service", "runs": "x", "user": "root", "evidence": "e"}]},
     "x.service uses its user, code or venv and stays on the host, for it runs as root (e)"),
    ({"secrets_in_source": [{"name": "SECRET_KEY", "file": "/x.py"}]}, "/x.py holds a secret value (SECRET_KEY)"),
    ({"state": [{"path": "/srv/blog/app", "evidence": "e"}]}, "its state lies in the code directory"),
    ({"state": [{"path": "/srv/blog", "evidence": "e"}]}, "holds the code directory too"),
    ({"warnings": ["/x.ini: $(HOME) has no value"]}, "/x.ini: $(HOME) has no value"),
    ({"user": {"name": "root", "uid": 0, "group": "root", "gid": 0}}, "it runs as root"),
])
def test_remarks(changes: dict[str, Any], remark: str) -> None:
    found = fit(**changes)
    assert found["verdict"] == "remarks" and any(remark in reason for reason in found["reasons"])


def test_options_keep_order_and_repetition() -> None:
    plan = planner.plan("w", evidence(options=[["b", "2"], ["a", "x"], ["b", "007"], ["flag", True], ["no", "false"], ["mode", "660"]]))
    options = plan["services"][0]["uwsgi"]["options"]
    assert list(options.items()) == [("b", [2, "007"]), ("a", "x"), ("flag", True), ("no", False), ("mode", 660)]


def test_two_instances_of_one_name() -> None:
    data = evidence()
    data["instances"].append({**copy.deepcopy(data["instances"][0]), "sockets": [{"address": "/run/b.sock", "problem": ""}]})
    assert [service["name"] for service in planner.plan("w", data)["services"]] == ["blog", "blog-2"]


def test_two_owners_of_one_socket() -> None:
    data = evidence()
    data["instances"].append({**copy.deepcopy(data["instances"][0]), "name": "copy"})
    first, second = planner.plan("w", data)["services"]
    assert first["fit"]["verdict"] == "ready" and "socket" not in second["uwsgi"]
    assert second["fit"]["reasons"][0] == "blog has the same socket /run/uwsgi-emp/blog.sock"


def test_converted_services_come_from_their_journal() -> None:
    data = evidence()
    data["converted"] = [{"name": "moved", "uwsgi": {"socket": "/run/wiki/uwsgi.sock"}}]
    plan = planner.plan("w", data)
    assert [(service["name"], service["runtime"]) for service in plan["services"]] == [("blog", "host"), ("moved", "container")]
    assert not any("wiki.test" in item["what"] for item in plan["unexplained"])


def test_strange_listeners_are_unexplained() -> None:
    data = evidence()
    known = [("0.0.0.0:22", "ssh.service", "openssh-server"), ("127.0.0.1:7000", "", ""), ("127.0.0.1:45000", "", "")]
    data["listeners"] = [{"address": address, "process": "p", "user": "u", "unit": unit, "package": package, "command": "/opt/p"}
                         for address, unit, package in known]
    plan = planner.plan("w", data)
    assert {"kind": "listener", "what": "0.0.0.0:22 p", "evidence": "ssh.service"} in plan["external"]
    assert [item["what"] for item in plan["unexplained"] if item["kind"] == "listener"] == ["127.0.0.1:7000 p"]


def test_a_broken_nginx_configuration_hides_nothing_else() -> None:
    data = evidence()
    text = data["nginx"]["text"].replace("server_name wiki.test;", "server_name wiki.test;;")
    assert text != data["nginx"]["text"]
    plan, entries = planner.explain("web1", {**data, "blind": ["nginx refuses ..."], "nginx": {**data["nginx"], "text": text, "error": "unexpected ..."}})
    assert [item["name"] for item in plan["services"]] == [item["name"] for item in planner.plan("web1", data)["services"]]
    assert all(service["fit"]["reasons"][-1].startswith("nginx refuses its configuration on disk (unexpected ...)") for service in plan["services"])
    blind = [entry["what"] for entry in entries if entry["kind"] == "blind"]
    assert "nginx refuses ..." in blind and [item for item in blind if "/etc/nginx/sites-enabled/all.conf:" in item], blind


def test_an_expression_gets_a_path_that_nginx_gives_to_it() -> None:
    data = evidence()
    text = data["nginx"]["text"].replace("location = /calc { uwsgi_pass unix:///run/uwsgi-emp/calc.sock",
                                         r"location ~ ^/calc/(add|sub)/\d+$ { uwsgi_pass unix:/run/uwsgi-emp/blog.sock")
    assert text != data["nginx"]["text"]
    sites = planner.plan("web1", {**data, "nginx": {**data["nginx"], "text": text}})["services"][0]["nginx"]["sites"]
    assert [site.get("path") for site in sites] == [None, None, "/calc/add/1"]


def test_a_host_without_anything_that_serves() -> None:
    with pytest.raises(planner.PlanError) as caught:
        planner.plan("web1", {**evidence(), "nginx": None, "instances": []})
    assert str(caught.value) == ("web1: no nginx, no uWSGI and no other application server runs here, so there is nothing to plan for; "
                                 "start them, or leave this host out")
    assert not planner.plan("web1", {**evidence(), "instances": []})["services"]
    alone = planner.plan("web1", {**evidence(), "nginx": None})["services"]
    assert [service["fit"]["verdict"] for service in alone] == ["blocked"]


@pytest.mark.parametrize("manager", [
    {"managers": [{"name": "puppet", "config": [], "runs": [], "manages": {"file": ["/etc/emperor/blog.ini", "/etc/motd"], "service": ["cron"]}}]},
    {"managed": [{"path": "/etc/emperor/blog.ini", "by": "puppet"}]},
])
def test_what_a_manager_writes_is_told(manager: dict[str, Any]) -> None:
    found = planner.plan("w", {**evidence(), **manager})["services"][0]["fit"]
    assert found["reasons"] == ["puppet manages /etc/emperor/blog.ini: tell it before convert, or it tries to bring back what is set aside "
                                "(a directory has the vassal's name meanwhile: puppet complains of it, or writes into it, and starts nothing)"]


def test_the_summary_fits_a_screen() -> None:
    lines = planner.summary(planner.plan("web1", RECORDED))
    assert lines[0] == "web1: 3 services, 0 kept, 1 external, 3 unexplained"
    assert len(lines) == 7 and all(len(line) < 150 for line in lines)
    many = planner.plan("web1", RECORDED)
    many["services"] *= 40
    for key in ("kept", "unexplained"):
        many[key] = [{"kind": "unit", "what": "x" * 300}] * 99
    lines = planner.summary(many, [{"what": "x" * 300, "next": "2030-01-01 00:00"}])
    assert len(lines) <= 24 and all(len(line) < 175 for line in lines)
    assert any(line.startswith("  and 108 more: ") for line in lines)


def test_every_key_of_a_list_in_a_definition_has_its_place() -> None:
    lists = {name: resolved(value) for name, value in model.schema()["$defs"]["service"]["properties"].items()}
    for name in ("secrets", "state", "files", "workers", "schedule", "needs", "system_packages"):
        item = dict.fromkeys(resolved(lists[name]["items"]).get("properties", {}), "x")
        assert planner._ordered([item]) == [item], name
