"""Parses a query string as the JavaScript library `qs` does, to a tree of strings, lists and objects."""

import re
from urllib.parse import parse_qsl

import qs_codec

Node = str | list["Node"] | dict[str, "Node"]

# Elements of one list after splitting at commas, at most.
LIST_VALUES_MAX = 1000
# `name=value` pairs of one query string, at most: room for several full lists.
PAIRS_MAX = 5000
# Different names in one query string, at most: more than there are parameters. qs_codec takes quadratic time in it.
NAMES_MAX = 100
# Characters of a value or of unknown names in an error message.
ECHO_CHARACTERS_MAX = 200

# Deeper brackets stay part of the last name, as in qs, and are then unknown.
_OPTIONS = qs_codec.DecodeOptions(allow_dots=True, depth=5, list_limit=PAIRS_MAX)
_INDEX = re.compile(r"(?:\[[0-9]+\]|\.[0-9]+)(?:(?P<inner>(?=[.\[]))|$)")


class TooMany(ValueError):
    """A query string has more names or values than allowed."""


def parse_tree(raw: str) -> dict[str, Node]:
    """Raises TooMany.

    Indexes of lists are dropped, since no parameter depends on the order: `a[7]` is parsed as `a[]`. So long indexed
    lists, which JavaScript clients send, take linear time, and an index cannot allocate memory. Nested lists, which no
    parameter accepts, stay nested: `a[7][7]` is parsed as `a[0][]`.
    """
    try:
        pairs = parse_qsl(raw, keep_blank_values=True, max_num_fields=PAIRS_MAX)
    except ValueError as error:
        raise TooMany(f"Too many values, expected at most: '{PAIRS_MAX}'") from error
    flat: dict[str, list[str]] = {}
    for name, value in pairs:
        flat.setdefault(_INDEX.sub(_plain_index, name), []).append(value)
    if len(flat) > NAMES_MAX:
        raise TooMany(f"Too many fields, expected at most: '{NAMES_MAX}'")
    tree: dict[str, Node] = qs_codec.decode(
        {name: values[0] if len(values) == 1 else values for name, values in flat.items()}, _OPTIONS
    )
    return {name: _split_lone(node) for name, node in tree.items()}


def _plain_index(match: re.Match[str]) -> str:
    return "[]" if match["inner"] is None else "[0]"


def _split_lone(node: Node) -> Node:
    """`id[]=a,b` is two values, as in Medusa's `normalizeQuery`; `id=a,b` is one."""
    if isinstance(node, dict):
        return {name: _split_lone(child) for name, child in node.items()}
    if isinstance(node, list) and len(node) == 1 and isinstance(node[0], str):
        return list(node[0].split(","))
    return node


def js_text(node: Node) -> str:
    """Returns `String(value)` of JavaScript, as in Medusa's messages, shortened."""
    return shortened(_js_text(node))


def _js_text(node: Node) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        return ",".join(_js_text(child) for child in node)
    return "[object Object]"


def shortened(text: str) -> str:
    return text if len(text) <= ECHO_CHARACTERS_MAX else text[: ECHO_CHARACTERS_MAX - 1] + "…"
