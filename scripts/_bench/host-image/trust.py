"""Let a host trust what the machine that runs it trusts: a bundle's certificates that Debian's own bundle lacks."""

from __future__ import annotations

import pathlib
import re
import subprocess
import sys

BUNDLE = pathlib.Path("/etc/ssl/certs/ca-certificates.crt")


def certificates(text: str) -> list[str]:
    """The PEM blocks of a bundle."""
    return re.findall("-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", text, re.DOTALL)


own = {"".join(block.split()) for block in certificates(BUNDLE.read_text())}
more = [block for block in certificates(pathlib.Path(sys.argv[1]).read_text()) if "".join(block.split()) not in own]
for number, block in enumerate(more):
    pathlib.Path("/usr/local/share/ca-certificates/machine-%d.crt" % number).write_text(block + "\n")
if more:
    subprocess.check_call(["update-ca-certificates"])
    pathlib.Path("/etc/pip.conf").write_text("[global]\ncert = %s\n" % BUNDLE)
