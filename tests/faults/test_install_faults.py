"""What can go wrong while services are installed, on one host with 20 services under a load (none of its requests may fail).

Each case: the run fails with one sentence that says what to do, every service answers as before, and the next good run brings the wanted
state. The cases: a site that nginx refuses among 20 good ones; a service that crashes on import; a secret with which it does not start; one
that loads and answers 500; a full disk below the code, the vassals, the state, and during pip install; a package mirror that is down; a run
killed at every task, with and without the module on the host; an nginx edited by hand, soundly and not.

Alone: eval "$(./scripts/bench env)"; pytest --import-mode=prepend tests/faults/test_install_faults.py [-k disk]
"""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from _bench import hosts
from host import PREFIX, Host, Play
from steady import Load

APPS = Path(__file__).parent / "apps"
COUNT = 20
NAMES = [f"app{number:02}" for number in range(1, COUNT + 1)]
SMALL = ["--tmpfs", "/etc/webstack:exec,mode=755,size=4m", "--tmpfs", "/var/lib/webstack:exec,mode=700,size=4m", "--tmpfs", "/srv:exec,mode=755,size=48m"]
"""File systems that can be filled without harm to the machine."""

UNHEALTHY = "app04"
"""The service whose new release loads and answers nothing but 500."""

STRIDE = 1 if os.environ.get("WEBSTACK_EVERY_STEP") else 3
"""./scripts/test faults kills a run at each step, ./scripts/test molecule faults at each third."""

FIRST_ON_HOST = 3
"""The number of the first task that asks the host; of the ones before it, one is enough."""

Services = list[dict[str, Any]]


def service(name: str, app: str = "hello", greeting: str = "hello") -> dict[str, Any]:
    """The smallest definition; the system's Python is its environment."""
    return {"name": name, "code": {"path": f"/srv/{name}/current", "source": str(APPS / app)},
            "uwsgi": {"options": {"module": "wsgi:application", "virtualenv": "/usr", "processes": 1}}, "environment": {"GREETING": greeting}}


class Web(Host):
    """The host with the services."""

    good: Services

    def install(self, services: Services, **extra: Any) -> str:
        return self.play("install", webstack_services=services, **extra)

    def refused(self, services: Services, **extra: Any) -> str:
        return self.refusal("install", webstack_services=services, **extra)

    def bodies(self, names: list[str]) -> dict[str, str]:
        """What each service answers through nginx."""
        script = "; ".join(f"printf '{name} '; curl -s -m 10 -H 'Host: {name}.test' http://127.0.0.1/; echo" for name in names)
        return dict(line.split(" ", 1) for line in self.run("sh", "-c", script).splitlines())

    def as_wanted(self, services: Services) -> None:
        names = [item["name"] for item in services]
        assert self.bodies(names) == {item["name"]: item["environment"]["GREETING"] for item in services}
        assert self.vassals() == sorted(names)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    """A fresh host with 20 services."""
    hosts.remove(f"{PREFIX}-install")
    hosts.start(f"{PREFIX}-install", "bookworm", *SMALL)
    found = Web("install", tmp_path_factory.mktemp("install"))
    found.good = [service(name) for name in NAMES]
    found.install(found.good)
    yield found
    hosts.remove(f"{PREFIX}-install")


@pytest.fixture(scope="module", autouse=True)
def load(web: Web) -> Iterator[None]:
    """The load of this file, in place of the one on the services of tests/apps."""
    # Between its flip and the flip back a release that answers 500 has its own requests; nobody else's may fail.
    steady = Load(hosts.address(web.container), [f"{name}.test" for name in NAMES if name != UNHEALTHY])
    steady.start()
    yield
    steady.stop()
    assert steady.sent > 100
    assert steady.failures == []


