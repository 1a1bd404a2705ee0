"""The candidate: where requests go, what a container is made of, what its log says."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal
from ansible_collections.gantry.webstack.plugins.module_utils.move import _candidate

SERVICE = {
    "name": "shop",
    "uwsgi": {"binary": "/usr/bin/uwsgi", "socket": "/run/uwsgi/shop/uwsgi.sock", "options": {"module": "shop"}},
    "secrets": [{"name": "TOKEN", "source": "uwsgi:/etc/webstack/vassals/shop.ini"}],
}


def plan(image: str = "sha256:1", token: str = "s3cret%x") -> _candidate.Candidate:
    return _candidate.plan_candidate(SERVICE, image, {"TOKEN": token}, "2001:2001", [])


def test_one_input_is_one_container() -> None:
    assert plan() == plan()
    assert len({candidate.name for candidate in (plan(), plan(image="sha256:2"), plan(token="other"))}) == 3


def test_a_secret_is_in_its_own_file_alone() -> None:
    candidate = plan()
    assert candidate.secrets == "[uwsgi]\nenv = TOKEN=s3cret%%x\n"
    assert "s3cret" not in candidate.config + candidate.described() + str(candidate.journal_entry())
    assert "ini = /etc/webstack/secrets.ini" in candidate.config


def test_its_log_is_a_file_where_the_host_s_is_one() -> None:
    assert "/var/log/webstack" not in plan().config
    uwsgi = {"binary": "/usr/bin/uwsgi", "socket": "/run/uwsgi/shop/uwsgi.sock", "options": {"module": "shop", "logto": "/var/log/shop.log"}}
    service = {**SERVICE, "uwsgi": uwsgi}
    candidate = _candidate.plan_candidate(service, "sha256:1", {}, "2001:2001", [])
    assert "\nlogto = /var/log/webstack/shop/uwsgi.log\n" in candidate.config
    assert ("/var/log/webstack/shop", False) in [(mount.target, mount.read_only) for mount in candidate.mounts]


def test_what_a_log_has_from_a_byte_on(tmp_path: Path) -> None:
    path = tmp_path / "uwsgi.log"
    assert _candidate.written_since(str(path), 0) == ""
    path.write_text("one\ntwo\n")
    assert _candidate.size_of(str(path)) == 8
    assert _candidate.written_since(str(path), 4) == "two\n"
    assert _candidate.written_since(str(path), 99) == "one\ntwo\n"  # it was rotated
    (tmp_path / "link").symlink_to(path)
    assert _candidate.written_since(str(tmp_path / "link"), 0) == ""


def test_requests_go_where_the_seam_leads_whatever_the_journal_says(tmp_path: Path) -> None:
    seam = tmp_path / "uwsgi.sock"
    journal = _journal.Journal("shop", {"runtime": "host", "phase": "switching", "seam": str(seam), "candidate": {"socket": "/run/webstack/shop/a.sock"}})
    assert _candidate.on_host(journal)
    seam.symlink_to("/run/webstack/shop/a.sock")
    assert not _candidate.on_host(journal)
    journal.data["runtime"] = "container"
    assert not _candidate.on_host(journal)


@pytest.mark.parametrize(("log", "words"), [
    ("", "nothing"),
    ("starting\nbind(): Permission denied [core/socket.c line 230]\n", "bind(): Permission denied [core/socket.c line 230]"),
    ("Traceback (most recent call last):\n  File x\nModuleNotFoundError: No module named 'shop'\nunable to load app\n",
     "ModuleNotFoundError: No module named 'shop'"),
])
def test_the_line_that_says_most(log: str, words: str) -> None:
    assert _candidate.last_words(log) == words


def test_the_words_of_an_application_that_does_not_load_are_told_from_those_of_the_one_that_serves() -> None:
    failed = "ModuleNotFoundError: No module named 'shop'\nunable to load app 0 (mountpoint='') (callable not found or import error)"
    log = "OSError: write error\n%s\nOSError: write error\n[pid: 7] GET /\n" % failed
    assert _candidate.until_not_loaded(log) == "OSError: write error\n" + failed
    assert _candidate.until_not_loaded("OSError: write error\n") == "OSError: write error\n"
