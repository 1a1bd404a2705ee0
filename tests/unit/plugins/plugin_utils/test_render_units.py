# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Workers and schedules as units."""

from __future__ import annotations

from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._unit_text import parse
from ansible_collections.gantry.webstack.plugins.module_utils.install._systemd_units import service_of
from ansible_collections.gantry.webstack.plugins.module_utils.move._timers import job_of
from ansible_collections.gantry.webstack.plugins.plugin_utils import model, render_units


def units(**more: Any) -> list[dict[str, Any]]:
    return render_units.units(model.complete_all([{"name": "shop", "code": {"path": "/srv/shop/code"}, "python": {"venv": "/srv/shop/venv"}, **more}]))


def test_workers() -> None:
    [one] = units(workers=[{"name": "mail", "command": "celery -A shop worker"}], state=[{"path": "/srv/shop/data"}])
    assert one["name"] == "webstack-shop-mail.service" and one["stays"] and service_of(one["content"]) == "shop"
    assert one["watch"] == ["/var/lib/webstack/shop/code.json", "/srv/shop/venv/.webstack.json"]
    lines = one["content"].splitlines()
    for line in ("User=shop", "Group=shop", "WorkingDirectory=/srv/shop/code", 'ExecStart=/bin/sh -c "celery -A shop worker"', "Restart=on-failure",
                 "ProtectSystem=strict", 'ReadWritePaths="-/srv/shop/data"', "ProtectHome=yes", "CapabilityBoundingSet=", "TimeoutStopSec=90"):
        assert line in lines
    assert 'Environment="PATH=/srv/shop/venv/bin:' in one["content"]
    several = units(workers=[{"name": "mail", "command": "x", "instances": 2, "stop_timeout": 5, "memory_max": "1G", "extra": ["Nice=5"]}])
    assert [unit["name"] for unit in several] == ["webstack-shop-mail@1.service", "webstack-shop-mail@2.service"]
    assert all(line in several[0]["content"] for line in ("TimeoutStopSec=5\n", "MemoryMax=1G\n", "Nice=5\n"))
    assert units(workers=[{"kind": "unit", "what": "theirs.service"}]) == []


def test_schedule() -> None:
    command = 'echo "$A" 100% \'\\\''
    job, timer = units(schedule=[{"when": "*/5 * * * *", "command": command}])
    assert (job["state"], job["moves"], timer["moves"]) == ("any", True, True) and "[Install]" not in job["content"]
    assert timer["name"] == job["name"].replace(".service", ".timer") and "OnCalendar=*-*-* *:00/5:00\nAccuracySec=1s\n" in timer["content"]
    there = job_of(parse([job["content"]]))
    assert (there.user, there.command, there.directory, there.names) == ("shop", command, "/srv/shop/code", ["PATH"])
    assert parse([job["content"]])[("X-Webstack", "When")] == ["*/5 * * * *"]
    [boot] = units(schedule=[{"name": "boot", "when": "@reboot", "user": "root", "command": "x"}])
    assert "WantedBy=multi-user.target" in boot["content"] and "CapabilityBoundingSet" not in boot["content"] and "Group=" not in boot["content"]


def test_names_are_stable() -> None:
    twice = [{"when": "@daily", "command": "x"}, {"when": "@hourly", "command": "x"}, {"when": "@hourly", "command": "y"}]
    names = [render_units.job_name(job, twice) for job in twice]
    assert len(set(names)) == 3
    assert [render_units.job_name(job, twice[::-1]) for job in twice] == names
    assert render_units.job_name({**twice[2], "when": "@daily"}, twice[:2]) == names[2]


@pytest.mark.parametrize(("more", "says"), [
    ({"schedule": [{"name": "x", "when": "61 * * * *", "command": "x"}]}, r"services\[shop\].schedule\[x\].when: '61 \* \* \* \*' is no time"),
    ({"schedule": [{"name": "x", "when": "@daily", "command": " "}]}, r"schedule\[x\].command: there is nothing to run"),
    ({"workers": [{"name": "x", "command": "x", "extra": ["[Unit]"]}]}, r"workers\[x\].extra: '\[Unit\]' is no line"),
    ({"workers": [{"name": "x", "command": "x"}], "schedule": [{"name": "x", "when": "@daily", "command": "x"}]},
     "would both have the unit webstack-shop-x.service"),
])
def test_refused(more: dict[str, Any], says: str) -> None:
    with pytest.raises(model.ModelError, match=says):
        units(**more)
