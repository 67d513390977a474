"""Searches in the mirrored text find what Python's `in` finds, line by line, whatever was replaced meanwhile."""

import random

from hypothesis import given
from hypothesis import strategies as st

from projector.readmodel.query.mirror.text import SEARCHES_MAX, Search, Text, lines_with

LINES = 128
ALPHABET = "aäß日😀_\N{NO-BREAK SPACE}\x00"
words = st.text(ALPHABET, max_size=6)
others = st.lists(words, max_size=3)
needles = st.text(ALPHABET, min_size=1, max_size=3).map(str.encode)


def line_of(group_id: str, customer: str, *more: str) -> bytes:
    return group_id.encode() + b"\xfe" + b"\xfd".join(text.encode() for text in (customer, *more))


@st.composite
def chunks(draw: st.DrawFn) -> list[bytes]:
    """The lines of a chunk: some of a few, and empty ones."""
    pool = [line_of(draw(words), draw(words), *draw(others)) for _ in range(draw(st.integers(0, 5)))]
    rng = draw(st.randoms(use_true_random=False))
    return [rng.choice([*pool, b""]) for _ in range(LINES)]


def stored(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\xff" for line in lines)


def naive(lines: list[bytes], needle: bytes) -> list[int]:
    return [number for number, line in enumerate(lines) if needle in line]


def ones(bits: bytes | bytearray) -> list[int]:
    """The places of the bits that are 1, the highest bit of a byte being the first."""
    return [place for place in range(8 * len(bits)) if bits[place // 8] >> (7 - place % 8) & 1]


def look_at_all(text: Text, search: Search, step: int) -> None:
    for first in range(0, len(text.chunks), step):
        search.look(first, first + step)


@given(chunks(), needles)
def test_the_bits_of_a_chunk_are_those_of_its_lines(lines: list[bytes], needle: bytes) -> None:
    assert ones(lines_with(stored(lines), needle)) == naive(lines, needle)


@given(st.lists(st.tuples(words, words), min_size=1, max_size=3), words.filter(bool), st.integers(-1, LINES - 1))
def test_the_first_letters_of_all_are_found_in_all(pool: list[tuple[str, str]], start: str, empty: int) -> None:
    """But not in a line that is empty, or has them elsewhere, however often they occur in others."""
    begins = [(start, "", ""), ("", start, ""), (start, start, ""), ("a" + start, "a" + start, ""), ("", start, start)]
    for of_id, of_customer, other in begins:
        # Half of the lines have it in two other texts: as often as there are lines.
        lines = [
            line_of(of_id + group_id, of_customer + customer, *([other] * (2 * (n % 2)) if other else []))
            for group_id, customer in pool
            for n in range(LINES)
        ]
        random.Random(empty).shuffle(lines)
        lines = lines[:LINES]
        if empty >= 0:
            lines[empty] = b""
        assert ones(lines_with(stored(lines), start.encode())) == naive(lines, start.encode())


@given(st.lists(needles, min_size=1, max_size=3), st.integers(0, 4), st.integers(1, 3), st.data())
def test_searches_follow_replaced_chunks(
    searched: list[bytes], number_of_chunks: int, step: int, data: st.DataObject
) -> None:
    text = Text(0, b"", number_of_chunks)
    lines = [[b""] * LINES for _ in range(number_of_chunks)]
    for _ in range(data.draw(st.integers(1, 8))):
        for number, new in data.draw(st.lists(st.tuples(st.integers(0, 6), st.none() | chunks()), max_size=3)):
            lines += [[b""] * LINES for _ in range(number + 1 - len(lines))]
            lines[number] = new or [b""] * LINES
            text.replace(number, None if new is None else stored(new))
        needle = data.draw(st.sampled_from(searched))
        search = text.search(needle)
        look_at_all(text, search, step)
        assert len(search.bits) == len(lines) * LINES // 8
        assert ones(search.bits) == naive([line for chunk in lines for line in chunk], needle)


def test_what_is_replaced_behind_a_search_is_found_by_the_next() -> None:
    """A search is left in the middle, and chunks are replaced in front of where it was and behind."""
    rng = random.Random(5)
    for _ in range(200):
        text, lines = Text(0, b"", 6), [[b""] * LINES for _ in range(6)]
        for _ in range(20):
            number, place, first = rng.randrange(7), rng.randrange(LINES), rng.randrange(6)
            lines += [[b""] * LINES for _ in range(number + 1 - len(lines))]
            lines[number][place] = rng.choice((b"", b"xax", b"bbb"))
            text.replace(number, stored(lines[number]))
            text.search(b"a").look(first, first + 3)
        search = text.search(b"a")
        look_at_all(text, search, 6)
        assert ones(search.bits) == naive([line for chunk in lines for line in chunk], b"a")


def test_a_kept_search_looks_only_at_what_changed() -> None:
    text = Text(0, b"", 2)
    search = text.search(b"a")
    look_at_all(text, search, 2)
    # Not by `replace`: no search may notice.
    text.chunks[0] = stored([b"a"] * LINES)
    text.replace(1, stored([b"a"] + [b""] * (LINES - 1)))
    assert text.search(b"a") is search
    look_at_all(text, search, 2)
    assert ones(search.bits) == [LINES]


def test_searches_are_dropped_after_some_others() -> None:
    text = Text(0, b"", 1)
    first, second = text.search(b"first"), text.search(b"second")
    for number in range(SEARCHES_MAX - 1):
        assert text.search(b"first") is first
        text.search(f"other {number}".encode())
    assert text.search(b"second") is not second
    assert text.search(b"first") is first