@pytest.fixture(autouse=True)
def settled(web: Web) -> Iterator[None]:
    """Before and after each case every service answers; after it a good run brings the host back, and one more changes nothing."""
    web.as_wanted(web.good)
    yield
    others = NAMES[1:]  # what a killed run left of the first one is its own affair
    assert web.bodies(others) == dict.fromkeys(others, "hello"), "the case left a service that does not answer as before"
    web.install(web.good)
    web.as_wanted(web.good)
    assert "changed=0" in web.install(web.good)


def altered(web: Web, number: int, **changes: Any) -> Services:
    """The good services with the one of that number changed."""
    services = copy.deepcopy(web.good)
    services[number - 1].update(changes)
    return services


def test_a_site_that_nginx_refuses_among_twenty(web: Web) -> None:
    site = {"server_names": ["app07.test"], "extra": "no_such_directive;"}
    before = web.run("sh", "-c", "sha256sum /etc/nginx/conf.d/*")
    said = web.refused(altered(web, 7, nginx={"sites": [site]}))
    assert "nginx refuses the site app07: unknown directive" in said
    assert web.run("sh", "-c", "sha256sum /etc/nginx/conf.d/*") == before


def test_a_vassal_that_crashes_on_import(web: Web) -> None:
    said = web.refused(altered(web, 3, code={"path": "/srv/app03/current", "source": str(APPS / "crashing")}))
    assert "service app03: its application does not load: RuntimeError: out of order" in said


def test_a_secret_with_which_it_does_not_start(web: Web) -> None:
    """What is on disk afterwards is what serves: the host may boot. The right one stands in paths too, which must not be masked."""
    wanted = altered(web, 5, code={"path": "/srv/app05/current", "source": str(APPS / "keyed")}, secrets=[{"name": "KEY"}])
    web.install(wanted, webstack_secrets={"app05": {"KEY": "app05"}})
    said = web.refused(wanted, webstack_secrets={"app05": {"KEY": "wrong"}})
    assert "service app05: its application does not load: ValueError: this key opens nothing" in said
    assert "wrong" not in said
    assert web.run("sh", "-c", "grep -rl wrong /etc/webstack; ls -R /etc/webstack | grep former", check=False) == ""
    assert "changed=0" in web.install(wanted, webstack_secrets={"app05": {"KEY": "app05"}})
    web.as_wanted(wanted)


def test_a_health_check_that_fails_after_the_new_code_is_in_place(web: Web) -> None:
    said = web.refused(altered(web, 4, code={"path": f"/srv/{UNHEALTHY}/current", "source": str(APPS / "unhealthy")}), webapp_timeout=15)
    assert f"service {UNHEALTHY}" in said
    assert "500" in said


def test_a_new_service_that_crashes_leaves_nothing_that_serves(web: Web) -> None:
    said = web.refused([*web.good, service("newer", "crashing")], webapp_timeout=15)
    assert "service newer: its application does not load" in said
    assert web.vassals() == NAMES


