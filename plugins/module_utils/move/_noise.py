# Copyright: gantry.webstack contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""What of an answer is fixed and what is noise (dates, tokens, ids, counters), learned from several answers of one program. Pure.

Answers are cut into words and single signs and laid beside each other. What all of them share, in this order, is fixed; what stands between is a
hole. Another answer fits when the fixed runs stand in it in this order and each hole holds what such a hole may: signs of the kinds that were seen in
it, and not much more of them. An answer whose parts only changed places in the learned ones may have them in any order.
"""

from __future__ import annotations

import collections
import difflib
import re
from bisect import bisect_right
from typing import Counter, Iterable, List, NamedTuple, Optional, Sequence, Tuple

MOST = 512 * 1024
"""Bytes of a body that are learned from. What does not change from answer to answer is compared whole, however long it is."""

_TAIL = 4096
"""Bytes at the end of what is learned from that do not count when the body is longer: noise before them moves them."""

_TOKEN = re.compile(rb"[0-9A-Za-z_\x80-\xff]+|\s+|[^0-9A-Za-z_\x80-\xff\s]")
_WORD = re.compile(rb"[0-9A-Za-z_\x80-\xff]")
_ID = re.compile(rb"[0-9A-Za-z_-]+")
_PAIRS = 4000000
"""Places times places up to which two stretches are compared token by token; longer ones are noise as a whole."""

_KINDS = (b"0123456789", b"abcdefghijklmnopqrstuvwxyz", b"ABCDEFGHIJKLMNOPQRSTUVWXYZ", b" \t\r\n\f\v", bytes(range(0x80, 0x100)))
_PRINTABLE = frozenset(range(0x20, 0x7f)) | frozenset(b"\t\r\n") | frozenset(_KINDS[-1])
_LONG = 16
"""A word of this many bytes that changes is a token, which may hold any sign of base64 (RFC 4648); fixed runs of this length are no chance."""


class Hole(NamedTuple):
    """Where answers differ: the signs it may hold, and how many of them."""

    signs: bytes
    least: int
    most: int


class Template(NamedTuple):
    """``runs`` are fixed, one more than ``holes``; the first and the last may be empty. ``order``: tokens that may change places, or None."""

    runs: List[bytes]
    holes: List[Hole]
    whole: bool = True
    order: Optional["Counter[bytes]"] = None

    @property
    def noisy(self) -> bool:
        """Is anything in it noise?"""
        return bool(self.holes) or self.order is not None


def tokens(text: bytes) -> List[bytes]:
    """Words, spaces, and every other sign for itself; joined again they are the text."""
    return _TOKEN.findall(text)


Pairs = List[Tuple[int, int]]
"""Positions of equal tokens in two texts, both rising."""


def _matched(left: Sequence[bytes], right: Sequence[bytes], exact: bool = False) -> Pairs:
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=not exact)
    return [(block.a + at, block.b + at) for block in matcher.get_matching_blocks() for at in range(block.size)]


def _aligned(left: List[bytes], right: List[bytes]) -> Pairs:
    """Which tokens of two answers are the same ones: those that both begin and end with, and what is alike between."""
    most = min(len(left), len(right))
    head = next((at for at in range(most) if left[at] != right[at]), most)
    tail = next((at for at in range(most - head) if left[-1 - at] != right[-1 - at]), most - head)
    middle = _between(left[head:len(left) - tail], right[head:len(right) - tail], most // 10)
    return ([(at, at) for at in range(head)] + [(a + head, b + head) for a, b in middle]
            + [(len(left) - at, len(right) - at) for at in range(tail, 0, -1)])


def _between(left: List[bytes], right: List[bytes], few: int) -> Pairs:
    """``_aligned`` without what is alike at both ends; texts of one length with ``few`` different tokens are alike place by place.

    Of others, lines of the same number or pieces of the same text are alike, whichever lets more be fixed.
    """
    if len(left) == len(right):
        pairs = [(at, at) for at, (a, b) in enumerate(zip(left, right)) if a == b]
        if len(left) - len(pairs) <= few:
            return pairs
    return max(_by_piece(left, right), _by_line(left, right), key=lambda pairs: sum(len(left[at]) for at, dummy in pairs))


def _by_piece(left: List[bytes], right: List[bytes]) -> Pairs:
    """Pieces first, tokens inside those that differ: quick for long pages, and no word finds its like by chance far away."""
    chunks, other = _chunks(left, b">,;}\n"), _chunks(right, b">,;}\n")
    pairs: Pairs = []
    at, there = 0, 0
    for a, b in [*_matched([chunk for chunk, dummy in chunks], [chunk for chunk, dummy in other]), (len(chunks), len(other))]:
        start, end = chunks[a][1] if a < len(chunks) else len(left), other[b][1] if b < len(other) else len(right)
        pairs += _inside(left, right, (at, start), (there, end))
        if a < len(chunks):
            at = chunks[a + 1][1] if a + 1 < len(chunks) else len(left)
            there = other[b + 1][1] if b + 1 < len(other) else len(right)
            pairs += [(start + i, end + i) for i in range(at - start)]
    return pairs


def _by_line(left: List[bytes], right: List[bytes]) -> Pairs:
    """Tokens inside lines of the same number; none when one text has more lines."""
    lines, others = [[at for dummy, at in _chunks(text, b"\n")] + [len(text)] for text in (left, right)]
    if len(lines) != len(others):
        return []
    spans = zip(zip(lines, lines[1:]), zip(others, others[1:]))
    return [pair for span, other in spans for pair in _inside(left, right, span, other)]


def _inside(left: List[bytes], right: List[bytes], span: Tuple[int, int], other: Tuple[int, int]) -> Pairs:
    """Equal tokens of two stretches, each from the first number to before the second."""
    (at, start), (there, end) = span, other
    if (start - at) * (end - there) > _PAIRS:
        return []
    return [(at + i, there + j) for i, j in _matched(left[at:start], right[there:end], exact=(start - at) + (end - there) < 400)]


def _chunks(words: List[bytes], ends: bytes) -> List[Tuple[bytes, int]]:
    """(text, number of its first token) of the pieces that end with one of these signs, or with spaces that hold one."""
    found: List[Tuple[bytes, int]] = []
    begin = 0
    for at, word in enumerate(words):
        if word in ends or b"\n" in word or at == len(words) - 1:
            found.append((b"".join(words[begin:at + 1]), begin))
            begin = at + 1
    return found


def learn(samples: Sequence[bytes]) -> Template:
    """The template of at least one answer."""
    distinct = list(dict.fromkeys(samples))
    if len(distinct) == 1:
        return Template([distinct[0]], [])
    whole = all(len(sample) <= MOST for sample in distinct)
    texts = [tokens(sample[:MOST]) for sample in distinct]
    order = _reordered(texts) if whole else None
    if order is not None:
        return order
    # places[s][k]: which token of sample s is the k-th fixed one.
    places = [list(range(len(texts[0])))]
    for text in texts[1:]:
        pairs = _aligned([texts[0][at] for at in places[0]], text)
        places = [[known[i] for i, dummy in pairs] for known in places] + [[j for dummy, j in pairs]]
    return _template(texts, places, whole)


def _template(texts: List[List[bytes]], places: List[List[int]], whole: bool) -> Template:
    """Runs of fixed tokens and the holes between them."""
    runs: List[bytes] = [b""]
    gaps: List[List[bytes]] = []
    count = len(places[0])
    for k in range(count + 1):
        between = [b"".join(text[(at[k - 1] + 1 if k else 0):(at[k] if k < count else len(text))]) for text, at in zip(texts, places)]
        if any(between) and (k < count or whole):
            gaps.append(between)
            runs.append(b"")
        if k < count:
            runs[-1] += texts[0][places[0][k]]
    _sink(runs, gaps)
    if not whole:  # the texts were cut, each at another place of what is fixed
        runs[-1] = re.sub(rb"[0-9A-Za-z_\x80-\xff]+$", b"", runs[-1][:max(0, len(runs[-1]) - _TAIL)])
    return Template(runs, [_hole(gap) for gap in gaps], whole)


def _sink(runs: List[bytes], gaps: List[List[bytes]]) -> None:
    """Give up islands: short runs between wide holes are chance, like the dashes and digits that two random words share.

    Somewhat longer ones are when they have nothing but signs of such words: one of 4096 UUIDs (RFC 9562) shares its third group with the next.
    """
    def widest(gap: List[bytes]) -> int:
        return max(map(len, gap))

    def give_up(at: int) -> None:
        gaps[at - 1:at + 1] = [[a + runs[at] + b for a, b in zip(gaps[at - 1], gaps[at])]]
        del runs[at]

    at = 1
    while at < len(runs) - 1:
        short = len(runs[at]) < 4 or len(runs[at]) < 8 and _ID.fullmatch(runs[at])
        if short and len(runs[at]) * 4 < widest(gaps[at - 1]) + widest(gaps[at]):
            give_up(at)
            at = max(1, at - 1)
        else:
            at += 1
    fixed, noise = sum(map(len, runs)), sum(map(widest, gaps))
    if fixed * 3 < noise:
        for at in range(len(runs) - 2, 0, -1):
            if len(runs[at]) < 6:
                give_up(at)
        for at in (0, -1):  # of random data, the first and last signs too
            if gaps and len(runs[at]) < 2:
                gap = at if at == 0 else len(gaps) - 1
                gaps[gap] = [runs[0] + text if at == 0 else text + runs[-1] for text in gaps[gap]]
                runs[at] = b""


def _hole(gap: List[bytes]) -> Hole:
    seen = set(b"".join(gap))
    signs = set(seen)
    for kind in _KINDS:
        if seen & set(kind):
            signs |= set(kind)
    longest = max(map(len, gap))
    if longest >= _LONG or any(bytes([sign]) in b"+/=-_" for sign in seen):
        signs |= set(b"+/=-_")
    if seen - _PRINTABLE:
        signs = set(range(256))
    return Hole(bytes(sorted(signs)), 0 if not all(gap) else 1, max(longest * 2, longest + 16))


def _reordered(texts: List[List[bytes]]) -> Optional[Template]:
    """A template of answers that hold the same tokens in another order: sets, unsorted queries. None for others."""
    first = collections.Counter(texts[0])
    if any(collections.Counter(text) != first for text in texts[1:]):
        return None
    shortest = len(texts[0])
    head = next((at for at in range(shortest) if len({text[at] for text in texts}) > 1), shortest)
    tail = next(at for at in range(shortest) if len({text[-1 - at] for text in texts}) > 1)
    return Template([b"".join(texts[0][:head]), b"".join(texts[0][shortest - tail:])], [], True, collections.Counter(texts[0][head:shortest - tail]))


class Mismatch(NamedTuple):
    """Where a text stops fitting: an offset in it, and an offset in the fixed run that should stand there."""

    at: int
    run: bytes
    of_run: int

    def told(self, text: bytes, before: int = 24, after: int = 40) -> Tuple[bytes, bytes]:
        """What the text says around that place, and what was fixed there."""
        return text[max(0, self.at - before):self.at + after], self.run[max(0, self.of_run - before):self.of_run + after]


def fits(template: Template, text: bytes) -> bool:
    """Could the program that gave the learned answers have given this one?"""
    return mismatch(template, text) is None


def mismatch(template: Template, text: bytes) -> Optional[Mismatch]:
    """Where a text does not fit; None when it fits."""
    if not template.whole:
        text = text[:MOST]
    first = template.runs[0]
    if not template.noisy and text == first:
        return None
    if not template.noisy or not text.startswith(first):
        return Mismatch(_common(text, first), first, _common(text, first))
    if template.order is not None:
        return _mismatch_of_order(template, text)
    ends = [len(first)]
    for number, hole in enumerate(template.holes):
        run = template.runs[number + 1]
        last = number == len(template.holes) - 1
        starts = _starts(text, ends, hole, run, at_end=last and template.whole)
        if not starts:
            return _nearest(text, ends[0], hole, run)
        ends = [start + len(run) for start in starts]
    return None


def _nearest(text: bytes, at: int, hole: Hole, run: bytes) -> Mismatch:
    """The place where the most of a run's beginning stands."""
    few, many, place = 0, len(run), at
    while few < many:
        middle = (few + many + 1) // 2
        found = text.find(run[:middle], at, at + hole.most + middle)
        few, many, place = (middle, many, found) if found >= 0 else (few, middle - 1, place)
    return Mismatch(place + few, run, few)


