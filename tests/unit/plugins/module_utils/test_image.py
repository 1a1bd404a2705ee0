# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The module around the harvest: names, settings, disk, and a Docker Engine played by a small class."""

from __future__ import annotations

import io
import json
import re
import tarfile
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("docker")
import docker.errors

from ansible_collections.gantry.webstack.plugins.module_utils.common import _engine
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError
from ansible_collections.gantry.webstack.plugins.module_utils.image import _image, _layers
from ansible_collections.gantry.webstack.plugins.module_utils.image._hostfs import HostFs
from ansible_collections.gantry.webstack.plugins.module_utils.image._layers import Entry, FileChanged, Image

# Docker: distribution/reference, path-component
COMPONENT = re.compile(r"webstack/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*")


@given(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", fullmatch=True))
def test_every_service_name_makes_a_name_that_docker_takes(name: str) -> None:
    assert COMPONENT.fullmatch(_engine.repository(name)), _engine.repository(name)


@pytest.mark.parametrize(("name", "repository"), [
    ("shop", "webstack/shop"), ("Shop.v2", "webstack/shop.v2"), ("a_.b-", "webstack/a_b"), ("a--b", "webstack/a--b"),
])
def test_names_stay_as_they_are_where_they_can(name: str, repository: str) -> None:
    assert _engine.repository(name) == repository


def test_settings_of_an_image() -> None:
    service = {"name": "shop", "code": {"path": "/srv/shop/code"}, "python": {"venv": "/srv/shop/venv"},
               "environment": {"LANG": "de_DE.UTF-8", "DATABASE": "x"}, "uwsgi": {"options": {}}}
    found = _image.settings(service, "/usr/bin/uwsgi", "2001:2001")
    assert found["Env"] == ["PATH=/srv/shop/venv/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=de_DE.UTF-8"]
    assert (found["User"], found["WorkingDir"], found["Cmd"]) == ("2001:2001", "/srv/shop/code", ["/usr/bin/uwsgi", "--ini", "/etc/webstack/uwsgi.ini"])
    assert _image.settings({**service, "uwsgi": {"options": {"chdir": "/srv"}}}, "/u", "1:1")["WorkingDir"] == "/srv"


def test_secrets_to_look_for(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("a-long-secret\n")
    (tmp_path / "pin").write_text("1234\n")
    slot = tmp_path / "var/lib/webstack/shop/0123"
    slot.mkdir(parents=True)
    (slot / "secrets.ini").write_text("[uwsgi]\nenv = TOKEN=100%% secret\n")
    service = {"name": "shop", "uwsgi": {"socket": "/nobody/listens.sock"}, "secrets": [
        {"name": "key", "source": "file:/key"}, {"name": "pin", "source": "file:/pin"}, {"name": "TOKEN", "source": "uwsgi:/etc/shop.ini"}]}
    found, remarks = _image.needles(service, HostFs(str(tmp_path)))
    assert found == {"the value of its secret key": b"a-long-secret", "the value of its secret TOKEN": b"100% secret"}
    assert remarks == []


@pytest.mark.parametrize(("value", "looked_for"), [
    (b"password", False), (b"12345678", False), (b"s3cret", False), (b"s3cr3t-pass", True), (b"correcthorsebattery", True),
])
def test_values_that_stand_in_files_by_chance_are_not_looked_for(value: bytes, looked_for: bool) -> None:
    assert _image.telling(value) is looked_for


class Engine:
    """What the module asks of docker.DockerClient, with the engine's own rules: layers by chain, the configuration's digest as id."""

    def __init__(self, root: str = "/nowhere", fault: str = "") -> None:
        self.api = self
        self.root = root
        self.fault = fault
        self.store: Dict[str, Dict[str, Any]] = {}
        self.tags: Dict[str, str] = {}
        self.sent: List[List[str]] = []

    def info(self) -> Dict[str, Any]:
        return {"DockerRootDir": self.root, "DriverStatus": [["Backing Filesystem", "extfs"]]}

    def inspect_image(self, name: str) -> Dict[str, Any]:
        found = self.store.get(self.tags.get(name, name))
        if found is None:
            raise docker.errors.ImageNotFound("no such image")
        return found

    def images(self, filters: Optional[Dict[str, Any]] = None) -> List[Dict[str, Any]]:
        return list(self.store.values())

    def tag(self, image: str, repository: str, tag: str) -> None:
        self.tags["%s:%s" % (repository, tag)] = image

    def load_image(self, chunks: Iterator[bytes]) -> List[Dict[str, Any]]:
        with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
            files = {item.name: archive.extractfile(item).read() for item in archive.getmembers()}  # type: ignore[union-attr]
        if self.fault:
            return [{"error": self.fault}]
        manifest = json.loads(files["manifest.json"])[0]
        layers = json.loads(files[manifest["Config"]])["rootfs"]["diff_ids"]
        self.sent.append([name for name in manifest["Layers"] if name in files])
        for index, name in enumerate(manifest["Layers"]):
            chain = layers[:index + 1]
            if name not in files and not any(item["RootFS"]["Layers"][:index + 1] == chain for item in self.store.values()):
                return [{"error": "open %s: no such file or directory" % name}]
        self.store["sha256:" + manifest["Config"][:-5]] = {"Id": "sha256:" + manifest["Config"][:-5], "RootFS": {"Layers": layers}}
        self.tags[manifest["RepoTags"][0]] = "sha256:" + manifest["Config"][:-5]
        return []


def image(name: str, *contents: bytes) -> Image:
    layers = [_layers.measure("system", "l", [Entry("/f", "file", 0o644, size=len(data), data=data)], lambda path: io.BytesIO()) for data in contents]
    return Image(name, "webstack/%s:%s" % (name, name), _layers.config({"architecture": "amd64"}, {"Labels": {"s": name}}, layers), layers)


def test_a_second_service_sends_its_own_layers_only() -> None:
    engine, fs = Engine(), HostFs()
    first, second = image("one", b"base", b"one"), image("two", b"base", b"two")
    for item in (first, second):
        assert _image.find_image(engine, item) is None
        _image.load(engine, fs, item)
        assert _image.find_image(engine, item) == item.id
    assert [len(names) for names in engine.sent] == [2, 1]


def test_layers_that_went_away_meanwhile_are_sent_after_all(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, item = Engine(), image("one", b"base", b"one")
    monkeypatch.setattr(_image, "known_layers", lambda client: [[item.layers[0].digest]])
    _image.load(engine, HostFs(), item)
    assert [len(names) for names in engine.sent] == [1, 2]


def test_an_image_that_lost_its_tag_gets_it_back() -> None:
    engine, item = Engine(), image("one", b"x")
    _image.load(engine, HostFs(), item)
    engine.tags.clear()
    assert _image.find_image(engine, item) == item.id
    assert engine.tags == {item.tag: item.id}


def test_an_engine_with_ids_of_its_own_is_known_by_the_layers() -> None:
    engine, item = Engine(), image("one", b"x")
    engine.store["sha256:own"] = {"Id": "sha256:own", "RootFS": {"Layers": [item.layers[0].digest]}}
    engine.tags[item.tag] = "sha256:own"
    assert _image.find_image(engine, item) == "sha256:own"


def test_too_little_room_is_said_before_anything_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = Engine(str(tmp_path))
    monkeypatch.setattr(_image, "_free", lambda path: 5 * 10 ** 6)
    with pytest.raises(WebstackError) as refused:
        _image.load(engine, HostFs(), image("shop", b"x" * 100000))
    assert str(refused.value) == ("service shop: loading its image takes 67 MB while it is unpacked, and 5 MB are free on %s; "
                                  "make room there and run again" % tmp_path)
    assert engine.sent == []


@pytest.mark.parametrize(("fault", "words"), [
    ("write /usr/lib/x: no space left on device", "service shop: the disk filled up while its image was loaded; that takes 67 MB"),
    ("invalid tar header", "service shop: the engine did not take its image: invalid tar header"),
])
def test_what_the_engine_says_becomes_one_sentence(fault: str, words: str) -> None:
    with pytest.raises(WebstackError) as refused:
        _image.load(Engine("/", fault), HostFs(), image("shop", b"x"))
    assert str(refused.value).startswith(words)


def test_a_file_that_changes_while_it_is_sent_is_not_hidden_by_a_retry(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(b"1")
    entry = Entry("/f", "file", 0o644, size=1, source="/f", stamp=(tmp_path / "f").stat().st_mtime_ns)
    fs = HostFs(str(tmp_path))
    layer = _layers.measure("app", "a", [entry], fs.open)
    (tmp_path / "f").write_bytes(b"22")
    engine = Engine()
    with pytest.raises(FileChanged):
        _image.load(engine, fs, Image("shop", "webstack/shop:1", _layers.config({}, {}, [layer]), [layer]))
    assert engine.sent == []
