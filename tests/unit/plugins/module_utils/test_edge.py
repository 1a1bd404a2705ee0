"""nginx's own move: what its configuration names, what is mounted for it, and how sockets are handed over."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common import _journal, _paths
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.edge import _configuration, _enter, _handover, _image, _mounts, _sides

# Debian 12's nginx 1.22, shortened
VERSION = """nginx version: nginx/1.22.1
configure arguments: --with-cc-opt='-g -O2 -fPIC' --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf \
--http-log-path=/var/log/nginx/access.log --error-log-path=stderr --lock-path=/var/lock/nginx.lock --pid-path=/run/nginx.pid \
--modules-path=/usr/lib/nginx/modules --http-client-body-temp-path=/var/lib/nginx/body --http-proxy-temp-path=/var/lib/nginx/proxy
"""

DUMP = """# configuration file /etc/nginx/nginx.conf:
user www-data;
include /etc/nginx/modules-enabled/*.conf;
load_module modules/ngx_http_geoip_module.so;
worker_rlimit_nofile 30000;
http {
    access_log /var/log/nginx/access.log;
    error_log syslog:server=unix:/dev/log;
    proxy_cache_path /var/cache/pages keys_zone=pages:1m;
    upstream app { server unix:/run/uwsgi/app/uwsgi.sock; }
    map $uri $x { default "unix:/run/other/$y.sock"; }
}
# configuration file /etc/nginx/sites-enabled/shop:
server {
    listen 443 ssl;
    listen unix:/run/shop/front.sock;
    ssl_certificate /etc/letsencrypt/live/shop/fullchain.pem;
    ssl_certificate_key "/etc/letsencrypt/live/shop/privkey.pem";
    auth_basic_user_file users;
    root /srv/$host/public;
    access_log /var/log/shop/$host.log;
    access_log off;
    location / { proxy_pass http://unix:/srv/shop/run/app.sock:/api/; }
    location /a { alias static; }
    # root /nowhere;
}
"""


def uses(text: str = DUMP) -> _configuration.Uses:
    return _configuration.uses(text, _configuration.build_of(VERSION))


def test_build() -> None:
    build = _configuration.build_of(VERSION)
    assert (build.prefix, build.pid, build.user) == ("/usr/share/nginx", "/run/nginx.pid", "nobody")
    assert "/var/log/nginx" in build.written and "/var/lib/nginx/proxy" in build.written and "/usr/share/nginx" not in build.written


def test_what_a_configuration_names() -> None:
    found = uses()
    assert {"/etc/letsencrypt/live/shop/privkey.pem", "/etc/nginx/users", "/etc/nginx/sites-enabled/shop", "/etc/nginx/modules-enabled/*.conf"} <= found.files
    assert found.trees == {"/srv", "/usr/share/nginx/static", "/usr/share/nginx/html"}
    assert {"/var/log/nginx", "/var/log/shop", "/var/cache/pages"} <= found.written
    assert found.sockets == {"/dev/log", "/run/uwsgi/app/uwsgi.sock", "/srv/shop/run/app.sock", "/run/other"}
    assert found.bound == {"/run/shop/front.sock"}
    assert found.modules == {"/usr/share/nginx/modules/ngx_http_geoip_module.so"}
    assert (found.user, found.group, found.pid, found.descriptors) == ("www-data", "www-data", "/run/nginx.pid", 30000)
    assert not found.dav and not found.transparent


@pytest.mark.parametrize(("text", "key", "value"), [
    ("dav_methods PUT;", "dav", True), ("dav_methods off;", "dav", False), ("proxy_bind $remote_addr transparent;", "transparent", True),
    ("pid logs/n.pid;", "pid", "/usr/share/nginx/logs/n.pid"), ("user web staff;", "group", "staff")])
def test_single_directives(text: str, key: str, value: object) -> None:
    assert getattr(uses("# configuration file /etc/nginx/nginx.conf:\n" + text), key) == value


def empty(**paths: set) -> _configuration.Uses:
    found = {"files": set(), "trees": set(), "written": set(), "sockets": set(), "bound": set(), "modules": set(), **paths}
    return _configuration.Uses(pid="/run/nginx.pid", user="www-data", group="www-data", dav=False, transparent=False, descriptors=0, **found)


def mounted(found: _mounts.Mounts) -> dict:
    return {mount.path: mount.read_only for mount in found.mounts if mount.path not in (_paths.RUN_DIR, _paths.EDGE_RUN)}


def test_directories_of_links_and_of_what_they_lead_to_are_mounted(tmp_path: Path) -> None:
    live, archive = tmp_path / "live/shop", tmp_path / "archive/shop"
    for path in (live, archive):
        path.mkdir(parents=True)
    (archive / "privkey1.pem").write_text("key")
    (live / "privkey.pem").symlink_to("../../archive/shop/privkey1.pem")
    releases = tmp_path / "srv/releases/1/static"
    releases.mkdir(parents=True)
    (tmp_path / "srv/current").symlink_to("releases/1")
    found = _mounts.mounts(empty(files={str(live / "privkey.pem")}, trees={str(tmp_path / "srv/current/static")}))
    assert mounted(found) == {str(live): True, str(archive): True, str(tmp_path / "srv"): True}


def test_what_is_written_inside_what_is_read_is_mounted_beside_it(tmp_path: Path) -> None:
    (tmp_path / "site/logs").mkdir(parents=True)
    found = _mounts.mounts(empty(trees={str(tmp_path / "site")}, written={str(tmp_path / "site/logs")}))
    assert mounted(found) == {str(tmp_path / "site"): True, str(tmp_path / "site/logs"): False}


def test_a_socket_in_run_itself_is_refused() -> None:
    assert "have it in a directory of its own" in _mounts.mounts(empty(sockets={"/run/gunicorn.sock"})).problems[0]


def test_a_tree_that_is_not_there_is_a_remark() -> None:
    found = _mounts.mounts(empty(trees={"/srv/nothing/here"}))
    assert not mounted(found) and "is not there" in found.remarks[0]


def test_arguments_survive_a_units_command_line() -> None:
    assert _sides.quoted('daemon on; env A=$B "50%";') == '"daemon on; env A=$$B \\"50%%\\";"'


def test_a_secret_file_is_looked_for_in_the_image(tmp_path: Path) -> None:
    key, page = tmp_path / "key.pem", tmp_path / "page.html"
    key.write_text("-----BEGIN PRIVATE KEY-----\nMIIE")
    page.write_text("a page that everybody may read")
    key.chmod(0o600)
    page.chmod(0o644)
    fs = _image.HostFs()
    assert list(_image.secrets(fs, [str(key), str(page)]).values()) == [b"-----BEGIN PRIVATE KEY-----\nMIIE"]


def test_the_journals_of_services_do_not_hold_the_edges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_paths, "STATE_DIR", str(tmp_path))
    _journal.Journal(_paths.EDGE).record("switching")
    assert _journal.load_all() == [] and _journal.load(_paths.EDGE).at("switching")


# The handover itself, between real processes.

LISTEN = """
import socket, sys, time
tcp, unix, pair = socket.create_server(("127.0.0.1", 0)), socket.socket(socket.AF_UNIX), socket.socketpair()
unix.bind(sys.argv[1]); unix.listen()
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
other = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); other.connect(udp.getsockname())
print(tcp.getsockname()[1], flush=True)
time.sleep(60)
"""


def test_listening_sockets_are_offered_and_taken(tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", LISTEN, str(tmp_path / "s.sock")], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            port = int(process.stdout.readline())
            waiting = socket.create_connection(("127.0.0.1", port))  # in the queue of a listener that nobody reads
            try:
                with _handover.listeners(process.pid) as numbers, _handover.Offer(str(tmp_path / "offer")) as offer:
                    assert len(numbers) == 3
                    taken: list[int] = []
                    taker = threading.Thread(target=lambda: taken.extend(_enter.receive(str(tmp_path / "offer"))))
                    taker.start()
                    offer.give(numbers, 10, lambda: None)
                    taker.join(10)
            except WebstackError as exc:
                pytest.skip(str(exc))  # a sandbox in which nobody may look into another process
        finally:
            process.kill()
        process.wait(10)
    copies = [socket.socket(fileno=number) for number in taken]
    listener = next(copy for copy in copies if (copy.family, copy.type) == (socket.AF_INET, socket.SOCK_STREAM))
    peer, _address = listener.accept()
    peer.sendall(b"answered")
    assert waiting.recv(8) == b"answered"


def test_nobody_offers_nothing_is_taken(tmp_path: Path) -> None:
    assert _enter.receive(str(tmp_path / "offer")) == []


def test_an_offer_that_breaks_off_is_no_empty_one(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as offer:
        offer.bind(str(tmp_path / "offer"))
        offer.listen()

        def break_off() -> None:
            offer.accept()[0].close()

        threading.Thread(target=break_off).start()
        with pytest.raises(OSError, match=re.escape("broke off")):
            _enter.receive(str(tmp_path / "offer"))


def test_who_has_ended_is_told(tmp_path: Path) -> None:
    with _handover.Offer(str(tmp_path / "offer")) as offer, pytest.raises(WebstackError, match="it ended"):
        offer.give([], 10, lambda: "it ended")


def test_the_programs_text_travels_with_the_module() -> None:
    assert "def become(" in _image.program()


def test_dead_sockets_are_swept_and_living_ones_stay(tmp_path: Path) -> None:
    dead, living = tmp_path / "dead.sock", tmp_path / "living.sock"
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(str(dead))
    with socket.socket(socket.AF_UNIX) as two:
        two.bind(str(living))
        two.listen()
        nginx = tmp_path / "nginx"
        nginx.write_text("#!/bin/sh\necho 'listen unix:%s; listen \"unix:%s\" ssl;'\n" % (dead, living))
        nginx.chmod(0o755)
        _enter.sweep([str(nginx)])
        assert not os.path.exists(dead) and os.path.exists(living)


def test_what_a_container_does_not_see() -> None:
    there = [_mounts.Mount("/srv", True), _mounts.Mount("/var/log/nginx", False)]
    wanted = [_mounts.Mount("/srv/shop", True), _mounts.Mount("/var/log/nginx", False), _mounts.Mount("/srv/cache", False), _mounts.Mount("/data", True)]
    assert _mounts.unseen(wanted, there) == ["/srv/cache", "/data"]
