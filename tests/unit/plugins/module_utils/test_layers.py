# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Layers: the same entries are the same bytes, nothing changes or leaks unseen."""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
import random
import tarfile
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.image import _layers
from ansible_collections.gantry.webstack.plugins.module_utils.image._layers import Entry, FileChanged, Image, SecretFound

SEGMENT = st.text("abcXYZ.-_ äß", min_size=1, max_size=30).filter(lambda text: text not in (".", ".."))
PATHS = st.lists(SEGMENT, min_size=1, max_size=5).map(lambda parts: "/" + "/".join(parts))


@st.composite
def entries(draw: st.DrawFn) -> list[Entry]:
    made = []
    for path in draw(st.lists(PATHS, unique=True, max_size=12)):
        kind = draw(st.sampled_from(["file", "dir", "link"]))
        data = draw(st.binary(max_size=1200)) if kind == "file" else None
        made.append(Entry(path, kind, draw(st.integers(0, 0o7777)), draw(st.integers(0, 2**31)), draw(st.integers(0, 70000)), draw(st.integers(0, 2**33)),
                          len(data or b""), draw(PATHS) if kind == "link" else "", data))
    return made


def never(path: str) -> BinaryIO:
    raise AssertionError("nothing is to be opened")


@given(entries(), st.randoms(use_true_random=False))
def test_the_order_of_the_entries_does_not_matter(made: list[Entry], order: random.Random) -> None:
    first = _layers.measure("app", "x", made, never)
    shuffled = list(made)
    order.shuffle(shuffled)
    assert _layers.measure("app", "x", shuffled, never)[3:] == first[3:]


@given(entries())
def test_a_layer_is_a_tar_that_says_what_the_entries_say(made: list[Entry]) -> None:
    layer = _layers.measure("app", "x", made, never)
    data = b"".join(_layers.stream(layer.entries, never))
    assert (len(data), "sha256:" + hashlib.sha256(data).hexdigest()) == (layer.size, layer.digest)
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        found = {"/" + item.name: item for item in archive.getmembers()}
        assert set(found) == {entry.path for entry in made}
        for entry in made:
            item = found[entry.path]
            assert (item.mode, item.uid, item.gid, item.mtime) == (entry.mode, entry.uid, entry.gid, entry.mtime)
            assert {"file": item.isreg(), "dir": item.isdir(), "link": item.issym()}[entry.kind]
            if entry.kind == "file":
                assert archive.extractfile(item).read() == entry.data  # type: ignore[union-attr]
            if entry.kind == "link":
                assert item.linkname == entry.target


@given(entries(), st.integers(1, 50))
def test_one_changed_byte_is_another_layer(made: list[Entry], mtime: int) -> None:
    more = Entry("/one/more", "file", 0o644, mtime=mtime, size=1, data=b"x")
    digests = {_layers.measure("app", "x", [*made, item], never).digest
               for item in (more, more._replace(data=b"y"), more._replace(mode=0o600), more._replace(uid=7), more._replace(mtime=mtime + 1))}
    assert len(digests) == 5


def test_directories_come_before_what_is_in_them() -> None:
    made = [Entry(path, "dir", 0o755) for path in ("/a/b", "/a.b", "/a", "/a-b/c", "/a-b")]
    assert [entry.path for entry in _layers.ordered(made)] == ["/a", "/a/b", "/a-b", "/a-b/c", "/a.b"]


def on_disk(path: Path, data: bytes) -> Entry:
    path.write_bytes(data)
    found = path.stat()
    return Entry("/f", "file", 0o644, size=found.st_size, source=str(path), stamp=found.st_mtime_ns)


def opened(path: str) -> BinaryIO:
    return open(path, "rb")


def test_a_file_that_grew_shrank_was_touched_or_went_is_noticed(tmp_path: Path) -> None:
    entry = on_disk(tmp_path / "log", b"x" * 3000)
    read: list[int] = []
    several = [entry, entry, Entry("/" + "d" * 100, "dir", 0o755), *(Entry(path, "link", 0o777, target="/f") for path in ("/" + "e" * 100, "/" + "é" * 55))]
    assert _layers.measure("app", "x", several, opened, told=read.append).size == sum(read) == _layers.length(several)
    for change in (lambda: (tmp_path / "log").write_bytes(b"x" * 3001), lambda: (tmp_path / "log").write_bytes(b"x" * 10),
                   lambda: os.utime(tmp_path / "log", ns=(1, 1)), (tmp_path / "log").unlink):
        change()
        with pytest.raises(FileChanged, match="log"):
            _layers.measure("app", "x", [entry], opened)


def image(*layers: _layers.Layer) -> Image:
    return Image("shop", "webstack/shop:0123", _layers.config({"architecture": "amd64"}, {"User": "1:1"}, layers), layers)


