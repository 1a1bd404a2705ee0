# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ledger: what becomes of each thing, what the plan gets of it, what a strict run says."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.plugin_utils import ledger, nginx_config, strict

NGINX = """# configuration file /etc/nginx/nginx.conf:
http {
  upstream api { server unix:/run/api.sock; }
  server { listen 80; server_name shop.test;
    location / { uwsgi_pass unix:/run/shop.sock; }
    location /static/ { root /srv/shop; } }
  server { listen 80; server_name api.test;
    location / { proxy_pass http://api; }
    location /old { proxy_pass http://127.0.0.1:9999; }
    location /far { proxy_pass http://10.0.0.9:80; }
    location /any { proxy_pass http://$backend; }
    location /plain { proxy_pass http://localhost:3000/; }
    location /graphs { proxy_pass http://127.0.0.1:3100; } }
}
"""


def server(name: str, listeners: list[str], **more: Any) -> dict[str, Any]:
    return {"name": name, "server": "gunicorn", "command": "gunicorn x", "user": "api", "group": "api", "unit": name + ".service", "by": f"unit {name}.service",
            "package": "", "listeners": listeners, "code": "/srv/api", "venv": "", "config": [], **more}


def listener(address: str, process: str, unit: str = "", **more: Any) -> dict[str, Any]:
    return {"address": address, "process": process, "user": "u", "unit": unit, "command": process, "package": "", "unit_package": "",
            "program": process, **more}


def process(program: str, unit: str = "", **more: Any) -> dict[str, Any]:
    return {"program": program, "user": "u", "unit": unit, "package": "", "unit_package": "", "command": program, "of": [], "listeners": [], **more}


def unit(name: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "path": "/etc/systemd/system/" + name, "state": "enabled", **more}


def evidence(**more: Any) -> dict[str, Any]:
    found = {"instances": [{"name": "shop", "sockets": [{"address": "/run/shop.sock", "problem": ""}]}], "converted": [], "blind": [], "managed": [],
             "app_servers": [server("api", ["unix:/run/api.sock"]),
                             server("plain", ["127.0.0.1:3000"], server="process", command="node /srv/plain/app.js", unit="", by=""),
                             server("stray", ["0.0.0.0:7000"], server="process", command="python3 /root/stray.py", unit="", by="")],
             "listeners": [listener("unix:/run/shop.sock", "uwsgi", of=["service", "shop"]),
                           listener("unix:/run/api.sock", "gunicorn", of=["app server", "api"]),
                           listener("127.0.0.1:3000", "node", of=["listener", "plain"]), listener("0.0.0.0:7000", "python3", of=["listener", "stray"]),
                           listener("0.0.0.0:22", "sshd", "ssh.service", package="openssh-server", unit_package="openssh-server"),
                           listener("127.0.0.1:3100", "grafana", "grafana.service", package="grafana", unit_package="grafana"),
                           listener("127.0.0.1:5432", "postgres", "pg.service", package="postgresql-15"), listener("0.0.0.0:45000", "x"),
                           listener("0.0.0.0:80", "nginx", "nginx.service", package="nginx")],
             "processes": [process("/usr/sbin/sshd", "ssh.service", package="openssh-server", unit_package="openssh-server"),
                           process("/root/stray.py", listeners=["0.0.0.0:7000"], of=["listener", "stray"]), process("/opt/mystery/run", "mystery.service"),
                           process("/srv/shop/worker.py", "supervisor.service", unit_package="supervisor", of=["worker", "shop"])],
             "units": [unit("ssh.service", package="openssh-server"), unit("mystery.service", command="/opt/mystery/run"),
                       unit("shop.service", of=["service", "shop"]), unit("shop-work.service", of=["worker", "shop"]),
                       unit("api.service", of=["app server", "api"]), unit("puppet-run.service"), unit("pg.service"),
                       unit("puppet-run.timer", starts="puppet-run.service", when="hourly", next="Tue 2030-01-01 00:00:00 UTC")],
             "cron": [{"kind": "cron", "source": "/etc/cron.d/shop", "when": "@daily", "user": "shop", "command": "a", "package": "",
                       "of": ["service", "shop"]},
                      {"kind": "cron", "source": "/var/spool/cron/crontabs/shop", "when": "@daily", "user": "shop", "command": "b", "package": "",
                       "of": ["service", "shop"]},
                      {"kind": "cron", "source": "/etc/cron.d/e2", "when": "@weekly", "user": "root", "command": "c", "package": "e2fsprogs"},
                      {"kind": "at", "source": "/var/spool/cron/atjobs/a1", "when": "at 2030-01-01 00:00", "user": "root", "command": "d", "package": ""}],
             "managers": [{"name": "puppet", "config": ["/etc/puppet/puppet.conf"], "manages": {"class": ["x"], "file": ["/a", "/b"]}, "runs": [
                 {"by": "timer", "what": "puppet-run.timer", "when": "hourly", "starts": "puppet-run.service", "next": "Tue 2030-01-01 00:00:00 UTC"}]}]}
    found.update(more)
    return found


