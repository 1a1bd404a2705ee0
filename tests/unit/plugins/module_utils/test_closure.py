# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The closure over packages, symlinks and NEEDED, on hosts in a dictionary."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence, Tuple

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.image._closure import Closure, Host, is_runtime, which
from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg, Stanza
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import Stat
from ansible_collections.gantry.webstack.tests.unit.plugins.module_utils.image_helpers import FakeFs, elf

LIB = "/usr/lib/x86_64-linux-gnu/"
LOADER = "/lib64/ld-linux-x86-64.so.2"
MERGED: Dict[str, Any] = {"/lib64": "usr/lib64", "/bin": "usr/bin", "/usr/lib64/ld-linux-x86-64.so.2": "../lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
                          LIB + "ld-linux-x86-64.so.2": elf(), LIB + "libc.so.6": elf(), LIB + "libm.so.6": elf(["libc.so.6"])}
Package = Tuple[str, List[str], Sequence[Tuple[str, ...]]]
LIBC: Package = ("libc6:amd64", [LOADER, LIB + "ld-linux-x86-64.so.2", LIB + "libc.so.6", LIB + "libm.so.6", "/usr/share/doc/libc6/copyright"], [])


def host(nodes: Dict[str, Any], *packages: Package) -> Host:
    stanzas = [Stanza(key.split(":")[0], "1", "amd64", "", tuple(depends)) for key, dummy, depends in packages]
    listed = {path for dummy, paths, depends in packages for path in paths if path != LOADER}
    files = {path for path in listed if not any(other.startswith(path + "/") for other in listed)}  # lists name directories too
    everything = {**dict.fromkeys(files, b""), **nodes}
    return Host(FakeFs(everything), Dpkg(stanzas, {key: paths for key, paths, dummy in packages}, merged={"/bin": "/usr/bin", "/lib64": "/usr/lib64"}))


def test_a_program_brings_its_loader_its_libraries_and_their_packages() -> None:
    tool: Package = ("tool", ["/usr/bin", "/usr/bin/tool", "/usr/share/man/man1/tool.1.gz", "/usr/share/doc/tool/copyright", "/usr/share/tool/data"], [])
    closure = Closure(host({**MERGED, "/usr/bin/tool": elf(["libm.so.6"], interp=LOADER)}, LIBC, tool))
    assert closure.add("/bin/tool")
    assert closure.packages == {"tool", "libc6:amd64"}
    assert set(closure.paths) == {
        "/bin", "/usr/bin/tool", "/usr/share/doc/tool/copyright", "/usr/share/tool/data", "/lib64", "/usr/lib64/ld-linux-x86-64.so.2",
        LIB + "ld-linux-x86-64.so.2", LIB + "libc.so.6", LIB + "libm.so.6", "/usr/share/doc/libc6/copyright"}
    assert closure.unresolved == set()


def test_the_order_of_the_roots_does_not_matter() -> None:
    nodes = {**MERGED, LIB + "liba.so": elf(["libb.so"]), LIB + "libb.so": elf(["liba.so", "libc.so.6"]), "/opt/x": elf(["liba.so"]),
             "/opt/y": elf(["libb.so"])}
    packages: List[Package] = [LIBC, ("liba", [LIB + "liba.so"], []), ("libb", [LIB + "libb.so"], [])]
    first, second = Closure(host(nodes, *packages)), Closure(host(nodes, *packages))
    for path in ("/opt/x", "/opt/y"):
        first.add(path)
    for path in ("/opt/y", "/opt/x"):
        second.add(path)
    assert (first.paths, first.packages) == (second.paths, second.packages)


def test_a_child_adds_only_what_its_parent_lacks() -> None:
    nodes = {**MERGED, LIB + "liba.so": elf(["libc.so.6"]), "/usr/bin/one": elf(["libc.so.6"]), "/usr/bin/two": elf(["liba.so", "libc.so.6"])}
    machine = host(nodes, LIBC, ("liba", [LIB + "liba.so"], []), ("one", ["/usr/bin/one"], []), ("two", ["/usr/bin/two"], []))
    parent = Closure(machine)
    parent.add("/usr/bin/one")
    child = Closure(machine, parent)
    child.add("/usr/bin/two")
    assert (set(child.paths), child.packages) == ({"/usr/bin/two", LIB + "liba.so"}, {"two", "liba"})


