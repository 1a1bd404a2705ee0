# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Libraries are found as ld.so(8) finds them; the linker's cache reads and writes as ldconfig has it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.image import _elf, _ldso
from ansible_collections.gantry.webstack.tests.unit.plugins.module_utils.image_helpers import FakeFs, elf

FIXTURES = Path(__file__).parents[2] / "fixtures/ldso"
TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x17F), min_size=1, max_size=30)


@pytest.mark.parametrize("suite", ["bookworm", "bullseye"])
def test_a_recorded_cache_reads_as_ldconfig_prints_it(suite: str) -> None:
    printed = re.findall(r"^\t(\S+) \((.*?)\) => (.*)$", (FIXTURES / (suite + ".txt")).read_text(), re.M)
    found = _ldso.parse_cache((FIXTURES / (suite + ".cache")).read_bytes())
    assert [(entry.soname, entry.path) for entry in found] == [(soname, path) for soname, dummy, path in printed]
    assert len(found) > 100


@pytest.mark.parametrize("suite", ["bookworm", "bullseye"])
def test_a_rendered_cache_reads_the_same_also_behind_the_old_format(suite: str) -> None:
    entries = [entry for entry in _ldso.parse_cache((FIXTURES / (suite + ".cache")).read_bytes()) if not entry.hwcap]
    data = _ldso.render_cache(entries)
    assert _ldso.parse_cache(data) == entries
    assert _ldso.parse_cache(b"ld.so-1.7.0\0\0\0\0\0" + data) == entries


@given(st.lists(st.builds(_ldso.CacheEntry, st.integers(-2**31, 2**31 - 1), TEXT, TEXT, st.just(0)), max_size=20))
def test_cache_round_trip(entries: list[_ldso.CacheEntry]) -> None:
    assert _ldso.parse_cache(_ldso.render_cache(entries)) == entries


@given(st.binary(max_size=200), st.integers(0, 200))
def test_a_broken_cache_has_no_entries(noise: bytes, cut: int) -> None:
    data = _ldso.render_cache([_ldso.CacheEntry(3, "libc.so.6", "/lib/libc.so.6")])
    for broken in (noise, data[:cut] if cut < len(data) else b"", data[:20] + noise):
        assert isinstance(_ldso.parse_cache(broken), list)


def linker(nodes: dict[str, Any], cache: list[_ldso.CacheEntry] | None = None) -> _ldso.Linker:
    fs = FakeFs(nodes)
    return _ldso.Linker(fs, cache or [], lambda path: _elf.parse(fs.open(path)) if isinstance(fs.nodes.get(path), bytes) else None)


def made(**fields: Any) -> _elf.Elf:
    found = _elf.parse(io.BytesIO(elf(**fields)))
    assert found is not None
    return found


EVERYWHERE = {path + "/liba.so": elf() for path in ("/rpath", "/up", "/env", "/run", "/cached", "/lib/x86_64-linux-gnu", "/usr/lib")}
CACHED = [_ldso.CacheEntry(3, "liba.so", "/cached/liba.so")]


@pytest.mark.parametrize(("fields", "gone", "found"), [
    ({"rpath": "/rpath"}, [], "/rpath"),
    ({"rpath": "/rpath"}, ["/rpath"], "/up"),
    ({"rpath": "/rpath"}, ["/rpath", "/up"], "/env"),
    ({"rpath": "/rpath", "runpath": "/run"}, [], "/env"),          # a RUNPATH silences every RPATH, and comes after LD_LIBRARY_PATH
    ({"rpath": "/rpath", "runpath": "/run"}, ["/env"], "/run"),
    ({}, ["/up", "/env"], "/cached"),
    ({}, ["/up", "/env", "/cached"], "/lib/x86_64-linux-gnu"),
    ({}, ["/up", "/env", "/cached", "/lib/x86_64-linux-gnu"], "/usr/lib"),
])
def test_the_order_of_the_search(fields: dict[str, str], gone: list[str], found: str) -> None:
    nodes = {path: data for path, data in EVERYWHERE.items() if path[:-len("/liba.so")] not in gone}
    assert linker(nodes, CACHED).find("liba.so", made(**fields), "/bin", ["/up"], ["/env"]) == found + "/liba.so"


def test_libraries_of_another_machine_are_passed_over() -> None:
    nodes = {"/first/liba.so": elf(bits=32, machine=3), "/usr/lib/liba.so": elf(machine=183), "/second/liba.so": elf()}
    assert linker(nodes).find("liba.so", made(rpath="/first:/second"), "/") == "/second/liba.so"
    assert linker({"/first/liba.so": b"text"}).find("liba.so", made(rpath="/first"), "/") is None


def test_tokens_stand_for_places() -> None:
    nodes = {"/srv/venv/lib/pkg.libs/liba.so": elf(), "/srv/venv/lib/pkg/mod.so": elf()}
    wheel = made(rpath="${ORIGIN}/nothing:$ORIGIN/../pkg.libs")
    assert linker(nodes).find("liba.so", wheel, "/srv/venv/lib/pkg") == "/srv/venv/lib/pkg/../pkg.libs/liba.so"
    assert linker({"/app/lib/x86_64-linux-gnu/libb.so": elf()}).find("libb.so", made(runpath="$ORIGIN/$LIB"), "/app") is not None


def test_a_name_with_a_slash_is_a_path() -> None:
    assert linker({"/opt/liba.so": elf()}).find("/opt/liba.so", made(), "/") == "/opt/liba.so"


def test_processor_builds_in_the_cache_are_left_to_the_linker() -> None:
    cache = [_ldso.CacheEntry(3, "liba.so", "/fast/liba.so", hwcap=1 << 62), _ldso.CacheEntry(3, "liba.so", "/plain/liba.so")]
    assert linker({"/fast/liba.so": elf(), "/plain/liba.so": elf()}, cache).find("liba.so", made(), "/") == "/plain/liba.so"


def test_a_runpath_is_not_inherited_and_an_rpath_is() -> None:
    link = linker({})
    assert link.chain(made(rpath="$ORIGIN/a"), "/x", ["/y"]) == ("/x/a", "/y")
    assert link.chain(made(runpath="/a"), "/x", ["/y"]) == ("/y",)
