"""The names of event types that are passed over: each once, not many, and in both modes of CloudEvents."""

import json
from pathlib import Path

from events.logs.log import Entry
from projector.passed_over import TYPES_MAX
from tests.integration.rebuilding import Shop
from tests.poison import event

KEY = "{og:live}:passed_over"
BINARY = (("ce_specversion", b"1.0"), ("ce_id", b"1"), ("ce_source", b"/shop"), ("ce_type", b"cart.updated"))


def other(kind: str) -> Entry:
    return Entry(b"k", json.dumps({**event(1), "type": kind}).encode())


def test_each_name_is_kept_with_its_first_position(tmp_path: Path, one_redis_url: str) -> None:
    shop = Shop(tmp_path, one_redis_url)
    shop.publish(10)
    names = ["cart.created", "käse\n\x1b[31m", "cart.created"]
    shop.append([*map(other, names), Entry(b"k", b"{}", BINARY), Entry(b"k", b"broken")])
    with shop.run(), shop.place.client() as client:
        shop.wait()
        expected = {"cart.created": "orders/0@10", names[1]: "orders/0@11", "cart.updated": "orders/0@13"}
        assert {name.decode(): at.decode() for name, at in client.hgetall(KEY).items()} == expected
        # What Redis lost is noted again by the next process, or after the position has moved back.
        client.flushall()
        shop.wait()
        assert client.hlen(KEY) == 3


def test_many_names_are_not_kept(tmp_path: Path, one_redis_url: str) -> None:
    shop = Shop(tmp_path, one_redis_url)
    shop.append([other(f"type.{number}") for number in range(3 * TYPES_MAX)])
    for _ in range(2):
        with shop.run(), shop.place.client() as client:
            shop.append([other("type.more")])
            shop.wait()
            assert client.hlen(KEY) == TYPES_MAX
