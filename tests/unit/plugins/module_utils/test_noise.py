"""What is learned from answers: no noise is taken for a defect, no changed fixed part for noise."""

from __future__ import annotations

import base64
import random
import time
import uuid
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.gantry.webstack.plugins.module_utils.common._uwsgi_client import Response
from ansible_collections.gantry.webstack.plugins.module_utils.move import _noise, _parity

Make = Callable[[random.Random], str]
NOISE: list[Make] = [
    lambda dice: str(uuid.UUID(int=dice.getrandbits(128))),
    lambda dice: base64.b64encode(dice.randbytes(24)).decode(),
    lambda dice: base64.urlsafe_b64encode(dice.randbytes(20)).decode(),
    lambda dice: str(dice.randrange(10**5, 10**9)),
    lambda dice: f"{dice.random():.9f}",
    lambda dice: time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(dice.randrange(2 * 10**9))),
    lambda dice: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(dice.randrange(2 * 10**9))),
    lambda dice: dice.randbytes(16).hex(),
]
"""CSRF tokens, nonces, ids, counters, durations, dates."""

WORDS = ["<p class=x>", "</p>", "price", "12,50", "EUR", "Grüße", '"a":', "{", "}", "href=/a?b=1", "&amp;", "the quick brown fox"]
pieces = st.lists(st.one_of(st.sampled_from(WORDS), st.integers(0, len(NOISE) - 1)), min_size=1, max_size=40).filter(
    lambda parts: sum(isinstance(part, int) for part in parts) <= 8)


def render(parts: list[str | int], dice: random.Random, changed: int | None = None) -> bytes:
    """One answer of a template: its words, and each piece of noise made anew between them."""
    texts = [f"<i>{NOISE[part](dice)}</i>" if isinstance(part, int) else part for part in parts]
    return "\n".join("CHANGED" if number == changed else text for number, text in enumerate(texts)).encode()


def compared(parts: list[str | int], seed: int, changed: int | None = None) -> list[str]:
    """As the gate does it: two answers of the host and one between, and more of them as long as something differs."""
    dice = random.Random(seed)

    def side(place: int | None) -> _parity.Ask:
        return lambda dummy: Response(200, "", [], render(parts, dice, place))

    return _parity.compare(side(None), side(changed), _parity.Request("GET", "/"), pause=lambda dummy: None).found


@given(pieces, st.integers(0, 2**32))
def test_noise_is_no_alarm(parts: list[str | int], seed: int) -> None:
    assert compared(parts, seed) == []


@given(pieces, st.integers(0, 2**32), st.data())
def test_a_changed_fixed_part_is_an_alarm(parts: list[str | int], seed: int, data: st.DataObject) -> None:
    fixed = [number for number, part in enumerate(parts) if isinstance(part, str)]
    if fixed:
        assert compared(parts, seed, data.draw(st.sampled_from(fixed)))


@given(st.binary(min_size=40, max_size=400), st.integers(0, 2**32))
def test_random_bytes_are_noise(head: bytes, seed: int) -> None:
    dice = random.Random(seed)
    samples = [dice.randbytes(len(head)) for dummy in range(4)]
    assert _noise.fits(_noise.learn(samples), dice.randbytes(len(head)))


@given(st.binary(max_size=2000), st.binary(max_size=2000), st.binary(max_size=2000))
def test_any_bytes_can_be_learned_from(one: bytes, two: bytes, other: bytes) -> None:
    template = _noise.learn([one, two])
    assert _noise.fits(template, one)
    assert _noise.fits(template, two)
    _noise.mismatch(template, other)


@given(st.permutations(["berlin", "paris", "rome", "lima"]))
def test_an_order_that_changes_is_noise(names: list[str]) -> None:
    texts = [f"<ul>{' '.join(order)}</ul>".encode() for order in (names, names[::-1])]
    template = _noise.learn(texts)
    assert _noise.fits(template, b"<ul>lima rome berlin paris</ul>")
    assert not _noise.fits(template, b"<ul>lima rome berlin oslo</ul>")
    assert not _noise.fits(_noise.learn([texts[0], texts[0]]), texts[1])


def test_rows_that_come_and_go() -> None:
    def page(*names: str) -> bytes:
        return ("<table>\n" + "".join(f"<tr><td>{name}</td></tr>\n" for name in names) + "</table><p>12 EUR</p>\n").encode()

    template = _noise.learn([page("c", "b", "a"), page("e", "d", "c")])
    assert _noise.fits(template, page("d", "c", "b"))
    assert not _noise.fits(template, page("d", "c", "b").replace(b"12 EUR", b"12.0 EUR"))


def test_a_group_that_two_random_ids_share_is_chance() -> None:
    template = _noise.learn([b"<b>3f1c2a90-77aa-4bcd-8e21-1234567890ab</b>", b"<b>90b1c2d3-0e0f-4bcd-9a3b-ba0987654321</b>"])
    assert _noise.fits(template, b"<b>1a2b3c4d-5e6f-4a1b-8c2d-0f1e2d3c4b5a</b>")
    assert not _noise.fits(template, b"<b>1a2b3c4d-5e6f-4a1b-8c2d-0f1e2d3c4b5a</i>")


@pytest.mark.parametrize("rows", [2000, 9000])
def test_long_pages_are_learned_quickly_and_wholly(rows: int) -> None:
    def page() -> bytes:
        return b"".join(b"<tr><td>%d</td><td>Name %d</td><td>%s</td></tr>\n" % (row, 7 * row, str(uuid.uuid4()).encode() if row % 100 == 0 else b"-")
                        for row in range(rows))

    began = time.monotonic()
    template = _noise.learn([page(), page() + b"<li>one more</li>" if rows < 5000 else page()])
    assert _noise.fits(template, page())
    place = _noise.mismatch(template, page().replace(b"Name 7007<", b"Nome 7007<"))
    assert time.monotonic() - began < 20
    assert place is not None
    assert [text.partition(b"<")[0][-9:] for text in place.told(page(), 0)][1] == b"ame 7007"


@pytest.mark.parametrize(("host", "candidate", "lines"), [
    (b"a\nb\nc", b"a\nx\nc", [" a", "-b", "+x", " c"]),
    (b"a", b"a\nb", [" a", "+b"]),
    (b"x" * 500 + b"1", b"x" * 500 + b"2", ["-..." + "x" * 40 + "1", "+..." + "x" * 40 + "2"]),
])
def test_lines_around_a_difference(host: bytes, candidate: bytes, lines: list[str]) -> None:
    assert _noise.lines_around(host, candidate) == lines
