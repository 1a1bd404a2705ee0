"""Plans, ledgers and sizes of hosts with any number of services, with the names that people do not expect."""

from __future__ import annotations

from typing import Any

from ansible_collections.gantry.webstack.plugins.plugin_utils import model

ODD = ["shop", "wiki", "the-longest-name-of-a-service-that-a-definition-takes.63-letter", "x", "Blog.2", "WWWWWWWWMMMMMMMM_underscored-WWWWWWWWWWWWW"]
HOSTS = ["shop.example.org", "bücher.example", "例え.テスト", "<b>bold</b>&amp;\"quoted\"", "*.a-very-long-name-of-a-virtual-host.with-many.labels.example.org",
         "~^(www\\.)?(?<name>.+)$"]
PATHS = ["/var/lib/{name}/uploads", "/srv/{name}/média & Söhne/<script>alert(1)</script>", "/srv/{name}/" + "deep/" * 30 + "end",
         "/var/lib/{name}/Ελληνικά.db"]
REASONS = {"ready": [], "remarks": ["5 installed files differ from what was installed: a.py, b.py, c.py ...", "it runs as root"],
           "blocked": ["nginx reaches it at 127.0.0.1:9000; only the path of a UNIX socket can be taken over",
                       "its uWSGI runs more than web requests: spooler = /var/spool/<x>", "its option dbpass holds a secret value"]}


def name(number: int) -> str:
    """Odd ones first."""
    return ODD[number] if number < len(ODD) else f"service-{number:02d}"


