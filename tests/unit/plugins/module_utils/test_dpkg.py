# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""dpkg's database, recorded on hosts with and without a merged /usr."""

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.gantry.webstack.plugins.module_utils.image._dpkg import Dpkg, parse_depends, parse_diversions, parse_status
from ansible_collections.gantry.webstack.tests.unit.plugins.module_utils.image_helpers import FakeFs

FIXTURES = Path(__file__).parents[2] / "fixtures/dpkg"


def recorded(suite: str, merged: bool) -> Dpkg:
    """A host with the recorded files; a name in info/ may not have a colon in a repository."""
    admin = "/var/lib/dpkg/"
    nodes: dict[str, bytes | str] = {}
    for path in (FIXTURES / suite).rglob("*"):
        if path.is_file():
            nodes[admin + str(path.relative_to(FIXTURES / suite)).replace("_amd64", ":amd64")] = path.read_bytes()
    if merged:
        nodes.update({"/bin": "usr/bin", "/lib": "usr/lib", "/sbin": "usr/sbin", "/usr/bin/x": b"", "/usr/lib/x": b"", "/usr/sbin/x": b""})
    return Dpkg.load(FakeFs(nodes))  # type: ignore[arg-type]


@pytest.mark.parametrize(("suite", "merged", "path", "owner"), [
    ("bookworm", True, "/usr/bin/sh", "dash"),           # the list says /bin/sh, and diverts its own name
    ("bookworm", True, "/usr/bin/dash", "dash"),
    ("bookworm", True, "/usr/lib/x86_64-linux-gnu/libuuid.so.1.3.0", "libuuid1:amd64"),
    ("bookworm", True, "/usr/sbin/ldconfig", "libc-bin"),
    ("bookworm", True, "/usr/bin/mawk", "mawk"),
    ("bookworm", True, "/etc/mime.types", "media-types"),
    ("bookworm", True, "/usr/bin/unknown", None),
    ("bullseye", False, "/bin/sh", "dash"),
    ("bullseye", False, "/sbin/ldconfig", "libc-bin"),
    ("bullseye", False, "/usr/lib/x86_64-linux-gnu/libuuid.so.1.3.0", "libuuid1:amd64"),
    ("bullseye", False, "/usr/bin/sh", None),
    ("bullseye", True, "/usr/bin/sh", "dash"),
])
def test_who_owns_a_file(suite: str, merged: bool, path: str, owner: str | None) -> None:
    assert recorded(suite, merged).owner(path) == owner


def test_a_diverted_file_belongs_where_it_went() -> None:
    status = "\n\n".join("Package: %s\nStatus: install ok installed\nArchitecture: all\nVersion: 1" % name for name in ("bash", "dash"))
    dpkg = Dpkg(parse_status(status), {"bash": ["/bin", "/bin/sh", "/bin/bash"], "dash": ["/bin", "/bin/sh"]},
                parse_diversions("/bin/sh\n/bin/sh.distrib\ndash\n"))
    assert (dpkg.owner("/bin/sh"), dpkg.owner("/bin/sh.distrib")) == ("dash", "bash")
    assert dpkg.files("bash") == ["/bin", "/bin/sh.distrib", "/bin/bash"]


def test_packages_are_found_by_name_and_architecture() -> None:
    dpkg = recorded("bookworm", True)
    assert dpkg.find("libuuid1") == dpkg.find("libuuid1:amd64") == "libuuid1:amd64"
    assert dpkg.find("libuuid1:i386") is None
    assert dpkg.find("mawk:any") == "mawk"
    assert dpkg.find("gawk") is None
    assert dpkg.stanzas["dash"].version == "0.5.12-2"
    assert dpkg.stanzas["dash"].text.startswith("Package: dash\n")


def test_checksums_name_real_places() -> None:
    sums = {path: md5 for md5, path in recorded("bookworm", True).md5sums("libuuid1:amd64")}
    assert "/usr/lib/x86_64-linux-gnu/libuuid.so.1.3.0" in sums
    assert all(len(md5) == 32 for md5 in sums.values())


def test_removed_packages_own_nothing() -> None:
    status = parse_status("Package: gone\nStatus: deinstall ok config-files\nVersion: 1\n\nPackage: kept\nStatus: hold ok installed\nVersion: 2\n")
    assert [stanza.name for stanza in status] == ["kept"]


def test_dependencies_are_names() -> None:
    assert parse_depends("libc6 (>= 2.36), media-types | mime-support, python3:any (<< 3.12) , perl [amd64]") == (
        ("libc6",), ("media-types", "mime-support"), ("python3",), ("perl",))
    assert parse_depends("") == ()
