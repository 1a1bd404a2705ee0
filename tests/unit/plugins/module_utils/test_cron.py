"""Scheduled jobs: from the host to a container and back, to the letter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.move import _cron

CRONTAB = """\
# the shop's jobs
PATH=/usr/bin:/bin
MAILTO=ops@example.org
*/5 * * * *\tshop  cd /srv/shop && venv/bin/python manage.py tick  >> /var/log/shop.log 2>&1
@daily root /usr/local/bin/other
"""
JOB = {"when": "*/5 * * * *", "user": "shop", "command": "cd /srv/shop && venv/bin/python manage.py tick  >> /var/log/shop.log 2>&1"}


def test_a_job_runs_in_the_container_at_the_same_time_as_before() -> None:
    line = _cron.to_container(CRONTAB, [JOB], "webstack-shop-1").splitlines()[3]
    assert line == ("*/5 * * * *\troot  /usr/bin/docker exec --user shop --env PATH webstack-shop-1 /bin/sh -c "
                    "'cd /srv/shop && venv/bin/python manage.py tick  >> /var/log/shop.log 2>&1'")


def test_other_lines_stay() -> None:
    before, after = CRONTAB.splitlines(), _cron.to_container(CRONTAB, [JOB], "webstack-shop-1").splitlines()
    assert before[:3] + before[4:] == after[:3] + after[4:]


def test_a_job_that_is_gone_is_named() -> None:
    with pytest.raises(WebstackError, match=r"no line '0 0 \* \* \* shop gone'"):
        _cron.to_container(CRONTAB, [{"when": "0 0 * * *", "user": "shop", "command": "gone"}], "webstack-shop-1")


def test_percent_is_refused_rather_than_broken() -> None:
    job = {"when": "@daily", "user": "shop", "command": "date +%F"}
    with pytest.raises(WebstackError, match="unescaped %"):
        _cron.to_container("@daily shop date +%F\n", [job], "webstack-shop-1")


def test_another_services_container_is_left_alone() -> None:
    moved = _cron.to_container(CRONTAB, [JOB], "webstack-shop-1")
    assert _cron.to_host(moved, "webstack-blog-") == moved


WHEN = st.sampled_from(["* * * * *", "@daily", "@reboot", "0 4\t* * mon-fri", "*/10 1,2 1-5 * *"])
COMMAND = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF, exclude_characters="%\\\x7f\x85\xa0"), min_size=1).map(lambda text: "run '" + text)


@given(when=WHEN, command=COMMAND, gap=st.sampled_from([" ", "\t", "   "]), tail=st.sampled_from(["\n", " \n", ""]))
def test_there_and_back_is_the_same_text(when: str, command: str, gap: str, tail: str) -> None:
    text = f"# head\nA=1\n{when}{gap}shop{gap}{command}{tail}"
    moved = _cron.to_container(text, [{"when": when, "user": "shop", "command": command}], "webstack-shop-0a1b")
    assert moved != text
    assert _cron.to_host(moved, "webstack-shop-") == text


@pytest.mark.parametrize(("path", "system"), [("/etc/crontab", True), ("/etc/cron.d/shop", True), ("/var/spool/cron/crontabs/shop", False), ("", False)])
def test_users_own_crontabs_are_not_the_systems(path: str, system: bool) -> None:
    assert _cron.is_system(path) == system