def entries(verdict: str = "ready", kept: Any = (), **more: Any) -> dict[tuple[str, str], dict[str, Any]]:
    services = [{"name": "shop", "uwsgi": {"socket": "/run/shop.sock"}, "fit": {"verdict": verdict},
                 "needs": [{"kind": "postgresql", "address": "127.0.0.1:5432"}]}]
    made = ledger.Ledger(evidence(**more), services, nginx_config.parse(NGINX), kept).make()
    assert all(entry["status"] in ledger.STATUSES and entry["kind"] in ledger.KINDS for entry in made)
    return {(entry["kind"], entry["what"]): entry for entry in made}


def test_where_locations_lead_and_how_they_are_asked_for() -> None:
    text = """# configuration file /etc/nginx/nginx.conf:
stream { server { listen 5433; proxy_pass 127.0.0.1:5432; } }
http {
  server { server_name shop.test; root /srv; location / { try_files $uri /app; } location ~ ^/v[0-9] { } location = /app { uwsgi_pass unix:/run/shop.sock; } }
  server { server_name shop.test; location / { uwsgi_pass unix:/run/shop.sock; } } }
"""
    services = [{"name": "shop", "uwsgi": {"socket": "/run/shop.sock"}, "fit": {"verdict": "ready"},
                 "needs": [{"kind": "postgresql", "address": "127.0.0.1:5432"}]}]
    made = {entry["what"]: entry for entry in ledger.Ledger(evidence(), services, nginx_config.parse(text)).make() if entry["kind"] in ("vhost", "location")}
    place = "/etc/nginx/nginx.conf:"
    assert made["shop.test / -> /srv/"] == {"kind": "location", "what": "shop.test / -> /srv/", "status": "converted", "service": "shop",
                                            "evidence": place + "3; goes on to = /app", "url": "http://shop.test/"}
    assert made["shop.test ~ ^/v[0-9] -> /srv"]["url"] == "http://shop.test/v0"
    assert made["stream server on 5433"]["evidence"] == place + "1"
    assert made["stream server on 5433 * -> proxy_pass 127.0.0.1:5432"]["status"] == "external"
    assert [entry["evidence"] for entry in made.values() if "no request" in entry["evidence"]] == [
        f"{place}4; no request reaches it: shop.test at 80 is the server's at {place}3"]


@pytest.mark.parametrize(("kind", "what", "status", "keys"), [
    ("vhost", "shop.test (80)", "converted", {"service": "shop"}),
    ("location", "shop.test / -> uwsgi_pass unix:/run/shop.sock", "converted", {"service": "shop"}),
    ("location", "shop.test /static/ -> /srv/shop/static/", "kept", {}),
    ("vhost", "api.test (80)", "kept", {}),
    ("location", "api.test / -> proxy_pass http://api (api)", "kept", {"app_server": "api"}),
    ("location", "api.test /old -> proxy_pass http://127.0.0.1:9999 (nobody listens there)", "unexplained", {}),
    ("location", "api.test /far -> proxy_pass http://10.0.0.9:80 (another host)", "external", {}),
    ("location", "api.test /any -> proxy_pass http://$backend (the target holds a variable)", "unexplained", {}),
    ("location", "api.test /plain -> proxy_pass http://localhost:3000/ (plain)", "kept", {"app_server": "plain"}),
    ("location", "api.test /graphs -> proxy_pass http://127.0.0.1:3100 (grafana)", "external", {}),
    ("listener", "unix:/run/shop.sock uwsgi", "converted", {"service": "shop"}),
    ("listener", "0.0.0.0:22 sshd", "external", {}),
    ("listener", "0.0.0.0:80 nginx", "kept", {}),
    ("listener", "0.0.0.0:7000 python3", "unexplained", {}),
    ("listener", "127.0.0.1:5432 postgres", "external", {"service": "shop"}),
    ("process", "/usr/sbin/sshd (u)", "external", {}),
    ("process", "/root/stray.py (u) at 0.0.0.0:7000", "unexplained", {}),
    ("process", "/opt/mystery/run (u)", "unexplained", {}),
    ("process", "/srv/shop/worker.py (u)", "kept", {"service": "shop"}),
    ("unit", "mystery.service", "unexplained", {}),
    ("unit", "shop.service", "converted", {"service": "shop"}),
    ("unit", "shop-work.service", "kept", {"service": "shop"}),
    ("unit", "api.service", "kept", {"app_server": "api"}),
    ("unit", "pg.service", "external", {"service": "shop"}),
    ("unit", "puppet-run.service", "kept", {}),
    ("timer", "puppet-run.timer (hourly)", "kept", {}),
    ("cron", "@daily shop a", "converted", {"service": "shop"}),
    ("cron", "@daily shop b", "converted", {"service": "shop"}),
    ("cron", "@weekly root c", "external", {}),
    ("at", "at 2030-01-01 00:00 root d", "unexplained", {}),
    ("app server", "api: gunicorn x", "kept", {"app_server": "api"}),
    ("manager", "puppet: timer puppet-run.timer (hourly); manages 1 class, 2 files", "kept", {}),
])
def test_statuses(kind: str, what: str, status: str, keys: dict[str, str]) -> None:
    entry = entries()[kind, what]
    assert entry["status"] == status and {key: entry[key] for key in ("service", "app_server") if key in entry} == keys


