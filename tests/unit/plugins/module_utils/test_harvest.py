# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""A service's image from a whole host in a dictionary: which layers, which files, which sentences."""

from __future__ import annotations

import os
from typing import Any, Dict, Set

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.image import _accounts, _commands, _harvest
from ansible_collections.gantry.webstack.plugins.module_utils.image._closure import Host
from ansible_collections.gantry.webstack.plugins.module_utils.image._harvest import Harvest, System
from ansible_collections.gantry.webstack.plugins.module_utils.image._ldso import CacheEntry, parse_cache, render_cache
from ansible_collections.gantry.webstack.tests.unit.plugins.module_utils.image_helpers import FakeFs, elf

PASSWD = ("root:x:0:0:root:/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\nwww-data:x:33:33::/var/www:/bin/sh\n"
          "shop:x:2001:2002:The Shop,,,:/srv/shop:/bin/bash\nnobody:x:65534:65534::/nonexistent:/bin/sh\n+::::::\n")
GROUP = "root:x:0:\nwww-data:x:33:shop,other\nshop:x:2002:\nmail:x:8:other\nnogroup:x:65534:\n"


def status(*names: str) -> bytes:
    return "\n\n".join("Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1" % name for name in names).encode()


HOST: Dict[str, Any] = {
    "/bin": "usr/bin", "/usr/bin/sh": "dash", "/usr/bin/dash": elf(), "/etc/passwd": PASSWD.encode(), "/etc/group": GROUP.encode(),
    "/etc/os-release": "../usr/lib/os-release", "/usr/lib/os-release": b"Debian", "/etc/ssl/certs/ca.pem": b"CA", "/etc/ssl/private/key.pem": b"KEY",
    "/usr/bin/python3.11": elf(["libz.so.1"]), "/usr/bin/python3": "python3.11", "/usr/lib/libz.so.1": elf(), "/usr/lib/libjpeg.so.62": elf(),
    "/usr/bin/uwsgi": "/etc/alternatives/uwsgi", "/etc/alternatives/uwsgi": "/usr/bin/uwsgi-core", "/usr/bin/uwsgi-core": elf(["libz.so.1"]),
    "/usr/lib/uwsgi/plugins/python3_plugin.so": elf(), "/usr/lib/uwsgi/plugins/http_plugin.so": elf(), "/usr/bin/find": elf(), "/usr/bin/dpkg": elf(),
    "/srv/shop/venv/bin/python": "/usr/bin/python3", "/srv/shop/venv/pyvenv.cfg": b"home = /usr/bin\n", "/srv/shop/venv/lib/pil.so": elf(["libjpeg.so.62"]),
    "/srv/shop/code/wsgi.py": b"app", "/etc/shop/key": b"s3cret",
    "/var/lib/dpkg/status": status("python3.11-minimal", "zlib1g", "libjpeg62", "uwsgi-core", "findutils", "dpkg", "dash", "base-files"),
    **{"/var/lib/dpkg/info/%s.list" % name: ("\n".join(paths) + "\n").encode() for name, paths in {
        "python3.11-minimal": ["/usr/bin/python3.11"], "zlib1g": ["/usr/lib/libz.so.1"], "libjpeg62": ["/usr/lib/libjpeg.so.62"], "dash": ["/bin/dash"],
        "uwsgi-core": ["/usr/bin/uwsgi-core", "/usr/lib/uwsgi/plugins/http_plugin.so"], "findutils": ["/usr/bin/find"], "dpkg": ["/usr/bin/dpkg"],
        "base-files": ["/usr/lib/os-release"]}.items()},
}
SERVICE: Dict[str, Any] = {
    "name": "shop", "user": {"name": "shop"}, "code": {"path": "/srv/shop/code"}, "python": {"version": "3.11.2", "venv": "/srv/shop/venv"},
    "uwsgi": {"binary": "/usr/bin/uwsgi", "options": {"plugins": "python3", "chdir": "/srv/shop/code"}},
    "secrets": [{"name": "key", "source": "file:/etc/shop/key"}],
}


def built(service: Dict[str, Any], nodes: Dict[str, Any] | None = None) -> tuple[list[System], list[dict[str, Any]], list[str]]:
    """Systems, layers as {path: entry} from the bottom, remarks."""
    harvest = Harvest(Host(FakeFs({**HOST, **(nodes or {})})))
    systems = harvest.systems(service)
    top = harvest.closure(systems[-1])
    app = harvest.app(service, top)
    extra, remarks = harvest.extra(service, top, app)
    layers = [harvest.shared_entries(system) for system in systems] + [harvest.extra_entries(extra), harvest.app_entries(service, app)]
    return systems, [{entry.path: entry for entry in layer} for layer in layers], remarks