def service(number: int) -> model.Service:
    """One service; what it has follows from its number."""
    own = name(number)
    verdict = ("ready", "remarks", "ready", "blocked", "ready")[number % 5]
    made: model.Service = {
        "name": own, "runtime": "container" if number % 7 == 4 else "host", "user": {"name": "shop", "uid": 2001 + number, "group": "shop", "gid": 2001},
        "code": {"path": f"/srv/{own}/current"},
        "python": {"version": "3.11.2", "interpreter": "/usr/bin/python3.11", "origin": "package", "venv": f"/srv/{own}/venv",
                   "distributions": [{"name": f"Distribution{item}", "version": f"1.{item}"} for item in range(30)]},
        "uwsgi": {"origin": "package", "version": "2.0.21", "binary": "/usr/bin/uwsgi-core", "config": f"/etc/uwsgi/{own}.ini",
                  "socket": f"/run/uwsgi/{own}/uwsgi.sock", "options": {"processes": 4, "master": True, "env": ["A=1", "B=2"]},
                  "manager": {"kind": "emperor", "unit": "uwsgi-emperor.service", "vassal": f"/etc/uwsgi/{own}.ini"}},
        "nginx": {"sites": [{"file": "/etc/nginx/sites-enabled/x", "listen": ["443 ssl http2", "[::]:443 ssl"],
                             "server_names": [HOSTS[(number // 2) % len(HOSTS)]], "location": f"/{own}/"}],
                  "static": [{"location": "/static/", "path": f"/srv/{own}/static/"}]},
        "system_packages": [{"name": f"libpackage{item}", "version": "1.2-3+deb12u1"} for item in range(25)],
        "environment": {"LANG": "C.UTF-8", "GREETING": "<i>grüß Gott</i>"},
        "secrets": [{"name": "DATABASE_URL", "source": f"envfile:/etc/{own}/env"}],
        "state": [{"path": path.format(name=own), "evidence": "open for writing"} for path in PATHS[:number % 4]],
        "schedule": [{"source": f"/etc/cron.d/{own}", "when": "*/5 * * * *", "user": "shop", "command": f"/srv/{own}/venv/bin/jobs > /dev/null 2>&1"}],
        "needs": [{"kind": "postgresql", "address": "unix:/run/postgresql/.s.PGSQL.5432"}],
        "health": {"path": "/", "status": 200},
        "fit": {"verdict": verdict, "reasons": REASONS[verdict]},
    }
    if number % 3 == 0:
        made["needs"].append({"kind": "redis", "address": "127.0.0.1:6379"})
    if number % 5 == 3:
        made["uwsgi"]["socket"] = f"127.0.0.1:{9000 + number}"
        made["nginx"]["sites"] = []
    if number == 1:
        made["state"] = [{"path": f"/var/lib/wiki/{item}"} for item in range(11)]
    return made


def plan(services: int, host: str = "") -> model.Plan:
    """A valid plan."""
    return model.validate({
        "version": 1, "host": host or f"web{services}.example.org", "services": [service(number) for number in range(services)],
        "edge": {"version": "1.22.1", "binary": "/usr/sbin/nginx", "config": "/etc/nginx/nginx.conf", "user": "www-data", "group": "www-data"},
        "external": [{"kind": "listener", "what": "0.0.0.0:22 sshd", "evidence": "ssh.service"},
                     {"kind": "location", "what": "<b>x</b> ~ \\.php$ -> fastcgi_pass unix:/run/php.sock", "evidence": "/etc/nginx/sites-enabled/php:12"}],
        "unexplained": [{"kind": "cron", "what": "0 3 * * * root /usr/local/bin/nobody-knows", "evidence": "/etc/cron.d/x"}] if services else []})


def ledger(services: int) -> list[dict[str, str]]:
    """A host's ledger: some entries for each service, and what is on every host."""
    found = [{"kind": "unit", "what": unit, "status": "external", "evidence": "package of Debian"} for unit in ("ssh.service", "cron.service", "dbus.service")]
    found += [{"kind": "listener", "what": "0.0.0.0:22 sshd", "status": "external", "evidence": "ssh.service"},
              {"kind": "process", "what": "gunicorn: master [<app>]", "status": "kept", "evidence": "/etc/systemd/system/app.service"},
              {"kind": "cron", "what": "0 3 * * * root /usr/local/bin/nobody-knows " + "argument" * 30, "status": "unexplained", "evidence": "/etc/cron.d/x"}]
    for number in range(services):
        own = name(number)
        moved = {"status": "converted", "service": own}
        found += [{"kind": "listener", "what": f"unix:/run/uwsgi/{own}/uwsgi.sock", **moved, "evidence": f"/etc/uwsgi/{own}.ini"},
                  {"kind": "location", "what": f"{HOSTS[number % len(HOSTS)]} /{own}/", **moved, "evidence": "/etc/nginx/sites-enabled/x:3"}]
    return found


def sizes(services: int) -> dict[str, Any]:
    """Of state, code and virtual environments."""
    found: dict[str, Any] = {}
    for number in range(services):
        for place, item in enumerate(service(number)["state"]):
            found[item["path"]] = {"bytes": 7 ** (place + 3) * 10 ** (number % 9), "complete": place != 2}
        found[f"/srv/{name(number)}/current"] = {"bytes": 4_200_000, "complete": True}
        found[f"/srv/{name(number)}/venv"] = {"bytes": 187_300_000, "complete": True}
    return found


def status(services: int) -> list[dict[str, Any]]:
    """What status_info says of a host; what each has follows from its number."""
    found: list[dict[str, Any]] = []
    for number in range(services):
        own, moved = name(number), number % 3 != 1
        found.append({"service": own, "runtime": "container" if moved else "host", "phase": ("switched", "host", "switching")[number % 3],
                      "socket": f"/run/uwsgi/{own}/uwsgi.sock", "problem": f"GET /<{own}> answers 502 where 200 is awaited" if number % 7 == 2 else ""})
        if moved:
            images = [{"id": f"sha256:{item}", "tag": f"webstack/{own}:{item:012x}", "since": "2026-11-24T10:11:12Z", "current": item == number}
                      for item in (number + 1, number)]
            found[-1].update(container=f"webstack-{own}-0123456789ab", image=f"sha256:{number}", images=images, state="running", health="healthy",
                             restarts=number % 4, host_stack="decommissioned" if number % 5 == 0 else "ready", since="2026-11-24T10:11:12Z")
    return found