def _mismatch_of_order(template: Template, text: bytes) -> Optional[Mismatch]:
    head, tail = template.runs
    if not text.endswith(tail) or len(text) < len(head) + len(tail):
        return Mismatch(max(0, len(text) - len(tail)), tail, 0)
    middle = collections.Counter(tokens(text[len(head):len(text) - len(tail)]))
    return None if middle == template.order else Mismatch(len(head), head, len(head))


def _starts(text: bytes, ends: List[int], hole: Hole, run: bytes, at_end: bool) -> List[int]:
    """Where ``run`` may begin after a hole that begins at one of ``ends`` (rising)."""
    allowed = re.compile(rb"[" + re.escape(hole.signs) + rb"]{%d,%d}" % (hole.least, hole.most), re.DOTALL)
    reach = []
    for end in ends:
        match = allowed.match(text, end)
        reach.append(match.end() if match else -1)
    if max(reach) < 0:
        return []
    found: List[int] = []
    at = len(text) - len(run) if at_end else ends[0] + hole.least
    if at_end and not text.endswith(run):
        return []
    limit = max(reach)
    while 0 <= at <= limit:
        if not at_end:
            at = text.find(run, at, limit + len(run))
            if at < 0:
                break
        number = bisect_right(ends, at - hole.least) - 1  # the nearest hole that may end here; those further off hold more
        if number >= 0 and reach[number] >= at and not _inside_word(text, at, run):
            found.append(at)
        if at_end:
            break
        at += 1
    return found


