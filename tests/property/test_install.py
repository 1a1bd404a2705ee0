"""Generated service lists on a real host: installing twice changes nothing the second time, and removing a service removes its things only.

The examples are the same each time; WEBSTACK_PROPERTY_RANDOM=1 makes others. WEBSTACK_PROPERTY_EXAMPLES says how many (4). There is no
shrinking: each example costs three runs of the playbook.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any, NamedTuple

from conftest import install, on
from hypothesis import HealthCheck, Phase, given, settings
from strategies import service_lists

EXAMPLES = int(os.environ.get("WEBSTACK_PROPERTY_EXAMPLES", "4"))
Services = list[dict[str, Any]]


class Listing(NamedTuple):
    """What is on the host: files (path -> digest), users, the emperor's vassals (file name -> its processes), listening UNIX sockets."""

    files: dict[str, str]
    users: set[str]
    vassals: dict[str, frozenset[str]]
    sockets: set[str]
    units: set[str]


def listing() -> Listing:
    """Look at the host; logs, byte code, locks and what Ansible puts into /tmp are no service's things."""
    found = on("sh", "-c", "find /etc /srv /opt /run/uwsgi /run/webstack /var/lib/webstack /var/spool/cron /usr/local -xdev "
                           "-name __pycache__ -prune -o -type f -exec sha256sum {} + -o ! -type d -printf 'other  %p\\n' 2>/dev/null || true")
    files = {path: digest for digest, _space, path in (line.partition("  ") for line in found.splitlines())}
    vassals: dict[str, set[str]] = {}
    for line in on("ps", "-eo", "pid,args").splitlines():
        match = re.search(r"--ini (\S+)\.ini$", line)
        if match:
            vassals.setdefault(match[1].rpartition("/")[2], set()).add(line.split()[0])
    sockets = {word for line in on("ss", "-xlH").splitlines() for word in line.split() if word.startswith("/run/uwsgi/")}
    return Listing(files, set(on("sh", "-c", "getent passwd | cut -d: -f1").split()), {name: frozenset(pids) for name, pids in vassals.items()}, sockets,
                   set(on("sh", "-c", "systemctl list-units --all --plain --no-legend 'webstack-*' | cut -d' ' -f1").split()))


def of(name: str, path: str) -> bool:
    """Whether a path or a unit carries a service's name as a whole word; a short one also stands inside the words of others."""
    return re.search(rf"(?<![A-Za-z0-9]){re.escape(name)}(?![A-Za-z0-9])", path) is not None


def answers(services: Services) -> None:
    for service in services:
        assert on("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Host: {service['name']}.test", "http://127.0.0.1/") == "200", service


@settings(max_examples=EXAMPLES, derandomize=not os.environ.get("WEBSTACK_PROPERTY_RANDOM"), deadline=None, database=None, phases=[Phase.generate],
          suppress_health_check=list(HealthCheck))
@given(service_lists(least=2, most=4))
def test_installing_twice_and_removing_one(inventory: Path, services: Services) -> None:
    install(inventory, services)
    answers(services)
    assert install(inventory, services) == 0
    before = listing()
    gone, rest = services[0]["name"], services[1:]
    install(inventory, rest)
    answers(rest)
    after = listing()
    lost = set(before.files) - set(after.files)
    assert all(of(gone, path) for path in lost), lost
    assert set(after.files) <= set(before.files)
    altered = {path for path in after.files if after.files[path] != before.files[path]}
    assert all(of(gone, path) for path in altered), altered
    serving = [path for path in after.files if of(gone, path) and path.startswith(("/etc/", "/run/"))
               and not path.startswith(("/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/subuid", "/etc/subgid"))]
    assert serving == []
    assert after.vassals == {name: pids for name, pids in before.vassals.items() if name != gone}
    assert after.sockets == {path for path in before.sockets if f"/{gone}/" not in path}
    assert before.users - after.users <= {gone}
    assert after.users <= before.users
    assert {unit for unit in before.units - after.units if not of(gone, unit)} == set()
    assert [unit for unit in after.units if of(gone, unit)] == []