def test_layers_of_a_packaged_service() -> None:
    systems, (bottom, uwsgi, extra, app), remarks = built(SERVICE)
    assert systems == [System("/usr/bin/python3.11", "3.11"),
                       System("/usr/bin/python3.11", "3.11", ("/usr/bin/uwsgi", "/usr/lib/uwsgi/plugins/python3_plugin.so"))]
    assert {"/bin", "/usr/bin/sh", "/usr/bin/dash", "/usr/bin/python3.11", "/usr/lib/libz.so.1", "/etc/ssl/certs/ca.pem", "/etc/os-release", "/tmp",
            "/etc/webstack/uwsgi.ini", "/etc/nsswitch.conf", "/var/lib/dpkg/status.d/zlib1g", "/var/lib/dpkg/status.d/base-files"} <= set(bottom)
    assert {"/usr/bin/uwsgi", "/etc/alternatives/uwsgi", "/usr/bin/uwsgi-core", "/usr/lib/uwsgi/plugins/python3_plugin.so"} <= set(uwsgi)
    assert "/usr/lib/libz.so.1" not in uwsgi and "/usr/lib/uwsgi/plugins/http_plugin.so" not in uwsgi
    assert "/usr/lib/libjpeg.so.62" in extra and "/var/lib/dpkg/status.d/libjpeg62" in extra
    assert {"/srv/shop/venv/lib/pil.so", "/srv/shop/venv/bin/python", "/srv/shop/code/wsgi.py", "/etc/passwd"} <= set(app)
    assert remarks == []


def test_no_layer_has_a_secret_a_private_key_or_a_package_manager() -> None:
    service = {**SERVICE, "tools": ["/usr/bin/dpkg", "/usr/bin/find"]}
    dummy, layers, remarks = built(service)
    everything = {path: entry for layer in layers for path, entry in layer.items()}
    assert not set(everything) & {"/etc/ssl/private/key.pem", "/usr/bin/dpkg"}
    assert (everything["/etc/shop/key"].data, everything["/etc/shop/key"].source) == (b"", "")
    assert not any(entry.source == "/etc/shop/key" for entry in everything.values())
    assert "/usr/bin/find" in everything
    assert remarks == ["/usr/bin/dpkg is left out: it belongs to dpkg, and images have no package manager"]


def test_a_uwsgi_of_the_venv_is_in_the_app_layer() -> None:
    service = {**SERVICE, "uwsgi": {"origin": "venv", "options": {}}}
    systems, (bottom, extra, app), dummy = built(service, {"/srv/shop/venv/bin/uwsgi": elf(["libjpeg.so.62"])})
    assert systems == [System("/usr/bin/python3.11", "3.11")]
    assert "/srv/shop/venv/bin/uwsgi" in app and "/usr/lib/libjpeg.so.62" in extra


def test_a_python_tree_brings_its_own_prefix() -> None:
    tree = {"/opt/py/bin/python3.12": elf(["libpython3.12.so.1.0"], rpath="$ORIGIN/../lib"), "/opt/py/bin/python3": "python3.12", "/opt/py/bin/pip3": b"#!x",
            "/opt/py/lib/libpython3.12.so.1.0": elf(), "/opt/py/lib/python3.12/json/__init__.py": b"", "/opt/py/lib/python3.12/test/x.py": b"",
            "/opt/py/lib/python3.12/site-packages/pip/x.py": b"", "/opt/py/lib/python3.12/lib-dynload/_z.so": elf(["libz.so.1"]),
            "/opt/py/include/Python.h": b"",
            "/srv/shop/venv/bin/python": "/opt/py/bin/python3"}
    systems, (bottom, *dummy), remarks = built({**SERVICE, "python": {"venv": "/srv/shop/venv"}}, tree)
    assert systems[0] == System("/opt/py/bin/python3.12", "3.12")
    assert {"/opt/py/bin/python3.12", "/opt/py/bin/python3", "/opt/py/lib/libpython3.12.so.1.0", "/opt/py/lib/python3.12/json/__init__.py",
            "/opt/py/lib/python3.12/lib-dynload/_z.so", "/usr/lib/libz.so.1"} <= set(bottom)
    assert not [path for path in bottom if "/test/" in path or "pip" in path or "include" in path]


def test_a_venv_of_copies_names_its_python_in_its_configuration() -> None:
    nodes = {"/srv/shop/venv/bin/python": elf(), "/srv/shop/venv/bin/python3": elf()}
    assert Harvest(Host(FakeFs({**HOST, **nodes}))).systems(SERVICE)[0].interpreter == "/usr/bin/python3.11"


