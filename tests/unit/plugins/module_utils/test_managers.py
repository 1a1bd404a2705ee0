# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Crontabs and everything else that runs by the clock, units, and the managers that they run."""

from __future__ import annotations

import datetime
import pwd
from pathlib import Path
from typing import Any, Dict, List

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _calendar
from ansible_collections.gantry.webstack.plugins.module_utils.discover import _evidence_cron, _evidence_systemd, _evidence_units, _managers
from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence_cron import CronLine
from ansible_collections.gantry.webstack.plugins.module_utils.discover._evidence_systemd import Unit


def files(owned: Dict[str, str]) -> _evidence_cron.Files:
    return _evidence_cron.Files(owned.get)


def test_crontabs(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_text("# c\nMAILTO=a\n5 * * * *  shop  cd /srv && x --token canary\n@daily root y\nbroken line\n")
    lines = _evidence_cron._crontab(str(path), None, files({}), [])
    assert [line[1:4] for line in lines] == [("5 * * * *", "shop", "cd /srv && x --token ***"), ("@daily", "root", "y")]
    path.write_text("*/5 * * * * x y\n")
    assert [line[1:4] for line in _evidence_cron._crontab(str(path), "blog", files({}), [])] == [("*/5 * * * *", "blog", "x y")]
    assert [line.package for line in _evidence_cron._crontab(str(path), "blog", files({str(path): "p"}), [])] == ["p"]
    blind: List[str] = []
    assert not _evidence_cron._crontab(str(tmp_path / "gone"), None, files({}), blind) and "No such file" in blind[0]


def test_a_line_that_was_added_to_a_packages_crontab() -> None:
    found = files({"/etc/crontab": "cron", "/bin/sh": "dash"})
    assert _evidence_cron._stock("/etc/crontab", "cd / && run-parts --report /etc/cron.hourly", found)
    assert not _evidence_cron._stock("/etc/crontab", "/opt/x", found)
    assert _evidence_cron._stock("/etc/cron.d/y", "/bin/sh -c x", found)
    assert not _evidence_cron._stock("/etc/cron.d/y", "x", found)


@pytest.mark.parametrize(("when", "after", "tick"), [
    ("*/30 * * * *", "2026-11-24 17:03", "2026-11-24 17:30"), ("5 3 * * *", "2026-11-24 03:05", "2026-11-25 03:05"),
    ("0 0 29 2 *", "2026-11-24 17:03", "2028-02-29 00:00"), ("0 6 * * 0", "2026-11-24 17:03", "2026-11-29 06:00"),
    ("0 6 1 * mon", "2026-11-24 17:03", "2026-11-30 06:00"), ("@monthly", "2026-12-31 23:59", "2027-01-01 00:00"), ("0 0 31 2 *", "2026-01-01 00:00", ""),
])
def test_the_next_tick(when: str, after: str, tick: str) -> None:
    found = _calendar.following(when, datetime.datetime.strptime(after, "%Y-%m-%d %H:%M"))
    assert (found.strftime("%Y-%m-%d %H:%M") if found else "") == tick


def service(name: str, command: str, **more: Any) -> Unit:
    return Unit(name, "/etc/systemd/system/" + name, ("[Service]\nExecStart=%s\n" % command,), **more)


@pytest.mark.parametrize(("command", "name"), [
    ("/usr/bin/puppet agent --no-daemonize", "puppet"), ("puppet apply /etc/puppet/code/site.pp", "puppet"), ("/opt/puppetlabs/bin/puppet agent -t", "puppet"),
    ("/usr/bin/chef-client -c /etc/chef/client.rb", "chef"), ("/usr/bin/salt-minion", "salt"), ("salt-call state.highstate", "salt"),
    ("/var/cfengine/bin/cf-execd --no-fork", "cfengine"), ("cd /x && ansible-pull -U https://git.test/x.git", "ansible-pull"),
])
def test_who_runs(command: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_managers, "_upgrades_on", lambda blind: False)
    found = _managers.find([service("m.service", command, there=True)], [CronLine("/etc/cron.d/m", "@daily", "root", command, text=command)], [], [],
                           lambda when: "soon")
    assert [(item["name"], [(run["by"], run["what"]) for run in item["runs"]]) for item in found] == [
        (name, [("cron", "/etc/cron.d/m"), ("unit", "m.service")])]
    assert found[0]["runs"][0]["next"] == "soon"


def test_a_timer_runs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_managers, "_upgrades_on", lambda blind: False)
    timer = Unit("p.timer", "/p.timer", ("[Timer]\nOnCalendar=hourly\n",), there=True, next="Tue 17:00")
    running = [("puppet agent -t", "p.service"), ("vim puppet.conf", "")]
    found = _managers.find([service("p.service", "puppet agent -t"), timer], [], running, [], lambda when: "")
    assert found[0]["runs"] == [{"by": "timer", "what": "p.timer", "when": "hourly", "starts": "p.service", "next": "Tue 17:00"}]


