# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The ELF reader, against files made to measure and against the programs of the machine that runs the tests."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.image import _elf
from ansible_collections.gantry.webstack.tests.unit.plugins.module_utils.image_helpers import elf

NAMES = st.text("abcdefghijklmnop.+-_0123456789", min_size=1, max_size=20)


@given(st.lists(NAMES, max_size=5), NAMES, st.lists(NAMES, max_size=3), NAMES, st.sampled_from([32, 64]), st.booleans(), st.sampled_from([3, 40, 62, 183]))
def test_what_was_written_is_read(needed: list[str], soname: str, dirs: list[str], interp: str, bits: int, little: bool, machine: int) -> None:
    data = elf(needed, soname, rpath=":".join("/" + item for item in dirs), runpath="$ORIGIN/x", interp="/lib/" + interp,
               bits=bits, little=little, machine=machine)
    found = _elf.parse(io.BytesIO(data))
    assert found is not None
    assert (found.bits, found.little, found.machine) == (bits, little, machine)
    assert (list(found.needed), found.soname, found.interp) == (needed, soname, "/lib/" + interp)
    assert (list(found.rpath), found.runpath) == (["/" + item for item in dirs], ("$ORIGIN/x",))


@given(st.binary(max_size=300), st.integers(0, 400))
def test_broken_files_are_none_and_never_an_error(noise: bytes, cut: int) -> None:
    whole = elf(["libc.so.6"], interp="/lib/ld.so")
    for data in (noise, b"\x7fELF" + noise, whole[:cut], whole[:64] + noise):
        found = _elf.parse(io.BytesIO(data))
        assert found is None or isinstance(found, _elf.Elf)


def test_a_file_that_converts_character_sets_is_known() -> None:
    assert _elf.parse(io.BytesIO(elf(more=["iconv_open"]))).iconv  # type: ignore[union-attr]
    assert not _elf.parse(io.BytesIO(elf(more=["my_iconv_open_too"]))).iconv  # type: ignore[union-attr]


def test_only_files_of_one_machine_fit() -> None:
    first = _elf.Elf(64, True, 62)
    assert first.fits(_elf.Elf(64, True, 62, needed=("libc.so.6",)))
    assert not first.fits(_elf.Elf(32, True, 3))
    assert not first.fits(_elf.Elf(64, True, 183))


@pytest.mark.skipif(shutil.which("readelf") is None, reason="binutils are not installed")
@pytest.mark.parametrize("path", [os.path.realpath(sys.executable), "/bin/sh", "/bin/ls", "/sbin/ldconfig"])
def test_real_programs_read_as_readelf_reads_them(path: str) -> None:
    if not os.path.exists(path):
        pytest.skip("%s is not here" % path)
    with open(path, "rb") as file:
        found = _elf.parse(file)
    assert found is not None
    text = subprocess.run(["readelf", "-dlW", path], check=True, capture_output=True, text=True, env={**os.environ, "LC_ALL": "C"}).stdout

    def values(tag: str) -> list[str]:
        return re.findall(r"\(%s\)[^\[]*\[(.*?)\]" % tag, text)

    assert list(found.needed) == values("NEEDED")
    assert ([found.soname] if found.soname else []) == values("SONAME")
    assert list(found.runpath) == [part for value in values("RUNPATH") for part in value.split(":")]
    assert list(found.rpath) == [part for value in values("RPATH") for part in value.split(":")]
    assert ([found.interp] if found.interp else []) == re.findall(r"interpreter: (.*?)\]", text)
