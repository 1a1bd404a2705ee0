# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import re
import subprocess
import sys
from typing import Any

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.move import _container_config, _timers, _user_crontabs, _worker_units

MOUNTS = [_container_config.Mount("/s", "/s", False), _container_config.Mount("/f", "/f", True)]
WHERE = _worker_units.Place("7:8", [9], "sha256:1", "none", MOUNTS, ["--pids-limit=9"])
LINE = {"source": "/var/spool/cron/crontabs/shop", "when": "*/5 * * * *", "user": "shop", "command": "cd x && say 'it'  \"$A\" 100\\%"}


def test_which_workers_move() -> None:
    workers: list[dict[str, Any]] = [
        {"kind": "unit", "what": "a.service", "runs": "a"},
        {"kind": "unit", "what": "webstack-shop-b@1.service", "name": "b", "command": "b", "instances": 2},
        {"kind": "unit", "what": "c.service"}, {"kind": "unit", "what": "d.service", "runs": "d", "user": "root"},
        {"kind": "mule", "what": "mule = x"}, {"name": "e", "command": "e"},
    ]
    assert _worker_units.moving({"workers": workers}) == {"a.service": "a", "webstack-shop-b@1.service": "b", "webstack-shop-b@2.service": "b"}
    assert [bool(_worker_units.stays(worker)) for worker in workers[:4]] == [False, False, True, True]


def test_a_drop_in_has_no_value_of_a_variable_and_its_name_tells_what_it_is_made_of() -> None:
    job = _timers.Job("shop", "run --it '$X'", "/srv/shop", ["A"], [])
    made = [_worker_units.drop_in({"name": "shop"}, job, where, ["A", "B"], [], "/usr/bin/python3", "h") for where in (WHERE, WHERE._replace(image="sha256:2"))]
    assert made[0][0] != made[1][0] and made[0][0] in made[0][1] and re.fullmatch("webstack-shop-worker-[0-9a-f]{12}", made[0][0])
    text = made[0][1]
    for word in ("User=root", '"A,B"', '"--user=7:8"', '"--mount=type=bind,source=/f,target=/f,readonly"', '"--workdir=/srv/shop"', "'$$X'", "ExecStopPost=-"):
        assert word in text
    assert "--env" not in text and text.count("ExecStart=\n") == 1


def take(command: str, stdin: bytes = b"") -> "subprocess.CompletedProcess[bytes]":
    quiet = "import os; os.kill = lambda pid, number: None\n"  # it is no container's first process here
    return subprocess.run([sys.executable, "-c", quiet + _worker_units._TAKE, command], input=stdin, capture_output=True, timeout=30, check=False)


@pytest.mark.parametrize(("command", "code", "output"), [('echo "$A"; exit 3', 3, b"x y\n"), ("kill -9 $$", 137, b""), ("cat; true", 0, b"")])
def test_the_first_process_hands_variables_on_and_ends_as_its_command(command: str, code: int, output: bytes) -> None:
    done = take(command, b"A=x y\0B=")
    assert (done.returncode, done.stdout) == (code, output)


def test_a_users_crontab_there_and_back() -> None:
    text = "# mine\nA=1\nMAILTO=x\n*/5 * * * *  %s\n0 1 * * * other\n" % LINE["command"]
    there = _user_crontabs.to_container(text, [LINE])
    assert there.splitlines()[3].startswith("*/5 * * * *  /usr/local/lib/webstack/tick /run/webstack-ticks/%s.sock A '" % _user_crontabs.job_id(LINE))
    assert there.splitlines()[4] == "0 1 * * * other" and there != text
    assert _user_crontabs.to_host(there, [_user_crontabs.job_id(LINE)]) == text and _user_crontabs.to_host(there, ["another"]) == there
    with pytest.raises(Exception, match="the crontab has no line '1 2 \\* \\* \\* x' any more"):
        _user_crontabs.to_container(text, [{**LINE, "when": "1 2 * * *", "command": "x"}])


def test_only_the_user_may_start_its_command() -> None:
    made = _user_crontabs.units("shop", LINE, "webstack-shop-1", "/usr/bin/python3")
    assert all(_user_crontabs.is_own(name) for name in made) and not _user_crontabs.is_own("webstack-shop-tick-mail.service")
    socket, answer = (next(text for name, text in made.items() if name.endswith(end)) for end in (".socket", "@.service"))
    assert "SocketUser=shop\nSocketMode=0600\nAccept=yes" in socket
    assert '"--user" "shop" "webstack-shop-1"' in answer and "100%%\"" in answer and "\\\\%" not in answer


@pytest.mark.parametrize(("changes", "why"), [({}, ""), ({"command": "mail % hello"}, "unescaped %")])
def test_lines_that_stay(changes: dict[str, Any], why: str) -> None:
    assert why in _user_crontabs.stays({**LINE, **changes}) and bool(_user_crontabs.stays({**LINE, **changes})) == bool(why)