def _inside_word(text: bytes, at: int, run: bytes) -> bool:
    """Does the run begin in the middle of a word, or end in one?"""
    def word(place: int) -> bool:
        return 0 <= place < len(text) and _WORD.match(text, place) is not None

    if not run:
        return False
    return (word(at - 1) and word(at)) or (word(at + len(run) - 1) and word(at + len(run)))


def _common(left: bytes, right: bytes) -> int:
    """How many bytes both begin with."""
    return next((at for at, (a, b) in enumerate(zip(left, right)) if a != b), min(len(left), len(right)))


def lines_around(host: bytes, candidate: bytes, context: int = 2, width: int = 160, most: int = 14) -> List[str]:
    """The first difference of two texts as the lines of a diff: ``-`` the host's, ``+`` the candidate's, ``' '`` both's. Lines are cut to ``width``."""
    left, right = _text_lines(host), _text_lines(candidate)
    groups: Iterable[List[Tuple[str, int, int, int, int]]] = difflib.SequenceMatcher(None, left, right).get_grouped_opcodes(context)
    found: List[str] = []
    for tag, i1, i2, j1, j2 in next(iter(groups), []):
        if tag == "equal":
            found += [" " + line[:width] for line in left[i1:i2]]
            continue
        column = max(0, _common(left[i1].encode(), right[j1].encode()) - width // 4) if i2 > i1 and j2 > j1 else 0
        found += ["-" + _cut(line, column, width) for line in left[i1:i2][:most // 2]] + ["+" + _cut(line, column, width) for line in right[j1:j2][:most // 2]]
    return found[:most + 2 * context]


def _cut(line: str, column: int, width: int) -> str:
    return ("..." if column else "") + line[column:column + width] + ("..." if len(line) > column + width else "")


def _text_lines(text: bytes, most: int = 2000) -> List[str]:
    return text[:MOST].decode("utf-8", "backslashreplace").splitlines()[:most]
