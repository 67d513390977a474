"""Query strings that nobody would write, made from ones that somebody might."""

import random
from collections.abc import Callable, Iterator, Sequence

from tests.fields import RANGE_FIELDS, VALUE_FIELDS

URL_BYTES_MAX = 65_536
NAMES = (
    *("limit", "offset", "order", "fields", "q", "id", *VALUE_FIELDS, *RANGE_FIELDS),
    *("with_deleted", "foo", "__proto__", ""),
)
OPERATORS = ("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$like", "$and", "")
VALUES = (
    *(
        "",
        "0",
        "1",
        "-1",
        "50",
        "1000",
        "1001",
        "10abc",
        "5.9",
        "1e3",
        "1e999",
        "NaN",
        "0x10",
        "9" * 400,
        "abc",
        "null",
    ),
    *("2026-06-01", "2026-06-01T10:00:00.000Z", "2026-06-01T10:00:00+02:00", "9999-12-31", "0000-00-00", "2026-02-30"),
    *("-created_at", "total", "id,total,-x", "+display_id", "*orders", "orders.total", "a,b,,c", "pending", "og_1"),
    *(
        "%C3%A4",
        "%FF",
        "%00",
        "%",
        "%zz",
        "%ED%A0%80",
        "ä",
        "日",
        "\u0130",
        "ß",
        "\ufeff1",
        "\u2028",
        "[object Object]",
    ),
)
# What the grammar of query strings is made of.
TOKENS = (*"[].&=+,%$;#?/\\\"'{}()*- \t\x00\r\n", "[]", "[0]", "[99999]", "%5B", "%5D", "%26", "%3D", "..", "[[", "]]")
# Repeated up to the longest URL.
LONG = (
    *("&", "=", "[", "]", ".", "%", "+", ",", "a", "%5B", "%FF", "a[", "[a]", ".a", "a&", "id=&", "id[]=x&", "id=a,b&"),
    *("+a,-b,", "-a,+a,", "a0[4999][4999][4999][x]=1&", "id[4999][0][x]=&", "id.0.4999.0=&"),
    *("id[0]=x&", "id[0][0]=&", "total[$in][]=1&", "total[$in]=1,2&", "created_at.$ne=2026-06-01&", "fields=+a,-b,"),
    *(
        "orders.",
        "-id,",
        "*orders,",
        "9",
        "-",
        " ",
        "\u00e4",
        "q=%C3%A4&",
        "a.b.c.d.e.f.g=1&",
        "id[$ne]=&",
        "status.0=&",
    ),
)

Mutation = Callable[[random.Random, str], str]


def _pair(rng: random.Random) -> str:
    name = rng.choice(NAMES)
    for _ in range(rng.choice((0, 0, 0, 1, 1, 2, 7))):
        part = rng.choice((rng.choice(OPERATORS), rng.choice(NAMES), "", str(rng.randrange(10**6))))
        name += rng.choice((f"[{part}]", f".{part}", f"%5B{part}%5d"))
    return f"{name}={rng.choice(VALUES)}" if rng.random() < 0.95 else name


def _at(rng: random.Random, text: str) -> tuple[int, int]:
    start = rng.randrange(len(text) + 1)
    return start, min(len(text), start + rng.choice((1, 2, 5, 20)))


def _cut(rng: random.Random, text: str) -> str:
    start, stop = _at(rng, text)
    return text[:start] + text[stop:]


def _insert(rng: random.Random, text: str) -> str:
    start, _ = _at(rng, text)
    token: str = rng.choice(TOKENS)
    return text[:start] + token * rng.choice((1, 1, 2, 9)) + text[start:]


def _repeat(rng: random.Random, text: str) -> str:
    start, stop = _at(rng, text)
    return text[:stop] + text[start:stop] * rng.choice((1, 2, 30)) + text[stop:]


def _encode(rng: random.Random, text: str) -> str:
    start, stop = _at(rng, text)
    return text[:start] + "".join(f"%{byte:02x}" for byte in text[start:stop].encode()) + text[stop:]


def _change(rng: random.Random, text: str) -> str:
    start, _ = _at(rng, text)
    return text[:start] + chr(rng.choice((rng.randrange(128), rng.randrange(0x800), 0x1F600))) + text[start + 1 :]


def _splice(rng: random.Random, text: str) -> str:
    start, _ = _at(rng, text)
    return text[:start] + "&" + _pair(rng)


_MUTATIONS: Sequence[Mutation] = (_cut, _insert, _repeat, _encode, _change, _splice)


def short(rng: random.Random, corpus: Sequence[str]) -> str:
    """Pairs thrown together, or one of the corpus; then up to eight changes."""
    text = (
        "&".join(_pair(rng) for _ in range(rng.choice((1, 1, 2, 3, 8)))) if rng.random() < 0.6 else rng.choice(corpus)
    )
    for _ in range(rng.choice((0, 1, 1, 2, 3, 8))):
        mutate: Mutation = rng.choice(_MUTATIONS)
        text = mutate(rng, text)
    return text


def long(rng: random.Random, corpus: Sequence[str]) -> str:
    """Up to the longest URL: a few pieces again and again, at times each time a little different."""
    pieces = [rng.choice((rng.choice(LONG), short(rng, corpus)[:200])) for _ in range(rng.choice((1, 1, 2, 4)))]
    stem = rng.choice(("", "id=", "id[]=", "a", "total[$in][]=", "fields=", "fields=%2Ba,", "q=", _pair(rng)))
    unit = "".join(pieces) or "&"
    size = rng.choice((1_000, 8_000, URL_BYTES_MAX, URL_BYTES_MAX))
    if rng.random() < 0.3:
        parts = (unit.replace("0", str(n)).replace("a", f"a{n}") for n in range(size // len(unit) + 1))
        return (stem + "".join(parts))[:size]
    return (stem + unit * (size // len(unit) + 1))[:size]


def inputs(seed: int, corpus: Sequence[str], every: int) -> Iterator[str]:
    """Endless; every so many a long one. The same seed gives the same inputs."""
    rng = random.Random(seed)
    while True:
        yield long(rng, corpus)
        for _ in range(every - 1):
            yield short(rng, corpus)