def test_a_layer_depends_on_the_host_and_not_on_the_other_services() -> None:
    first = built(SERVICE)[1][:2]
    assert built({**SERVICE, "name": "other", "tools": ["/usr/bin/find"]})[1][:2] == first


def test_the_cache_of_the_linker_knows_what_is_in_the_image() -> None:
    cache = render_cache([CacheEntry(3, name, "/usr/lib/" + name) for name in ("libz.so.1", "libjpeg.so.62", "libgone.so.1")])
    dummy, (bottom, uwsgi, extra, app), remarks = built(SERVICE, {"/etc/ld.so.cache": cache})
    assert [entry.soname for entry in parse_cache(bottom["/etc/ld.so.cache"].data)] == ["libz.so.1"]
    assert [entry.soname for entry in parse_cache(extra["/etc/ld.so.cache"].data)] == ["libz.so.1", "libjpeg.so.62"]


@pytest.mark.parametrize(("change", "sentence"), [
    ({"tools": ["/usr/bin/nope"]}, "service shop: its tool /usr/bin/nope does not exist on this host"),
    ({"system_packages": [{"name": "libnope"}]}, "service shop: the package 'libnope' of its system_packages is not installed on this host"),
    ({"container": {"packages": ["aspell-fr"]}}, "service shop: the package 'aspell-fr' of its container.packages is not installed on this host; install it, "
                                                 "or take it out of the plan"),
    ({"uwsgi": {"binary": "/opt/uwsgi"}}, "service shop: its uWSGI /opt/uwsgi does not exist on this host"),
    ({"user": {"name": "ghost"}}, "service shop: its user 'ghost' does not exist on this host"),
    ({"python": {"interpreter": "/opt/python"}}, "service shop: its Python /opt/python does not exist on this host"),
])
def test_a_plan_that_does_not_fit_the_host(change: Dict[str, Any], sentence: str) -> None:
    with pytest.raises(WebstackError) as refused:
        built({**SERVICE, **change})
    assert str(refused.value) == sentence


def test_programs_of_the_schedule_come_along_and_missing_ones_are_said() -> None:
    service = {**SERVICE, "schedule": [{"when": "* * * * *", "command": "cd /srv && find . -delete | vanished --now % input"}]}
    dummy, layers, remarks = built(service)
    assert any("/usr/bin/find" in layer for layer in layers)
    assert remarks == ["the program 'vanished' of the command 'cd /srv && find . -delete | vanished --now ' is not on this host"]


def test_what_the_plan_adds_comes_with_what_it_needs() -> None:
    packages = {"/usr/share/doc/findutils/copyright": b"", "/usr/share/words/fr": b"mots", "/usr/lib/libjpeg.so.62": elf(),
                "/opt/reader/read.so": elf(["libjpeg.so.62"])}
    service = {**SERVICE, "python": {**SERVICE["python"], "venv": ""}, "container": {"packages": ["findutils"], "paths": ["/opt/reader", "/usr/share/words"]}}
    dummy, layers, remarks = built(service, packages)
    extra, app = layers[-2:]
    assert {"/usr/bin/find", "/usr/lib/libjpeg.so.62", "/usr/share/words/fr"} <= set(extra) and "/opt/reader/read.so" in app
    assert not {"/usr/bin/find", "/usr/lib/libjpeg.so.62"} & set().union(*map(set, built({**service, "container": {}}, packages)[1]))


@pytest.mark.parametrize(("options", "binary", "names"), [
    ({"plugins": "python3,http"}, "/usr/bin/uwsgi", ["python3", "http", "corerouter"]),
    ({"plugin": ["0:python3", "/opt/x_plugin.so"]}, "/u", ["python3", "/opt/x_plugin.so"]),
    ({}, "/usr/bin/uwsgi_python3", ["python3"]), ({}, "/usr/bin/uwsgi-core", []),
])
def test_names_of_plugins(options: Dict[str, Any], binary: str, names: list[str]) -> None:
    assert _harvest.plugin_names(options, binary) == names


@pytest.mark.parametrize(("command", "found"), [
    ("/srv/venv/bin/python manage.py x >> /var/log/x.log 2>&1", ["/srv/venv/bin/python"]),
    ("cd /srv/x && PATH=/usr/bin find . -mtime +3 -exec rm {} +", ["/srv/x", "find"]),
    ("nice -n 10 ionice -c3 backup --to /mnt; echo done | mail -s x root", ["nice", "ionice", "backup", "/mnt", "mail"]),
    ("if test -x /usr/sbin/y; then y 2>/dev/null; fi", ["/usr/sbin/y", "y"]), ("( umask 077; env A=1 sh -c 'z' )", ["env", "sh"]),
    ("echo 'unclosed", []), ("", []), ("timeout 5m /usr/bin/curl http://x", ["timeout", "/usr/bin/curl"]),
])
def test_programs_in_a_command(command: str, found: list[str]) -> None:
    assert _commands.programs(command) == found


