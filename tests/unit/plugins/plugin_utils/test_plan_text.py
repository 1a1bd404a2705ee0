# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Plans as text: any data survives, and so do comments, wherever a person puts them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.plugin_utils import model, plan_file, plan_text, planner

RECORDED = json.loads((Path(__file__).parents[2] / "fixtures" / "evidence" / "bookworm.json").read_text(encoding="utf-8"))
TRICKY = ["", " ", "yes", "null", "~", "1", "1.5", "1e3", "0o17", "0x1f", ".5", "12:30", "2024-01-01", "=", "<<", "a: b", "a #b", "a:", "- a", "# a", "'", '"',
          "\\", "@x", "%d", "a\nb", "a\nb\n", "a\n\nb\n", " a\nb", "a \nb", "\n", "a\n\n", "*/5 * * * *", "*", "&a", "!x", "{a}", "[a]", "a\tb", "\u2028",
          "\x85", "\ufeff", "é", "😀", "---", "...", "#a\n# b\n", "a\n# discover: b\nc\n", "|", ">", "? a", "True", "OFF", "-", "-1", "+1", "0777", "1_000",
          ".inf", ".NaN", "a, b", "a]", "&"]
TEXT = st.one_of(st.sampled_from(TRICKY), st.text(st.characters(codec="utf-8"), max_size=12))
DATA = st.dictionaries(TEXT, st.recursive(st.one_of(TEXT, st.integers(), st.booleans()), lambda inner: st.one_of(
    st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)), max_leaves=10), max_size=4)


@given(DATA.filter(bool))
def test_any_data_survives(data: dict[str, Any]) -> None:
    text = plan_text.write(data)
    assert yaml.load(text, Loader=yaml.SafeLoader) == yaml.load(text, Loader=plan_text.LOADER) == data
    assert list(yaml.safe_load(text)) == list(data)


@given(DATA.filter(bool), st.lists(st.tuples(st.integers(0, 60), st.booleans(), st.sampled_from(["# a", "#b", "# 'c' # d: e", "# ü"])), max_size=5))
def test_comments_stay(data: dict[str, Any], places: list[tuple[int, bool, str]]) -> None:
    """Comments are put on lines that the text's own writer marks as free for them, and found again once each."""
    lines = plan_text.write(data).splitlines()
    leads, inside, ends = plan_text._lines(yaml.compose("\n".join(lines) + "\n", Loader=plan_text.LOADER))
    put = 0
    for number, beside, comment in sorted(places, key=lambda item: -item[0]):
        if number in leads and beside and number not in inside:
            lines[number] += "  " + comment
            put += 1
        elif number in leads and not beside:
            lines.insert(number, comment)
            put += 1
    text = "\n".join(lines) + "\n"
    if yaml.safe_load(text) != data:
        raise AssertionError("the test has put a comment into a text")
    comments = plan_text.read(text)
    found = [*(line for above in comments.above.values() for line in above), *comments.beside.values()]
    assert len(found) <= put and sum(map(len, found)) >= sum(len(comment) for comment in found)
    assert bool(found) == bool(put)
    once = plan_text.write(data, comments=comments)
    assert yaml.safe_load(once) == data and once.count("# ü") == text.count("# ü")
    assert plan_text.write(data, comments=plan_text.read(once)) == once


COMMENTED = """\
# by the team
version: 1  # one
host: web1
services:
  # the shop,
    # two lines
  - name: shop  # not the old one
    uwsgi: {socket: /run/shop.sock, options: {env: 'A=#1'}}   # in one line
    # discover: made anew
    environment:
      NOTE: |
        text
        # no comment
      OTHER: "a
        # none either"  # but this
      # last of the environment
    state:
      - path: /var/lib/shop # keep
# the end
"""


def test_comments_of_a_person() -> None:
    data = yaml.safe_load(COMMENTED)
    written = plan_text.write(data, comments=plan_text.read(COMMENTED))
    assert written == """\
---
# by the team
version: 1  # one
host: web1
services:
  # the shop,
  # two lines
  - name: shop  # not the old one
    uwsgi:  # in one line
      socket: /run/shop.sock
      options:
        env: A=#1
    environment:
      NOTE: |
        text
        # no comment
      OTHER: 'a # none either'  # but this
    # last of the environment
    state:
      - path: /var/lib/shop  # keep
# the end
"""
    assert plan_text.write(data, comments=plan_text.read(written)) == written


def test_comments_move_with_their_item_and_go_with_it() -> None:
    comments = plan_text.read("services:\n  - name: a  # of a\n  # above b\n  - name: b\n    needs:\n      - kind: x  # y\n        address: z\n")
    needs = [{"kind": "w", "address": "v"}, {"kind": "x", "address": "z"}]
    text = plan_text.write({"services": [{"name": "c"}, {"name": "b", "needs": needs}]}, comments=comments)
    assert text == ("---\nservices:\n  - name: c\n  # above b\n  - name: b\n    needs:\n      - kind: w\n        address: v\n"
                    "      - kind: x  # y\n        address: z\n")


def test_a_plan_with_notes() -> None:
    plan = planner.plan("web1", RECORDED)
    update = plan_file.update(plan, None, None)
    first, *rest = update.text.splitlines()
    assert first == "# yaml-language-server: $schema=plan.schema.json" and rest[2] == "---"
    assert model.loads(update.text, "x") == plan and update.text.count("# discover: convert refuses this service") == 1
    assert "# discover: nobody could say" in update.text and "# discover: names and places" in update.text
    again = plan_file.update(plan, update.text + "# mine\n", update.text)
    assert again.text == update.text + "# mine\n" and again.edits == again.conflicts == []


def test_notes_at_edits() -> None:
    plan = {"version": 1, "host": "h", "services": [{"name": "a", "health": {"path": "/", "status": 200}, "tools": ["/usr/bin/x"]}]}
    base = plan_file.update(plan, None, None).text
    edited = base.replace("status: 200", "status: 204").replace("      - /usr/bin/x\n", "      - /usr/bin/y\n")
    text = plan_file.update(plan, edited, base).text
    assert "      # discover: edited; found was 200\n      status: 204\n" in text
    assert ("    # discover: taken out by an edit: /usr/bin/x\n    tools:\n"
            "      # discover: added by an edit; not found on the host\n      - /usr/bin/y\n") in text
    assert plan_file.update(plan, text, base).text == text


@pytest.mark.parametrize(("now", "last", "message"), [
    ("version: 1\nhost: h\nservices: []\n", "a: [", "it is discover's own: remove it"),
    ("version: 1\nhost: h\nservices: [{name: b, uwsgi: {socket: /run/a.sock}}]\n", None, "what comes of the edits"),
])
def test_refused(now: str, last: str | None, message: str) -> None:
    plan = {"version": 1, "host": "h", "services": [{"name": "a", "uwsgi": {"socket": "/run/a.sock"}}]}
    with pytest.raises(model.ModelError, match=message):
        plan_file.update(plan, now, last)
