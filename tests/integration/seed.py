"""Writes order groups into Redis in the format of the read model, without the projector and the API.

A group is a plain dict of its document's fields, with `total` as Decimal and times as Unix milliseconds.
"""

import json
import random
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from hashlib import blake2b, sha256
from typing import Any
from zlib import crc32

import msgspec
from redis import Redis
from redis.cluster import RedisCluster

from tests.fields import FACET_FIELDS, GROUP_FIELDS, TIME_FIELDS
from tests.stored import order_mark

Group = dict[str, Any]

# Of the read model.
VERSION = 8

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
# On both sides of 0, and larger than a double is exact.
TOTALS = tuple(map(Decimal, ("0.1", "0.2", "-74.5", "0.000001", "-0.000001", "123456789012345", "-99999999999999.9")))
CHANNELS = (None, "sc_web", "sc_app", "sc_pos")
PAYMENTS = ("captured", "captured", "authorized", "not_paid", None)
FULFILLMENTS = ("not_fulfilled", "shipped", "delivered", None)
CURRENCIES = ("eur", "eur", "usd", "gbp")
# First name, last name, e-mail.
PEOPLE = ((None, None, None), (None, None, None), ("Ada", "Straße", "ada@example.com"), ("Ğül", None, "g@b.example"))


def iso(ms: int) -> str:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


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
        "currency_code": orders[0]["currency_code"] if len({order["currency_code"] for order in orders}) == 1 else None,
        "seller_ids": sellers,
        "statuses": sorted({order["status"] for order in orders}),
        "sales_channel_ids": sorted(channels),
        "payment_statuses": sorted({order["payment_status"] for order in orders} - {None}),
        "fulfillment_statuses": sorted({order["fulfillment_status"] for order in orders} - {None}),
        "order_count": len(orders),
        "orders": orders,
    }