@pytest.mark.parametrize(("key", "value", "found"), [
    ("smart-attach-daemon", "/run/redis.pid redis-server --port 0", ["redis-server"]), ("attach-daemon2", "cmd=celery -A x,freq=3", ["celery"]),
    ("cron", "5 -1 -1 -1 -1 tick", ["tick"]),
    ("exec-pre-app", "/usr/bin/find /tmp", ["/usr/bin/find", "/tmp"]), ("hook-post-app", "exec:convert a b", ["convert"]),
    ("unique-cron", "0 1 -1 -1 -1 tock", ["tock"]),
])
def test_programs_in_options(key: str, value: str, found: list[str]) -> None:
    assert _commands.programs(_harvest._option_command(key, value)) == found


def test_cron_lines_end_at_a_percent_sign() -> None:
    assert _commands.cron_command(r"date +\%F > x % input") == "date +%F > x "


def test_accounts_of_an_image() -> None:
    service = {**SERVICE, "uwsgi": {"options": {"chown-socket": "shop:www-data"}}}
    passwd, group = _accounts.render(service, PASSWD, GROUP)
    assert passwd == ("root:x:0:0::/root:/usr/sbin/nologin\nwww-data:x:33:33::/var/www:/usr/sbin/nologin\n"
                      "shop:x:2001:2002::/srv/shop:/usr/sbin/nologin\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n")
    assert group == "root:x:0:\nwww-data:x:33:shop\nshop:x:2002:\nnogroup:x:65534:\n"
    assert _accounts.ids(service, PASSWD, GROUP) == (2001, 2002)


def test_accounts_that_only_the_plan_knows() -> None:
    service = {"name": "x", "user": {"name": "new", "uid": 900, "gid": 901, "group": "crew"}}
    passwd, group = _accounts.render(service, PASSWD, GROUP)
    assert "new:x:900:901::/nonexistent:/usr/sbin/nologin\n" in passwd and "crew:x:901:\n" in group


@pytest.mark.parametrize("nodes, wanted", [
    ({}, set()),
    ({"/srv/shop/venv/lib/python3.11/site-packages/store.py": b"import shelve\n"}, {"_dbm"}),
    ({"/srv/shop/code/keep.py": b"from dbm import ndbm\n"}, {"_dbm"}),
    ({"/srv/shop/code/shell.py": b"try:\n    import readline\nexcept ImportError:\n    pass\n"}, {"readline"}),
    ({"/srv/shop/code/shell.py": b"line = sys.stdin.readline()\n"}, set()),
    ({"/srv/shop/venv/pyvenv.cfg": b"home = /usr/bin\ninclude-system-site-packages = true\n"}, {"_dbm", "readline"})])
def test_modules_with_large_libraries_come_to_services_that_name_them(nodes: Dict[str, Any], wanted: Set[str]) -> None:
    stdlib = "libpython3.11-stdlib"
    libraries = {"_dbm": "libdb5.3", "readline": "libreadline8"}
    places = {module: f"/usr/lib/python3.11/lib-dynload/{module}.cpython-311.so" for module in libraries}
    needs = {module: f"/usr/lib/{name}.so" for module, name in libraries.items()}
    host = {**nodes, "/usr/lib/python3.11/dbm.py": b"", **{places[module]: elf([os.path.basename(needs[module])]) for module in libraries},
            **{path: elf() for path in needs.values()},
            "/var/lib/dpkg/status": HOST["/var/lib/dpkg/status"] + b"\n\n" + status(stdlib, *libraries.values()),
            f"/var/lib/dpkg/info/{stdlib}.list": "".join(f"{path}\n" for path in ["/usr/lib/python3.11/dbm.py", *places.values()]).encode(),
            **{f"/var/lib/dpkg/info/{name}.list": f"{needs[module]}\n".encode() for module, name in libraries.items()}}
    dummy, (bottom, uwsgi, extra, app), _remarks = built(SERVICE, host)
    assert "/usr/lib/python3.11/dbm.py" in bottom
    all_of_them = {*places.values(), *needs.values()}
    assert not all_of_them & {*bottom, *uwsgi}
    assert all_of_them & set(extra) == {kind[module] for module in wanted for kind in (places, needs)}
    mounted = built({**SERVICE, "state": [{"path": "/srv/shop/code"}]}, host)[1][2]
    assert set(places.values()) <= set(mounted)