def test_what_is_not_told() -> None:
    found = entries()
    assert ("listener", "0.0.0.0:45000 x") not in found
    assert not any(what.startswith("stray") for kind, what in found if kind == "app server")


def test_a_blocked_service_stays() -> None:
    found = entries("blocked")
    assert {found[key]["status"] for key in found if found[key].get("service") == "shop"} == {"kept", "external"}


def test_the_plan_says_each_thing_once_and_no_times() -> None:
    made = list(entries().values())
    unexplained = [(item["kind"], item["what"]) for item in ledger.findings(made, "unexplained")]
    assert ("unit", "mystery.service") in unexplained and ("process", "/root/stray.py (u) at 0.0.0.0:7000") in unexplained
    assert not any(kind == "listener" or "mystery/run" in what for kind, what in unexplained)
    kept = ledger.findings(made, "kept")
    assert sorted(item["what"].split(":")[0] for item in kept) == ["api", "plain", "puppet"]
    assert "nginx leads to it from api.test /" in next(item["evidence"] for item in kept if item["what"].startswith("api"))
    assert not any("2030-01-01 00:00:00" in str(item) for item in kept)
    assert [entry["next"] for entry in made if entry["kind"] == "manager"] == ["Tue 2030-01-01 00:00:00 UTC"]
    assert [item["what"] for item in ledger.findings(made, "external") if item["kind"] == "listener"] == [
        "0.0.0.0:22 sshd", "127.0.0.1:3100 grafana", "127.0.0.1:5432 postgres"]


def test_a_socket_whose_application_waits_for_a_request() -> None:
    socket = unit("blog.socket", starts="blog.service", listen=["/run/blog.sock"])
    held = [listener("unix:/run/blog.sock", "systemd", "init.scope")]
    for waits, status in (("uwsgi --ini blog.ini", "kept"), ("", "unexplained")):
        found = entries(units=[{**socket, "waits": waits} if waits else socket], listeners=held)
        assert {found["unit", "blog.socket"]["status"], found["listener", "unix:/run/blog.sock systemd"]["status"]} == {status}


def test_a_person_explains() -> None:
    reasons = [{"what": "mystery*", "reason": "measures the room"}, {"what": "*", "reason": "all", "kind": "at"}]
    found = entries(kept=reasons, blind=["x: Permission denied"])
    assert found["unit", "mystery.service"]["status"] == "kept" and found["unit", "mystery.service"]["evidence"] == "measures the room"
    assert found["at", "at 2030-01-01 00:00 root d"]["status"] == "kept"
    assert found["unit", "ssh.service"]["status"] == "external"
    assert found["blind", "x: Permission denied"]["status"] == "unexplained"
    assert found["process", "/root/stray.py (u) at 0.0.0.0:7000"]["status"] == "unexplained"
    everything = entries(kept=[{"what": "*", "reason": "r"}, {"what": "x:*", "reason": "r", "kind": "blind"}], blind=["x: Permission denied"])
    assert not [entry for entry in everything.values() if entry["status"] == "unexplained"]


def test_the_refusal() -> None:
    assert not strict.refusal("h", [])
    text = strict.refusal("h", [{"kind": "unit", "what": f"u{number}.service"} for number in range(6)] + [{"kind": "blind", "what": "no root"}], "/r.html")
    assert text == ("webstack_strict: on h 6 things are unexplained and 1 place could not be looked at: unit u0.service; unit u1.service; unit u2.service; "
                    "unit u3.service; 3 more (all of them in /r.html); remove them, or say in webstack_kept why they stay")
    assert strict.refusal("h", [{"kind": "blind", "what": "a"}]).startswith("webstack_strict: on h 1 place could not be looked at: blind a;")
