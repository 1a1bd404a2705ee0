"""Ansible is killed (SIGKILL) at some point: the services answer throughout, and the next run finishes the job or undoes it."""

from __future__ import annotations

import pytest
from host import EVERY_STEP, SITES, Host

MOMENTS = {
    "during the image build": lambda host: host.phases() == {"host"} and host.at_work(),
    "while the candidates start": lambda host: "candidate" in host.phases(),
    "between candidate and switch": lambda host: "proven" in host.phases(),
    "in the middle of the switch": lambda host: "switching" in host.phases(),
    "right after the switch": lambda host: set(host.runtimes().values()) == {"container"},
}


KILLS = [
    ("during the image build", True),
    ("between candidate and switch", False),
    ("in the middle of the switch", True),
    *([
        ("during the image build", False),
        ("while the candidates start", True),
        ("right after the switch", False),
        ("right after the switch", True),
    ] if EVERY_STEP else []),
]
"""At which moment, and whether the module on the host is killed too."""

ROLLBACKS = [("container", "rollback"), ("host", "convert"), *([("container", "convert"), ("host", "rollback")] if EVERY_STEP else [])]
"""On which side the service was when the rollback was killed, before or after its socket was back; and what was run then."""


@pytest.mark.parametrize(("moment", "target"), KILLS)
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


@pytest.mark.parametrize(("runtime", "after"), ROLLBACKS)
def test_rollback_killed(pristine: Host, runtime: str, after: str) -> None:
    pristine.play("convert")
    play = pristine.begin("rollback")
    pristine.until(play, lambda: any((journal["phase"], journal["runtime"]) == ("returning", runtime) for journal in pristine.journals().values()), runtime)
    play.kill(target=True)
    assert pristine.answers() == dict.fromkeys(SITES, "200")
    pristine.play(after)
    assert pristine.runtimes() == dict.fromkeys(SITES, "container" if after == "convert" else "host")
    assert pristine.answers() == dict.fromkeys(SITES, "200")


def test_a_second_run_at_the_same_time_waits_for_the_first(pristine: Host) -> None:
    first, second = pristine.begin("convert"), pristine.begin("convert")
    for play in (first, second):
        code, text = play.wait()
        assert code == 0, text
    assert pristine.runtimes() == dict.fromkeys(SITES, "container")
    assert pristine.containers() == sorted(SITES)
    assert pristine.answers() == dict.fromkeys(SITES, "200")