def test_the_archive_is_what_docker_load_reads(tmp_path: Path) -> None:
    system = _layers.measure("system", "s", [on_disk(tmp_path / "lib", b"system" * 99)], opened)
    app = _layers.measure("app", "a", [Entry("/a", "file", 0o644, mtime=86400, size=3, data=b"app")], opened)
    whole = image(system, app)
    data = b"".join(_layers.archive(whole, opened))
    assert len(data) - _layers.archive_size(whole) < 8192
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        files = {item.name: archive.extractfile(item).read() for item in archive.getmembers()}  # type: ignore[union-attr]
    manifest = json.loads(files["manifest.json"])[0]
    config = files[manifest["Config"]]
    assert "sha256:" + hashlib.sha256(config).hexdigest() == whole.id
    assert manifest["RepoTags"] == ["webstack/shop:0123"]
    assert ["sha256:" + hashlib.sha256(files[name]).hexdigest() for name in manifest["Layers"]] == json.loads(config)["rootfs"]["diff_ids"]
    assert json.loads(config)["created"].endswith("Z")
    with tarfile.open(fileobj=io.BytesIO(b"".join(_layers.archive(whole, opened, present=1)))) as archive:
        assert app.digest[7:] + ".tar" in archive.getnames() and system.digest[7:] + ".tar" not in archive.getnames()


def test_a_change_between_measuring_and_sending_stops_the_archive(tmp_path: Path) -> None:
    entry = on_disk(tmp_path / "code.py", b"a = 1")
    whole = image(_layers.measure("app", "x", [entry], opened))
    (tmp_path / "code.py").write_bytes(b"a = 2")
    os.utime(tmp_path / "code.py", ns=(entry.stamp, entry.stamp))  # same size, same time: the digest tells
    with pytest.raises(FileChanged):
        list(_layers.archive(whole, opened))


@given(st.binary(max_size=64), st.binary(min_size=8, max_size=40), st.binary(max_size=64), st.lists(st.integers(1, 20), max_size=20))
def test_a_secret_is_found_wherever_the_chunks_end(before: bytes, secret: bytes, after: bytes, cuts: list[int]) -> None:
    data = before + secret + after
    places = [0, *itertools.accumulate(cuts)]
    chunks = [data[start:end] for start, end in zip(places, [*places[1:], len(data)])]
    entry = Entry("/srv/settings.py", "file", 0o644)
    with pytest.raises(SecretFound) as found:
        list(_layers.guarded(entry, chunks, {"the value of its secret KEY": secret, "another": b"\0" * 60}))
    assert str(found.value) == "the value of its secret KEY stands in /srv/settings.py, which would go into the image"


def test_without_the_secret_everything_passes() -> None:
    entry = Entry("/a", "file", 0o644, size=9, data=b"innocence")
    plain = _layers.measure("app", "x", [entry], never)
    assert _layers.measure("app", "x", [entry], never, {"a secret": b"something else"}) == plain
    with pytest.raises(SecretFound):
        _layers.measure("app", "x", [entry], never, {"a secret": b"innocen"})


@pytest.mark.parametrize(("known", "count"), [
    ([], 0), ([["d1"]], 1), ([["d2", "d1"]], 0), ([["d1", "d9"], ["d1", "d2", "d7"]], 2), ([["d1", "d2", "d3", "d4"]], 3),
])
def test_layers_count_from_the_bottom(known: list[list[str]], count: int) -> None:
    layers = [_layers.Layer("system", "", [], digest, 1) for digest in ("d1", "d2", "d3")]
    assert _layers.common_layers(Image("x", "x", b"", layers), known) == count


def test_one_inode_is_one_file_with_links() -> None:
    made = [Entry(path, "file", 0o755, size=3, source=path) for path in ("/c", "/a", "/b")]
    inodes: dict[str, Any] = {"/c": (1, 1), "/a": (1, 1)}
    found = [(entry.path, entry.kind, entry.target) for entry in _layers.hardlinked(made, inodes)]
    assert found == [("/a", "file", ""), ("/b", "file", ""), ("/c", "hard", "/a")]
    linked = [Entry("/a", "file", 0o644, size=1, data=b"x"), Entry("/c", "hard", 0o644, target="/a")]
    with tarfile.open(fileobj=io.BytesIO(b"".join(_layers.stream(linked, never)))) as archive:
        assert archive.extractfile("c").read() == b"x"  # type: ignore[union-attr]


@given(st.lists(st.binary(max_size=50), max_size=30), st.integers(1, 60))
def test_joining_chunks_keeps_the_bytes(chunks: list[bytes], size: int) -> None:
    assert b"".join(_layers.coalesce(chunks, size)) == b"".join(chunks)
