"""The parser of query strings against the JavaScript library `qs`."""

import random
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from api.params.tree import parse_tree
from tests.client import node

STRINGS = 20_000
# `__proto__` is left out: qs drops it in silence, we refuse it like every unknown name.
NAMES = ("id", "status", "created_at", "q", "limit", "$gte", "$in", "a", "b", "toString", "hasOwnProperty")
BRACKETS = (*(f"[{name}]" for name in NAMES), "[]", "[0]", "[1]", "[7]", "%5B%5D", "%5b0%5D", ".a", ".$gte", ".0")
VALUES = ("", "x", "y", "a,b", "a%2Cb", "1", "%C3%A4", "+", "%2B", "ä", "[]", "%5B", "a=b", "&", "%26", "%00", " ", ".")
FORMS = ("{name}={value}", "{name}{bracket}={value}", "{name}{bracket}{bracket2}={value}", "{name}", "={value}", "")


def query_string(rng: random.Random) -> str:
    parts = []
    for _ in range(rng.choice((1, 2, 2, 3, 5))):
        name, value, form = rng.choice(NAMES), rng.choice(VALUES), rng.choice(FORMS)
        parts.append(form.format(name=name, value=value, bracket=rng.choice(BRACKETS), bracket2=rng.choice(BRACKETS)))
    return "&".join(parts)


def is_odd(text: str) -> bool:
    """Two forms that no client sends, and that qs parses unexpectedly: a repeated index makes a nested list, and an
    empty value is dropped after others of its name.
    """
    pairs = [pair.partition("=") for pair in text.split("&") if pair]
    names = Counter(unquote(name).replace(".0", "[0]") for name, _, _ in pairs)
    bases = Counter(name.partition("[")[0].partition(".")[0] for name in names.elements())
    twice = any(count > 1 and "[" in name and name[-2:-1].isdigit() for name, count in names.items())
    return twice or any(not value and bases[unquote(name)] > 1 for name, _, value in pairs)


def meaning(value: Any) -> Any:
    """Sorts lists, whose order has no meaning, and replaces mixtures of lists with other nodes by one text."""
    if isinstance(value, list):
        return sorted(value) if all(isinstance(child, str) for child in value) else "no value"
    if isinstance(value, dict):
        return "no value" if any(name.isdigit() for name in value) else {k: meaning(v) for k, v in value.items()}
    return value


def split_lone(value: Any) -> Any:
    """Medusa's `normalizeQuery`, which comes after qs."""
    if isinstance(value, dict):
        return {name: split_lone(child) for name, child in value.items()}
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], str):
        return value[0].split(",")
    return value


def test_query_strings_are_parsed_as_by_qs(modules: Path) -> None:
    rng = random.Random(1)
    texts = [text for text in (query_string(rng) for _ in range(STRINGS)) if not is_odd(text)]
    assert len(texts) > STRINGS * 0.8
    different = [
        (text, ours, wanted)
        for text, theirs in zip(texts, node.parse(modules, texts), strict=True)
        if (ours := meaning(parse_tree(text))) != (wanted := meaning(split_lone(theirs)))
    ]
    assert different == []
