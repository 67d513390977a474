"""Writes order groups into Redis in the format of the read model, without the projector and the API.

A group is a plain dict of its document's fields, with `total` as Decimal and times as Unix milliseconds.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b
from typing import Any

from redis import Redis
from redis.cluster import RedisCluster

from projector.readmodel.schema.document import VERSION
from tests import buckets
from tests.fields import GROUP_FIELDS, TIME_FIELDS

Group = dict[str, Any]

# Of one chunk of what `q` looks through.
LINES = 128

JUNE_MS = 1780272000000
# Their byte orders, locale orders and casefolded forms all differ.
ODD_IDS = (
    "og_Ä",
    "og_ß",
    "og_SS",
    "og_a b",
    "og_a/b",
    "og_%2F",
    'og_",\\"display_id\\":',
    "og_日本",
    "og_😀",
    "OG_z",
    "og_é",
)
CUSTOMERS = (None, None, *(f"cus_{n}" for n in range(40)), "cus_STRASSE", "cus_straße", 'cus_",x')
SELLERS = (*(f"sel_{n}" for n in range(12)), "sel_ä:b")
STATUSES = ("pending", "pending", "pending", "completed", "canceled", "archived")
CHANNELS = (None, "sc_web", "sc_app", "sc_pos")


def iso(ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{ms % 1000:03d}Z"


def render(value: object) -> str:
    """JSON without a blank, decimals digit by digit."""
    if isinstance(value, Mapping):
        items = (f"{render(name)}:{_render_field(name, child)}" for name, child in value.items())
        return "{" + ",".join(items) + "}"
    if isinstance(value, list):
        return "[" + ",".join(render(child) for child in value) + "]"
    if isinstance(value, Decimal):
        return f"{value:f}"
    return json.dumps(value, ensure_ascii=False)


def _render_field(name: str, value: Any) -> str:
    return render(iso(value)) if name in TIME_FIELDS else render(value)


def make_groups(rng: random.Random, number: int) -> list[Group]:
    """Few different times, totals and numbers, so that every sort has ties."""
    ids = [*ODD_IDS, *(f"og_{rng.getrandbits(64):016x}{'' if n % 3 else 'Z'}" for n in range(number - len(ODD_IDS)))]
    return [_make_group(rng, group_id) for group_id in ids]


def _make_group(rng: random.Random, group_id: str) -> Group:
    customer = rng.choice(CUSTOMERS)
    created = JUNE_MS + rng.randrange(60) * 3_600_000 + rng.choice((0, 0, 1, 999))
    orders = [_make_order(rng, group_id, n, customer, created) for n in range(rng.choice((1, 1, 2, 3)))]
    sellers = sorted({order["seller_id"] for order in orders})
    channels = {order["sales_channel_id"] for order in orders} - {None}
    return {
        "id": group_id,
        "customer_id": customer,
        "seller_count": len(sellers),
        "total": sum((order["total"] for order in orders), Decimal(0)),
        "created_at": created,
        "updated_at": max(order["updated_at"] for order in orders),
        "display_id": rng.choice((None, rng.randrange(50))),
        "cart_id": rng.choice((None, "cart_1")),
        "currency_code": "eur",
        "seller_ids": sellers,
        "statuses": sorted({order["status"] for order in orders}),
        "sales_channel_ids": sorted(channels),
        "order_count": len(orders),
        "orders": orders,
    }


def _make_order(rng: random.Random, group_id: str, n: int, customer: str | None, created: int) -> Group:
    return {
        "id": f"order_{n}_{group_id}",
        "display_id": rng.choice((None, n)),
        "seller_id": rng.choice(SELLERS),
        "customer_id": customer,
        "sales_channel_id": rng.choice(CHANNELS),
        "status": rng.choice(STATUSES),
        "currency_code": "eur",
        "total": rng.choice((Decimal("0.1"), Decimal("0.2"), Decimal(rng.randrange(30)), Decimal("-74.5"))),
        "created_at": created,
        "updated_at": created + rng.randrange(5) * 60_000,
    }


def write(client: "Redis | RedisCluster", groups: Iterable[Group], number: int = 0, shards: int = 1) -> str:
    """Fills a generation, which `go_live` makes live, and returns the prefix of the keys of its first shard."""
    pipeline = client.pipeline()
    members_of: dict[str, list[Group]] = {}
    for group in groups:
        keys = prefix(group["id"], number, shards)
        _write_group(pipeline, keys, group)
        members_of.setdefault(keys, []).append(group)
    for keys, members in members_of.items():
        _write_by_ordinal(pipeline, keys, members)
    pipeline.execute()
    return f"og:{{{number}.0}}:"


def _write_by_ordinal(pipeline: Any, prefix: str, groups: Sequence[Group]) -> None:
    ordinals = {group["id"]: ordinal for ordinal, group in enumerate(groups)}
    pipeline.zadd(prefix + "ordinal", ordinals)
    lines = [
        group["id"].casefold().encode() + b"\xfe" + (group["customer_id"] or "").casefold().encode() + b"\xff"
        for group in groups
    ]
    for start in range(0, len(lines), LINES):
        pipeline.hset(prefix + "text", str(start // LINES), b"".join(lines[start : start + LINES]))
    entries = {
        (index, group["id"]): score
        for group in groups
        for index, score in scores(group).items()
        if not is_narrow(index)
    }
    for name, places in buckets.bitmaps(entries, ordinals).items():
        pipeline.set(f"{prefix}bits:{name}", buckets.as_bytes(places))


def is_narrow(index: str) -> bool:
    """Some values have no bitmap, as if they had never had many groups."""
    return index.startswith("of:") and len(index) % 2 == 1


def scores(group: Group) -> dict[str, float]:
    """Index -> score, for all sorted sets."""
    found = {"by:id": 0.0}
    for field in buckets.SLICES:
        found["by:" + field] = float("inf") if group[field] is None else float(group[field])
    for field, values in value_sets(group).items():
        found |= {f"of:{field}:{value}": group["created_at"] for value in values}
    return found


def prefix(group_id: str, number: int, shards: int) -> str:
    """Of the keys of the shard where the group lies."""
    return f"og:{{{number}.{shard_of(group_id, shards)}}}:"


def shard_of(group_id: str, shards: int) -> int:
    return int.from_bytes(blake2b(group_id.encode(), digest_size=8).digest(), "big") % shards


def go_live(client: "Redis | RedisCluster", number: int = 0, shards: int = 1, version: int = VERSION) -> None:
    client.set("og:live", described(number, shards, version))


def serve(client: "Redis", groups: Iterable[Group], shards: int = 1) -> None:
    """These, and nothing else."""
    client.flushdb()
    write(client, groups, shards=shards)
    go_live(client, shards=shards)


def described(number: int, shards: int, version: int) -> str:
    return f'{{"number":{number},"shards":{shards},"version":{version}}}'


def _write_group(pipeline: Any, prefix: str, group: Group) -> None:
    group_id = group["id"]
    document = render(group)
    border = len(render({name: group[name] for name in GROUP_FIELDS[:6]})) - 1
    pipeline.hset(prefix + "row", group_id, document[:border] + "}")
    pipeline.hset(prefix + "rest", group_id, document[border:])
    for index, score in scores(group).items():
        pipeline.zadd(prefix + index, {group_id: score})


def value_sets(group: Group) -> dict[str, Sequence[str]]:
    """What a value filter on the field may name."""
    return {
        "customer_id": [group["customer_id"]] if group["customer_id"] else [],
        "seller_id": group["seller_ids"],
        "status": group["statuses"],
        "sales_channel_id": group["sales_channel_ids"],
    }