def test_a_wheel_is_followed_and_not_taken() -> None:
    site = "/srv/venv/lib/site-packages/"
    nodes = {**MERGED, site + "pkg/mod.so": elf(["libown.so", "libsys.so"], rpath="$ORIGIN/../pkg.libs"), site + "pkg.libs/libown.so": elf(["libnone.so"]),
             LIB + "libsys.so": elf()}
    closure = Closure(host(nodes, LIBC, ("libsys", [LIB + "libsys.so"], [])), own=["/srv/venv"])
    closure.follow(site + "pkg/mod.so")
    assert set(closure.paths) == {LIB + "libsys.so"}
    assert closure.unresolved == {(site + "pkg.libs/libown.so", "libnone.so")}


def test_an_rpath_reaches_the_libraries_of_a_library() -> None:
    nodes = {**MERGED, "/opt/bin/x": elf(["liba.so"], rpath="$ORIGIN/../lib"), "/opt/lib/liba.so": elf(["libb.so"]), "/opt/lib/libb.so": elf()}
    closure = Closure(host(nodes, LIBC))
    closure.add("/opt/bin/x")
    assert set(closure.paths) == {"/opt/bin/x", "/opt/lib/liba.so", "/opt/lib/libb.so"}


@pytest.mark.parametrize("name", ["apt", "dpkg", "libapt-pkg6.0", "python3-pip", "python3-apt", "debconf", "dpkg-dev"])
def test_package_managers_stay_out(name: str) -> None:
    closure = Closure(host(MERGED, LIBC, (name, ["/usr/bin/manager", "/usr/share/x"], [])))
    assert closure.add("/usr/bin/manager", tool=True)
    closure.add_package(name)
    assert (closure.paths, closure.packages, closure.denied) == ({}, set(), {("/usr/bin/manager", name)})


def test_data_packages_come_with_a_library_and_programs_do_not() -> None:
    packages: List[Package] = [
        LIBC, ("libmagic1:amd64", [LIB + "libmagic.so.1"], [("libmagic-mgc",), ("file",), ("libc6",), ("not-here", "magic-extra")]),
        ("libmagic-mgc", ["/usr/lib/file/magic.mgc"], []), ("file", ["/usr/bin/file"], []), ("magic-extra", ["/usr/share/magic-extra"], [])]
    closure = Closure(host({**MERGED, LIB + "libmagic.so.1": elf()}, *packages))
    closure.add(LIB + "libmagic.so.1")
    assert closure.packages == {"libmagic1:amd64", "libmagic-mgc", "magic-extra"}


def test_a_tool_brings_the_programs_it_depends_on_and_its_interpreter() -> None:
    packages: List[Package] = [
        ("report", ["/usr/bin/report"], [("helper",), ("init-system-helpers",), ("dpkg",)]), ("helper", ["/usr/bin/helper"], []),
        ("perl-base", ["/usr/bin/perl", "/usr/lib/perl/strict.pm"], []), ("coreutils", ["/usr/bin/env"], []),
        ("init-system-helpers", ["/usr/bin/deb-systemd-helper"], []), ("dpkg", ["/usr/bin/dpkg"], [])]
    nodes = {"/usr/bin/report": b"#!/usr/bin/env -S perl -w\n", "/usr/bin/perl": elf(), "/usr/bin/env": elf(), "/usr/bin/helper": b"#!/nowhere\n"}
    closure = Closure(host(nodes, *packages))
    closure.add("/usr/bin/report", tool=True)
    assert closure.packages == {"report", "helper", "perl-base", "coreutils"}


def test_a_symlink_of_a_package_brings_its_file_through_alternatives() -> None:
    nodes = {"/usr/lib/uwsgi/plugins/python3_plugin.so": "/etc/alternatives/plugin", "/etc/alternatives/plugin": "/usr/lib/uwsgi/plugins/python311_plugin.so",
             "/usr/lib/uwsgi/plugins/python311_plugin.so": elf(), "/usr/lib/uwsgi/plugins/other_plugin.so": elf(["libnone.so"])}
    closure = Closure(host(nodes, ("uwsgi-plugins", ["/usr/lib/uwsgi/plugins/python311_plugin.so", "/usr/lib/uwsgi/plugins/other_plugin.so"], [])))
    closure.add("/usr/lib/uwsgi/plugins/python3_plugin.so")
    assert set(closure.paths) == set(nodes) - {"/usr/lib/uwsgi/plugins/other_plugin.so"}
    assert closure.unresolved == set()


