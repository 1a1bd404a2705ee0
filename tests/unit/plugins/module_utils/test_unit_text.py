# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Text of units: what is written is read back, and other people's commands become the shell's."""

from __future__ import annotations

import subprocess
from typing import Dict, List

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common import _unit_text
from ansible_collections.gantry.webstack.plugins.module_utils.common._module import WebstackError

PRINTED = st.characters(exclude_characters="\x85\u2028\u2029", exclude_categories=("Cs", "Cc"))
TEXT = st.text(PRINTED | st.sampled_from("\n\t$%\\\"' {}"), min_size=1)


@given(TEXT)
def test_a_command_comes_back(command: str) -> None:
    line = "/bin/sh -c " + _unit_text.argument(command)
    assert "\n" not in line
    assert _unit_text.shell_command([line]) == command
    assert _unit_text.words(line)[2].replace("%%", "%").replace("$$", "$") == command


@given(st.dictionaries(st.from_regex(r"\A[A-Z_]{1,5}\Z"), TEXT, max_size=3))
def test_an_environment_comes_back(environment: Dict[str, str]) -> None:
    lines = [_unit_text.quoted("%s=%s" % item) for item in environment.items()]
    assert _unit_text.assignments(lines) == environment


@pytest.mark.parametrize(("lines", "command"), [
    (["/usr/bin/rsync -a /srv/a '/mnt/b c'"], "/usr/bin/rsync -a /srv/a '/mnt/b c'"),
    (["/bin/echo $HOME \"${A}-$$x\" 50%%"], "/bin/echo $HOME \"${A}-\\$x\" 50%"),
    (["/bin/sh -c 'cd /srv && exec ./x --n 1'"], "cd /srv && exec ./x --n 1"),
    (["/bin/a", "-/bin/b c"], "( /bin/a ) && { /bin/b c || true; }"),
])
def test_shell_command(lines: List[str], command: str) -> None:
    assert _unit_text.shell_command(lines) == command
    subprocess.run(["/bin/sh", "-n", "-c", command], check=True)


@pytest.mark.parametrize("line", ["/bin/echo %n", "+/bin/x", "/bin/echo 'open"])
def test_not_understood(line: str) -> None:
    with pytest.raises(WebstackError):
        _unit_text.shell_command([line])


def test_drop_ins_reset() -> None:
    unit = _unit_text.parse(["[Service]\nExecStart=/bin/a \\\n  # no\n b\nUser=x\n; c=d\n", "[Service]\nExecStart=\nExecStart=/bin/c\n"])
    assert unit[("Service", "ExecStart")] == ["/bin/c"] and _unit_text.last(unit, "Service", "User") == "x"
