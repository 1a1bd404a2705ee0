# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The execution environment's definition, and what is cut out of its image."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path
from typing import Any

from _bench import ee, ee_layers

PATH = "/opt/lent.pem"


def test_the_definition_for_apt_and_for_dnf() -> None:
    apt = ee.definition("debian:trixie", "/usr/bin/apt-get", ["gantry-webstack-1.0.0.tar.gz", "awx.awx:24.6.1", "ansible.posix"], [])
    assert apt["dependencies"]["galaxy"]["collections"] == [
        {"name": "/build/gantry-webstack-1.0.0.tar.gz", "type": "file"}, {"name": "awx.awx", "version": "24.6.1"}, {"name": "ansible.posix"}]
    assert apt["additional_build_files"] == [{"src": "gantry-webstack-1.0.0.tar.gz", "dest": "collections"}]
    assert apt["additional_build_steps"]["prepend_final"] == ["RUN apt-get update"] and "python" not in apt["dependencies"]
    dnf = ee.definition("ubi9", "/usr/bin/dnf", ["gantry-webstack-1.0.0.tar.gz"], ["requests"])
    assert "prepend_final" not in dnf["additional_build_steps"] and dnf["dependencies"]["python"] == ["requests"]
    assert "/usr/bin/dnf install -y python3 python3-pip" in dnf["additional_build_steps"]["prepend_base"][0]


def test_the_image_has_the_versions_that_the_tests_run_with() -> None:
    found = ee.definition("x", "/usr/bin/dnf", [], [])["dependencies"]
    pins = (Path(ee.ROOT) / "requirements-dev.txt").read_text(encoding="utf-8").splitlines()
    assert found["ansible_core"]["package_pip"] in pins and found["ansible_runner"]["package_pip"] in pins


def test_a_layer_and_what_names_it_leave_the_configuration() -> None:
    config: dict[str, Any] = {
        "config": {"Env": ["PATH=/bin", f"PIP_CERT={PATH}"]}, "rootfs": {"diff_ids": ["base", "lent", "python"]},
        "history": [{"created_by": "base"}, {"created_by": f"COPY lent.pem {PATH}"}, {"created_by": f"ENV PIP_CERT={PATH}", "empty_layer": True},
                    {"created_by": "RUN pip"}]}
    made = ee_layers.without(config, 1, PATH)
    assert made == {
        "config": {"Env": ["PATH=/bin"]}, "rootfs": {"diff_ids": ["base", "python"]}, "history": [{"created_by": "base"}, {"created_by": "RUN pip"}]}
    assert len(config["rootfs"]["diff_ids"]) == 3


def test_every_layer_that_holds_a_file_is_found() -> None:
    def layer(*names: str) -> bytes:
        out = io.BytesIO()
        with tarfile.open(fileobj=out, mode="w") as tar:
            for name in names:
                tar.addfile(tarfile.TarInfo(name))
        return out.getvalue()

    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as tar:
        for name, data in (("0", layer("bin/sh")), ("1", layer("opt/lent.pem")), ("2", layer("./opt/lent.pem", "opt/lent.pem.old"))):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    image.seek(0)
    with tarfile.open(fileobj=image) as archive:
        assert ee_layers.holders(archive, ["0", "1", "2"], PATH) == [1, 2]