def test_a_packaged_python_brings_its_standard_library_with_byte_code() -> None:
    top = "/usr/lib/python3.11/"
    packages: List[Package] = [
        ("python3.11-minimal", ["/usr/bin/python3.11"], []), ("libpython3.11-stdlib:amd64", [top + "json.py", top + "pdb.py"], [("media-types",)]),
        ("media-types", ["/etc/mime.types"], []), ("python3-distutils", [top + "distutils/core.py"], []), ("python3.11-venv", [top + "ensurepip/x.py"], []),
        ("python3-flask", ["/usr/lib/python3/dist-packages/flask.py"], []), ("python3-minimal", ["/usr/bin/python3", "/usr/bin/py3compile"], [])]
    nodes = {"/usr/bin/python3": "python3.11", "/usr/bin/python3.11": elf(), top + "__pycache__/json.cpython-311.pyc": b"",
             top + "__pycache__/pdb.cpython-311.pyc": b""}
    closure = Closure(host(nodes, *packages))
    closure.add("/usr/bin/python3.11")
    assert set(closure.paths) == {
        "/usr/bin/python3", "/usr/bin/python3.11", top + "json.py", top + "__pycache__/json.cpython-311.pyc", top + "pdb.py", top + "distutils/core.py",
        "/etc/mime.types"}


def test_private_configuration_of_a_package_stays_out() -> None:
    machine = host({"/etc/tool/secret.conf": Stat("file", 0o640)}, ("tool", ["/usr/bin/tool", "/etc/tool/public.conf", "/etc/tool/secret.conf"], []))
    closure = Closure(machine)
    closure.add("/usr/bin/tool")
    assert set(closure.paths) == {"/usr/bin/tool", "/etc/tool/public.conf"}


def test_character_sets_beyond_the_short_list_come_when_something_converts() -> None:
    gconv = LIB + "gconv/"
    package: Package = ("libc6:amd64", [LIB + "libc.so.6", gconv + "gconv-modules", gconv + "UTF-16.so", gconv + "KOI8-R.so"], [])
    nodes = {LIB + "libc.so.6": elf(), gconv + "gconv-modules": b"module UTF-16// INTERNAL UTF-16 1\n", gconv + "UTF-16.so": elf(), gconv + "KOI8-R.so": elf(),
             "/srv/venv/lxml.so": elf(more=["iconv_open"])}
    closure = Closure(host(nodes, package), own=["/srv/venv"])
    closure.add(LIB + "libc.so.6")
    assert gconv + "UTF-16.so" in closure.paths and gconv + "KOI8-R.so" not in closure.paths
    closure.follow("/srv/venv/lxml.so")
    assert closure.iconv
    closure.add_gconv()
    assert gconv + "KOI8-R.so" in closure.paths


def test_links_in_a_circle_and_links_to_nothing_end() -> None:
    machine = host({"/a": "/b", "/b": "/a", "/c": "/nowhere", "/d/e": "../d/e/f"})
    assert [Closure(machine).add(path) for path in ("/a", "/c", "/d/e", "/x/y")] == [False] * 4


@pytest.mark.parametrize(("path", "kept"), [
    ("/usr/share/doc/x/copyright", True), ("/usr/share/doc/x", True), ("/usr/share/doc/x/changelog.gz", False), ("/usr/share/man/man1/x.1.gz", False),
    ("/usr/share/locale/de/LC_MESSAGES/x.mo", False), ("/usr/lib/locale/C.utf8/LC_CTYPE", True), ("/etc/apt/apt.conf.d/x", False),
    ("/usr/share/zoneinfo/Europe/Berlin", True), ("/usr/lib/python3.11/json/__init__.py", True), ("/usr/bin/py3compile", False),
    ("/lib/systemd/system/x.service", False), ("/usr/lib/ssl/openssl.cnf", True), ("/usr/sbin/ldconfig", True), ("/etc/mime.types", True),
])
def test_runtime_files(path: str, kept: bool) -> None:
    assert is_runtime(path) is kept


def test_programs_are_looked_up_as_a_shell_does() -> None:
    fs = FakeFs({"/usr/bin/find": elf(), "/usr/local/bin/find": b"text", "/bin": "usr/bin"})
    assert which(fs, "find") == "/usr/bin/find"
    assert which(fs, "/bin/find") == "/bin/find"
    assert which(fs, "fnord") is None
