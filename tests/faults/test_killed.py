"""Ansible is killed (SIGKILL) at some point: the services answer throughout, and the next run finishes the job or undoes it."""

from __future__ import annotations

import pytest
from conftest import SITES, Host


def phases(host: Host) -> set[str]:
    return {host.journal(name).get("phase", "host") for name in SITES}


MOMENTS = {
    "during the image build": lambda host: host.run("pgrep", "-f", "[A]nsiballZ_image_harvest|[i]mage_harvest", check=False) != "",
    "while the candidates start": lambda host: "candidate" in phases(host),
    "between candidate and switch": lambda host: "proven" in phases(host),
    "in the middle of the switch": lambda host: "switching" in phases(host),
    "right after the switch": lambda host: all(host.journal(name).get("runtime") == "container" for name in SITES),
}


@pytest.mark.parametrize("target", [False, True], ids=["on the control node", "on both sides"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_convert_killed(pristine: Host, moment: str, target: bool) -> None:
    play = pristine.begin("convert")
    pristine.until(lambda: MOMENTS[moment](pristine), moment)
    play.kill(target=target)
    assert pristine.answers() == dict.fromkeys(SITES, "200")
    if not target:  # what was begun on the host may still be at work there; its lock tells when it has ended
        pristine.run("flock", "--timeout", "120", "/run/lock/webstack.lock", "true")
    pristine.play("convert")
    assert pristine.runtimes() == dict.fromkeys(SITES, "container")
    assert pristine.containers() == sorted(SITES)
    assert pristine.vassals() == []
    assert pristine.answers() == dict.fromkeys(SITES, "200")
    assert "changed=0" in pristine.play("convert")


@pytest.mark.parametrize("runtime", ["container", "host"], ids=["before the socket is back", "after the socket is back"])
@pytest.mark.parametrize("after", ["rollback", "convert"])
def test_rollback_killed(pristine: Host, runtime: str, after: str) -> None:
    pristine.play("convert")
    play = pristine.begin("rollback")
    pristine.until(lambda: any(pristine.journal(name).get("phase") == "returning" and pristine.journal(name)["runtime"] == runtime for name in SITES), runtime)
    play.kill(target=True)
    assert pristine.answers() == dict.fromkeys(SITES, "200")
    pristine.play(after)
    assert pristine.runtimes() == dict.fromkeys(SITES, "container" if after == "convert" else "host")
    assert pristine.answers() == dict.fromkeys(SITES, "200")


def test_a_second_run_at_the_same_time_is_told_to_wait(pristine: Host) -> None:
    # Another run holds the host's lock.
    pristine.run("sh", "-c", "flock /run/lock/webstack.lock sleep 30 >/dev/null 2>&1 &")
    said = pristine.refusal("convert")
    assert "another gantry.webstack run is at work on this host" in said
    pristine.run("pkill", "-f", "[s]leep 30")