def test_what_they_manage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "resources.txt").write_text("file[/etc/nginx/x]\nservice[nginx]\nexec[secret canary]\nfile[relative]\n")
    (tmp_path / "classes.txt").write_text("settings\nprofile::web\n")
    monkeypatch.setattr(_managers, "_PUPPET_STATE", (str(tmp_path),))
    assert _managers._puppet([], []) == {"file": {"/etc/nginx/x"}, "service": {"nginx"}, "class": {"profile::web"}}
    (tmp_path / "last_run_report.yaml").write_text("resource_statuses:\n  File[/etc/a b]:\n    resource: File[/etc/a b]\n    resource: Exec[canary]\n")
    assert _managers._puppet([], [])["file"] == {"/etc/nginx/x", "/etc/a b"}
    (tmp_path / "pull").mkdir()
    (tmp_path / "pull/site.yml").write_text("- hosts: all\n  tasks:\n    - template:\n        src: a\n        dest: /etc/uwsgi/shop.ini\n"
                                            "    - ansible.builtin.systemd_service:\n        name: shop\n        state: started\n")
    assert _managers._ansible(["ansible-pull -d %s/pull -U x" % tmp_path], []) == {"file": {"/etc/uwsgi/shop.ini"}, "service": {"shop"}, "class": set()}
    (tmp_path / "a.ini").write_text("; This file is managed by Puppet. DO NOT EDIT.\n[uwsgi]\n")
    (tmp_path / "b.conf").write_text("server {}\n# BEGIN ANSIBLE MANAGED BLOCK\n")
    (tmp_path / "c.conf").write_text("puppet managed = nonsense\n")
    marks = _managers.marked([str(tmp_path / name) for name in ("a.ini", "b.conf", "c.conf", "gone")])
    assert [(Path(item["path"]).name, item["by"]) for item in marks] == [("a.ini", "puppet"), ("b.conf", "ansible")]


SHOW = """Id=worker@1.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
FragmentPath={top}/worker@.service
DropInPaths={top}/override.conf {top}/50-webstack.conf

Id=gone.service
LoadState=not-found

Id=ssh.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
FragmentPath={top}/ssh.service
DropInPaths={top}/override.conf

Id=cron.service
LoadState=loaded
ActiveState=active
UnitFileState=enabled
FragmentPath={top}/cron.service
"""


def test_units_as_systemctl_shows_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("worker@.service", "ssh.service", "cron.service"):
        (tmp_path / name).write_text("[Service]\nUser=shop\nExecStart=/usr/sbin/x\n")
    (tmp_path / "override.conf").write_text("[Service]\nExecStart=\nExecStart=/srv/shop/run --password canary\n")
    (tmp_path / "50-webstack.conf").write_text("[Service]\nUser=root\n")
    blocks = [dict(line.split("=", 1) for line in block.splitlines()) for block in SHOW.format(top=tmp_path).split("\n\n")]
    monkeypatch.setattr(_evidence_systemd, "_show", lambda blind, names: blocks)
    owned = {str(tmp_path / name): "p" for name in ("ssh.service", "cron.service")}
    units = {unit.name: unit for unit in _evidence_systemd.read(owned.get)[0] if unit.path.startswith(str(tmp_path))}
    assert sorted(units) == ["cron.service", "ssh.service", "worker@1.service"]
    assert units["worker@1.service"].facts() == {"name": "worker@1.service", "path": str(tmp_path / "worker@.service"), "state": "enabled", "user": "shop",
                                                 "command": "/srv/shop/run --password ***"}
    assert units["cron.service"].package == "p" and units["ssh.service"].package == ""  # what it runs was written here


TIMED = """\
Id=tick.service
LoadState=loaded
ActiveState={state}
UnitFileState=static
FragmentPath={top}/tick.service
TriggeredBy=tick.timer
"""


@pytest.mark.parametrize("state", ["activating", "active", "inactive"])
def test_a_timers_service_is_the_same_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str) -> None:
    (tmp_path / "tick.service").write_text("[Service]\nType=oneshot\nExecStart=/srv/shop/tick\n")
    block = dict(line.split("=", 1) for line in TIMED.format(top=tmp_path, state=state).splitlines())
    monkeypatch.setattr(_evidence_systemd, "_show", lambda blind, names: [block])
    unit = next(unit for unit in _evidence_systemd.read(lambda path: None)[0] if unit.name == "tick.service")
    assert unit.triggered and not unit.there


