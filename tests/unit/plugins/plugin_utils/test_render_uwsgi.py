# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Vassals: the text, and what the reader of uWSGI's dialect makes of it again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.discover import _uwsgi_config
from ansible_collections.gantry.webstack.plugins.plugin_utils import model, render_uwsgi


def service(**more: Any) -> model.Service:
    return model.complete_all([{"name": "shop", **more}])[0]


def read(text: str) -> _uwsgi_config.Config:
    """What uWSGI reads; the reader is tested against the real one."""
    return _uwsgi_config.effective(["uwsgi", "--ini", "shop.ini"], "/etc/webstack/vassals", {"HOME": "/root", "PATH": "/bin"}, {
        "/etc/webstack/vassals/shop.ini": text}.__getitem__)


def test_text() -> None:
    text = render_uwsgi.vassal(service(
        user={"name": "www", "group": "web"}, environment={"A": "50%n"},
        uwsgi={"options": {"module": "shop:app", "processes": 4, "mount": ["/a=x", "/b=y"], "enable-threads": True, "vacuum": False}}))
    assert text.splitlines() == [
        "; Managed by gantry.webstack; changes are overwritten. Service shop.", "[uwsgi]", "socket = /run/uwsgi/shop/uwsgi.sock", "plugins = python3",
        "uid = www", "gid = web", "chdir = /srv/shop/current", "virtualenv = /srv/shop/current/.venv", "master = true", "lazy-apps = true", "listen = 1024",
        "need-app = true", "vacuum = false",
        "die-on-term = true", "chmod-socket = 660", "log-master = true", "logto = /var/log/webstack/shop.log",
        "touch-logreopen = /etc/webstack/vassals/logs.reopen", "module = shop:app", "processes = 4", "mount = /a=x", "mount = /b=y",
        "enable-threads = true", "touch-chain-reload = /etc/webstack/vassals/shop.chain", "hook-post-fork = chdir:/srv/shop/current",
        "pythonpath = /srv/shop/current", "env = A=50%%n"]


@pytest.mark.parametrize(("uwsgi", "absent"), [
    ({"socket": "127.0.0.1:3031"}, "chmod-socket"), ({"origin": "venv"}, "plugins"), ({"options": {"home": "/x"}}, "virtualenv"),
    ({"options": {"plugin": "python39"}}, "plugins"), ({"options": {"logto2": "/x"}}, "logto"),
])
def test_no_default_beside_what_replaces_it(uwsgi: dict[str, Any], absent: str) -> None:
    assert absent not in render_uwsgi.options(service(uwsgi=uwsgi))
    assert absent in render_uwsgi.options(service())


VALUE = st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S", "Zs")), max_size=30).map(str.rstrip)


TRICKY = st.sampled_from(["$(HOME)", "%(nobody)", "100%", "%n%%", "$", "a$(b"])


@given(st.dictionaries(st.from_regex(r"[A-Z_][A-Z0-9_]{0,8}", fullmatch=True), VALUE | TRICKY, max_size=5))
def test_processes_get_exactly_their_environment(environment: dict[str, str]) -> None:
    try:
        text = render_uwsgi.vassal(service(environment=environment))
    except model.ModelError as exc:
        assert "would be replaced by uWSGI's option" in str(exc)
        return
    assert _uwsgi_config.environment(read(text)) == environment


OPTION = st.integers(0, 99) | st.booleans() | st.text("ab%$()n/", min_size=1, max_size=8)


@given(st.dictionaries(st.from_regex(r"x-[a-z]{1,6}", fullmatch=True), OPTION | st.lists(OPTION, min_size=2, max_size=3), max_size=5))
def test_options_are_literal_and_keep_their_order(options: dict[str, Any]) -> None:
    definition = service(uwsgi={"options": options})
    text = render_uwsgi.vassal(definition)
    found = [(item.key, _uwsgi_config.text(item)) for item in read(text).options if item.key not in (render_uwsgi.DOLLAR, "ini")]
    said: list[tuple[str, str]] = [("socket", "/run/uwsgi/shop/uwsgi.sock")]
    for key, value in render_uwsgi.options(definition).items():
        for item in value if isinstance(value, list) else [value]:
            said.append((key, str(item).lower() if isinstance(item, bool) else str(item)))
    assert found == said


@pytest.mark.parametrize(("more", "message"), [
    ({"environment": {"A": "x\ny"}}, r"^services\[shop\].environment.A: a value with a line break"),
    ({"environment": {"A": "x "}}, r"^services\[shop\].environment.A: uWSGI drops white space"),
    ({"environment": {"A-B": "x"}}, r"^services\[shop\].environment.A-B: 'A-B' is not the name of an environment variable"),
    ({"environment": {"A": "%(socket)"}}, r"^services\[shop\].uwsgi: %\(socket\) in 'env = A=%\(socket\)' would be replaced by uWSGI's option socket"),
    ({"uwsgi": {"options": {"a": "x\ny"}}}, r"^services\[shop\].uwsgi.options.a: 'x\\ny' cannot stand in a uWSGI configuration"),
    ({"uwsgi": {"options": {"a = b\nc": "x"}}}, r"cannot stand in a uWSGI configuration"),
])
def test_what_cannot_be_said_is_refused(more: dict[str, Any], message: str) -> None:
    with pytest.raises(model.ModelError, match=message):
        render_uwsgi.vassal(service(**more))


def test_secrets_of_the_vassal_itself() -> None:
    secrets = [{"name": "A", "source": "uwsgi:/etc/webstack/secrets/shop.ini"}, {"name": "B", "source": "file:/b"}, {"name": "C", "source": "uwsgi:/other.ini"}]
    assert render_uwsgi.secret_environment(service(secrets=secrets)) == ["A"]
    assert render_uwsgi.vassal(service(secrets=secrets)).splitlines()[-1] == "ini = /etc/webstack/secrets/shop.ini"


def test_notes_follow_what_uwsgi_reads() -> None:
    """uWSGI reads one section; the reader, which is tested against it, too."""
    plain, noted = service(), service(state=[{"path": "/srv/shop/50%"}], health={"timeout": 5})
    assert render_uwsgi.vassal(noted) == render_uwsgi.vassal(plain) + '[x-webstack]\nstate = [{"path": "/srv/shop/50%"}]\nhealth = {"timeout": 5}\n'
    assert read(render_uwsgi.vassal(noted)).options == read(render_uwsgi.vassal(plain)).options


def test_the_page_of_the_health_is_noted_where_discover_would_ask_another() -> None:
    assert render_uwsgi.notes(service(nginx={"sites": [{"location": "/app"}]})) == ["[x-webstack]", 'health = {"path": "/"}']
    assert render_uwsgi.notes(service(nginx={"sites": [{}]})) == []