def _make_order(rng: random.Random, group_id: str, n: int, customer: str | None, created: int) -> Group:
    chance = crc32(f"{n} {group_id}".encode())
    first_name, last_name, email = PEOPLE[chance % 4]
    number, seller = rng.choice((None, n)), rng.choice(SELLERS)
    return {
        "id": f"order_{n}_{group_id}",
        "display_id": number,
        "custom_display_id": f"C-{chance % 100}" if chance % 7 == 0 else None,
        "email": email,
        "seller_id": seller,
        "customer_id": customer,
        "sales_channel_id": rng.choice(CHANNELS),
        "status": rng.choice(STATUSES),
        "payment_status": PAYMENTS[chance % 5],
        "fulfillment_status": FULFILLMENTS[chance // 5 % 4],
        "currency_code": CURRENCIES[crc32(group_id.encode()) % 4 if chance % 11 else 0],
        "total": rng.choice(TOTALS) if rng.random() < 0.8 else Decimal(rng.randrange(30)),
        "created_at": created,
        "updated_at": created + rng.randrange(5) * 60_000,
        "canceled_at": created + 1 if chance % 13 == 0 else None,
        "seller": {"id": seller, "name": f"Shop {seller[4:]}" if chance % 3 == 0 else None},
        "customer": {"id": customer, "first_name": first_name, "last_name": last_name},
    }


def write(client: "Redis | RedisCluster", groups: Iterable[Group], number: int = 0, shards: int = 1) -> str:
    """Fills a generation, which `go_live` makes live, and returns the prefix of the keys of its first shard."""
    pipeline = client.pipeline()
    for keys, members in by_shard(groups, number, shards).items():
        _write_shard(pipeline, keys, members)
    pipeline.execute()
    return f"og:{{{number}.0}}:"


def by_shard(groups: Iterable[Group], number: int = 0, shards: int = 1) -> dict[str, list[Group]]:
    """The groups by the prefix of their shard, in order."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(prefix(group["id"], number, shards), []).append(group)
    return found


def ordinal_at(place: int) -> int:
    """The ordinal of the group at a place of its shard: every fifth one is left out, see `_write_shard`."""
    return place + place // 4


def member(ordinal: int) -> bytes:
    return ordinal.to_bytes(4, "big")


def _write_shard(pipeline: Any, prefix: str, groups: Sequence[Group]) -> None:
    """Of the ordinals that are left out, every other one is of an unlisted group; the rest are of none."""
    ordinals = {group["id"]: ordinal_at(place) for place, group in enumerate(groups)}
    unlisted = {f"og_unlisted_{ordinal}": ordinal for ordinal in range(4, ordinal_at(len(groups)), 10)}
    all_of_them = ordinals | unlisted
    lines: dict[int, bytes] = {}
    bits: dict[str, list[int]] = {}
    members: dict[str, dict[bytes, int]] = {}
    for group in groups:
        ordinal = ordinals[group["id"]]
        key = member(ordinal)
        head = {name: group[name] for name in GROUP_FIELDS[:6]}
        sellers = [seller.encode() for seller in group["seller_ids"]]
        pipeline.hset(prefix + "row", key, columns_head(group) + b"\xff".join((render(head).encode(), *sellers)))
        pipeline.hset(prefix + "record", key, record(group))
        lines[ordinal] = line(group)
        members.setdefault("by:created_at", {})[key] = group["created_at"]
        for name in bit_names(group):
            bits.setdefault(name, []).append(ordinal)
        for field, values in value_sets(group).items():
            # An empty currency: of an order without one.
            for value in (value or "" for value in values):
                name = f"of:{field}:{value}"
                members.setdefault(name, {})[key] = group["created_at"]
                if not is_narrow(name):
                    bits.setdefault("bits:" + name, []).append(ordinal)
    for group_id, ordinal in all_of_them.items():
        pipeline.hset(prefix + "ordinal", group_id, member(ordinal))
    for ordinal in unlisted.values():
        pipeline.hset(prefix + "record", member(ordinal), hashed(msgspec.msgpack.encode([])))
    end = -(-(max(all_of_them.values(), default=-1) + 1) // 256) * 256
    pipeline.set(prefix + "ordinals", end)
    for chunk in range(end // LINES):
        some = [lines.get(ordinal, b"") for ordinal in range(chunk * LINES, (chunk + 1) * LINES)]
        if any(some):
            pipeline.hset(prefix + "text", str(chunk), b"".join(line + b"\xff" for line in some))
    # As if one commit had written all, so that a reader knows another content by its digest.
    digest = sha256(repr(groups).encode()).hexdigest()[:16]
    pipeline.zadd(prefix + "changed", {f"1:{digest}:".encode(): 1})
    for name, scored in members.items():
        pipeline.zadd(prefix + name, scored)
        _, field, value = (*name.split(":", 2), "")[:3]
        if name.startswith("of:") and field in FACET_FIELDS:
            pipeline.zadd(f"{prefix}values:{field}", {value: len(scored)})
    for name, places in bits.items():
        pipeline.set(prefix + name, as_bitmap(places))


def line(group: Group) -> bytes:
    """What `q` looks through: id, customer id, all other texts."""
    group_id, customer_id, *more = [text.casefold().encode() for text in texts(group)]
    marks = b"".join(order_mark(order["id"]) for order in group["orders"])
    return group_id + b"\xfe" + customer_id + b"".join(b"\xfd" + text for text in more) + marks


def texts(group: Group) -> list[str]:
    found = [group["display_id"] is not None and f"#{group['display_id']}"]
    for order in group["orders"]:
        found.append(order["display_id"] is not None and f"#{order['display_id']}")
        customer, seller = order.get("customer", {}), order.get("seller", {})
        found += [order.get("custom_display_id"), seller.get("name"), order.get("email")]
        found.append(" ".join(name for name in (customer.get("first_name"), customer.get("last_name")) if name))
    return [group["id"], group["customer_id"] or "", *(text for text in dict.fromkeys(found) if text)]


def is_narrow(index: str) -> bool:
    """Some values have no bitmap, as if they had never had many groups."""
    return len(index) % 2 == 1


def columns(group: Group) -> dict[str, int | None]:
    """The integers that a group is sorted and filtered by."""
    return {
        "created_at": group["created_at"],
        "updated_at": group["updated_at"],
        "total": int(group["total"] * 1_000_000),
        "seller_count": group["seller_count"],
        "display_id": group["display_id"],
    }


# Bits of each column in two's complement.
SLICES = {"created_at": 49, "updated_at": 49, "total": 81, "seller_count": 11, "display_id": 54}


def bit_names(group: Group) -> list[str]:
    """The bitmaps that are not of a value."""
    names = ["bits:all"]
    for field, value in columns(group).items():
        if value is not None:
            two = value % (1 << SLICES[field])
            names += [f"bits:by:{field}:{k}" for k in range(SLICES[field]) if two >> k & 1]
    return names if group["display_id"] is None else [*names, "bits:has:display_id"]


def columns_head(group: Group) -> bytes:
    """The 34 bytes in front of a row: two times, total, number of sellers, display_id."""
    created, updated, total, sellers, number = columns(group).values()
    assert created is not None
    assert updated is not None
    assert total is not None
    assert sellers is not None
    parts = ((created, 7), (updated, 7), (total, 11), (sellers, 2), (-(2**55) if number is None else number, 7))
    return b"".join((value % (1 << 8 * size)).to_bytes(size, "big") for value, size in parts)


def as_bitmap(places: Iterable[int]) -> bytes:
    number = sum(1 << place for place in set(places))
    text = number.to_bytes(number.bit_length() // 8 + 1, "little").translate(_REVERSED)
    return text.rstrip(b"\0")


# Bit 0 of a bitmap is the highest of its first byte.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def record(group: Group) -> bytes:
    """The orders, each with one revision for all of its fields; as state.py describes it."""
    orders = []
    for order in sorted(group["orders"], key=lambda order: str(order["id"])):
        total, canceled = int(order["total"] * 1_000_000), order.get("canceled_at")
        seller, customer = order.get("seller", {}), order.get("customer", {})
        values = [
            *(order["created_at"] * 1000, order["seller_id"], order["status"]),
            *(total if abs(total) < 2**63 else str(total), order["customer_id"], order["sales_channel_id"]),
            *(order["currency_code"], order["display_id"], group["cart_id"], group["display_id"], None),
            *(None, group.get("customer_id"), order.get("payment_status"), order.get("fulfillment_status")),
            *(canceled and canceled * 1000, order.get("custom_display_id"), seller.get("name"), order.get("email")),
            *(None, customer.get("first_name"), customer.get("last_name")),
        ]
        orders.append([order["id"], b"\1" * 22, [1, order["updated_at"] * 1000, 0], values])
    return hashed(msgspec.msgpack.encode(orders))


def hashed(body: bytes) -> bytes:
    return blake2b(body, digest_size=8).digest() + body


def shard_of(group_id: str, shards: int) -> int:
    return int.from_bytes(blake2b(group_id.encode(), digest_size=8).digest(), "big") % shards


def prefix(group_id: str, number: int, shards: int) -> str:
    """Of the keys of the shard where the group lies."""
    return f"og:{{{number}.{shard_of(group_id, shards)}}}:"


def go_live(client: "Redis | RedisCluster", number: int = 0, shards: int = 1, version: int = VERSION) -> None:
    client.set("og:live", described(number, shards, version))


def serve(client: "Redis", groups: Iterable[Group], shards: int = 1) -> None:
    """These, and nothing else."""
    client.flushdb()
    write(client, groups, shards=shards)
    go_live(client, shards=shards)


def described(number: int, shards: int, version: int) -> str:
    return f'{{"number":{number},"shards":{shards},"version":{version}}}'


def value_sets(group: Group) -> dict[str, Sequence[str]]:
    """What a value filter on the field may name."""
    return {
        "customer_id": [group["customer_id"]] if group["customer_id"] else [],
        "seller_id": group["seller_ids"],
        "status": group["statuses"],
        "sales_channel_id": group["sales_channel_ids"],
        "payment_status": group["payment_statuses"],
        "fulfillment_status": group["fulfillment_statuses"],
        "currency_code": sorted({order["currency_code"] for order in group["orders"]}, key=str),
    }