@pytest.mark.parametrize("running", [set(), {("tick.service", "ann")}])
def test_a_users_timers_service_is_the_same_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: "set[tuple[str, str]]") -> None:
    top = tmp_path / ".config/systemd/user"
    (top / "timers.target.wants").mkdir(parents=True)
    (top / "tick.timer").write_text("[Timer]\nOnCalendar=minutely\n")
    (top / "tick.service").write_text("[Service]\nExecStart=/home/ann/tick\n")
    (top / "timers.target.wants/tick.timer").symlink_to(top / "tick.timer")
    ann = pwd.struct_passwd(("ann", "x", 1000, 1000, "", str(tmp_path), "/bin/sh"))
    monkeypatch.setattr(_evidence_systemd.pwd, "getpwall", lambda: [ann])
    monkeypatch.setattr(_evidence_systemd, "_show", lambda blind, names: [])
    units = [unit for unit in _evidence_systemd.read(lambda path: None, running)[0] if unit.owner]
    assert [unit.name for unit in units if unit.there] == ["tick.timer"]
    assert all(unit.triggered for unit in units if unit.name == "tick.service")


def facts(name: str = "shop") -> Dict[str, Any]:
    return {"name": name, "code": "/srv/%s/code" % name, "python": {"venv": "/srv/%s/venv" % name}, "user": {"name": name},
            "manager": {"unit": name + ".service"}, "workers": [], "schedule": [], "remarks": []}


def test_the_distributions_own_environment_is_nobodys() -> None:
    """A service without an environment of its own has virtualenv = /usr; what names /usr/bin is no worker of it."""
    shop = {**facts(), "python": {"venv": "/usr"}, "code": "/opt"}
    assert _evidence_units.assign([shop], [service("backup.service", "/usr/bin/backup /opt/x", there=True)]) == {("shop.service", ""): ("service", "shop")}
    assert _evidence_units.assign_cron([shop], [CronLine("/etc/cron.d/x", "@daily", "root", "/usr/bin/x")]) == {}


def test_to_whom_things_are_given() -> None:
    shop, blog = facts(), facts("blog")
    units = [service("worker@1.service", "/srv/shop/venv/bin/celery worker", there=True), service("worker@.service", "/srv/shop/venv/bin/celery worker"),
             service("sync.service", "/usr/bin/syncthing", owner="blog", there=True), service("shop.service", "/srv/shop/venv/bin/uwsgi"),
             service("shopping.service", "/srv/shop-other/code/x"), service("listed.service", "/usr/lib/x /srv/blog/code", package="x", there=True)]
    given = _evidence_units.assign([shop, blog], units)
    assert given == {("worker@1.service", ""): ("worker", "shop"), ("sync.service", "blog"): ("worker", "blog"), ("shop.service", ""): ("service", "shop"),
                     ("blog.service", ""): ("service", "blog"), ("listed.service", ""): ("worker", "blog")}
    assert [item["what"] for item in shop["workers"]] == ["worker@1.service"]
    assert [item["what"] for item in blog["workers"]] == ["sync.service", "listed.service"]
    lines = [CronLine("/etc/cron.d/x", "@daily", "root", "/srv/shop/venv/bin/python x"), CronLine("/var/spool/cron/crontabs/blog", "@daily", "blog", "x"),
             CronLine("/etc/cron.daily/x", "daily", "root", "/etc/cron.daily/x", text="cd /srv/shop/code; x"),
             CronLine("/var/spool/cron/atjobs/a", "at 2030-01-01 00:00", "shop", "x", "", "at"), CronLine("/etc/cron.d/y", "@daily", "root", "y"),
             CronLine("/etc/cron.d/z", "@daily", "shop", "z", "pkg")]
    assert _evidence_units.assign_cron([shop, blog], lines) == {0: ("service", "shop"), 1: ("service", "blog"), 2: ("worker", "shop"), 3: ("worker", "shop"),
                                                                5: ("service", "shop")}
    assert [item["command"] for item in shop["schedule"]] == ["/srv/shop/venv/bin/python x"]
    assert [item["kind"] for item in shop["workers"][1:]] == ["periodic", "at"]


def test_chefs_run_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "first-boot.json"
    path.write_text('{"run_list": ["recipe[web]",\n "role[base]"], "x": []}', encoding="utf-8")
    monkeypatch.setattr(_managers.glob, "glob", lambda pattern: [str(path)] if pattern == "/etc/chef/*.json" else [])
    assert _managers._chef([], []) == {"class": {"recipe[web]", "role[base]"}}