@pytest.mark.parametrize("place", ["/srv", "/etc/webstack", "/var/lib/webstack"])
def test_a_full_disk(web: Web, place: str, tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    (code / "wsgi.py").write_bytes((APPS / "hello/wsgi.py").read_bytes())
    (code / "picture").write_bytes(os.urandom(1 << 20))
    more = service("newer", greeting="x" * 20000 if place == "/etc/webstack" else "hello")
    more["code"]["source"] = str(code)
    fill(web, place, 0)
    try:
        said = web.refused([*web.good, more])
        assert "No space left on device" in said
    finally:
        web.run("rm", "-f", f"{place}/fill")


def test_a_full_disk_during_pip_install(web: Web, tmp_path: Path) -> None:
    lock = tmp_path / "requirements.txt"
    lock.write_text("itsdangerous==2.2.0\n", encoding="utf-8")
    more = service("newer")
    more["python"] = {"requirements": str(lock)}
    del more["uwsgi"]["options"]["virtualenv"]
    fill(web, "/srv", 2048)
    try:
        assert "service newer" in web.refused([*web.good, more])
        assert web.bodies(NAMES) == dict.fromkeys(NAMES, "hello")
    finally:
        web.run("rm", "-f", "/srv/fill")
    web.install([*web.good, more])
    web.as_wanted([*web.good, more])


def fill(web: Web, place: str, left: int) -> None:
    """Fill a file system but for ``left`` KiB."""
    web.run("sh", "-c", f"head -c {left}K /dev/zero > {place}/left; cat /dev/zero > {place}/fill 2>/dev/null; rm {place}/left")


def test_a_package_mirror_that_is_down(web: Web) -> None:
    hide = "mkdir -p /root/apt && mv /etc/apt/sources.list* /root/apt/ && echo 'deb http://127.0.0.1:9/debian bookworm main' > /etc/apt/sources.list"
    web.run("sh", "-c", hide)
    try:
        said = web.refused(web.good, uwsgi_packages=["uwsgi-core", "uwsgi-plugin-python3", "uwsgi-plugin-psgi"])
        assert "uwsgi-plugin-psgi" in said
        assert "run again" in said
    finally:
        web.run("sh", "-c", "rm -rf /etc/apt/sources.list*; mv /root/apt/* /etc/apt/")


@pytest.mark.parametrize(("target", "delay", "first", "stride"), [(True, 0.35, 1, STRIDE), (False, 0.1, FIRST_ON_HOST + 1, STRIDE)],
                         ids=["both sides", "the control node"])
def test_a_run_killed_at_each_step(web: Web, target: bool, delay: float, first: int, stride: int) -> None:
    """Code, environment, a site and a new service are on their way each time; with the control node alone, what began on the host goes on."""
    former, step = "hello", first
    while True:
        wanted = altered(web, 1, environment={"GREETING": f"step{step}"}, nginx={"sites": [{"server_names": ["app01.test", f"step{step}.test"]}]})
        wanted = [*wanted, service(f"newer{step}", greeting="new")]
        if Play(web, "install", {"webstack_services": wanted}).kill_at_task(step, delay, target=target) is None:
            break
        answers = web.bodies(NAMES)
        assert answers.pop("app01") in (former, f"step{step}"), f"killed at task {step}"
        assert set(answers.values()) == {"hello"}, f"killed at task {step}: {answers}"
        web.install(wanted)
        web.as_wanted(wanted)
        former = f"step{step}"
        step += stride if step >= FIRST_ON_HOST else FIRST_ON_HOST - step
    assert step > FIRST_ON_HOST + 8


def test_nginx_edited_by_hand_soundly(web: Web) -> None:
    web.run("sh", "-c", "echo 'server { listen 80; server_name own.test; return 204; }' > /etc/nginx/conf.d/own.conf")
    web.run("sed", "-i", "1a#edit", "/etc/nginx/conf.d/webstack-app01.conf")
    try:
        web.install(web.good)
        assert web.run("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", "Host: own.test", "http://127.0.0.1/") == "204"
        assert "#edit" not in web.run("cat", "/etc/nginx/conf.d/webstack-app01.conf")
    finally:
        web.run("rm", "/etc/nginx/conf.d/own.conf")


def test_nginx_edited_by_hand_and_broken(web: Web) -> None:
    web.run("sh", "-c", "echo 'nonsense on;' > /etc/nginx/conf.d/broken.conf")
    try:
        site = {"server_names": ["app05.test", "five.test"]}
        said = web.refused(altered(web, 5, nginx={"sites": [site]}))
        assert re.search(r'nginx refuses its configuration: unknown directive \\*"nonsense\\*" in /etc/nginx/conf.d/broken.conf:1', said), said
        assert "five.test" not in web.run("cat", "/etc/nginx/conf.d/webstack-app05.conf")
    finally:
        web.run("rm", "/etc/nginx/conf.d/broken.conf")
