"""Ansible is killed (SIGKILL) at some point: the services answer throughout, and the next run finishes the job or undoes it."""

from __future__ import annotations

import pytest
from host import SITES, Host

CODE = "/srv/pypiserver/current/wsgi.py"
MOMENTS = {
    "during the image build": lambda host: host.phases() == {"host"} and host.at_work(),
    "while the candidates start": lambda host: "candidate" in host.phases(),
    "between candidate and switch": lambda host: "proven" in host.phases(),
    "in the middle of the switch": lambda host: "switching" in host.phases(),
    "right after the switch": lambda host: set(host.runtimes().values()) == {"container"},
}


@pytest.mark.parametrize(("moment", "target"), [
    ("during the image build", False),
    ("during the image build", True),
    ("while the candidates start", True),
    ("between candidate and switch", False),
    ("in the middle of the switch", True),
    ("right after the switch", False),
    ("right after the switch", True),
])
def test_convert_killed(pristine: Host, moment: str, target: bool) -> None:
    pristine.run("sh", "-c", "docker image ls --quiet --filter label=gantry.webstack.service | xargs --no-run-if-empty docker image rm --force")
    play = pristine.begin("convert")
    pristine.until(play, lambda: MOMENTS[moment](pristine), moment)
    play.kill(target=target)  # on the control node alone, when what was begun on the host goes on; or the module on the host too
    assert pristine.answers() == dict.fromkeys(SITES, "200")
    pristine.play("convert")
    assert pristine.runtimes() == dict.fromkeys(SITES, "container")
    assert pristine.containers() == sorted(SITES)
    assert pristine.vassals() == []
    assert pristine.answers() == dict.fromkeys(SITES, "200")


@pytest.mark.parametrize("runtime", ["container", "host"], ids=["before the socket is back", "after the socket is back"])
@pytest.mark.parametrize("after", ["rollback", "convert"])
def test_rollback_killed(pristine: Host, runtime: str, after: str) -> None:
    pristine.play("convert")
    play = pristine.begin("rollback")
    pristine.until(play, lambda: any((journal["phase"], journal["runtime"]) == ("returning", runtime) for journal in pristine.journals().values()), runtime)
    play.kill(target=True)
    assert pristine.answers() == dict.fromkeys(SITES, "200")
    pristine.play(after)
    assert pristine.runtimes() == dict.fromkeys(SITES, "container" if after == "convert" else "host")
    assert pristine.answers() == dict.fromkeys(SITES, "200")


@pytest.mark.parametrize("after", ["deploy", "rollback"])
def test_deploy_killed_while_both_containers_are_watched(pristine: Host, after: str) -> None:
    pristine.play("convert", webstack_select="pypiserver")
    pristine.run("sed", "-i", "$a # the next version", CODE)
    try:
        play = pristine.begin("deploy", webstack_select="pypiserver", webstack_watch=60)
        pristine.until(play, lambda: pristine.journals()["pypiserver"].get("next", {}).get("phase") == "switching", "the watch")
        play.kill(target=True)
        assert pristine.answers() == dict.fromkeys(SITES, "200")
        pristine.play(after, webstack_select="pypiserver")
        assert pristine.runtimes()["pypiserver"] == ("container" if after == "deploy" else "host")
        assert pristine.containers() == ["pypiserver"] * (after == "deploy")
        assert pristine.answers() == dict.fromkeys(SITES, "200")
    finally:
        pristine.run("sed", "-i", "$d", CODE)


def test_a_second_run_at_the_same_time_waits_for_the_first(pristine: Host) -> None:
    first, second = pristine.begin("convert"), pristine.begin("convert")
    for play in (first, second):
        code, text = play.wait()
        assert code == 0, text
    assert pristine.runtimes() == dict.fromkeys(SITES, "container")
    assert pristine.containers() == sorted(SITES)
    assert pristine.answers() == dict.fromkeys(SITES, "200")
